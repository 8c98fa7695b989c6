//! Coroutines that do not go on: proved, suspected, odd.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::panic::Location;
use std::time::Duration;

use super::backtrace::backtrace_of;
use super::deadlocks::{Edge, circles, look};
use super::ends::forsaken;
use super::{CoroutineInfo, Frame, State, WaitFor, describe, records};
use crate::context::cycles;
use crate::sched::Shared;
use crate::sched::handle::RuntimeHandle;
use crate::sched::record::shown;
use crate::sched::spawn::CoroutineId;

/// Shorter waits are not odd, and those for channels are not looked into, unless another time is asked for.
const LONG: Duration = Duration::from_secs(10);
/// A wait is odd that lasts so many times as long as the middle one of its kind.
const BEYOND: u32 = 20;
/// There is no telling what is usual among fewer.
const CROWD: usize = 8;
/// Odd ones that are named, at most.
const NAMED: usize = 32;
/// Backtraces that are taken, at most.
const BACKTRACES: usize = 64;

/// How sure it is that one does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Certainty {
    /// It waits for one that is stuck itself. Nothing but an interrupt, such as the console's `kill`, ends that.
    Proved,
    /// It is in a circle that waits for itself, but a timeout, or the scope that it is in, may end it; or nobody seems to hold
    /// the other end of the channel that it waits for, but those that are stuck.
    Suspected,
    /// It waits much longer than others of its kind.
    Odd,
}

impl fmt::Display for Certainty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Proved => "proved",
            Self::Suspected => "suspected",
            Self::Odd => "odd",
        })
    }
}

/// A coroutine that does not go on.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stuck {
    /// How sure that is.
    pub certainty: Certainty,
    /// Its number.
    pub id: CoroutineId,
    /// The name given, or the place that spawned it.
    pub name: String,
    /// The place that spawned it.
    pub site: &'static Location<'static>,
    /// What it waits for.
    pub waits_for: WaitFor,
    /// Those that would have to go on first: who has the lock, who would have to end. None for odd ones.
    pub needs: Vec<CoroutineId>,
    /// How long the middle one of its kind waits; for odd ones.
    pub usual: Option<Duration>,
    /// Where it is suspended, innermost frame first. Empty if its worker did not say, and beyond the first 64.
    pub backtrace: Vec<Frame>,
}

impl Stuck {
    /// What is known of the channel that it waits for, if it waits for one, and what to do.
    pub fn hint(&self) -> Option<String> {
        let (end, ends) = match self.waits_for.operation {
            "channel recv" => ("sender", "senders"),
            "channel send" => ("receiver", "receivers"),
            _ => return None,
        };
        match &self.needs[..] {
            [] => None,
            [one] if *one == self.id => Some(format!(
                "the channel's only {end} it seems to hold itself: drop it"
            )),
            several => {
                let several: Vec<_> = several.iter().map(|id| format!("#{id}")).collect();
                Some(format!(
                    "the channel's {ends} seem to be held by none but {}, stuck as well: have them dropped earlier",
                    several.join(", ")
                ))
            }
        }
    }
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: #{} '{}' waits for {}",
            self.certainty,
            self.id,
            shown(&self.name),
            self.waits_for
        )?;
        if let Some(usual) = self.usual {
            let since = self.waits_for.since;
            return write!(f, " for {since:.1?}; usual are {usual:.1?}");
        }
        if let Some(hint) = self.hint() {
            return write!(f, ": {hint}");
        }
        for (number, needed) in self.needs.iter().enumerate() {
            let before = if number == 0 { ", which needs" } else { "," };
            write!(f, "{before} #{needed}")?;
        }
        Ok(())
    }
}

/// The coroutines that do not go on, the surest first. **May suspend**, for a few seconds at most.
///
/// *Proved* are those that wait for a [`Mutex`](crate::sync::Mutex), for an [`RwLock`](crate::sync::RwLock) that another one
/// writes (or, to write it, one that another one reads), for another's end, or for the end of their scope's children, where whoever would have to go on first is in the same
/// state: circles, and those who wait for one in a circle. One with a timeout around it is never among them, nor one whose
/// scope could still interrupt it. Only an interrupt from outside ends such a wait. (A lock counts as its locker's, even if the
/// guard was moved into a coroutine of [`spawn_local`](crate::spawn_local).)
///
/// *Suspected* are the other circles that [`deadlocks`](crate::registry::deadlocks) finds; and those that wait to receive from a
/// channel, or to send to a full one, for more than ten seconds and without a timeout, if all its handles seem to be theirs or
/// those of others that are stuck, with those that wait for such. Nobody keeps a list of a channel's handles; so the memory of
/// the process is searched for the channel's address, on a thread of [`unblock`](crate::unblock). A channel whose address is
/// anywhere else counts as in use: in the heap (in a `Box`, a `Vec`, a [`local!`](crate::local!)), on the stack of a plain thread or of a
/// coroutine that may go on, and in what coroutines that have ended left behind, even if the handle was moved on from there. So this finds a forgotten sender on a stack, and not
/// everything. It may be wrong if somebody has a handle in a register alone, or a plain thread borrows one that is on a
/// coroutine's stack. Only Linux has what it takes; beyond 10,000 coroutines or 2 GiB of memory nothing is searched.
///
/// *Odd* are those that wait for more than ten seconds, and for twenty times as long as the middle one of those that the same
/// place spawned and that wait for the same kind of thing.
///
/// ```
/// use grapeshot::registry::{self, Certainty};
/// use grapeshot::sync::Mutex;
/// use grapeshot::yield_now;
/// use std::sync::Arc;
///
/// grapeshot::run(|| {
///     let lock = Arc::new(Mutex::new(()));
///     let twice = grapeshot::Builder::new().name("twice").spawn(move || {
///         let _held = lock.lock();
///         let _again = lock.lock();
///     });
///     let found = loop {
///         match registry::stuck().pop() {
///             Some(found) => break found,
///             None => yield_now(),
///         }
///     };
///     assert_eq!((found.name.as_str(), found.certainty), ("twice", Certainty::Proved));
///     assert_eq!(found.needs, [found.id]);
///     twice.interrupt();
///     assert!(twice.join().is_err());
/// });
/// ```
pub fn stuck() -> Vec<Stuck> {
    RuntimeHandle::current().map_or_else(Vec::new, RuntimeHandle::stuck)
}

impl RuntimeHandle {
    /// The coroutines of this runtime that do not go on; see [`stuck`](crate::registry::stuck). **May suspend**, as that.
    pub fn stuck(self) -> Vec<Stuck> {
        self.stuck_for(LONG)
    }

    /// As [`Self::stuck`], but waits that last as long as `least`, and not ten seconds, are looked at: those for channels, and
    /// odd ones. Whoever sees that a server hangs need not wait that long; but the shorter it is, the more of what is found goes
    /// on a moment later. **May suspend**, as that.
    pub fn stuck_for(self, least: Duration) -> Vec<Stuck> {
        stuck_of(self.shared, least)
    }
}

fn stuck_of(shared: &'static Shared, least: Duration) -> Vec<Stuck> {
    let (edges, families) = stand_still(shared);
    let proved = proved(&edges, &families);
    let circles = circles(&edges).into_iter().flatten();
    let suspected: HashSet<u64> = circles.filter(|id| !proved.contains(id)).collect();
    let (scale, now) = (cycles::scale(), cycles::now());
    let mut found = Vec::new();
    for (certainty, ids) in [
        (Certainty::Proved, &proved),
        (Certainty::Suspected, &suspected),
    ] {
        let mut ids: Vec<u64> = ids.iter().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let edge = &edges[&id];
            let info = describe(&edge.coroutine, scale, now);
            // Somebody may have interrupted it since.
            let Some(waits_for) = info.waits_for else {
                continue;
            };
            let backtrace = if found.len() < BACKTRACES {
                backtrace_of(edge.coroutine.clone()).unwrap_or_default()
            } else {
                Vec::new()
            };
            found.push(Stuck {
                certainty,
                id: info.id,
                name: info.name,
                site: info.site,
                waits_for,
                needs: needs(edge, &families)
                    .iter()
                    .copied()
                    .map(CoroutineId)
                    .collect(),
                usual: None,
                backtrace,
            });
        }
    }
    let mut forsaken: Vec<_> = forsaken(shared, &edges, least).into_iter().collect();
    forsaken.sort_unstable_by_key(|(id, _)| *id);
    for (id, (coroutine, needs)) in forsaken {
        let info = describe(&coroutine, scale, now);
        let (false, Some(waits_for)) = (
            proved.contains(&id) || suspected.contains(&id),
            info.waits_for,
        ) else {
            continue;
        };
        let backtrace = if found.len() < BACKTRACES {
            backtrace_of(coroutine).unwrap_or_default()
        } else {
            Vec::new()
        };
        found.push(Stuck {
            certainty: Certainty::Suspected,
            id: info.id,
            name: info.name,
            site: info.site,
            waits_for,
            needs: needs.into_iter().map(CoroutineId).collect(),
            usual: None,
            backtrace,
        });
    }
    let all = records(shared);
    let infos = all.iter().map(|it| describe(it, scale, now)).collect();
    let known: HashSet<u64> = found.iter().map(|it| it.id.0).collect();
    for (info, waits_for, usual) in odd(infos, least) {
        if known.contains(&info.id.0) {
            continue;
        }
        let place = all.binary_search_by_key(&info.id.0, |it| it.head.id);
        let backtrace = place
            .ok()
            .filter(|_| found.len() < BACKTRACES)
            .and_then(|at| backtrace_of(all[at].clone()).ok());
        found.push(Stuck {
            certainty: Certainty::Odd,
            id: info.id,
            name: info.name,
            site: info.site,
            waits_for,
            needs: Vec::new(),
            usual: Some(usual),
            backtrace: backtrace.unwrap_or_default(),
        });
    }
    found
}

/// The live children of each scope's owner.
pub(super) type Families = HashMap<u64, Vec<u64>>;

/// Those that waited for others at one moment, and all the families at that moment.
fn stand_still(shared: &'static Shared) -> (HashMap<u64, Edge>, Families) {
    let mut families = Families::new();
    let mut gather = || {
        let all = records(shared);
        for coroutine in all.iter().filter(|it| it.head.scoped) {
            let children = families.entry(coroutine.head.parent).or_default();
            if !children.contains(&coroutine.head.id) {
                children.push(coroutine.head.id);
            }
        }
        all
    };
    let mut edges = look(shared, gather());
    if edges.is_empty() {
        return (edges, Families::new());
    }
    // As in the search for circles: what was so and is so still was so all at once. One that was born meanwhile is among the
    // children, as somebody looks again; one that has ended since was no obstacle to anybody, so it is taken out.
    let again = edges.values().map(|it| it.coroutine.clone()).collect();
    gather();
    gather();
    let second = look(shared, again);
    edges.retain(|id, edge| second.get(id).is_some_and(|now| now.is_same(edge)));
    (edges, families)
}

/// Whom this one waits for.
pub(super) fn needs<'a>(edge: &'a Edge, families: &'a Families) -> &'a [u64] {
    match &edge.to {
        Some(to) => std::slice::from_ref(to),
        None => families
            .get(&edge.coroutine.head.id)
            .map_or(&[], Vec::as_slice),
    }
}

/// Those of which nobody can go on: everyone is taken out who could, until nobody is left who can.
fn proved(edges: &HashMap<u64, Edge>, families: &Families) -> HashSet<u64> {
    let bounded = |edge: &Edge| edge.bounded;
    let mut stuck: HashSet<u64> = edges
        .iter()
        .filter(|(_, edge)| !bounded(edge))
        .map(|(id, _)| *id)
        .collect();
    loop {
        let may_go_on = |id: &u64| {
            let edge = &edges[id];
            let needed = needs(edge, families);
            // Who waits for its children, and has none that is known, is about to go on. Of nested scopes it is not known which
            // children are waited for: so all have to be stuck.
            let waits_in_vain = match edge.to {
                Some(to) => stuck.contains(&to),
                None => !needed.is_empty() && needed.iter().all(|it| stuck.contains(it)),
            };
            // A sibling that fails, or a timeout around the scope, interrupts it.
            let head = &edge.coroutine.head;
            let family_is_stuck = !head.scoped
                || stuck.contains(&head.parent)
                    && families[&head.parent].iter().all(|it| stuck.contains(it));
            !waits_in_vain || !family_is_stuck
        };
        let free: Vec<u64> = stuck.iter().copied().filter(may_go_on).collect();
        if free.is_empty() {
            return stuck;
        }
        for id in free {
            stuck.remove(&id);
        }
    }
}

/// Those that wait for longer than `least` and far beyond their kind, with the usual time, the longest first.
fn odd(infos: Vec<CoroutineInfo>, least: Duration) -> Vec<(CoroutineInfo, WaitFor, Duration)> {
    type Kind = (Location<'static>, &'static str);
    let mut kinds: HashMap<Kind, Vec<(CoroutineInfo, WaitFor)>> = HashMap::new();
    for info in infos {
        if let (State::Waiting, Some(wait)) = (info.state, info.waits_for) {
            let kind = kinds.entry((*info.site, wait.operation)).or_default();
            kind.push((info, wait));
        }
    }
    let mut found = Vec::new();
    for mut kind in kinds.into_values().filter(|kind| kind.len() >= CROWD) {
        kind.sort_by_key(|(_, wait)| wait.since);
        let usual = kind[kind.len() / 2].1.since;
        let far = least.max(usual * BEYOND);
        let beyond = kind.into_iter().filter(|(_, wait)| wait.since > far);
        found.extend(beyond.map(|(info, wait)| (info, wait, usual)));
    }
    found.sort_by_key(|(info, wait, _)| (std::cmp::Reverse(wait.since), info.id));
    found.truncate(NAMED);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(id: u64, seconds: u64) -> CoroutineInfo {
        let here = Location::caller();
        CoroutineInfo {
            id: CoroutineId(id),
            name: format!("reader-{id}"),
            site: here,
            parent: None,
            scoped: false,
            worker: Some(0),
            state: State::Waiting,
            waits_for: Some(WaitFor {
                operation: "read",
                object: id,
                since: Duration::from_secs(seconds),
                number: true,
            }),
            runs_for: None,
            age: Duration::ZERO,
            cpu: Duration::ZERO,
            switches: 0,
            stack_size: 0,
            stack_used: None,
            interrupted: false,
        }
    }

    fn odd_ids(waits: &[u64]) -> Vec<u64> {
        let infos = (0..).zip(waits).map(|(id, wait)| waiting(id, *wait));
        odd(infos.collect(), LONG)
            .iter()
            .map(|(info, ..)| info.id.0)
            .collect()
    }

    #[test]
    fn odd_is_what_waits_far_beyond_its_kind() {
        assert_eq!(odd_ids(&[1, 1, 1, 90, 1, 1, 1, 300]), [7, 3]);
        assert_eq!(odd_ids(&[1, 1, 1, 1, 1, 1, 1, 19]), [0; 0], "not so far");
        assert_eq!(odd_ids(&[1, 1, 1, 1, 1, 1, 300]), [0; 0], "too few to tell");
        assert_eq!(odd_ids(&[0, 0, 0, 0, 0, 0, 0, 9]), [0; 0], "not for long");
        assert_eq!(odd_ids(&[300; 8]), [0; 0], "all are alike");
        let other = |mut info: CoroutineInfo| {
            info.waits_for.as_mut().unwrap().operation = "sleep";
            info
        };
        let mut infos: Vec<_> = (0..7).map(|id| waiting(id, 1)).collect();
        infos.push(other(waiting(7, 300)));
        assert!(odd(infos, LONG).is_empty(), "another kind of wait");
        let infos = |long| (0..8).map(move |id| waiting(id, if id == 7 { long } else { 0 }));
        let least = Duration::from_secs(2);
        assert!(odd(infos(2).collect(), least).is_empty(), "not for long");
        assert_eq!(odd(infos(3).collect(), least).len(), 1);
    }
}
