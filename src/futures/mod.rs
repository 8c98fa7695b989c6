//! A bridge to libraries that are made of futures.
//!
//! [`block_on`] drives a future in a coroutine, [`spawn`] gives it a coroutine of its own, [`sleep`] is a future that is
//! done when its time has come. With the feature `futures-io`, `Async` presents our streams, pipes and descriptors as `AsyncRead`
//! and `AsyncWrite`; with the feature `hyper` as hyper's `rt::Read` and `rt::Write`, and `Executor` and `Timer` are what
//! hyper wants besides. No other runtime runs then: the futures are polled by coroutines, and our pollers wake them.
//!
//! [`block_on`]: crate::block_on

#[cfg(feature = "futures-io")]
mod async_io;
pub(crate) mod block_on;
#[cfg(feature = "hyper")]
mod hyper;
mod sleep;

#[cfg(test)]
mod tests;

use std::future::Future;

use crate::JoinHandle;

#[cfg(feature = "futures-io")]
pub use async_io::Async;
pub use block_on::block_on;
#[cfg(feature = "hyper")]
pub use hyper::{Executor, Timer};
pub use sleep::{Sleep, sleep, sleep_until};

/// Drives a future in a coroutine of its own, as [`spawn`](crate::spawn) and [`block_on`] together do. Never suspends.
///
/// Interrupting the coroutine drops the future; dropping the handle does not.
///
/// ```
/// grapeshot::run(|| {
///     let sum = grapeshot::futures::spawn(async { 1 + 1 });
///     assert_eq!(sum.join().unwrap(), 2);
/// });
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    crate::spawn(move || block_on(future))
}
