//! Whose turn it is to use one direction of a descriptor: first come, first served.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;

use crate::sched::wait::{self, Outcome, Refused, WaitKind, Waiter};

const FREE: u8 = 0;
const TAKEN: u8 = 1;
/// Taken, and others may be in the queue.
const QUEUED: u8 = 2;
/// For good, set with the queue locked: whoever comes may go on at once, to find that there is nothing to be had.
const CLOSED: u8 = 3;

#[derive(Default)]
pub(crate) struct Turns {
    state: AtomicU8,
    queue: Mutex<VecDeque<Waiter>>,
}

/// The turn; given on when dropped.
pub(crate) struct Turn<'a>(&'a Turns);

impl Turns {
    /// Waits for the turn. **May suspend.**
    #[inline]
    pub(crate) fn take(&self, fd: usize) -> Result<Turn<'_>, Refused> {
        if self
            .state
            .compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            self.queue_up(fd)?;
        }
        Ok(Turn(self))
    }

    /// Takes the turn if nobody has it.
    pub(super) fn try_take(&self) -> Option<Turn<'_>> {
        self.state
            .compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed)
            .ok()?;
        Some(Turn(self))
    }

    /// Gives on a turn that was [kept](Turn::keep).
    #[cfg(feature = "futures-io")]
    pub(super) fn give_back(&self) {
        drop(Turn(self));
    }

    /// Has nobody the turn? It may change at any moment.
    #[inline]
    pub(crate) fn are_free(&self) -> bool {
        self.state.load(Ordering::Relaxed) == FREE
    }

    #[cold]
    fn queue_up(&self, fd: usize) -> Result<(), Refused> {
        let wait = {
            let mut queue = self.queue.lock();
            if self.state.load(Ordering::Acquire) == CLOSED {
                return Ok(());
            }
            // The holder either sees QUEUED when it gives the turn on, or had freed it before.
            if self.state.swap(QUEUED, Ordering::AcqRel) == FREE {
                return Ok(());
            }
            let (wait, waiter) = wait::prepare(WaitKind::Turn, fd)?;
            queue.push_back(waiter);
            wait
        };
        match wait.suspend() {
            Outcome::Granted => Ok(()),
            // Its waiter stays in the queue until its turn comes, and refuses it then.
            Outcome::Interrupted(interrupt) => interrupt.raise(),
        }
    }

    /// Lets all go on who wait, and whoever comes later.
    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock();
        self.state.store(CLOSED, Ordering::Release);
        for waiter in queue.drain(..) {
            waiter.wake();
        }
    }

    #[cold]
    fn give_on(&self) {
        let mut queue = self.queue.lock();
        if self.state.load(Ordering::Acquire) == CLOSED {
            return;
        }
        while let Some(next) = queue.pop_front() {
            if next.wake() {
                return;
            }
        }
        self.state.store(FREE, Ordering::Release);
    }
}

#[cfg(feature = "futures-io")]
impl Turn<'_> {
    /// Keeps the turn until [`Turns::give_back`].
    pub(super) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Turn<'_> {
    #[inline]
    fn drop(&mut self) {
        if self
            .0
            .state
            .compare_exchange(TAKEN, FREE, Ordering::Release, Ordering::Relaxed)
            .is_err()
        {
            self.0.give_on();
        }
    }
}
