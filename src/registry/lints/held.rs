//! Locks that are held across I/O, to the harm of others.
//!
//! A lock that makes sure that messages are not mixed on a socket is held while they are written, and that is well as long as
//! nobody waits. So only what is waited for long is told of.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::backtrace::is_held;
use super::super::deadlocks::look;
use super::super::{State, WaitFor, describe};
use super::{Lint, LintKind, lint, place_of};
use crate::context::cycles;
use crate::sched::Shared;
use crate::sched::record::{CoroRef, shown};
use crate::sched::wait::WaitKind;
use crate::sched::word::Epoch;
use crate::trace::label;

/// Who has waited for a lock so long, has waited for long.
const LONG: Duration = Duration::from_millis(200);
/// Of those who wait, so many are looked at.
const LOOKED_AT: usize = 256;

fn kind(coroutine: &CoroRef) -> WaitKind {
    WaitKind::from_u8(coroutine.head.waits_for.load(Ordering::Relaxed))
}

/// One that waits for the outside while another has waited long for a lock of its own.
pub(super) fn across_io(shared: &'static Shared, all: &[CoroRef]) -> Option<Lint> {
    let (scale, now) = (cycles::scale(), cycles::now());
    let waits_long = |coroutine: &&CoroRef| {
        let head = &coroutine.head;
        let home = shared
            .workers
            .get(head.home.load(Ordering::Relaxed) as usize);
        head.word.current().is_some()
            && kind(coroutine).is_lock()
            // That one would not answer, and its coroutines wait for that, not for their locks.
            && home.is_some_and(|home| !is_held(home))
            && describe(coroutine, scale, now).waits_for.is_some_and(|wait| wait.since >= LONG)
    };
    let waiting: Vec<CoroRef> = all
        .iter()
        .filter(waits_long)
        .take(LOOKED_AT)
        .cloned()
        .collect();
    if waiting.is_empty() {
        return None;
    }
    let before = look(shared, waiting.clone());
    let suspects: Vec<(u64, CoroRef, Epoch)> = before
        .iter()
        .filter_map(|(waiter, edge)| {
            let owner = all.binary_search_by_key(&edge.to?, |it| it.head.id).ok()?;
            Some((*waiter, all[owner].clone(), in_io(&all[owner])?.0))
        })
        .collect();
    if suspects.is_empty() {
        return None;
    }
    // Who has the lock before and after, and was in the same wait all the time, has it in that wait.
    let after = look(shared, waiting);
    let is_still = |(waiter, owner, epoch): &&(u64, CoroRef, Epoch)| {
        let edges = (before.get(waiter), after.get(waiter));
        matches!(edges, (Some(before), Some(after)) if before.is_same(after))
            && in_io(owner).is_some_and(|(now, _)| now == *epoch)
    };
    let certain: Vec<_> = suspects.iter().filter(is_still).collect();
    let longest = |(waiter, ..): &&&(u64, CoroRef, Epoch)| {
        let wait = describe(&before[waiter].coroutine, scale, cycles::now()).waits_for;
        wait.map(|wait| wait.since)
    };
    let (waiter, owner, _) = certain.iter().max_by_key(longest)?;
    let waiter = &before[waiter].coroutine;
    let (_, io) = in_io(owner)?;
    let lock = describe(waiter, scale, cycles::now()).waits_for?;
    let behind = certain
        .iter()
        .filter(|it| it.1.head.id == owner.head.id)
        .count();
    let mut what = format!(
        "it waits for {io} and has the {} {}, for which #{} '{}' has waited {:.1?}",
        if kind(waiter) == WaitKind::Mutex {
            "mutex"
        } else {
            "rwlock"
        },
        label::of(lock.object as usize).map_or_else(
            || format!("{:#x}", lock.object),
            |label| format!("'{}'", shown(&label))
        ),
        waiter.head.id,
        waiter.head.name.with(|name| shown(name).to_string()),
        lock.since
    );
    if behind > 1 {
        what += &format!(", and {} more", behind - 1);
    }
    Some(lint(LintKind::LockAcrossIo, owner, place_of(owner), what))
}

/// The wait for something outside of the program that it is in.
fn in_io(coroutine: &CoroRef) -> Option<(Epoch, WaitFor)> {
    let epoch = coroutine.head.word.current()?;
    let info = describe(coroutine, cycles::scale(), cycles::now());
    let waits = info.state == State::Waiting && kind(coroutine).is_outside();
    info.waits_for.filter(|_| waits).map(|wait| (epoch, wait))
}
