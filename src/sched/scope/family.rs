//! The children of a scope: who they are, who failed first, and the wait for them all.

use std::any::Any;

use slab::Slab;

use crate::context::SpinMutex;
use crate::context::lend::Loans;
use crate::sched::interrupt::Interrupt;
use crate::sched::record::CoroRef;
use crate::sched::wait::{self, Outcome, WaitKind, Waiter};
use crate::sched::worker;

/// A panic's payload.
pub(super) type Payload = Box<dyn Any + Send>;

pub(crate) struct Family {
    /// The coroutine that waits for them; 0 for a plain thread.
    pub(super) owner: u64,
    state: SpinMutex<State>,
}

struct State {
    children: Slab<Child>,
    /// The first failure, for the scope to panic on with.
    failure: Option<Payload>,
    /// A child failed, or the scope was interrupted: all of them have been interrupted, and so are those that still come.
    ending: bool,
    /// The owner waits for the last one.
    owner: Option<Waiter>,
}

enum Child {
    /// It is being spawned.
    Coming,
    Alive(CoroRef),
    /// It ended before its spawner could say who it is.
    Gone,
}

impl Family {
    pub(crate) fn new(owner: u64) -> Self {
        Self {
            owner,
            state: SpinMutex::new(State {
                children: Slab::new(),
                failure: None,
                ending: false,
                owner: None,
            }),
        }
    }

    /// Makes a place for a child.
    pub(crate) fn expect(&self) -> usize {
        self.state.lock().children.insert(Child::Coming)
    }

    /// The child has been spawned.
    pub(super) fn add(&self, key: usize, coroutine: &CoroRef) {
        let reference = coroutine.clone();
        let ending = {
            let mut state = self.state.lock();
            if matches!(state.children[key], Child::Gone) {
                state.children.remove(key);
                return drop_after(state, reference);
            }
            state.children[key] = Child::Alive(reference);
            state.ending
        };
        if ending {
            worker::interrupt(coroutine);
        }
    }

    /// A child has ended, or never will begin; `last`: no other is left at this moment. The scope may be gone already.
    pub(crate) fn returned(&self, key: usize, last: bool) {
        let (child, owner) = {
            let mut state = self.state.lock();
            let child = match state.children[key] {
                Child::Alive(_) => Some(state.children.remove(key)),
                Child::Coming | Child::Gone => {
                    state.children[key] = Child::Gone;
                    None
                }
            };
            (child, if last { state.owner.take() } else { None })
        };
        drop(child);
        if let Some(owner) = owner {
            owner.wake();
        }
    }

    /// Interrupts all children, and those that still come.
    pub(super) fn interrupt_all(&self) {
        let children: Vec<CoroRef> = {
            let mut state = self.state.lock();
            if state.ending {
                return;
            }
            state.ending = true;
            let alive = state.children.iter().filter_map(|(_, child)| match child {
                Child::Alive(coroutine) => Some(coroutine.clone()),
                Child::Coming | Child::Gone => None,
            });
            alive.collect()
        };
        for child in children {
            worker::interrupt(&child);
        }
    }

    /// A child failed: the others end. Gives the payload back if it was not the first.
    pub(super) fn fail(&self, payload: Payload) -> Result<(), Payload> {
        {
            let mut state = self.state.lock();
            if state.failure.is_some() {
                return Err(payload);
            }
            state.failure = Some(payload);
        }
        self.interrupt_all();
        Ok(())
    }

    /// How many children there are, and whether they have been interrupted.
    pub(super) fn look(&self) -> (usize, bool) {
        let state = self.state.lock();
        (state.children.len(), state.ending)
    }

    pub(super) fn is_ending(&self) -> bool {
        self.state.lock().ending
    }
}

/// Drops `reference` when the lock is free again: the last one to a record frees it.
fn drop_after<G>(guard: G, reference: CoroRef) {
    drop(guard);
    drop(reference);
}

/// How a scope ended, apart from its closure's result.
pub(super) struct End {
    /// The first child's that failed.
    pub(super) failure: Option<Payload>,
    /// One that came while the children were waited for.
    pub(super) interrupt: Option<Interrupt>,
}

/// Waits for the children when the scope's closure has returned, or `unwound`.
pub(super) fn settle(loans: &Loans, unwound: bool) -> End {
    if unwound {
        loans.family.interrupt_all();
    }
    let interrupt = wait_for_all(loans, unwound);
    let failure = loans.family.state.lock().failure.take();
    End { failure, interrupt }
}

/// Waits until every child has ended. An interrupt ends them, and is given back when they have; `masked` takes none.
fn wait_for_all(loans: &Loans, mut masked: bool) -> Option<Interrupt> {
    let family = &loans.family;
    let mut interrupt = None;
    while !loans.are_returned() {
        let begun = if masked {
            wait::wait_masked(WaitKind::Scope, 0)
        } else {
            wait::prepare(WaitKind::Scope, 0)
        };
        let (wait, waiter) = begun.expect("a scope catches what unwinds before it waits");
        // With the lock, either the last child finds the waiter, or this finds that there was a last one.
        let refused = {
            let mut state = family.state.lock();
            if loans.are_returned() {
                Some(waiter)
            } else {
                state.owner = Some(waiter);
                None
            }
        };
        if let Some(waiter) = refused {
            let _ = wait.cancel(&waiter);
            break;
        }
        if let Outcome::Interrupted(due) = wait.suspend() {
            let waiter = family.state.lock().owner.take();
            drop(waiter);
            family.interrupt_all();
            interrupt = Some(due);
            masked = true;
        }
    }
    interrupt
}
