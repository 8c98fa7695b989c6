//! Taking a whole head in one pass: nearly every head arrives so. Performs no I/O.
//!
//! Here nothing is refused. What is not plainly right is left to [`Scanner`](crate::head::Scanner) and
//! [`Head::parse`], which say what the matter is; what is taken here they take too, and as the same.

use std::ops::Range;

use crate::Limits;
use crate::body::{is_token, table};
use crate::head::{Findings, Head, Span, Version};

impl Head {
    /// Finds the end of a head and parses it, if it is all there and nothing is the matter with it: the range, as
    /// [`Scanner::find`](crate::head::Scanner::find) gives it. `None` says nothing: what the matter is, that and
    /// [`Head::parse`] find out.
    // Not inlined: what lies further down the stack is further memory for each connection.
    #[inline(never)]
    pub fn parse_at_once(&mut self, bytes: &[u8], limits: &Limits) -> Option<Range<usize>> {
        // One empty line may precede a request (RFC 9112, section 2.2).
        let start = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
        let bytes = &bytes[start..];
        let lines = self.take_request_line(bytes)?;
        let end = self.take_header_lines(bytes, lines, limits)?;
        let is_within =
            lines <= limits.most_of_request_line() + 2 && end - lines <= limits.most_of_headers();
        is_within.then_some(start..start + end)
    }

    /// Where the header lines begin.
    fn take_request_line(&mut self, bytes: &[u8]) -> Option<usize> {
        let method = if bytes.starts_with(b"GET ") {
            3
        } else {
            bytes.iter().position(|&byte| !is_token(byte))?
        };
        let from = method + 1;
        if bytes[method] != b' ' || method == 0 {
            return None;
        }
        let ends_path = |at: usize| bytes[at..].iter().position(|&byte| !is_path(byte));
        let mut to = from + ends_path(from)?;
        let mut query = None;
        while bytes[to] == b'?' {
            query.get_or_insert(to);
            to += 1 + ends_path(to + 1)?;
        }
        let (end, rest) = bytes[to..].split_first_chunk()?;
        self.version = match end {
            b" HTTP/1.1\r" => Version::Http11,
            b" HTTP/1.0\r" => Version::Http10,
            _ => return None,
        };
        if rest.first() != Some(&b'\n') {
            return None;
        }
        self.method = Span::new(0, method);
        self.target = Span::new(from, to);
        if bytes[from] == b'/' && &bytes[..method] != b"CONNECT" {
            self.path = Span::new(from, query.unwrap_or(to));
            self.query = query.map(|at| Span::new(at + 1, to));
            self.host = None;
            self.connect = false;
        } else {
            self.read_target(bytes).ok()?;
        }
        Some(to + end.len() + 1)
    }

    /// Where the content begins.
    fn take_header_lines(&mut self, bytes: &[u8], mut at: usize, limits: &Limits) -> Option<usize> {
        self.headers.clear();
        let most = limits.header_count.min(Limits::MAX_HEADER_COUNT);
        let mut found = Findings::default();
        loop {
            let colon = at + bytes[at..].iter().position(|&byte| !is_token(byte))?;
            if bytes[colon] != b':' || colon == at {
                let is_end = colon == at && bytes[at..].starts_with(b"\r\n");
                return (is_end && self.conclude(&found).is_ok()).then_some(at + 2);
            }
            let name = Span::new(at, colon);
            let mut from = colon + 1;
            while matches!(bytes.get(from)?, b' ' | b'\t') {
                from += 1;
            }
            let end = value_end(bytes, from)?;
            if !bytes[end..].starts_with(b"\r\n") {
                return None;
            }
            let mut to = end;
            while to > from && matches!(bytes[to - 1], b' ' | b'\t') {
                to -= 1;
            }
            if self.headers.len() == most {
                return None;
            }
            let value = Span::new(from, to);
            self.headers.push((name, value));
            // Length and first letter tell nearly always that it decides nothing.
            if let (4, b'h') | (6, b'e') | (10 | 14, b'c') | (17, b't') =
                (colon - at, bytes[at].to_ascii_lowercase())
            {
                self.note(name.get(bytes), value.get(bytes), value, &mut found)
                    .ok()?;
            }
            at = end + 2;
        }
    }
}

/// Whether this belongs to the part of a target before its `?`, or to that behind it.
fn is_path(byte: u8) -> bool {
    static TABLE: [bool; 256] = table(b"!\"$%&'()*+,-./:;<=>@[\\]^_`{|}~");
    TABLE[usize::from(byte)]
}

/// Where the first control character is, other than a tab. Values are longer than names and targets are: of those, short as
/// they are, eight bytes at a time are no faster.
#[inline]
fn value_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let rest = &bytes[at..];
        let Some(eight) = rest.first_chunk() else {
            let is_end = |&byte: &u8| byte != b'\t' && controls([byte; 8]) != 0;
            return rest.iter().position(is_end).map(|more| at + more);
        };
        let controls = controls(*eight);
        if controls == 0 {
            at += 8;
            continue;
        }
        at += controls.trailing_zeros() as usize / 8;
        if bytes[at] != b'\t' {
            return Some(at);
        }
        at += 1;
    }
}

/// The highest bits of those bytes that are control characters, and maybe of some behind the first of them.
#[inline]
fn controls(eight: [u8; 8]) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let word = u64::from_le_bytes(eight);
    let below_space = word.wrapping_sub(ONES * 0x20) & !word;
    let differing = word ^ (ONES * 0x7f);
    let delete = differing.wrapping_sub(ONES) & !differing;
    (below_space | delete) & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_at_the_first_control_character() {
        let ends = |byte: u8| byte < 0x20 && byte != b'\t' || byte == 0x7f;
        for length in 0..40 {
            for other in [b'a', b'\t', b' ', b'~', 0x80, 0x9f, 0xa0, 0xff] {
                let mut bytes = vec![other; length];
                assert_eq!(value_end(&bytes, 0), None);
                for at in 0..length {
                    for byte in 0..=255_u8 {
                        bytes[at] = byte;
                        let found = value_end(&bytes, 0);
                        assert_eq!(found, ends(byte).then_some(at), "{bytes:?}");
                    }
                    bytes[at] = other;
                }
            }
        }
    }

    #[test]
    fn a_path_is_of_what_can_be_seen() {
        for byte in 0..=255_u8 {
            let wanted = byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#');
            assert_eq!(is_path(byte), wanted, "{byte}");
        }
    }
}
