//! A number of permits, taken and given back.

use super::wait_queue::{WaitQueue, WaitStatistics};
use super::{address, refuse};
use crate::sched::wait::{self, Outcome, WaitKind};
use std::fmt;
use std::sync::Arc;

/// A store of permits: `acquire` takes some and waits while there are too few.
///
/// First come, first served, strictly: one who waits for many permits is not passed by those who come later for
/// few, so it cannot starve. When it gives up (an interrupt, a timeout), those behind it are looked at again.
///
/// ```
/// use grapeshot::sync::Semaphore;
/// use std::sync::Arc;
///
/// grapeshot::run(|| {
///     // No more than two at once.
///     let berths = Arc::new(Semaphore::new(2));
///     let ships: Vec<_> = (0..10)
///         .map(|_| {
///             let berth = berths.acquire_owned();
///             grapeshot::spawn(move || drop(berth))
///         })
///         .collect();
///     for ship in ships {
///         ship.join().unwrap();
///     }
///     assert_eq!(berths.available(), 2);
/// });
/// ```
pub struct Semaphore {
    state: parking_lot::Mutex<State>,
}

/// Between two calls: the first in line wants more than there is.
struct State {
    available: usize,
    /// Each with the number of permits it waits for.
    queue: WaitQueue<usize>,
}

/// What a [`Semaphore`] says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SemaphoreStatistics {
    /// Permits nobody holds.
    pub available: usize,
    /// How much it has been waited for.
    pub wait: WaitStatistics,
}

/// Permits of a [`Semaphore`], given back when dropped.
#[must_use = "the permits are given back when this is dropped"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    permits: usize,
}

/// Like [`Permit`], and keeps its semaphore alive: for a coroutine to take along.
#[must_use = "the permits are given back when this is dropped"]
pub struct OwnedPermit {
    semaphore: Arc<Semaphore>,
    permits: usize,
}

impl Semaphore {
    /// A semaphore with so many permits.
    pub const fn new(permits: usize) -> Self {
        let state = State {
            available: permits,
            queue: WaitQueue::new(),
        };
        Self {
            state: parking_lot::Mutex::new(state),
        }
    }

    /// Takes one permit; waits until there is one. **May suspend.**
    ///
    /// # Panics
    /// If it would have to wait and the caller is unwinding; see [`Mutex::lock`](super::Mutex::lock).
    #[track_caller]
    pub fn acquire(&self) -> Permit<'_> {
        self.acquire_many(1)
    }

    /// Takes `permits` at once; waits until there are so many. **May suspend.** A number that will never be
    /// there is waited for forever.
    ///
    /// # Panics
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_many(&self, permits: usize) -> Permit<'_> {
        self.take(permits);
        Permit {
            semaphore: self,
            permits,
        }
    }

    /// Takes one permit for a coroutine to take along; waits until there is one. **May suspend.**
    ///
    /// # Panics
    /// As [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_owned(self: &Arc<Self>) -> OwnedPermit {
        self.take(1);
        OwnedPermit {
            semaphore: Arc::clone(self),
            permits: 1,
        }
    }

    /// Takes one permit if there is one and nobody waits.
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.try_acquire_many(1)
    }

    /// Takes `permits` at once if there are so many and nobody waits.
    pub fn try_acquire_many(&self, permits: usize) -> Option<Permit<'_>> {
        let taken = self.state.lock().try_take(permits);
        taken.then(|| Permit {
            semaphore: self,
            permits,
        })
    }

    /// Takes one permit for a coroutine to take along, if there is one and nobody waits.
    pub fn try_acquire_owned(self: &Arc<Self>) -> Option<OwnedPermit> {
        let taken = self.state.lock().try_take(1);
        taken.then(|| OwnedPermit {
            semaphore: Arc::clone(self),
            permits: 1,
        })
    }

    /// Adds permits: new ones, or those of a permit that was forgotten. Never suspends.
    ///
    /// # Panics
    /// If there would be more than `usize::MAX`.
    pub fn release(&self, permits: usize) {
        let mut state = self.state.lock();
        let available = state.available.checked_add(permits);
        state.available = available.expect("fewer than usize::MAX permits");
        state.settle();
    }

    /// Permits nobody holds. More than 0 does not mean that [`acquire`](Self::acquire) would not wait: somebody
    /// may be waiting for more than that.
    pub fn available(&self) -> usize {
        self.state.lock().available
    }

    /// What is left, and how much it has been waited for.
    pub fn statistics(&self) -> SemaphoreStatistics {
        let state = self.state.lock();
        SemaphoreStatistics {
            available: state.available,
            wait: state.queue.statistics(),
        }
    }

    #[track_caller]
    fn take(&self, permits: usize) {
        wait::check_interrupt();
        let mut state = self.state.lock();
        if state.try_take(permits) {
            return;
        }
        let object = address(self);
        let Ok((wait, waiter)) = wait::prepare(WaitKind::Semaphore, object) else {
            drop(state);
            refuse("Semaphore::acquire", "try_acquire");
        };
        let ticket = state.queue.push(waiter, permits);
        drop(state);
        if let Outcome::Interrupted(interrupt) = wait.suspend() {
            let mut state = self.state.lock();
            state.queue.withdraw(ticket);
            state.settle();
            drop(state);
            interrupt.raise();
        }
    }
}

impl State {
    fn try_take(&mut self, permits: usize) -> bool {
        let enough = self.queue.is_empty() && self.available >= permits;
        if enough {
            self.available -= permits;
        }
        enough
    }

    /// Serves the line from its front, as far as the permits go.
    fn settle(&mut self) {
        while let Some(&wanted) = self.queue.front() {
            if wanted > self.available {
                break;
            }
            if self.queue.grant_front().is_some() {
                self.available -= wanted;
            }
        }
    }
}

impl Permit<'_> {
    /// Keeps the permits for good: they are not given back. [`Semaphore::release`] can make up for them.
    pub fn forget(mut self) {
        self.permits = 0;
    }
}

impl OwnedPermit {
    /// Keeps the permits for good: they are not given back. [`Semaphore::release`] can make up for them.
    pub fn forget(mut self) {
        self.permits = 0;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.semaphore.release(self.permits);
    }
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        self.semaphore.release(self.permits);
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statistics = self.statistics();
        f.debug_struct("Semaphore")
            .field("available", &statistics.available)
            .field("waiting", &statistics.wait.waiting)
            .finish()
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permit").field(&self.permits).finish()
    }
}

impl fmt::Debug for OwnedPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedPermit").field(&self.permits).finish()
    }
}
