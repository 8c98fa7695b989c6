//! Locks, signals and channels that suspend the coroutine, not its worker.
//!
//! | to | use |
//! |---|---|
//! | change or look at something that others use | [`Mutex`], [`RwLock`] |
//! | wait until something that a mutex protects is so | [`Condvar`] |
//! | let so many in at once, or so many in a time | [`Semaphore`], [`RateLimiter`] |
//! | wait until all others are through | [`InvertedSemaphore`], [`Barrier`] |
//! | say that something has happened | [`Event`] |
//! | do or make something once | [`Once`], [`OnceLock`], [`LazyLock`] |
//! | pass messages, each to one | [`channel`], [`Fifo`] |
//! | pass messages, each to all | [`broadcast`] |
//! | show the latest state to all | [`watch`] |
//! | keep what is dear to make | [`LruCache`] |
//!
//! All of them work between coroutines of any worker and plain threads (which they block, as std's would). All of
//! them are fair: first come, first served. All follow three rules:
//!
//! * **Interrupts.** A call that may suspend first raises an interrupt that is due (a deadline passed, a kill asked
//!   for), even if it could succeed at once. A `try_…` never does.
//! * **Nothing is lost.** What was granted to a waiter (the mutex, a permit, a notification, a message) before it
//!   was interrupted is delivered: the call returns with it, and the next one raises. What would have been granted
//!   after that goes to the next in line.
//! * **Unwinding.** While the caller unwinds nothing may wait. Calls that return a `Result` give an error then, the
//!   others panic, which in a destructor ends the process: use the `try_…` form there, or spawn a coroutine for
//!   the cleanup. What needs no wait succeeds as ever.
//!
//! There is no poisoning: an unwinding that passes a guard unlocks.

// How it is built: each primitive is a few words under a `parking_lot` lock that is held for some instructions and
// never across a suspension. Whoever cannot have what it wants leaves a `Waiter` in the primitive's `WaitQueue`,
// unlocks, and suspends. `Waiter::wake` is decisive: it says whether the grant arrived, so the granter, still
// under the lock, knows whether to go on to the next in line.

mod barrier;
mod cache;
mod condvar;
mod event;
mod fifo;
mod inverted_semaphore;
mod mutex;
mod once;
mod rate_limiter;
mod rwlock;
mod semaphore;
pub(crate) mod wait_queue;

pub mod broadcast;
pub mod channel;
pub mod watch;

#[cfg(test)]
pub(crate) mod tests;

pub use barrier::{Barrier, BarrierStatistics, BarrierWaitResult};
pub use cache::{KeyPinned, LruCache, LruCacheStatistics, Pinned};
pub use condvar::Condvar;
pub use event::Event;
pub use fifo::{Fifo, FifoStatistics};
pub use inverted_semaphore::{Hold, InvertedSemaphore, InvertedSemaphoreStatistics, OwnedHold};
pub use mutex::{Mutex, MutexGuard};
pub use once::{LazyLock, Once, OnceLock, OnceStatistics};
pub use rate_limiter::{RateLimiter, RateLimiterStatistics};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockStatistics, RwLockWriteGuard};
pub use semaphore::{OwnedPermit, Permit, Semaphore, SemaphoreStatistics};
pub use wait_queue::WaitStatistics;

/// Names a primitive to the registry: what a coroutine waits for.
pub(crate) fn address<T: ?Sized>(primitive: &T) -> usize {
    std::ptr::from_ref(primitive).cast::<()>().addr()
}

/// The end of a call that has no `Result` to refuse with.
#[cold]
#[track_caller]
pub(crate) fn refuse(call: &str, instead: &str) -> ! {
    panic!(
        "{call} would have to wait, but its caller is unwinding (and a coroutine never suspends while it unwinds) or is \
         an observer of switches: use {instead} there, or spawn a coroutine for the cleanup"
    )
}
