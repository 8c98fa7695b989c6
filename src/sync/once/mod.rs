//! What is done once, by whoever comes first, while the others wait for it.

pub(super) mod gate;
mod lazy_lock;
mod once_lock;

pub use gate::OnceStatistics;
pub use lazy_lock::LazyLock;
pub use once_lock::OnceLock;

use super::address;
use crate::sched::wait::WaitKind;
use gate::{Call, Entered, Gate};
use std::fmt;

/// Runs something once, however many ask for it.
///
/// What it runs may suspend. If that panics or is interrupted, it counts as not done, and the next in line tries
/// with what it brought: there is no poisoning. See [`OnceLock`] for a value that is made once.
///
/// ```
/// use grapeshot::sync::Once;
/// use std::sync::Arc;
///
/// grapeshot::run(|| {
///     let bell = Arc::new(Once::new());
///     let ringers: Vec<_> = (0..3)
///         .map(|_| {
///             let bell = Arc::clone(&bell);
///             grapeshot::spawn(move || bell.call_once(|| grapeshot::yield_now()))
///         })
///         .collect();
///     for ringer in ringers {
///         ringer.join().unwrap();
///     }
///     assert_eq!(bell.statistics().attempts, 1);
/// });
/// ```
pub struct Once {
    gate: Gate,
}

impl Once {
    /// Nothing has been done.
    pub const fn new() -> Self {
        Self { gate: Gate::new() }
    }

    /// Runs `f`, unless that has been done; if somebody is at it, waits for that. **May suspend**, and raises
    /// interrupts, until it is done; from then on it returns at once.
    ///
    /// # Panics
    /// If `f` does. If `f` comes back to this: it would wait for itself. If it would have to wait and the caller is
    /// unwinding; see [`Mutex::lock`](super::Mutex::lock).
    #[track_caller]
    pub fn call_once(&self, f: impl FnOnce()) {
        let call = Call {
            kind: WaitKind::Once,
            object: address(self),
            name: "Once::call_once",
            instead: "is_completed",
        };
        if let Entered::Turn(turn) = self.gate.enter(&call) {
            f();
            turn.done();
        }
    }

    /// Whether it has been done.
    pub fn is_completed(&self) -> bool {
        self.gate.is_done()
    }

    /// How far it is, and how much it has been waited for.
    pub fn statistics(&self) -> OnceStatistics {
        self.gate.statistics()
    }
}

impl Default for Once {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once")
            .field("completed", &self.is_completed())
            .finish_non_exhaustive()
    }
}
