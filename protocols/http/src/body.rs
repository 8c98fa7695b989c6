//! The content of a request: Content-Length or the chunked coding (RFC 9112, sections 6 and 7). Performs no I/O.
//!
//! ```text
//!              Length(n) ── n bytes ──────────────────────────────────────────────▶ Done
//!
//!  ┌▶ Size ──▶ Padding ─▶ Extension ─┐
//!  │    └────────┴────────────┴─ CR ─┴▶ SizeLf ── size 0 ─▶ Trailer* ─ CR LF ─────▶ Done
//!  │                                      │ size n
//!  └── DataLf ◀─ CR ── DataCr ◀── n ───── Data
//! ```
//! All transitions are in [`Decoder::advance`].

use crate::Refusal;
use crate::head::Framing;
use crate::limits::Limits;

/// Finds the content in the bytes of a connection.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// Content seen so far, counted when it is announced: before it is buffered.
    announced: u64,
    max_body: u64,
    extension_budget: usize,
    trailer_budget: usize,
    /// The trailer lines so far.
    trailers: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Done,
    /// So many bytes of the whole content are still to come; the limit is checked at the first of them.
    Length(u64),
    /// In the digits of a chunk's size.
    Size {
        size: u64,
        digits: u8,
    },
    /// In white space after the digits; only an extension may follow it.
    Padding {
        size: u64,
    },
    Extension {
        size: u64,
    },
    SizeLf {
        size: u64,
    },
    /// So many bytes of the chunk are still to come; more than 0.
    Data(u64),
    DataCr,
    DataLf,
    /// At the first byte of a trailer line.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
}

/// What [`Decoder::advance`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The first `skip` bytes were framing; `available` bytes of content follow them, more than 0. Tell
    /// [`Decoder::take`] how many of them were taken.
    Data {
        /// Bytes of framing.
        skip: usize,
        /// Bytes of content after them.
        available: usize,
    },
    /// All bytes were framing; more are needed.
    NeedMore,
    /// The first `skip` bytes ended the content; what follows belongs to the next request.
    Done {
        /// Bytes of framing.
        skip: usize,
    },
}

impl Decoder {
    /// A decoder for one request's content.
    #[must_use]
    pub fn new(framing: Framing, limits: &Limits) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(n) => State::Length(n),
            Framing::Chunked => State::Size { size: 0, digits: 0 },
        };
        Self {
            state,
            announced: 0,
            max_body: limits.body,
            extension_budget: limits.chunk_extensions,
            trailer_budget: limits.trailers,
            trailers: Vec::new(),
        }
    }

    /// Replaces the limit on the content, which counts from its beginning.
    pub fn limit(&mut self, bytes: u64) {
        self.max_body = bytes;
    }

    /// The trailer fields, names as sent; all of them once the content [is done](Decoder::is_done), none before. Fields that
    /// decide on framing, routing or who asks are left out: they mean nothing here (RFC 9110, section 6.5.1).
    pub fn trailers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let lines = if self.is_done() { &*self.trailers } else { &[] };
        lines.split(|&byte| byte == b'\n').filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            let name = std::str::from_utf8(&line[..colon]).ok()?;
            (!is_forbidden_trailer(name)).then(|| (name, line[colon + 1..].trim_ascii()))
        })
    }

    /// Whether the content has been taken wholly.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes of content which come next with no framing between them: the least that can be read straight into the
    /// reader's memory.
    #[must_use]
    pub fn run(&self) -> u64 {
        match self.state {
            State::Length(n) | State::Data(n) => n,
            _ => 0,
        }
    }

    /// The bytes of content that are left, if the framing tells.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        match self.state {
            State::Done => Some(0),
            State::Length(n) => Some(n),
            _ => None,
        }
    }

    /// Says that `n` bytes of content were taken, at most [`Decoder::run`].
    pub fn take(&mut self, n: usize) {
        let left = self
            .run()
            .checked_sub(n as u64)
            .expect("no more is taken than there is");
        self.state = match self.state {
            State::Length(_) if left == 0 => State::Done,
            State::Length(_) => State::Length(left),
            State::Data(_) if left == 0 => State::DataCr,
            State::Data(_) => State::Data(left),
            other => other,
        };
    }

    /// Looks at the bytes that follow the last ones taken, and steps over the framing.
    ///
    /// # Errors
    /// A malformed or too long body; the decoder must not be used after that.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Step, Refusal> {
        if let State::Length(left) = self.state
            && self.announced == 0
        {
            self.announce(left)?;
        }
        let mut at = 0;
        loop {
            if self.state == State::Done {
                return Ok(Step::Done { skip: at });
            }
            let run = self.run();
            if run > 0 {
                let available = usize::try_from(run)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len() - at);
                return Ok(if available == 0 {
                    Step::NeedMore
                } else {
                    Step::Data {
                        skip: at,
                        available,
                    }
                });
            }
            let Some(&byte) = bytes.get(at) else {
                return Ok(Step::NeedMore);
            };
            self.state = self.step(byte)?;
            at += 1;
        }
    }

    /// One byte of framing.
    fn step(&mut self, byte: u8) -> Result<State, Refusal> {
        Ok(match (self.state, byte) {
            (State::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                // Sixteen digits fill a u64; more are refused even as leading zeros, or they would never end.
                if digits == 16 {
                    return Err(Refusal::Chunk);
                }
                let digit = (byte as char).to_digit(16).map_or(0, u64::from);
                State::Size {
                    size: size << 4 | digit,
                    digits: digits + 1,
                }
            }
            (State::Size { digits: 0, .. }, _) => return Err(Refusal::Chunk),
            (State::Size { size, .. } | State::Extension { size }, b'\r') => State::SizeLf { size },
            (State::Size { size, .. } | State::Padding { size }, b';') => {
                self.extend(State::Extension { size })?
            }
            (State::Size { size, .. } | State::Padding { size }, b' ' | b'\t') => {
                self.extend(State::Padding { size })?
            }
            (State::Extension { size }, b'\t' | 0x20..=0x7e | 0x80..) => {
                self.extend(State::Extension { size })?
            }
            (State::SizeLf { size: 0 }, b'\n') => State::TrailerStart,
            (State::SizeLf { size }, b'\n') => {
                self.announce(size)?;
                State::Data(size)
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { size: 0, digits: 0 },
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::TrailerName, b':') => self.trail(byte, State::TrailerValue)?,
            (State::TrailerStart | State::TrailerName, _) if is_token(byte) => {
                self.trail(byte, State::TrailerName)?
            }
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerValue, b'\t' | 0x20..=0x7e | 0x80..) => {
                self.trail(byte, State::TrailerValue)?
            }
            (State::TrailerLf, b'\n') => {
                self.trailers.push(byte);
                State::TrailerStart
            }
            (State::EndLf, b'\n') => State::Done,
            (State::TrailerStart | State::TrailerName | State::TrailerValue, _) => {
                return Err(Refusal::Trailer);
            }
            (State::TrailerLf | State::EndLf, _) => return Err(Refusal::Trailer),
            _ => return Err(Refusal::Chunk),
        })
    }

    /// Checks the limit on the content before any of the announced bytes is buffered: the peer chooses the size, we
    /// choose our memory.
    fn announce(&mut self, size: u64) -> Result<(), Refusal> {
        match self.announced.checked_add(size) {
            Some(sum) if sum <= self.max_body => {
                self.announced = sum;
                Ok(())
            }
            _ => Err(Refusal::BodyTooLong),
        }
    }

    fn extend(&mut self, next: State) -> Result<State, Refusal> {
        self.extension_budget = self
            .extension_budget
            .checked_sub(1)
            .ok_or(Refusal::ChunkExtensions)?;
        Ok(next)
    }

    fn trail(&mut self, byte: u8, next: State) -> Result<State, Refusal> {
        self.trailers.push(byte);
        self.trailer_budget = self
            .trailer_budget
            .checked_sub(1)
            .ok_or(Refusal::TrailersTooLong)?;
        Ok(next)
    }
}

/// Fields that a trailer cannot have.
const FORBIDDEN_TRAILERS: [&str; 13] = [
    "Authorization",
    "Cache-Control",
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "Cookie",
    "Host",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
];

/// Whether a field decides on framing, routing or who asks, so that it means nothing in a trailer.
pub(crate) fn is_forbidden_trailer(name: &str) -> bool {
    FORBIDDEN_TRAILERS
        .iter()
        .any(|other| other.eq_ignore_ascii_case(name))
}

/// `tchar` of RFC 9110, section 5.6.2.
pub(crate) fn is_token(byte: u8) -> bool {
    const TABLE: [bool; 256] = table(b"!#$%&'*+-.^_`|~");
    TABLE[usize::from(byte)]
}

/// Which bytes are letters, digits or among `others`. Looked up for each byte of names and hosts.
pub(crate) const fn table(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}

/// Appends one chunk. `data` must not be empty: an empty chunk ends the content.
pub fn encode_chunk(out: &mut Vec<u8>, data: &[u8]) {
    encode_chunk_size(out, data.len());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Appends the line in front of a chunk of `size` bytes.
pub(crate) fn encode_chunk_size(out: &mut Vec<u8>, size: usize) {
    debug_assert!(size > 0, "an empty chunk would end the content");
    use std::io::Write as _;
    // Writing to a Vec does not fail.
    let _ = write!(out, "{size:x}\r\n");
}

/// Appends what ends content in the chunked coding, with these trailers.
pub(crate) fn encode_end<N: AsRef<str>, V: AsRef<[u8]>>(out: &mut Vec<u8>, trailers: &[(N, V)]) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        out.extend_from_slice(name.as_ref().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_ref());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// What ends content in the chunked coding, without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
