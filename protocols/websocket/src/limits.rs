//! What a peer may cost us: sizes and waits, each with its default.

use std::time::Duration;

/// The caps of one WebSocket. [`Limits::default`] is for a server, [`Limits::for_client`] for a client.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one frame's payload, as it is on the wire; above: closed with 1009, before any of it is buffered.
    /// Default 1 MiB.
    pub frame: u64,
    /// Bytes of a message, all its fragments together and decompressed; above: closed with 1009. Default 4 MiB.
    pub message: u64,
    /// How long a client waits for a connection and the answer to its handshake, and a server for the last bytes of
    /// hixie-76's. Default 30 s.
    pub handshake: Duration,
    /// How long a write may wait for the peer to take any byte; then the connection is given up. Default 30 s.
    pub write_wait: Duration,
    /// How long [`WebSocket::close`](crate::WebSocket::close) takes at most: for the peer to take what is being sent,
    /// and to agree. Default 5 s.
    pub close_wait: Duration,
    /// A peer that was silent for so long is sent a ping by whoever receives; `None` is never. Default 30 s for a server,
    /// none for a client: a server's handler may well be away from receiving while it works on an answer.
    pub ping_every: Option<Duration>,
    /// How long a ping may stay without a pong, or any other sign of life; then the connection is given up with
    /// [`Error::PingTimeout`](crate::Error::PingTimeout). Default 30 s.
    pub pong_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame: 1 << 20,
            message: 4 << 20,
            handshake: Duration::from_secs(30),
            write_wait: Duration::from_secs(30),
            close_wait: Duration::from_secs(5),
            ping_every: Some(Duration::from_secs(30)),
            pong_wait: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// The defaults of a client: those of a server, but without pings.
    #[must_use]
    pub fn for_client() -> Self {
        Self {
            ping_every: None,
            ..Self::default()
        }
    }
}
