//! What a worker does between its rounds: look at the poller, and when there is nothing to run, steal, wait awake, sleep.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::hooks::Cause;
use super::super::{balance, raise, watchdog};
use super::{CROWD, Worker, YIELDS};
use crate::context::{blocks, cycles};

/// How soon a worker that stole looks again: its victim, which may be computing, does not wake it so shortly after.
const LINGER: u64 = 1_000_000;
/// Between two looks at stacks that are not needed any more.
const TRIM_EVERY: u64 = 1_000_000_000;
/// Stacks that an idle worker gives back between two looks at the poller: a millisecond's work.
const TIDY: usize = 512;
/// A sleep that another worker ends within so many nanoseconds was not worth its two system calls and two switches.
const SHORT: u64 = 50_000;
/// Nanoseconds for which a worker then stays awake the next times.
const SPIN: u64 = 20_000;
/// Rounds in a row that other threads' messages begin, before the poller has its turn.
const UNPOLLED: u32 = 32;

impl Worker {
    pub(super) fn poll(&self) {
        let busy = !self.ready.borrow().is_empty()
            || !self.after_poll.borrow().is_empty()
            || self.mine.unstarted.load(Ordering::Relaxed) > 0;
        if self.clock.is_virtual() && self.yields.get() > YIELDS {
            // Yielding takes time, so whoever yields until a timer has fired gets there in a simulation too.
            self.yields.set(0);
            self.jump_to_next_timer();
        }
        let news = !busy && self.has_news();
        if news && self.unpolled.get() < UNPOLLED {
            self.unpolled.set(self.unpolled.get() + 1);
            return;
        }
        self.unpolled.set(0);
        if busy || news || self.steal() || self.skip_time() {
            self.poll_for(Some(Duration::ZERO));
        } else {
            self.sleep();
        }
        self.ready
            .borrow_mut()
            .extend(self.after_poll.borrow_mut().drain(..));
    }

    fn steal(&self) -> bool {
        if self.shared.workers.len() == 1 || self.stopping.get() {
            return false;
        }
        let stolen = balance::steal(self.shared, self.mine);
        raise(&self.mine.figures.stolen, stolen.len() as u64);
        let any = !stolen.is_empty();
        if any {
            self.linger.set(true);
        }
        for newborn in stolen {
            self.admit(newborn);
        }
        any
    }

    /// Did other threads leave something, or will they in a moment?
    ///
    /// Two workers whose coroutines talk to each other would fall asleep and be woken for each message, at several
    /// microseconds each. If that has just been so, this stays awake for about as long as a wake-up takes.
    fn has_news(&self) -> bool {
        if !self.awake.get() {
            return self.mine.has_mail();
        }
        let (start, patience) = (cycles::now(), cycles::scale().cycles(SPIN));
        while !self.mine.has_mail() {
            if cycles::now().wrapping_sub(start) > patience {
                self.awake.set(false);
                return false;
            }
            std::hint::spin_loop();
        }
        true
    }

    fn sleep(&self) {
        self.publish();
        self.shared.idle.enter(self.mine.index);
        self.mine.sleeper.announce();
        let missed = self.mine.has_mail()
            || (self.shared.workers.len() > 1 && balance::is_anything_unstarted(self.shared));
        let timeout = if missed {
            Some(Duration::ZERO)
        } else {
            self.sleep_time()
        };
        let start = cycles::now();
        self.mine.figures.asleep.store(start, Ordering::Relaxed);
        self.poll_for(timeout);
        let end = cycles::now();
        self.mine.figures.asleep.store(0, Ordering::Relaxed);
        self.mine.sleeper.retract();
        if self.shared.config.latency_limit.is_some() {
            watchdog::stir();
        }
        self.shared.idle.leave(self.mine.index);
        self.stamp.set(end);
        self.probe.slept(end);
        let slept = cycles::scale().nanos(end.wrapping_sub(start));
        if slept < SHORT && self.mine.has_mail() && self.shared.may_spin {
            self.awake.set(true);
        }
        raise(&self.mine.figures.idle, slept);
        if self.clock.is_virtual() && timeout != Some(Duration::ZERO) && self.is_deadlocked() {
            // An event that wakes nobody ends the sleep early, but is no reason to give up. The counter is a little off.
            let slept = Duration::from_nanos(slept);
            if slept + slept / 64 >= self.shared.config.patience {
                self.lose_patience();
            }
        }
    }

    /// How long there is nothing to do; `None` without end.
    fn sleep_time(&self) -> Option<Duration> {
        let now = self.clock.now();
        if now.saturating_sub(self.trimmed.get()) >= TRIM_EVERY {
            self.trim_left.set(self.stacks.borrow_mut().trim());
            blocks::trim();
            self.shrink_tables();
            self.trimmed.set(now);
        }
        let more = self.stacks.borrow_mut().tidy(TIDY);
        if self.clock.is_virtual() {
            return Some(self.shared.config.patience);
        }
        if more {
            return Some(Duration::ZERO);
        }
        let timer = self.wheel.borrow_mut().next_deadline();
        let trim = (self.trim_left.get() > 0 || self.stacks.borrow().is_dirty())
            .then_some(now + TRIM_EVERY);
        let linger = self.linger.replace(false).then_some(now + LINGER);
        let next = timer.into_iter().chain(trim).chain(linger).min()?;
        Some(Duration::from_nanos(next.saturating_sub(now)))
    }

    pub(super) fn poll_for(&self, timeout: Option<Duration>) {
        raise(&self.mine.figures.polls, 1);
        self.probe.poll(self.stamp.get(), &self.mine.delays);
        self.poller
            .borrow_mut()
            .poll(timeout, &self.mine.reactor, &mut |waiter| {
                waiter.wake_on(
                    &mut self.ready.borrow_mut(),
                    &self.wakers,
                    Cause::Descriptor,
                )
            });
        self.call_wakers();
        if self.ready.borrow().len() >= CROWD {
            self.crowd.set(true);
        }
        if self
            .mine
            .figures
            .polls
            .load(Ordering::Relaxed)
            .is_multiple_of(64)
        {
            self.publish();
        }
    }

    /// Figures for the registry that cost a little.
    fn publish(&self) {
        self.mine
            .figures
            .ready
            .store(self.ready.borrow().len(), Ordering::Relaxed);
        self.mine
            .figures
            .timers
            .store(self.wheel.borrow().len(), Ordering::Relaxed);
        self.mine
            .figures
            .stacks_pooled
            .store(self.stacks.borrow().pooled(), Ordering::Relaxed);
    }
}
