//! A ring of events: one writer, any readers.
//!
//! The writer never waits, and overwrites the oldest. A reader takes a copy, looks how far the writer has come meanwhile, and
//! leaves out what may have been overwritten. An event is two words:
//!
//! ```text
//!   │ lap: 8 │ what: 8 │ stamp: 48 │   │ operand: 64 │
//! ```
//!
//! The lap is how often the ring was full before, so an event that is not of the lap it should be of is known for torn. The
//! stamp's upper bits are in the ring's head, and in an event of their own whenever they change.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::event::code;
use super::layout::{Layout, RING};

/// Bits of a stamp that an event has.
pub(super) const LOW: u32 = 48;
pub(super) const LOW_MASK: u64 = (1 << LOW) - 1;

/// The place of a ring, and how far its only writer has come.
pub(super) struct Ring {
    /// Its first word.
    start: usize,
    events: usize,
    head: u64,
    /// The latest stamp.
    latest: u64,
    laps: u32,
}

impl Ring {
    /// The writer of a ring, from where the one before left off.
    pub(super) fn resume(words: &[AtomicU64], layout: Layout, ring: usize, base: u64) -> Self {
        let start = layout.ring(ring);
        let high = words[start + 1].load(Ordering::Relaxed);
        Self {
            start,
            events: layout.events,
            head: words[start].load(Ordering::Relaxed),
            latest: base.max(high << LOW),
            laps: layout.events.trailing_zeros(),
        }
    }

    /// Writes an event. Stamps never go back: an earlier one counts as the latest.
    #[inline]
    pub(super) fn put(&mut self, words: &[AtomicU64], what: u8, stamp: u64, operand: u64) {
        let stamp = stamp.max(self.latest);
        if stamp >> LOW != self.latest >> LOW || self.head == 0 {
            self.turn_over(words, stamp);
        }
        self.latest = stamp;
        self.write(words, what, stamp, operand);
    }

    #[inline]
    fn write(&mut self, words: &[AtomicU64], what: u8, stamp: u64, operand: u64) {
        let at = self.start + RING + 2 * (self.head as usize & (self.events - 1));
        let lap = (self.head >> self.laps) & 0xFF;
        // Whoever reads these words finds the head at least as far as it is now.
        fence(Ordering::Release);
        let first = lap << 56 | u64::from(what) << LOW | stamp & LOW_MASK;
        words[at].store(first, Ordering::Relaxed);
        words[at + 1].store(operand, Ordering::Relaxed);
        self.head += 1;
        words[self.start].store(self.head, Ordering::Release);
    }

    /// The upper bits of the stamps change.
    #[cold]
    fn turn_over(&mut self, words: &[AtomicU64], stamp: u64) {
        let (before, after) = (self.latest >> LOW, stamp >> LOW);
        self.write(words, code::TURNED, stamp, before << 32 | after);
        words[self.start + 1].store(after, Ordering::Release);
    }
}

/// Events of a ring, from the oldest that is there.
pub(super) struct Copy {
    /// The number of the first.
    pub(super) from: u64,
    pub(super) words: Vec<[u64; 2]>,
    /// The upper bits of the latest stamp, unless they change in one of these events.
    pub(super) high: u64,
}

/// Copies what was written since event number `from`, as far as it is still there. `load` gives a word of the stream.
pub(super) fn copy(load: impl Fn(usize) -> u64, layout: Layout, ring: usize, from: u64) -> Copy {
    let start = layout.ring(ring);
    let size = layout.events as u64;
    // Before the head: a change after this look is among the events.
    let high = load(start + 1);
    let head = load(start);
    fence(Ordering::Acquire);
    // The one that is being written now overwrites the oldest.
    let first_there = |head: u64| head.saturating_add(1).saturating_sub(size);
    let from = from.max(first_there(head)).min(head);
    let mut copied: Vec<[u64; 2]> = (from..head)
        .map(|number| {
            let at = start + RING + 2 * (number as usize & (layout.events - 1));
            [load(at), load(at + 1)]
        })
        .collect();
    fence(Ordering::Acquire);
    let late = first_there(load(start)).saturating_sub(from);
    let late = usize::try_from(late).map_or(copied.len(), |late| late.min(copied.len()));
    copied.drain(..late);
    Copy {
        from: from + late as u64,
        words: copied,
        high,
    }
}
