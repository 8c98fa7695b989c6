//! What one worker counts at each switch.
//!
//! ```text
//!   suspended             woken by …           resumed              suspended
//!   ─────┬──────────────────┬─────────────────────┬────────────────────┬─────
//!        │   waits for kind │       "ready"       │   processor time   │
//! ```
//!
//! The accounts that are always on have one look at the clock for each switch, so what the worker does between two runs counts as
//! the next one's. Here the clock is read once more, just before the coroutine goes on: beside runs of a microsecond the worker's
//! part is not small, and samples tell the two apart.
//!
//! The worker's own thread counts, under a lock that leans to it. The stack of a wait is walked when the wait is over, just
//! before the coroutine goes on with it: nothing need be kept meanwhile, and what the walk reads is needed in a moment.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use foldhash::fast::RandomState;

use super::control::{self, Session};
use super::groups::{self, Cache, GroupId};
use super::stacks::{Spent, Stacks};
use crate::context::ticker::{Place, Ring};
use crate::context::{BiasedMutex, Context, cycles};
use crate::sched::hooks::Cause;
use crate::sched::record::{CoroRef, Head};
use crate::sched::{current, worker};

/// Kinds of waits, and a place more for [`READY`](super::READY).
pub(super) const KINDS: usize = 64;
/// The place of [`READY`](super::READY).
pub(super) const READY_KIND: u8 = KINDS as u8 - 1;
/// Frames of a stack, at most: the innermost.
pub(super) const FRAMES: usize = 128;
/// Who woke whom, at most.
const EDGES: usize = 1 << 14;
/// What the profiler takes at a switch is measured once in so many. Odd: every second is a resumption, which takes more.
const MEASURED: u32 = 61;
/// If that took more cycles, another thread had the processor meanwhile.
const PREEMPTED: u64 = 30_000;

/// What the coroutines of one group did on this worker. Times are in cycles.
#[derive(Clone)]
pub(super) struct Totals {
    pub(super) coroutines: u64,
    pub(super) cpu: u64,
    pub(super) switches: u64,
    pub(super) waits: [Spent; KINDS],
}

impl Totals {
    pub(super) const NONE: Self = Self {
        coroutines: 0,
        cpu: 0,
        switches: 0,
        waits: [Spent { time: 0, times: 0 }; KINDS],
    };
}

/// A coroutine ran; times are in cycles.
#[derive(Clone, Copy)]
pub(super) struct Ran {
    pub(super) coroutine: u64,
    pub(super) group: GroupId,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// The counts of one worker in one session.
pub(super) struct Tally {
    session: Arc<Session>,
    /// If it is sampled.
    ring: Option<&'static Ring>,
    cache: Cache,
    /// By group.
    pub(super) totals: Vec<Totals>,
    pub(super) stacks: Stacks,
    /// By who woke, who was woken, and what for.
    pub(super) edges: HashMap<(GroupId, GroupId, u8), u64, RandomState>,
    /// Wakes that there was no room for.
    pub(super) lost: u64,
    pub(super) ran: Vec<Ran>,
    /// By the place that a coroutine has in its worker's table: its number and its group.
    slots: Vec<(u64, GroupId)>,
    /// The coroutine that ran when the session began, once it is known.
    pub(super) first: Option<(u64, GroupId)>,
    /// The coroutine that runs, and the cycles at its resumption.
    runs: Option<(u64, GroupId, u64)>,
    switches: u32,
    /// Where a stack is written down before it is looked up.
    frames: Vec<usize>,
    /// Cycles that this took, about.
    pub(super) cost: u64,
}

pub(super) type Shelf = Arc<BiasedMutex<Option<Tally>>>;

thread_local! {
    /// The session that this thread has looked for a tally in, and the tally if it has one.
    static MINE: RefCell<(u32, Option<Shelf>)> = const { RefCell::new((0, None)) };
    /// Who runs on this thread. Without a destructor: signal handlers read it.
    static RUNS: Cell<Runs> = const { Cell::new(Runs::NOBODY) };
    /// This is a worker's thread. Without a destructor: allocators read it.
    static SERVES: Cell<bool> = const { Cell::new(false) };
}

/// A coroutine that runs, and its group in that session.
#[derive(Clone, Copy)]
struct Runs {
    coroutine: u64,
    group: GroupId,
    session: u32,
}

impl Runs {
    const NOBODY: Self = Self {
        coroutine: 0,
        group: groups::RUNTIME,
        session: 0,
    };

    fn set(coroutine: u64, group: GroupId) {
        RUNS.set(Self {
            coroutine,
            group,
            session: NUMBER.load(Ordering::Relaxed),
        });
    }

    /// The group of a coroutine of this thread, if it is known that it runs.
    fn group(coroutine: u64) -> Option<GroupId> {
        let runs = RUNS.get();
        let is_it = runs.coroutine == coroutine && runs.session == NUMBER.load(Ordering::Relaxed);
        is_it.then_some(runs.group)
    }
}

/// The number of the session that is on, or was last.
pub(super) static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Calls with this worker's tally, if a profile is taken of it.
#[inline]
fn with(call: impl FnOnce(&mut Tally)) {
    MINE.with_borrow_mut(|mine| {
        let number = NUMBER.load(Ordering::Acquire);
        if mine.0 != number {
            let shelf = worker::with(|worker| control::shelf(worker?.mine()));
            *mine = (number, shelf);
        }
        if let Some(shelf) = &mine.1
            && let Some(tally) = shelf.lock().as_mut()
        {
            tally.switches = tally.switches.wrapping_add(1);
            if tally.switches.is_multiple_of(MEASURED) {
                let start = cycles::fenced();
                call(tally);
                let spent = cycles::fenced().wrapping_sub(start);
                let spent = spent.min(PREEMPTED);
                tally.cost += spent * u64::from(MEASURED);
            } else {
                call(tally);
            }
        }
    });
}

/// The coroutine runs next; its stack is in `context`. The switch before was at `stamp`.
pub(crate) fn resumed(coroutine: &CoroRef, stamp: u64, context: &Context) {
    with(|tally| {
        if let Some(ring) = tally.ring {
            ring.stir();
        }
        tally.resumed(coroutine, stamp, context);
    });
}

/// The coroutine left the processor at `stamp`, to come back.
pub(crate) fn suspended(coroutine: &CoroRef, stamp: u64) {
    // Without accounting nobody else does.
    coroutine.head.since.store(stamp, Ordering::Relaxed);
    with(|tally| tally.left(coroutine, stamp));
}

/// The coroutine ended at `stamp`.
pub(crate) fn ended(coroutine: &CoroRef, stamp: u64) {
    with(|tally| {
        tally.left(coroutine, stamp);
        if let Some(slot) = tally.slots.get_mut(coroutine.head.own.get().slot.get()) {
            *slot = (0, 0);
        }
    });
}

/// A wait of `whom` is over. On the thread of whoever ended it.
pub(crate) fn woken(whom: &Head, cause: Cause) {
    let by = match cause {
        Cause::Caller => caller(),
        Cause::Timer | Cause::Deadline => groups::TIMER,
        Cause::Descriptor => groups::POLLER,
        Cause::Interrupt => groups::INTERRUPT,
    };
    let word = Woken {
        at: cycles::now(),
        by,
    };
    whom.woken.store(word.pack(), Ordering::Relaxed);
}

/// The group of whoever runs on this thread.
fn caller() -> GroupId {
    let on_worker = || worker::with(|worker| worker.is_some());
    current::with(|coroutine| match coroutine {
        Some(coroutine) => Runs::group(coroutine.head.id).unwrap_or_else(|| {
            let mut group = groups::RUNTIME;
            with(|tally| group = tally.meet(coroutine));
            group
        }),
        None if on_worker() => groups::RUNTIME,
        None => groups::THREAD,
    })
}

/// When a wait ended, and by whom, as a coroutine's record has it: in one word, so that whoever wakes need not lock anything.
struct Woken {
    at: u64,
    by: GroupId,
}

impl Woken {
    /// Cycles are kept by sixteens, since the session's start: enough for a week.
    const FINE: u32 = 4;
    const GROUP_BITS: u32 = 16;

    /// Not 0, which is "nobody has".
    fn pack(&self) -> u64 {
        let since = self.at.saturating_sub(control::started_at()) >> Self::FINE;
        since << Self::GROUP_BITS | u64::from(self.by + 1)
    }

    fn unpack(word: u64, start: u64) -> Option<Self> {
        let by = (word & ((1 << Self::GROUP_BITS) - 1)).checked_sub(1)?;
        Some(Self {
            at: start + (word >> Self::GROUP_BITS << Self::FINE),
            by: by as GroupId,
        })
    }
}

/// What a suspension came to.
pub(super) struct Waited {
    /// What it waited for; `None`: it was new, or let the others run.
    kind: Option<u8>,
    /// Cycles.
    waited: u64,
    /// Cycles in the queue.
    queued: u64,
    by: Option<GroupId>,
}

impl Waited {
    /// Of a coroutine that does not run, until `now`. `is_over`: its wait, if it is in one, has ended.
    pub(super) fn of(head: &Head, start: u64, now: u64) -> Self {
        let since = head.since.load(Ordering::Relaxed).max(start).min(now);
        let is_waiting = head.word.current().is_some();
        if !is_waiting && head.word.ending().is_none() {
            return Self {
                kind: None,
                waited: 0,
                queued: now - since,
                by: None,
            };
        }
        let woken = Woken::unpack(head.woken.load(Ordering::Relaxed), start);
        let woken = woken.filter(|_| !is_waiting);
        let at = woken
            .as_ref()
            .map_or(now, |woken| woken.at.clamp(since, now));
        Self {
            kind: Some(head.waits_for.load(Ordering::Relaxed)),
            waited: at - since,
            queued: now - at,
            by: woken.map(|woken| woken.by),
        }
    }
}

impl Tally {
    pub(super) fn new(session: Arc<Session>, ring: Option<&'static Ring>) -> Self {
        Self {
            session,
            ring,
            cache: Cache::default(),
            totals: Vec::new(),
            stacks: Stacks::new(),
            edges: HashMap::default(),
            lost: 0,
            ran: Vec::new(),
            slots: Vec::new(),
            first: None,
            runs: None,
            switches: 0,
            frames: Vec::with_capacity(FRAMES),
            cost: 0,
        }
    }

    fn resumed(&mut self, coroutine: &CoroRef, stamp: u64, context: &Context) {
        let head = &coroutine.head;
        let group = self.group(head, head.own.get().slot.get());
        let waited = Waited::of(head, self.session.start, stamp);
        head.woken.store(0, Ordering::Relaxed);
        let mut frames = mem::take(&mut self.frames);
        frames.clear();
        // A new one is nowhere yet.
        if self.session.settings.waits
            && (waited.kind.is_some() || head.since.load(Ordering::Relaxed) != head.spawned)
        {
            context.follow(|address| {
                frames.push(address);
                frames.len() < FRAMES
            });
        }
        self.charge(group, &waited, &frames, true);
        self.frames = frames;
        Runs::set(head.id, group);
        self.runs = Some((head.id, group, cycles::fenced()));
    }

    /// Charges a suspension to its group, and to where it was.
    pub(super) fn charge(
        &mut self,
        group: GroupId,
        waited: &Waited,
        frames: &[usize],
        is_over: bool,
    ) {
        let totals = self.totals(group);
        // One that still waits was not queued yet.
        let queues = is_over || waited.queued > 0;
        if queues {
            totals.waits[usize::from(READY_KIND)].add(waited.queued);
        }
        if let Some(kind) = waited.kind {
            totals.waits[usize::from(kind)].add(waited.waited);
        }
        if let (Some(by), Some(kind)) = (waited.by, waited.kind) {
            let room = self.edges.len() < EDGES;
            match self.edges.get_mut(&(by, group, kind)) {
                Some(times) => *times += 1,
                None if room => _ = self.edges.insert((by, group, kind), 1),
                None => self.lost += 1,
            }
        }
        if self.session.settings.waits {
            let entry = self
                .stacks
                .entry((group, waited.kind.unwrap_or(READY_KIND)), frames);
            if waited.kind.is_some() {
                entry.waited.add(waited.waited);
            }
            if queues {
                entry.queued.add(waited.queued);
            }
        }
    }

    fn left(&mut self, coroutine: &CoroRef, stamp: u64) {
        let id = coroutine.head.id;
        let known = self.runs.take().filter(|it| it.0 == id);
        let (group, since) = known.map_or_else(
            || (self.meet(coroutine), self.session.start),
            |(_, group, since)| (group, since),
        );
        RUNS.set(Runs::NOBODY);
        self.runs = None;
        self.totals(group).switches += 1;
        self.charge_run(id, group, since, stamp);
    }

    /// Charges a run until now to its group, and to the timeline.
    fn charge_run(&mut self, coroutine: u64, group: GroupId, from: u64, to: u64) {
        let to = to.max(from);
        self.totals(group).cpu += to - from;
        self.note(Ran {
            coroutine,
            group,
            from,
            to,
        });
    }

    /// The session ends at `end`. A coroutine that runs has done so since it was resumed; if no switch was seen, the one that
    /// `find` gives has done so all the time.
    pub(super) fn end(&mut self, end: u64, find: impl FnOnce() -> Option<CoroRef>) {
        if let Some((coroutine, group, from)) = self.runs.take() {
            self.charge_run(coroutine, group, from, end);
        } else if self.switches == 0
            && let Some(coroutine) = find()
        {
            let group = self.new_member(&coroutine.head);
            self.first = Some((coroutine.head.id, group));
            self.charge_run(coroutine.head.id, group, self.session.start, end);
        }
    }

    /// The group of the coroutine that ran when the session began.
    fn meet(&mut self, coroutine: &CoroRef) -> GroupId {
        let head = &coroutine.head;
        let group = self.group(head, head.own.get().slot.get());
        self.first = Some((head.id, group));
        self.runs = Some((head.id, group, self.session.start));
        Runs::set(head.id, group);
        group
    }

    /// Keeps a slice of the timeline, or if there are too many the longer half.
    pub(super) fn note(&mut self, ran: Ran) {
        let most = self.session.settings.slices;
        if most == 0 {
            return;
        }
        if self.ran.len() >= most * 2 {
            let length = |ran: &Ran| std::cmp::Reverse(ran.to - ran.from);
            self.ran.select_nth_unstable_by_key(most, length);
            self.ran.truncate(most);
        }
        self.ran.push(ran);
    }

    pub(super) fn totals(&mut self, group: GroupId) -> &mut Totals {
        let at = group as usize;
        if self.totals.len() <= at {
            self.totals.resize(at + 1, Totals::NONE);
        }
        &mut self.totals[at]
    }

    /// The group of a coroutine of this worker, which has that place in its table.
    fn group(&mut self, head: &Head, slot: usize) -> GroupId {
        if let Some(&(id, group)) = self.slots.get(slot)
            && id == head.id
        {
            return group;
        }
        let group = self.new_member(head);
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, (0, 0));
        }
        self.slots[slot] = (head.id, group);
        group
    }

    /// The coroutines that it has seen and that have not ended, with their groups.
    pub(super) fn members(&self) -> HashMap<u64, GroupId> {
        self.slots.iter().copied().chain(self.first).collect()
    }

    /// The group of a coroutine that is seen for the first time.
    pub(super) fn new_member(&mut self, head: &Head) -> GroupId {
        let group = self.cache.group(head, &self.session.groups);
        self.totals(group).coroutines += 1;
        group
    }
}

/// Where this thread is. For the handler of a signal.
pub(super) fn locate() -> Place {
    current::with(|coroutine| {
        let Some(head) = coroutine.map(|coroutine| &coroutine.head) else {
            return Place {
                coroutine: 0,
                tag: 0,
                stack: 0..0,
            };
        };
        let group = Runs::group(head.id);
        Place {
            coroutine: head.id,
            // 0: it is not known yet.
            tag: group.map_or(0, |group| u64::from(group) + 1),
            stack: head.stack(),
        }
    })
}

/// Who allocates on this thread. For an allocator: of no coroutine, the tag says whether this is a worker's loop.
pub(super) fn locate_allocation() -> Place {
    let place = locate();
    match place.coroutine {
        0 if SERVES.get() => Place {
            tag: u64::from(groups::RUNTIME) + 1,
            ..place
        },
        _ => place,
    }
}

/// Runs the loop of a worker that is profiled. On its thread.
pub(super) fn serve(body: impl FnOnce()) {
    SERVES.set(true);
    body();
    SERVES.set(false);
}
