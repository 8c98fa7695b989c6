//! Why a message could not be sent or received.

use std::fmt;

/// Why `send` gave the message back.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError<T> {
    /// All receivers are gone.
    #[error("sending on a channel that has no receiver any more")]
    Disconnected(T),
    /// The channel is full, and the caller is unwinding: it must not wait.
    #[error("waiting to send while unwinding")]
    Refused(T),
}

/// Why `try_send` gave the message back.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrySendError<T> {
    /// The channel is full at this moment.
    #[error("sending on a channel that is full")]
    Full(T),
    /// All receivers are gone.
    #[error("sending on a channel that has no receiver any more")]
    Disconnected(T),
}

/// Why `recv` has no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecvError {
    /// The channel is empty, and all senders are gone.
    #[error("receiving on a channel that is empty and has no sender any more")]
    Disconnected,
    /// The channel is empty, and the caller is unwinding: it must not wait.
    #[error("waiting to receive while unwinding")]
    Refused,
}

/// Why `try_recv` has no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TryRecvError {
    /// The channel is empty at this moment.
    #[error("receiving on a channel that is empty")]
    Empty,
    /// The channel is empty, and all senders are gone.
    #[error("receiving on a channel that is empty and has no sender any more")]
    Disconnected,
}

/// Why `recv_timeout` has no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecvTimeoutError {
    /// None came in time.
    #[error("no message came in time")]
    Timeout,
    /// The channel is empty, and all senders are gone.
    #[error("receiving on a channel that is empty and has no sender any more")]
    Disconnected,
    /// The channel is empty, and the caller is unwinding: it must not wait.
    #[error("waiting to receive while unwinding")]
    Refused,
}

impl<T> SendError<T> {
    /// The message.
    pub fn into_inner(self) -> T {
        match self {
            Self::Disconnected(message) | Self::Refused(message) => message,
        }
    }
}

impl<T> TrySendError<T> {
    /// The message.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(message) | Self::Disconnected(message) => message,
        }
    }
}

impl From<RecvError> for RecvTimeoutError {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::Disconnected => Self::Disconnected,
            RecvError::Refused => Self::Refused,
        }
    }
}

// Without asking that messages be `Debug`: the error is looked at more often than the message.
impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disconnected(_) => "Disconnected(..)",
            Self::Refused(_) => "Refused(..)",
        })
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Disconnected(_) => "Disconnected(..)",
        })
    }
}
