//! The clocks behind everything that is timed: the real one, and the virtual one of `testing`.

use std::cell::Cell;
use std::time::Instant;

use crate::context::cycles::{self, Scale};

/// Nanoseconds after which the counter is checked against the system's clock.
const ANCHOR_EVERY: u64 = 5_000_000;

/// A worker's clock: nanoseconds since its runtime's base. Never goes back.
pub(crate) enum Clock {
    Real(RealClock),
    Virtual(Cell<u64>),
}

pub(crate) struct RealClock {
    base: Instant,
    scale: Scale,
    anchor_every: u64,
    /// What the system's clock and the counter said when they were last compared.
    anchor_nanos: Cell<u64>,
    anchor_cycles: Cell<u64>,
    latest: Cell<u64>,
}

impl Clock {
    pub(crate) fn real(base: Instant) -> Self {
        let scale = cycles::scale();
        let clock = RealClock {
            base,
            scale,
            anchor_every: scale.cycles(ANCHOR_EVERY),
            anchor_nanos: Cell::new(0),
            anchor_cycles: Cell::new(0),
            latest: Cell::new(0),
        };
        clock.anchor();
        Self::Real(clock)
    }

    pub(crate) fn simulated() -> Self {
        Self::Virtual(Cell::new(0))
    }

    #[inline]
    pub(crate) fn now(&self) -> u64 {
        match self {
            Self::Real(clock) => clock.at(cycles::now()),
            Self::Virtual(now) => now.get(),
        }
    }

    /// Moves a virtual clock on.
    pub(crate) fn advance_to(&self, time: u64) {
        if let Self::Virtual(now) = self {
            now.set(now.get().max(time));
        }
    }

    pub(crate) fn is_virtual(&self) -> bool {
        matches!(self, Self::Virtual(_))
    }
}

impl RealClock {
    #[inline]
    fn at(&self, cycles: u64) -> u64 {
        let since = cycles.wrapping_sub(self.anchor_cycles.get());
        let nanos = if since < self.anchor_every {
            self.anchor_nanos.get() + self.scale.nanos(since)
        } else {
            self.anchor()
        };
        let nanos = nanos.max(self.latest.get());
        self.latest.set(nanos);
        nanos
    }

    #[cold]
    fn anchor(&self) -> u64 {
        let nanos = u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.anchor_nanos.set(nanos);
        self.anchor_cycles.set(cycles::now());
        nanos
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn real_time_passes_and_never_goes_back() {
        let base = Instant::now();
        let clock = Clock::real(base);
        let mut latest = clock.now();
        while base.elapsed() < Duration::from_millis(20) {
            let now = clock.now();
            assert!(now >= latest);
            latest = now;
        }
        let real = base.elapsed().as_nanos() as u64;
        assert!(
            clock.now().abs_diff(real) < 1_000_000,
            "{latest} against {real}"
        );
    }

    #[test]
    fn virtual_time_moves_only_when_told() {
        let clock = Clock::simulated();
        clock.advance_to(7);
        clock.advance_to(5);
        assert_eq!(clock.now(), 7);
    }
}
