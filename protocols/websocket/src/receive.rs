//! The receiving side of a WebSocket: reads, hands out messages, and sees to what the peer's control frames ask for.

use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use grapeshot::net::Stream as _;
use grapeshot::{time, with_timeout};

use crate::draft::HixieDecoder;
use crate::error::{Error, Violation};
use crate::frame::{CloseCode, Decoder, Event, Message};
use crate::keep_alive::{KeepAlive, Silence};
use crate::socket::{Closed, Terms, WebSocket};

/// What its lock protects: whoever holds it may read.
#[derive(Debug)]
pub(crate) struct Reader {
    decoder: Incoming,
    keep_alive: KeepAlive,
}

/// The frames of the version that is spoken.
#[derive(Debug)]
enum Incoming {
    Rfc(Decoder),
    Hixie(HixieDecoder),
}

impl Reader {
    pub(crate) fn new(terms: &mut Terms, now: Instant) -> Self {
        let received = std::mem::take(&mut terms.received);
        let limits = &terms.limits;
        if terms.version.is_hixie() {
            return Self {
                decoder: Incoming::Hixie(HixieDecoder::new(terms.version, limits, received)),
                keep_alive: KeepAlive::new(None, limits.pong_wait, now),
            };
        }
        let mut decoder = Decoder::with_received(terms.role, limits, received);
        if let Some((agreed, _)) = &terms.compression {
            decoder = decoder.compressed(agreed.receive);
        }
        Self {
            decoder: Incoming::Rfc(decoder),
            keep_alive: KeepAlive::new(limits.ping_every, limits.pong_wait, now),
        }
    }
}

impl Incoming {
    fn next_event(&mut self) -> Result<Option<Event>, Violation> {
        match self {
            Incoming::Rfc(decoder) => decoder.next_event(),
            Incoming::Hixie(decoder) => decoder.next_event(),
        }
    }

    fn space(&mut self) -> &mut [u8] {
        match self {
            Incoming::Rfc(decoder) => decoder.space(),
            Incoming::Hixie(decoder) => decoder.space(),
        }
    }

    fn filled(&mut self, count: usize) {
        match self {
            Incoming::Rfc(decoder) => decoder.filled(count),
            Incoming::Hixie(decoder) => decoder.filled(count),
        }
    }

    fn is_closed(&self) -> bool {
        match self {
            Incoming::Rfc(decoder) => decoder.is_closed(),
            Incoming::Hixie(decoder) => decoder.is_closed(),
        }
    }

    /// Whether the stream may end here.
    fn ends_in_order(&self) -> bool {
        match self {
            Incoming::Rfc(_) => false,
            Incoming::Hixie(decoder) => decoder.ends_in_order(),
        }
    }
}

impl WebSocket {
    pub(crate) fn receive(&self, reader: &mut Reader) -> Result<Message, Error> {
        loop {
            match reader.decoder.next_event() {
                Ok(Some(Event::Message(message))) => {
                    self.figures.received.fetch_add(1, Ordering::Relaxed);
                    return Ok(message);
                }
                Ok(Some(Event::Ping(payload))) => {
                    self.owed().pong(payload);
                    self.settle()?;
                }
                Ok(Some(Event::Pong(payload))) => {
                    if let Some(took) = reader.keep_alive.pong(&payload, time::now()) {
                        let nanos = (took.as_nanos() as u64).max(1);
                        self.figures.round_trip.store(nanos, Ordering::Relaxed);
                    }
                }
                Ok(Some(Event::Close(frame))) => return Err(self.agree(frame)),
                Ok(None) if reader.decoder.is_closed() => return Err(self.how_closed()),
                Ok(None) => self.read(reader)?,
                Err(violation) => return Err(self.refuse(violation)),
            }
        }
    }

    /// Reads what is there, or sends a ping if nothing is for too long. One that is left by unwinding has read nothing.
    fn read(&self, reader: &mut Reader) -> Result<(), Error> {
        let Reader {
            decoder,
            keep_alive,
        } = reader;
        let listened = match keep_alive.wait(time::now) {
            None => Ok(self.stream.read(decoder.space())),
            Some(wait) => with_timeout(wait, || self.stream.read(decoder.space())),
        };
        match listened {
            Err(_) => self.probe(keep_alive),
            Ok(Ok(0)) if decoder.ends_in_order() => Err(self.agree(None)),
            Ok(Ok(0)) => Err(Error::Truncated),
            Ok(Ok(count)) => {
                decoder.filled(count);
                let now = time::now();
                keep_alive.heard(now);
                self.heard(count, now.saturating_duration_since(self.born));
                Ok(())
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Ok(Err(error)) => Err(error.into()),
        }
    }

    fn heard(&self, count: usize, age: Duration) {
        self.figures
            .bytes_received
            .fetch_add(count as u64, Ordering::Relaxed);
        self.figures
            .last_heard
            .store(age.as_nanos() as u64, Ordering::Relaxed);
    }

    /// The peer was silent for as long as it may be without a ping, or with one.
    fn probe(&self, keep_alive: &mut KeepAlive) -> Result<(), Error> {
        // Behind a long message that it is still taking: `write_wait` says whether it does.
        if self.owed().has_ping() {
            keep_alive.postpone(time::now());
            return self.settle();
        }
        match keep_alive.silent(time::now()) {
            Silence::Ping(payload) => {
                self.owed().ping(payload);
                self.settle()
            }
            Silence::GiveUp => {
                self.abort();
                Err(Error::PingTimeout)
            }
        }
    }

    /// The peer's close frame has come: answers it, unless it is itself the answer to ours.
    fn agree(&self, frame: Option<(CloseCode, String)>) -> Error {
        let (code, reason) =
            frame.map_or((None, String::new()), |(code, reason)| (Some(code), reason));
        let is_news = self.owe_close(Closed {
            code,
            reason,
            by_peer: true,
        });
        if is_news {
            // A peer that is gone already need not be told.
            let _ = self.settle();
        } else {
            self.finish_writing();
        }
        self.how_closed()
    }

    /// Tells the peer how it broke the protocol. What it still sends is read away, or the kernel would reset the
    /// connection and our close frame be lost with it.
    fn refuse(&self, violation: Violation) -> Error {
        let is_news = self.owe_close(Closed {
            code: Some(violation.close_code()),
            reason: violation.to_string(),
            by_peer: false,
        });
        if is_news && self.settle().is_ok() {
            let _ = with_timeout(self.limits.close_wait, || {
                let mut sink = [0; 4096];
                while matches!(self.stream.read(&mut sink), Ok(1..)) {}
            });
        }
        Error::Violation(violation)
    }
}
