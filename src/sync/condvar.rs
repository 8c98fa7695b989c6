//! Waiting for a condition on what a mutex protects.

use super::mutex::MutexGuard;
use super::wait_queue::{WaitQueue, WaitStatistics};
use super::{address, refuse};
use crate::sched::wait::{self, Outcome, WaitKind};
use std::fmt;
use std::time::Duration;

/// A condition variable, for use with [`Mutex`](super::Mutex).
///
/// No wake-up is spurious, none is lost, and waiters are notified in order of arrival. Still, wait in a loop (or
/// with [`wait_while`](Self::wait_while)): between the notification and the return of `wait`, others may have
/// held the mutex.
///
/// A waiter that is interrupted does not take the mutex again: its guard went into `wait`, and ends there. A
/// notification meant for it goes to the next; one that reached it first wins, and `wait` returns.
///
/// ```
/// use grapeshot::sync::{Condvar, Mutex};
/// use std::sync::Arc;
///
/// grapeshot::run(|| {
///     let pair = Arc::new((Mutex::new(false), Condvar::new()));
///     let lookout = Arc::clone(&pair);
///     grapeshot::spawn(move || {
///         *lookout.0.lock() = true;
///         lookout.1.notify_one();
///     });
///     let (sail, sighted) = &*pair;
///     let sail = sighted.wait_while(sail.lock(), |sail| !*sail);
///     assert!(*sail);
/// });
/// ```
pub struct Condvar {
    queue: parking_lot::Mutex<WaitQueue<()>>,
}

impl Condvar {
    /// A condition variable that nobody waits for.
    pub const fn new() -> Self {
        Self {
            queue: parking_lot::Mutex::new(WaitQueue::new()),
        }
    }

    /// Unlocks the mutex, waits for a notification, and locks the mutex again. **May suspend.**
    ///
    /// Once notified it takes the mutex whatever interrupts there may be; they are raised by the next blocking
    /// call.
    ///
    /// # Panics
    /// If the caller is unwinding: a destructor must not wait then.
    #[track_caller]
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let mutex = guard.mutex();
        self.wait_unlocked(guard);
        mutex.lock_masked()
    }

    /// As [`wait`](Self::wait), no longer than `timeout`; the flag says whether it was notified (true) or the time
    /// was up. Unlike `with_timeout` around a `wait` it takes the mutex again in either case, which may last
    /// longer than `timeout`. **May suspend.**
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        let mutex = guard.mutex();
        match crate::with_timeout(timeout, || self.wait_unlocked(guard)) {
            Ok(()) => (mutex.lock_masked(), true),
            Err(crate::Elapsed { .. }) => (mutex.lock(), false),
        }
    }

    /// Waits until `condition` is false; checks it first. **May suspend.**
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        while condition(&mut guard) {
            guard = self.wait(guard);
        }
        guard
    }

    /// Drops the guard and waits for a notification.
    #[track_caller]
    fn wait_unlocked<T: ?Sized>(&self, guard: MutexGuard<'_, T>) {
        wait::check_interrupt();
        let mut queue = self.queue.lock();
        let Ok((wait, waiter)) = wait::prepare(WaitKind::Condvar, address(self)) else {
            drop(queue);
            refuse("Condvar::wait", "a flag");
        };
        let ticket = queue.push(waiter, ());
        drop(queue);
        // In line before the mutex opens, so a notification that follows from its contents finds us.
        drop(guard);
        if let Outcome::Interrupted(interrupt) = wait.suspend() {
            self.queue.lock().withdraw(ticket);
            interrupt.raise();
        }
    }

    /// Wakes the one that has waited longest; false if nobody waits. Never suspends.
    pub fn notify_one(&self) -> bool {
        self.queue.lock().grant_first().is_some()
    }

    /// Wakes all that wait now. Never suspends.
    pub fn notify_all(&self) {
        self.queue.lock().grant_all();
    }

    /// How much it has been waited for.
    pub fn statistics(&self) -> WaitStatistics {
        self.queue.lock().statistics()
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar")
            .field("waiting", &self.statistics().waiting)
            .finish()
    }
}
