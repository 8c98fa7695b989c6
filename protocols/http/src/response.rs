//! What a handler answers with.

use std::sync::Arc;

use grapeshot::net::Stream;

use crate::body::is_token;
use crate::compress::{Choice, Encoder, LEAST, is_compressible};
use crate::encode::{encode_length, encode_start, encode_status};
use crate::exchange::{Answer, Draft, Exchange};
use crate::head::has_token;
use crate::request::Request;
use crate::writer::{BodyWriter, Coding};
use crate::{Error, Status};

/// The answer to a request, `200 OK` unless told otherwise. It is sent whole by [`send`](Response::send), piece by
/// piece through [`start`](Response::start), or turns into another protocol by [`upgrade`](Response::upgrade).
///
/// `Date`, `Content-Length`, `Transfer-Encoding` and `Connection` are the server's to write.
#[derive(Debug)]
#[must_use = "an answer must be sent"]
pub struct Response<'c> {
    exchange: &'c Exchange<'c>,
}

impl<'c> Response<'c> {
    pub(crate) fn new(exchange: &'c Exchange<'c>) -> Self {
        Self { exchange }
    }

    fn draft(&self) -> &'c Draft {
        &self.exchange.draft
    }

    fn refuse(&self, misuse: &'static str) {
        self.draft().misuse.set(Some(misuse));
    }

    /// Answers with this status.
    pub fn status(self, status: Status) -> Self {
        if status.is_informational() {
            self.refuse("an informational status is no final answer");
        }
        self.draft().status.set(status);
        self
    }

    /// Adds a header. A name that is no token, a value with a control character, and the headers that are the
    /// server's to write make the sending fail with [`Error::Misuse`].
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        match problem(name, value) {
            Some(why) => self.refuse(why),
            None => self.line(name, value),
        }
        self
    }

    /// Adds a `Content-Type`, unless there is one.
    pub(crate) fn default_type(self, media_type: &'static str) -> Self {
        self.draft().media_type.set(Some(media_type));
        self
    }

    /// Gives the answer the `Date` that its maker gave it, a server behind this one.
    #[cfg(feature = "client")]
    pub(crate) fn dated(self, value: &[u8]) -> Self {
        if !self.draft().dated.replace(true) {
            self.line("Date", value);
        }
        self
    }

    /// Whether a header of this name was added.
    #[must_use]
    pub fn has_header(&self, name: &str) -> bool {
        find_header(&self.draft().headers.borrow(), name).is_some()
    }

    fn line(&self, name: &str, value: &[u8]) {
        let mut headers = self.draft().headers.borrow_mut();
        headers.reserve(name.len() + value.len() + 4);
        headers.extend_from_slice(name.as_bytes());
        headers.extend_from_slice(b": ");
        headers.extend_from_slice(value);
        headers.extend_from_slice(b"\r\n");
    }

    /// Makes the sending fail.
    pub(crate) fn misused(self, why: &'static str) -> Self {
        self.refuse(why);
        self
    }

    /// Sends an interim answer before this one, at once: `103 Early Hints` with `Link` headers, for instance. A client of
    /// HTTP/1.0 is not sent it. **May suspend.**
    ///
    /// # Errors
    /// `Misuse` for a status that is not informational, or 101, and for headers that cannot be; else the stream's.
    pub fn interim(&self, status: Status, headers: &[(&str, &str)]) -> Result<(), Error> {
        let exchange = self.exchange;
        if !status.is_informational() || status == Status::SWITCHING_PROTOCOLS {
            return Err(Error::Misuse("this status is no interim answer"));
        }
        if exchange.answer.get() != Answer::None {
            return Err(Error::Misuse("the request is answered already"));
        }
        let cannot_be = |(name, value): &(&str, &str)| problem(name, value.as_bytes());
        if let Some(misuse) = headers.iter().find_map(cannot_be) {
            return Err(Error::Misuse(misuse));
        }
        if exchange.is_http10 {
            return Ok(());
        }
        let mut output = exchange.output.borrow_mut();
        let out = output.buffer();
        out.extend_from_slice(format!("HTTP/1.1 {status}\r\n").as_bytes());
        for (name, value) in headers {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        output.flush(&**exchange.stream, exchange.limits)
    }

    /// Declares the length of the content, for [`start`](Response::start), or for an answer to HEAD.
    pub fn content_length(self, bytes: u64) -> Self {
        self.draft().length.set(Some(bytes));
        self
    }

    /// Closes the connection after this answer.
    pub fn close(self) -> Self {
        self.exchange.close.set(true);
        self
    }

    /// Whether the request was HEAD: the answer's content will not be sent, so it need not be made either.
    #[must_use]
    pub fn is_head(&self) -> bool {
        self.exchange.is_head
    }

    /// Sends the whole answer. It may be held back until the connection waits, to leave with its successors.
    /// **May suspend.**
    ///
    /// # Errors
    /// `Misuse` for an answer that cannot be (see [`header`](Response::header)); else the stream's.
    pub fn send(self, content: impl AsRef<[u8]>) -> Result<(), Error> {
        let content = content.as_ref();
        if self.exchange.compress.get() != Choice::Untouched {
            return self.send_negotiated(content);
        }
        self.send_plain(content)
    }

    /// As was agreed with the client.
    fn send_negotiated(self, content: &[u8]) -> Result<(), Error> {
        let length = self.draft().length.get().unwrap_or(content.len() as u64);
        let Some(mut encoder) = self.choose_coding(Some(length))? else {
            return self.send_plain(content);
        };
        if self.exchange.is_head && content.is_empty() {
            // How long it would be is not known without making it.
            return self.start_with(None, None)?.finish();
        }
        if length != content.len() as u64 {
            return Err(Error::Misuse("the content is not as long as was declared"));
        }
        self.draft().length.set(None);
        let mut compressed = encoder.encode(content)?;
        compressed.extend(encoder.finish()?);
        self.send_plain(&compressed)
    }

    /// Decides whether content of `length` bytes, if that is known, is compressed, and writes the headers that say so.
    fn choose_coding(&self, length: Option<u64>) -> Result<Option<Encoder>, Error> {
        let draft = self.draft();
        let coding = match self.exchange.compress.get() {
            Choice::Untouched => return Ok(None),
            Choice::Plain => None,
            Choice::Coding(coding) => Some(coding),
        };
        let code = draft.status.get().code();
        let fits = {
            let headers = draft.headers.borrow();
            let kind = find_header(&headers, "Content-Type")
                .map(|at| &headers[at])
                .or(draft.media_type.get().map(str::as_bytes));
            let control = find_header(&headers, "Cache-Control").map(|at| &headers[at]);
            kind.is_some_and(is_compressible)
                && !control.is_some_and(|list| has_token(list, "no-transform"))
                && find_header(&headers, "Content-Encoding").is_none()
                && (code < 300 && !matches!(code, 204 | 206) || code >= 400)
        };
        if !fits || length.is_some_and(|length| length < LEAST) {
            return Ok(None);
        }
        // Caches must know, of plain answers too.
        self.line("Vary", b"Accept-Encoding");
        let Some(coding) = coding else {
            return Ok(None);
        };
        self.line("Content-Encoding", coding.name().as_bytes());
        let mut headers = draft.headers.borrow_mut();
        if let Some(at) = find_header(&headers, "ETag")
            && headers[at.start] == b'"'
        {
            // The same thing, but not byte by byte.
            headers.splice(at.start..at.start, *b"W/");
        }
        Ok(Some(Encoder::new(coding)?))
    }

    fn send_plain(self, content: &[u8]) -> Result<(), Error> {
        let length = match self.draft().length.get() {
            Some(length) if content.is_empty() && self.exchange.is_head => length,
            Some(length) if length != content.len() as u64 => {
                return Err(Error::Misuse("the content is not as long as was declared"));
            }
            _ => content.len() as u64,
        };
        if self.draft().status.get().is_bodyless() && !content.is_empty() {
            return Err(Error::Misuse("an answer with this status has no content"));
        }
        self.write_head(Some(length))?;
        let exchange = self.exchange;
        // From here on there is no other answer to give: a failing write ends the connection.
        exchange.answer.set(Answer::Started);
        if !exchange.is_head && !content.is_empty() {
            exchange.sent.set(content.len() as u64);
            exchange
                .output
                .borrow_mut()
                .append(&**exchange.stream, exchange.limits, content)?;
        }
        exchange.answer.set(Answer::Complete);
        Ok(())
    }

    /// Sends plain text, unless a `Content-Type` that was added says what it is.
    ///
    /// # Errors
    /// As [`send`](Response::send).
    pub fn send_text(self, text: &str) -> Result<(), Error> {
        self.default_type("text/plain; charset=utf-8").send(text)
    }

    /// Begins an answer whose content is written piece by piece: with the declared
    /// [`content_length`](Response::content_length) if there is one, else chunked, or for HTTP/1.0 up to the
    /// connection's end.
    ///
    /// # Errors
    /// `Misuse` for an answer that cannot be (see [`header`](Response::header)).
    pub fn start(self) -> Result<BodyWriter<'c>, Error> {
        let length = if self.draft().status.get().is_bodyless() {
            Some(0)
        } else {
            self.draft().length.get()
        };
        match self.choose_coding(length)? {
            None => self.start_with(length, None),
            encoder => self.start_with(None, encoder),
        }
    }

    fn start_with(
        self,
        length: Option<u64>,
        encoder: Option<Encoder>,
    ) -> Result<BodyWriter<'c>, Error> {
        let exchange = self.exchange;
        if length.is_none() && exchange.is_http10 {
            exchange.close.set(true);
        }
        self.write_head(length)?;
        exchange.answer.set(Answer::Started);
        let coding = match length {
            _ if exchange.is_head => Coding::Nowhere,
            Some(length) => Coding::Length(length),
            None if exchange.is_http10 => Coding::UntilClose,
            None => Coding::Chunked,
        };
        let mut gathered = self.draft().headers.take();
        gathered.clear();
        Ok(BodyWriter::new(exchange, coding, gathered, encoder))
    }

    /// Answers `101 Switching Protocols` and hands over the stream, with whatever was received behind the request.
    /// HTTP has no part in it any more: the handler goes on with the stream for as long as it likes, in its own
    /// coroutine or in others. **May suspend.**
    ///
    /// # Errors
    /// `Misuse` if the request was HTTP/1.0 or has content; else the stream's.
    pub fn upgrade(self, request: &mut Request<'_>, protocol: &str) -> Result<Upgraded, Error> {
        if self.exchange.is_http10 || self.exchange.is_connect {
            return Err(Error::Misuse("this request cannot change the protocol"));
        }
        self.line("Upgrade", protocol.as_bytes());
        let end = b"Connection: Upgrade\r\n\r\n";
        self.change_protocol(request, Status::SWITCHING_PROTOCOLS, Some(end))
    }

    /// Answers a `CONNECT` with `200 OK`, and hands over the stream as [`upgrade`](Response::upgrade) does: what it
    /// carries from now on is the tunnel's (RFC 9110, section 9.3.6). **May suspend.**
    ///
    /// # Errors
    /// `Misuse` if the request is no CONNECT or has content; else the stream's.
    pub fn tunnel(self, request: &mut Request<'_>) -> Result<Upgraded, Error> {
        if !self.exchange.is_connect {
            return Err(Error::Misuse("only CONNECT asks for a tunnel"));
        }
        self.change_protocol(request, Status::OK, Some(b"\r\n"))
    }

    /// Hands over the stream as [`upgrade`](Response::upgrade) does, but answers nothing: for protocols whose answer has a
    /// form of its own. Status and headers that were set are not sent. **May suspend.**
    ///
    /// # Errors
    /// As [`upgrade`](Response::upgrade).
    pub fn hand_over(self, request: &mut Request<'_>) -> Result<Upgraded, Error> {
        if self.exchange.is_http10 {
            return Err(Error::Misuse("this request cannot change the protocol"));
        }
        self.change_protocol(request, Status::SWITCHING_PROTOCOLS, None)
    }

    /// Sends an answer whose head has this `end`, if it has one, and lets go of the stream.
    fn change_protocol(
        self,
        request: &mut Request<'_>,
        status: Status,
        end: Option<&[u8]>,
    ) -> Result<Upgraded, Error> {
        let exchange = self.exchange;
        if !request.body.decoder.is_done() || exchange.answer.get() != Answer::None {
            return Err(Error::Misuse("this request cannot change the protocol"));
        }
        if let Some(misuse) = self.draft().misuse.get() {
            return Err(Error::Misuse(misuse));
        }
        let mut output = exchange.output.borrow_mut();
        self.draft().status.set(status);
        if let Some(end) = end {
            let out = output.buffer();
            self.encode_start(out, status);
            out.extend_from_slice(&self.draft().headers.borrow());
            out.extend_from_slice(end);
        }
        exchange.answer.set(Answer::Upgraded);
        output.flush(&**exchange.stream, exchange.limits)?;
        let received = request.body.rest().to_vec();
        request.body.forget_rest();
        Ok(Upgraded {
            stream: Arc::clone(exchange.stream),
            received,
        })
    }

    /// The status line, and the date unless the headers have one.
    fn encode_start(&self, out: &mut Vec<u8>, status: Status) {
        if self.draft().dated.get() {
            encode_status(out, status);
        } else {
            encode_start(out, status, self.exchange.now);
        }
    }

    /// Writes the head for content of `length`; without one, chunked or up to the connection's end.
    fn write_head(&self, length: Option<u64>) -> Result<(), Error> {
        let exchange = self.exchange;
        if exchange.answer.get() != Answer::None {
            return Err(Error::Misuse("the request is answered already"));
        }
        if let Some(misuse) = self.draft().misuse.get() {
            return Err(Error::Misuse(misuse));
        }
        let status = self.draft().status.get();
        if exchange.is_connect && status.is_success() {
            return Err(Error::Misuse("a CONNECT is answered by a tunnel"));
        }
        let close = exchange.must_close();
        exchange.close.set(close);
        let mut output = exchange.output.borrow_mut();
        let out = output.buffer();
        self.encode_start(out, status);
        let headers = self.draft().headers.borrow();
        if let Some(media_type) = self.draft().media_type.get()
            && (headers.is_empty() || find_header(&headers, "Content-Type").is_none())
        {
            out.extend_from_slice(b"Content-Type: ");
            out.extend_from_slice(media_type.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(&headers);
        match length {
            _ if status.is_bodyless() => {}
            Some(length) => encode_length(out, length),
            None if exchange.is_http10 => {}
            None => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        }
        if status == Status::UPGRADE_REQUIRED && !exchange.is_http10 {
            // Its `Upgrade` is for this connection only (RFC 9110, section 7.8).
            out.extend_from_slice(b"Connection: Upgrade\r\n");
        }
        if close {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if exchange.is_http10 {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }
}

/// Where the value of a header is in complete header lines.
fn find_header(lines: &[u8], name: &str) -> Option<std::ops::Range<usize>> {
    let mut start = 0;
    while let Some(length) = memchr::memchr(b'\n', &lines[start..]) {
        let line = &lines[start..start + length - 1];
        if let Some((found, rest)) = line.split_at_checked(name.len())
            && found.eq_ignore_ascii_case(name.as_bytes())
            && rest.starts_with(b": ")
        {
            return Some(start + name.len() + 2..start + line.len());
        }
        start += length + 1;
    }
    None
}

/// Why there cannot be such a header in an answer.
pub(crate) fn problem(name: &str, value: &[u8]) -> Option<&'static str> {
    if name.is_empty() || !name.bytes().all(is_token) {
        Some("a header's name is not a token")
    } else if value
        .iter()
        .any(|&byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f)
    {
        Some("a header's value has a control character")
    } else if is_framing(name) {
        Some("Date, Content-Length, Transfer-Encoding and Connection are written by the server")
    } else {
        None
    }
}

fn is_framing(name: &str) -> bool {
    matches!(name.len(), 4 | 10 | 14 | 17)
        && ["date", "connection", "content-length", "transfer-encoding"]
            .iter()
            .any(|framing| name.eq_ignore_ascii_case(framing))
}

/// A connection that HTTP has handed over.
pub struct Upgraded {
    /// The stream.
    pub stream: Arc<dyn Stream>,
    /// What was received behind the request: the first bytes of the new protocol.
    pub received: Vec<u8>,
}

impl std::fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upgraded")
            .field("received", &self.received.len())
            .finish_non_exhaustive()
    }
}
