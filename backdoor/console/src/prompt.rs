//! The interactive console: line editing, history, completion.

use std::borrow::Cow;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use grapeshot_backdoor::render::{self, Style};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use crate::connection::{Connection, Lost, Turns, lock};
use crate::output::Output;
use crate::terminal;

/// Rows that are shown at the prompt unless asked for more.
const ROWS: u64 = 200;

/// Statements that are remembered.
const HISTORY: usize = 5000;

type Line = Editor<Assistant, DefaultHistory>;

/// Reads and evaluates statements until Ctrl-D.
pub(crate) fn run(
    connection: Connection,
    mut output: Output,
    rows: Option<u64>,
) -> Result<ExitCode, Lost> {
    terminal::remember();
    output.show_timing();
    greet(&connection, &output);
    let prompt = format!("{}> ", render::printable(connection.application()));
    let turns: Turns = Arc::new(Mutex::new(connection));
    let mut line = match editor(&turns, output.style()) {
        Ok(line) => line,
        Err(error) => return Err(lost_terminal(&error)),
    };
    let mut history = History::load(&mut line, &output);
    loop {
        lock(&turns).begin_prompt()?;
        let typed = line.readline(&prompt);
        lock(&turns).end_prompt();
        let statement = match typed {
            Ok(statement) => statement,
            Err(ReadlineError::Eof) => return Ok(ExitCode::SUCCESS),
            Err(ReadlineError::Interrupted) => {
                output.note("Ctrl-D leaves; Ctrl-C stops a statement while it runs");
                continue;
            }
            Err(error) => return Err(lost_terminal(&error)),
        };
        if statement.trim().is_empty() {
            continue;
        }
        history.add(&mut line, &statement, &output);
        if matches!(statement.trim().trim_end_matches("()"), "exit" | "quit") {
            return Ok(ExitCode::SUCCESS);
        }
        lock(&turns).evaluate(&statement, rows.or(Some(ROWS)), &mut output)?;
    }
}

fn greet(connection: &Connection, output: &Output) {
    let greeting = connection.greeting();
    output.note(&format!(
        "{} (process {}, up {}). help() lists what there is, Tab completes, Ctrl-D leaves.",
        render::printable(&greeting.application),
        greeting.pid,
        render::duration(greeting.uptime)
    ));
}

fn lost_terminal(error: &ReadlineError) -> Lost {
    Lost::new(format!("cannot read from the terminal: {error}"))
}

fn editor(turns: &Turns, style: Style) -> rustyline::Result<Line> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .completion_prompt_limit(200)
        .max_history_size(HISTORY)?
        .history_ignore_dups(true)?
        .build();
    let mut line = Editor::with_config(config)?;
    line.set_helper(Some(Assistant {
        turns: Arc::clone(turns),
        style,
    }));
    Ok(line)
}

/// Where earlier statements are kept. That they cannot be kept is a pity and no more.
struct History {
    path: Option<PathBuf>,
}

impl History {
    fn load(line: &mut Line, output: &Output) -> Self {
        let path = state_folder().map(|folder| folder.join("history"));
        let mut history = Self { path };
        if let Some(path) = history.path.clone() {
            match path.parent().map(|folder| {
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(folder)
            }) {
                Some(Err(error)) => history.give_up(&error.to_string(), output),
                // A history that does not exist yet is no error.
                _ if path.exists() => {
                    if let Err(error) = line.load_history(&path) {
                        history.give_up(&error.to_string(), output);
                    }
                }
                _ => {}
            }
        }
        history
    }

    fn add(&mut self, line: &mut Line, statement: &str, output: &Output) {
        let added = line.add_history_entry(statement).unwrap_or(false);
        if let Some(path) = self.path.clone().filter(|_| added)
            && let Err(error) = line.append_history(&path)
        {
            self.give_up(&error.to_string(), output);
        }
    }

    fn give_up(&mut self, error: &str, output: &Output) {
        if let Some(path) = self.path.take() {
            output.note(&format!(
                "statements are not remembered: {}: {error}",
                path.display()
            ));
        }
    }
}

fn state_folder() -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let state =
        set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("grapeshot"))
}

/// What the line editor asks while somebody types: the server knows the language.
struct Assistant {
    turns: Turns,
    style: Style,
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        cursor: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, names) = lock(&self.turns).complete(line, cursor);
        let pair = |name: grapeshot_backdoor::protocol::Completion| Pair {
            display: render::printable(&name.label),
            replacement: name.text,
        };
        Ok((start, names.into_iter().map(pair).collect()))
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let source = context.input();
        if source.trim().is_empty() || !lock(&self.turns).is_incomplete(source) {
            return Ok(ValidationResult::Valid(None));
        }
        Ok(ValidationResult::Incomplete)
    }
}

impl Highlighter for Assistant {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        prompt: &'p str,
        _default: bool,
    ) -> Cow<'b, str> {
        Cow::Owned(self.style.bold(prompt))
    }
}

impl Hinter for Assistant {
    type Hint = String;
}

impl Helper for Assistant {}
