//! The protocol before it was a standard: hixie-75, hixie-76 (also called hybi-00), hybi-07 and hybi-10.
//!
//! The two hybi drafts have the frames of RFC 6455 and differ in the handshake's headers. The two of Hixie have others:
//!
//! ```text
//!   text      00 … UTF-8 … ff
//!   anything  8x, length in base 128, bytes that mean nothing
//!   closing   ff 00 (hixie-76; hixie-75 just ends the connection)
//! ```
//!
//! So they have no binary messages, pings, fragments, close codes or compression.

mod frames;
mod handshake;
#[cfg(test)]
mod tests;

pub use frames::HixieDecoder;
pub(crate) use frames::{encode_close, encode_text};
pub(crate) use handshake::{Challenge, answer_head, is_visible};

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Version {
    /// draft-hixie-thewebsocketprotocol-75 (Safari 5.0.0, Chrome 4).
    Hixie75,
    /// draft-hixie-thewebsocketprotocol-76, also draft-ietf-hybi-thewebsocketprotocol-00 (Safari 5, Chrome 6 to 13).
    Hixie76,
    /// draft-ietf-hybi-thewebsocketprotocol-07 (Firefox 6).
    Hybi07,
    /// draft-ietf-hybi-thewebsocketprotocol-10, which calls itself 8 (Chrome 14, Firefox 7).
    Hybi10,
    /// RFC 6455, which calls itself 13.
    #[default]
    Rfc6455,
}

impl Version {
    /// What `Sec-WebSocket-Version` says; `None` for those that do not have it.
    pub(crate) fn number(self) -> Option<&'static str> {
        match self {
            Version::Hixie75 | Version::Hixie76 => None,
            Version::Hybi07 => Some("7"),
            Version::Hybi10 => Some("8"),
            Version::Rfc6455 => Some("13"),
        }
    }

    /// Whether it has Hixie's frames: texts and nothing else.
    pub(crate) fn is_hixie(self) -> bool {
        matches!(self, Version::Hixie75 | Version::Hixie76)
    }

    /// The header that names a page's origin.
    pub(crate) fn origin_header(self) -> &'static str {
        match self {
            Version::Hybi07 | Version::Hybi10 => "Sec-WebSocket-Origin",
            _ => "Origin",
        }
    }

    /// The header that names subprotocols.
    pub(crate) fn protocol_header(self) -> &'static str {
        match self {
            Version::Hixie75 => "WebSocket-Protocol",
            _ => "Sec-WebSocket-Protocol",
        }
    }
}
