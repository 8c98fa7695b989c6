//! Sleeping, keeping a beat, and telling the time.

pub(crate) mod clock;
mod idle_timer;
mod interval;
pub(crate) mod wheel;

#[cfg(test)]
mod tests;

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::sched::interrupt;
use crate::sched::wait::{self, Outcome, WaitKind, check_interrupt};
use crate::sched::worker;

pub use idle_timer::{Due, IdleTimer, IdleTimerStatistics};
pub use interval::{Interval, IntervalStatistics, MissedTicks, Tick, interval, interval_at};

pub use crate::sched::interrupt::{Elapsed, with_deadline, with_timeout};

/// The time. Virtual in a program that runs under [`testing::run`](crate::testing::run): take it from here rather than
/// from [`Instant::now`], and the program can be simulated.
pub fn now() -> Instant {
    worker::with(|worker| worker.and_then(worker::Worker::virtual_now)).unwrap_or_else(Instant::now)
}

/// When a simulation begins, by its wall clock: the first second of the year 2000, since 1970.
const SIMULATED_START: u64 = 946_684_800;

/// The wall clock's time, as exact as the system's tick (some milliseconds): for dates and logs. Virtual in a program that
/// runs under [`testing::run`](crate::testing::run), where it begins with the year 2000.
///
/// ```
/// use grapeshot::{sleep, testing, time};
/// use std::time::{Duration, SystemTime};
///
/// let later = testing::run(7, || {
///     sleep(Duration::from_secs(86_400));
///     time::system_now()
/// });
/// let seconds = later.duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
/// assert_eq!(seconds, 946_684_800 + 86_400); // 2 January 2000
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn system_now() -> SystemTime {
    match worker::with(|worker| worker.and_then(worker::Worker::virtual_nanos)) {
        Some(nanos) => {
            SystemTime::UNIX_EPOCH
                + Duration::from_secs(SIMULATED_START)
                + Duration::from_nanos(nanos)
        }
        None => coarse_now(),
    }
}

/// It costs a memory read instead of a counter read.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn coarse_now() -> SystemTime {
    use rustix::time::{ClockId, clock_gettime};
    let since = Duration::try_from(clock_gettime(ClockId::RealtimeCoarse));
    SystemTime::UNIX_EPOCH + since.unwrap_or_default()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn coarse_now() -> SystemTime {
    SystemTime::now()
}

/// Suspends the coroutine for at least `duration`. **May suspend.**
///
/// On a plain thread it blocks the thread. `Duration::ZERO` lets the others run first. While the caller unwinds it returns
/// at once, since nothing may wait then.
pub fn sleep(duration: Duration) {
    check_interrupt();
    if wait::nothing_may_wait() {
        return;
    }
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    if !crate::context::is_coroutine() {
        return sleep_on_thread(duration);
    }
    let Ok((wait, waiter)) = wait::prepare(WaitKind::Sleep, 0) else {
        return;
    };
    let timer = worker::with(|worker| {
        worker
            .expect("a coroutine has a worker")
            .arm_wake(nanos, waiter)
    });
    if let Outcome::Interrupted(interrupt) = wait.suspend() {
        worker::with(|worker| worker.map(|worker| worker.disarm(timer)));
        interrupt.raise();
    }
}

/// Suspends the coroutine until `time`, for programs that keep a beat: what was done meanwhile does not add up to a
/// drift. **May suspend.** As [`sleep`] otherwise; a time that has passed only lets the others run.
pub fn sleep_until(time: Instant) {
    sleep(time.saturating_duration_since(now()));
}

/// The thread sleeps, but wakes for the deadline of a scope that it is in.
fn sleep_on_thread(duration: Duration) {
    let until = Instant::now().checked_add(duration);
    loop {
        let left = until.map_or(Duration::MAX, |until| {
            until.saturating_duration_since(Instant::now())
        });
        if left.is_zero() {
            return;
        }
        match interrupt::of_thread() {
            Ok(Some(deadline)) => thread::sleep(left.min(deadline)),
            Ok(None) => thread::sleep(left),
            Err(interrupt) => interrupt.raise(),
        }
    }
}
