//! `console PATH` or `console ADDRESS`: attaches to the backdoor of a running server.
#![forbid(unsafe_code)]

mod connection;
mod credentials;
mod dial;
mod output;
mod postmortem;
mod process;
mod profile;
mod prompt;
mod report;
mod target;
mod terminal;
mod top;

use std::ffi::OsString;
use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use connection::{Connection, Lost, Server};
use credentials::Known;
use output::{Format, Output};
use target::Target;

/// The statement failed.
const FAILED: u8 = 1;

/// There is no server, or it went away.
const NO_SERVER: u8 = 2;

/// Attach to the backdoor of a running server.
///
/// Without -c this is an interactive console: help() lists what there is, Tab completes, Ctrl-C stops what runs,
/// Ctrl-D leaves. Exit status: 0 if all went well, 1 if a statement failed, 2 if there is no server.
///
/// Over the network it logs in. The user is in the address, in --user or in GRAPESHOT_CONSOLE_USER; the password in
/// --password-file or in GRAPESHOT_CONSOLE_PASSWORD; what is missing is asked for.
#[derive(Parser)]
#[command(name = "console", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    program: Option<Program>,

    /// Where the server's backdoor is: a socket's path, tcp://HOST:PORT (or HOST:PORT), tls://HOST:PORT.
    server: Option<OsString>,

    /// Attach to the backdoor of this process instead.
    #[arg(long, value_name = "PROCESS", conflicts_with = "server")]
    pid: Option<u32>,

    #[command(flatten)]
    login: Login,

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

    /// Take a profile of the server for so many seconds, and write it to a file here: a report for the browser.
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["command", "echo"])]
    profile: Option<f64>,

    /// Where the profile goes [default: profile.html]; the end of the name says in which form: .html, .json, .firefox.json,
    /// .folded, .off.folded (waits), .alloc.folded (allocations), .perf.
    #[arg(short, long, value_name = "FILE", requires = "profile")]
    output: Option<PathBuf>,

    /// Show at most this many rows of a table [default: 200 at the prompt, all with -c].
    #[arg(long, value_name = "ROWS")]
    rows: Option<u64>,
}

/// What is not a session. A socket with such a name is given as ./top.
#[derive(Subcommand)]
enum Program {
    /// Read the black box of a process that has ended, in whatever way, or that still runs.
    Postmortem(postmortem::Options),
    /// A live view of the server on the whole terminal: workers, coroutines, groups; `?` shows its keys.
    Top(top::Options),

    /// Make a page for the browser of a saved profile, or of what changed from one to another.
    Report(report::Options),
}

/// What attaching over a network takes.
#[derive(clap::Args)]
struct Login {
    /// Log in as this user.
    #[arg(long, value_name = "NAME", conflicts_with = "pid")]
    user: Option<String>,

    /// The password is the first line of this file, which nobody else may read.
    #[arg(long, value_name = "FILE", conflicts_with = "pid")]
    password_file: Option<PathBuf>,

    /// With tls://, the certificate (PEM) of the authority that vouches for the server [default: the system's].
    #[arg(long, value_name = "FILE", conflicts_with = "pid")]
    ca: Option<PathBuf>,
}

impl Login {
    fn at(&self, target: Target) -> Result<Server, Lost> {
        let in_address = match &target {
            Target::Network(address) => address.user.clone(),
            Target::Path(_) => None,
        };
        let user = self.user.clone().or(in_address);
        Ok(Server {
            known: Known::gather(user.as_deref(), self.password_file.as_deref())?,
            authorities: self.ca.clone(),
            target,
        })
    }
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
    match &arguments.program {
        Some(Program::Postmortem(options)) => return Ok(postmortem::run(options)),
        Some(Program::Top(options)) => return top::run(options),
        Some(Program::Report(options)) => return Ok(report::run(options)),
        None => {}
    }
    let format = if arguments.json {
        Format::Json
    } else {
        Format::Text
    };
    let mut output = Output::new(format, arguments.width);
    let target = match (&arguments.server, arguments.pid) {
        (Some(named), _) => Target::parse(named)?,
        (None, Some(pid)) => Target::Path(process::backdoor_of(pid)?),
        (None, None) => {
            return Err(Lost::new(
                "say where the server's backdoor is: `console PATH` of its socket, `console tcp://HOST:PORT`, or \
                 `console --pid N` of its process. `console --help` tells more"
                    .into(),
            ));
        }
    };
    let mut connection = Connection::open(&arguments.login.at(target)?)?;
    if let Some(seconds) = arguments.profile {
        return profile::run(
            &mut connection,
            &mut output,
            seconds,
            arguments.output.as_deref(),
        );
    }
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
