//! Frames and messages (RFC 6455, section 5). Performs no I/O.
//!
//! ```text
//!   byte 0            byte 1             then                          then        then
//!  ┌───┬─────┬──────┐┌────┬───────────┐┌─────────────────────────────┐┌──────────┐┌─────────┐
//!  │fin│rsv=0│opcode││mask│ length 7  ││ 16 bits if 126, 64 if 127   ││ mask key ││ payload │
//!  └───┴─────┴──────┘└────┴───────────┘└─────────────────────────────┘└──────────┘└─────────┘
//! ```
//!
//! [`Decoder`] lends the memory to read into ([`Decoder::space`]): its own small buffer for headers and short
//! frames, and the end of the message itself while a long payload comes, so that long payloads are not copied.

pub use crate::decoder::Decoder;
pub use crate::header::Role;
use crate::header::{encode, opcode};

/// Why a connection is closed (RFC 6455, section 7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// A server goes down, or a browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// The peer sent a kind of data that is not accepted.
    pub const UNSUPPORTED: Self = Self(1003);
    /// Text that is not UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// A policy was violated; the general refusal.
    pub const POLICY: Self = Self(1008);
    /// A message is too big.
    pub const TOO_BIG: Self = Self(1009);
    /// The server met a condition that it did not expect.
    pub const INTERNAL_ERROR: Self = Self(1011);

    /// The code with this number; `None` for one that may not be in a close frame: below 1000, reserved, or only
    /// for use within a program (1005, 1006, 1015).
    #[must_use]
    pub fn new(code: u16) -> Option<Self> {
        matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999).then_some(Self(code))
    }

    /// The number.
    #[must_use]
    pub fn code(self) -> u16 {
        self.0
    }
}

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text, checked to be UTF-8.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

impl Message {
    /// The message's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
        }
    }
}

/// What a peer sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message, its fragments put together.
    Message(Message),
    /// To be answered with a pong of the same payload.
    Ping(Vec<u8>),
    /// The answer to a ping, or a sign of life.
    Pong(Vec<u8>),
    /// The peer closes: nothing of it follows.
    Close(Option<(CloseCode, String)>),
}

/// Appends a message as one frame; a client gives a fresh, unpredictable `key`, a server none.
pub fn encode_message(out: &mut Vec<u8>, message: &Message, key: Option<[u8; 4]>) {
    let opcode = match message {
        Message::Text(_) => opcode::TEXT,
        Message::Binary(_) => opcode::BINARY,
    };
    encode(out, opcode, true, message.as_bytes(), key);
}
