//! Locks that somebody waits for.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::backtrace::backtrace_of;
use super::deadlocks::look;
use super::{Frame, describe, records};
use crate::context::cycles;
use crate::sched::handle::RuntimeHandle;
use crate::sched::record::CoroRef;
use crate::sched::spawn::CoroutineId;
use crate::sched::wait::WaitKind;
use crate::sched::{Shared, worker};
use crate::trace::label;

/// Owners whose backtraces are taken: each may make its worker wait for a few microseconds.
const PLACES: usize = 32;

/// A lock that coroutines wait for, at a moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LockInfo {
    /// `mutex`, `rwlock`, `semaphore`, `once` or `condvar`.
    pub kind: &'static str,
    /// Where it is in memory, as [`WaitFor::object`](super::WaitFor::object) has it.
    pub address: u64,
    /// What it is called, if it or what it is in has a [label](crate::trace::label).
    pub label: Option<String>,
    /// Who has it: a mutex's owner, the one who writes an `RwLock`, or one of those who read it, if that is a coroutine of this
    /// runtime. Whoever has a semaphore's permits is not known.
    pub owner: Option<CoroutineId>,
    /// The owner's name.
    pub owner_name: Option<String>,
    /// Where the owner is, innermost frame first. Empty if it has none, did not say, or is not among the first 32.
    pub backtrace: Vec<Frame>,
    /// Who waits, by id.
    pub waiters: Vec<CoroutineId>,
    /// How long the one waits that has waited longest; zero without accounting.
    pub longest: Duration,
}

impl RuntimeHandle {
    /// The locks that coroutines of this runtime wait for, those with most waiters first. A lock that nobody waits for is not
    /// known to anybody. **May suspend**, for a few seconds at most.
    pub fn locks(self) -> Vec<LockInfo> {
        locks_of(self.shared)
    }
}

fn lock(kind: WaitKind) -> Option<&'static str> {
    Some(match kind {
        WaitKind::Mutex => "mutex",
        WaitKind::RwLockRead | WaitKind::RwLockWrite => "rwlock",
        WaitKind::Semaphore => "semaphore",
        WaitKind::Once => "once",
        WaitKind::Condvar => "condvar",
        _ => return None,
    })
}

fn waits_for(coroutine: &CoroRef) -> Option<&'static str> {
    coroutine.head.word.current()?;
    lock(WaitKind::from_u8(
        coroutine.head.waits_for.load(Ordering::Relaxed),
    ))
}

fn locks_of(shared: &'static Shared) -> Vec<LockInfo> {
    let (scale, now) = (cycles::scale(), cycles::now());
    let waiting: Vec<CoroRef> = records(shared)
        .into_iter()
        .filter(|coroutine| waits_for(coroutine).is_some())
        .collect();
    let owners = look(shared, waiting.clone());
    let mut locks: BTreeMap<(u64, &'static str), LockInfo> = BTreeMap::new();
    for coroutine in waiting {
        // Its wait may have ended since.
        let (Some(kind), Some(wait)) = (
            waits_for(&coroutine),
            describe(&coroutine, scale, now).waits_for,
        ) else {
            continue;
        };
        let id = coroutine.head.id;
        let lock = locks
            .entry((wait.object, kind))
            .or_insert_with(|| LockInfo {
                kind,
                address: wait.object,
                label: label::of(wait.object as usize),
                owner: None,
                owner_name: None,
                backtrace: Vec::new(),
                waiters: Vec::new(),
                longest: Duration::ZERO,
            });
        lock.waiters.push(CoroutineId(id));
        lock.longest = lock.longest.max(wait.since);
        lock.owner = lock.owner.or_else(|| owners.get(&id)?.to.map(CoroutineId));
    }
    let mut locks: Vec<LockInfo> = locks.into_values().collect();
    locks.sort_by_key(|lock| (Reverse(lock.waiters.len()), lock.address));
    for (number, lock) in locks.iter_mut().enumerate() {
        let owner = lock.owner.and_then(|owner| worker::find(shared, owner.0));
        let Some(owner) = owner else { continue };
        lock.owner_name = Some(owner.head.name.with(str::to_owned));
        if number < PLACES {
            lock.backtrace = backtrace_of(owner).unwrap_or_default();
        }
    }
    locks
}
