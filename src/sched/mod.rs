//! The scheduler: workers, coroutines, and how they wait.
//!
//! | file | what |
//! |---|---|
//! | `record` | what is known of a coroutine |
//! | `word` | who ends a wait (model-checked) |
//! | `wait` | the one way to suspend, the one way to wake |
//! | `kind` | what is waited for, by name |
//! | `listener` | a wait of a future |
//! | `interrupt` | timeouts, interrupts, shields |
//! | `sleeper` | how a worker sleeps and is woken (model-checked) |
//! | `worker` | the loop |
//! | `balance` | where new coroutines go: placing and stealing |
//! | `spawn` | starting |
//! | `join` | joining |
//! | `scope` | children that may borrow, and end before their scope does |
//! | `runtime` | starting and stopping it all |
//! | `handle` | naming a runtime from elsewhere, hearing of its end |
//! | `settings` | what can be chosen of it |
//! | `histogram` | lengths of time, counted |
//! | `hooks` | what hangs on a switch, a wake and a spawn |
//! | `observe` | tells other crates of each switch |
//! | `report` | what a panic prints |
//! | `watchdog` | notices a coroutine that holds its worker |
//! | `foreign_lock` | which of a worker's own coroutines has the lock that it sleeps in |

pub(crate) mod accounting;
pub(crate) mod balance;
pub(crate) mod current;
mod foreign_lock;
pub(crate) mod handle;
pub(crate) mod histogram;
pub(crate) mod hooks;
pub(crate) mod interrupt;
pub(crate) mod join;
mod kind;
pub(crate) mod listener;
pub(crate) mod observe;
pub(crate) mod owner;
pub(crate) mod record;
mod report;
pub(crate) mod runtime;
pub(crate) mod scope;
pub(crate) mod settings;
mod sleeper;
pub(crate) mod spawn;
pub(crate) mod wait;
mod watchdog;
pub(crate) mod word;
pub(crate) mod worker;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::time::Instant;

use crossbeam_queue::SegQueue;
use slab::Slab;

use crate::context::BiasedMutex;
use crate::context::cycles;
use crate::context::sample::Thread;
use crate::context::ticker::Ring;
use crate::io::Reactor;
use crate::registry::lints::Lints;
use crate::registry::stalls::Stalls;
use crate::trace;
use accounting::Accounting;
use handle::EndCalls;
use histogram::Histogram;
use join::JoinError;
use record::{CoroRef, Newborn};
use settings::Config;
use sleeper::{Idle, Sleeper};

/// The part of a runtime that all threads see. It lives as long as the process: a few kilobytes for each runtime that
/// ever was, so that a waker which comes late finds something that refuses it.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) accounting: Accounting,
    pub(crate) workers: Box<[WorkerShared]>,
    /// The zero of this runtime's clocks.
    pub(crate) base: Instant,
    /// Interrupts everything; set once.
    stopping: AtomicBool,
    /// The time for stopping is over: leave what has not stopped.
    abandoned: AtomicBool,
    idle: Idle,
    /// The next id. A runtime that is beside another has that one's, so that no coroutines of the two have the same.
    next_id: &'static AtomicU64,
    /// There are processors enough for workers that wait awake.
    may_spin: bool,
    /// The latest that were noticed.
    pub(crate) stalls: Stalls,
    /// Its events, if they are recorded.
    pub(crate) stream: trace::stream::Slot,
    pub(crate) lints: Lints,
    at_end: EndCalls,
}

impl Shared {
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Coroutines that have not ended. One that changes its place at this moment may be missed.
    pub(crate) fn alive(&self) -> usize {
        self.workers.iter().map(WorkerShared::alive).sum()
    }
}

/// The part of a worker that other threads see.
pub(crate) struct WorkerShared {
    pub(crate) index: usize,
    table: BiasedMutex<Table>,
    /// As `table.unstarted.len()`, to be read without the lock.
    unstarted: AtomicUsize,
    inbox: SegQueue<Message>,
    sleeper: Sleeper,
    /// The worker has ended.
    closed: AtomicBool,
    pub(crate) reactor: Reactor,
    /// Coroutines that started here and have not ended.
    pub(crate) live: AtomicUsize,
    /// How many are in `table.assigned` and `table.placed`, to be read without the lock.
    assigned: AtomicUsize,
    /// One coroutine has run on it for a while: see [`balance`].
    held: AtomicBool,
    pub(crate) figures: Figures,
    pub(crate) delays: Delays,
    /// Its thread, from its start on.
    pub(crate) thread: OnceLock<Thread>,
    /// What the profiler samples, from the first time on that it does.
    pub(crate) ring: OnceLock<Ring>,
}

/// Every live coroutine is in exactly one worker's table.
#[derive(Default)]
struct Table {
    /// Spawned here, not started; others may steal them.
    unstarted: VecDeque<Newborn>,
    /// Spawned by others for just this worker, which has not come to them yet.
    assigned: Vec<Newborn>,
    /// The same, but any worker will do: if this one is held, they go to another.
    placed: Vec<Newborn>,
    /// Started here.
    live: Slab<CoroRef>,
}

/// What others leave for a worker.
enum Message {
    /// A wait is over: run it.
    Ready(CoroRef),
    /// It was asked to end: if it waits, wake it.
    Interrupt(CoroRef),
    /// Look at `stopping` and `abandoned`.
    Stop,
    /// Something that only the worker can do, such as a backtrace.
    Call(Box<dyn FnOnce() + Send>),
}

/// Written by the worker alone, read by anybody; each figure is right by itself.
#[derive(Default)]
pub(crate) struct Figures {
    /// The id of the coroutine that runs, or 0.
    pub(crate) running: AtomicU64,
    /// Cycles, when it was resumed.
    pub(crate) resumed: AtomicU64,
    pub(crate) resumes: AtomicU64,
    pub(crate) polls: AtomicU64,
    pub(crate) stolen: AtomicU64,
    pub(crate) started: AtomicU64,
    pub(crate) ended: AtomicU64,
    pub(crate) panicked: AtomicU64,
    pub(crate) interrupted: AtomicU64,
    pub(crate) timeouts: AtomicU64,
    pub(crate) ready: AtomicUsize,
    pub(crate) timers: AtomicUsize,
    pub(crate) stacks_pooled: AtomicUsize,
    /// Nanoseconds blocked in the poller, up to the latest sleep that has ended.
    pub(crate) idle: AtomicU64,
    /// Cycles, when it began to sleep; 0 while it is awake.
    pub(crate) asleep: AtomicU64,
}

/// How long what could have run waited for the worker. Written by that alone, from the first sample on.
#[derive(Default)]
pub(crate) struct Delays(OnceLock<Box<DelayFigures>>);

pub(crate) struct DelayFigures {
    /// From being queued to being resumed.
    pub(crate) queued: Histogram,
    /// From one look at the poller to the next, in units of time.
    pub(crate) unseen: Histogram,
}

impl Delays {
    /// For the worker to write.
    pub(crate) fn figures(&self) -> &DelayFigures {
        self.0.get_or_init(|| {
            Box::new(DelayFigures {
                queued: Histogram::new(),
                unseen: Histogram::new(),
            })
        })
    }

    /// What there is, if there is any.
    pub(crate) fn read(&self) -> Option<&DelayFigures> {
        self.0.get().map(|figures| &**figures)
    }
}

impl Figures {
    /// Nanoseconds blocked in the poller until `now`, in cycles.
    pub(crate) fn idle_until(&self, now: u64) -> u64 {
        // In this order: a sleep that ends in between is not counted twice, but for an instant not at all.
        let idle = self.idle.load(Ordering::Acquire);
        let asleep = self.asleep.load(Ordering::Acquire);
        let lasts = if asleep == 0 {
            0
        } else {
            now.saturating_sub(asleep)
        };
        idle + cycles::scale().nanos(lasts)
    }
}

/// Raises a figure that only this thread writes: a load and a store, no locked instruction.
#[inline]
pub(crate) fn raise(figure: &AtomicU64, by: u64) {
    figure.store(figure.load(Ordering::Relaxed) + by, Ordering::Relaxed);
}

impl WorkerShared {
    fn new(index: usize, reactor: Reactor) -> Self {
        Self {
            index,
            table: BiasedMutex::new(Table::default()),
            unstarted: AtomicUsize::new(0),
            inbox: SegQueue::new(),
            sleeper: Sleeper::new(),
            closed: AtomicBool::new(false),
            reactor,
            live: AtomicUsize::new(0),
            assigned: AtomicUsize::new(0),
            held: AtomicBool::new(false),
            figures: Figures::default(),
            delays: Delays::default(),
            thread: OnceLock::new(),
            ring: OnceLock::new(),
        }
    }

    /// Coroutines that are this worker's for good.
    fn load(&self) -> usize {
        self.live.load(Ordering::Relaxed) + self.assigned.load(Ordering::Relaxed)
    }

    /// Leaves a message, and wakes the worker if it sleeps.
    fn send(&self, message: Message) {
        self.inbox.push(message);
        self.tell();
    }

    /// Gives the worker a new coroutine that shall run nowhere else.
    fn hand_over(&self, newborn: Newborn) {
        {
            let mut table = self.table.lock();
            table.assigned.push(newborn);
            self.count_assigned(&table);
        }
        self.tell();
    }

    /// Gives the worker a new coroutine that others may run as well.
    fn place(&self, newborn: Newborn) {
        {
            let mut table = self.table.lock();
            table.placed.push(newborn);
            self.count_assigned(&table);
        }
        self.tell();
    }

    /// Takes those that others may run as well.
    fn take_placed(&self) -> Vec<Newborn> {
        let mut table = self.table.lock();
        let placed = std::mem::take(&mut table.placed);
        self.count_assigned(&table);
        placed
    }

    /// Takes all that were given to the worker.
    fn take_assigned(&self) -> impl Iterator<Item = Newborn> + use<> {
        let mut table = self.table.lock();
        self.assigned.store(0, Ordering::Relaxed);
        let assigned = std::mem::take(&mut table.assigned);
        assigned
            .into_iter()
            .chain(std::mem::take(&mut table.placed))
    }

    fn count_assigned(&self, table: &Table) {
        let count = table.assigned.len() + table.placed.len();
        self.assigned.store(count, Ordering::Relaxed);
    }

    /// Something was left for the worker.
    fn tell(&self) {
        if self.sleeper.rouse() {
            self.reactor.wake();
        }
        if self.closed.load(Ordering::Relaxed) {
            self.refuse();
        }
    }

    /// Did others leave anything?
    fn has_mail(&self) -> bool {
        !self.inbox.is_empty() || self.assigned.load(Ordering::Relaxed) > 0
    }

    /// The worker has ended; what was left for it, and what still comes, is refused.
    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        // As in `tell`, where the fence is the one of `rouse`: one side sees the other.
        fence(Ordering::SeqCst);
        self.refuse();
        self.reactor.close();
    }

    #[cold]
    fn refuse(&self) {
        while self.inbox.pop().is_some() {}
        for newborn in self.take_assigned() {
            record::discard(newborn, JoinError::Interrupted);
        }
    }

    /// Has the worker make a call, between two resumes.
    pub(crate) fn call(&self, call: Box<dyn FnOnce() + Send>) {
        self.send(Message::Call(call));
    }

    /// Coroutines of this worker that have not ended, started or not.
    pub(crate) fn alive(&self) -> usize {
        self.load() + self.unstarted.load(Ordering::Relaxed)
    }

    pub(crate) fn is_sleeping(&self) -> bool {
        self.sleeper.is_sleeping()
    }

    /// The coroutine that runs on it, if it is the one with this id.
    pub(crate) fn running(&self, id: u64) -> Option<CoroRef> {
        self.find(id, || self.figures.running.load(Ordering::Relaxed) == id)
    }

    /// The coroutine with this id, if it is here and is found while `go_on` says so.
    pub(crate) fn find(&self, id: u64, go_on: impl Fn() -> bool) -> Option<CoroRef> {
        /// Records looked at under one hold of the lock.
        const CHUNK: usize = 256;
        let (mut records, mut position) = (Vec::new(), Some(0));
        while let Some(from) = position.filter(|_| go_on()) {
            records.clear();
            position = self.coroutines(from, CHUNK, &mut records);
            if let Some(found) = records.iter().find(|coroutine| coroutine.head.id == id) {
                return Some(found.clone());
            }
        }
        None
    }

    /// Its coroutines, `limit` at a time and under the lock no longer than that takes: `from` is 0 at first and then
    /// what the previous call returned.
    pub(crate) fn coroutines(
        &self,
        from: usize,
        limit: usize,
        into: &mut Vec<CoroRef>,
    ) -> Option<usize> {
        let table = self.table.lock();
        let assigned = table.assigned.iter().chain(&table.placed);
        let unstarted = table.unstarted.iter().chain(assigned);
        let waiting = table.unstarted.len() + table.assigned.len() + table.placed.len();
        let mut position = from;
        let end = from + limit;
        for newborn in unstarted.skip(from).take(limit) {
            into.push(newborn.reference());
            position += 1;
        }
        // Slots of the slab follow. What moves from one part to the other between two calls may be seen twice or, if
        // it was taken from the front, missed: the registry drops doubles, and a later look finds the rest.
        while position < end {
            let slot = position - waiting;
            if slot >= table.live.capacity() {
                return None;
            }
            if let Some(coroutine) = table.live.get(slot) {
                into.push(coroutine.clone());
            }
            position += 1;
        }
        Some(position)
    }
}
