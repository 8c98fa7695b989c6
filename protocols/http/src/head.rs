//! The head of a request: finding its end in a growing buffer, parsing it, and deciding how the content is framed.
//! Performs no I/O.
//!
//! [`Scanner`] looks for the end (each byte once, however the bytes are cut) and enforces the limits while it looks;
//! [`Head::parse`] then takes the whole head. Where RFC 9112 lets a recipient be lenient we are not: two parties that
//! read one request differently are what request smuggling lives on.

use std::mem::MaybeUninit;

use crate::limits::Limits;
pub use crate::scan::Scanner;
use crate::{Refusal, framing, target};

/// The version of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
}

/// How long the content of a request is (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes; 0 if the request has no content.
    Length(u64),
    /// The chunked coding says.
    Chunked,
}

/// A piece of the head: offsets, so that a [`Head`] is reused from request to request without an allocation. A head
/// is shorter than 4 GiB because limits are checked first, which allow no more ([`Limits::MAX_LENGTH`]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    #[inline]
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    /// Where `part`, a slice of `whole`, lies in it.
    fn of(whole: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr().addr() - whole.as_ptr().addr();
        Self::new(start, start + part.len())
    }

    #[inline]
    pub(crate) fn get(self, whole: &[u8]) -> &[u8] {
        &whole[self.start as usize..self.end as usize]
    }

    /// The same as text, if it lies in `outer`, whose text this is.
    fn text_of(self, text: &str, outer: Self) -> &str {
        &text[(self.start - outer.start) as usize..(self.end - outer.start) as usize]
    }

    fn text(self, whole: &[u8]) -> &str {
        // Only made of what httparse and `target` let through: ASCII.
        std::str::from_utf8(self.get(whole)).unwrap_or_default()
    }
}

/// A parsed head, as offsets into its bytes. Pair it with the bytes by [`Head::view`].
#[derive(Debug)]
pub struct Head {
    pub(crate) version: Version,
    pub(crate) method: Span,
    pub(crate) target: Span,
    /// In the target, as the query.
    pub(crate) path: Span,
    pub(crate) query: Option<Span>,
    pub(crate) host: Option<Span>,
    pub(crate) headers: Vec<(Span, Span)>,
    framing: Framing,
    keep_alive: bool,
    expect_continue: bool,
    pub(crate) connect: bool,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            version: Version::Http11,
            method: Span::default(),
            target: Span::default(),
            path: Span::default(),
            query: None,
            host: None,
            headers: Vec::new(),
            framing: Framing::Length(0),
            keep_alive: false,
            expect_continue: false,
            connect: false,
        }
    }
}

/// What the header lines say that decides something, gathered line by line.
#[derive(Default)]
pub(crate) struct Findings {
    hosts: usize,
    expect_continue: bool,
    framing: framing::Findings,
}

impl Head {
    /// Parses a whole head, as [`Scanner::find`] delimits it.
    ///
    /// # Errors
    /// Every way in which a head can be malformed or ambiguous; see [`Refusal`].
    #[inline(never)]
    pub fn parse(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let mut storage = [const { MaybeUninit::uninit() }; Limits::MAX_HEADER_COUNT];
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(bytes, &mut storage) {
            Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
            Ok(_) => return Err(Refusal::LineEnd),
            Err(error) => return Err(refusal_of(error)),
        }
        self.take(bytes, &parsed)
    }

    fn take(&mut self, bytes: &[u8], parsed: &httparse::Request<'_, '_>) -> Result<(), Refusal> {
        let (Some(method), Some(target), Some(minor)) =
            (parsed.method, parsed.path, parsed.version)
        else {
            return Err(Refusal::RequestLine);
        };
        self.version = if minor == 0 {
            Version::Http10
        } else {
            Version::Http11
        };
        self.method = Span::of(bytes, method.as_bytes());
        self.target = Span::of(bytes, target.as_bytes());
        self.read_target(bytes)?;
        self.headers.clear();
        let mut found = Findings::default();
        for header in parsed.headers.iter() {
            let name = header.name.as_bytes();
            let value = Span::of(bytes, header.value);
            self.headers.push((Span::of(bytes, name), value));
            self.note(name, header.value, value, &mut found)?;
        }
        self.conclude(&found)
    }

    /// Cuts the target into its parts.
    pub(crate) fn read_target(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let (method, target) = (self.method.text(bytes), self.target.text(bytes));
        let parts = target::split(method, target).ok_or(Refusal::Target)?;
        let span = |part: &str| Span::of(bytes, part.as_bytes());
        self.path = if parts.path.is_empty() {
            Span::default()
        } else {
            span(parts.path)
        };
        self.query = parts.query.map(span);
        self.connect = method == "CONNECT";
        self.host = parts.authority.map(span);
        Ok(())
    }

    /// Takes down what one header line says about framing and persistence.
    #[inline]
    pub(crate) fn note(
        &mut self,
        name: &[u8],
        text: &[u8],
        value: Span,
        found: &mut Findings,
    ) -> Result<(), Refusal> {
        // The length tells nearly always that a name is none of these.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                found.hosts += 1;
                if found.hosts > 1 || !target::is_authority(text) {
                    return Err(Refusal::Host);
                }
                // An absolute target's authority overrides the header (RFC 9112, section 3.2.2).
                self.host.get_or_insert(value);
            }
            6 if name.eq_ignore_ascii_case(b"expect") => {
                if !text.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Refusal::Expectation);
                }
                found.expect_continue = true;
            }
            _ => found.framing.note(name, text)?,
        }
        Ok(())
    }

    /// RFC 9112, sections 3.2 (Host), 6.3 (length of the content) and 9.3 (persistence).
    #[inline]
    pub(crate) fn conclude(&mut self, found: &Findings) -> Result<(), Refusal> {
        if self.version == Version::Http11 && found.hosts != 1 {
            return Err(Refusal::Host);
        }
        let framing = found.framing.framing(self.version)?;
        self.framing = framing.unwrap_or(Framing::Length(0));
        self.keep_alive = found.framing.keep_alive(self.version);
        // An HTTP/1.0 client does not know the interim answer, and without content there is nothing to wait for.
        self.expect_continue = found.expect_continue
            && self.version == Version::Http11
            && self.framing != Framing::Length(0);
        Ok(())
    }

    /// The head together with the bytes it was parsed from.
    #[must_use]
    pub fn view<'a>(&'a self, bytes: &'a [u8]) -> HeadView<'a> {
        HeadView {
            head: self,
            bytes,
            target: self.target.text(bytes),
        }
    }

    /// How the content is framed.
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the connection may carry another request after this one.
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Whether the client waits for `100 Continue` before it sends the content.
    #[must_use]
    pub fn expect_continue(&self) -> bool {
        self.expect_continue
    }

    /// Whether the method is CONNECT: the target is then `host:port`, and so is [`HeadView::host`].
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.connect
    }

    /// The request's version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }
}

/// A [`Head`] and its bytes.
#[derive(Clone, Copy, Debug)]
pub struct HeadView<'a> {
    head: &'a Head,
    bytes: &'a [u8],
    target: &'a str,
}

impl<'a> HeadView<'a> {
    /// The parsed head without its bytes.
    #[must_use]
    pub fn head(self) -> &'a Head {
        self.head
    }

    /// The method as sent; methods are case-sensitive.
    #[must_use]
    pub fn method(self) -> &'a str {
        match self.head.method.get(self.bytes) {
            b"GET" => "GET",
            _ => self.head.method.text(self.bytes),
        }
    }

    /// The target as sent.
    #[must_use]
    pub fn target(self) -> &'a str {
        self.target
    }

    /// The target's path, still percent-encoded; it begins with `/`, except for `OPTIONS *`. That of
    /// CONNECT is `/`.
    #[must_use]
    pub fn path(self) -> &'a str {
        // `http://host` has no path, which means "/" (RFC 9110, section 4.2.3).
        if self.head.path == Span::default() {
            "/"
        } else {
            self.head.path.text_of(self.target, self.head.target)
        }
    }

    /// What follows the target's `?`, still percent-encoded.
    #[must_use]
    pub fn query(self) -> Option<&'a str> {
        self.head
            .query
            .map(|span| span.text_of(self.target, self.head.target))
    }

    /// The host (and port) that the request is for; empty if an HTTP/1.0 client did not say.
    #[must_use]
    pub fn host(self) -> &'a str {
        self.head.host.map_or("", |span| span.text(self.bytes))
    }

    /// All header lines in order, names as sent.
    pub fn headers(self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.head
            .headers
            .iter()
            .map(move |(name, value)| (name.text(self.bytes), value.get(self.bytes)))
    }

    /// All values of one header, in order; the name's case does not matter.
    pub fn values(self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.head
            .headers
            .iter()
            .filter(move |(other, _)| {
                let other = other.get(self.bytes);
                other.eq_ignore_ascii_case(name.as_bytes())
            })
            .map(move |(_, value)| value.get(self.bytes))
    }
}

fn refusal_of(error: httparse::Error) -> Refusal {
    match error {
        httparse::Error::HeaderName | httparse::Error::HeaderValue => Refusal::HeaderLine,
        httparse::Error::NewLine => Refusal::LineEnd,
        httparse::Error::TooManyHeaders => Refusal::TooManyHeaders,
        httparse::Error::Version => Refusal::Version,
        httparse::Error::Token | httparse::Error::Status => Refusal::RequestLine,
    }
}

/// `1*DIGIT` that fits: no sign, no space, no list.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |value, &byte| {
        let digit = (byte as char).to_digit(10)?;
        value.checked_mul(10)?.checked_add(digit.into())
    })
}

/// Whether a comma-separated list holds `token`, whatever its case.
pub(crate) fn has_token(list: &[u8], token: &str) -> bool {
    list.split(|&byte| byte == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use proptest::prelude::*;

    use super::*;

    /// What the two ways find: by [`Head::parse_at_once`], and by [`Scanner::find`] and [`Head::parse`].
    fn both_ways(bytes: &[u8], limits: &Limits) -> [Option<(Range<usize>, String)>; 2] {
        let (mut at_once, mut in_steps) = (Head::default(), Head::default());
        let first = at_once.parse_at_once(bytes, limits);
        let second = Scanner::default().find(bytes, limits).ok().flatten();
        let second = second.filter(|range| in_steps.parse(&bytes[range.clone()]).is_ok());
        [
            first.map(|range| (range, format!("{at_once:?}"))),
            second.map(|range| (range, format!("{in_steps:?}"))),
        ]
    }

    #[test]
    fn a_whole_head_is_taken_at_once() {
        for wire in [
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "\r\nPOST /a?b HTTP/1.1\r\nHost: h:1\r\nContent-Length: 3\r\nAccept: \t */* \r\n\r\nabc",
        ] {
            let [at_once, in_steps] = both_ways(wire.as_bytes(), &Limits::default());
            assert!(at_once.is_some(), "{wire:?}");
            assert_eq!(at_once, in_steps);
        }
    }

    #[test]
    fn limits_hold_at_once_as_in_steps() {
        let wire = b"GET /234567890 HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\n\r\n";
        for size in 0..60 {
            let limits = Limits {
                request_line: size,
                ..Limits::default()
            };
            let [at_once, in_steps] = both_ways(wire, &limits);
            assert_eq!(at_once, in_steps, "request line {size}");
            let limits = Limits {
                headers: size,
                ..Limits::default()
            };
            let [at_once, in_steps] = both_ways(wire, &limits);
            assert!(at_once.is_none() || at_once == in_steps, "headers {size}");
            let limits = Limits {
                header_count: size,
                ..Limits::default()
            };
            let [at_once, in_steps] = both_ways(wire, &limits);
            assert_eq!(at_once, in_steps, "{size} headers");
        }
    }

    #[test]
    fn whatever_byte_is_changed_no_more_is_let_through_at_once() {
        for wire in [
            "GET /a?b HTTP/1.1\r\nHost: h:1\r\nX-Y: \t v w\t \r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc",
            "\r\nPOST http://h/a HTTP/1.1\r\nHost: i\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\nE:\r\n\r\n",
            "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\nA: \u{e9}\r\n\r\n",
            "OPTIONS * HTTP/1.0\r\nhost:\r\n\r\n",
        ] {
            let mut taken = 0;
            let mut check = |bytes: &[u8]| {
                let [at_once, in_steps] = both_ways(bytes, &Limits::default());
                taken += usize::from(at_once.is_some());
                let text = bytes.escape_ascii();
                assert!(
                    at_once.is_none() || at_once == in_steps,
                    "{text}: {at_once:?}, {in_steps:?}"
                );
            };
            for at in 0..wire.len() {
                let mut bytes = wire.as_bytes().to_vec();
                for byte in 0..=255 {
                    bytes[at] = byte;
                    check(&bytes);
                }
                bytes.remove(at);
                check(&bytes);
                check(&wire.as_bytes()[..at]);
            }
            assert!(taken > 10 * wire.len(), "{wire:?}: {taken}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        /// Whatever is taken at once is taken in steps, too, and as the same.
        #[test]
        fn no_more_is_let_through_at_once_than_in_steps(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "GET / HTTP/1.1", "POST /a HTTP/1.0", "GET http://h/ HTTP/1.1", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r",
                "Host: h", "host:h", "Host:", "Content-Length: 3", "Content-Length: 3, 3", "Transfer-Encoding: chunked",
                "A: b", "A : b", ":", " ", "\t", "x", "\0", "Connection: close", "GET", "HTTP/1.1", "\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: h\r\n", "Expect: 100-continue\r\n", "\r\n folded", "A: b\r\n",
            ]), 0..12)
        ) {
            let wire = pieces.concat();
            let [at_once, in_steps] = both_ways(wire.as_bytes(), &Limits::default());
            prop_assert!(at_once.is_none() || at_once == in_steps, "{wire:?}: {at_once:?}, {in_steps:?}");
        }
    }
}
