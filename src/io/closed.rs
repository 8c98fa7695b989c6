//! The error of a call on what was closed.

use std::io;

/// The socket, pipe or descriptor was closed by a `close()` on this side, before the call or while it waited.
///
/// It comes inside an [`io::Error`]; [`Closed::is`] finds it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it was closed on this side, by close()")]
pub struct Closed;

impl Closed {
    /// Does `error` say that the object was closed on this side?
    pub fn is(error: &io::Error) -> bool {
        error
            .get_ref()
            .is_some_and(<dyn std::error::Error + Send + Sync>::is::<Closed>)
    }
}

impl From<Closed> for io::Error {
    fn from(closed: Closed) -> Self {
        Self::other(closed)
    }
}
