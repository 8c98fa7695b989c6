//! When the watchdog looks for lints, and what it remembers from look to look.

use std::time::{Duration, Instant};

use super::super::records;
use super::delayed::Delayed;
use super::growth::Growth;
use super::load::Load;
use super::restless::Restless;
use super::{held, resources};
use crate::sched::Shared;

/// Between two checks while something runs.
const EVERY: Duration = Duration::from_millis(500);
/// Coroutines that there may be for looking at each while nobody asks: that takes some milliseconds.
const UNASKED: usize = 20_000;

/// What the watchdog remembers of one runtime.
pub(crate) struct Checks {
    next: Instant,
    load: Load,
    delayed: Delayed,
    restless: Restless,
    growth: Growth,
}

impl Checks {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            next: now,
            load: Load::default(),
            delayed: Delayed::default(),
            restless: Restless::default(),
            growth: Growth::default(),
        }
    }

    /// Looks, if it is time.
    pub(crate) fn look(&mut self, shared: &'static Shared, now: Instant) {
        if now < self.next {
            return;
        }
        self.next = now + EVERY;
        let lints = &shared.lints;
        lints.settle();
        lints.raise(self.load.look(shared, now));
        self.delayed.look(shared);
        if shared.alive() > UNASKED {
            self.restless = Restless::default();
            self.growth = Growth::default();
            return;
        }
        let all = records(shared);
        lints.raise(resources::exhausted(&all));
        lints.raise(resources::nearly_full(&all));
        lints.raise(held::across_io(shared, &all));
        lints.raise(self.restless.look(&all, now));
        lints.raise(self.growth.look(&all));
    }
}
