//! Where new coroutines go.
//!
//! A coroutine stays on the worker that starts it, so the choice is made once. Three rules:
//!
//! 1. A spawn goes to the spawner's own queue of unstarted ones: cheap, and a burst of short children stays local.
//! 2. If the spawner's worker carries clearly more live coroutines than another, the new one is handed over at once:
//!    that spreads the connections of `loop { accept; spawn }`.
//! 3. A worker with nothing to do steals half of another's unstarted ones. A spawner wakes a sleeping worker for that,
//!    but not more often than every [`ROUSE_EVERY`].
//!
//! A worker that one coroutine holds (the watchdog has seen the same resume twice) is given no more, and what was handed over
//! to it and has not started goes to others: [`relieve`].

use std::sync::atomic::Ordering;

use super::record::Newborn;
use super::{Shared, WorkerShared};

/// More than this many live coroutines beyond another worker's are "clearly more", as is an eighth of them.
const SLACK: usize = 2;
/// At most this many are stolen at a time.
const STEAL: usize = 64;
/// Nanoseconds between two wake-ups of idle workers by one spawner: a wake-up costs two system calls.
pub(super) const ROUSE_EVERY: u64 = 100_000;

/// The worker that carries least; one that is held only if all are.
pub(super) fn least_loaded(shared: &Shared) -> &WorkerShared {
    shared
        .workers
        .iter()
        .min_by_key(|worker| (worker.held.load(Ordering::Relaxed), worker.load()))
        .expect("a runtime has workers")
}

/// Lets others have what was handed over to a worker that is held.
pub(super) fn relieve(shared: &Shared, held: &WorkerShared) {
    held.held.store(true, Ordering::Relaxed);
    if held.assigned.load(Ordering::Relaxed) == 0 || shared.is_stopping() {
        return;
    }
    let other = least_loaded(shared);
    if !other.held.load(Ordering::Relaxed) {
        for newborn in held.take_placed() {
            least_loaded(shared).place(newborn);
        }
    }
}

/// Who should take a new coroutine of `own`'s, if not `own` itself.
#[inline]
pub(super) fn better_than<'a>(shared: &'a Shared, own: &WorkerShared) -> Option<&'a WorkerShared> {
    let mine = own.load();
    // A burst of children that have not started does not count, so the usual case ends here.
    if mine <= SLACK || shared.workers.len() == 1 {
        return None;
    }
    let least = least_loaded(shared);
    let theirs = least.load();
    let is_better = mine > theirs + SLACK + theirs / 8 && !least.held.load(Ordering::Relaxed);
    is_better.then_some(least)
}

/// Is there anything to steal? Asked before a sleep, and so under the locks: see [`super::sleeper::Idle`].
pub(super) fn is_anything_unstarted(shared: &Shared) -> bool {
    shared
        .workers
        .iter()
        .any(|worker| !worker.table.lock().unstarted.is_empty())
}

/// Takes half of the first queue that has something.
pub(super) fn steal(shared: &Shared, thief: &WorkerShared) -> Vec<Newborn> {
    let others = shared.workers.len() - 1;
    for offset in 1..=others {
        let victim = &shared.workers[(thief.index + offset) % shared.workers.len()];
        if victim.unstarted.load(Ordering::Relaxed) == 0 {
            continue;
        }
        let mut table = victim.table.lock();
        let count = table.unstarted.len().div_ceil(2).min(STEAL);
        let stolen: Vec<_> = table.unstarted.drain(..count).collect();
        victim
            .unstarted
            .store(table.unstarted.len(), Ordering::Relaxed);
        if !stolen.is_empty() {
            return stolen;
        }
    }
    Vec::new()
}

/// Wakes one sleeping worker, so that it steals.
#[cold]
pub(super) fn rouse_thief(shared: &Shared) {
    let Some(index) = shared.idle.any() else {
        return;
    };
    let worker = &shared.workers[index];
    if worker.sleeper.rouse() {
        worker.reactor.wake();
    }
}
