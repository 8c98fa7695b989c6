//! How long things took, counted by length: one thread counts, any reads.
//!
//! ```text
//!   bucket 0: up to 1,024 ns, then eight to each doubling, the last of them open: 55 s and more
//! ```

use std::sync::atomic::{AtomicU64, Ordering};

use super::raise;

/// Buckets to a doubling: a length is known to an eighth.
const STEPS: u32 = 8;
/// The first bucket ends at two to the power of this, in nanoseconds; the last begins below two to the power of that.
const LEAST: u32 = 10;
const MOST: u32 = 36;
pub(crate) const BUCKETS: usize = 1 + ((MOST - LEAST) * STEPS) as usize;

/// Written by one thread alone.
pub(crate) struct Histogram {
    counts: [AtomicU64; BUCKETS],
    sum: AtomicU64,
    longest: AtomicU64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; BUCKETS],
            sum: AtomicU64::new(0),
            longest: AtomicU64::new(0),
        }
    }

    /// Counts `times` of this length.
    pub(crate) fn count(&self, nanos: u64, times: u64) {
        raise(&self.counts[bucket(nanos)], times);
        let sum = self.sum.load(Ordering::Relaxed);
        let more = nanos.saturating_mul(times);
        self.sum.store(sum.saturating_add(more), Ordering::Relaxed);
        if nanos > self.longest.load(Ordering::Relaxed) {
            self.longest.store(nanos, Ordering::Relaxed);
        }
    }

    /// How many there were in each bucket.
    pub(crate) fn counts(&self) -> Vec<u64> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        self.counts.iter().map(read).collect()
    }

    /// All together, in nanoseconds.
    pub(crate) fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }

    /// The longest, in nanoseconds.
    pub(crate) fn longest(&self) -> u64 {
        self.longest.load(Ordering::Relaxed)
    }
}

fn bucket(nanos: u64) -> usize {
    let Some(power) = nanos.checked_ilog2().filter(|power| *power >= LEAST) else {
        return 0;
    };
    let step = (nanos >> (power - STEPS.ilog2())) as u32 & (STEPS - 1);
    BUCKETS.min(2 + ((power - LEAST) * STEPS + step) as usize) - 1
}

/// Nanoseconds of the longest that this bucket takes, if it is not the last.
pub(crate) fn end(bucket: usize) -> u64 {
    let Some(step) = bucket.checked_sub(1) else {
        return (1 << LEAST) - 1;
    };
    let (doubling, step) = (step as u32 / STEPS, step as u32 % STEPS);
    (u64::from(STEPS + step + 1) << (LEAST + doubling - STEPS.ilog2())) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_length_is_in_the_bucket_that_ends_next() {
        for bits in 0..40 {
            for nanos in [
                1_u64 << bits,
                (1 << bits) + (1 << bits) / 3,
                (2 << bits) - 1,
            ] {
                let at = bucket(nanos);
                assert!(at + 1 == BUCKETS || nanos <= end(at), "{nanos}: {at}");
                assert!(at == 0 || nanos > end(at - 1), "{nanos}: {at}");
                let is_close = at == 0 || at + 1 == BUCKETS || end(at) - nanos <= nanos / 8;
                assert!(is_close, "{nanos} is counted as {}", end(at));
            }
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }
}
