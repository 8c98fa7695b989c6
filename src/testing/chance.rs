//! Chance in a simulation: a generator that begins with the seed.

use std::ops::RangeInclusive;

/// SplitMix64: every seed, however small, gives a good sequence from its first number on.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ x >> 31
    }

    /// A number below `count`, which is not 0.
    pub(super) fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }

    /// The range must not be empty; if it is, its start.
    pub(super) fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let width = range.end().saturating_sub(*range.start());
        let offset = match width.checked_add(1) {
            Some(width) => self.next() % width,
            None => self.next(),
        };
        range.start() + offset
    }

    /// Draws nothing if it cannot happen.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        // 53 bits are what a float holds.
        probability > 0.0 && ((self.next() >> 11) as f64 / (1u64 << 53) as f64) < probability
    }

    /// From 1 to `whole`, and the whole in half of the cases.
    pub(super) fn part(&mut self, whole: usize) -> usize {
        match self.next() & 1 {
            0 => whole,
            _ => 1 + self.below(whole),
        }
    }
}
