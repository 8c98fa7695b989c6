//! What can go wrong with a request: where, in which phase, and whose fault it is.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::{Refusal, Status};

/// A request that failed. It says which request, what happened, and [whose fault](Error::blame) it is.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    /// `GET http://host/path`, without the user's name and password.
    target: Option<String>,
}

/// What happened to a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A [`Phase`] took longer than its time-out.
    Timeout(Phase, Duration),
    /// The server sent what is refused.
    Refused(Fault),
    /// The server closed the connection before its answer was complete.
    Truncated,
    /// The server answered with this status, and [`Response::success`](super::Response::success) was asked for.
    Status(Status),
    /// The network or the stream failed in this phase.
    Io(Phase, io::Error),
    /// The proxy did not let us through; in its words.
    Proxy(String),
    /// A redirect that is not followed.
    Redirect(RedirectFault),
    /// The URL cannot be asked for.
    Url(String),
    /// More content than was allowed; the number is the limit on it, in bytes.
    TooLong(u64),
    /// The content is not the JSON that was asked for.
    Json(serde_json::Error),
    /// What the caller gave as content could not be read, or was not as long as was said.
    Body(io::Error),
    /// A local file could not be written.
    File(io::Error),
    /// An earlier read was left in the middle (a time-out unwound it, or it failed): nothing can follow it.
    LeftInTheMiddle,
    /// The request is none that HTTP allows.
    Misuse(&'static str),
}

/// The phases of a request. Each has a [time-out](super::ClientBuilder::timeout), and an error names the one that fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Waiting until the origin has fewer connections in use than are allowed. Default: no limit.
    Queue,
    /// Looking up the host's name. Default 10 s.
    Resolve,
    /// Connecting to one of its addresses. Default 10 s.
    Connect,
    /// Being let through by a proxy. Default 10 s.
    Proxy,
    /// The TLS handshake. Default 10 s.
    Handshake,
    /// Each wait for the peer to take some bytes of the request. Default 30 s.
    Send,
    /// Waiting for `100 Continue`; after it the content is sent all the same. Default 1 s.
    Continue,
    /// From the request's last byte to the end of the answer's head. Default 30 s.
    Answer,
    /// Each wait for some bytes of the answer's content. Default 30 s.
    Content,
    /// All of it, redirects and retries included, up to the last byte of the content. Default: no limit.
    Total,
}

impl Phase {
    pub(crate) const ALL: [Phase; 10] = [
        Phase::Queue,
        Phase::Resolve,
        Phase::Connect,
        Phase::Proxy,
        Phase::Handshake,
        Phase::Send,
        Phase::Continue,
        Phase::Answer,
        Phase::Content,
        Phase::Total,
    ];
    pub(crate) const COUNT: usize = Self::ALL.len();

    fn doing(self) -> &'static str {
        match self {
            Phase::Queue => "waiting for a free connection",
            Phase::Resolve => "looking up the host's name",
            Phase::Connect => "connecting",
            Phase::Proxy => "passing the proxy",
            Phase::Handshake => "the TLS handshake",
            Phase::Send => "sending the request",
            Phase::Continue => "waiting for 100 Continue",
            Phase::Answer => "waiting for the answer",
            Phase::Content => "reading the answer's content",
            Phase::Total => "the whole request",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.doing())
    }
}

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The program's that made the request.
    Caller,
    /// The server's: it broke the protocol, or answered what was not wanted.
    Server,
    /// The proxy's.
    Proxy,
    /// Nobody's in particular: the network, or whoever was too slow.
    Network,
}

/// What a server sent that is refused. Its connection is closed, because nobody can know any more where its next answer
/// begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The answer does not begin with `HTTP/1.1 SP status`.
    #[error("the status line is malformed, or this is not HTTP (TLS on a plain port?)")]
    StatusLine,
    /// A version other than HTTP/1.0 and HTTP/1.1.
    #[error("only HTTP/1.0 and HTTP/1.1 are understood here")]
    Version,
    /// A line that ends with a bare LF, or has a CR that no LF follows.
    #[error("a line does not end with CR LF")]
    LineEnd,
    /// A header line is malformed: white space before its colon, a folded line, a control character.
    #[error("a header line is malformed")]
    HeaderLine,
    /// Content-Length that is no plain number, or that occurs more than once.
    #[error("Content-Length is invalid or occurs more than once")]
    ContentLength,
    /// Both Content-Length and Transfer-Encoding: two readers would see two answers.
    #[error("Content-Length and Transfer-Encoding exclude each other")]
    LengthAndEncoding,
    /// Transfer-Encoding other than exactly `chunked`, or with HTTP/1.0.
    #[error("the only Transfer-Encoding taken is chunked, once, with HTTP/1.1")]
    TransferEncoding,
    /// A chunk's size is no hexadecimal number, or a chunk does not end where it should.
    #[error("the chunked coding is malformed")]
    Chunk,
    /// Beyond [`Limits::chunk_extensions`](super::Limits::chunk_extensions).
    #[error("too many chunk extensions")]
    ChunkExtensions,
    /// A trailer line is malformed.
    #[error("a trailer line is malformed")]
    Trailer,
    /// Beyond [`Limits::status_line`](super::Limits::status_line).
    #[error("the status line is too long")]
    StatusLineTooLong,
    /// Beyond [`Limits::headers`](super::Limits::headers).
    #[error("the headers are too long")]
    HeadersTooLong,
    /// Beyond [`Limits::header_count`](super::Limits::header_count).
    #[error("too many headers")]
    TooManyHeaders,
    /// Beyond [`Limits::trailers`](super::Limits::trailers).
    #[error("the trailers are too long")]
    TrailersTooLong,
    /// Beyond [`Limits::interim`](super::Limits::interim).
    #[error("too many interim answers (1xx)")]
    TooManyInterim,
    /// `101 Switching Protocols` that nobody asked for.
    #[error("the server switches protocols unasked")]
    Unasked,
    /// Compressed content that is damaged.
    #[error("the compressed content is damaged")]
    Compression,
    /// Compressed content that grows beyond [`Limits::expansion`](super::Limits::expansion).
    #[error("the compressed content expands too much (a decompression bomb?)")]
    Bomb,
    /// A range was asked for, and this is another one, or says nothing sensible of itself.
    #[error("the range that was sent is not the one that was asked for")]
    Range,
}

impl From<Refusal> for Fault {
    /// What the parts that client and server share call a request's fault, said of an answer.
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Version => Fault::Version,
            Refusal::LineEnd => Fault::LineEnd,
            Refusal::HeaderLine => Fault::HeaderLine,
            Refusal::ContentLength => Fault::ContentLength,
            Refusal::LengthAndEncoding => Fault::LengthAndEncoding,
            Refusal::TransferEncoding => Fault::TransferEncoding,
            Refusal::Chunk | Refusal::BodyTooLong => Fault::Chunk,
            Refusal::ChunkExtensions => Fault::ChunkExtensions,
            Refusal::Trailer => Fault::Trailer,
            Refusal::RequestLineTooLong => Fault::StatusLineTooLong,
            Refusal::HeadersTooLong => Fault::HeadersTooLong,
            Refusal::TooManyHeaders => Fault::TooManyHeaders,
            Refusal::TrailersTooLong => Fault::TrailersTooLong,
            _ => Fault::StatusLine,
        }
    }
}

/// Why a redirect is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum RedirectFault {
    /// More than [`Redirects::most`](super::Redirects::most).
    #[error("too many redirects")]
    TooMany,
    /// From https to http, which [`Redirects::downgrade`](super::Redirects::downgrade) does not allow.
    #[error("a redirect from https to http is not followed, unless Redirects::downgrade allows it")]
    Downgrade,
    /// The content would have to be sent again, but it was read from somewhere and is gone.
    #[error(
        "the redirect wants the content once more, which was streamed and is gone; send it as bytes"
    )]
    BodyGone,
    /// `Location` is no URL that can be asked for.
    #[error("the redirect leads to no http or https URL")]
    Location,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Inner { kind, target: None }))
    }

    /// Says which request it was, unless that is known.
    pub(crate) fn at(mut self, method: &str, url: &url::Url) -> Self {
        self.0
            .target
            .get_or_insert_with(|| format!("{method} {url}"));
        self
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Whether a time-out fired, and which.
    #[must_use]
    pub fn timed_out(&self) -> Option<Phase> {
        match self.0.kind {
            ErrorKind::Timeout(phase, _) => Some(phase),
            _ => None,
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match &self.0.kind {
            ErrorKind::Refused(_)
            | ErrorKind::Truncated
            | ErrorKind::Status(_)
            | ErrorKind::Json(_)
            | ErrorKind::Redirect(
                RedirectFault::TooMany | RedirectFault::Downgrade | RedirectFault::Location,
            )
            | ErrorKind::TooLong(_) => Blame::Server,
            ErrorKind::Proxy(_) | ErrorKind::Timeout(Phase::Proxy, _) => Blame::Proxy,
            ErrorKind::Timeout(..) | ErrorKind::Io(..) => Blame::Network,
            ErrorKind::Url(_)
            | ErrorKind::Body(_)
            | ErrorKind::File(_)
            | ErrorKind::LeftInTheMiddle
            | ErrorKind::Redirect(RedirectFault::BodyGone)
            | ErrorKind::Misuse(_) => Blame::Caller,
        }
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Error::new(kind)
    }
}

impl From<Fault> for ErrorKind {
    fn from(fault: Fault) -> Self {
        ErrorKind::Refused(fault)
    }
}

impl From<Refusal> for ErrorKind {
    fn from(refusal: Refusal) -> Self {
        ErrorKind::Refused(refusal.into())
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrorKind::Timeout(phase, limit) => {
                write!(f, "{phase} took longer than {limit:?} (Phase::{phase:?})")
            }
            ErrorKind::Refused(fault) => write!(f, "the server's answer is refused: {fault}"),
            ErrorKind::Truncated => {
                f.write_str("the server closed the connection before its answer was complete")
            }
            ErrorKind::Status(status) => write!(f, "the server answered {status}"),
            ErrorKind::Io(phase, error) => write!(f, "{phase} failed: {error}"),
            ErrorKind::Proxy(said) => write!(f, "the proxy did not let us through: {said}"),
            ErrorKind::Redirect(fault) => fault.fmt(f),
            ErrorKind::Url(why) => write!(f, "the URL cannot be asked for: {why}"),
            ErrorKind::TooLong(limit) => {
                write!(f, "the content is longer than the {limit} bytes allowed")
            }
            ErrorKind::Json(error) => write!(f, "the content is not the JSON expected: {error}"),
            ErrorKind::Body(error) => write!(f, "the content to send is at fault: {error}"),
            ErrorKind::File(error) => write!(f, "writing the file failed: {error}"),
            ErrorKind::LeftInTheMiddle => f.write_str(
                "an earlier read of this answer was left in the middle; make the request again",
            ),
            ErrorKind::Misuse(what) => f.write_str(what),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(target) = &self.0.target {
            write!(f, "{target}: ")?;
        }
        self.0.kind.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("target", &self.0.target)
            .finish()
    }
}

impl std::error::Error for Error {
    /// What lies below what the text tells already, so that a chain of causes says nothing twice. The cause itself is in
    /// [`kind`](Error::kind).
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.kind {
            ErrorKind::Io(_, error) | ErrorKind::Body(error) | ErrorKind::File(error) => {
                error.source()
            }
            ErrorKind::Json(error) => error.source(),
            _ => None,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::Timeout(..) => io::ErrorKind::TimedOut,
            ErrorKind::Truncated => io::ErrorKind::UnexpectedEof,
            ErrorKind::Io(_, inner) | ErrorKind::Body(inner) | ErrorKind::File(inner) => {
                inner.kind()
            }
            ErrorKind::Url(_) | ErrorKind::Misuse(_) => io::ErrorKind::InvalidInput,
            ErrorKind::LeftInTheMiddle => io::ErrorKind::BrokenPipe,
            ErrorKind::Refused(_) | ErrorKind::Json(_) | ErrorKind::TooLong(_) => {
                io::ErrorKind::InvalidData
            }
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}
