//! A flag that can be waited for.

use super::wait_queue::{WaitQueue, WaitStatistics};
use super::{address, refuse};
use crate::sched::wait::{self, Outcome, WaitKind};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that stays as it is put: while it is set nobody waits, while it is clear everybody does.
///
/// ```
/// use grapeshot::sync::Event;
/// use std::sync::Arc;
///
/// grapeshot::run(|| {
///     let harbour_open = Arc::new(Event::new());
///     let ship = grapeshot::spawn({
///         let harbour_open = Arc::clone(&harbour_open);
///         move || harbour_open.wait()
///     });
///     harbour_open.set();
///     ship.join().unwrap();
/// });
/// ```
pub struct Event {
    /// Written only with the queue locked, so that nobody joins the line of an event that has been set.
    set: AtomicBool,
    queue: parking_lot::Mutex<WaitQueue<()>>,
}

impl Event {
    /// An event that is clear.
    pub const fn new() -> Self {
        Self {
            set: AtomicBool::new(false),
            queue: parking_lot::Mutex::new(WaitQueue::new()),
        }
    }

    /// Waits until the event is set; returns at once if it is. **May suspend.**
    ///
    /// Whoever waits when the event is set gets through, even if it is cleared again before they run.
    ///
    /// # Panics
    /// If the event is clear and the caller is unwinding: a destructor must not wait then.
    #[track_caller]
    pub fn wait(&self) {
        wait::check_interrupt();
        if self.is_set() {
            return;
        }
        let mut queue = self.queue.lock();
        if self.is_set() {
            return;
        }
        let Ok((wait, waiter)) = wait::prepare(WaitKind::Event, address(self)) else {
            drop(queue);
            refuse("Event::wait", "is_set");
        };
        let ticket = queue.push(waiter, ());
        drop(queue);
        if let Outcome::Interrupted(interrupt) = wait.suspend() {
            self.queue.lock().withdraw(ticket);
            interrupt.raise();
        }
    }

    /// Sets the event and lets everybody through. Never suspends.
    pub fn set(&self) {
        let mut queue = self.queue.lock();
        self.set.store(true, Ordering::Release);
        queue.grant_all();
    }

    /// Clears the event. Never suspends.
    pub fn clear(&self) {
        let _queue = self.queue.lock();
        self.set.store(false, Ordering::Release);
    }

    /// Whether the event is set.
    pub fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    /// How much it has been waited for.
    pub fn statistics(&self) -> WaitStatistics {
        self.queue.lock().statistics()
    }
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("set", &self.is_set())
            .field("waiting", &self.statistics().waiting)
            .finish()
    }
}
