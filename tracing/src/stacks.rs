//! Which spans each coroutine of a thread has entered.
//!
//! ```text
//!                      resumed              suspended, ended
//!   the coroutine's    entered again ──▶ running ──▶ exited, and kept until it is resumed
//!   the thread's own   exited, kept below          entered again
//! ```
//!
//! A coroutine never changes its thread, so all of it is a thread's own.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Once};

use grapeshot::{CoroutineId, Observed, Observer};
use tracing_core::Dispatch;
use tracing_core::span::Id;

use crate::Whole;

/// Has [`Switches`] hear of switches, once in a process.
pub(crate) fn watch_switches() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| grapeshot::observe(&Switches));
}

/// What runs on this thread has entered a span.
pub(crate) fn entered(subscriber: &Whole, id: &Id) {
    if SWITCHING.get() {
        return;
    }
    with_stacks(|stacks| {
        stacks.running.push(Entered {
            subscriber: subscriber.clone(),
            id: id.clone(),
        });
    });
}

/// What runs on this thread has exited a span. It may be one that another entered, whose guard it got hold of.
pub(crate) fn exited(subscriber: &Whole, id: &Id) {
    if SWITCHING.get() {
        return;
    }
    with_stacks(|stacks| {
        if !take_out(&mut stacks.running, subscriber, id)
            && !take_out(&mut stacks.below, subscriber, id)
        {
            let others = &mut stacks.suspended;
            let found = others
                .iter_mut()
                .find_map(|(owner, spans)| take_out(spans, subscriber, id).then_some(*owner));
            if let Some(owner) = found.filter(|owner| others[owner].is_empty()) {
                others.remove(&owner);
            }
        }
    });
}

/// The latest one counts, as in the subscriber's own stack.
fn take_out(spans: &mut Vec<Entered>, subscriber: &Whole, id: &Id) -> bool {
    let is_it = |span: &Entered| span.id == *id && Arc::ptr_eq(&span.subscriber, subscriber);
    let place = spans.iter().rposition(is_it);
    place.map(|place| spans.remove(place)).is_some()
}

struct Entered {
    subscriber: Whole,
    id: Id,
}

#[derive(Default)]
struct Stacks {
    /// Of the coroutine that runs; between two, and on a thread that is no worker, the thread's own.
    running: Vec<Entered>,
    /// The thread's own, while a coroutine runs.
    below: Vec<Entered>,
    /// Of those that have any.
    suspended: HashMap<CoroutineId, Vec<Entered>>,
}

thread_local! {
    static STACKS: RefCell<Stacks> = RefCell::default();
    /// Spans are exited and entered for a switch, which changes nothing in what their owners have entered.
    static SWITCHING: Cell<bool> = const { Cell::new(false) };
}

/// Calls with this thread's. `call` must not call a subscriber, which may call back.
fn with_stacks<R: Default>(call: impl FnOnce(&mut Stacks) -> R) -> R {
    // A thread that ends may exit spans after they are gone.
    STACKS
        .try_with(|stacks| call(&mut stacks.borrow_mut()))
        .unwrap_or_default()
}

struct Switches;

impl Observer for Switches {
    fn resumed(&self, coroutine: Observed<'_>) {
        let (below, its) = with_stacks(|stacks| {
            let its = if stacks.suspended.is_empty() {
                Vec::new()
            } else {
                stacks.take_suspended(coroutine.id())
            };
            (mem::take(&mut stacks.running), its)
        });
        if below.is_empty() && its.is_empty() {
            return;
        }
        switch(&below, &its);
        with_stacks(|stacks| {
            stacks.below = below;
            stacks.running = its;
        });
    }

    fn suspended(&self, coroutine: Observed<'_>) {
        let its = leave();
        if !its.is_empty() {
            with_stacks(|stacks| stacks.suspended.insert(coroutine.id(), its));
        }
    }

    fn ended(&self, _coroutine: Observed<'_>) {
        // Of guards that it forgot.
        drop(leave());
    }
}

/// The coroutine that ran does no more; gives its spans.
fn leave() -> Vec<Entered> {
    let (its, below) =
        with_stacks(|stacks| (mem::take(&mut stacks.running), mem::take(&mut stacks.below)));
    if !its.is_empty() || !below.is_empty() {
        switch(&its, &below);
        with_stacks(|stacks| stacks.running = below);
    }
    its
}

/// Exits the ones and enters the others.
fn switch(from: &[Entered], to: &[Entered]) {
    struct Done;
    impl Drop for Done {
        fn drop(&mut self) {
            SWITCHING.set(false);
        }
    }
    SWITCHING.set(true);
    let _done = Done;
    for spans in from.chunk_by(Entered::are_together).rev() {
        if let Some(subscriber) = spans[0].subscriber() {
            spans
                .iter()
                .rev()
                .for_each(|span| subscriber.exit(&span.id));
        }
    }
    for spans in to.chunk_by(Entered::are_together) {
        if let Some(subscriber) = spans[0].subscriber() {
            spans.iter().for_each(|span| subscriber.enter(&span.id));
        }
    }
}

impl Entered {
    fn are_together(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.subscriber, &other.subscriber)
    }

    /// `None`, if it is gone: then nobody is interested in the span.
    fn subscriber(&self) -> Option<Dispatch> {
        self.subscriber.get()?.upgrade()
    }
}

impl Stacks {
    /// Tables with fewer places are left as they are.
    const WIDE: usize = 4096;

    fn take_suspended(&mut self, id: CoroutineId) -> Vec<Entered> {
        let spans = self.suspended.remove(&id).unwrap_or_default();
        // What a crowd leaves behind goes back.
        let places = self.suspended.capacity();
        if places > Self::WIDE && self.suspended.len() < places / 8 {
            self.suspended.shrink_to(places / 2);
        }
        spans
    }
}
