//! What a peer may cost us: sizes, counts and waits, each with its default.

use std::time::Duration;

/// The caps of one server. Everything a peer can make grow, or make us wait for, has a field here.
///
/// ```
/// let mut limits = grapeshot_http::Limits::default();
/// limits.body = 64 << 20;
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a request line, without its line end; above: 414. Default 8 KiB, never more than [`Limits::MAX_LENGTH`].
    pub request_line: usize,
    /// Bytes of all header lines of a request together; above: 431. Default 32 KiB, never more than [`Limits::MAX_LENGTH`].
    pub headers: usize,
    /// Header lines of a request; above: 431. Default 100, never more than [`Limits::MAX_HEADER_COUNT`].
    pub header_count: usize,
    /// Bytes of a request's content, after the chunked coding is taken off; above: 413, as soon as the handler
    /// reads. One request may be given more (or less) with [`Request::limit_body`](crate::Request::limit_body).
    /// Default 1 MiB.
    pub body: u64,
    /// Bytes of chunk extensions in one request; above: 400. Default 4 KiB.
    pub chunk_extensions: usize,
    /// Bytes of trailer fields of one request; above: 431. Default 8 KiB.
    pub trailers: usize,
    /// Bytes of content which a handler left unread that the server reads away to keep the connection; when more
    /// is left, the connection is closed instead. Default 256 KiB.
    pub drain: u64,
    /// How long the preparation of a connection may take, under TLS the handshake; then it is closed. Default 10 s.
    pub handshake: Duration,
    /// How long a new connection may stay silent before its first request; then it is closed quietly. Default 20 s.
    pub first_byte: Duration,
    /// How long a connection may stay open between requests; then it is closed quietly. Default 60 s.
    pub idle: Duration,
    /// How long a request's head may take from its first byte to its last; then 408. Default 10 s.
    pub head_wait: Duration,
    /// How long the handler's read of the content may wait for the next bytes; then 408. Default 30 s.
    pub body_wait: Duration,
    /// Bytes of content a second that must come on average, once it was waited for [`Limits::rate_grace`] in all; below: 408.
    /// Only the time that the server waits for the client counts. Default 240.
    pub body_rate: u64,
    /// Bytes of answers (and of what an upgraded connection writes) that the system takes for a connection which it cannot
    /// send yet; a peer that does not read would have it keep megabytes otherwise. Where the system can be told, which is
    /// Linux, and over TCP. Default 128 KiB.
    pub unsent: usize,
    /// How long a write may wait for the peer to take any byte; then the connection is closed. Default 30 s.
    pub write_wait: Duration,
    /// Bytes of the answer a second that the peer must take on average, once it was waited for [`Limits::rate_grace`] in all;
    /// below, the connection is closed. Default 240.
    pub write_rate: u64,
    /// How much waiting is not held against a slow client. Default 10 s.
    pub rate_grace: Duration,
    /// How long a connection which is closed with the peer's bytes still under way is read from, so that the
    /// kernel does not throw the answer away with a reset (RFC 9112, section 9.6). Default 2 s.
    pub linger: Duration,
    /// Open connections of one server (serving several listeners, it may hold one more for each of them). At this number it closes
    /// those that have been between requests for longest, to make room; if there are none, it stops accepting until one ends.
    /// Default 10,000.
    pub connections: usize,
}

impl Limits {
    /// Whether so many bytes in so much time of waiting are too few.
    pub(crate) fn too_slow(&self, rate: u64, bytes: u64, waited: Duration) -> bool {
        waited > self.rate_grace && u128::from(bytes) * 1000 < u128::from(rate) * waited.as_millis()
    }

    /// The most header lines that [`Limits::header_count`] can allow.
    pub const MAX_HEADER_COUNT: usize = 128;

    /// The most bytes that [`Limits::request_line`] and [`Limits::headers`] can allow each: 1 GiB.
    pub const MAX_LENGTH: usize = 1 << 30;

    pub(crate) fn most_of_request_line(&self) -> usize {
        self.request_line.min(Self::MAX_LENGTH)
    }

    pub(crate) fn most_of_headers(&self) -> usize {
        self.headers.min(Self::MAX_LENGTH)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_line: 8 << 10,
            headers: 32 << 10,
            header_count: 100,
            body: 1 << 20,
            chunk_extensions: 4 << 10,
            trailers: 8 << 10,
            drain: 256 << 10,
            handshake: Duration::from_secs(10),
            first_byte: Duration::from_secs(20),
            idle: Duration::from_secs(60),
            head_wait: Duration::from_secs(10),
            body_wait: Duration::from_secs(30),
            body_rate: 240,
            unsent: 128 << 10,
            write_wait: Duration::from_secs(30),
            write_rate: 240,
            rate_grace: Duration::from_secs(10),
            linger: Duration::from_secs(2),
            connections: 10_000,
        }
    }
}
