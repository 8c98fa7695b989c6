//! The coroutine that runs on this thread.

use std::sync::atomic::AtomicU64;

use super::record::CoroRef;
use crate::context::{Scoped, overflow};

thread_local! {
    static CURRENT: Scoped<CoroRef> = const { Scoped::new() };
}

/// Runs `resume` with `coroutine` as the current one.
#[inline]
pub(crate) fn set<R>(coroutine: &CoroRef, resume: impl FnOnce() -> R) -> R {
    Scoped::set(&CURRENT, coroutine, resume)
}

/// Calls with the current coroutine; `None` on a plain thread and on a worker's own stack. `call` must not suspend.
#[inline(always)]
pub(crate) fn with<R>(call: impl FnOnce(Option<&CoroRef>) -> R) -> R {
    Scoped::with(&CURRENT, call)
}

/// The current coroutine's id; 0 if there is none.
#[inline]
pub(crate) fn id() -> u64 {
    with(|current| current.map_or(0, |current| current.head.id))
}

/// Leaves the current coroutine, which lends a word meanwhile. Only `wait` calls this.
#[inline]
pub(crate) fn suspend(lent: Option<&AtomicU64>) {
    // The thread-local is the same before and after: a coroutine never changes its thread.
    Scoped::suspend(&CURRENT, lent);
}

/// For the report of an overflow: see [`overflow::Describe`].
pub(crate) fn describe(report: &mut dyn FnMut(&overflow::Culprit<'_>)) {
    with(|coroutine| {
        let Some(coroutine) = coroutine else { return };
        let head = &coroutine.head;
        let start = head.stack_start.load(std::sync::atomic::Ordering::Relaxed);
        let stack = start..start + head.stack_size;
        head.name.with(|name| {
            report(&overflow::Culprit {
                id: head.id,
                name,
                stack,
            });
        });
    });
}
