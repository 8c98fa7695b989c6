//! The session with the server: a thread reads its messages, the main thread asks and waits.

use std::fmt;
use std::io::{self, Write};
use std::net::Shutdown;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use grapeshot::net::Stream;
use grapeshot_backdoor::login::{Challenge, NONCE};
use grapeshot_backdoor::protocol::{
    ClientMessage, Completion, Decoder, MAX_CLIENT_MESSAGE, MAX_SERVER_MESSAGE, ReceiveError,
    ServerMessage, VERSION, encode,
};
use grapeshot_backdoor::render;
use serde_json::Value;
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

use crate::credentials::{Credentials, Known};
use crate::dial::dial;
use crate::output::Output;
use crate::target::Target;
use crate::terminal;

/// How long the server may take to greet, and to answer a login.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked while somebody types must not hang, for Ctrl-C is only a key then: rather no candidates than late ones.
const TYPING_PATIENCE: Duration = Duration::from_secs(1);

/// How long a server may take to stop a statement before the person is told what else there is.
const STOPPING_PATIENCE: Duration = Duration::from_secs(2);

/// Why there is no session, in words for the person who wanted one.
#[derive(Debug)]
pub(crate) struct Lost(String);

impl Lost {
    pub(crate) fn new(message: String) -> Self {
        Self(message)
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

enum Event {
    Message(ServerMessage),
    /// The stream has ended; why, in words for the person.
    Closed(Lost),
    /// Ctrl-C.
    Interrupt,
}

/// How an evaluation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Well,
    Badly,
}

impl Ended {
    pub(crate) fn is_good(self) -> bool {
        self == Self::Well
    }
}

pub(crate) struct Connection {
    stream: Arc<dyn Stream>,
    events: Receiver<Event>,
    next_id: u64,
    greeting: Greeting,
    at_prompt: Arc<AtomicBool>,
}

/// A backdoor, and all that attaching to it takes.
pub(crate) struct Server {
    pub(crate) target: Target,
    /// Who signed its certificate, unless the platform knows.
    pub(crate) authorities: Option<PathBuf>,
    pub(crate) known: Known,
}

/// What the server said about itself.
pub(crate) struct Greeting {
    pub(crate) application: String,
    pub(crate) pid: u32,
    pub(crate) uptime: f64,
}

impl Connection {
    /// Connects, logs in where that is wanted, and exchanges greetings.
    pub(crate) fn open(server: &Server) -> Result<Self, Lost> {
        let (connection, events) = Self::attach(server)?;
        forward_interrupts(events);
        Ok(connection)
    }

    /// The same, for somebody who takes Ctrl-C as a key.
    pub(crate) fn open_quietly(server: &Server) -> Result<Self, Lost> {
        Ok(Self::attach(server)?.0)
    }

    fn attach(server: &Server) -> Result<(Self, Sender<Event>), Lost> {
        let mut credentials = server.known.complete();
        loop {
            let (mut connection, events) = Self::connect(server)?;
            let Some(challenge) = connection.greet()? else {
                return Ok((connection, events));
            };
            if let Some(credentials) = &credentials {
                connection.log_in(&challenge, credentials)?;
                return Ok((connection, events));
            }
            // Nobody should have to type against the clock: there is another challenge for him then.
            let _ = connection.stream.shutdown(Shutdown::Both);
            credentials = Some(server.known.ask(&server.target.to_string())?);
        }
    }

    fn connect(server: &Server) -> Result<(Self, Sender<Event>), Lost> {
        let stream = dial(&server.target, server.authorities.as_deref())?;
        let (sender, events) = mpsc::channel();
        let at_prompt = Arc::new(AtomicBool::new(false));
        let (reader, to, flag) = (Arc::clone(&stream), sender.clone(), Arc::clone(&at_prompt));
        thread::spawn(move || read_all(&*reader, &to, &flag));
        let greeting = Greeting {
            application: String::new(),
            pid: 0,
            uptime: 0.0,
        };
        let connection = Self {
            stream,
            events,
            next_id: 1,
            greeting,
            at_prompt,
        };
        Ok((connection, sender))
    }

    pub(crate) fn application(&self) -> &str {
        &self.greeting.application
    }

    pub(crate) fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// From now on nobody waits for messages: if the server goes away, the thread that reads ends the program.
    pub(crate) fn begin_prompt(&self) -> Result<(), Lost> {
        self.at_prompt.store(true, Ordering::SeqCst);
        self.forget_events()
    }

    pub(crate) fn end_prompt(&self) {
        self.at_prompt.store(false, Ordering::SeqCst);
    }

    /// Drops what came while nobody waited: late answers, and a Ctrl-C that was not meant for what follows.
    fn forget_events(&self) -> Result<(), Lost> {
        loop {
            match self.events.try_recv() {
                Ok(Event::Closed(why)) => return Err(why),
                Ok(_) => {}
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(gone(None)),
            }
        }
    }

    /// Exchanges greetings; what is wanted, if the server wants a login first.
    fn greet(&mut self) -> Result<Option<Challenge>, Lost> {
        // A server that refuses closes at once; what it said is still there to be read.
        let sent = self.send(&ClientMessage::Hello { version: VERSION });
        match self.next_message()? {
            Some(ServerMessage::Challenge {
                nonce,
                salt,
                rounds,
            }) => Challenge::of(&nonce, &salt, rounds).map(Some).ok_or_else(|| {
                Lost("the server asks for a login in a way that would give the password away; it may be another".into())
            }),
            Some(message) => {
                self.take_greeting(message)?;
                sent.map(|()| None)
            }
            None => Err(Lost(
                "something took the connection but does not greet. If it is your server, its process may be stopped, or \
                 the machine has no processor time for it: nothing that runs in the server holds this up"
                    .into(),
            )),
        }
    }

    /// Answers a challenge, and sees that the server knows the password as well.
    fn log_in(&mut self, challenge: &Challenge, credentials: &Credentials) -> Result<(), Lost> {
        let mut nonce = [0; NONCE];
        grapeshot::random::fill(&mut nonce)
            .map_err(|error| Lost(format!("the system has no randomness for a login: {error}")))?;
        let (login, expected) = challenge.answer(&credentials.user, &credentials.password, nonce);
        let sent = self.send(&login);
        match self.next_message()? {
            Some(ServerMessage::Welcome { proof }) if expected.is_met(&proof) => {}
            Some(ServerMessage::Welcome { .. }) => {
                return Err(Lost(
                    "what answers there does not know your password: it is not the server that it seems to be. Find out who \
                     listens there before you type it again"
                        .into(),
                ));
            }
            Some(_) => return Err(stranger()),
            None => return Err(Lost("the server does not answer the login".into())),
        }
        sent?;
        match self.next_message()? {
            Some(message) => self.take_greeting(message),
            None => Err(Lost("the server took the login but does not greet".into())),
        }
    }

    fn next_message(&mut self) -> Result<Option<ServerMessage>, Lost> {
        match self.next(PATIENCE)? {
            Some(Event::Message(message)) => Ok(Some(message)),
            Some(Event::Interrupt) => Err(Lost("interrupted".into())),
            Some(Event::Closed(why)) => Err(why),
            None => Ok(None),
        }
    }

    fn take_greeting(&mut self, message: ServerMessage) -> Result<(), Lost> {
        let ServerMessage::Hello {
            application,
            pid,
            uptime,
            ..
        } = message
        else {
            return Err(stranger());
        };
        self.greeting = Greeting {
            application,
            pid,
            uptime,
        };
        Ok(())
    }

    /// Evaluates a statement and shows what comes of it. Ctrl-C interrupts it; another one leaves.
    pub(crate) fn evaluate(
        &mut self,
        source: &str,
        rows: Option<u64>,
        output: &mut Output,
    ) -> Result<Ended, Lost> {
        self.forget_events()?;
        let id = self.new_id();
        self.send(&ClientMessage::Eval {
            id,
            source: source.to_owned(),
            rows,
        })?;
        let (mut interrupted, mut told) = (false, false);
        loop {
            let patience = if interrupted && !told {
                STOPPING_PATIENCE
            } else {
                Duration::MAX
            };
            let event = match self.events.recv_timeout(patience) {
                Ok(event) => event,
                Err(RecvTimeoutError::Disconnected) => return Err(gone(None)),
                Err(RecvTimeoutError::Timeout) => {
                    told = true;
                    output.note("it has not stopped yet; Ctrl-C again leaves the server to itself");
                    continue;
                }
            };
            match event {
                Event::Interrupt if interrupted => {
                    return Err(Lost(
                        "left; the server may still be busy with the statement".into(),
                    ));
                }
                Event::Interrupt => {
                    interrupted = true;
                    self.send(&ClientMessage::Interrupt { id })?;
                }
                Event::Closed(why) => return Err(why),
                Event::Message(message) => {
                    if let Some(ended) = handle(message, id, source, output)? {
                        return Ok(ended);
                    }
                }
            }
        }
    }

    /// Evaluates a statement for its value, with an array's elements in it; the inner error says why it failed.
    pub(crate) fn value_of(&mut self, source: &str) -> Result<Result<Value, String>, Lost> {
        self.forget_events()?;
        let id = self.new_id();
        self.send(&ClientMessage::Eval {
            id,
            source: source.to_owned(),
            rows: None,
        })?;
        let mut elements = Vec::new();
        loop {
            let message = match self.events.recv().map_err(|_| gone(None))? {
                Event::Closed(why) => return Err(why),
                Event::Interrupt => continue,
                Event::Message(message) => message,
            };
            match message {
                ServerMessage::Rows { id: of, rows } if of == id => elements.extend(rows),
                ServerMessage::Result {
                    id: of,
                    value,
                    total,
                    ..
                } if of == id => {
                    let value = total.map_or(value, |_| Value::Array(elements));
                    return Ok(Ok(render::plain(value)));
                }
                ServerMessage::Error {
                    id: of, message, ..
                } if of == id => return Ok(Err(message)),
                ServerMessage::Refused { message } => return Err(Lost(message)),
                _ => {}
            }
        }
    }

    /// Whether the statement goes on in the next line.
    pub(crate) fn is_incomplete(&mut self, source: &str) -> bool {
        let id = self.new_id();
        let asked = self.send(&ClientMessage::Check {
            id,
            source: source.to_owned(),
        });
        asked.is_ok()
            && self.answer(TYPING_PATIENCE, |message| match message {
                ServerMessage::Incomplete { id: of } if of == id => Some(true),
                ServerMessage::Ready { id: of } if of == id => Some(false),
                _ => None,
            }) == Some(true)
    }

    /// What could stand at the cursor, and where the word there begins.
    pub(crate) fn complete(&mut self, line: &str, cursor: usize) -> (usize, Vec<Completion>) {
        let id = self.new_id();
        let asked = self.send(&ClientMessage::Complete {
            id,
            line: line.to_owned(),
            cursor,
        });
        let answer = asked.ok().and_then(|()| {
            self.answer(TYPING_PATIENCE, |message| match message {
                ServerMessage::Completions {
                    id: of,
                    start,
                    names,
                } if of == id => Some((start, names)),
                _ => None,
            })
        });
        // A start that is not in the line would make the editor panic.
        answer
            .filter(|(start, _)| *start <= cursor && line.is_char_boundary(*start))
            .unwrap_or((cursor, Vec::new()))
    }

    /// The first message that `pick` takes; late answers to earlier questions are dropped.
    fn answer<T>(
        &mut self,
        patience: Duration,
        pick: impl Fn(ServerMessage) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + patience;
        loop {
            match self.next(deadline.saturating_duration_since(Instant::now())) {
                Ok(Some(Event::Message(message))) => {
                    if let Some(answer) = pick(message) {
                        return Some(answer);
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return None,
            }
        }
    }

    fn next(&mut self, patience: Duration) -> Result<Option<Event>, Lost> {
        match self.events.recv_timeout(patience) {
            Ok(Event::Closed(why)) => Err(why),
            Ok(Event::Message(ServerMessage::Refused { message })) => Err(Lost(message)),
            Ok(event) => Ok(Some(event)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(gone(None)),
        }
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn send(&mut self, message: &ClientMessage) -> Result<(), Lost> {
        let frame = encode(message, MAX_CLIENT_MESSAGE)
            .map_err(|error| Lost(format!("cannot be sent: {error}")))?;
        (&*self.stream).write_all(&frame).map_err(|_| gone(None))
    }
}

/// Shows what belongs to the evaluation `id`; tells when that has ended.
fn handle(
    message: ServerMessage,
    id: u64,
    source: &str,
    output: &mut Output,
) -> Result<Option<Ended>, Lost> {
    match message {
        ServerMessage::Output {
            id: of,
            text,
            partial,
        } if of == id => output.printed(&text, partial),
        ServerMessage::Rows { id: of, rows } if of == id => output.rows(rows),
        ServerMessage::Result {
            id: of,
            value,
            total,
            elapsed,
        } if of == id => {
            output.result(value, total, elapsed);
            return Ok(Some(Ended::Well));
        }
        ServerMessage::Error {
            id: of,
            message,
            line,
            column,
            hint,
        } if of == id => {
            output.error(
                &message,
                line.map(|line| (line, column)),
                hint.as_deref(),
                source,
            );
            return Ok(Some(Ended::Badly));
        }
        ServerMessage::Incomplete { id: of } if of == id => {
            output.error("the statement is not complete", None, None, source);
            return Ok(Some(Ended::Badly));
        }
        ServerMessage::Refused { message } => return Err(Lost(message)),
        _ => {}
    }
    Ok(None)
}

fn read_all(stream: &dyn Stream, events: &Sender<Event>, at_prompt: &AtomicBool) {
    let mut decoder = Decoder::new(MAX_SERVER_MESSAGE);
    let mut greeted = false;
    let why = loop {
        match decoder.receive(stream) {
            Ok(Some(message)) => {
                greeted = true;
                if events.send(Event::Message(message)).is_err() {
                    return;
                }
            }
            Ok(None) => break gone(None),
            Err(ReceiveError::Protocol(_)) if !greeted => break stranger(),
            Err(ReceiveError::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                break gone(None);
            }
            Err(error) => break gone(Some(error.to_string())),
        }
    };
    // In this order, and the other way round in `begin_prompt`: one of the two sides notices.
    let message = why.to_string();
    let _ = events.send(Event::Closed(why));
    if at_prompt.load(Ordering::SeqCst) {
        terminal::leave(&message);
    }
}

/// Ctrl-C while an evaluation runs. At the prompt the editor reads it as a key.
fn forward_interrupts(events: Sender<Event>) {
    let Ok(mut signals) = Signals::new([SIGINT]) else {
        return;
    };
    thread::spawn(move || {
        for _ in &mut signals {
            if events.send(Event::Interrupt).is_err() {
                return;
            }
        }
    });
}

fn stranger() -> Lost {
    Lost(
        "what answers there is not a backdoor of this version. (TLS wants tls:// before the address, telnet the program telnet)"
            .into(),
    )
}

fn gone(reason: Option<String>) -> Lost {
    match reason {
        None => Lost("the server has closed the connection; it may have ended".into()),
        Some(reason) => Lost(format!("the connection to the server is lost: {reason}")),
    }
}

/// A connection that the editor's callbacks and the main loop take turns with.
pub(crate) type Turns = Arc<Mutex<Connection>>;

pub(crate) fn lock(turns: &Turns) -> std::sync::MutexGuard<'_, Connection> {
    turns.lock().unwrap_or_else(PoisonError::into_inner)
}
