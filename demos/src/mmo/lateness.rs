//! How late steps are: a histogram with buckets of constant relative width.
//!
//! Performs no I/O and reads no clock; recording is one addition, so it sits inside the lock a step takes anyway.

use std::time::Duration;

/// Buckets per doubling: a quantile is overstated by at most an eighth.
const PER_OCTAVE: usize = 8;
/// 0–7 µs exactly, then eight buckets for each doubling up to 2³⁵ µs, about nine hours.
const BUCKETS: usize = PER_OCTAVE * 33;

/// Counts of durations, in microseconds.
#[derive(Debug, Clone)]
pub struct Histogram {
    buckets: Box<[u32; BUCKETS]>,
    count: u64,
    longest: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: Box::new([0; BUCKETS]),
            count: 0,
            longest: Duration::ZERO,
        }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, value: Duration) {
        let bucket =
            &mut self.buckets[bucket_of(u64::try_from(value.as_micros()).unwrap_or(u64::MAX))];
        *bucket = bucket.saturating_add(1);
        self.count += 1;
        self.longest = self.longest.max(value);
    }

    /// Adds the counts of another one.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets.iter()) {
            *mine = mine.saturating_add(*theirs);
        }
        self.count += other.count;
        self.longest = self.longest.max(other.longest);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest one, exactly.
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// The duration that `share` (0 to 1) of the counted ones do not exceed, rounded up to its bucket's upper end and
    /// never above the longest; zero if nothing was counted.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.count as f64 * share.clamp(0.0, 1.0)).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, &n) in self.buckets.iter().enumerate() {
            seen += u64::from(n);
            if seen >= wanted {
                return Duration::from_micros(upper_end(index)).min(self.longest);
            }
        }
        self.longest
    }
}

fn bucket_of(micros: u64) -> usize {
    if micros < PER_OCTAVE as u64 {
        return micros as usize;
    }
    let octave = micros.ilog2() as usize - 3;
    let within = (micros >> octave) as usize - PER_OCTAVE;
    ((octave + 1) * PER_OCTAVE + within).min(BUCKETS - 1)
}

/// The largest number of microseconds that falls into this bucket.
fn upper_end(index: usize) -> u64 {
    if index < PER_OCTAVE {
        return index as u64;
    }
    let (octave, within) = (index / PER_OCTAVE - 1, index % PER_OCTAVE);
    (((PER_OCTAVE + within + 1) as u64) << octave) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_partition_the_line() {
        let mut previous = 0;
        for micros in 0..200_000u64 {
            let bucket = bucket_of(micros);
            assert!(
                bucket == previous || bucket == previous + 1,
                "{micros} µs jumps to {bucket}"
            );
            assert!(
                upper_end(bucket) >= micros,
                "{micros} µs lies above its bucket {bucket}"
            );
            previous = bucket;
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_at_most_an_eighth_too_high() {
        let mut histogram = Histogram::default();
        for micros in 1..=10_000 {
            histogram.record(Duration::from_micros(micros));
        }
        for share in [0.01, 0.5, 0.9, 0.99, 1.0] {
            let (exact, told) = (
                10_000.0 * share,
                histogram.quantile(share).as_micros() as f64,
            );
            assert!(
                (exact..=exact * 1.125 + 1.0).contains(&told),
                "{share}: {told} against {exact}"
            );
        }
        assert_eq!(histogram.quantile(1.0), Duration::from_millis(10));
    }

    #[test]
    fn nothing_counted_is_zero_and_merging_adds() {
        let mut sum = Histogram::default();
        assert_eq!(sum.quantile(0.99), Duration::ZERO);
        let mut one = Histogram::default();
        one.record(Duration::from_secs(86_400));
        sum.merge(&one);
        sum.merge(&one);
        assert_eq!(
            (sum.count(), sum.longest()),
            (2, Duration::from_secs(86_400))
        );
    }
}
