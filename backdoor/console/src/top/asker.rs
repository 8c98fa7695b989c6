//! Asks the server on a thread of its own, so that keys are heard while an answer is awaited.

use std::fmt;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::Input;
use crate::connection::{Connection, Lost, Server};
use crate::credentials::Known;
use crate::process;
use crate::target::Target;

/// Between two tries to find a server that is gone.
const RETRY: Duration = Duration::from_secs(1);

/// Where the server is.
pub(super) enum Place {
    Server(Server),
    Process(u32),
}

impl Place {
    pub(super) fn connect(&self) -> Result<Connection, Lost> {
        match self {
            Self::Server(server) => Connection::open_quietly(server),
            Self::Process(pid) => {
                let path = process::backdoor_of(*pid)?;
                Connection::open_quietly(&Server {
                    target: Target::Path(path),
                    authorities: None,
                    known: Known::gather(None, None)?,
                })
            }
        }
    }

    /// The same while the live view has the terminal: there nobody can be asked for a password.
    fn connect_again(&self) -> Result<Connection, Lost> {
        match self {
            Self::Server(server)
                if matches!(server.target, Target::Network(_))
                    && server.known.complete().is_none() =>
            {
                Err(Lost::new("it wants a login: start again".into()))
            }
            _ => self.connect(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(server) => server.target.fmt(f),
            Self::Process(pid) => write!(f, "process {pid}"),
        }
    }
}

/// What an answer is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum About {
    Glance,
    Info(u64),
    Backtrace(u64),
    Kill,
}

/// A statement to be evaluated.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) about: About,
    pub(super) statement: String,
}

/// What comes from the server.
#[derive(Debug)]
pub(super) enum Answer {
    /// The value, or why there is none.
    Value(About, Result<Value, String>),
    /// The connection is lost. What was asked and not answered is not answered any more.
    Lost(String),
    /// There is one again, with the process of this number.
    Connected { pid: u32, application: String },
}

pub(super) struct Asker {
    questions: Sender<Question>,
}

impl Asker {
    pub(super) fn start(place: Place, connection: Connection, answers: Sender<Input>) -> Self {
        let (questions, asked) = mpsc::channel();
        thread::spawn(move || serve(&place, connection, &asked, &answers));
        Self { questions }
    }

    pub(super) fn ask(&self, question: Question) {
        // Its thread lives as long as there is somebody to answer.
        let _ = self.questions.send(question);
    }
}

/// Ends with whoever asks.
fn serve(
    place: &Place,
    mut connection: Connection,
    asked: &Receiver<Question>,
    answers: &Sender<Input>,
) {
    let say = |answer| answers.send(Input::Answer(answer)).is_ok();
    while let Ok(question) = asked.recv() {
        let lost = match connection.value_of(&question.statement) {
            Ok(value) => {
                if say(Answer::Value(question.about, value)) {
                    continue;
                }
                return;
            }
            Err(lost) => lost,
        };
        if !say(Answer::Lost(lost.to_string())) {
            return;
        }
        connection = loop {
            match asked.recv_timeout(RETRY) {
                // Asked before it was known that there is nobody.
                Ok(_) => continue,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if let Ok(found) = place.connect_again() {
                break found;
            }
        };
        let greeting = connection.greeting();
        let connected = Answer::Connected {
            pid: greeting.pid,
            application: greeting.application.clone(),
        };
        if !say(connected) {
            return;
        }
    }
}
