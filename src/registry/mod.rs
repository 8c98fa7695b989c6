//! What the runtime knows of its coroutines and workers: the console reads it.
//!
//! Reading never stops the world. What is read may have changed a moment later, and two figures that are read one after
//! the other need not fit together to the last nanosecond. Called on a worker, it tells of that worker's runtime; on a
//! plain thread, of the one that was started last. A [`RuntimeHandle`] has the same as methods, for another runtime.

pub(crate) mod backtrace;
mod backtraces;
mod deadlocks;
mod descriptors;
mod ends;
mod latency;
pub(crate) mod lints;
mod locks;
mod memory;
mod search;
mod sites;
pub(crate) mod stalls;
mod stuck;
mod timers;
mod walk;

use std::fmt;
use std::panic::Location;
use std::sync::atomic::Ordering;
use std::time::Duration;

use self::backtrace::backtrace_of;
pub(crate) use self::backtrace::resolve;
pub(crate) use self::deadlocks::owner_awaited;
use crate::context::cycles::{self, Scale};
use crate::context::stack;
use crate::sched::handle::RuntimeHandle;
use crate::sched::record::{CoroRef, NOWHERE, shown};
use crate::sched::spawn::CoroutineId;
use crate::sched::wait::WaitKind;
use crate::sched::{Shared, WorkerShared, current as running, worker};
use crate::trace::label;

pub use self::backtrace::{BacktraceError, backtrace};
pub use self::backtraces::Backtraces;
pub use self::deadlocks::{Deadlock, Deadlocked, deadlocks};
pub use self::descriptors::DescriptorInfo;
pub use self::latency::{Delays, Latency, latency};
pub use self::lints::{CloseWatch, Lint, LintKind, lints, watch_closely};
pub use self::locks::LockInfo;
pub use self::memory::MemoryInfo;
pub use self::sites::{SiteInfo, sites};
pub use self::stalls::{ForeignLock, LockHolder, Stall, stalls};
pub use self::stuck::{Certainty, Stuck, stuck};
pub use self::timers::{TimerInfo, Timers};
pub use self::walk::Walk;
pub use crate::context::backtrace::Frame;

/// Records looked at under one hold of a worker's lock.
const CHUNK: usize = 256;
/// How long a worker may take to answer before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where a coroutine is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Spawned, not taken by a worker yet.
    Unstarted,
    /// Queued to run.
    Ready,
    /// On the processor.
    Running,
    /// Suspended in a blocking call.
    Waiting,
    /// Over.
    Ended,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unstarted => "unstarted",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Ended => "ended",
        })
    }
}

/// What a suspended coroutine waits for. Shown, it has the [label](crate::trace::label()) of the object in place of its address, if
/// there is one now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitFor {
    /// The blocking call, such as `read` or `mutex`.
    pub operation: &'static str,
    /// A descriptor's number, a coroutine's id, or the address of a primitive; 0 if there is nothing to name.
    pub object: u64,
    /// For how long it has waited.
    pub since: Duration,
    number: bool,
}

impl fmt::Display for WaitFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operation)?;
        match (self.object, self.number, self.operation) {
            (arms, true, "select") => write!(f, " of {arms}"),
            (0, false, _) => Ok(()),
            (id, true, "join") => write!(f, " #{id}"),
            (fd, true, _) => write!(f, " fd {fd}"),
            (address, false, _) => match label::of(address as usize) {
                Some(label) => write!(f, " '{}'", shown(&label)),
                None => write!(f, " {address:#x}"),
            },
        }
    }
}

/// A coroutine at a moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CoroutineInfo {
    /// Its number.
    pub id: CoroutineId,
    /// The name given, or the place that spawned it.
    pub name: String,
    /// The place that spawned it.
    pub site: &'static Location<'static>,
    /// Who spawned it (of a [`scope`](crate::scope)'s child: whose scope it is), unless that was a plain thread.
    pub parent: Option<CoroutineId>,
    /// It is a child of its parent's [`scope`](crate::scope): an interrupt of the parent ends it too.
    pub scoped: bool,
    /// The worker that it is pinned to.
    pub worker: Option<usize>,
    /// Where it is in its life.
    pub state: State,
    /// What it waits for, if it is suspended.
    pub waits_for: Option<WaitFor>,
    /// For how long it has run without suspending, if it is on the processor; nothing without accounting.
    pub runs_for: Option<Duration>,
    /// Since its spawn, which is dated by when its spawner was resumed (or a few spawns ago); zero without accounting.
    pub age: Duration,
    /// Processor time; zero without accounting.
    pub cpu: Duration,
    /// How often it has been resumed; zero without accounting.
    pub switches: u64,
    /// Address space of its stack, in bytes, guard included.
    pub stack_size: usize,
    /// Bytes of the stack that are backed by memory; only [`coroutine`] looks.
    pub stack_used: Option<usize>,
    /// It was asked to end.
    pub interrupted: bool,
}

impl CoroutineInfo {
    /// The name that it shares with others of its kind: see [`group_of`]. One without a name is called by the place that
    /// spawned it, line and all.
    pub fn group(&self) -> String {
        let file = self.site.file().rsplit('/').next().unwrap_or_default();
        match self
            .name
            .strip_prefix(file)
            .and_then(|rest| rest.strip_prefix(':'))
        {
            Some(line) if line.parse() == Ok(self.site.line()) => self.name.clone(),
            _ => group_of(&self.name),
        }
    }
}

/// What coroutines of one kind have in common: `npc-17` and `npc-18` are both `npc-*`.
pub fn group_of(name: &str) -> String {
    let mut short = String::with_capacity(name.len());
    shorten_name(name, &mut short);
    short
}

/// As [`group_of`], appended to what is there.
pub(crate) fn shorten_name(name: &str, into: &mut String) {
    for character in name.chars() {
        if !character.is_ascii_digit() {
            into.push(character);
        } else if !into.ends_with('*') {
            into.push('*');
        }
    }
}

/// Every live coroutine, by id.
pub fn coroutines() -> Vec<CoroutineInfo> {
    RuntimeHandle::current().map_or_else(Vec::new, RuntimeHandle::coroutines)
}

/// One coroutine, if it lives, with the memory that its stack takes.
pub fn coroutine(id: CoroutineId) -> Option<CoroutineInfo> {
    RuntimeHandle::current()?.coroutine(id)
}

/// The coroutine that calls, if one does.
pub fn current() -> Option<CoroutineId> {
    running::with(|coroutine| coroutine.map(|coroutine| CoroutineId(coroutine.head.id)))
}

/// Asks a coroutine to end, as [`JoinHandle::interrupt`](crate::JoinHandle::interrupt) does. False: there is none.
pub fn interrupt(id: CoroutineId) -> bool {
    RuntimeHandle::current().is_some_and(|runtime| runtime.interrupt(id))
}

impl RuntimeHandle {
    /// Every live coroutine of this runtime, by id.
    pub fn coroutines(self) -> Vec<CoroutineInfo> {
        let (scale, now) = (cycles::scale(), cycles::now());
        records(self.shared)
            .iter()
            .map(|coroutine| describe(coroutine, scale, now))
            .collect()
    }

    /// One coroutine, if it lives, with the memory that its stack takes.
    pub fn coroutine(self, id: CoroutineId) -> Option<CoroutineInfo> {
        let coroutine = worker::find(self.shared, id.0)?;
        let mut info = describe(&coroutine, cycles::scale(), cycles::now());
        let stack = coroutine.head.stack();
        if !stack.is_empty() {
            info.stack_used = stack::resident_bytes(stack);
        }
        Some(info)
    }

    /// Asks a coroutine to end; see [`interrupt`].
    pub fn interrupt(self, id: CoroutineId) -> bool {
        let found = worker::find(self.shared, id.0);
        found.inspect(worker::interrupt).is_some()
    }

    /// The workers of this runtime.
    pub fn workers(self) -> Vec<WorkerInfo> {
        workers_of(self.shared)
    }

    /// Figures of this runtime.
    pub fn stats(self) -> RuntimeStats {
        stats_of(self.shared)
    }
}

/// All live records of a runtime, by id.
pub(crate) fn records(shared: &Shared) -> Vec<CoroRef> {
    let mut records = Vec::new();
    for worker in &shared.workers {
        let mut position = Some(0);
        while let Some(from) = position {
            position = worker.coroutines(from, CHUNK, &mut records);
        }
    }
    records.retain(|coroutine| !coroutine.head.is_gone());
    records.sort_unstable_by_key(|coroutine| coroutine.head.id);
    records.dedup_by_key(|coroutine| coroutine.head.id);
    records
}

/// What is known of a coroutine at this moment.
pub(crate) fn info(coroutine: &CoroRef) -> CoroutineInfo {
    describe(coroutine, cycles::scale(), cycles::now())
}

fn describe(coroutine: &CoroRef, scale: Scale, now: u64) -> CoroutineInfo {
    let head = &coroutine.head;
    let home = head.home.load(Ordering::Acquire);
    let worker = head.runtime.workers.get(home as usize);
    let runs =
        worker.is_some_and(|worker| worker.figures.running.load(Ordering::Relaxed) == head.id);
    let waits = head.word.current().is_some();
    let state = match () {
        () if coroutine.head.has_ended() => State::Ended,
        () if home == NOWHERE => State::Unstarted,
        () if runs => State::Running,
        () if waits => State::Waiting,
        () => State::Ready,
    };
    let accounting = &head.runtime.accounting;
    let age = |then: u64| accounting.age(then, now).unwrap_or_default();
    let kind = WaitKind::from_u8(head.waits_for.load(Ordering::Relaxed));
    let waits_for = (state == State::Waiting).then(|| WaitFor {
        operation: kind.name(),
        object: head.waits_on.load(Ordering::Relaxed) as u64,
        since: age(head.since.load(Ordering::Relaxed)),
        number: kind.object_is_number(),
    });
    let mut cpu = Duration::from_nanos(scale.nanos(head.cpu.load(Ordering::Relaxed)));
    let resumed = |worker: &WorkerShared| worker.figures.resumed.load(Ordering::Relaxed);
    let runs_for = worker
        .filter(|_| runs)
        .and_then(|worker| accounting.age(resumed(worker), now));
    cpu += runs_for.unwrap_or_default();
    CoroutineInfo {
        id: CoroutineId(head.id),
        name: head.name.with(str::to_owned),
        site: head.name.site,
        parent: (head.parent != 0).then_some(CoroutineId(head.parent)),
        scoped: head.scoped,
        worker: worker.map(|worker| worker.index),
        state,
        waits_for,
        runs_for,
        age: age(head.spawned),
        cpu,
        switches: head.switches.load(Ordering::Relaxed),
        stack_size: head.stack_size,
        stack_used: None,
        interrupted: head.is_interrupted(),
    }
}

/// One line for each live coroutine: what it is and what it does.
pub(crate) fn describe_waits(shared: &Shared) -> String {
    let (scale, now) = (cycles::scale(), cycles::now());
    let lines = records(shared).into_iter().map(|coroutine| {
        let info = describe(&coroutine, scale, now);
        let doing = info.waits_for.map_or_else(
            || info.state.to_string(),
            |wait| format!("waits for {wait}"),
        );
        format!("#{} '{}' {doing}\n", info.id, shown(&info.name))
    });
    lines.collect()
}

/// As [`describe_waits`], an entry each, with the backtraces of the first few: for when it is too late to ask. May block
/// for a little more than a second.
pub(crate) fn describe_with_backtraces(shared: &Shared) -> Vec<String> {
    /// So many have theirs taken.
    const CULPRITS: usize = 8;
    /// Frames of each.
    const SHOWN: usize = 24;
    let waits = describe_waits(shared);
    let mut records = records(shared).into_iter().take(CULPRITS);
    let mut answers = true;
    let describe = |line: &str| {
        let mut text = line.to_owned();
        // What is in both lists is in the same order.
        let coroutine = records
            .next()
            .filter(|it| answers && line.starts_with(&format!("#{} ", it.head.id)));
        match coroutine.map(backtrace_of) {
            Some(Ok(frames)) => {
                let frames = stalls::without_start(&frames);
                for (number, frame) in frames.iter().take(SHOWN).enumerate() {
                    text += &format!("\n  {number:6}: {frame}");
                }
            }
            // Once is enough to wait for it: the others are probably behind the same.
            Some(Err(BacktraceError::Stuck(..))) => answers = false,
            _ => {}
        }
        text
    };
    waits.lines().map(describe).collect()
}

/// A worker at a moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// Its number, from 0.
    pub index: usize,
    /// The coroutine that runs on it.
    pub running: Option<CoroutineId>,
    /// For how long that has run without suspending; nothing without accounting.
    pub runs_for: Option<Duration>,
    /// It has nothing to do.
    pub sleeping: bool,
    /// Coroutines that are pinned to it.
    pub coroutines: usize,
    /// Those queued to run, a moment ago.
    pub ready: usize,
    /// Timers that are armed.
    pub timers: usize,
    /// How often it resumed a coroutine.
    pub resumes: u64,
    /// How often it looked at the poller.
    pub polls: u64,
    /// Unstarted coroutines that it took from other workers.
    pub stolen: u64,
    /// Time since the runtime's start that it did not sleep.
    pub busy: Duration,
    /// Time that it slept, the sleep that is on included.
    pub idle: Duration,
    /// Stacks that wait to be used again.
    pub stacks_pooled: usize,
}

/// The workers of the runtime.
pub fn workers() -> Vec<WorkerInfo> {
    RuntimeHandle::current().map_or_else(Vec::new, RuntimeHandle::workers)
}

fn workers_of(shared: &Shared) -> Vec<WorkerInfo> {
    let now = cycles::now();
    let uptime = shared.base.elapsed();
    let running = |id: u64| (id != 0).then_some(CoroutineId(id));
    let info = |worker: &WorkerShared| {
        let figures = &worker.figures;
        let idle = Duration::from_nanos(figures.idle_until(now));
        WorkerInfo {
            index: worker.index,
            running: running(figures.running.load(Ordering::Relaxed)),
            runs_for: (figures.running.load(Ordering::Relaxed) != 0)
                .then(|| {
                    let resumed = figures.resumed.load(Ordering::Relaxed);
                    shared.accounting.age(resumed, now)
                })
                .flatten(),
            sleeping: worker.is_sleeping(),
            coroutines: worker.live.load(Ordering::Relaxed),
            ready: figures.ready.load(Ordering::Relaxed),
            timers: figures.timers.load(Ordering::Relaxed),
            resumes: figures.resumes.load(Ordering::Relaxed),
            polls: figures.polls.load(Ordering::Relaxed),
            stolen: figures.stolen.load(Ordering::Relaxed),
            busy: uptime.saturating_sub(idle),
            idle,
            stacks_pooled: figures.stacks_pooled.load(Ordering::Relaxed),
        }
    };
    shared.workers.iter().map(info).collect()
}

/// The runtime at a moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RuntimeStats {
    /// Since its start.
    pub uptime: Duration,
    /// Worker threads.
    pub workers: usize,
    /// Coroutines that live.
    pub live: usize,
    /// Coroutines that workers took on so far.
    pub spawned: u64,
    /// Those that ended.
    pub ended: u64,
    /// Those that ended by a panic.
    pub panicked: u64,
    /// Those that ended by an interrupt.
    pub interrupted: u64,
    /// Blocking calls that a `with_timeout` ended.
    pub timeouts: u64,
    /// The process's memory, where the system tells.
    pub resident_bytes: Option<u64>,
}

/// Figures of the runtime; `None` if none runs.
pub fn stats() -> Option<RuntimeStats> {
    RuntimeHandle::current().map(RuntimeHandle::stats)
}

fn stats_of(shared: &Shared) -> RuntimeStats {
    let sum = |figure: fn(&crate::sched::Figures) -> &std::sync::atomic::AtomicU64| {
        shared
            .workers
            .iter()
            .map(|worker| figure(&worker.figures).load(Ordering::Relaxed))
            .sum()
    };
    RuntimeStats {
        uptime: shared.base.elapsed(),
        workers: shared.workers.len(),
        live: shared.workers.iter().map(WorkerShared::alive).sum(),
        spawned: sum(|figures| &figures.started),
        ended: sum(|figures| &figures.ended),
        panicked: sum(|figures| &figures.panicked),
        interrupted: sum(|figures| &figures.interrupted),
        timeouts: sum(|figures| &figures.timeouts),
        resident_bytes: resident_bytes(),
    }
}

fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests;
