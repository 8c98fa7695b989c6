//! What a program had better not do, noticed while it does it.

use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use super::backtrace::backtrace_of;
use super::stalls::{Stall, place};
use super::{State, describe, records};
use crate::context::{cycles, stack};
use crate::sched::handle::RuntimeHandle;
use crate::sched::record::CoroRef;
use crate::sched::spawn::CoroutineId;
use crate::sched::wait::WaitKind;
use crate::sched::{Shared, WorkerShared};

/// Lints that are kept.
const KEPT: usize = 64;
/// Between two checks while something runs.
const EVERY: Duration = Duration::from_millis(500);
/// A call that has waited so long for a thread of the pool waits for too long.
const QUEUED: Duration = Duration::from_millis(500);
/// Checks in a row at which the workers must be out of balance.
const STREAK: u32 = 3;
/// A worker that is busy for so much of the time is full, and one for so little is free.
const FULL: f64 = 0.95;
const FREE: f64 = 0.2;
/// Stacks of each site that are measured, and coroutines that there may be for that while nobody asks.
const MEASURED: usize = 64;
const MEASURED_UNASKED: usize = 20_000;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LintKind {
    /// A coroutine held its worker for longer than the latency limit.
    Selfish,
    /// A coroutine sleeps in a lock that is none of ours and that another one of its worker has across a blocking call.
    ForeignLock,
    /// One worker has more to run than it can, another has nothing.
    Unbalanced,
    /// Calls wait for a thread of [`unblock`](crate::unblock)'s pool.
    UnblockExhausted,
    /// A stack is filled to more than seven eighths, or was by a former user of it.
    StackNearlyFull,
}

impl LintKind {
    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Selfish => {
                "call yield_now() every so often, or give it to a thread with unblock()"
            }
            Self::ForeignLock => {
                "use a lock of grapeshot::sync, or let go of it before the blocking call"
            }
            Self::Unbalanced => {
                "a coroutine stays where it started: spawn from several workers, without spawn_local, or choose a \
                 placement with Builder::placement"
            }
            Self::UnblockExhausted => {
                "allow more threads with set_unblock_threads, or limit who calls with a Semaphore"
            }
            Self::StackNearlyFull => "give it more with Builder::stack_size, or box what is large",
        }
    }
}

impl fmt::Display for LintKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Selfish => "selfish coroutine",
            Self::ForeignLock => "foreign lock across a blocking call",
            Self::Unbalanced => "workers out of balance",
            Self::UnblockExhausted => "unblock pool exhausted",
            Self::StackNearlyFull => "stack nearly full",
        })
    }
}

/// Something that a program had better not do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Lint {
    /// What is wrong.
    pub kind: LintKind,
    /// When it was noticed last.
    pub at: SystemTime,
    /// A coroutine that does it.
    pub id: CoroutineId,
    /// Its name.
    pub name: String,
    /// The place that spawned it.
    pub site: &'static Location<'static>,
    /// Where in the code, as `file.rs:17`: where the coroutine is, or the place that spawned it if that is what matters.
    pub place: String,
    /// The figures.
    pub what: String,
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            id,
            name,
            place,
            what,
            ..
        } = self;
        let remedy = kind.remedy();
        write!(
            f,
            "{kind}: coroutine '{name}' (#{id}) at {place}: {what}. {remedy}"
        )
    }
}

/// What this runtime had better not do and did, the latest last; of the same kind at the same place, the latest. 64 are kept.
///
/// They are noticed by the watchdog, which looks while something runs, and which [`latency_limit`] `(None)` turns off; what goes
/// on now is also looked for by this call. Each is in the log when it is first noticed. Nothing is measured on any hot path.
///
/// [`latency_limit`]: crate::RuntimeBuilder::latency_limit
///
/// ```
/// use grapeshot::registry::{self, LintKind};
/// use grapeshot::{set_unblock_threads, sleep, spawn, unblock};
/// use std::sync::mpsc;
/// use std::time::Duration;
///
/// grapeshot::run(|| {
///     set_unblock_threads(1);
///     let (done, wait) = mpsc::channel::<()>();
///     let slow = spawn(move || unblock(move || wait.recv()).unwrap());
///     let behind = spawn(|| unblock(|| 7).unwrap());
///     let lint = loop {
///         match registry::lints().pop() {
///             Some(lint) => break lint,
///             None => sleep(Duration::from_millis(10)),
///         }
///     };
///     assert_eq!(lint.kind, LintKind::UnblockExhausted);
///     println!("{lint}");
///     done.send(()).unwrap();
///     assert!(slow.join().is_ok());
///     assert_eq!(behind.join().unwrap(), 7);
/// });
/// ```
pub fn lints() -> Vec<Lint> {
    RuntimeHandle::current().map_or_else(Vec::new, RuntimeHandle::lints)
}

impl RuntimeHandle {
    /// What this runtime had better not do and did; see [`lints`](crate::registry::lints).
    pub fn lints(self) -> Vec<Lint> {
        let shared = self.shared;
        shared.lints.raise(exhausted(shared));
        shared.lints.raise(nearly_full(shared));
        let mut all: Vec<Lint> = shared.stalls.all().into_iter().map(of_stall).collect();
        all.extend(shared.lints.0.lock().iter().cloned());
        all.sort_by_key(|lint| lint.at);
        all
    }
}

/// What a runtime keeps of them, but for those that are stalls.
pub(crate) struct Lints(Mutex<Vec<Lint>>);

impl Lints {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    fn raise(&self, lint: Option<Lint>) {
        let Some(lint) = lint else { return };
        let mut kept = self.0.lock();
        let same = |it: &&mut Lint| it.kind == lint.kind && it.place == lint.place;
        if let Some(known) = kept.iter_mut().find(same) {
            *known = lint;
            return;
        }
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(lint.clone());
        drop(kept);
        log::warn!("{lint}");
    }

    /// The runtime has ended.
    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }
}

fn of_stall(stall: Stall) -> Lint {
    let kind = match stall.lock {
        Some(_) => LintKind::ForeignLock,
        None => LintKind::Selfish,
    };
    let what = match &stall.lock {
        Some(lock) => format!("it sleeps in {lock}"),
        None => format!("it held worker {} for {:.1?}", stall.worker, stall.lasted),
    };
    Lint {
        kind,
        at: stall.since + stall.lasted,
        id: stall.id,
        name: stall.name,
        site: stall.site,
        place: place(&stall.backtrace).unwrap_or_else(|| spawned_at(stall.site)),
        what,
    }
}

fn spawned_at(site: &Location<'_>) -> String {
    let file = site.file();
    format!(
        "{}:{}",
        file.rsplit('/').next().unwrap_or(file),
        site.line()
    )
}

fn lint(kind: LintKind, coroutine: &CoroRef, place: String, what: String) -> Lint {
    let info = describe(coroutine, cycles::scale(), cycles::now());
    Lint {
        kind,
        at: SystemTime::now(),
        id: info.id,
        name: info.name,
        site: info.site,
        place,
        what,
    }
}

/// The one that has waited longest for a thread, if that is long.
fn exhausted(shared: &'static Shared) -> Option<Lint> {
    let pool = crate::unblock_statistics();
    if pool.queued == 0 || pool.oldest < QUEUED {
        return None;
    }
    let (scale, now) = (cycles::scale(), cycles::now());
    let waits = |coroutine: CoroRef| {
        let kind = WaitKind::from_u8(coroutine.head.waits_for.load(Ordering::Relaxed));
        let wait = describe(&coroutine, scale, now).waits_for?;
        (kind == WaitKind::Unblock).then_some((wait.since, coroutine))
    };
    let waiting = records(shared).into_iter().filter_map(waits);
    let (since, coroutine) = waiting.max_by_key(|(since, _)| *since)?;
    let place = backtrace_of(coroutine.clone())
        .ok()
        .as_deref()
        .and_then(place);
    let place = place.unwrap_or_else(|| spawned_at(coroutine.head.name.site));
    let what = format!(
        "its call has taken {since:.1?}; all {} threads have one, {} more wait",
        pool.threads, pool.queued
    );
    Some(lint(LintKind::UnblockExhausted, &coroutine, place, what))
}

/// The fullest stack of those that are measured, if it is nearly full.
fn nearly_full(shared: &'static Shared) -> Option<Lint> {
    let mut measured: HashMap<Location<'static>, usize> = HashMap::new();
    let used = |coroutine: CoroRef| {
        let stack = coroutine.head.stack();
        let times = measured.entry(*coroutine.head.name.site).or_default();
        *times += 1;
        if stack.is_empty() || *times > MEASURED {
            return None;
        }
        let size = stack.len();
        let used = stack::resident_bytes(stack)?;
        (used > size / 8 * 7).then_some((used, size, coroutine))
    };
    let (used, size, coroutine) = records(shared)
        .into_iter()
        .filter_map(used)
        .max_by_key(|it| it.0)?;
    let place = spawned_at(coroutine.head.name.site);
    let what = format!(
        "it, or a former user of its stack, has filled {} of {} KiB",
        used >> 10,
        size >> 10
    );
    Some(lint(LintKind::StackNearlyFull, &coroutine, place, what))
}

/// What the watchdog remembers from check to check.
pub(crate) struct Checks {
    next: Instant,
    /// Since when, and how long each worker had slept by then.
    window: Option<(Instant, Vec<u64>)>,
    streak: u32,
}

impl Checks {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            next: now,
            window: None,
            streak: 0,
        }
    }

    /// Looks, if it is time.
    pub(crate) fn look(&mut self, shared: &'static Shared, now: Instant) {
        if now < self.next {
            return;
        }
        self.next = now + EVERY;
        shared.lints.raise(exhausted(shared));
        if shared.alive() <= MEASURED_UNASKED {
            shared.lints.raise(nearly_full(shared));
        }
        let loads = self.loads(shared, now);
        let queued = |worker: &WorkerShared| worker.figures.ready.load(Ordering::Relaxed);
        let ready: Vec<usize> = shared.workers.iter().map(queued).collect();
        let Some((full, free)) = loads
            .as_deref()
            .and_then(|loads| out_of_balance(loads, &ready))
        else {
            self.streak = 0;
            return;
        };
        self.streak += 1;
        if self.streak >= STREAK {
            let (ready, loads) = (ready[full], loads.unwrap_or_default());
            shared
                .lints
                .raise(unbalanced(shared, full, free, ready, &loads));
        }
    }

    /// How busy each worker was since the latest check.
    fn loads(&mut self, shared: &Shared, now: Instant) -> Option<Vec<f64>> {
        let cycles = cycles::now();
        let idle = |worker: &WorkerShared| worker.figures.idle_until(cycles);
        let idle: Vec<u64> = shared.workers.iter().map(idle).collect();
        let (since, before) = self.window.replace((now, idle.clone()))?;
        let past = now.saturating_duration_since(since).as_secs_f64();
        let load = |(now, before): (&u64, &u64)| {
            let slept = now.saturating_sub(*before) as f64 / 1e9;
            (1.0 - slept / past.max(1e-3)).clamp(0.0, 1.0)
        };
        Some(idle.iter().zip(&before).map(load).collect())
    }
}

/// A worker that cannot keep up, and one that has nothing to do.
fn out_of_balance(loads: &[f64], ready: &[usize]) -> Option<(usize, usize)> {
    let full = (0..loads.len()).filter(|&it| loads[it] >= FULL && ready[it] >= 2);
    let full = full.max_by_key(|&it| ready[it])?;
    let free = (0..loads.len()).find(|&it| loads[it] <= FREE)?;
    Some((full, free))
}

fn unbalanced(
    shared: &'static Shared,
    full: usize,
    free: usize,
    ready: usize,
    loads: &[f64],
) -> Option<Lint> {
    /// Coroutines that are looked at.
    const LOOKED_AT: usize = 4096;
    let mut all = Vec::new();
    shared.workers[full].coroutines(0, LOOKED_AT, &mut all);
    let (scale, now) = (cycles::scale(), cycles::now());
    let mut sites: HashMap<Location<'static>, (usize, CoroRef)> = HashMap::new();
    for coroutine in all {
        let state = describe(&coroutine, scale, now).state;
        if matches!(state, State::Ready | State::Running) {
            let site = *coroutine.head.name.site;
            sites.entry(site).or_insert((0, coroutine)).0 += 1;
        }
    }
    let (many, coroutine) = sites.into_values().max_by_key(|(many, _)| *many)?;
    let what = format!(
        "worker {full} is busy for {:.0} % of the time with {ready} ready, {many} of those that the same place spawned; \
         worker {free} is busy for {:.0} %",
        loads[full] * 100.0,
        loads[free] * 100.0,
    );
    let place = spawned_at(coroutine.head.name.site);
    Some(lint(LintKind::Unbalanced, &coroutine, place, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Builder, sleep, spawn_local, yield_now};
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    /// The lint of this kind, once it is there.
    #[track_caller]
    fn raised(kind: LintKind) -> Lint {
        let patience = Instant::now() + Duration::from_secs(60);
        while Instant::now() < patience {
            if let Some(lint) = lints().into_iter().find(|lint| lint.kind == kind) {
                return lint;
            }
            sleep(Duration::from_millis(10));
        }
        panic!("no lint says {kind}: {:#?}", lints());
    }

    #[test]
    fn one_full_worker_beside_a_free_one_is_out_of_balance() {
        assert_eq!(out_of_balance(&[1.0, 0.05], &[7, 0]), Some((0, 1)));
        assert_eq!(out_of_balance(&[0.1, 0.99, 1.0], &[0, 3, 9]), Some((2, 0)));
        assert_eq!(
            out_of_balance(&[1.0, 0.05], &[1, 0]),
            None,
            "nobody waits for long"
        );
        assert_eq!(out_of_balance(&[0.9, 0.05], &[7, 0]), None, "it keeps up");
        assert_eq!(out_of_balance(&[1.0, 0.5], &[7, 2]), None, "nobody is free");
        assert_eq!(out_of_balance(&[1.0], &[7]), None, "there is but one");
    }

    #[test]
    fn coroutines_that_crowd_one_worker_are_named_by_their_line() {
        crate::Runtime::builder()
            .workers(2)
            .build()
            .unwrap()
            .run(|| {
                let stop = Arc::new(AtomicBool::new(false));
                let crowd = |_| {
                    let stop = Arc::clone(&stop);
                    spawn_local(move || {
                        while !stop.load(Ordering::Relaxed) {
                            yield_now();
                        }
                    })
                };
                let line = line!() - 6;
                let crowd: Vec<_> = (0..8).map(crowd).collect();
                let lint = raised(LintKind::Unbalanced);
                assert_eq!(lint.place, format!("lints.rs:{line}"), "{lint}");
                stop.store(true, Ordering::Relaxed);
                crowd.into_iter().for_each(|it| it.join().unwrap());
            });
    }

    #[test]
    fn a_stack_that_is_nearly_full_is_named_by_who_spawned_it() {
        #[inline(never)]
        fn fill(depth: usize, is_full: &AtomicBool) -> usize {
            let page = std::hint::black_box([depth as u8; 4096]);
            if depth == 0 {
                is_full.store(true, Ordering::Relaxed);
                sleep(Duration::from_secs(60));
                return 0;
            }
            fill(depth - 1, is_full) + usize::from(page[17])
        }
        crate::run(|| {
            // A frame takes more than its page, how much depends on the build: so this goes on until it is told.
            for depth in (4..250).step_by(4) {
                let filled = Arc::new(AtomicBool::new(false));
                let is_full = Arc::clone(&filled);
                let builder = Builder::new().stack_size(1 << 20);
                let (deep, line) = (builder.spawn(move || fill(depth, &is_full)), line!());
                while !filled.load(Ordering::Relaxed) {
                    yield_now();
                }
                let found = lints()
                    .into_iter()
                    .find(|it| it.kind == LintKind::StackNearlyFull);
                deep.interrupt();
                assert!(deep.join().is_err());
                if let Some(lint) = found {
                    assert_eq!(lint.place, format!("lints.rs:{line}"), "{lint}");
                    return;
                }
            }
            panic!("none was filled");
        });
    }

    #[test]
    fn the_same_at_the_same_place_is_told_once() {
        let lints = Lints::new();
        let one = |place: usize| Lint {
            kind: LintKind::Selfish,
            at: SystemTime::UNIX_EPOCH,
            id: CoroutineId(7),
            name: "bosun".to_owned(),
            site: Location::caller(),
            place: format!("ship.rs:{place}"),
            what: "it sang".to_owned(),
        };
        for place in 0..2 * KEPT {
            lints.raise(Some(one(place)));
            lints.raise(Some(one(place)));
        }
        assert_eq!(lints.0.lock().len(), KEPT);
        let text = one(3).to_string();
        assert!(
            text.starts_with(
                "selfish coroutine: coroutine 'bosun' (#7) at ship.rs:3: it sang. call yield_now()"
            ),
            "{text}"
        );
    }
}
