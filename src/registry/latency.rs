//! How long coroutines that could run waited for their worker.

use std::fmt;
use std::time::Duration;

use crate::sched::handle::RuntimeHandle;
use crate::sched::histogram::{self, BUCKETS, Histogram};
use crate::sched::{Shared, WorkerShared};

/// Lengths of time, counted: each is known to an eighth, and those below a microsecond are not told apart.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Delays {
    /// Empty if there are none.
    counts: Vec<u64>,
    total: u64,
    sum: Duration,
    longest: Duration,
}

impl Delays {
    fn of(histogram: &Histogram) -> Self {
        let counts = histogram.counts();
        Self {
            total: counts.iter().sum(),
            sum: Duration::from_nanos(histogram.sum()),
            counts,
            longest: Duration::from_nanos(histogram.longest()),
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// So long at most took this share of them (0.5: half); up to an eighth too much. Zero if there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (share.clamp(0.0, 1.0) * self.total as f64).ceil() as u64;
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted.max(1)
        });
        match found {
            Some(last) if last + 1 == BUCKETS => self.longest,
            Some(at) => Duration::from_nanos(histogram::end(at)).min(self.longest),
            None => Duration::ZERO,
        }
    }

    /// Half of them took no longer.
    pub fn p50(&self) -> Duration {
        self.quantile(0.5)
    }

    /// Nine of ten took no longer.
    pub fn p90(&self) -> Duration {
        self.quantile(0.9)
    }

    /// Ninety-nine of a hundred took no longer.
    pub fn p99(&self) -> Duration {
        self.quantile(0.99)
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        self.longest
    }

    /// How many took no longer than `limit`; those within an eighth of it may be missing.
    pub fn within(&self, limit: Duration) -> u64 {
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        let buckets = self.counts.iter().enumerate();
        let short = buckets.filter(|(at, _)| at + 1 < BUCKETS && histogram::end(*at) <= limit);
        short.map(|(_, count)| count).sum()
    }

    /// Those that came after `earlier`, which is what the same worker told before. The longest is known to an eighth then.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.counts.iter().chain(std::iter::repeat(&0));
        let counts: Vec<u64> = self
            .counts
            .iter()
            .zip(before)
            .map(|(now, before)| now.saturating_sub(*before))
            .collect();
        let mut later = Self {
            total: counts.iter().sum(),
            sum: self.sum.saturating_sub(earlier.sum),
            longest: self.longest,
            counts,
        };
        later.longest = later.quantile(1.0);
        later
    }

    fn add(&mut self, other: &Self) {
        if self.counts.is_empty() {
            *self = other.clone();
            return;
        }
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
        self.total += other.total;
        self.sum += other.sum;
        self.longest = self.longest.max(other.longest);
    }
}

impl fmt::Debug for Delays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delays")
            .field("count", &self.total)
            .field("p50", &self.p50())
            .field("p90", &self.p90())
            .field("p99", &self.p99())
            .field("max", &self.longest)
            .finish()
    }
}

/// How long what could have run waited for its worker, since the runtime's start.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Latency {
    /// How long coroutines that were ready to run had to wait until they were resumed. One of them is drawn, at the beginning
    /// of a worker's turn and every 50 µs at most, and counts for all that were queued with it.
    pub queued: Delays,
    /// For how long a worker did not look whether descriptors are ready: as long, at most, does an event of one go unseen
    /// before its coroutine is queued. Counted by time: half of the moments at which the worker was awake lie between two looks
    /// that were [`p50`](Delays::p50) apart, or closer.
    pub unseen: Delays,
}

impl Latency {
    fn of(worker: &WorkerShared) -> Self {
        worker
            .delays
            .read()
            .map_or_else(Self::default, |figures| Self {
                queued: Delays::of(&figures.queued),
                unseen: Delays::of(&figures.unseen),
            })
    }

    /// What came after `earlier`: see [`Delays::since`].
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            queued: self.queued.since(&earlier.queued),
            unseen: self.unseen.since(&earlier.unseen),
        }
    }
}

/// How long coroutines that could run waited for their worker, of each worker of the runtime, by its number;
/// [`Latency::from_iter`] puts them together.
///
/// It is measured always, by samples, and costs a resume nothing. In a simulation nothing is: there no time passes while a
/// coroutine is ready.
///
/// ```
/// use grapeshot::registry::{self, Latency};
/// use grapeshot::{sleep, spawn, yield_now};
/// use std::time::{Duration, Instant};
///
/// grapeshot::Runtime::builder().workers(1).build()?.run(|| {
///     let busy = spawn(|| for _ in 0_u64.. {
///         let start = Instant::now();
///         while start.elapsed() < Duration::from_millis(2) {}
///         yield_now();
///     });
///     let all = loop {
///         sleep(Duration::from_millis(1)); // and is ready then, but has to wait for the busy one
///         let all: Latency = registry::latency().into_iter().collect();
///         if all.queued.max() > Duration::from_millis(1) {
///             break all;
///         }
///     };
///     println!("half waited {:.1?}, one {:.1?}", all.queued.p50(), all.queued.max());
///     busy.interrupt();
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn latency() -> Vec<Latency> {
    RuntimeHandle::current().map_or_else(Vec::new, RuntimeHandle::latency)
}

impl RuntimeHandle {
    /// How long coroutines of this runtime that could run waited for their worker; see
    /// [`latency`](crate::registry::latency).
    pub fn latency(self) -> Vec<Latency> {
        latency_of(self.shared)
    }
}

pub(super) fn latency_of(shared: &Shared) -> Vec<Latency> {
    shared.workers.iter().map(Latency::of).collect()
}

impl FromIterator<Latency> for Latency {
    fn from_iter<T: IntoIterator<Item = Latency>>(workers: T) -> Self {
        let mut all = Self::default();
        for worker in workers {
            all.queued.add(&worker.queued);
            all.unseen.add(&worker.unseen);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{sleep, spawn, testing, yield_now};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;

    const MS: Duration = Duration::from_millis(1);

    fn delays(millis: &[(u64, u64)]) -> Delays {
        let histogram = Histogram::new();
        for (millis, times) in millis {
            histogram.count(millis * 1_000_000, *times);
        }
        Delays::of(&histogram)
    }

    #[track_caller]
    fn close(found: Duration, millis: u32) {
        let true_one = MS * millis;
        assert!(
            found >= true_one && found <= true_one + true_one / 8,
            "{found:?} for {true_one:?}"
        );
    }

    #[test]
    fn shares_are_told_to_an_eighth() {
        let some = delays(&[(1, 50), (7, 40), (100, 9), (3000, 1)]);
        assert_eq!(some.count(), 100);
        close(some.p50(), 1);
        close(some.quantile(0.51), 7);
        close(some.p90(), 7);
        close(some.p99(), 100);
        assert_eq!(some.max(), MS * 3000);
        assert_eq!(some.quantile(1.0), some.max());
        assert_eq!(some.within(MS * 8), 90);
        assert_eq!(some.within(Duration::MAX), 100);
        assert_eq!(Delays::default().p99(), Duration::ZERO);
    }

    #[test]
    fn what_came_later_is_what_is_new() {
        let before = delays(&[(1, 50), (3000, 1)]);
        let now = delays(&[(1, 60), (40, 2), (3000, 1)]);
        let later = now.since(&before);
        assert_eq!(later.count(), 12);
        close(later.p50(), 1);
        close(later.max(), 40);
        assert_eq!(later.sum(), MS * 90);
        assert_eq!(now.since(&Delays::default()).count(), 63);
        assert_eq!(Delays::default().since(&Delays::default()).count(), 0);
        let mut both = before.clone();
        both.add(&now);
        assert_eq!(both.count(), 114);
        assert_eq!(both.max(), MS * 3000);
    }

    /// Computes for so long.
    fn burn(time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn each_waits_for_those_before_it() {
        let stop = Arc::new(AtomicBool::new(false));
        let runtime = crate::Runtime::builder().workers(1).build().unwrap();
        let all: Latency = runtime.run(move || {
            let crowd: Vec<_> = (0..10)
                .map(|_| {
                    let stop = Arc::clone(&stop);
                    spawn(move || {
                        while !stop.load(Ordering::Relaxed) {
                            burn(MS * 2);
                            yield_now();
                        }
                    })
                })
                .collect();
            let patience = Instant::now() + Duration::from_secs(60);
            let all = loop {
                sleep(MS);
                let all: Latency = latency().into_iter().collect();
                if all.queued.max() >= MS * 16 && all.unseen.max() >= MS * 16 {
                    break all;
                }
                assert!(Instant::now() < patience, "{all:#?}");
            };
            stop.store(true, Ordering::Relaxed);
            crowd.into_iter().for_each(|it| it.join().unwrap());
            all
        });
        assert!(all.queued.p50() <= all.queued.p90() && all.queued.p90() <= all.queued.max());
        assert_eq!(all.queued.within(Duration::MAX), all.queued.count());
    }

    #[test]
    fn in_a_simulation_nobody_waits() {
        testing::run(7, || {
            let crowd: Vec<_> = (0..10).map(|_| spawn(|| sleep(MS))).collect();
            crowd.into_iter().for_each(|it| it.join().unwrap());
            let all: Latency = latency().into_iter().collect();
            assert_eq!((all.queued.count(), all.unseen.count()), (0, 0));
        });
    }
}
