//! A count that is waited for to become zero.

use super::wait_queue::{WaitQueue, WaitStatistics};
use super::{address, refuse};
use crate::sched::wait::{self, Outcome, WaitKind};
use std::fmt;
use std::sync::Arc;

/// The opposite of a [`Semaphore`](super::Semaphore): taking and giving back never wait, but one can wait until
/// nobody holds anything any more.
///
/// Whoever waits when the count comes to zero gets through, even if somebody takes again before they run.
///
/// ```
/// use grapeshot::sync::InvertedSemaphore;
/// use std::sync::Arc;
///
/// grapeshot::run(|| {
///     let aboard = Arc::new(InvertedSemaphore::new(0));
///     for _ in 0..10 {
///         let hold = aboard.acquire_owned();
///         grapeshot::spawn(move || {
///             grapeshot::yield_now();
///             drop(hold);
///         });
///     }
///     aboard.wait_zero();
///     assert_eq!(aboard.count(), 0);
/// });
/// ```
pub struct InvertedSemaphore {
    state: parking_lot::Mutex<State>,
}

/// Between two calls: nobody waits while the count is zero.
struct State {
    count: usize,
    queue: WaitQueue<()>,
}

/// What an [`InvertedSemaphore`] says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvertedSemaphoreStatistics {
    /// What is held now.
    pub count: usize,
    /// How much zero has been waited for.
    pub wait: WaitStatistics,
}

/// A part of the count of an [`InvertedSemaphore`], given back when dropped.
#[must_use = "it is given back when this is dropped"]
pub struct Hold<'a> {
    semaphore: &'a InvertedSemaphore,
    count: usize,
}

/// Like [`Hold`], and keeps its semaphore alive: for a coroutine to take along.
#[must_use = "it is given back when this is dropped"]
pub struct OwnedHold {
    semaphore: Arc<InvertedSemaphore>,
    count: usize,
}

impl InvertedSemaphore {
    /// A semaphore with a count to begin with: so many times [`release`](Self::release) must be called.
    pub const fn new(count: usize) -> Self {
        let state = State {
            count,
            queue: WaitQueue::new(),
        };
        Self {
            state: parking_lot::Mutex::new(state),
        }
    }

    /// Raises the count by one until the hold is dropped. Never suspends.
    ///
    /// # Panics
    /// If the count would pass `usize::MAX`.
    pub fn acquire(&self) -> Hold<'_> {
        self.acquire_many(1)
    }

    /// Raises the count until the hold is dropped. Never suspends.
    ///
    /// # Panics
    /// As [`acquire`](Self::acquire).
    pub fn acquire_many(&self, count: usize) -> Hold<'_> {
        self.add(count);
        Hold {
            semaphore: self,
            count,
        }
    }

    /// Raises the count by one until the hold is dropped, which a coroutine may take along. Never suspends.
    ///
    /// # Panics
    /// As [`acquire`](Self::acquire).
    pub fn acquire_owned(self: &Arc<Self>) -> OwnedHold {
        self.add(1);
        OwnedHold {
            semaphore: Arc::clone(self),
            count: 1,
        }
    }

    /// Lowers the count: what it began with, or that of a hold that was forgotten. At zero, all who wait get
    /// through. Never suspends.
    ///
    /// # Panics
    /// If the count is lower than that.
    pub fn release(&self, count: usize) {
        let mut state = self.state.lock();
        let left = state.count.checked_sub(count);
        state.count = left.expect("no more is released than was acquired");
        if state.count == 0 {
            state.queue.grant_all();
        }
    }

    /// Waits until the count is zero; returns at once if it is. **May suspend.**
    ///
    /// # Panics
    /// If it is not zero and the caller is unwinding: a destructor must not wait then.
    #[track_caller]
    pub fn wait_zero(&self) {
        wait::check_interrupt();
        let mut state = self.state.lock();
        if state.count == 0 {
            return;
        }
        let object = address(self);
        let Ok((wait, waiter)) = wait::prepare(WaitKind::InvertedSemaphore, object) else {
            drop(state);
            refuse("InvertedSemaphore::wait_zero", "count");
        };
        let ticket = state.queue.push(waiter, ());
        drop(state);
        if let Outcome::Interrupted(interrupt) = wait.suspend() {
            self.state.lock().queue.withdraw(ticket);
            interrupt.raise();
        }
    }

    /// What is held at this moment.
    pub fn count(&self) -> usize {
        self.state.lock().count
    }

    /// What is held, and how much zero has been waited for.
    pub fn statistics(&self) -> InvertedSemaphoreStatistics {
        let state = self.state.lock();
        InvertedSemaphoreStatistics {
            count: state.count,
            wait: state.queue.statistics(),
        }
    }

    fn add(&self, count: usize) {
        let mut state = self.state.lock();
        let raised = state.count.checked_add(count);
        state.count = raised.expect("a count of at most usize::MAX");
    }
}

impl Hold<'_> {
    /// Leaves the count as it is. [`InvertedSemaphore::release`] can make up for it.
    pub fn forget(mut self) {
        self.count = 0;
    }
}

impl OwnedHold {
    /// Leaves the count as it is. [`InvertedSemaphore::release`] can make up for it.
    pub fn forget(mut self) {
        self.count = 0;
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.semaphore.release(self.count);
    }
}

impl Drop for OwnedHold {
    fn drop(&mut self) {
        self.semaphore.release(self.count);
    }
}

impl Default for InvertedSemaphore {
    fn default() -> Self {
        Self::new(0)
    }
}

impl fmt::Debug for InvertedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statistics = self.statistics();
        f.debug_struct("InvertedSemaphore")
            .field("count", &statistics.count)
            .field("waiting", &statistics.wait.waiting)
            .finish()
    }
}

impl fmt::Debug for Hold<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hold").field(&self.count).finish()
    }
}

impl fmt::Debug for OwnedHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedHold").field(&self.count).finish()
    }
}
