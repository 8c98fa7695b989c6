//! Content that is compressed on its way.

mod decoder;
mod encoder;

pub use decoder::Decompressed;
pub(crate) use encoder::Encoder;

use crate::negotiate::{ContentCoding, accepted};
use crate::{Handler, HandlerError, Rejection, Request, Response, Status};

/// Compresses what a handler answers, if the client takes that and it is worth it: text, JSON and the like, of 256 bytes
/// or more (or of unknown length), which the handler did not compress itself. What is written piece by piece is compressed
/// so; a flush sends what there is, so that server-sent events arrive when they happen.
///
/// ```
/// use grapeshot_http::{Compressed, Router, Server};
///
/// let server = Server::with_handler(Compressed::new(Router::new().get("/", |_| "hello ".repeat(100))));
/// ```
///
/// Do not compress what has a secret in it beside what an attacker chooses: the length would tell (BREACH). A handler keeps
/// its answer as it is by `Cache-Control: no-transform`.
#[derive(Debug, Clone)]
pub struct Compressed<H> {
    inner: H,
    codings: Vec<ContentCoding>,
}

impl<H: Handler> Compressed<H> {
    /// Compresses what `inner` answers, with whatever there is.
    pub fn new(inner: H) -> Self {
        let codings = ContentCoding::ALL.to_vec();
        Self { inner, codings }.codings(&ContentCoding::ALL)
    }

    /// Compresses with these only, the best first. One that was not built in is left out.
    #[must_use]
    pub fn codings(mut self, codings: &[ContentCoding]) -> Self {
        let there = |coding: &ContentCoding| Encoder::supports(*coding);
        self.codings = codings.iter().copied().filter(there).collect();
        self
    }
}

impl<H: Handler> Handler for Compressed<H> {
    fn handle(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
    ) -> Result<(), HandlerError> {
        let coding = accepted(**request, &self.codings).first().copied();
        let choice = coding.map_or(Choice::Plain, Choice::Coding);
        request.body.exchange.compress.set(choice);
        self.inner.handle(request, response)
    }

    fn matches(&self, request: &Request<'_>) -> bool {
        self.inner.matches(request)
    }
}

/// What was agreed with the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Choice {
    /// Nobody asked.
    #[default]
    Untouched,
    /// It is to have plain content; others may get it compressed.
    Plain,
    Coding(ContentCoding),
}

/// Content shorter than this is sent as it is.
pub(crate) const LEAST: u64 = 256;

/// Whether content of this type becomes much shorter.
pub(crate) fn is_compressible(media_type: &[u8]) -> bool {
    let essence = media_type
        .split(|&byte| byte == b';')
        .next()
        .unwrap_or_default();
    let essence = essence.trim_ascii().to_ascii_lowercase();
    let named: [&[u8]; 8] = [
        b"application/javascript",
        b"application/json",
        b"application/manifest+json",
        b"application/wasm",
        b"application/xml",
        b"image/svg+xml",
        b"image/bmp",
        b"font/ttf",
    ];
    essence.starts_with(b"text/")
        || essence.ends_with(b"+json")
        || essence.ends_with(b"+xml")
        || named.contains(&&*essence)
}

impl<'c> Request<'c> {
    /// The content without its `Content-Encoding` (gzip, deflate, br, or zstd with the feature `zstd`), of which at most
    /// `most` bytes are given: what would become more than that is refused with 413, however short it was sent.
    ///
    /// # Errors
    /// A [`Rejection`] with 415 for a coding that is not known, or for several on top of each other.
    pub fn decompressed(&mut self, most: u64) -> Result<Decompressed<'_, 'c>, Rejection> {
        let mut codings = self.values("Content-Encoding");
        let (first, second) = (codings.next(), codings.next());
        let coding = match first.map(|value| std::str::from_utf8(value).unwrap_or("?").trim()) {
            None | Some("" | "identity") => None,
            Some(name) => Some(
                ContentCoding::of_name(name)
                    .filter(|coding| second.is_none() && Encoder::supports(*coding))
                    .ok_or_else(|| {
                        let text = "this Content-Encoding is not understood here";
                        Rejection::new(Status::UNSUPPORTED_MEDIA_TYPE, text)
                    })?,
            ),
        };
        Decompressed::new(self, coding, most)
    }
}
