//! One console: a coroutine that takes its requests, one that sends the answers, and one for each evaluation.
//!
//! ```text
//!  console-session-N ──▶ receives ──▶ spawns ──▶ console-eval-N
//!                            │                     │ output, rows, result
//!                            ▼ completions, …      ▼
//!                       ══════ bounded channel ══════ ──▶ console-writer-N ──▶ transport
//! ```
//!
//! An evaluation that prints faster than its console reads waits at the channel; a console that does not read at all
//! is given up by the writer. Neither touches another session.

use std::net::Shutdown;
use std::sync::{Arc, Mutex, PoisonError};

use grapeshot::sync::channel::{self, Receiver, Sender};
use grapeshot::{Builder, Elapsed, JoinHandle, with_timeout};
use serde_json::Value;

use crate::backdoor::Shared;
use crate::complaint::Complaint;
use crate::evaluation::{self, Request};
use crate::journal;
use crate::language::Interpreter;
use crate::limits;
use crate::pace::Pace;
use crate::protocol::{ClientMessage, EncodeError, ReceiveError, ServerMessage, VERSION};
use crate::transport::{SendError, Transport, Visitor};

/// Tells a peer why it gets no session.
pub(crate) fn refuse(transport: &dyn Transport, message: impl Into<String>) {
    let message = message.into();
    // The peer may be gone or never read; both are its own affair.
    let _ = with_timeout(limits::HELLO_TIMEOUT, || {
        transport.send(&ServerMessage::Refused { message })
    });
}

/// Waits for the greeting that opens every session; whoever says something else is told so. May suspend.
pub(crate) fn is_greeted(transport: &dyn Transport) -> bool {
    let message = match with_timeout(limits::HELLO_TIMEOUT, || transport.receive()) {
        Ok(Ok(Some(ClientMessage::Hello { version: VERSION }))) => return true,
        Ok(Ok(Some(ClientMessage::Hello { version }))) => format!(
            "this server speaks version {VERSION} of the console's protocol, you speak {version}"
        ),
        Ok(Ok(None)) => return false,
        Ok(Ok(Some(_)) | Err(_)) => {
            "this is a console's socket; use the program `console`".to_owned()
        }
        Err(_) => "no greeting came in time".to_owned(),
    };
    refuse(transport, message);
    false
}

/// Serves a console that has been greeted, and may enter, until it leaves. May suspend.
pub(crate) fn run(
    shared: &Arc<Shared>,
    transport: Arc<dyn Transport>,
    visitor: Visitor,
    number: u64,
) {
    let Some(_seat) = shared.seats.take(number, &visitor) else {
        let most = shared.seats.most();
        journal::warn(format!(
            "console session {number}: refused {visitor}: {most} are attached already"
        ));
        return refuse(
            &*transport,
            format!("{most} consoles are attached already, which is the limit; close one of them"),
        );
    };
    Session::open(shared, transport, visitor, number).serve();
}

/// What runs now in a session.
struct Running {
    id: u64,
    coroutine: JoinHandle<()>,
}

struct Session {
    number: u64,
    shared: Arc<Shared>,
    visitor: Visitor,
    transport: Arc<dyn Transport>,
    interpreter: Arc<grapeshot::sync::Mutex<Interpreter>>,
    pace: Arc<Pace>,
    /// The evaluation whose answer has not been queued yet.
    current: Arc<Mutex<Option<u64>>>,
    running: Option<Running>,
    outbox: Sender<ServerMessage>,
}

impl Session {
    fn open(
        shared: &Arc<Shared>,
        transport: Arc<dyn Transport>,
        visitor: Visitor,
        number: u64,
    ) -> Self {
        let (outbox, queued) = channel::bounded(limits::QUEUED_MESSAGES);
        let pace = Arc::new(Pace::new(shared.time_limit, number));
        let current = Arc::default();
        let printer = evaluation::printer(&outbox, &current, &pace);
        let interpreter = Interpreter::new(shared, &pace, &printer, &visitor);
        let to = Arc::clone(&transport);
        let writer = Builder::new().name(format!("console-writer-{number}"));
        drop(writer.spawn(move || send_all_of(&queued, &*to, number)));
        let hello = ServerMessage::Hello {
            version: VERSION,
            application: shared.name.clone(),
            pid: std::process::id(),
            uptime: shared.uptime().as_secs_f64(),
            session: number,
        };
        // The writer is there and the channel empty: this cannot fail yet.
        let _ = outbox.send(hello);
        Self {
            number,
            shared: Arc::clone(shared),
            visitor,
            transport,
            interpreter: Arc::new(grapeshot::sync::Mutex::new(interpreter)),
            pace,
            current,
            running: None,
            outbox,
        }
    }

    fn serve(&mut self) {
        loop {
            match self.transport.receive() {
                Ok(Some(message)) => self.handle(message),
                Ok(None) => return,
                Err(ReceiveError::Io(error)) => {
                    journal::info(format!("console session {}: {error}", self.number));
                    return;
                }
                Err(ReceiveError::Protocol(error)) => {
                    journal::warn(format!("console session {}: {error}", self.number));
                    // Queued before the transport is shut down; the writer drains its queue first.
                    self.send(ServerMessage::Refused {
                        message: error.to_string(),
                    });
                    return;
                }
            }
        }
    }

    fn handle(&mut self, message: ClientMessage) {
        match message {
            // Only what comes before a session.
            ClientMessage::Hello { .. } | ClientMessage::Login { .. } => {}
            ClientMessage::Eval { id, source, rows } => self.evaluate(Request { id, source, rows }),
            ClientMessage::Interrupt { id } => self.interrupt(id),
            ClientMessage::Check { id, source } => {
                // While something runs there is no parser to ask; the evaluation itself will tell.
                let incomplete = self
                    .interpreter
                    .try_lock()
                    .is_some_and(|session| session.is_incomplete(&source));
                self.send(if incomplete {
                    ServerMessage::Incomplete { id }
                } else {
                    ServerMessage::Ready { id }
                });
            }
            ClientMessage::Complete { id, line, cursor } => {
                let found = self
                    .interpreter
                    .try_lock()
                    .map(|session| session.complete(&line, cursor));
                let (start, names) = found.unwrap_or((cursor, Vec::new()));
                self.send(ServerMessage::Completions { id, start, names });
            }
        }
    }

    fn evaluate(&mut self, request: Request) {
        let id = request.id;
        let busy = {
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            let busy = current.is_some();
            if !busy {
                *current = Some(id);
            }
            busy
        };
        if busy {
            let complaint = Complaint::new(
                "an evaluation is still running in this session; interrupt it first",
            );
            return self.send(evaluation::error(id, complaint));
        }
        journal::info(format!(
            "console session {}: {}: {}",
            self.number,
            self.visitor,
            match self.shared.secret_in(&request.source) {
                Some(name) => for_log(&format!("(a statement that names the secret {name})")),
                None => for_log(&request.source),
            }
        ));
        self.pace.start();
        let ending = evaluation::Ending::new(id, &self.current, &self.outbox, &self.pace);
        let (interpreter, outbox) = (Arc::clone(&self.interpreter), self.outbox.clone());
        let coroutine = Builder::new()
            .name(format!("console-eval-{}", self.number))
            .stack_size(limits::STACK_SIZE)
            .spawn(move || evaluation::run(&request, &interpreter, &outbox, ending));
        self.running = Some(Running { id, coroutine });
    }

    fn interrupt(&self, id: u64) {
        let current = *self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current != Some(id) {
            return;
        }
        if let Some(running) = self.running.as_ref().filter(|running| running.id == id) {
            journal::info(format!(
                "console session {}: {}: interrupted",
                self.number, self.visitor
            ));
            self.pace.interrupt();
            // Reaches it inside a blocking call of the application.
            running.coroutine.interrupt();
        }
    }

    fn send(&self, message: ServerMessage) {
        // A writer that has given up shuts the transport down, which ends the loop that receives.
        let _ = self.outbox.send(message);
    }
}

impl Drop for Session {
    /// Also runs when the session itself is interrupted: nothing here waits.
    fn drop(&mut self) {
        self.pace.interrupt();
        if let Some(running) = &self.running {
            running.coroutine.interrupt();
        }
        self.transport.shutdown(Shutdown::Read);
        // Deeply nested values need an evaluation's stack to be dropped on.
        let interpreter = Arc::clone(&self.interpreter);
        let end = Builder::new()
            .name(format!("console-end-{}", self.number))
            .stack_size(limits::STACK_SIZE);
        drop(end.spawn(move || drop(interpreter)));
    }
}

/// Ends the session with its writer, even one that was killed: nobody would answer the console any more.
struct HangUp<'a>(&'a dyn Transport);

impl Drop for HangUp<'_> {
    fn drop(&mut self) {
        self.0.shutdown(Shutdown::Both);
    }
}

/// Sends what is queued until every sender is gone or the console takes no more.
fn send_all_of(queued: &Receiver<ServerMessage>, transport: &dyn Transport, number: u64) {
    let _hang_up = HangUp(transport);
    while let Ok(message) = queued.recv() {
        match send(&message, transport) {
            Ok(Ok(())) => {}
            Ok(Err(_)) => break,
            Err(_elapsed) => {
                journal::warn(format!(
                    "console session {number}: its console does not read; closed"
                ));
                break;
            }
        }
    }
}

/// Sends a message, or what there is to say in its place.
fn send(
    message: &ServerMessage,
    transport: &dyn Transport,
) -> Result<Result<(), SendError>, Elapsed> {
    with_timeout(limits::WRITE_TIMEOUT, || match transport.send(message) {
        Err(SendError::Encode(error)) => match instead(message, &error) {
            Some(message) => transport.send(&message),
            None => Ok(()),
        },
        sent => sent,
    })
}

/// What to say in place of a message that is too long for the protocol.
fn instead(message: &ServerMessage, error: &EncodeError) -> Option<ServerMessage> {
    let id = match message {
        ServerMessage::Result { id, .. } | ServerMessage::Rows { id, .. } => *id,
        _ => return None,
    };
    let complaint = Complaint {
        hint: Some("ask for a part of it".into()),
        ..Complaint::new(error.to_string())
    };
    Some(evaluation::error(id, complaint))
}

/// A statement as one line of the log.
pub(crate) fn for_log(source: &str) -> Value {
    const LONGEST: usize = 400;
    let mut shown: String = source.chars().take(LONGEST).collect();
    if shown.len() < source.len() {
        shown.push('…');
    }
    // JSON's quotes escape what could forge another line.
    Value::from(shown)
}
