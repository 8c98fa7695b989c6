//! Whose turn it is to do what shall be done once. Holds no value: that is its owners' business.

use crate::sched::current;
use crate::sched::wait::{self, Outcome, WaitKind};
use crate::sync::refuse;
use crate::sync::wait_queue::{WaitQueue, WaitStatistics};
use std::fmt;
use std::sync::OnceLock;
use std::thread::{self, ThreadId};

/// Open when the work is done. Until then one at a time has the turn, and the others wait for theirs.
pub(in crate::sync) struct Gate {
    /// Filled with the state locked, so that nobody joins the line of an open gate.
    done: OnceLock<()>,
    state: parking_lot::Mutex<State>,
}

/// Between two calls: nobody waits while nobody has the turn.
struct State {
    owner: Option<Owner>,
    turns: u64,
    queue: WaitQueue<Owner>,
}

/// A coroutine (which never changes its thread), or a plain thread.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Owner {
    thread: ThreadId,
    coroutine: Option<u64>,
}

/// What came of [`Gate::enter`].
pub(in crate::sync) enum Entered<'a> {
    /// The work is done.
    Done,
    /// It is for the caller to do.
    Turn(Turn<'a>),
}

/// The turn to do the work. Dropped before it is [`done`](Self::done), it goes to the next in line.
#[must_use]
pub(in crate::sync) struct Turn<'a> {
    gate: &'a Gate,
}

/// How a call is named to the registry, and in what it panics with.
pub(in crate::sync) struct Call {
    pub(in crate::sync) kind: WaitKind,
    pub(in crate::sync) object: usize,
    pub(in crate::sync) name: &'static str,
    /// What to use in destructors.
    pub(in crate::sync) instead: &'static str,
}

/// What a [`Once`](super::Once) or one of its kin says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OnceStatistics {
    /// Whether it is done.
    pub done: bool,
    /// Whether somebody is at it now.
    pub running: bool,
    /// How often it was begun. More than once means that initialisers failed, panicked or were interrupted.
    pub attempts: u64,
    /// How much it has been waited for.
    pub wait: WaitStatistics,
}

impl Gate {
    pub(in crate::sync) const fn new() -> Self {
        let state = State {
            owner: None,
            turns: 0,
            queue: WaitQueue::new(),
        };
        Self {
            done: OnceLock::new(),
            state: parking_lot::Mutex::new(state),
        }
    }

    pub(in crate::sync) fn is_done(&self) -> bool {
        self.done.get().is_some()
    }

    /// Waits until the work is done or the turn is the caller's. May suspend, and raises interrupts, unless it is
    /// done already.
    #[track_caller]
    pub(in crate::sync) fn enter(&self, call: &Call) -> Entered<'_> {
        if self.is_done() {
            return Entered::Done;
        }
        wait::check_interrupt();
        let caller = Owner::current();
        let mut state = self.state.lock();
        if self.is_done() {
            return Entered::Done;
        }
        let Some(owner) = state.owner else {
            return state.give(self, caller);
        };
        if owner == caller {
            drop(state);
            report_reentrance(call.name);
        }
        let Ok((wait, waiter)) = wait::prepare(call.kind, call.object) else {
            drop(state);
            refuse(call.name, call.instead);
        };
        let ticket = state.queue.push(waiter, caller);
        drop(state);
        match wait.suspend() {
            Outcome::Granted if self.is_done() => Entered::Done,
            // The one before failed, and has made the caller its successor.
            Outcome::Granted => Entered::Turn(Turn { gate: self }),
            Outcome::Interrupted(interrupt) => {
                self.state.lock().queue.withdraw(ticket);
                interrupt.raise()
            }
        }
    }

    pub(in crate::sync) fn statistics(&self) -> OnceStatistics {
        let state = self.state.lock();
        OnceStatistics {
            done: self.is_done(),
            running: state.owner.is_some(),
            attempts: state.turns,
            wait: state.queue.statistics(),
        }
    }
}

impl State {
    fn give<'a>(&mut self, gate: &'a Gate, owner: Owner) -> Entered<'a> {
        self.owner = Some(owner);
        self.turns += 1;
        Entered::Turn(Turn { gate })
    }
}

impl Owner {
    fn current() -> Self {
        Self {
            thread: thread::current().id(),
            coroutine: current::with(|coroutine| coroutine.map(|coroutine| coroutine.head.id)),
        }
    }
}

impl Turn<'_> {
    /// Opens the gate for all.
    pub(in crate::sync) fn done(self) {
        let gate = self.gate;
        std::mem::forget(self);
        let mut state = gate.state.lock();
        gate.done.get_or_init(|| ());
        state.owner = None;
        state.queue.grant_all();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.state.lock();
        state.owner = state.queue.grant_first();
        state.turns += u64::from(state.owner.is_some());
    }
}

#[cold]
#[track_caller]
fn report_reentrance(call: &str) -> ! {
    panic!(
        "{call} was called by its own initialiser and would wait for itself for ever: \
         let the initialiser work with what it has, not with what it makes"
    )
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.statistics().fmt(f)
    }
}
