//! How long coroutines that are ready wait for their worker: sampled, at no cost to a resume.
//!
//! ```text
//!   turn begins       one of those that are queued is drawn, and how many go before it is remembered
//!   so many resumes   it is its turn: the time since is the delay, for as many as were queued
//!   poll              the time since the poller's turn before: as long may an event have gone unseen
//! ```

use std::cell::Cell;

use super::super::Delays;
use crate::context::cycles;

/// Nanoseconds between two draws, at least; and the unit of time in which looks at the poller are counted.
const EVERY: u64 = 50_000;

pub(super) struct Probe {
    /// Cycles, when the next may be drawn.
    next: Cell<u64>,
    /// Resumes up to the one of the coroutine that was drawn; 0: none is.
    left: Cell<u32>,
    /// How many were queued when it was.
    of: Cell<u64>,
    /// Cycles, at that moment.
    since: Cell<u64>,
    /// Cycles, at the poller's latest turn.
    polled: Cell<u64>,
    /// Cycles between turns that were shorter than a unit, and the longest of them: counted together.
    short: Cell<(u64, u64)>,
    every: u64,
}

impl Probe {
    /// One that begins to measure `now`, or, in a simulation, never.
    pub(super) fn new(now: u64, is_simulated: bool) -> Self {
        Self {
            next: Cell::new(if is_simulated { u64::MAX } else { now }),
            left: Cell::new(0),
            of: Cell::new(0),
            since: Cell::new(0),
            polled: Cell::new(now),
            short: Cell::new((0, 0)),
            every: cycles::scale().cycles(EVERY),
        }
    }

    /// A turn begins at `now`, with so many queued: resumes up to the one that is awaited, or 0.
    #[inline]
    pub(super) fn begin(&self, now: u64, queued: usize) -> u32 {
        if self.left.get() == 0 && queued > 0 && now >= self.next.get() {
            self.draw(now, queued);
        }
        self.left.get()
    }

    #[cold]
    fn draw(&self, now: u64, queued: usize) {
        let queued = u64::try_from(queued).map_or(1 << 20, |queued| queued.min(1 << 20));
        // The lower half of the counter is random enough, once it is spread.
        let random = now.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        self.left.set(((random * queued) >> 32) as u32 + 1);
        self.of.set(queued);
        self.since.set(now);
        self.next.set(now + self.every);
    }

    /// The turn is over, with so many left.
    #[inline]
    pub(super) fn pause(&self, left: u32) {
        // Below zero: there was none, or it has had its turn.
        self.left.set(if left > u32::MAX / 2 { 0 } else { left });
    }

    /// The one that was drawn is resumed `now`.
    #[cold]
    pub(super) fn resumed(&self, now: u64, delays: &Delays) {
        let nanos = cycles::scale().nanos(now.saturating_sub(self.since.get()));
        delays.figures().queued.count(nanos, self.of.get());
    }

    /// The worker is about to look at the poller, `now`.
    #[inline]
    pub(super) fn poll(&self, now: u64, delays: &Delays) {
        let gap = now.saturating_sub(self.polled.replace(now));
        if gap == 0 || self.next.get() == u64::MAX {
            return;
        }
        if gap >= self.every {
            return self.count(gap, gap / self.every, delays);
        }
        let (sum, longest) = self.short.get();
        let (sum, longest) = (sum + gap, longest.max(gap));
        if sum < self.every {
            self.short.set((sum, longest));
        } else {
            self.short.set((0, 0));
            self.count(longest, 1, delays);
        }
    }

    #[cold]
    fn count(&self, gap: u64, times: u64, delays: &Delays) {
        let nanos = cycles::scale().nanos(gap);
        delays.figures().unseen.count(nanos, times);
    }

    /// The worker has slept until `now`.
    pub(super) fn slept(&self, now: u64) {
        self.polled.set(now);
    }
}
