//! What a peer may cost us: sizes and waits, each with its default.

use std::time::Duration;

/// The caps of one WebSocket.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one frame's payload; above: closed with 1009, before any of it is buffered. Default 1 MiB.
    pub frame: u64,
    /// Bytes of a message, all its fragments together; above: closed with 1009. Default 4 MiB.
    pub message: u64,
    /// How long a write may wait for the peer to take any byte; then the connection is given up. Default 30 s.
    pub write_wait: Duration,
    /// How long [`WebSocket::close`](crate::WebSocket::close) waits for the peer to agree. Default 5 s.
    pub close_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame: 1 << 20,
            message: 4 << 20,
            write_wait: Duration::from_secs(30),
            close_wait: Duration::from_secs(5),
        }
    }
}
