//! Hixie's handshakes. Performs no I/O.

use md5::{Digest as _, Md5};

use crate::draft::Version;

/// The two numbers in a request of hixie-76.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Challenge {
    pub(crate) numbers: [u32; 2],
}

impl Challenge {
    /// From the headers `Sec-WebSocket-Key1` and `Sec-WebSocket-Key2`; `None` for what is none.
    pub(crate) fn read(first: &str, second: &str) -> Option<Self> {
        Some(Self {
            numbers: [number(first)?, number(second)?],
        })
    }

    /// What the server sends behind its headers, given the eight bytes that came behind the client's.
    pub(crate) fn answer(self, body: [u8; 8]) -> [u8; 16] {
        let mut hash = Md5::new();
        for number in self.numbers {
            hash.update(number.to_be_bytes());
        }
        hash.update(body);
        hash.finalize().into()
    }
}

/// The digits of a key as one number, divided by how many spaces it has.
fn number(key: &str) -> Option<u32> {
    let digits: String = key.chars().filter(char::is_ascii_digit).collect();
    let spaces = key.bytes().filter(|&byte| byte == b' ').count() as u64;
    let number: u64 = digits.parse().ok()?;
    if spaces == 0 || !number.is_multiple_of(spaces) {
        return None;
    }
    u32::try_from(number / spaces).ok()
}

/// Whether a header's value may be repeated in an answer.
pub(crate) fn is_visible(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The head of a server's answer. The old browsers compare it, byte for byte in the first three lines.
pub(crate) fn answer_head(
    version: Version,
    origin: Option<&str>,
    location: &str,
    protocol: Option<&str>,
) -> String {
    let (reason, prefix) = match version {
        Version::Hixie75 => ("Web Socket Protocol Handshake", ""),
        _ => ("WebSocket Protocol Handshake", "Sec-"),
    };
    let mut head =
        format!("HTTP/1.1 101 {reason}\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n");
    let mut line = |name: &str, value: &str| {
        head += &format!("{prefix}WebSocket-{name}: {value}\r\n");
    };
    if let Some(origin) = origin {
        line("Origin", origin);
    }
    line("Location", location);
    if let Some(protocol) = protocol {
        line("Protocol", protocol);
    }
    head + "\r\n"
}
