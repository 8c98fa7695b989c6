//! The WebSocket itself: the one place here that meets a stream.
//!
//! Reader and writer are locked apart, so one coroutine may receive while others send. Two rules keep them from
//! waiting for each other: whoever receives never waits for the writer's lock to answer a ping (it leaves the answer to
//! the coroutine that holds the lock), and a write that was left in the middle of a frame ends the connection.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as ThreadMutex, MutexGuard as ThreadGuard, PoisonError};
use std::time::{Duration, Instant};

use grapeshot::net::Shutdown;
use grapeshot::sync::Mutex;
use grapeshot::with_timeout;
use grapeshot_http::Stream;

use crate::error::{Error, Violation};
use crate::frame::{CloseCode, Decoder, Event, Message, Role};
use crate::header::{CONTROL_MAX, opcode};
use crate::limits::Limits;
use crate::write::Writer;

/// How a connection was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The code of the close frame; `None` if it had none.
    pub code: Option<CloseCode>,
    /// The reason in the close frame.
    pub reason: String,
    /// Whether the peer began it.
    pub by_peer: bool,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.by_peer {
            "by the peer"
        } else {
            "by this side"
        };
        match self.code {
            None => f.write_str(who),
            Some(code) if self.reason.is_empty() => write!(f, "{who} with {}", code.code()),
            Some(code) => write!(f, "{who} with {}: {}", code.code(), self.reason),
        }
    }
}

/// A WebSocket's figures, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Messages received.
    pub received: u64,
    /// Messages sent.
    pub sent: u64,
    /// Bytes received, headers included.
    pub bytes_received: u64,
    /// Bytes handed to the stream, headers included.
    pub bytes_sent: u64,
    /// How long ago the peer last sent anything at all (or how old the connection is).
    pub silent_for: Duration,
}

/// One end of a WebSocket. All methods take `&self`; share it by `Arc`.
///
/// A call may be bounded by `with_timeout`. Receiving may be tried again after that. A *sending* that was left in the
/// middle of a frame ends the connection: further calls give [`Error::LeftInTheMiddle`], the receiver an error.
///
/// One that is dropped without [`close`](WebSocket::close) just ends, as when its program dies: a destructor must not wait.
/// The peer tells that (as code 1006) from a close in good order.
pub struct WebSocket {
    stream: Arc<dyn Stream>,
    role: Role,
    limits: Limits,
    protocol: Option<String>,
    reader: Mutex<Decoder>,
    writer: Mutex<Writer>,
    /// The payload of the last ping that is not answered yet. Locked for moments.
    pong_due: ThreadMutex<Option<Vec<u8>>>,
    /// How the connection was closed, once one side has. Locked for moments.
    closed: ThreadMutex<Option<Closed>>,
    born: Instant,
    figures: Figures,
}

#[derive(Debug, Default)]
struct Figures {
    received: AtomicU64,
    sent: AtomicU64,
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
    /// Nanoseconds from `born` to the last read that gave something.
    last_heard: AtomicU64,
}

impl WebSocket {
    pub(crate) fn new(
        stream: Arc<dyn Stream>,
        role: Role,
        limits: Limits,
        protocol: Option<String>,
        received: Vec<u8>,
    ) -> Self {
        let decoder = Decoder::with_received(role, &limits, received);
        Self {
            stream,
            role,
            limits,
            protocol,
            reader: Mutex::new(decoder),
            writer: Mutex::new(Writer::new(role)),
            pong_due: ThreadMutex::default(),
            closed: ThreadMutex::default(),
            born: grapeshot::time::now(),
            figures: Figures::default(),
        }
    }

    /// The subprotocol that was agreed on.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Waits for the next message. Answers pings and the close handshake meanwhile. **May suspend.**
    ///
    /// # Errors
    /// `Closed` once either side has closed in good order; `Violation` if the peer broke the protocol (it has been
    /// told); `Truncated` or `Io` if the connection just ended.
    pub fn recv(&self) -> Result<Message, Error> {
        self.recv_with(&mut self.reader.lock())
    }

    /// Sends a text. **May suspend.**
    ///
    /// # Errors
    /// `Closed` after a close; `LeftInTheMiddle`, `WriteTimeout` or `Io` if the connection is at its end.
    pub fn send_text(&self, text: &str) -> Result<(), Error> {
        self.send(opcode::TEXT, text.as_bytes())
    }

    /// Sends bytes. **May suspend.**
    ///
    /// # Errors
    /// As [`send_text`](WebSocket::send_text).
    pub fn send_binary(&self, bytes: &[u8]) -> Result<(), Error> {
        self.send(opcode::BINARY, bytes)
    }

    /// Sends a ping, of 125 bytes at most. The peer's pong is seen by whoever receives, in
    /// [`Statistics::silent_for`]. **May suspend.**
    ///
    /// # Errors
    /// `Misuse` for a longer payload; else as [`send_text`](WebSocket::send_text).
    pub fn ping(&self, payload: &[u8]) -> Result<(), Error> {
        if payload.len() > CONTROL_MAX {
            return Err(Error::Misuse("a ping carries 125 bytes at most"));
        }
        self.send(opcode::PING, payload)
    }

    /// Closes in good order: says so, and waits for the peer to agree, for [`Limits::close_wait`] at most. Messages that
    /// arrive meanwhile go to whoever is receiving, or are dropped. **May suspend.**
    ///
    /// # Errors
    /// `Misuse` for a reason of more than 123 bytes; `Truncated` if the peer did not agree in time (the connection is
    /// ended nevertheless); else as [`send_text`](WebSocket::send_text).
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        if reason.len() > CONTROL_MAX - 2 {
            return Err(Error::Misuse("a close reason has 123 bytes at most"));
        }
        let closed = Closed {
            code: Some(code),
            reason: reason.to_owned(),
            by_peer: false,
        };
        let waited = self.send_close(closed).and_then(|()| {
            let agreed = || loop {
                match self.recv() {
                    Ok(_) => {}
                    Err(Error::Closed(_)) => return Ok(()),
                    Err(error) => return Err(error),
                }
            };
            with_timeout(self.limits.close_wait, agreed).unwrap_or(Err(Error::Truncated))
        });
        if waited.is_err() {
            self.abort();
        }
        waited
    }

    /// Ends the connection without ceremony; whoever receives or sends gets an error. For a peer that no longer takes
    /// what it is sent. Does not suspend.
    pub fn abort(&self) {
        // If the stream is at its end already there is nothing to do.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// The connection's figures.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let figures = &self.figures;
        let age = grapeshot::time::now().saturating_duration_since(self.born);
        Statistics {
            received: count(&figures.received),
            sent: count(&figures.sent),
            bytes_received: count(&figures.bytes_received),
            bytes_sent: count(&figures.bytes_sent),
            silent_for: age.saturating_sub(Duration::from_nanos(count(&figures.last_heard))),
        }
    }

    fn recv_with(&self, decoder: &mut Decoder) -> Result<Message, Error> {
        loop {
            match decoder.next_event() {
                Ok(Some(Event::Message(message))) => {
                    self.figures.received.fetch_add(1, Ordering::Relaxed);
                    return Ok(message);
                }
                Ok(Some(Event::Ping(payload))) => {
                    *self.pong_due() = Some(payload);
                    self.send_pong()?;
                }
                Ok(Some(Event::Pong(_))) => {}
                Ok(Some(Event::Close(frame))) => return Err(self.agree(frame)),
                Ok(None) if decoder.is_closed() => return Err(self.how_closed()),
                Ok(None) => self.read(decoder)?,
                Err(violation) => return Err(self.refuse(violation)),
            }
        }
    }

    fn read(&self, decoder: &mut Decoder) -> Result<(), Error> {
        match self.stream.read(decoder.space()) {
            Ok(0) => Err(Error::Truncated),
            Ok(count) => {
                decoder.filled(count);
                let age = grapeshot::time::now().saturating_duration_since(self.born);
                self.figures
                    .bytes_received
                    .fetch_add(count as u64, Ordering::Relaxed);
                self.figures
                    .last_heard
                    .store(age.as_nanos() as u64, Ordering::Relaxed);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The peer's close frame has come: answers it, unless it is itself the answer to ours.
    fn agree(&self, frame: Option<(CloseCode, String)>) -> Error {
        let (code, reason) =
            frame.map_or((None, String::new()), |(code, reason)| (Some(code), reason));
        // A peer that is gone already need not be told.
        let _ = self.send_close(Closed {
            code,
            reason,
            by_peer: true,
        });
        let _ = self.stream.shutdown(Shutdown::Write);
        self.how_closed()
    }

    /// Tells the peer how it broke the protocol. What it still sends is read away, or the kernel would reset the
    /// connection and our close frame be lost with it.
    fn refuse(&self, violation: Violation) -> Error {
        let code = Some(violation.close_code());
        let news = self.how_closed_so_far().is_none();
        let told = self.send_close(Closed {
            code,
            reason: violation.to_string(),
            by_peer: false,
        });
        if news && told.is_ok() && self.stream.shutdown(Shutdown::Write).is_ok() {
            let _ = with_timeout(self.limits.close_wait, || {
                let mut sink = [0; 4096];
                while matches!(self.stream.read(&mut sink), Ok(1..)) {}
            });
        }
        Error::Violation(violation)
    }

    fn how_closed_so_far(&self) -> Option<Closed> {
        self.closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn how_closed(&self) -> Error {
        self.how_closed_so_far()
            .map_or(Error::Truncated, Error::Closed)
    }

    fn send(&self, opcode: u8, payload: &[u8]) -> Result<(), Error> {
        let mut writer = self.writer.lock();
        if writer.close_sent {
            return Err(self.how_closed());
        }
        self.write_frame(&mut writer, opcode, payload)?;
        drop(writer);
        self.figures
            .sent
            .fetch_add(u64::from(opcode & 0x8 == 0), Ordering::Relaxed);
        // A ping may have come while this coroutine held the lock.
        self.send_pong()
    }

    /// Sends a close frame, unless one was sent before.
    fn send_close(&self, closed: Closed) -> Result<(), Error> {
        let mut writer = self.writer.lock();
        if writer.close_sent {
            return Ok(());
        }
        let mut payload = Vec::with_capacity(CONTROL_MAX);
        if let Some(code) = closed.code {
            payload.extend_from_slice(&code.code().to_be_bytes());
            payload.extend_from_slice(closed.reason.as_bytes());
        }
        self.closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(closed);
        writer.close_sent = true;
        self.write_frame(&mut writer, opcode::CLOSE, &payload)
    }

    /// Answers the last ping, if nobody is writing; if somebody is, that coroutine comes here when it has done. So
    /// a receiver never waits for a sender whom the peer lets wait.
    fn send_pong(&self) -> Result<(), Error> {
        while self.pong_due().is_some() {
            let Some(mut writer) = self.writer.try_lock() else {
                return Ok(());
            };
            let Some(payload) = self.pong_due().take() else {
                return Ok(());
            };
            if !writer.close_sent {
                self.write_frame(&mut writer, opcode::PONG, &payload)?;
            }
        }
        Ok(())
    }

    fn pong_due(&self) -> ThreadGuard<'_, Option<Vec<u8>>> {
        self.pong_due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_frame(&self, writer: &mut Writer, opcode: u8, payload: &[u8]) -> Result<(), Error> {
        let count = writer.write_frame(&*self.stream, self.limits.write_wait, opcode, payload)?;
        self.figures
            .bytes_sent
            .fetch_add(count as u64, Ordering::Relaxed);
        Ok(())
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("role", &self.role)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}
