//! Who holds the other end of a channel, as far as memory tells.
//!
//! A handle of a channel may be anywhere, and moves without anybody's knowledge. But wherever it is, it is a word: the channel's
//! address. If that word is nowhere in memory but with coroutines that wait for each other, nobody else has an end.
//!
//! ```text
//!   #7 waits to receive from C        C's address: on #7's stack, on #9's stack        ┐ nobody else has an end:
//!   #9 waits for the end of #7                                                         ┘ both are suspected
//!
//!   #5 waits to receive from D        D's address: on #5's stack, in the heap          ▶ somebody may send: not suspected
//! ```
//!
//! Words that a moved handle left behind count as handles, so what is stuck may be missed. What is not stuck is suspected only
//! if somebody has a handle in a register alone, or borrows one that is on the stack of one that waits and is not its scope's
//! owner.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::backtrace::ask;
use super::deadlocks::{Edge, ask_each, waits_for};
use super::records;
use super::search::{Hidden, search};
use super::stuck::{Families, needs};
use crate::context::cycles;
use crate::sched::Shared;
use crate::sched::record::CoroRef;
use crate::sched::wait::WaitKind;
use crate::sched::word::Epoch;

/// Among more coroutines than this, nobody is suspected.
const CROWD: usize = 10_000;
/// Waits that are looked into, at most: the longest.
const WAITS: usize = 64;
/// How far a channel is behind the beginning of its allocation, which handles have the address of: `Arc` counts there.
const COUNTS: usize = 16;

/// Those whose wait for a channel seems to be in vain, and those who wait for such, each with whom it needs. The search blocks a
/// thread of `unblock`. **May suspend**, for two seconds at most.
pub(super) fn forsaken(
    shared: &'static Shared,
    edges: &HashMap<u64, Edge>,
    beyond: Duration,
) -> HashMap<u64, (CoroRef, Vec<u64>)> {
    let all = records(shared);
    let mut waits = if all.len() <= CROWD {
        waits(shared, &all, beyond)
    } else {
        HashMap::new()
    };
    // Twice: a handle that moves from a place that has not been looked at to one that has would be missed.
    for _ in 0..2 {
        if waits.is_empty() {
            return HashMap::new();
        }
        let Some(holders) = holders(shared, &waits) else {
            return HashMap::new();
        };
        let families = families(&records(shared));
        let stuck = in_vain(&waits, &holders, edges, &families);
        waits.retain(|id, _| stuck.contains(id));
        for (id, wait) in &mut waits {
            wait.needs = holders[id].iter().flatten().copied().collect();
        }
    }
    // Nobody was resumed meanwhile.
    let still = waits.values().map(|it| it.coroutine.clone()).collect();
    let still: HashMap<u64, Epoch> = ask_each(shared, still, Wait::of)
        .into_iter()
        .map(|it| (it.coroutine.head.id, it.epoch))
        .collect();
    waits.retain(|id, wait| still.get(id) == Some(&wait.epoch));
    let families = families(&all);
    let holders = waits
        .iter()
        .map(|(&id, wait)| (id, Some(wait.needs.iter().copied().collect())))
        .collect();
    let stuck = in_vain(&waits, &holders, edges, &families);
    let of_edges = edges.iter().filter(|(id, _)| stuck.contains(*id));
    let of_edges = of_edges.map(|(&id, edge)| {
        let needs = needs(edge, &families).to_vec();
        (id, (edge.coroutine.clone(), needs))
    });
    let mut forsaken: HashMap<_, _> = of_edges.collect();
    for (id, wait) in waits.into_iter().filter(|(id, _)| stuck.contains(id)) {
        forsaken.insert(id, (wait.coroutine, wait.needs));
    }
    forsaken
}

/// A coroutine that waits for a channel, and that no timeout ends.
struct Wait {
    coroutine: CoroRef,
    epoch: Epoch,
    channel: Hidden,
    /// Who has handles.
    needs: Vec<u64>,
}

impl Wait {
    /// On its own worker's stack only, so that it is not resumed meanwhile.
    fn of(coroutine: CoroRef) -> Option<Self> {
        let head = &coroutine.head;
        let epoch = head.word.current()?;
        let bounded = !head.own.get().scopes.is_empty() || head.is_interrupted();
        if bounded || !is_for_channel(&coroutine) {
            return None;
        }
        let channel = Hidden::below(head.waits_on.load(Ordering::Relaxed), COUNTS);
        Some(Self {
            epoch,
            channel,
            needs: Vec::new(),
            coroutine,
        })
    }
}

fn is_for_channel(coroutine: &CoroRef) -> bool {
    let kind = waits_for(coroutine);
    matches!(kind, WaitKind::ChannelRecv | WaitKind::ChannelSend)
}

/// Those that have waited for a channel for longer than `beyond`.
fn waits(shared: &'static Shared, all: &[CoroRef], beyond: Duration) -> HashMap<u64, Wait> {
    let now = cycles::now();
    let since = |it: &CoroRef| it.head.since.load(Ordering::Relaxed);
    let is_long = |it: &&CoroRef| {
        let age = shared.accounting.age(since(it), now);
        it.head.word.current().is_some()
            && is_for_channel(it)
            && age.is_some_and(|age| age >= beyond)
    };
    let mut long: Vec<_> = all.iter().filter(is_long).cloned().collect();
    long.sort_by_key(since);
    long.truncate(WAITS);
    let waits = ask_each(shared, long, Wait::of).into_iter();
    waits.map(|wait| (wait.coroutine.head.id, wait)).collect()
}

/// The live children of each scope's owner.
fn families(all: &[CoroRef]) -> Families {
    let mut families = Families::new();
    for coroutine in all.iter().filter(|it| it.head.scoped) {
        let children = families.entry(coroutine.head.parent).or_default();
        children.push(coroutine.head.id);
    }
    families
}

/// Who has handles of the channels that these wait for; `None`: not only coroutines.
type Holders = HashMap<u64, Option<BTreeSet<u64>>>;

/// `None`: nobody knows.
fn holders(shared: &'static Shared, waits: &HashMap<u64, Wait>) -> Option<Holders> {
    let mut words: Vec<Hidden> = waits.values().map(|it| it.channel).collect();
    words.sort_unstable();
    words.dedup();
    let wanted = words.clone();
    let found = ask(move || search(&wanted))?;
    // Who was born meanwhile has its stack here, too.
    let parts = Parts::of(&records(shared));
    let found: Vec<(usize, usize, Option<u64>)> = found
        .into_iter()
        .map(|(word, place)| (word, place, parts.whose(place)))
        .collect();
    let met: HashSet<u64> = found.iter().filter_map(|it| it.2).collect();
    let met = parts.all.iter().filter(|it| met.contains(&it.head.id));
    let used: HashMap<u64, Range<usize>> = ask_each(shared, met.cloned().collect(), used)
        .into_iter()
        .collect();
    let mut holders = vec![Some(BTreeSet::new()); words.len()];
    for (word, place, whose) in found {
        match whose {
            // What is beneath the part that is used was left there by calls that have returned.
            Some(id)
                if used
                    .get(&id)
                    .is_some_and(|used| parts.is_on_stack(id, place) && !used.contains(&place)) => {
            }
            Some(id) => _ = holders[word].as_mut().map(|its| its.insert(id)),
            None => holders[word] = None,
        }
    }
    // Where not even the own end is found, it looks otherwise.
    let of = |wait: &Wait| {
        let at = words.binary_search(&wait.channel).expect("it is there");
        holders[at].clone().filter(|its| !its.is_empty())
    };
    Some(waits.iter().map(|(&id, wait)| (id, of(wait))).collect())
}

/// What a suspended coroutine uses of its stack. On its own worker's stack only.
fn used(coroutine: CoroRef) -> Option<(u64, Range<usize>)> {
    let context = coroutine.head.own.get().context.try_borrow().ok()?;
    let used = context.as_ref()?.used();
    (!used.is_empty()).then_some((coroutine.head.id, used))
}

/// Which memory belongs to which coroutine: its stack, and its record, in which its closure was until it began.
struct Parts {
    all: Vec<CoroRef>,
    /// By address.
    ranges: Vec<(Range<usize>, u64)>,
    stacks: HashMap<u64, Range<usize>>,
}

impl Parts {
    fn of(all: &[CoroRef]) -> Self {
        let stacks: HashMap<_, _> = all.iter().map(|it| (it.head.id, it.head.stack())).collect();
        let mut ranges: Vec<_> = all
            .iter()
            .map(|it| (it.addresses(), it.head.id))
            .chain(stacks.iter().map(|(&id, stack)| (stack.clone(), id)))
            .filter(|(range, _)| !range.is_empty())
            .collect();
        ranges.sort_unstable_by_key(|(range, _)| range.start);
        Self {
            all: all.to_vec(),
            ranges,
            stacks,
        }
    }

    fn whose(&self, place: usize) -> Option<u64> {
        let behind = self
            .ranges
            .partition_point(|(range, _)| range.start <= place);
        let (range, id) = self.ranges.get(behind.checked_sub(1)?)?;
        range.contains(&place).then_some(*id)
    }

    fn is_on_stack(&self, id: u64, place: usize) -> bool {
        self.stacks.get(&id).is_some_and(|it| it.contains(&place))
    }
}

/// Of those that wait for channels or for others, the ones that nobody else can end the waits of: everyone is taken out whom
/// somebody can, until nobody is left.
fn in_vain(
    waits: &HashMap<u64, Wait>,
    holders: &Holders,
    edges: &HashMap<u64, Edge>,
    families: &Families,
) -> HashSet<u64> {
    let unbounded = edges.iter().filter(|(_, edge)| !edge.bounded);
    let ids = waits.keys().chain(unbounded.map(|(id, _)| id));
    let mut stuck: HashSet<u64> = ids.copied().collect();
    loop {
        let may_go_on = |id: &u64| {
            let children = families.get(id).map_or(&[][..], Vec::as_slice);
            let head = match (waits.get(id), edges.get(id)) {
                (Some(wait), _) => &wait.coroutine.head,
                (None, Some(edge)) => &edge.coroutine.head,
                (None, None) => return true,
            };
            let waits_in_vain = match (holders.get(id), edges.get(id)) {
                // Its children borrow what it has.
                (Some(holders), _) => {
                    (holders.as_ref()).is_some_and(|its| its.iter().all(|it| stuck.contains(it)))
                        && children.iter().all(|it| stuck.contains(it))
                }
                (None, Some(edge)) => {
                    let needed = needs(edge, families);
                    !needed.is_empty() && needed.iter().all(|it| stuck.contains(it))
                }
                (None, None) => false,
            };
            // A sibling that fails, or a timeout around the scope, interrupts it.
            let family = families.get(&head.parent).map_or(&[][..], Vec::as_slice);
            let family_is_stuck = !head.scoped
                || stuck.contains(&head.parent) && family.iter().all(|it| stuck.contains(it));
            !waits_in_vain || !family_is_stuck
        };
        let free: Vec<u64> = stuck.iter().copied().filter(may_go_on).collect();
        if free.is_empty() {
            return stuck;
        }
        free.iter().for_each(|id| _ = stuck.remove(id));
    }
}
