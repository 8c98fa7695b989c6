//! The head of an answer: parsing it, and deciding how its content is framed (RFC 9112, section 6.3). Performs no I/O.
//!
//! [`Scanner`] finds the end of the head and enforces the limits, as it does for requests.

use std::mem::MaybeUninit;

use super::error::Fault;
use crate::framing::Findings;
use crate::head::Scanner;
use crate::{Limits, Refusal, Status, Version};

/// How the content of an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes; 0 if there is no content.
    Length(u64),
    /// The chunked coding says.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// The head of an answer.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    version: Version,
    status: Status,
    headers: Headers,
    framing: Framing,
    keep_alive: bool,
}

/// The header lines of an answer.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    bytes: Vec<u8>,
    /// Where name and value of each line end, in `bytes`; each begins where the one before ends.
    ends: Vec<(usize, usize)>,
}

impl Headers {
    pub(super) fn push(&mut self, name: &str, value: &[u8]) {
        self.bytes.extend_from_slice(name.as_bytes());
        let name_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ends.push((name_end, self.bytes.len()));
    }

    /// All header lines in order, names as sent.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut from = 0;
        self.ends.iter().map(move |&(name, value)| {
            let line = (
                // Names are tokens: ASCII.
                std::str::from_utf8(&self.bytes[from..name]).unwrap_or_default(),
                &self.bytes[name..value],
            );
            from = value;
            line
        })
    }

    /// All values of one header, in order; the name's case does not matter.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.iter()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The value of a header, if it occurs and is ASCII or UTF-8; of several the first.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name)
            .next()
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// How many lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// Looks for the head of an answer in the bytes received so far, which begin where those of the last call began; `None`
/// means "call again with more". Gives the head and its length. `method` is the request's: it decides whether there is
/// content.
///
/// # Errors
/// A limit that is exceeded, and every way in which a head can be malformed or ambiguous; see [`Fault`].
pub fn find(
    scanner: &mut Scanner,
    bytes: &[u8],
    method: &str,
    limits: &Limits,
) -> Result<Option<(ResponseHead, usize)>, Fault> {
    // The scanner would take an empty line in front, which is for requests alone.
    if !b"HTTP/".starts_with(&bytes[..bytes.len().min(5)]) {
        return Err(Fault::StatusLine);
    }
    match scanner.find(bytes, limits)? {
        None => Ok(None),
        Some(range) => Ok(Some((parse(&bytes[range.clone()], method)?, range.end))),
    }
}

/// Parses a whole head.
fn parse(bytes: &[u8], method: &str) -> Result<ResponseHead, Fault> {
    let mut storage = [const { MaybeUninit::uninit() }; Limits::MAX_HEADER_COUNT];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut storage) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) => return Err(Fault::LineEnd),
        Err(error) => return Err(fault_of(error)),
    }
    let (Some(code), Some(minor)) = (parsed.code, parsed.version) else {
        return Err(Fault::StatusLine);
    };
    let version = if minor == 0 {
        Version::Http10
    } else {
        Version::Http11
    };
    let status = Status::new(code).ok_or(Fault::StatusLine)?;
    let mut headers = Headers {
        bytes: Vec::with_capacity(bytes.len()),
        ends: Vec::with_capacity(parsed.headers.len()),
    };
    let mut found = Findings::default();
    for header in parsed.headers.iter() {
        headers.push(header.name, header.value);
        found.note(header.name.as_bytes(), header.value)?;
    }
    let framing = framing(&found, version, status, method)?;
    let keep_alive = framing != Framing::UntilClose && found.keep_alive(version);
    Ok(ResponseHead {
        version,
        status,
        headers,
        framing,
        keep_alive,
    })
}

/// RFC 9112, section 6.3. What contradicts itself is refused even where there is no content: whoever stands between may read
/// it otherwise.
fn framing(
    found: &Findings,
    version: Version,
    status: Status,
    method: &str,
) -> Result<Framing, Fault> {
    let said = found.framing(version)?;
    let tunnel = method == "CONNECT" && status.is_success();
    Ok(match said {
        _ if status.is_bodyless() || method == "HEAD" || tunnel => Framing::Length(0),
        Some(crate::head::Framing::Chunked) => Framing::Chunked,
        Some(crate::head::Framing::Length(length)) => Framing::Length(length),
        None => Framing::UntilClose,
    })
}

fn fault_of(error: httparse::Error) -> Fault {
    match error {
        httparse::Error::HeaderName | httparse::Error::HeaderValue => Fault::HeaderLine,
        httparse::Error::NewLine => Fault::LineEnd,
        httparse::Error::TooManyHeaders => Refusal::TooManyHeaders.into(),
        httparse::Error::Version => Fault::Version,
        httparse::Error::Token | httparse::Error::Status => Fault::StatusLine,
    }
}

impl ResponseHead {
    /// The answer's version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// Its header lines.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// How its content ends.
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the connection may carry another request after it.
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }
}
