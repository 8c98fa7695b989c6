//! Frame headers, and whole frames on their way out. Performs no I/O.

use crate::error::Violation;
use crate::mask::Mask;

/// A control frame's payload is no longer.
pub(crate) const CONTROL_MAX: usize = 125;

pub(crate) mod opcode {
    pub(crate) const CONTINUATION: u8 = 0x0;
    pub(crate) const TEXT: u8 = 0x1;
    pub(crate) const BINARY: u8 = 0x2;
    pub(crate) const CLOSE: u8 = 0x8;
    pub(crate) const PING: u8 = 0x9;
    pub(crate) const PONG: u8 = 0xa;
    /// RSV1, beside the opcode of a message's first frame: the message is compressed (RFC 7692, section 6).
    pub(crate) const COMPRESSED: u8 = 0x40;
}

/// Which side we are: clients mask what they send, servers do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The side that sent the handshake's request.
    Client,
    /// The side that answered it.
    Server,
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) fin: bool,
    pub(crate) opcode: u8,
    pub(crate) compressed: bool,
    pub(crate) length: u64,
    pub(crate) key: Option<[u8; 4]>,
}

/// Reads a header from the front of `bytes`; `None` if it is not complete. What is wrong already with the first two
/// bytes is said before the others are there. `may_compress` says whether that was agreed on.
pub(crate) fn parse_header(
    bytes: &[u8],
    role: Role,
    may_compress: bool,
) -> Result<Option<(Header, &[u8])>, Violation> {
    let Some((&[first, second], rest)) = bytes.split_first_chunk::<2>() else {
        return Ok(None);
    };
    let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
    let (masked, short) = (second & 0x80 != 0, second & 0x7f);
    let compressed = first & opcode::COMPRESSED != 0;
    let may_compress = may_compress && matches!(opcode, opcode::TEXT | opcode::BINARY);
    if first & 0x30 != 0 || (compressed && !may_compress) {
        return Err(Violation::ReservedBits);
    }
    if matches!(opcode, 0x3..=0x7 | 0xb..) {
        return Err(Violation::Opcode(opcode));
    }
    if opcode & 0x8 != 0 && !fin {
        return Err(Violation::ControlFragmented);
    }
    if opcode & 0x8 != 0 && usize::from(short) > CONTROL_MAX {
        return Err(Violation::ControlTooLong);
    }
    if masked != (role == Role::Server) {
        return Err(Violation::Masking);
    }
    let (length, rest) = match short {
        126 => {
            let Some((&length, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            (u64::from(u16::from_be_bytes(length)), rest)
        }
        127 => {
            let Some((&length, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            (u64::from_be_bytes(length), rest)
        }
        short => (u64::from(short), rest),
    };
    let shortest = match short {
        126 => length > 125,
        127 => length > 0xffff && length >> 63 == 0,
        _ => true,
    };
    if !shortest {
        return Err(Violation::Length);
    }
    if !masked {
        return Ok(Some((
            Header {
                fin,
                opcode,
                compressed,
                length,
                key: None,
            },
            rest,
        )));
    }
    let Some((&key, rest)) = rest.split_first_chunk() else {
        return Ok(None);
    };
    Ok(Some((
        Header {
            fin,
            opcode,
            compressed,
            length,
            key: Some(key),
        },
        rest,
    )))
}

/// Appends a frame's header; `opcode` may have [`opcode::COMPRESSED`] beside it.
pub(crate) fn encode_header(
    out: &mut Vec<u8>,
    opcode: u8,
    fin: bool,
    length: usize,
    key: Option<[u8; 4]>,
) {
    let mask = if key.is_some() { 0x80 } else { 0 };
    out.push(if fin { 0x80 } else { 0 } | opcode);
    match length {
        0..=125 => out.push(mask | length as u8),
        126..=0xffff => {
            out.push(mask | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(mask | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&key.unwrap_or_default()[..if key.is_some() { 4 } else { 0 }]);
}

/// Appends a whole frame, masked if a key is given.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    opcode: u8,
    fin: bool,
    payload: &[u8],
    key: Option<[u8; 4]>,
) {
    encode_header(out, opcode, fin, payload.len(), key);
    let from = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = key {
        Mask::new(key).apply(&mut out[from..]);
    }
}
