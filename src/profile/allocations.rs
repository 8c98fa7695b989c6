//! What the sampled allocations come to.
//!
//! An allocation of `s` bytes is sampled with the probability `p = 1 - exp(-s / every)`. So one that was stands for `1 / p` of
//! its kind, and the sums over all samples are right on average, for small allocations and large ones.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use super::Allocated;
use super::groups::{self, GroupId};
use super::sampler::UNKNOWN;
use super::stacks::Stacks;
use super::tally;
use crate::context::allocations::{self, Sample};

/// Parts of an allocation that are counted: estimates are no whole numbers.
const PARTS: f64 = 1_024.0;
/// Coroutines that ran when the session began, at most: one a worker.
const UNKNOWNS: usize = 1_024;
/// How long to wait for a thread that is just leaving its sample, but has lost the processor.
const PATIENCE: Duration = Duration::from_millis(50);

pub(super) struct Allocations {
    /// Bytes between samples, on average.
    every: u64,
    /// `waited` has the bytes and the samples, the time of `queued` the parts of allocations.
    stacks: Stacks,
    /// Coroutines of which the samples do not say the group. One's place is taken off `UNKNOWN` for a group.
    unknown: Vec<u64>,
}

impl Allocations {
    /// Begins to sample, one byte in so many.
    pub(super) fn start(every: u64) -> Self {
        let allocations = Self {
            every,
            stacks: Stacks::new(),
            unknown: Vec::new(),
        };
        allocations::turn_on(every, tally::locate_allocation);
        allocations
    }

    pub(super) fn collect(&mut self) {
        allocations::drain(|sample| self.add(&sample));
    }

    /// After [`allocations::turn_off`]: what was still on its way, too. Blocks for a moment.
    pub(super) fn finish(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.collect();
            if !allocations::is_written() || Instant::now() > deadline {
                break;
            }
            thread::yield_now();
        }
    }

    fn add(&mut self, sample: &Sample<'_>) {
        let group = match (sample.coroutine, sample.tag.checked_sub(1)) {
            (_, Some(group)) => group as GroupId,
            (0, None) => groups::THREAD,
            (coroutine, None) => self.unknown(coroutine),
        };
        let frames: Vec<usize> = sample.frames.iter().map(|&it| it as usize).collect();
        let (bytes, times) = stands_for(sample.size, self.every);
        let entry = self.stacks.entry((group, 0), &frames);
        entry.waited.add(bytes.round() as u64);
        entry.queued.add((times * PARTS).round() as u64);
    }

    fn unknown(&mut self, coroutine: u64) -> GroupId {
        let known = self.unknown.iter().position(|&it| it == coroutine);
        let at = match known {
            Some(at) => at,
            None if self.unknown.len() < UNKNOWNS => {
                self.unknown.push(coroutine);
                self.unknown.len() - 1
            }
            None => return groups::OTHERS,
        };
        UNKNOWN - at as GroupId
    }

    /// `met`: groups of coroutines that ran when the session began.
    pub(super) fn report(&self, met: &HashMap<u64, GroupId>) -> Vec<Allocated> {
        let entries = self.stacks.entries().iter();
        let report = entries.map(|entry| {
            let at = (UNKNOWN - entry.key.0) as usize;
            let group = match self.unknown.get(at) {
                Some(coroutine) => *met.get(coroutine).unwrap_or(&groups::OTHERS),
                None => entry.key.0,
            };
            Allocated {
                frames: self.stacks.frames_of(entry).to_vec(),
                group: group as usize,
                samples: entry.waited.times,
                bytes: entry.waited.time,
                times: (entry.queued.time as f64 / PARTS).round() as u64,
            }
        });
        report.collect()
    }

    pub(super) fn lost_stacks(&self) -> u64 {
        self.stacks.lost
    }
}

/// For how many bytes, and for how many allocations, a sampled one of that size stands.
fn stands_for(size: u64, every: u64) -> (f64, f64) {
    let probability = -(-(size as f64) / every as f64).exp_m1();
    let times = 1.0 / probability;
    (size as f64 * times, times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_stands_for_those_of_its_size_that_were_not_taken() {
        // A small one is as good as a byte: one sample a distance.
        let (bytes, times) = stands_for(16, 1 << 20);
        assert!((bytes - (1 << 20) as f64).abs() < 16.0, "{bytes}");
        assert!((times - 65_536.5).abs() < 1.0, "{times}");
        // A large one is always taken.
        assert_eq!(stands_for(100 << 20, 1 << 20).1.round(), 1.0);
        assert_eq!(stands_for(1, 1).1.round(), 2.0);
    }

    #[test]
    fn coroutines_of_unknown_groups_get_them_at_the_end() {
        let mut allocations = Allocations {
            every: 1,
            stacks: Stacks::new(),
            unknown: Vec::new(),
        };
        let sample = |coroutine, tag| Sample {
            coroutine,
            tag,
            size: 1_000,
            frames: &[1, 2],
        };
        for it in [(7, 0), (8, 0), (7, 0), (9, 12), (0, 0), (0, 1)] {
            allocations.add(&sample(it.0, it.1));
        }
        let report = allocations.report(&HashMap::from([(7, 41)]));
        let found: Vec<_> = report
            .iter()
            .map(|it| (it.group, it.samples, it.bytes))
            .collect();
        let others = groups::OTHERS as usize;
        let thread = groups::THREAD as usize;
        let runtime = groups::RUNTIME as usize;
        let expected = [
            (41, 2, 2_000),
            (others, 1, 1_000),
            (11, 1, 1_000),
            (thread, 1, 1_000),
            (runtime, 1, 1_000),
        ];
        assert_eq!(found, expected);
        assert!(report.iter().all(|it| it.times == it.samples));
    }
}
