//! What a person at a terminal and a session say to each other: keys and messages in, a screen and messages out. Performs
//! no I/O.
//!
//! ```text
//!            begin_line ▼            ▼ the session's greeting
//!   login:   Line ──Enter──▶ Line    Typing ──Enter──▶ Checking ──ready──▶ Running ──result──▶ Typing
//!                                      │ ▲ ◀──incomplete──┘
//!                                  Tab ▼ │ candidates
//!                                    Completing
//! ```
//!
//! What is typed while the session has to answer waits, but for Ctrl-C.

use std::collections::VecDeque;

use serde_json::Value;

use super::editor::{Editor, Pressed, Show};
use super::keys::{Key, Keys};
use super::telnet::{self, Event, Telnet};
use crate::protocol::{ClientMessage, ServerMessage};
use crate::render::{self, Style};

/// Rows of a table that are shown.
const ROWS: u64 = 200;

/// Keys that wait for the session.
const TYPED_AHEAD: usize = 4096;

/// An evaluation that took longer than this many seconds says how long.
const SLOW: f64 = 1.0;

/// What comes of keys and messages, besides what is shown.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// The line that was asked for.
    Line(String),
    /// For the session.
    Ask(ClientMessage),
    /// The person leaves.
    Left,
}

#[derive(Debug, Clone, PartialEq)]
enum Mode {
    /// Nobody is asked for anything yet.
    Idle,
    /// A line is asked for that is no statement.
    Line,
    Typing,
    Checking {
        id: u64,
    },
    Completing {
        id: u64,
    },
    Running {
        id: u64,
        source: String,
        is_interrupted: bool,
    },
}

/// One terminal and its session.
#[derive(Debug)]
pub(crate) struct Dialogue {
    telnet: Telnet,
    keys: Keys,
    editor: Editor,
    mode: Mode,
    typed_ahead: VecDeque<Key>,
    next_id: u64,
    /// The application's name, for the prompt.
    application: String,
    /// Rows of the result that have come so far.
    rows: Vec<Value>,
}

impl Dialogue {
    pub(crate) fn new() -> Self {
        Self {
            telnet: Telnet::new(),
            keys: Keys::new(),
            editor: Editor::new(),
            mode: Mode::Idle,
            typed_ahead: VecDeque::new(),
            next_id: 0,
            application: String::new(),
            rows: Vec::new(),
        }
    }

    /// Takes what was received; gives what is to be sent.
    pub(crate) fn feed(&mut self, bytes: &[u8], outcomes: &mut Vec<Outcome>) -> Vec<u8> {
        let mut screen = String::new();
        for byte in bytes {
            match self.telnet.feed(*byte) {
                Some(Event::Typed(byte)) => {
                    if let Some(key) = self.keys.feed(byte) {
                        self.typed_ahead.push_back(key);
                    }
                }
                Some(Event::Columns(columns)) => {
                    self.editor.set_columns(usize::from(columns), &mut screen);
                }
                Some(Event::Type(name)) => self.editor.set_color(name != "dumb"),
                None => {}
            }
        }
        self.editor.set_dumb(!self.telnet.is_ours_to_echo());
        if self.is_running() && self.typed_ahead.contains(&Key::Ctrl('c')) {
            // What was typed before it was meant for what it ends.
            self.typed_ahead.clear();
            self.interrupt(&mut screen, outcomes);
        }
        self.work(&mut screen, outcomes);
        self.typed_ahead.truncate(TYPED_AHEAD);
        self.wired(&screen)
    }

    /// Takes a message of the session's; gives what is to be sent.
    pub(crate) fn handle(
        &mut self,
        message: &ServerMessage,
        outcomes: &mut Vec<Outcome>,
    ) -> Vec<u8> {
        let mut screen = String::new();
        self.show(message, &mut screen, outcomes);
        self.work(&mut screen, outcomes);
        self.wired(&screen)
    }

    /// Asks for a line; gives what is to be sent.
    pub(crate) fn begin_line(
        &mut self,
        prompt: &str,
        show: Show,
        outcomes: &mut Vec<Outcome>,
    ) -> Vec<u8> {
        let mut screen = String::new();
        self.mode = Mode::Line;
        self.editor.begin(prompt, show, &mut screen);
        self.work(&mut screen, outcomes);
        self.wired(&screen)
    }

    fn wired(&mut self, screen: &str) -> Vec<u8> {
        let mut wire = self.telnet.take_answer();
        telnet::encode(screen, &mut wire);
        wire
    }

    /// Takes keys until the session has to answer.
    fn work(&mut self, screen: &mut String, outcomes: &mut Vec<Outcome>) {
        while matches!(self.mode, Mode::Line | Mode::Typing) {
            let Some(key) = self.typed_ahead.pop_front() else {
                return;
            };
            match self.editor.press(key, screen) {
                None => {}
                Some(Pressed::Enter) => self.entered(screen, outcomes),
                Some(Pressed::Complete) if self.mode == Mode::Line => {}
                Some(Pressed::Complete) => self.complete(outcomes),
                Some(Pressed::Interrupt) if self.mode == Mode::Line => {
                    self.leave(screen, outcomes);
                }
                Some(Pressed::Interrupt) => {
                    self.editor.give_up(screen);
                    self.note(
                        "Ctrl-D leaves; Ctrl-C stops a statement while it runs",
                        screen,
                    );
                    self.prompt(screen);
                }
                Some(Pressed::Leave) => self.leave(screen, outcomes),
            }
        }
    }

    fn leave(&mut self, screen: &mut String, outcomes: &mut Vec<Outcome>) {
        self.editor.give_up(screen);
        self.mode = Mode::Idle;
        outcomes.push(Outcome::Left);
    }

    fn entered(&mut self, screen: &mut String, outcomes: &mut Vec<Outcome>) {
        if self.mode == Mode::Line {
            self.mode = Mode::Idle;
            return outcomes.push(Outcome::Line(self.editor.accept(screen)));
        }
        let source = self.editor.text().0.to_owned();
        match source.trim().trim_end_matches("()") {
            "" => {
                self.editor.accept(screen);
                self.prompt(screen);
            }
            "exit" | "quit" => self.leave(screen, outcomes),
            _ => {
                let id = self.new_id();
                self.mode = Mode::Checking { id };
                outcomes.push(Outcome::Ask(ClientMessage::Check { id, source }));
            }
        }
    }

    fn complete(&mut self, outcomes: &mut Vec<Outcome>) {
        let id = self.new_id();
        let (line, cursor) = self.editor.text();
        outcomes.push(Outcome::Ask(ClientMessage::Complete {
            id,
            line: line.to_owned(),
            cursor,
        }));
        self.mode = Mode::Completing { id };
    }

    fn interrupt(&mut self, screen: &mut String, outcomes: &mut Vec<Outcome>) {
        let Mode::Running {
            id, is_interrupted, ..
        } = &mut self.mode
        else {
            return;
        };
        if !std::mem::replace(is_interrupted, true) {
            screen.push_str("^C\r\n");
            outcomes.push(Outcome::Ask(ClientMessage::Interrupt { id: *id }));
        }
    }

    fn is_running(&self) -> bool {
        matches!(self.mode, Mode::Running { .. })
    }

    fn show(&mut self, message: &ServerMessage, screen: &mut String, outcomes: &mut Vec<Outcome>) {
        match message {
            ServerMessage::Hello {
                application,
                pid,
                uptime,
                ..
            } => self.greet(application, *pid, *uptime, screen),
            ServerMessage::Refused { message } => {
                lines(
                    &render::error(message, None, None, "", self.style()),
                    screen,
                );
            }
            ServerMessage::Ready { id } if self.mode == (Mode::Checking { id: *id }) => {
                self.evaluate(screen, outcomes);
            }
            ServerMessage::Incomplete { id } if self.mode == (Mode::Checking { id: *id }) => {
                self.editor.go_on(screen);
                self.mode = Mode::Typing;
            }
            ServerMessage::Completions { id, start, names }
                if self.mode == (Mode::Completing { id: *id }) =>
            {
                let names: Vec<_> = names
                    .iter()
                    .map(|name| (name.text.clone(), name.label.clone()))
                    .collect();
                self.editor.complete(*start, &names, screen);
                self.mode = Mode::Typing;
            }
            _ => self.show_of_evaluation(message, screen),
        }
    }

    /// What belongs to the evaluation that runs.
    fn show_of_evaluation(&mut self, message: &ServerMessage, screen: &mut String) {
        let Mode::Running { id, source, .. } = &self.mode else {
            return;
        };
        let (id, source) = (*id, source.clone());
        match message {
            ServerMessage::Output {
                id: of,
                text,
                partial,
            } if *of == id => {
                let shown = render::value(&Value::from(text.as_str()), Style::default());
                screen.push_str(&shown.replace('\n', "\r\n"));
                if !partial {
                    screen.push_str("\r\n");
                }
            }
            ServerMessage::Rows { id: of, rows } if *of == id => {
                self.rows.extend_from_slice(rows);
            }
            ServerMessage::Result {
                id: of,
                value,
                total,
                elapsed,
            } if *of == id => {
                let rows = std::mem::take(&mut self.rows);
                let shown = match total {
                    None => render::value(value, self.style()),
                    Some(total) => render::rows(&rows, *total, self.style()),
                };
                if !shown.is_empty() {
                    lines(&shown, screen);
                }
                if *elapsed > SLOW {
                    self.note(&format!("({})", render::duration(*elapsed)), screen);
                }
                self.prompt(screen);
            }
            ServerMessage::Error {
                id: of,
                message,
                line,
                column,
                hint,
            } if *of == id => {
                let place = line.map(|line| (line, *column));
                let shown = render::error(message, place, hint.as_deref(), &source, self.style());
                lines(&shown, screen);
                self.prompt(screen);
            }
            ServerMessage::Incomplete { id: of } if *of == id => {
                let shown = "the statement is not complete";
                lines(
                    &render::error(shown, None, None, &source, self.style()),
                    screen,
                );
                self.prompt(screen);
            }
            _ => {}
        }
    }

    fn greet(&mut self, application: &str, pid: u32, uptime: f64, screen: &mut String) {
        self.application = render::printable(application);
        let greeting = format!(
            "{} (process {pid}, up {}). help() lists what there is, Tab completes, Ctrl-D leaves.",
            self.application,
            render::duration(uptime)
        );
        self.note(&greeting, screen);
        self.prompt(screen);
    }

    fn evaluate(&mut self, screen: &mut String, outcomes: &mut Vec<Outcome>) {
        let source = self.editor.accept(screen);
        self.editor.remember(&source);
        let id = self.new_id();
        outcomes.push(Outcome::Ask(ClientMessage::Eval {
            id,
            source: source.clone(),
            rows: Some(ROWS),
        }));
        self.mode = Mode::Running {
            id,
            source,
            is_interrupted: false,
        };
    }

    fn prompt(&mut self, screen: &mut String) {
        self.mode = Mode::Typing;
        self.rows.clear();
        let prompt = format!("{}> ", self.application);
        self.editor.begin(&prompt, Show::Text, screen);
    }

    fn note(&self, text: &str, screen: &mut String) {
        lines(&self.style().dim(text), screen);
    }

    fn style(&self) -> Style {
        self.editor.style()
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

/// Whole lines, as a terminal wants their ends.
fn lines(text: &str, screen: &mut String) {
    screen.push_str(&text.replace('\n', "\r\n"));
    screen.push_str("\r\n");
}

#[cfg(test)]
mod tests;
