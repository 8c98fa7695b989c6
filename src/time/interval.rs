//! A beat that does not drift.

use super::{now, sleep_until};
use crate::sched::wait::nothing_may_wait;
use crate::sync::refuse;
use std::time::{Duration, Instant};

/// In place of a time that the clock cannot express.
const FAR: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Ticks every `period`, the first time in one `period` from now. See [`Interval`].
///
/// # Panics
/// If `period` is zero.
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(later(now(), period), period)
}

/// Ticks at `start`, and every `period` after that. See [`Interval`].
///
/// # Panics
/// If `period` is zero.
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval has a period");
    Interval {
        period,
        next: start,
        missed_ticks: MissedTicks::default(),
        ticks: 0,
        missed: 0,
    }
}

/// A beat: what is done between two ticks does not add up to a drift, as it would with `sleep`.
///
/// If that lasts longer than a period, ticks are missed; [`MissedTicks`] says what comes of them. A tick whose wait is
/// interrupted is not lost: the next call returns it. As an iterator it never ends.
///
/// ```
/// use grapeshot::{sleep, testing, time};
/// use std::time::Duration;
///
/// testing::run(0, || {
///     let start = time::now();
///     let mut beat = time::interval(Duration::from_secs(10));
///     for _ in 0..6 {
///         beat.tick();
///         sleep(Duration::from_secs(3));
///     }
///     assert_eq!(time::now() - start, Duration::from_secs(63));
/// });
/// ```
#[derive(Debug, Clone)]
pub struct Interval {
    period: Duration,
    /// When the next tick is due.
    next: Instant,
    missed_ticks: MissedTicks,
    ticks: u64,
    missed: u64,
}

/// What comes of ticks whose time passes while nobody waits for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissedTicks {
    /// One tick comes at once and says how many were missed; the next comes in step with the beat from before.
    #[default]
    Skip,
    /// All of them come at once, one after the other, until the beat is caught up with. None counts as missed.
    Burst,
    /// One tick comes at once and says how many were missed; the next comes a whole period later, and the beat goes on
    /// from there.
    Delay,
}

/// A tick of an [`Interval`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tick {
    /// When it was due.
    pub due: Instant,
    /// Ticks that were missed just before it.
    pub missed: u64,
}

/// What an [`Interval`] says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct IntervalStatistics {
    /// The time between two ticks.
    pub period: Duration,
    /// Ticks that came.
    pub ticks: u64,
    /// Ticks that were missed.
    pub missed: u64,
}

impl Interval {
    /// The same beat, with another answer to missed ticks.
    pub fn missed_ticks(self, missed_ticks: MissedTicks) -> Self {
        Self {
            missed_ticks,
            ..self
        }
    }

    /// Waits for the next tick. **May suspend**; a tick whose time has passed only lets the others run.
    ///
    /// # Panics
    /// If it would have to wait and the caller is unwinding: a destructor must not wait then.
    #[track_caller]
    pub fn tick(&mut self) -> Tick {
        let before = now();
        if nothing_may_wait() && self.next > before {
            refuse("Interval::tick", "try_tick");
        }
        sleep_until(self.next);
        self.take(now(), self.next < before)
    }

    /// The next tick, if its time has come.
    pub fn try_tick(&mut self) -> Option<Tick> {
        let now = now();
        (self.next <= now).then(|| self.take(now, self.next < now))
    }

    /// Begins anew: the next tick comes in one period from now.
    pub fn reset(&mut self) {
        self.next = later(now(), self.period);
    }

    /// How many ticks came, and how many were missed.
    pub fn statistics(&self) -> IntervalStatistics {
        IntervalStatistics {
            period: self.period,
            ticks: self.ticks,
            missed: self.missed,
        }
    }

    /// The tick that is due. Overdue is one whose time passed while nobody waited for it.
    fn take(&mut self, now: Instant, overdue: bool) -> Tick {
        let late = now.saturating_duration_since(self.next).as_nanos();
        let period = self.period.as_nanos();
        // At most a period, and a period that is shorter than a lateness of centuries fits easily.
        let since_latest = Duration::from_nanos(u64::try_from(late % period).unwrap_or(u64::MAX));
        let missed = u64::try_from(late / period).unwrap_or(u64::MAX);
        let tick = match self.missed_ticks {
            MissedTicks::Burst => Tick {
                due: self.next,
                missed: 0,
            },
            MissedTicks::Skip => Tick {
                // The clock that a sleep goes by may be ahead of this one a little.
                due: now.max(self.next) - since_latest,
                missed,
            },
            MissedTicks::Delay => Tick {
                due: self.next,
                missed,
            },
        };
        let from = match self.missed_ticks {
            MissedTicks::Delay if overdue => now,
            _ => tick.due,
        };
        self.next = later(from, self.period);
        self.ticks += 1;
        self.missed += tick.missed;
        tick
    }
}

impl Iterator for Interval {
    type Item = Tick;
    #[track_caller]
    fn next(&mut self) -> Option<Tick> {
        Some(self.tick())
    }
}

fn later(time: Instant, by: Duration) -> Instant {
    time.checked_add(by).unwrap_or_else(|| time + FAR)
}
