//! The content of an answer, as it is on the wire: framing is taken off, compression is not.

use std::io::{self, Read};

use super::error::{ErrorKind, Fault, Phase};
use super::head::{Framing, Headers};
use super::lease::Lease;
use super::limits::Watch;
use super::{Progress, Report};
use crate::body::{Decoder, Step};

/// Reads content from a connection, and gives the connection back at the content's end.
pub(super) struct Content {
    /// `None` once the content is read, or cannot be any more.
    lease: Option<Lease>,
    decoder: Ending,
    keep_alive: bool,
    watch: Watch,
    state: State,
    received: u64,
    total: Option<u64>,
    progress: Option<Report>,
    trailers: Headers,
    /// Why the last read through `Read` failed; decoders keep no more of it than that it did.
    why: Option<ErrorKind>,
}

enum Ending {
    Framed(Decoder),
    WithTheConnection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// A read is under way; found so at the next one, it was left in the middle.
    Midway,
    Ended,
    Failed,
}

/// What one look at the received bytes gave.
enum Look {
    Took(usize),
    Ended,
    NeedMore,
}

impl Content {
    pub(super) fn new(
        mut lease: Lease,
        framing: Framing,
        keep_alive: bool,
        watch: Watch,
        progress: Option<Report>,
    ) -> Self {
        let limits = &lease.connection().limits;
        let (decoder, total) = match framing {
            Framing::Length(length) => {
                let framing = crate::head::Framing::Length(length);
                (Ending::Framed(Decoder::new(framing, limits)), Some(length))
            }
            Framing::Chunked => {
                let framing = crate::head::Framing::Chunked;
                (Ending::Framed(Decoder::new(framing, limits)), None)
            }
            Framing::UntilClose => (Ending::WithTheConnection, None),
        };
        let mut content = Self {
            lease: Some(lease),
            decoder,
            keep_alive,
            watch,
            state: State::Reading,
            received: 0,
            total,
            progress,
            trailers: Headers::default(),
            why: None,
        };
        if total == Some(0) {
            content.end();
        }
        content
    }

    /// The content of an answer after which the connection speaks another protocol.
    pub(super) fn of_nothing(lease: Lease, watch: Watch) -> Self {
        lease.take();
        Self {
            lease: None,
            decoder: Ending::WithTheConnection,
            keep_alive: false,
            watch,
            state: State::Ended,
            received: 0,
            total: None,
            progress: None,
            trailers: Headers::default(),
            why: None,
        }
    }

    /// Bytes of content so far.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    pub(super) fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    pub(super) fn trailers(&self) -> &Headers {
        &self.trailers
    }

    /// Reads content; 0 at its end. **May suspend.**
    pub(super) fn take(&mut self, out: &mut [u8]) -> Result<usize, ErrorKind> {
        match self.state {
            State::Ended => return Ok(0),
            State::Midway | State::Failed => {
                self.lease = None;
                return Err(ErrorKind::LeftInTheMiddle);
            }
            State::Reading if out.is_empty() => return Ok(0),
            State::Reading => self.state = State::Midway,
        }
        match self.take_some(out) {
            Ok(count) => {
                if self.state == State::Midway {
                    self.state = State::Reading;
                }
                self.received += count as u64;
                if count > 0 {
                    self.tell();
                    self.look_ahead();
                }
                Ok(count)
            }
            Err(kind) => {
                self.state = State::Failed;
                if let (ErrorKind::Timeout(phase, _), Some(lease)) = (&kind, &self.lease) {
                    lease.pool().counters.count_timeout(*phase);
                }
                self.lease = None;
                Err(kind)
            }
        }
    }

    fn take_some(&mut self, out: &mut [u8]) -> Result<usize, ErrorKind> {
        loop {
            match self.look(out)? {
                Look::Took(count) => return Ok(count),
                Look::Ended => {
                    self.end();
                    return Ok(0);
                }
                Look::NeedMore => {}
            }
            let Some(lease) = &mut self.lease else {
                return Err(ErrorKind::LeftInTheMiddle);
            };
            let connection = lease.connection();
            let run = match &self.decoder {
                Ending::Framed(decoder) => usize::try_from(decoder.run()).unwrap_or(usize::MAX),
                Ending::WithTheConnection => usize::MAX,
            };
            let straight = run.min(out.len());
            let wait = self.watch.deadline(Phase::Content);
            // Long content goes straight to where the reader wants it.
            let is_straight = straight >= connection.window() && connection.received().is_empty();
            let count = wait
                .bound(|| {
                    if is_straight {
                        connection.receive_into(&mut out[..straight])
                    } else {
                        connection.receive()
                    }
                })?
                .map_err(|error| ErrorKind::Io(Phase::Content, error))?;
            match &mut self.decoder {
                Ending::WithTheConnection if count == 0 => {
                    self.end();
                    return Ok(0);
                }
                Ending::Framed(_) if count == 0 => return Err(ErrorKind::Truncated),
                Ending::Framed(decoder) if is_straight => decoder.take(count),
                _ => {}
            }
            if is_straight {
                return Ok(count);
            }
        }
    }

    /// Takes what was received already. Does not suspend.
    fn look(&mut self, out: &mut [u8]) -> Result<Look, ErrorKind> {
        let Some(lease) = &mut self.lease else {
            return Err(ErrorKind::LeftInTheMiddle);
        };
        let connection = lease.connection();
        let received = connection.received();
        let (skip, available) = match &mut self.decoder {
            Ending::WithTheConnection if received.is_empty() => return Ok(Look::NeedMore),
            Ending::WithTheConnection => (0, received.len()),
            Ending::Framed(decoder) => match decoder.advance(received)? {
                Step::Done { skip } => {
                    connection.consume(skip);
                    return Ok(Look::Ended);
                }
                Step::NeedMore => {
                    let all = received.len();
                    connection.consume(all);
                    return Ok(Look::NeedMore);
                }
                Step::Data { skip, available } => (skip, available),
            },
        };
        let count = available.min(out.len());
        out[..count].copy_from_slice(&received[skip..skip + count]);
        connection.consume(skip + count);
        if let Ending::Framed(decoder) = &mut self.decoder {
            decoder.take(count);
        }
        Ok(Look::Took(count))
    }

    /// Steps over framing that was received behind the content, so that who has read the last byte need not ask for the
    /// end. Does not suspend.
    fn look_ahead(&mut self) {
        let (Ending::Framed(decoder), Some(lease)) = (&mut self.decoder, &mut self.lease) else {
            return;
        };
        if decoder.run() > 0 {
            return;
        }
        let connection = lease.connection();
        match decoder.advance(connection.received()) {
            Ok(Step::Done { skip }) => {
                connection.consume(skip);
                self.end();
            }
            Ok(Step::NeedMore) => {
                let all = connection.received().len();
                connection.consume(all);
            }
            Ok(Step::Data { skip, .. }) => connection.consume(skip),
            // The next read would find it too, but the decoder must not be used again.
            Err(_) => {
                self.state = State::Failed;
                self.lease = None;
            }
        }
    }

    /// Reads the rest away if it is no longer than `budget`, so that the connection can be used again. **May suspend.**
    pub(super) fn drain(&mut self, mut budget: u64) {
        let too_long = match &self.decoder {
            Ending::Framed(decoder) => decoder.left().is_some_and(|left| left > budget),
            Ending::WithTheConnection => true,
        };
        let mut sink = [0; 4096];
        if too_long {
            self.lease = None;
            return;
        }
        while let Ok(count) = self.take(&mut sink) {
            match budget.checked_sub(count as u64) {
                Some(left) if count > 0 => budget = left,
                _ => break,
            }
        }
        self.lease = None;
    }

    /// Why a decoder failed that reads this: because of the content, or because what is in it is damaged.
    pub(super) fn why(&mut self) -> ErrorKind {
        self.why.take().unwrap_or(Fault::Compression.into())
    }

    fn end(&mut self) {
        self.state = State::Ended;
        if let Ending::Framed(decoder) = &mut self.decoder {
            for (name, value) in decoder.trailers() {
                self.trailers.push(name, value);
            }
        }
        if let Some(lease) = self.lease.take() {
            lease.finish(self.keep_alive);
        }
    }

    fn tell(&self) {
        if let Some(progress) = &self.progress {
            progress(&Progress {
                sent: 0,
                received: self.received,
                total: self.total,
            });
        }
    }
}

/// For decoders, which learn only that it failed; [`why`](Content::why) tells.
impl Read for Content {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.take(out).map_err(|kind| {
            self.why = Some(kind);
            io::ErrorKind::Other.into()
        })
    }
}
