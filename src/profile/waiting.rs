//! Those that still wait when a profile is stopped: for how long, and where.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::tally::{FRAMES, Waited};
use crate::registry;
use crate::sched::record::{CoroRef, NOWHERE};
use crate::sched::{Shared, WorkerShared};
use crate::sync::channel;

/// Coroutines that a worker looks at between two resumes.
const CHUNK: usize = 128;
/// How long a worker may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// A coroutine that lives when the session ends.
pub(super) struct Still {
    pub(super) coroutine: CoroRef,
    /// Nothing of one that runs.
    pub(super) waited: Option<Waited>,
    /// Its worker's index in its runtime; of one that no worker has taken, `None`.
    pub(super) home: Option<usize>,
    /// When it was suspended.
    since: u64,
}

/// Those of a runtime, at `end`.
pub(super) fn still(shared: &Shared, start: u64, end: u64) -> Vec<Still> {
    let records = registry::records(shared).into_iter();
    let look = |coroutine: CoroRef| {
        let head = &coroutine.head;
        let home = match head.home.load(Ordering::Acquire) {
            NOWHERE => None,
            home => Some(home as usize),
        };
        let runs = home
            .and_then(|home| shared.workers.get(home))
            .is_some_and(|worker| worker.figures.running.load(Ordering::Relaxed) == head.id);
        if head.has_ended() {
            return None;
        }
        Some(Still {
            waited: (!runs).then(|| Waited::of(head, start, end)),
            home,
            since: head.since.load(Ordering::Relaxed),
            coroutine,
        })
    };
    records.filter_map(look).collect()
}

/// Where they wait, innermost frame first; nothing of those that went on meanwhile, or whose worker does not answer. **May
/// suspend**, for about a second if so.
pub(super) fn stacks(worker: &'static WorkerShared, those: &[&Still]) -> Vec<Vec<usize>> {
    let mut stacks = Vec::with_capacity(those.len());
    for chunk in those.chunks(CHUNK) {
        let coroutines = chunk.iter().map(|it| (it.coroutine.clone(), it.since));
        match ask(worker, coroutines.collect()) {
            Some(found) => stacks.extend(found),
            None => break,
        }
    }
    stacks.resize(those.len(), Vec::new());
    stacks
}

fn ask(worker: &'static WorkerShared, coroutines: Vec<(CoroRef, u64)>) -> Option<Vec<Vec<usize>>> {
    let (answer, answers) = channel::bounded(1);
    let look = move || {
        let stacks = coroutines.into_iter().map(|(coroutine, since)| {
            let head = &coroutine.head;
            let own = head
                .own
                .try_get()
                .filter(|_| head.since.load(Ordering::Relaxed) == since);
            match own.and_then(|own| own.context.try_borrow().ok()).as_deref() {
                Some(Some(context)) => context.frames(FRAMES),
                _ => Vec::new(),
            }
        });
        // Whoever asked may have given up.
        let _ = answer.try_send(stacks.collect());
    };
    worker.call(Box::new(look));
    crate::with_timeout(PATIENCE, || answers.recv()).ok()?.ok()
}
