//! The latest figures of workers, coroutines and groups, and how they look as a line of blocks.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Figures that are kept of each.
const KEPT: usize = 120;

/// After so many refreshes without a row its history is forgotten: rows come and go at the end of a sorted list.
const FORGOTTEN_AFTER: u64 = 30;

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The latest figures of one thing.
#[derive(Debug, Clone, Default)]
pub(super) struct Series {
    values: VecDeque<f64>,
    seen: u64,
}

impl Series {
    pub(super) fn push(&mut self, value: f64) {
        if self.values.len() == KEPT {
            self.values.pop_front();
        }
        self.values.push_back(value);
    }

    /// The latest `width` figures, the latest at the right end; `full` is the highest block. What is more than nothing is
    /// seen to be more.
    pub(super) fn spark(&self, width: usize, full: f64) -> String {
        let shown = self.values.len().min(width);
        let blank = std::iter::repeat_n(' ', width - shown);
        let block = |value: &f64| {
            let share = (value / full).clamp(0.0, 1.0);
            BLOCKS[(share * (BLOCKS.len() - 1) as f64).ceil() as usize]
        };
        let latest = self.values.iter().skip(self.values.len() - shown);
        blank.chain(latest.map(block)).collect()
    }

    /// The largest of the latest `width` figures.
    pub(super) fn peak(&self, width: usize) -> f64 {
        let latest = self.values.iter().rev().take(width);
        latest.copied().fold(0.0, f64::max)
    }
}

/// The series of many things, by what names them.
#[derive(Debug)]
pub(super) struct Histories<K> {
    series: HashMap<K, Series>,
    refresh: u64,
}

impl<K> Default for Histories<K> {
    fn default() -> Self {
        Self {
            series: HashMap::new(),
            refresh: 0,
        }
    }
}

impl<K: Hash + Eq> Histories<K> {
    /// The figures of one refresh. What has none now had nothing, if it is not forgotten.
    pub(super) fn push(&mut self, figures: impl Iterator<Item = (K, f64)>) {
        self.refresh += 1;
        for (key, value) in figures {
            let series = self.series.entry(key).or_default();
            series.push(value);
            series.seen = self.refresh;
        }
        let now = self.refresh;
        self.series.retain(|_, series| {
            if series.seen != now {
                series.push(0.0);
            }
            now - series.seen <= FORGOTTEN_AFTER
        });
    }

    pub(super) fn of(&self, key: &K) -> Option<&Series> {
        self.series.get(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_stands_at_the_right_and_little_is_more_than_nothing() {
        let mut series = Series::default();
        for value in [0.0, 0.01, 0.5, 1.0, 7.0] {
            series.push(value);
        }
        assert_eq!(series.spark(7, 1.0), "  ▁▂▅██");
        assert_eq!(series.spark(2, 8.0), "▂█");
        assert!((series.peak(2) - 7.0).abs() < f64::EPSILON);
    }

    #[test]
    fn only_so_much_is_kept() {
        let mut series = Series::default();
        for n in 0..1000 {
            series.push(f64::from(n));
        }
        assert_eq!(series.values.len(), KEPT);
        let mut histories = Histories::default();
        histories.push([(1, 0.5)].into_iter());
        for _ in 0..FORGOTTEN_AFTER {
            histories.push(std::iter::empty());
            assert!(histories.of(&1).is_some());
        }
        histories.push(std::iter::empty());
        assert!(histories.of(&1).is_none());
    }
}
