//! What can go wrong, told apart by whose fault it is.

use std::io;

use crate::frame::CloseCode;
use crate::socket::Closed;

/// How a peer broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// RSV1 to RSV3 without an extension that gives them a meaning, or where it gives them none.
    #[error("a reserved bit is set")]
    ReservedBits,
    /// An opcode that RFC 6455 does not define.
    #[error("the opcode {0:#x} is unknown")]
    Opcode(u8),
    /// A control frame of more than 125 bytes.
    #[error("a control frame is longer than 125 bytes")]
    ControlTooLong,
    /// A control frame in fragments.
    #[error("a control frame is fragmented")]
    ControlFragmented,
    /// A client that does not mask, or a server that does.
    #[error("the masking is wrong for this side")]
    Masking,
    /// A length that would have fitted a shorter form, or whose highest bit is set.
    #[error("a payload length is not in its shortest form")]
    Length,
    /// A continuation without a beginning.
    #[error("a continuation frame continues nothing")]
    Continuation,
    /// A new message within the fragments of another.
    #[error("a message begins before the last one has ended")]
    Interleaved,
    /// A close frame of one byte, or with a code that must not be sent.
    #[error("a close frame is malformed")]
    CloseFrame,
    /// Text that is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// A compressed message that is not the compressed form of anything.
    #[error("a message cannot be decompressed")]
    Deflate,
    /// A frame beyond [`Limits::frame`](crate::Limits::frame).
    #[error("a frame is too long")]
    FrameTooLong,
    /// A message beyond [`Limits::message`](crate::Limits::message), decompressed or not.
    #[error("a message is too long")]
    MessageTooLong,
}

impl Violation {
    /// The code a connection is closed with for it.
    #[must_use]
    pub fn close_code(self) -> CloseCode {
        match self {
            Violation::Text | Violation::Deflate => CloseCode::INVALID_DATA,
            Violation::FrameTooLong | Violation::MessageTooLong => CloseCode::TOO_BIG,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}

/// Who is to blame for an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nobody: the connection was closed in good order.
    Nobody,
    /// The peer broke the protocol, or does not take what it is sent.
    Peer,
    /// The caller asked for what cannot be.
    Caller,
    /// The network, or a peer that vanished.
    Network,
}

/// Why a call on a WebSocket did not do what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection was closed in good order, by either side.
    #[error("the connection is closed: {0}")]
    Closed(Closed),
    /// The peer broke the protocol; it was told so, and the connection is at its end.
    #[error("the peer broke the protocol: {0}")]
    Violation(#[from] Violation),
    /// The connection ended without a close frame.
    #[error("the connection ended without a close frame")]
    Truncated,
    /// The peer took no byte within [`Limits::write_wait`](crate::Limits::write_wait).
    #[error("the peer does not take what it is sent")]
    WriteTimeout,
    /// The peer was silent, and did not answer a ping within [`Limits::pong_wait`](crate::Limits::pong_wait).
    #[error("the peer did not answer a ping in time")]
    PingTimeout,
    /// The peer did not agree to our close within [`Limits::close_wait`](crate::Limits::close_wait).
    #[error("the peer did not agree to the close in time")]
    CloseTimeout,
    /// An earlier write was left in the middle of a frame: nothing can follow it.
    #[error("an earlier write was left in the middle of a frame")]
    LeftInTheMiddle,
    /// A ping of more than 125 bytes, a close reason of more than 123, or a close code that must not be sent.
    #[error("misuse: {0}")]
    Misuse(&'static str),
    /// The stream failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Error {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Error::Closed(_) => Fault::Nobody,
            Error::Violation(_) | Error::WriteTimeout | Error::CloseTimeout => Fault::Peer,
            Error::Misuse(_) => Fault::Caller,
            Error::Truncated | Error::PingTimeout | Error::LeftInTheMiddle | Error::Io(_) => {
                Fault::Network
            }
        }
    }
}
