//! At least so often, if not sooner.

use super::{now, with_timeout};
use crate::sched::wait::{self, Outcome, WaitKind, yield_now};
use crate::sync::wait_queue::WaitQueue;
use crate::sync::{address, refuse};
use std::fmt;
use std::time::{Duration, Instant};

/// Tells when something is to be done that must be done at least so often: a heartbeat, a flush, a sweep.
///
/// It is due when nothing has been done for `period`; or sooner, when somebody [hurries](Self::hurry) it because there
/// is a reason not to wait; or later, when somebody [touches](Self::touch) it because what was done meanwhile serves
/// as well (a message was sent, so no heartbeat is needed). Each of these begins the period anew.
///
/// If several wait, each time it is due is one's, the one that has waited longest.
///
/// ```
/// use grapeshot::time::{Due, IdleTimer};
/// use grapeshot::{sleep, spawn, testing};
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// testing::run(0, || {
///     let flush = Arc::new(IdleTimer::new(Duration::from_secs(5)));
///     let log = spawn({
///         let flush = Arc::clone(&flush);
///         move || [flush.wait(), flush.wait()]
///     });
///     sleep(Duration::from_secs(7)); // The first is due after five seconds,
///     flush.hurry(); // the buffer is full: the second is due now.
///     assert_eq!(log.join().unwrap(), [Due::Elapsed, Due::Sooner]);
/// });
/// ```
pub struct IdleTimer {
    period: Duration,
    state: parking_lot::Mutex<State>,
}

/// Between two calls: while somebody waits, `hurried` is false.
struct State {
    /// The latest time when something was done.
    done: Instant,
    hurried: bool,
    elapsed: u64,
    sooner: u64,
    queue: WaitQueue<()>,
}

/// Why an [`IdleTimer`] is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The period has passed.
    Elapsed,
    /// Somebody called [`IdleTimer::hurry`].
    Sooner,
}

/// What an [`IdleTimer`] says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdleTimerStatistics {
    /// The longest time between two.
    pub period: Duration,
    /// How often it was due because that had passed.
    pub elapsed: u64,
    /// How often it was hurried.
    pub sooner: u64,
    /// Coroutines and threads that wait now.
    pub waiting: usize,
}

impl IdleTimer {
    /// A timer whose first period begins now.
    ///
    /// # Panics
    /// If `period` is zero.
    #[track_caller]
    pub fn new(period: Duration) -> Self {
        assert!(!period.is_zero(), "an idle timer has a period");
        let state = State {
            done: now(),
            hurried: false,
            elapsed: 0,
            sooner: 0,
            queue: WaitQueue::new(),
        };
        Self {
            period,
            state: parking_lot::Mutex::new(state),
        }
    }

    /// Waits until it is due. **May suspend**; if the period has passed already, it only lets the others run.
    ///
    /// # Panics
    /// If it would have to wait and the caller is unwinding: a destructor must not wait then.
    #[track_caller]
    pub fn wait(&self) -> Due {
        wait::check_interrupt();
        if self.left(&self.state.lock()).is_zero() {
            // Whoever needs longer than the period for what it does shall not starve the others.
            yield_now();
        }
        loop {
            let left = {
                let mut state = self.state.lock();
                if let Some(due) = state.take(self.period) {
                    return due;
                }
                if wait::nothing_may_wait() {
                    drop(state);
                    refuse("IdleTimer::wait", "try_wait");
                }
                self.left(&state)
            };
            // Otherwise it is due, or was touched meanwhile.
            if with_timeout(left, || self.wait_to_be_hurried()).is_ok() {
                return Due::Sooner;
            }
        }
    }

    /// Whether it is due; if it is, the period begins anew.
    pub fn try_wait(&self) -> Option<Due> {
        self.state.lock().take(self.period)
    }

    /// It is due now, at once. Remembered, once, if nobody waits. Never suspends.
    pub fn hurry(&self) {
        let mut state = self.state.lock();
        if state.queue.grant_first().is_some() {
            state.sooner();
        } else {
            state.hurried = true;
        }
    }

    /// The period begins anew: something was done that serves as well. Takes no [`hurry`](Self::hurry) back. Never
    /// suspends.
    pub fn touch(&self) {
        self.state.lock().done = now();
    }

    /// How often it was due, and how many wait.
    pub fn statistics(&self) -> IdleTimerStatistics {
        let state = self.state.lock();
        IdleTimerStatistics {
            period: self.period,
            elapsed: state.elapsed,
            sooner: state.sooner,
            waiting: state.queue.statistics().waiting,
        }
    }

    fn left(&self, state: &State) -> Duration {
        self.period
            .saturating_sub(now().saturating_duration_since(state.done))
    }

    fn wait_to_be_hurried(&self) {
        let mut state = self.state.lock();
        if std::mem::take(&mut state.hurried) {
            state.sooner();
            return;
        }
        let (wait, waiter) =
            wait::prepare(WaitKind::IdleTimer, address(self)).expect("the caller is not unwinding");
        let ticket = state.queue.push(waiter, ());
        drop(state);
        if let Outcome::Interrupted(interrupt) = wait.suspend() {
            self.state.lock().queue.withdraw(ticket);
            interrupt.raise();
        }
    }
}

impl State {
    fn take(&mut self, period: Duration) -> Option<Due> {
        if std::mem::take(&mut self.hurried) {
            self.sooner();
            return Some(Due::Sooner);
        }
        let now = now();
        if now.saturating_duration_since(self.done) < period {
            return None;
        }
        self.done = now;
        self.elapsed += 1;
        Some(Due::Elapsed)
    }

    fn sooner(&mut self) {
        self.done = now();
        self.sooner += 1;
    }
}

impl fmt::Debug for IdleTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdleTimer")
            .field("period", &self.period)
            .finish_non_exhaustive()
    }
}
