//! Coroutines that wait for each other, and so for ever.

use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::sync::atomic::Ordering;

use super::backtrace::backtrace_of;
use super::{CHUNK, Frame, PATIENCE, WaitFor, describe, records};
use crate::context::cycles;
use crate::sched::Shared;
use crate::sched::handle::RuntimeHandle;
use crate::sched::owner::Owner;
use crate::sched::record::{CoroRef, shown};
use crate::sched::spawn::CoroutineId;
use crate::sched::wait::WaitKind;
use crate::sched::word::Epoch;
use crate::sync::channel;

/// Coroutines each of which waits for the next, and the last for the first. One that waits for itself is alone in it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Deadlock {
    /// The one with the smallest id comes first.
    pub coroutines: Vec<Deadlocked>,
}

/// One coroutine of a [`Deadlock`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Deadlocked {
    /// Its number.
    pub id: CoroutineId,
    /// The name given, or the place that spawned it.
    pub name: String,
    /// The place that spawned it.
    pub site: &'static Location<'static>,
    /// The lock that it waits for, or the coroutine whose end it waits for.
    pub waits_for: WaitFor,
    /// Who has that lock, or is that coroutine: the next in [`Deadlock::coroutines`].
    pub held_by: CoroutineId,
    /// Where it is suspended, innermost frame first. Empty if its worker did not say.
    pub backtrace: Vec<Frame>,
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, coroutine) in self.coroutines.iter().enumerate() {
            let next = &self.coroutines[(number + 1) % self.coroutines.len()];
            if number > 0 {
                f.write_str("\n")?;
            }
            write!(
                f,
                "#{} '{}' waits for {}, held by #{} '{}'",
                coroutine.id,
                shown(&coroutine.name),
                coroutine.waits_for,
                next.id,
                shown(&next.name)
            )?;
        }
        Ok(())
    }
}

/// The coroutines that wait for each other in a circle, each for a [`Mutex`](crate::sync::Mutex) that the next one has, for an
/// [`RwLock`](crate::sync::RwLock) that it writes or, if it is to be written, reads, or for its end. **May suspend**, for a few
/// seconds at most.
///
/// Every circle is real: all in it waited at the same moment. A timeout may still end it. Of an `RwLock`'s readers one is looked
/// at, of the four that are known. Not seen are circles through others of them, through plain threads, through other primitives,
/// and through a worker that does not answer because something on it does not suspend.
///
/// ```
/// use grapeshot::sync::Mutex;
/// use grapeshot::{registry, yield_now};
/// use std::sync::Arc;
///
/// grapeshot::run(|| {
///     let lock = Arc::new(Mutex::new(()));
///     let twice = grapeshot::Builder::new().name("twice").spawn(move || {
///         let _held = lock.lock();
///         let _again = lock.lock();
///     });
///     let found = loop {
///         match registry::deadlocks().pop() {
///             Some(found) => break found,
///             None => yield_now(),
///         }
///     };
///     assert_eq!(found.coroutines[0].name, "twice");
///     twice.interrupt();
///     assert!(twice.join().is_err());
/// });
/// ```
pub fn deadlocks() -> Vec<Deadlock> {
    RuntimeHandle::current().map_or_else(Vec::new, RuntimeHandle::deadlocks)
}

impl RuntimeHandle {
    /// The coroutines of this runtime that wait for each other in a circle; see
    /// [`deadlocks`](crate::registry::deadlocks). **May suspend**, as that.
    pub fn deadlocks(self) -> Vec<Deadlock> {
        deadlocks_of(self.shared)
    }
}

/// Who has the lock that a coroutine waits for. May suspend, for a second at most.
pub(crate) fn owner_awaited(shared: &'static Shared, coroutine: CoroRef) -> Option<CoroutineId> {
    let edges = look(shared, vec![coroutine]);
    edges.into_values().next()?.to.map(CoroutineId)
}

fn deadlocks_of(shared: &'static Shared) -> Vec<Deadlock> {
    let mut candidates = look(shared, records(shared));
    // Looking from worker to worker takes time, in which locks go from hand to hand. What was so before and is so still, with
    // nobody resumed in between, was so all at once.
    let members: Vec<_> = circles(&candidates).into_iter().flatten().collect();
    if members.is_empty() {
        return Vec::new();
    }
    let again = members
        .iter()
        .map(|id| candidates[id].coroutine.clone())
        .collect();
    let second = look(shared, again);
    candidates.retain(|id, wait| second.get(id).is_some_and(|now| now.is_same(wait)));
    circles(&candidates)
        .into_iter()
        .map(|circle| describe_circle(&circle, &candidates))
        .collect()
}

/// A suspended coroutine that waits for another one.
pub(super) struct Edge {
    pub(super) coroutine: CoroRef,
    epoch: Epoch,
    /// `None`: for the children of its scope.
    pub(super) to: Option<u64>,
    /// A timeout, or an interrupt that was asked for, ends the wait.
    pub(super) bounded: bool,
}

impl Edge {
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.epoch == other.epoch && self.to == other.to
    }

    /// Whom a coroutine waits for. On its own worker's stack only, so that it is not resumed meanwhile.
    fn of(coroutine: CoroRef) -> Option<Self> {
        let head = &coroutine.head;
        let epoch = head.word.current()?;
        let own = head.own.get();
        let to = match waits_for(&coroutine) {
            WaitKind::Scope => None,
            WaitKind::Join => Some(head.waits_on.load(Ordering::Relaxed) as u64),
            WaitKind::Mutex | WaitKind::RwLockRead | WaitKind::RwLockWrite => {
                let context = own.context.try_borrow().ok()?;
                let word = context.as_ref()?.lent()?;
                // Who waits to read while others read waits for a writer that came before, and may give up.
                if Owner::is_shared(word) && waits_for(&coroutine) == WaitKind::RwLockRead {
                    return None;
                }
                Some(Owner::read(word)?)
            }
            _ => return None,
        };
        let bounded = !own.scopes.is_empty() || head.is_interrupted();
        Some(Self {
            coroutine,
            epoch,
            to,
            bounded,
        })
    }
}

pub(super) fn waits_for(coroutine: &CoroRef) -> WaitKind {
    WaitKind::from_u8(coroutine.head.waits_for.load(Ordering::Relaxed))
}

/// Has each worker look at those of `coroutines` that are its own and wait for others.
pub(super) fn look(shared: &'static Shared, coroutines: Vec<CoroRef>) -> HashMap<u64, Edge> {
    let waits = |it: &CoroRef| it.head.word.current().is_some() && waits_for(it).has_holders();
    let those = coroutines.into_iter().filter(waits).collect();
    let edges = ask_each(shared, those, Edge::of).into_iter();
    edges.map(|edge| (edge.coroutine.head.id, edge)).collect()
}

/// Has each worker look at those of `coroutines` that are its own: at some of them, and when it has answered at the next, so
/// that no worker is held up by a million. May suspend, for a second at most.
pub(super) fn ask_each<T: Send + 'static>(
    shared: &'static Shared,
    coroutines: Vec<CoroRef>,
    look: fn(CoroRef) -> Option<T>,
) -> Vec<T> {
    let mut per_worker: Vec<Vec<CoroRef>> = shared.workers.iter().map(|_| Vec::new()).collect();
    for coroutine in coroutines {
        let home = coroutine.head.home.load(Ordering::Acquire) as usize;
        // One that no worker has taken yet waits for nobody.
        if let Some(list) = per_worker.get_mut(home) {
            list.push(coroutine);
        }
    }
    let (answer, answers) = channel::unbounded();
    let ask = |index: usize, list: &mut Vec<CoroRef>| {
        let some = list.split_off(list.len().saturating_sub(CHUNK));
        let (any, answer) = (!some.is_empty(), answer.clone());
        if any {
            shared.workers[index].call(Box::new(move || {
                let seen: Vec<T> = some.into_iter().filter_map(look).collect();
                // Whoever asked may have given up.
                let _ = answer.send((index, seen));
            }));
        }
        usize::from(any)
    };
    let lists = per_worker.iter_mut().enumerate();
    let mut asked: usize = lists.map(|(index, list)| ask(index, list)).sum();
    let mut seen = Vec::new();
    while asked > 0
        && let Ok(Ok((index, some))) = crate::with_timeout(PATIENCE, || answers.recv())
    {
        seen.extend(some);
        asked = asked - 1 + ask(index, &mut per_worker[index]);
    }
    seen
}

/// The circles in a graph in which each waits for one other at most; each begins with its smallest id.
pub(super) fn circles(edges: &HashMap<u64, Edge>) -> Vec<Vec<u64>> {
    let mut ids: Vec<u64> = edges.keys().copied().collect();
    ids.sort_unstable();
    // By which start each was first met.
    let mut met: HashMap<u64, u64> = HashMap::new();
    let mut circles = Vec::new();
    for start in ids {
        let mut path = Vec::new();
        let mut at = start;
        // Of those who wait for all of a scope's children no circle is looked for.
        while let Some(to) = edges.get(&at).and_then(|edge| edge.to)
            && !met.contains_key(&at)
        {
            met.insert(at, start);
            path.push(at);
            at = to;
        }
        if met.get(&at) == Some(&start)
            && let Some(first) = path.iter().position(|&id| id == at)
        {
            let mut circle = path.split_off(first);
            let smallest = (0..circle.len()).min_by_key(|&index| circle[index]);
            circle.rotate_left(smallest.unwrap_or(0));
            circles.push(circle);
        }
    }
    circles
}

fn describe_circle(circle: &[u64], edges: &HashMap<u64, Edge>) -> Deadlock {
    let (scale, now) = (cycles::scale(), cycles::now());
    let coroutines = circle.iter().filter_map(|id| {
        let edge = edges.get(id)?;
        let info = describe(&edge.coroutine, scale, now);
        Some(Deadlocked {
            id: info.id,
            name: info.name,
            site: info.site,
            // A timeout may have ended it since.
            waits_for: info.waits_for?,
            held_by: CoroutineId(edge.to?),
            backtrace: backtrace_of(edge.coroutine.clone()).unwrap_or_default(),
        })
    });
    Deadlock {
        coroutines: coroutines.collect(),
    }
}
