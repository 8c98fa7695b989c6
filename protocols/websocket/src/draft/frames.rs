//! Hixie's frames. Performs no I/O.

use crate::draft::Version;
use crate::error::Violation;
use crate::frame::{Event, Message};
use crate::limits::Limits;

/// Bytes received at once.
const BUFFER: usize = 4 << 10;

/// Appends a text.
pub(crate) fn encode_text(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 2);
    out.push(0);
    out.extend_from_slice(text);
    out.push(0xff);
}

/// Appends what closes, if the version has such a thing.
pub(crate) fn encode_close(out: &mut Vec<u8>, version: Version) {
    if version == Version::Hixie76 {
        out.extend_from_slice(&[0xff, 0]);
    }
}

/// Takes the bytes of a connection, cut anywhere, and gives events.
#[derive(Debug)]
pub struct HixieDecoder {
    version: Version,
    longest: u64,
    /// Received and not taken: `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    state: State,
    text: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// At a frame's first byte.
    Type,
    /// In a text, which counts only if its type is 0.
    Text {
        counts: bool,
        length: u64,
    },
    /// In the length of a frame that means nothing, unless it closes.
    Length {
        may_close: bool,
        so_far: u64,
    },
    /// In such a frame.
    Skip {
        left: u64,
    },
    Closed,
    Failed(Violation),
}

impl HixieDecoder {
    /// A decoder of hixie-75 or -76, with bytes that came behind the handshake. A text, or a frame that is skipped, is no
    /// longer than the smaller of [`Limits::frame`] and [`Limits::message`].
    #[must_use]
    pub fn new(version: Version, limits: &Limits, received: Vec<u8>) -> Self {
        let end = received.len();
        let mut buffer = received;
        buffer.resize(end.max(BUFFER), 0);
        Self {
            version,
            longest: limits.frame.min(limits.message),
            buffer,
            start: 0,
            end,
            state: State::Type,
            text: Vec::new(),
        }
    }

    /// Memory to read the next bytes into, never empty once [`next_event`](Self::next_event) has given `None`.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.buffer[self.end..]
    }

    /// Says that the first `n` bytes of the last [`space`](Self::space) were filled.
    pub fn filled(&mut self, n: usize) {
        self.end += n;
    }

    /// The next event; `None` means "give me more".
    ///
    /// # Errors
    /// The way in which the peer broke the protocol; from then on always the same.
    pub fn next_event(&mut self) -> Result<Option<Event>, Violation> {
        self.advance()
            .inspect_err(|violation| self.state = State::Failed(*violation))
    }

    /// The peer has ended the connection: whether that is how its version closes.
    #[must_use]
    pub fn ends_in_order(&self) -> bool {
        self.version == Version::Hixie75 && matches!(self.state, State::Type)
    }

    /// Whether the peer has closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    fn advance(&mut self) -> Result<Option<Event>, Violation> {
        loop {
            let received = &self.buffer[self.start..self.end];
            match self.state {
                State::Closed => return Ok(None),
                State::Failed(violation) => return Err(violation),
                State::Type => {
                    let Some((&kind, _)) = received.split_first() else {
                        return Ok(None);
                    };
                    self.start += 1;
                    self.state = if kind & 0x80 == 0 {
                        State::Text {
                            counts: kind == 0,
                            length: 0,
                        }
                    } else {
                        State::Length {
                            may_close: kind == 0xff && self.version == Version::Hixie76,
                            so_far: 0,
                        }
                    };
                }
                State::Text { counts, length } => {
                    let end = received.iter().position(|&byte| byte == 0xff);
                    let part = &received[..end.unwrap_or(received.len())];
                    let length = length + part.len() as u64;
                    if length > self.longest {
                        return Err(Violation::FrameTooLong);
                    }
                    if counts {
                        self.text.extend_from_slice(part);
                    }
                    self.start += part.len();
                    if end.is_none() {
                        self.state = State::Text { counts, length };
                        return Ok(None);
                    }
                    self.start += 1;
                    self.state = State::Type;
                    if counts {
                        let text = String::from_utf8(std::mem::take(&mut self.text))
                            .map_err(|_| Violation::Text)?;
                        return Ok(Some(Event::Message(Message::Text(text))));
                    }
                }
                State::Length { may_close, so_far } => {
                    let Some((&digit, _)) = received.split_first() else {
                        return Ok(None);
                    };
                    self.start += 1;
                    // Compared after each digit, so it cannot overflow.
                    let length = so_far * 128 + u64::from(digit & 0x7f);
                    if length > self.longest.min(u64::MAX >> 8) {
                        return Err(Violation::FrameTooLong);
                    }
                    self.state = match digit & 0x80 {
                        0 if length == 0 && may_close => {
                            self.state = State::Closed;
                            return Ok(Some(Event::Close(None)));
                        }
                        0 => State::Skip { left: length },
                        _ => State::Length {
                            may_close,
                            so_far: length,
                        },
                    };
                }
                State::Skip { left } => {
                    let count = usize::try_from(left)
                        .unwrap_or(usize::MAX)
                        .min(received.len());
                    self.start += count;
                    let left = left - count as u64;
                    if left > 0 {
                        self.state = State::Skip { left };
                        return Ok(None);
                    }
                    self.state = State::Type;
                }
            }
        }
    }
}
