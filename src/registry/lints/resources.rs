//! Threads of the pool and stacks: what there is too little of.

use std::collections::HashMap;
use std::panic::Location;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::describe;
use super::{Lint, LintKind, lint, place_of, spawned_at};
use crate::context::{cycles, stack};
use crate::sched::record::CoroRef;
use crate::sched::wait::WaitKind;

/// A call that has waited so long for a thread of the pool waits for too long.
const QUEUED: Duration = Duration::from_millis(500);
/// Stacks of each site that are measured.
const MEASURED: usize = 64;

/// The one that has waited longest for a thread, if that is long.
pub(super) fn exhausted(all: &[CoroRef]) -> Option<Lint> {
    let pool = crate::unblock_statistics();
    if pool.queued == 0 || pool.oldest < QUEUED {
        return None;
    }
    let (scale, now) = (cycles::scale(), cycles::now());
    let waits = |coroutine: &CoroRef| {
        let kind = WaitKind::from_u8(coroutine.head.waits_for.load(Ordering::Relaxed));
        let wait = describe(coroutine, scale, now).waits_for?;
        (kind == WaitKind::Unblock).then_some((wait.since, coroutine.clone()))
    };
    let waiting = all.iter().filter_map(waits);
    let (since, coroutine) = waiting.max_by_key(|(since, _)| *since)?;
    let place = place_of(&coroutine);
    let what = format!(
        "its call has taken {since:.1?}; all {} threads have one, {} more wait",
        pool.threads, pool.queued
    );
    Some(lint(LintKind::UnblockExhausted, &coroutine, place, what))
}

/// The fullest stack of those that are measured, if it is nearly full.
pub(super) fn nearly_full(all: &[CoroRef]) -> Option<Lint> {
    let mut measured: HashMap<Location<'static>, usize> = HashMap::new();
    let used = |coroutine: &CoroRef| {
        let stack = coroutine.head.stack();
        let times = measured.entry(*coroutine.head.name.site).or_default();
        *times += 1;
        if stack.is_empty() || *times > MEASURED {
            return None;
        }
        let size = stack.len();
        let used = stack::resident_bytes(stack)?;
        (used > size / 8 * 7).then_some((used, size, coroutine.clone()))
    };
    let (used, size, coroutine) = all.iter().filter_map(used).max_by_key(|it| it.0)?;
    let place = spawned_at(coroutine.head.name.site);
    let what = format!(
        "it, or a former user of its stack, has filled {} of {} KiB",
        used >> 10,
        size >> 10
    );
    Some(lint(LintKind::StackNearlyFull, &coroutine, place, what))
}
