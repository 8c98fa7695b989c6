//! One console: a coroutine that reads its requests, one that writes the answers, and one for each evaluation.
//!
//! ```text
//!  console-session-N ──▶ reads ──▶ spawns ──▶ console-eval-N
//!                            │                     │ output, rows, result
//!                            ▼ completions, …      ▼
//!                       ══════ bounded channel ══════ ──▶ console-writer-N ──▶ socket
//! ```
//!
//! An evaluation that prints faster than its console reads waits at the channel; a console that does not read at all
//! is given up by the writer. Neither touches another session.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, Mutex, PoisonError};

use grapeshot::net::UnixStream;
use grapeshot::sync::channel::{self, Receiver, Sender};
use grapeshot::{Builder, JoinHandle, with_timeout};
use serde_json::Value;

use crate::backdoor::Shared;
use crate::complaint::Complaint;
use crate::evaluation::{self, Request};
use crate::journal;
use crate::language::Interpreter;
use crate::limits;
use crate::pace::Pace;
use crate::protocol::{
    ClientMessage, Decoder, EncodeError, MAX_CLIENT_MESSAGE, MAX_SERVER_MESSAGE, ProtocolError,
    ServerMessage, VERSION, encode,
};

/// Tells a peer why it gets no session.
pub(crate) fn refuse(stream: UnixStream, message: String) {
    let Ok(frame) = encode(&ServerMessage::Refused { message }, MAX_SERVER_MESSAGE) else {
        return;
    };
    // The peer may be gone or never read; both are its own affair.
    let _ = with_timeout(limits::HELLO_TIMEOUT, || (&stream).write_all(&frame));
}

/// Serves one console until it leaves.
pub(crate) fn run(shared: &Arc<Shared>, stream: UnixStream, number: u64) {
    let stream = Arc::new(stream);
    let mut requests = Requests {
        stream: Arc::clone(&stream),
        decoder: Decoder::new(MAX_CLIENT_MESSAGE),
    };
    match with_timeout(limits::HELLO_TIMEOUT, || requests.next()) {
        Ok(Ok(Some(ClientMessage::Hello { version: VERSION }))) => {}
        Ok(Ok(Some(ClientMessage::Hello { version }))) => {
            let message = format!(
                "this server speaks version {VERSION} of the console's protocol, you speak {version}"
            );
            return refuse_shared(&stream, message);
        }
        Ok(Ok(None)) => return,
        Ok(Ok(Some(_)) | Err(_)) => {
            return refuse_shared(
                &stream,
                "this is a console's socket; use the program `console`".into(),
            );
        }
        Err(_) => return refuse_shared(&stream, "no greeting came in time".into()),
    }
    journal::info(format!("console session {number}: attached"));
    let mut session = Session::open(shared, stream, number);
    session.serve(&mut requests);
    journal::info(format!("console session {number}: left"));
}

fn refuse_shared(stream: &UnixStream, message: String) {
    if let Ok(frame) = encode(&ServerMessage::Refused { message }, MAX_SERVER_MESSAGE) {
        let _ = with_timeout(limits::HELLO_TIMEOUT, || (&*stream).write_all(&frame));
    }
}

/// The reading side.
struct Requests {
    stream: Arc<UnixStream>,
    decoder: Decoder,
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
}

impl Requests {
    /// The next message; `None` once the console has left. May suspend.
    fn next(&mut self) -> Result<Option<ClientMessage>, ReadError> {
        let mut chunk = [0; 4096];
        loop {
            if let Some(message) = self.decoder.next_message()? {
                return Ok(Some(message));
            }
            match (&*self.stream).read(&mut chunk)? {
                0 => return Ok(None),
                n => self.decoder.feed(&chunk[..n]),
            }
        }
    }
}

/// What runs now in a session.
struct Running {
    id: u64,
    coroutine: JoinHandle<()>,
}

struct Session {
    number: u64,
    stream: Arc<UnixStream>,
    interpreter: Arc<grapeshot::sync::Mutex<Interpreter>>,
    pace: Arc<Pace>,
    /// The evaluation whose answer has not been queued yet.
    current: Arc<Mutex<Option<u64>>>,
    running: Option<Running>,
    outbox: Sender<ServerMessage>,
}

impl Session {
    fn open(shared: &Arc<Shared>, stream: Arc<UnixStream>, number: u64) -> Self {
        let (outbox, queued) = channel::bounded(limits::QUEUED_MESSAGES);
        let pace = Arc::new(Pace::new(shared.time_limit, number));
        let current = Arc::default();
        let printer = evaluation::printer(&outbox, &current, &pace);
        let interpreter = Interpreter::new(shared, &pace, &printer);
        let to = Arc::clone(&stream);
        let writer = Builder::new().name(format!("console-writer-{number}"));
        drop(writer.spawn(move || write_all_of(&queued, &to, number)));
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
            stream,
            interpreter: Arc::new(grapeshot::sync::Mutex::new(interpreter)),
            pace,
            current,
            running: None,
            outbox,
        }
    }

    fn serve(&mut self, requests: &mut Requests) {
        loop {
            match requests.next() {
                Ok(Some(message)) => self.handle(message),
                Ok(None) => return,
                Err(ReadError::Io(error)) => {
                    journal::info(format!("console session {}: {error}", self.number));
                    return;
                }
                Err(ReadError::Protocol(error)) => {
                    journal::warn(format!("console session {}: {error}", self.number));
                    // Queued before the socket closes; the writer drains its queue first.
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
            ClientMessage::Hello { .. } => {}
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
            "console session {}: {}",
            self.number,
            for_log(&request.source)
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
            journal::info(format!("console session {}: interrupted", self.number));
            self.pace.interrupt();
            // Reaches it inside a blocking call of the application.
            running.coroutine.interrupt();
        }
    }

    fn send(&self, message: ServerMessage) {
        // A writer that has given up closes the socket, which ends the loop that reads.
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
        let _ = self.stream.shutdown(Shutdown::Read);
        // Deeply nested values need an evaluation's stack to be dropped on.
        let interpreter = Arc::clone(&self.interpreter);
        let end = Builder::new()
            .name(format!("console-end-{}", self.number))
            .stack_size(limits::STACK_SIZE);
        drop(end.spawn(move || drop(interpreter)));
    }
}

/// Ends the session with its writer, even one that was killed: nobody would answer the console any more.
struct HangUp<'a>(&'a UnixStream);

impl Drop for HangUp<'_> {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Writes what is queued until every sender is gone or the console takes no more.
fn write_all_of(queued: &Receiver<ServerMessage>, stream: &UnixStream, number: u64) {
    let _hang_up = HangUp(stream);
    while let Ok(message) = queued.recv() {
        let frame = match encode(&message, MAX_SERVER_MESSAGE) {
            Ok(frame) => frame,
            Err(error) => match instead(&message, &error) {
                Some(frame) => frame,
                None => continue,
            },
        };
        match with_timeout(limits::WRITE_TIMEOUT, || (&*stream).write_all(&frame)) {
            Ok(Ok(())) => {}
            Ok(Err(_)) => break,
            Err(_) => {
                journal::warn(format!(
                    "console session {number}: its console does not read; closed"
                ));
                break;
            }
        }
    }
}

/// What to say in place of a message that is too long for the protocol.
fn instead(message: &ServerMessage, error: &EncodeError) -> Option<Vec<u8>> {
    let id = match message {
        ServerMessage::Result { id, .. } | ServerMessage::Rows { id, .. } => *id,
        _ => return None,
    };
    let complaint = Complaint {
        hint: Some("ask for a part of it".into()),
        ..Complaint::new(error.to_string())
    };
    encode(&evaluation::error(id, complaint), MAX_SERVER_MESSAGE).ok()
}

/// A statement as one line of the log.
fn for_log(source: &str) -> Value {
    const LONGEST: usize = 400;
    let mut shown: String = source.chars().take(LONGEST).collect();
    if shown.len() < source.len() {
        shown.push('…');
    }
    // JSON's quotes escape what could forge another line.
    Value::from(shown)
}
