//! Finding parts in the bytes. Performs no I/O.
//!
//! ```text
//!   Preamble ── delimiter ──▶ AfterDelimiter ── CR LF ──▶ Headers ── empty line ──▶ Data ─┐
//!                                  ▲  │ "--"                                              │
//!                                  │  └──▶ End                                            │
//!                                  └─────────────────────────── delimiter ────────────────┘
//! ```
//! The delimiter is CR LF, `--` and the boundary. The first one may stand at the very beginning, so the content is read as
//! if a CR LF were in front of it.

use memchr::memmem;

use super::{MultipartError, MultipartLimits};
use crate::auth::parameters::{extended, only, parse};

/// White space that may follow a boundary.
const MOST_PADDING: usize = 64;

/// Finds the parts of `multipart/form-data`.
#[derive(Debug)]
pub struct Decoder {
    delimiter: Vec<u8>,
    limits: MultipartLimits,
    state: State,
    buffer: Vec<u8>,
    /// What is in front of this was taken.
    pos: usize,
    /// Bytes of the buffer, from `pos` on, that are known to be data.
    data: usize,
    parts: usize,
    preamble: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Preamble,
    AfterDelimiter,
    Headers,
    Data,
    End,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A part begins.
    Part(PartHead),
    /// So many bytes of the part's content lie in front: take some by [`Decoder::take`].
    Data(usize),
    /// The part has ended.
    PartEnd,
    /// All parts were there; what follows does not count.
    End,
}

/// What the headers of a part say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartHead {
    /// The field's name.
    pub name: String,
    /// The file's name, as the client calls it: any text, which must not be taken for a path.
    pub file_name: Option<String>,
    /// The media type, if the client says one.
    pub content_type: Option<String>,
}

/// Whether a text can be a boundary (RFC 2046, section 5.1.1).
#[must_use]
pub fn is_boundary(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    (1..=70).contains(&text.len()) && text.bytes().all(fits) && !text.ends_with(' ')
}

impl Decoder {
    /// A decoder of what has this boundary.
    #[must_use]
    pub fn new(boundary: &str, limits: MultipartLimits) -> Self {
        Self {
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            limits,
            state: State::Preamble,
            buffer: b"\r\n".to_vec(),
            pos: 0,
            data: 0,
            parts: 0,
            preamble: 0,
        }
    }

    /// Takes in the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.pos);
        self.pos = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Copies data that [`Event::Data`] announced to `out`, and says how much.
    pub fn take(&mut self, out: &mut [u8]) -> usize {
        let count = out.len().min(self.data);
        out[..count].copy_from_slice(&self.buffer[self.pos..self.pos + count]);
        self.pos += count;
        self.data -= count;
        count
    }

    /// What comes next; `None` means "feed me more". Data that was not taken is announced again.
    ///
    /// # Errors
    /// What is malformed or too much; the decoder must not be used after that.
    pub fn next_event(&mut self) -> Result<Option<Event>, MultipartError> {
        if self.data > 0 {
            return Ok(Some(Event::Data(self.data)));
        }
        loop {
            match self.state {
                State::Preamble => {
                    let (skip, found) = self.find_delimiter();
                    self.preamble += skip;
                    self.pos += skip;
                    if self.preamble > self.limits.preamble {
                        return Err(MultipartError::HeadersTooLong);
                    }
                    if !found {
                        return Ok(None);
                    }
                    self.pos += self.delimiter.len();
                    self.state = State::AfterDelimiter;
                }
                State::AfterDelimiter => {
                    if !self.end_delimiter()? {
                        return Ok(None);
                    }
                    if self.state == State::End {
                        return Ok(Some(Event::End));
                    }
                }
                State::Headers => return self.read_headers(),
                State::Data => {
                    let (data, found) = self.find_delimiter();
                    if data > 0 {
                        self.data = data;
                        return Ok(Some(Event::Data(data)));
                    }
                    if !found {
                        return Ok(None);
                    }
                    self.pos += self.delimiter.len();
                    self.state = State::AfterDelimiter;
                    return Ok(Some(Event::PartEnd));
                }
                State::End => return Ok(Some(Event::End)),
            }
        }
    }

    /// How many bytes lie in front of the next delimiter, or of what might become one; and whether it is one.
    fn find_delimiter(&self) -> (usize, bool) {
        let rest = &self.buffer[self.pos..];
        if let Some(at) = memmem::find(rest, &self.delimiter) {
            return (at, true);
        }
        let kept = (0..self.delimiter.len().min(rest.len() + 1))
            .rev()
            .find(|&length| rest.ends_with(&self.delimiter[..length]));
        (rest.len() - kept.unwrap_or(0), false)
    }

    /// Steps over what follows a boundary; false if that is not there yet.
    fn end_delimiter(&mut self) -> Result<bool, MultipartError> {
        let rest = &self.buffer[self.pos..];
        if rest.starts_with(b"--") {
            self.pos += 2;
            self.state = State::End;
            return Ok(true);
        }
        let padding = rest
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        if padding > MOST_PADDING {
            return Err(MultipartError::Malformed(
                "a boundary does not end its line",
            ));
        }
        match &rest[padding..] {
            [b'\r', b'\n', ..] => {
                // The line end stays: headers are looked for as lines that it begins.
                self.pos += padding;
                self.state = State::Headers;
                self.parts += 1;
                if self.parts > self.limits.parts {
                    return Err(MultipartError::TooManyParts);
                }
                Ok(true)
            }
            [] | [b'\r'] => Ok(false),
            [b'-'] if padding == 0 => Ok(false),
            _ => Err(MultipartError::Malformed(
                "a boundary does not end its line",
            )),
        }
    }

    fn read_headers(&mut self) -> Result<Option<Event>, MultipartError> {
        let rest = &self.buffer[self.pos..];
        let Some(end) = memmem::find(rest, b"\r\n\r\n") else {
            return if rest.len() > self.limits.headers + 5 {
                Err(MultipartError::HeadersTooLong)
            } else {
                Ok(None)
            };
        };
        if end > self.limits.headers + 2 {
            return Err(MultipartError::HeadersTooLong);
        }
        // Without a header the line end of the boundary is the beginning of the empty line.
        let lines = if end == 0 { &[][..] } else { &rest[2..end + 4] };
        let head = parse_head(lines)?;
        self.pos += end + 4;
        self.state = State::Data;
        Ok(Some(Event::Part(head)))
    }
}

fn parse_head(lines: &[u8]) -> Result<PartHead, MultipartError> {
    const HEADER: MultipartError = MultipartError::Malformed("a header line of a part");
    let mut storage = [httparse::EMPTY_HEADER; 16];
    let headers = match httparse::parse_headers(lines, &mut storage) {
        _ if lines.is_empty() => return Err(MultipartError::Malformed("a part has no name")),
        Ok(httparse::Status::Complete((_, headers))) => headers,
        _ => return Err(HEADER),
    };
    let value = |name: &str| {
        let header = headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    };
    let (kind, rest) = value("Content-Disposition")
        .and_then(|value| value.split_once(';'))
        .ok_or(MultipartError::Malformed("a part has no name"))?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return Err(MultipartError::Malformed("a part is no form-data"));
    }
    let parameters = parse(rest, ';').ok_or(HEADER)?;
    // Browsers write a quote and a line end in names so.
    let plain = |text: &str| {
        text.replace("%22", "\"")
            .replace("%0D", "\r")
            .replace("%0A", "\n")
    };
    let name = only(&parameters, "name").ok_or(MultipartError::Malformed("a part has no name"))?;
    let file_name = only(&parameters, "filename*")
        .and_then(extended)
        .or_else(|| only(&parameters, "filename").map(plain));
    Ok(PartHead {
        name: plain(name),
        file_name,
        content_type: value("Content-Type").map(str::to_owned),
    })
}
