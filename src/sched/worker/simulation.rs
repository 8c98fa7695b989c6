//! What a worker does otherwise in a simulation: the clock jumps, the ready queue is shuffled, and a world in which
//! nothing can happen any more is reported.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::record::CoroRef;
use super::Worker;
use super::chance::xorshift;

impl Worker {
    /// Takes one of the ready coroutines, whose order the seed decides.
    pub(super) fn pick(&self, ready: &mut VecDeque<CoroRef>) -> Option<CoroRef> {
        let state = self.shuffle.as_ref().filter(|_| ready.len() > 1);
        let Some(state) = state else {
            return ready.pop_front();
        };
        let x = xorshift(state.get());
        state.set(x);
        let pick = (x % ready.len() as u64) as usize;
        ready.swap_remove_back(pick)
    }

    /// A number that the seed decides; `None`, if this is no simulation.
    pub(crate) fn draw(&self) -> Option<u64> {
        let state = self.shuffle.as_ref()?;
        let x = xorshift(state.get());
        state.set(x);
        Some(x)
    }

    /// The virtual time in nanoseconds since the simulation began; `None`, if this is no simulation.
    #[inline]
    pub(crate) fn virtual_nanos(&self) -> Option<u64> {
        self.clock.is_virtual().then(|| self.clock.now())
    }

    /// In a simulation nothing is waited for: the clock jumps to the next timer, once the real sockets had their turn.
    pub(super) fn skip_time(&self) -> bool {
        if !self.clock.is_virtual() {
            return false;
        }
        self.poll_for(Some(Duration::ZERO));
        if !self.ready.borrow().is_empty() || self.mine.has_mail() {
            return true;
        }
        self.held.get() == 0 && self.jump_to_next_timer()
    }

    pub(super) fn jump_to_next_timer(&self) -> bool {
        let next = self.wheel.borrow_mut().next_deadline();
        if let Some(next) = next {
            self.clock.advance_to(next);
            self.fire_timers();
        }
        next.is_some()
    }

    /// Nothing came from outside for as long as the simulation has patience.
    pub(super) fn lose_patience(&self) {
        // What held the clock has taken too long.
        if self.held.get() == 0 || !self.jump_to_next_timer() {
            self.report_deadlock();
        }
    }

    /// Nothing of this simulation can ever happen again.
    pub(super) fn is_deadlocked(&self) -> bool {
        self.ready.borrow().is_empty()
            && !self.mine.has_mail()
            && self.mine.live.load(Ordering::Relaxed) > 0
    }

    fn report_deadlock(&self) {
        let waiting = crate::registry::describe_waits(self.shared);
        eprintln!(
            "grapeshot: the simulation is stuck: no coroutine can run, no timer is armed, and nothing came from outside \
             for {:?}. What they wait for:\n{waiting}Interrupting them all.",
            self.shared.config.patience
        );
        self.stop();
    }
}

/// While it lives, a virtual clock stands still, unless the simulation loses its patience: for a wait that soon ends by
/// itself, though not by anything in the simulation. To be dropped by the coroutine that made it.
pub(crate) struct ClockHeld(());

impl ClockHeld {
    pub(crate) fn new() -> Self {
        change(|held| held + 1);
        Self(())
    }
}

impl Drop for ClockHeld {
    fn drop(&mut self) {
        change(|held| held.saturating_sub(1));
    }
}

/// Nothing, on a plain thread: it has no clock of its own.
fn change(by: impl FnOnce(u32) -> u32) {
    super::with(|worker| worker.map(|worker| worker.held.set(by(worker.held.get()))));
}
