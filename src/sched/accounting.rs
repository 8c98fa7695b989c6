//! Whether processor time is counted, which may change while the runtime runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::handle::RuntimeHandle;
use crate::context::cycles;

/// The state of the accounts, and the ages that are told from them.
pub(crate) struct Accounting {
    /// Cycles, when it was turned on, at least 1; 0: it is off.
    since: AtomicU64,
}

impl Accounting {
    pub(super) fn new(on: bool) -> Self {
        let accounting = Self {
            since: AtomicU64::new(0),
        };
        accounting.turn(on);
        accounting
    }

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.since.load(Ordering::Relaxed) != 0
    }

    fn turn(&self, on: bool) {
        let now = if on { cycles::now().max(1) } else { 0 };
        // Turned on again, it has been on all the time.
        let change = |since| ((since != 0) != on).then_some(now);
        let _ = self
            .since
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    /// How long before `now` something happened that was noted at `then`; if that was before the accounts were turned on,
    /// how long they have been. `None` while they are off.
    pub(crate) fn age(&self, then: u64, now: u64) -> Option<Duration> {
        let since = self.since.load(Ordering::Relaxed);
        let cycles = now.saturating_sub(then.max(since));
        (since != 0).then(|| Duration::from_nanos(cycles::scale().nanos(cycles)))
    }
}

impl RuntimeHandle {
    /// Is processor time counted? See [`RuntimeBuilder::accounting`](crate::RuntimeBuilder::accounting).
    pub fn accounting(self) -> bool {
        self.shared.accounting.is_on()
    }

    /// Has the runtime count processor time from now on, or no longer. A worker follows at its next turn: after 256 resumes
    /// at most.
    ///
    /// What was counted stays. Turned on again, waits and lives that began while it was off, or before, seem to have begun
    /// now.
    ///
    /// ```
    /// use grapeshot::RuntimeHandle;
    ///
    /// grapeshot::run(|| {
    ///     let runtime = RuntimeHandle::current().unwrap();
    ///     assert!(runtime.accounting());
    ///     runtime.set_accounting(false);
    ///     assert!(!runtime.accounting());
    /// });
    /// ```
    pub fn set_accounting(self, on: bool) {
        self.shared.accounting.turn(on);
    }
}
