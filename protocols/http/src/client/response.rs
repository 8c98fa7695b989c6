//! An answer: its head, and its content as a `Read`.

use std::io::{self, Read};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use url::Url;

use super::decode::{Decoded, is_bomb};
use super::error::{Error, ErrorKind, Fault};
use super::head::{Headers, ResponseHead};
use super::redirect::Redirect;
use super::shared::Shared;
use crate::{Status, Version};

/// The answer to a request. Its head is there; its content comes from the connection as it is read (`Response` is
/// `Read`), decompressed. Each read **may suspend**.
///
/// Once the content is read to its end the connection is free for the next request. If an answer is dropped before, its
/// connection is closed; [`drain`](Response::drain) reads a short rest away instead.
pub struct Response {
    pub(super) head: ResponseHead,
    pub(super) method: String,
    pub(super) url: Url,
    pub(super) redirects: Vec<Redirect>,
    pub(super) content: Decoded,
    pub(super) shared: Arc<Shared>,
    /// Bytes given to the reader.
    taken: u64,
    /// As many may be.
    most: u64,
    /// True while the content is read; found true, that read was left in the middle.
    midway: bool,
}

impl Response {
    pub(super) fn new(
        head: ResponseHead,
        method: String,
        url: Url,
        redirects: Vec<Redirect>,
        content: Decoded,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            head,
            method,
            url,
            redirects,
            content,
            shared,
            taken: 0,
            most: u64::MAX,
            midway: false,
        }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> Status {
        self.head.status()
    }

    /// The version that the server speaks.
    #[must_use]
    pub fn version(&self) -> Version {
        self.head.version()
    }

    /// All header lines.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        self.head.headers()
    }

    /// The value of a header, if it occurs and is ASCII or UTF-8; of several the first.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().value(name)
    }

    /// What was asked in the end: the last redirect's URL, if there were any.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The redirects that were followed, in order.
    #[must_use]
    pub fn redirects(&self) -> &[Redirect] {
        &self.redirects
    }

    /// The length of the content, if the server declared it and it is not compressed. For an answer to HEAD it is that
    /// of the content which was not sent.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        let declared = self.header("content-length")?.parse().ok()?;
        self.content.is_plain().then_some(declared)
    }

    /// Header lines that the server sent behind chunked content; there once the content is read to its end.
    #[must_use]
    pub fn trailers(&self) -> &Headers {
        static NONE: std::sync::LazyLock<Headers> = std::sync::LazyLock::new(Headers::default);
        self.content
            .content()
            .map_or(&NONE, super::content::Content::trailers)
    }

    /// Makes a status of 400 or above an error.
    ///
    /// # Errors
    /// [`ErrorKind::Status`].
    pub fn success(self) -> Result<Self, Error> {
        if self.status().code() < 400 {
            Ok(self)
        } else {
            Err(self.error(ErrorKind::Status(self.status())))
        }
    }

    /// Takes no more than so many bytes of content, decompressed; the read that would give more is an error.
    #[must_use]
    pub fn limit(mut self, bytes: u64) -> Self {
        self.most = bytes;
        self
    }

    /// Reads the whole content, at most [`Limits::content`](super::Limits::content) bytes unless
    /// [`limit`](Response::limit) said otherwise. **May suspend.**
    ///
    /// # Errors
    /// [`ErrorKind::TooLong`], and those of reading.
    pub fn bytes(mut self) -> Result<Vec<u8>, Error> {
        self.most = self.most.min(self.shared.limits.content);
        if let Some(length) = self.content_length()
            && length > self.most
            && !self
                .content
                .content()
                .is_some_and(super::content::Content::is_ended)
        {
            return Err(self.error(ErrorKind::TooLong(self.most)));
        }
        let mut all = Vec::new();
        let mut filled = 0;
        loop {
            if filled == all.len() {
                // The declared length is within the limit, or not known.
                let declared = self.content_length().unwrap_or(0) as usize;
                let room = (declared + 1).saturating_sub(filled).max(8 << 10);
                all.resize(filled + room.max(filled / 2), 0);
            }
            match self.read_some(&mut all[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        all.truncate(filled);
        Ok(all)
    }

    /// Reads the whole content as text, as [`bytes`](Response::bytes) does: Latin-1 if the server says so, else UTF-8, in
    /// which what is malformed is replaced. **May suspend.**
    ///
    /// # Errors
    /// As for [`bytes`](Response::bytes).
    pub fn text(self) -> Result<String, Error> {
        let is_latin = self.header("content-type").is_some_and(|kind| {
            let kind = kind.to_ascii_lowercase();
            kind.contains("charset=iso-8859-1") || kind.contains("charset=latin1")
        });
        let bytes = self.bytes()?;
        Ok(if is_latin {
            bytes.into_iter().map(char::from).collect()
        } else {
            String::from_utf8(bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
        })
    }

    /// Reads the whole content as JSON, as [`bytes`](Response::bytes) does. **May suspend.**
    ///
    /// # Errors
    /// [`ErrorKind::Json`]; as for [`bytes`](Response::bytes).
    pub fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        let (method, url) = (self.method.clone(), self.url.clone());
        let bytes = self.bytes()?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::new(ErrorKind::Json(error)).at(&method, &url))
    }

    /// Gives the answer up: a rest of at most [`Limits::drain`](super::Limits::drain) bytes is read away, so that the
    /// connection can be used again; with more to come it is closed. **May suspend.**
    pub fn drain(mut self) {
        let budget = self.shared.limits.drain;
        if let Some(content) = self.content.content_mut() {
            content.drain(budget);
        }
    }

    /// Reads content; 0 at its end. **May suspend.**
    pub(super) fn read_some(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        if std::mem::replace(&mut self.midway, true) {
            return Err(self.error(ErrorKind::LeftInTheMiddle));
        }
        let count = match self.content.take(out) {
            Ok(count) => count,
            Err(kind) => {
                // Nothing follows; the connection need not wait for the end of this answer's life.
                self.content = Decoded::Broken;
                return Err(self.error(kind));
            }
        };
        self.taken += count as u64;
        self.check()?;
        self.midway = false;
        Ok(count)
    }

    fn check(&mut self) -> Result<(), Error> {
        let received = self
            .content
            .content()
            .map_or(0, super::content::Content::received);
        let kind = if self.taken > self.most {
            ErrorKind::TooLong(self.most)
        } else if !self.content.is_plain()
            && is_bomb(self.taken, received, self.shared.limits.expansion)
        {
            Fault::Bomb.into()
        } else {
            return Ok(());
        };
        self.content = Decoded::Broken;
        Err(self.error(kind))
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind).at(&self.method, &self.url)
    }
}

impl Read for Response {
    /// Reads content, decompressed; 0 at its end. **May suspend**, each time for the time-out of
    /// [`Phase::Content`](super::Phase::Content) at most. A read that is left in the middle (by a time-out around it)
    /// leaves the answer of no use.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.read_some(out).map_err(io::Error::from)
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status())
            .field("url", &self.url.as_str())
            .finish_non_exhaustive()
    }
}
