//! The WebSocket itself, and what is sent through it; `receive.rs` has the other direction. The two meet a stream, and
//! nothing else here does.
//!
//! Reader and writer are locked apart, so one coroutine may receive while others send. Three rules keep them from
//! waiting for each other and from breaking frames:
//!
//! - Whoever receives never waits for the writer's lock. It notes the control frames that are owed (`owed.rs`), and
//!   whoever has the lock sends them.
//! - A control frame that was begun is finished, whatever interrupts there are; [`Limits::write_wait`] bounds it.
//! - A message that was left in the middle of its frame ends the connection.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex as ThreadMutex, MutexGuard as ThreadGuard, PoisonError};
use std::time::{Duration, Instant};

use grapeshot::net::{Shutdown, Stream};
use grapeshot::sync::Mutex;
use grapeshot::{shield, with_timeout};

use crate::deflate::{Agreed, Compression};
use crate::draft::Version;
use crate::error::Error;
use crate::frame::{CloseCode, Message, Role};
use crate::header::{CONTROL_MAX, opcode};
use crate::limits::Limits;
use crate::owed::{Debt, Owed, close_payload};
use crate::receive::Reader;
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
    /// From the last ping that [`Limits::ping_every`] sent to its pong.
    pub round_trip: Option<Duration>,
}

/// What the handshake came to.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) role: Role,
    pub(crate) version: Version,
    pub(crate) limits: Limits,
    pub(crate) protocol: Option<String>,
    /// Bytes that came behind the handshake.
    pub(crate) received: Vec<u8>,
    /// How messages are compressed, if they are, with what this side wished.
    pub(crate) compression: Option<(Agreed, Compression)>,
}

/// One end of a WebSocket. All methods take `&self`; share it by `Arc`.
///
/// A call may be bounded by `with_timeout`. Receiving may be tried again after that: nothing is lost. A *sending* that was
/// left in the middle of a frame ends the connection: further calls give [`Error::LeftInTheMiddle`], the receiver an
/// error. A pong, ping or close frame that [`recv`](WebSocket::recv) has begun to send is not left: a timeout is late
/// then, by [`Limits::write_wait`] at most.
///
/// **Back-pressure.** Nothing is queued here, in either direction. A sender waits until the kernel has taken its message,
/// so it is held back by a slow peer; one that takes nothing at all ends it after [`Limits::write_wait`]. And nothing is
/// read but by [`recv`](WebSocket::recv), so a peer that sends faster than its messages are received is held back by TCP.
///
/// **Somebody has to receive**, or pings are not answered, a close is not noticed, and no keep-alive pings are sent. A
/// program that only sends leaves a coroutine in `recv`.
///
/// One that is dropped without [`close`](WebSocket::close) just ends, as when its program dies: a destructor must not wait.
/// The peer tells that (as code 1006) from a close in good order.
pub struct WebSocket {
    pub(crate) stream: Arc<dyn Stream>,
    role: Role,
    version: Version,
    pub(crate) limits: Limits,
    protocol: Option<String>,
    compression: Option<Agreed>,
    pub(crate) reader: Mutex<Reader>,
    writer: Mutex<Writer>,
    owed: ThreadMutex<Owed>,
    /// How the connection was closed, once one side has. Locked for moments.
    closed: ThreadMutex<Option<Closed>>,
    /// `closed` is there, or is about to be: no message follows.
    closing: AtomicBool,
    pub(crate) born: Instant,
    pub(crate) figures: Figures,
}

#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) received: AtomicU64,
    sent: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
    /// Nanoseconds from `born` to the last read that gave something.
    pub(crate) last_heard: AtomicU64,
    /// Nanoseconds; 0 is none yet.
    pub(crate) round_trip: AtomicU64,
}

impl WebSocket {
    pub(crate) fn new(stream: Arc<dyn Stream>, mut terms: Terms) -> Self {
        let born = grapeshot::time::now();
        Self {
            stream,
            role: terms.role,
            version: terms.version,
            reader: Mutex::new(Reader::new(&mut terms, born)),
            writer: Mutex::new(Writer::new(&terms)),
            compression: terms.compression.map(|(agreed, _)| agreed),
            limits: terms.limits,
            protocol: terms.protocol,
            owed: ThreadMutex::default(),
            closed: ThreadMutex::default(),
            closing: AtomicBool::new(false),
            born,
            figures: Figures::default(),
        }
    }

    /// The subprotocol that was agreed on.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// The version of the protocol, RFC 6455 unless an earlier one was allowed.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// How messages are compressed; `None` if they are not.
    #[must_use]
    pub fn compression(&self) -> Option<Agreed> {
        self.compression
    }

    /// Waits for the next message. Answers pings and the close handshake meanwhile, and pings a silent peer
    /// ([`Limits::ping_every`]). **May suspend.**
    ///
    /// # Errors
    /// `Closed` once either side has closed in good order; `Violation` if the peer broke the protocol (it has been
    /// told); `PingTimeout` if it was silent for too long; `Truncated` or `Io` if the connection just ended.
    pub fn recv(&self) -> Result<Message, Error> {
        self.receive(&mut self.reader.lock())
    }

    /// Sends a text, compressed if that was agreed on. **May suspend.**
    ///
    /// # Errors
    /// `Closed` after a close; `LeftInTheMiddle`, `WriteTimeout` or `Io` if the connection is at its end.
    pub fn send_text(&self, text: &str) -> Result<(), Error> {
        self.send(opcode::TEXT, text.as_bytes())
    }

    /// Sends bytes, compressed if that was agreed on. **May suspend.**
    ///
    /// # Errors
    /// As [`send_text`](WebSocket::send_text); `Misuse` in Hixie's versions, which have only texts.
    pub fn send_binary(&self, bytes: &[u8]) -> Result<(), Error> {
        self.send(opcode::BINARY, bytes)
    }

    /// Sends a ping, of 125 bytes at most. The peer's pong is seen by whoever receives, in
    /// [`Statistics::silent_for`]. **May suspend.**
    ///
    /// # Errors
    /// `Misuse` for a longer payload, and in Hixie's versions; else as [`send_text`](WebSocket::send_text).
    pub fn ping(&self, payload: &[u8]) -> Result<(), Error> {
        if payload.len() > CONTROL_MAX {
            return Err(Error::Misuse("a ping carries 125 bytes at most"));
        }
        self.send(opcode::PING, payload)
    }

    /// Closes in good order: says so, and waits for the peer to agree, all in [`Limits::close_wait`] at most. Messages that
    /// arrive meanwhile go to whoever is receiving, or are dropped. **May suspend.**
    ///
    /// # Errors
    /// `Misuse` for a reason of more than 123 bytes; `CloseTimeout` if the peer did not agree in time (the connection is
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
        let agree = || {
            self.send_close(closed)?;
            loop {
                match self.recv() {
                    Ok(_) => {}
                    Err(Error::Closed(_)) => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        };
        let waited =
            with_timeout(self.limits.close_wait, agree).unwrap_or(Err(Error::CloseTimeout));
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
            round_trip: match count(&figures.round_trip) {
                0 => None,
                nanos => Some(Duration::from_nanos(nanos)),
            },
        }
    }

    fn how_closed_so_far(&self) -> Option<Closed> {
        self.closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn how_closed(&self) -> Error {
        self.how_closed_so_far()
            .map_or(Error::Truncated, Error::Closed)
    }

    /// Notes how the connection is closed. False if it was before.
    fn note_closed(&self, closed: Closed) -> bool {
        self.closing.store(true, Ordering::Relaxed);
        let mut noted = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = noted.is_none();
        noted.get_or_insert(closed);
        is_first
    }

    fn send(&self, opcode: u8, payload: &[u8]) -> Result<(), Error> {
        let mut writer = self.writer.lock();
        if writer.close_sent || self.closing.load(Ordering::Relaxed) {
            drop(writer);
            self.settle()?;
            return Err(self.how_closed());
        }
        if opcode & 0x8 == 0 {
            let wait = self.limits.write_wait;
            let count = writer.write_message(&*self.stream, wait, opcode, payload)?;
            self.count_sent(count);
            self.figures.sent.fetch_add(1, Ordering::Relaxed);
        } else {
            self.write_control(&mut writer, opcode, payload)?;
        }
        drop(writer);
        // A ping may have come while this coroutine held the lock.
        self.settle()
    }

    /// Sends a close frame, unless one was sent before.
    fn send_close(&self, closed: Closed) -> Result<(), Error> {
        let mut writer = self.writer.lock();
        if writer.close_sent {
            return Ok(());
        }
        let payload = close_payload(closed.code, &closed.reason);
        if self.note_closed(closed) {
            writer.close_sent = true;
            self.write_control(&mut writer, opcode::CLOSE, &payload)?;
            if self.version == Version::Hixie75 {
                // There is no other way to say it.
                self.stream.shutdown(Shutdown::Write)?;
            }
            return Ok(());
        }
        drop(writer);
        self.settle()
    }

    /// Notes how the connection is closed and leaves the close frame to whoever may write: this coroutine, if nobody
    /// does. False if it was closed before.
    pub(crate) fn owe_close(&self, closed: Closed) -> bool {
        let payload = close_payload(closed.code, &closed.reason);
        let is_first = self.note_closed(closed);
        if is_first {
            self.owed().close(payload);
        }
        is_first
    }

    /// Sends the control frames that are owed, if nobody is writing; if somebody is, that coroutine comes here when it
    /// has done. So a receiver never waits for a sender whom the peer lets wait.
    pub(crate) fn settle(&self) -> Result<(), Error> {
        while !self.owed().is_empty() {
            let Some(mut writer) = self.writer.try_lock() else {
                return Ok(());
            };
            let Some(debt) = self.owed().take() else {
                return Ok(());
            };
            if writer.close_sent {
                continue;
            }
            // Left in the middle, it would take a connection with it of which nobody asked that it end.
            shield(|| match &debt {
                Debt::Pong(payload) => self.write_control(&mut writer, opcode::PONG, payload),
                Debt::Ping(payload) => self.write_control(&mut writer, opcode::PING, payload),
                Debt::Close(payload) => {
                    writer.close_sent = true;
                    let written = self.write_control(&mut writer, opcode::CLOSE, payload);
                    // Nothing of ours follows. A stream that cannot say so ends when it is dropped.
                    let _ = self.stream.shutdown(Shutdown::Write);
                    written
                }
            })?;
        }
        Ok(())
    }

    /// Says that nothing follows our close frame, unless it is still being written: then the stream's end says so.
    pub(crate) fn finish_writing(&self) {
        if self
            .writer
            .try_lock()
            .is_some_and(|writer| writer.close_sent)
        {
            // A stream that cannot say so ends when it is dropped.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }

    pub(crate) fn owed(&self) -> ThreadGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_control(&self, writer: &mut Writer, opcode: u8, payload: &[u8]) -> Result<(), Error> {
        let wait = self.limits.write_wait;
        let count = writer.write_control(&*self.stream, wait, opcode, payload)?;
        self.count_sent(count);
        Ok(())
    }

    fn count_sent(&self, bytes: usize) {
        self.figures
            .bytes_sent
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("role", &self.role)
            .field("version", &self.version)
            .field("protocol", &self.protocol)
            .field("compression", &self.compression)
            .finish_non_exhaustive()
    }
}
