//! Why a message could not be sent or received.

use std::fmt;

/// There is no receiver; the message comes back.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sending on a broadcast channel that has no receiver")]
pub struct SendError<T>(pub T);

/// Why `recv` has no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecvError {
    /// So many messages were overwritten before this receiver came to them. The next call gets the oldest that is
    /// left.
    #[error("{0} messages were missed; receive more often, or give the channel more capacity")]
    Lagged(u64),
    /// No message is left, and all senders are gone.
    #[error("receiving on a broadcast channel that is empty and has no sender any more")]
    Disconnected,
    /// No message is there, and the caller is unwinding: it must not wait.
    #[error("waiting to receive while unwinding")]
    Refused,
}

/// Why `try_recv` has no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TryRecvError {
    /// No message is there at this moment.
    #[error("receiving on a broadcast channel that is empty")]
    Empty,
    /// As [`RecvError::Lagged`].
    #[error("{0} messages were missed; receive more often, or give the channel more capacity")]
    Lagged(u64),
    /// No message is left, and all senders are gone.
    #[error("receiving on a broadcast channel that is empty and has no sender any more")]
    Disconnected,
}

// Without asking that messages be `Debug`: the error is looked at more often than the message.
impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}
