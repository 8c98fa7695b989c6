//! `console PATH`: attaches to the backdoor of a running server.
#![forbid(unsafe_code)]

mod connection;
mod output;
mod process;
mod prompt;
mod report;
mod terminal;

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use connection::{Connection, Lost};
use output::{Format, Output};

/// The statement failed.
const FAILED: u8 = 1;

/// There is no server, or it went away.
const NO_SERVER: u8 = 2;

/// Attach to the backdoor of a running server.
///
/// Without -c this is an interactive console: help() lists what there is, Tab completes, Ctrl-C stops what runs,
/// Ctrl-D leaves. Exit status: 0 if all went well, 1 if a statement failed, 2 if there is no server.
#[derive(Parser)]
#[command(name = "console", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    program: Option<Program>,

    /// The server's backdoor socket.
    #[arg(required_unless_present = "pid")]
    path: Option<PathBuf>,

    /// Attach to the backdoor of this process instead.
    #[arg(long, value_name = "PROCESS", conflicts_with = "path")]
    pid: Option<u32>,

    /// Evaluate this statement and print its result; may be given several times.
    #[arg(short, long = "command", value_name = "STATEMENT")]
    command: Vec<String>,

    /// Print results as JSON, one a line.
    #[arg(long)]
    json: bool,

    /// Print each statement before its result, as if it had been typed, and go on after errors: for recordings.
    #[arg(long, requires = "command")]
    echo: bool,

    /// Lay tables out for a terminal of this many columns.
    #[arg(long, value_name = "COLUMNS")]
    width: Option<usize>,

    /// Show at most this many rows of a table [default: 200 at the prompt, all with -c].
    #[arg(long, value_name = "ROWS")]
    rows: Option<u64>,
}

/// What is not a session. A socket with such a name is given as ./report.
#[derive(Subcommand)]
enum Program {
    /// Make a page for the browser of a saved profile, or of what changed from one to another.
    Report(report::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(code) => code,
        Err(lost) => {
            eprintln!("console: {lost}");
            ExitCode::from(NO_SERVER)
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, Lost> {
    if let Some(Program::Report(options)) = &arguments.program {
        return Ok(report::run(options));
    }
    let format = if arguments.json {
        Format::Json
    } else {
        Format::Text
    };
    let mut output = Output::new(format, arguments.width);
    let path = match (&arguments.path, arguments.pid) {
        (Some(path), _) => path.clone(),
        (None, Some(pid)) => process::backdoor_of(pid)?,
        (None, None) => return Err(Lost::new("give a socket's path, or --pid".into())),
    };
    let mut connection = Connection::open(&path)?;
    let mut statements = arguments.command.clone();
    if statements.is_empty() {
        if std::io::stdin().is_terminal() {
            return prompt::run(connection, output, arguments.rows);
        }
        let mut script = String::new();
        if let Err(error) = std::io::stdin().read_to_string(&mut script) {
            eprintln!("console: cannot read the standard input: {error}");
            return Ok(ExitCode::from(FAILED));
        }
        statements.push(script);
    }
    let mut code = ExitCode::SUCCESS;
    for (at, statement) in statements.iter().enumerate() {
        if arguments.echo {
            output.echo(connection.application(), statement, at == 0);
        }
        let ended = connection.evaluate(statement, arguments.rows, &mut output)?;
        if !ended.is_good() {
            code = ExitCode::from(FAILED);
            if !arguments.echo {
                break;
            }
        }
    }
    Ok(code)
}
