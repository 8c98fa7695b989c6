//! From the bytes of a connection to messages and control frames. Performs no I/O.

use crate::deflate::{Direction, Inflater};
use crate::error::Violation;
use crate::frame::{CloseCode, Event, Message};
use crate::header::{Header, Role, opcode, parse_header};
use crate::limits::Limits;
use crate::mask::Mask;
use crate::utf8;

/// Bytes received at once, unless a long payload goes straight to its message.
const BUFFER: usize = 4 << 10;
/// The end of a message that is lent at once for a long payload.
const DIRECT: usize = 16 << 10;

/// Takes the bytes of a connection, cut anywhere, and gives events.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    max_frame: u64,
    max_message: u64,
    /// Received and not taken: `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    state: State,
    /// For compressed messages, if they were agreed on.
    inflater: Option<Box<Inflater>>,
    /// The message so far, unmasked and decompressed. Its last `lent` bytes are being read into and not part of it yet.
    message: Vec<u8>,
    lent: usize,
    /// The opcode of the message that is under way, and whether it is compressed.
    kind: Option<u8>,
    compressed: bool,
    /// How the check of a text stands, and how much of the message it has seen.
    text: utf8::Check,
    checked: usize,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// At a frame's first byte.
    Header,
    /// In a data frame.
    Payload {
        fin: bool,
        left: u64,
        mask: Option<Mask>,
    },
    /// The peer has closed; what follows is not looked at.
    Closed,
    Failed(Violation),
}

impl Decoder {
    /// A decoder for what the peer of `role` sends.
    #[must_use]
    pub fn new(role: Role, limits: &Limits) -> Self {
        Self::with_received(role, limits, Vec::new())
    }

    /// The same, with bytes that were received together with the handshake.
    #[must_use]
    pub fn with_received(role: Role, limits: &Limits, received: Vec<u8>) -> Self {
        let end = received.len();
        let mut buffer = received;
        buffer.resize(end.max(BUFFER), 0);
        Self {
            role,
            max_frame: limits.frame,
            max_message: limits.message,
            buffer,
            start: 0,
            end,
            state: State::Header,
            inflater: None,
            message: Vec::new(),
            lent: 0,
            kind: None,
            compressed: false,
            text: utf8::Check::default(),
            checked: 0,
        }
    }

    /// The same, for a peer that may compress messages so.
    #[must_use]
    pub fn compressed(mut self, direction: Direction) -> Self {
        self.inflater = Some(Box::new(Inflater::new(direction)));
        self
    }

    /// Memory to read the next bytes into, never empty once [`next_event`](Decoder::next_event) has given `None`.
    /// Tell [`filled`](Decoder::filled) how many came. If none did, because the read was given up, nothing is lost.
    pub fn space(&mut self) -> &mut [u8] {
        self.take_back();
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if let State::Payload { left, .. } = self.state
                && left >= BUFFER as u64
                && !self.compressed
            {
                self.lent = usize::try_from(left).unwrap_or(usize::MAX).min(DIRECT);
                let from = self.message.len();
                self.message.resize(from + self.lent, 0);
                return &mut self.message[from..];
            }
        } else if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.buffer[self.end..]
    }

    /// Says that the first `n` bytes of the last [`space`](Decoder::space) were filled.
    pub fn filled(&mut self, n: usize) {
        if self.lent == 0 {
            self.end += n;
            return;
        }
        let from = self.message.len() - self.lent;
        self.message.truncate(from + n);
        self.lent = 0;
        if let State::Payload { left, mask, .. } = &mut self.state {
            *left -= n as u64;
            if let Some(mask) = mask {
                mask.apply(&mut self.message[from..]);
            }
        }
    }

    /// Takes bytes that lie elsewhere; returns how many, which may be fewer than there are: then take the events
    /// first.
    pub fn feed(&mut self, bytes: &[u8]) -> usize {
        let space = self.space();
        let count = bytes.len().min(space.len());
        space[..count].copy_from_slice(&bytes[..count]);
        self.filled(count);
        count
    }

    /// The next event; `None` means "give me more".
    ///
    /// # Errors
    /// The way in which the peer broke the protocol; from then on always the same.
    pub fn next_event(&mut self) -> Result<Option<Event>, Violation> {
        self.take_back();
        self.advance()
            .inspect_err(|violation| self.state = State::Failed(*violation))
    }

    /// Whether the peer's close frame has been taken.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Forgets a space that was lent for a read that did not happen.
    fn take_back(&mut self) {
        self.message.truncate(self.message.len() - self.lent);
        self.lent = 0;
    }

    fn advance(&mut self) -> Result<Option<Event>, Violation> {
        loop {
            match self.state {
                State::Closed => return Ok(None),
                State::Failed(violation) => return Err(violation),
                State::Payload { fin, left, mask } => {
                    if self.take_payload(left, mask)? {
                        self.state = State::Header;
                        if fin {
                            return self.finish_message().map(Some);
                        }
                    }
                    self.check_text()?;
                    if !matches!(self.state, State::Header) {
                        return Ok(None);
                    }
                }
                State::Header => {
                    let received = &self.buffer[self.start..self.end];
                    let may_compress = self.inflater.is_some();
                    let Some((header, rest)) = parse_header(received, self.role, may_compress)?
                    else {
                        return Ok(None);
                    };
                    let at = self.end - rest.len();
                    if header.opcode & 0x8 == 0 {
                        self.begin_data(header)?;
                        self.start = at;
                        continue;
                    }
                    // A control frame fits in the buffer, so its payload is waited for there.
                    let length = header.length as usize;
                    if rest.len() < length {
                        return Ok(None);
                    }
                    self.start = at + length;
                    let mut payload = self.buffer[at..at + length].to_vec();
                    if let Some(key) = header.key {
                        Mask::new(key).apply(&mut payload);
                    }
                    return self.control(header.opcode, payload).map(Some);
                }
            }
        }
    }

    /// Checks a data frame's place among the others, and its length before any of it is buffered.
    fn begin_data(&mut self, header: Header) -> Result<(), Violation> {
        match (header.opcode, self.kind) {
            (opcode::CONTINUATION, None) => return Err(Violation::Continuation),
            (opcode::CONTINUATION, Some(_)) => {}
            (_, Some(_)) => return Err(Violation::Interleaved),
            (kind, None) => (self.kind, self.compressed) = (Some(kind), header.compressed),
        }
        if header.length > self.max_frame {
            return Err(Violation::FrameTooLong);
        }
        // What a compressed frame becomes is counted while it does.
        if !self.compressed
            && header.length > self.max_message.saturating_sub(self.message.len() as u64)
        {
            return Err(Violation::MessageTooLong);
        }
        self.state = State::Payload {
            fin: header.fin,
            left: header.length,
            mask: header.key.map(Mask::new),
        };
        Ok(())
    }

    /// Moves what is there of the payload to the message; true if that is all of it.
    fn take_payload(&mut self, left: u64, mut mask: Option<Mask>) -> Result<bool, Violation> {
        let there = self.end - self.start;
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(there);
        let payload = &mut self.buffer[self.start..self.start + count];
        match &mut self.inflater {
            Some(inflater) if self.compressed => {
                if let Some(mask) = &mut mask {
                    mask.apply(payload);
                }
                let inflated = inflater.inflate(payload, &mut self.message, self.max_message);
                self.start += count;
                // What came out before it went wrong was wrong earlier, if it is: however the bytes were cut.
                if inflated.is_err() {
                    self.check_text()?;
                }
                inflated?;
            }
            _ => {
                let from = self.message.len();
                self.message.extend_from_slice(payload);
                if let Some(mask) = &mut mask {
                    mask.apply(&mut self.message[from..]);
                }
                self.start += count;
            }
        }
        let left = left - count as u64;
        if let State::Payload {
            left: field,
            mask: mask_field,
            ..
        } = &mut self.state
        {
            (*field, *mask_field) = (left, mask);
        }
        Ok(left == 0)
    }

    /// Checks a text that is not complete, so that it is refused as soon as it is wrong.
    fn check_text(&mut self) -> Result<(), Violation> {
        if self.kind == Some(opcode::TEXT) {
            self.text
                .feed(&self.message[self.checked..])
                .map_err(|_| Violation::Text)?;
            self.checked = self.message.len();
        }
        Ok(())
    }

    fn finish_message(&mut self) -> Result<Event, Violation> {
        if let Some(inflater) = &mut self.inflater
            && self.compressed
        {
            let finished = inflater.finish(&mut self.message, self.max_message);
            if finished.is_err() {
                self.check_text()?;
            }
            finished?;
            self.compressed = false;
        }
        let bytes = std::mem::take(&mut self.message);
        self.text = utf8::Check::default();
        self.checked = 0;
        let message = match self.kind.take() {
            Some(opcode::TEXT) => {
                Message::Text(String::from_utf8(bytes).map_err(|_| Violation::Text)?)
            }
            _ => Message::Binary(bytes),
        };
        Ok(Event::Message(message))
    }

    fn control(&mut self, opcode: u8, payload: Vec<u8>) -> Result<Event, Violation> {
        Ok(match opcode {
            opcode::PING => Event::Ping(payload),
            opcode::PONG => Event::Pong(payload),
            _ => {
                let frame = parse_close(&payload)?;
                self.state = State::Closed;
                Event::Close(frame)
            }
        })
    }
}

fn parse_close(payload: &[u8]) -> Result<Option<(CloseCode, String)>, Violation> {
    let Some((&code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() {
            Ok(None)
        } else {
            Err(Violation::CloseFrame)
        };
    };
    let code = CloseCode::new(u16::from_be_bytes(code)).ok_or(Violation::CloseFrame)?;
    let reason = std::str::from_utf8(reason).map_err(|_| Violation::Text)?;
    Ok(Some((code, reason.to_owned())))
}
