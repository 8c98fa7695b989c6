//! What can go wrong, told apart by whose fault it is: the peer's ([`Refusal`], `Truncated`, `WriteTimeout`), the
//! handler's (`Misuse`), or the network's (`Io`).

use std::io;

use crate::{Phase, Status};

macro_rules! refusals {
    ($($(#[doc = $doc:literal])* $name:ident $status:ident $text:literal,)*) => {
        /// Why a request was refused. Each has the [status](Refusal::status) that the peer is answered with; the
        /// connection is closed after it, because nobody can know any more where the next request begins.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
        #[non_exhaustive]
        pub enum Refusal {
            $($(#[doc = $doc])* #[error($text)] $name,)*
        }

        impl Refusal {
            /// Every reason there is, in the order in which [`Statistics::refused`](crate::Statistics) counts them.
            pub const ALL: &[Refusal] = &[$(Refusal::$name),*];

            /// The status which tells the peer.
            #[must_use]
            pub fn status(self) -> Status {
                match self { $(Refusal::$name => Status::$status,)* }
            }
        }
    };
}

refusals! {
    /// The request line is not `method SP target SP version`.
    RequestLine BAD_REQUEST "the request line is malformed",
    /// A version other than HTTP/1.0 and HTTP/1.1.
    Version VERSION_NOT_SUPPORTED "only HTTP/1.0 and HTTP/1.1 are spoken here",
    /// The target has none of the forms of RFC 9112, section 3.2.
    Target BAD_REQUEST "the request target is malformed",
    /// `CONNECT`: this server is no proxy (see [`ServerBuilder::connect`](crate::ServerBuilder::connect)).
    Connect NOT_IMPLEMENTED "CONNECT is not offered",
    /// A line of the head ends with a bare LF, or has a CR that no LF follows.
    LineEnd BAD_REQUEST "a line does not end with CR LF",
    /// A header line is malformed: white space before its colon, a folded line, a control character.
    HeaderLine BAD_REQUEST "a header line is malformed",
    /// HTTP/1.1 without a Host, or with more than one, or with one that names no host (RFC 9112, section 3.2).
    Host BAD_REQUEST "exactly one valid Host header is required",
    /// Content-Length that is no plain number, or that occurs more than once.
    ContentLength BAD_REQUEST "Content-Length is invalid or occurs more than once",
    /// Both Content-Length and Transfer-Encoding: the sign of request smuggling (RFC 9112, section 6.1).
    LengthAndEncoding BAD_REQUEST "Content-Length and Transfer-Encoding exclude each other",
    /// Transfer-Encoding other than exactly `chunked`, or with HTTP/1.0.
    TransferEncoding BAD_REQUEST "the only Transfer-Encoding taken is chunked, once, with HTTP/1.1",
    /// Expect other than `100-continue`.
    Expectation EXPECTATION_FAILED "the only expectation known is 100-continue",
    /// A chunk's size is no hexadecimal number, or a chunk does not end where it should.
    Chunk BAD_REQUEST "the chunked coding is malformed",
    /// More chunk extensions than [`Limits::chunk_extensions`](crate::Limits::chunk_extensions).
    ChunkExtensions BAD_REQUEST "too many chunk extensions",
    /// A trailer line is malformed.
    Trailer BAD_REQUEST "a trailer line is malformed",
    /// Beyond [`Limits::request_line`](crate::Limits::request_line).
    RequestLineTooLong URI_TOO_LONG "the request line is too long",
    /// Beyond [`Limits::headers`](crate::Limits::headers).
    HeadersTooLong HEADERS_TOO_LARGE "the headers are too long",
    /// Beyond [`Limits::header_count`](crate::Limits::header_count).
    TooManyHeaders HEADERS_TOO_LARGE "too many headers",
    /// Beyond [`Limits::trailers`](crate::Limits::trailers).
    TrailersTooLong HEADERS_TOO_LARGE "the trailers are too long",
    /// Beyond [`Limits::body`](crate::Limits::body).
    BodyTooLong CONTENT_TOO_LARGE "the content is too long",
    /// The stream could not be prepared: the TLS handshake failed. Nobody is answered.
    Handshake BAD_REQUEST "the TLS handshake failed",
    /// The TLS handshake was not done within [`Limits::handshake`](crate::Limits::handshake). Nobody is answered.
    HandshakeTimeout REQUEST_TIMEOUT "the TLS handshake took too long",
    /// The head did not arrive within [`Limits::head_wait`](crate::Limits::head_wait).
    HeadTimeout REQUEST_TIMEOUT "the head of the request took too long",
    /// The content did not go on within [`Limits::body_wait`](crate::Limits::body_wait).
    BodyTimeout REQUEST_TIMEOUT "the content of the request took too long",
    /// The content came more slowly than [`Limits::body_rate`](crate::Limits::body_rate).
    BodyTooSlow REQUEST_TIMEOUT "the content of the request comes too slowly",
}

impl Refusal {
    /// The phase that took too long, if that is why.
    #[must_use]
    pub fn phase(self) -> Option<Phase> {
        match self {
            Refusal::HandshakeTimeout => Some(Phase::Handshake),
            Refusal::HeadTimeout => Some(Phase::Head),
            Refusal::BodyTimeout => Some(Phase::Body),
            Refusal::BodyTooSlow => Some(Phase::BodyRate),
            _ => None,
        }
    }
}

/// What ends an exchange early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer sent what is refused.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// The peer closed in the middle of a request.
    #[error("the peer closed the connection in the middle of a request")]
    Truncated,
    /// The peer did not take a byte within [`Limits::write_wait`](crate::Limits::write_wait), or less than
    /// [`Limits::write_rate`](crate::Limits::write_rate).
    #[error("the peer did not take the answer in time")]
    WriteTimeout,
    /// An earlier write was left in the middle (a timeout unwound it, or it failed): nothing can follow it.
    #[error("an earlier write was left in the middle")]
    LeftInTheMiddle,
    /// The handler asked for what HTTP does not allow, such as a line end in a header's value.
    #[error("misuse by the handler: {0}")]
    Misuse(&'static str),
    /// The stream failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Error {
    /// Whether the peer (or the network) is to blame, and not the handler.
    #[must_use]
    pub fn is_peers_fault(&self) -> bool {
        !matches!(self, Error::Misuse(_))
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Refused(Refusal::BodyTimeout | Refusal::BodyTooSlow | Refusal::HeadTimeout)
            | Error::WriteTimeout => io::ErrorKind::TimedOut,
            Error::Refused(_) => io::ErrorKind::InvalidData,
            Error::Truncated => io::ErrorKind::UnexpectedEof,
            Error::LeftInTheMiddle => io::ErrorKind::BrokenPipe,
            Error::Misuse(_) => io::ErrorKind::InvalidInput,
            Error::Io(inner) => inner.kind(),
        };
        if let Error::Io(inner) = error {
            return inner;
        }
        io::Error::new(kind, error)
    }
}
