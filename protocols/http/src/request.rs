//! What a handler is given of a request: its head, and its content as a `Read`.

use std::any::{Any, TypeId};
use std::io::{self, Read};
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use grapeshot::net::Peer;
#[cfg(doc)]
use grapeshot::net::Stream;
use grapeshot::with_timeout;

use crate::body::{Decoder, Step};
use crate::exchange::Exchange;
use crate::head::HeadView;
use crate::{Error, Refusal, Rejection, Response, Status};

/// A request. Its head is there; its content is read from the connection as the handler reads it (`Request` is
/// `Read`). The methods of the head are those of [`HeadView`], to which it dereferences.
///
/// What it lends lives as long as the request, not as long as a borrow of it: the path may be kept while the
/// content is read.
#[derive(Debug)]
pub struct Request<'c> {
    head: HeadView<'c>,
    pub(crate) body: Body<'c>,
    /// What the parameters of the routes stand for, decoded; of the same name the last counts.
    params: Vec<(Arc<str>, String)>,
    /// So many bytes of the path were matched by the routes that led here.
    matched: usize,
    extensions: Vec<(TypeId, Box<dyn Any>)>,
}

impl<'c> Request<'c> {
    pub(crate) fn new(head: HeadView<'c>, body: Body<'c>) -> Self {
        Self {
            head,
            body,
            params: Vec::new(),
            matched: 0,
            extensions: Vec::new(),
        }
    }

    /// What a parameter of the route stands for, percent-decoded; empty if the route has none of that name.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.params
            .iter()
            .rev()
            .find(|(other, _)| **other == *name)
            .map_or("", |(_, value)| value)
    }

    /// What a parameter of the route stands for, as a number or whatever else can be made of it.
    ///
    /// # Errors
    /// A [`Rejection`] with 400 if nothing can; a handler may pass it on.
    pub fn param<T: FromStr>(&self, name: &str) -> Result<T, Rejection> {
        self.text(name).parse().map_err(|_| {
            let text = format!("{name:?} in the path is not what it should be");
            Rejection::new(Status::BAD_REQUEST, text)
        })
    }

    pub(crate) fn add_param(&mut self, name: Arc<str>, value: String) {
        self.params.push((name, value));
    }

    /// What a `{rest...}` of the routes left of the path, beginning with its slash, still percent-encoded; the whole path,
    /// if there was none. A handler that serves what lies below some path goes by this.
    #[must_use]
    pub fn subpath(&self) -> &'c str {
        &self.head.path()[self.matched..]
    }

    /// So many bytes went to the client besides an answer: for the access log.
    pub(crate) fn note_sent(&self, bytes: u64) {
        self.body.exchange.sent.set(bytes);
    }

    pub(crate) fn descend(&mut self, bytes: usize) {
        self.matched += bytes;
    }

    /// Keeps a value for the handlers further inside: who was authenticated, for instance. One of the same type is replaced.
    pub fn insert<T: Any>(&mut self, value: T) {
        let id = TypeId::of::<T>();
        self.extensions.retain(|(other, _)| *other != id);
        self.extensions.push((id, Box::new(value)));
    }

    /// The value of this type that a handler further outside [inserted](Request::insert).
    #[must_use]
    pub fn get<T: Any>(&self) -> Option<&T> {
        let id = TypeId::of::<T>();
        let (_, value) = self.extensions.iter().find(|(other, _)| *other == id)?;
        value.downcast_ref()
    }

    /// A response to this request, if no answer was begun: for who called a handler that left without one.
    #[must_use]
    pub fn unanswered(&self) -> Option<Response<'c>> {
        let exchange = self.body.exchange;
        exchange.is_unanswered().then(|| {
            exchange.draft.clear();
            Response::new(exchange)
        })
    }

    /// The value of a header, if it occurs and is ASCII or UTF-8; of several the first.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'c str> {
        self.head
            .values(name)
            .next()
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Who sent it.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.body.exchange.peer
    }

    /// What the connection knows of this type: under TLS, `connection::<grapeshot_tls::Info>()` tells the version, the
    /// agreed protocol (ALPN), the name that the client asked for (SNI) and the certificates that it showed. `None` if it
    /// knows nothing of the kind. See [`Stream::extension`].
    #[must_use]
    pub fn connection<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.body.exchange.stream.about()
    }

    /// The length of the content, if the client declared it (0 if there is none); `None` if it is chunked.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        match self.head.head().framing() {
            crate::head::Framing::Length(n) => Some(n),
            crate::head::Framing::Chunked => None,
        }
    }

    /// Allows this request's content `bytes` instead of [`Limits::body`](crate::Limits::body). To be called before
    /// the content is read.
    pub fn limit_body(&mut self, bytes: u64) {
        self.body.decoder.limit(bytes);
    }

    /// The trailer fields behind chunked content, once that has been read to its end; none before. See
    /// [`Decoder::trailers`].
    pub fn trailers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.body.decoder.trailers()
    }

    /// Reads the whole content, which the limit on it bounds. **May suspend.**
    ///
    /// # Errors
    /// Those of reading: a refusal (too long, malformed, too slow), or the stream's. Pass them on from the handler:
    /// the server then gives the answer that belongs to them.
    pub fn read_body(&mut self) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        self.read_to_end(&mut content)
            .map_err(|error| match error.downcast::<Error>() {
                Ok(ours) => ours,
                Err(other) => Error::Io(other),
            })?;
        Ok(content)
    }
}

impl<'c> Deref for Request<'c> {
    type Target = HeadView<'c>;

    fn deref(&self) -> &HeadView<'c> {
        &self.head
    }
}

impl Read for Request<'_> {
    /// Reads content; 0 at its end. **May suspend**, each time for [`Limits::body_wait`](crate::Limits::body_wait)
    /// at most.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.body.read(out).map_err(io::Error::from)
    }
}

/// The content of the current request: the part of the connection's buffer behind the head, and the stream.
#[derive(Debug)]
pub(crate) struct Body<'c> {
    pub(crate) exchange: &'c Exchange<'c>,
    pub(crate) decoder: Decoder,
    window: &'c mut [u8],
    /// Bytes received and not taken: `window[pos..end]`.
    pos: usize,
    end: usize,
    failed: Failed,
    pace: Pace,
}

/// How fast the content comes.
#[derive(Debug, Default)]
struct Pace {
    waited: Duration,
    bytes: u64,
}

/// Why the content cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    No,
    Refused(Refusal),
    Truncated,
    Stream,
}

impl<'c> Body<'c> {
    pub(crate) fn new(
        exchange: &'c Exchange<'c>,
        decoder: Decoder,
        window: &'c mut [u8],
        received: usize,
    ) -> Self {
        let body = Self {
            exchange,
            decoder,
            window,
            pos: 0,
            end: received,
            failed: Failed::No,
            pace: Pace::default(),
        };
        body.note_what_is_left();
        body
    }

    /// The received bytes that do not belong to this request.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.window[self.pos..self.end]
    }

    pub(crate) fn rest_bounds(&self) -> (usize, usize) {
        (self.pos, self.end)
    }

    pub(crate) fn failed(&self) -> Failed {
        self.failed
    }

    pub(crate) fn forget_rest(&mut self) {
        self.pos = self.end;
    }

    /// Reads content; 0 at its end. **May suspend.**
    pub(crate) fn read(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        match self.failed {
            Failed::No => {}
            Failed::Refused(refusal) => return Err(refusal.into()),
            Failed::Truncated => return Err(Error::Truncated),
            Failed::Stream => return Err(Error::LeftInTheMiddle),
        }
        if out.is_empty() {
            return Ok(0);
        }
        let result = self.read_some(out);
        self.failed = match &result {
            Ok(_) => Failed::No,
            Err(Error::Refused(refusal)) => Failed::Refused(*refusal),
            Err(Error::Truncated) => Failed::Truncated,
            Err(_) => Failed::Stream,
        };
        self.note_what_is_left();
        result
    }

    fn read_some(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        loop {
            match self.decoder.advance(&self.window[self.pos..self.end])? {
                Step::Done { skip } => {
                    self.pos += skip;
                    return Ok(0);
                }
                Step::Data { skip, available } => {
                    let from = self.pos + skip;
                    let count = available.min(out.len());
                    out[..count].copy_from_slice(&self.window[from..from + count]);
                    self.pos = from + count;
                    self.decoder.take(count);
                    // A client that sends its content does not wait for leave to do so.
                    self.exchange.expect_pending.set(false);
                    return Ok(count);
                }
                Step::NeedMore => {}
            }
            // All that was received is taken.
            (self.pos, self.end) = (0, 0);
            self.exchange.before_reading_content()?;
            let run = usize::try_from(self.decoder.run()).unwrap_or(usize::MAX);
            if run.min(out.len()) >= self.window.len() {
                // Long content goes straight to where the handler wants it.
                let limit = run.min(out.len());
                let count = receive(self.exchange, &mut self.pace, &mut out[..limit])?;
                self.decoder.take(count);
                return Ok(count);
            }
            self.end = receive(self.exchange, &mut self.pace, self.window)?;
        }
    }

    /// Reads the rest of the content away, so that the next request can be read. False if that is not worth it or
    /// not possible: then the connection must be closed. **May suspend.**
    // Not inlined: as `linger`.
    #[inline(never)]
    pub(crate) fn drain(&mut self, mut budget: u64) -> bool {
        if self.decoder.left().is_some_and(|left| left > budget) {
            return false;
        }
        // What is thrown away is bounded by the budget, not by the limit on content.
        self.decoder.limit(u64::MAX);
        let mut sink = [0; 2048];
        while !self.decoder.is_done() {
            match self.read(&mut sink) {
                Ok(count) if count as u64 <= budget => budget -= count as u64,
                _ => return false,
            }
        }
        true
    }

    /// Tells the answer's head, which must announce a close if too much content will be left unread.
    fn note_what_is_left(&self) {
        let exchange = self.exchange;
        let too_much = self
            .decoder
            .left()
            .is_some_and(|left| left > exchange.limits.drain);
        exchange
            .content_in_the_way
            .set(too_much || self.failed != Failed::No);
    }
}

fn receive(exchange: &Exchange<'_>, pace: &mut Pace, buffer: &mut [u8]) -> Result<usize, Error> {
    let limits = exchange.limits;
    loop {
        let began = grapeshot::time::now();
        let result = with_timeout(limits.body_wait, || exchange.stream.read(buffer));
        pace.waited += grapeshot::time::now().saturating_duration_since(began);
        return match result {
            Err(_) => Err(Refusal::BodyTimeout.into()),
            Ok(Ok(0)) => Err(Error::Truncated),
            Ok(Ok(count)) => {
                pace.bytes += count as u64;
                if limits.too_slow(limits.body_rate, pace.bytes, pace.waited) {
                    return Err(Refusal::BodyTooSlow.into());
                }
                Ok(count)
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(Err(error)) => Err(error.into()),
        };
    }
}
