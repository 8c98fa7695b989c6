//! Notices a coroutine that holds its worker: names it in the log, with its backtrace, and keeps that for the registry.
//!
//! One thread looks after all the workers of the process. While any of them is awake it looks at each, twice in a latency
//! limit: the same coroutine, and no resume since? Once all of them sleep it sleeps too, without end, and the first that
//! wakes up stirs it:
//!
//! ```text
//!   worker                                   watchdog
//!   ──────                                   ────────
//!   awake                                    ASLEEP = true
//!   fence                                    fence
//!   ASLEEP? then unpark the watchdog         a worker awake? then look again soon, else park
//! ```
//!
//! So an idle program has no wake-ups, and a busy worker pays nothing for being watched.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use super::{Shared, WorkerShared, balance, foreign_lock};
use crate::context::cycles;
use crate::context::sample::Usage;
use crate::registry;
use crate::registry::lints::Checks;
use crate::registry::stalls::Stall;

/// A stall is reported again when it has lasted so many times as long as at the latest report.
const AGAIN: u32 = 4;

/// The runtimes that are watched.
static WATCHED: Mutex<Vec<&'static Shared>> = Mutex::new(Vec::new());
static THREAD: OnceLock<thread::Thread> = OnceLock::new();
/// It sleeps without end, or is about to.
static ASLEEP: AtomicBool = AtomicBool::new(false);

/// Watches the workers of a runtime from now on.
///
/// # Errors
/// There is no thread for it.
pub(super) fn watch(shared: &'static Shared) -> io::Result<()> {
    static STARTING: Mutex<()> = Mutex::new(());
    {
        let _starting = STARTING.lock();
        if THREAD.get().is_none() {
            let thread = thread::Builder::new().name("grapeshot-watch".into());
            let _ = THREAD.set(thread.spawn(main)?.thread().clone());
        }
    }
    WATCHED.lock().push(shared);
    stir();
    Ok(())
}

/// The workers of a runtime have ended, or were given up.
pub(super) fn leave(shared: &'static Shared) {
    WATCHED
        .lock()
        .retain(|watched| !std::ptr::eq(*watched, shared));
    shared.stalls.clear();
    shared.lints.clear();
}

#[cfg(test)]
pub(super) fn watches(shared: &'static Shared) -> bool {
    WATCHED.lock().iter().any(|it| std::ptr::eq(*it, shared))
}

/// A worker has woken up.
#[inline]
pub(super) fn stir() {
    fence(Ordering::SeqCst);
    if ASLEEP.load(Ordering::Relaxed) {
        wake();
    }
}

#[cold]
fn wake() {
    if ASLEEP.swap(false, Ordering::Relaxed)
        && let Some(thread) = THREAD.get()
    {
        thread.unpark();
    }
}

fn main() {
    let mut watches: Vec<Watch> = Vec::new();
    loop {
        let Some(pause) = pause() else {
            watches.iter_mut().for_each(Watch::rest);
            sleep_without_end();
            continue;
        };
        let before = Instant::now();
        thread::sleep(pause);
        let now = Instant::now();
        // A stopped process or a suspended machine: that is nobody's fault, so it has not happened.
        let stopped = (now - before).saturating_sub(pause * 2);
        let runtimes = WATCHED.lock().clone();
        watches.retain(|watch| runtimes.iter().any(|it| std::ptr::eq(*it, watch.shared)));
        for shared in runtimes {
            if !watches.iter().any(|it| std::ptr::eq(it.shared, shared)) {
                watches.push(Watch::new(shared, before));
            }
        }
        for watch in &mut watches {
            watch.look(now, stopped);
        }
    }
}

/// How long until the next look; `None` while every worker sleeps.
fn pause() -> Option<Duration> {
    let watched = WATCHED.lock();
    let awake = watched.iter().filter(|shared| {
        let is_awake =
            |worker: &WorkerShared| !worker.is_sleeping() && !worker.closed.load(Ordering::Relaxed);
        shared.workers.iter().any(is_awake)
    });
    let limit = awake.filter_map(|shared| shared.config.latency_limit).min();
    limit.map(|limit| limit / 2)
}

fn sleep_without_end() {
    ASLEEP.store(true, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    if pause().is_some() {
        ASLEEP.store(false, Ordering::Relaxed);
        return;
    }
    while ASLEEP.load(Ordering::Relaxed) {
        thread::park();
    }
}

/// What is known of the workers of one runtime.
struct Watch {
    shared: &'static Shared,
    limit: Duration,
    tracks: Vec<Track>,
    checks: Checks,
}

/// What is known of one worker.
#[derive(Clone)]
struct Track {
    /// The coroutine that ran at the latest look, and how often the worker had resumed one.
    seen: (u64, u64),
    /// The look at which that was seen first.
    first: Instant,
    stretch: Option<Stretch>,
}

/// One resume that was seen at two looks.
#[derive(Clone)]
struct Stretch {
    since: Instant,
    /// What its thread had got at the second of those looks.
    usage: Option<Usage>,
    /// Looked at when it lasts as long as this.
    due: Duration,
    /// Logged when it lasts as long as this, even if there is no more to say than before.
    log_due: Duration,
    /// Its number in the registry, once it was reported.
    number: Option<u64>,
}

impl Watch {
    fn new(shared: &'static Shared, now: Instant) -> Self {
        let fresh = Track {
            seen: (0, 0),
            first: now,
            stretch: None,
        };
        Self {
            shared,
            limit: shared.config.latency_limit.unwrap_or(Duration::MAX),
            tracks: vec![fresh; shared.workers.len()],
            checks: Checks::new(now),
        }
    }

    /// All workers sleep: what ran before will say nothing any more. What grows from check to check still does.
    fn rest(&mut self) {
        let now = Instant::now();
        for (worker, track) in self.shared.workers.iter().zip(&mut self.tracks) {
            worker.held.store(false, Ordering::Relaxed);
            if let Some(stretch) = track.stretch.take() {
                end(self.shared, &stretch, now);
            }
            *track = Track {
                seen: (0, 0),
                first: now,
                stretch: None,
            };
        }
    }

    fn look(&mut self, now: Instant, stopped: Duration) {
        self.shared.stream.beat();
        self.checks.look(self.shared, now);
        for (worker, track) in self.shared.workers.iter().zip(&mut self.tracks) {
            track.first += stopped;
            if let Some(stretch) = &mut track.stretch {
                stretch.since += stopped;
            }
            let figures = &worker.figures;
            let seen = (
                figures.running.load(Ordering::Relaxed),
                figures.resumes.load(Ordering::Relaxed),
            );
            if seen.0 == 0 || seen != track.seen {
                if let Some(stretch) = track.stretch.take() {
                    worker.held.store(false, Ordering::Relaxed);
                    end(self.shared, &stretch, now);
                }
                track.seen = seen;
                track.first = now;
                continue;
            }
            let stretch = track
                .stretch
                .get_or_insert_with(|| Stretch::new(self.shared, worker, track.first, self.limit));
            balance::relieve(self.shared, worker);
            let lasted = now.saturating_duration_since(stretch.since);
            if lasted >= stretch.due {
                let told = report(self.shared, worker, seen.0, stretch, lasted);
                stretch.due = if told {
                    lasted * AGAIN
                } else {
                    lasted + lasted / 4 + self.limit
                };
            } else {
                stretch.keep_up(self.shared, worker, lasted);
            }
        }
    }
}

impl Stretch {
    /// One that was first seen at `first`.
    fn new(
        shared: &'static Shared,
        worker: &WorkerShared,
        first: Instant,
        limit: Duration,
    ) -> Self {
        // It began up to a pause before; the worker knows when, if it keeps accounts.
        let resumed = worker.figures.resumed.load(Ordering::Relaxed);
        let known = shared.accounting.is_on().then(|| {
            let ago = cycles::scale().nanos(cycles::now().saturating_sub(resumed));
            Instant::now().checked_sub(Duration::from_nanos(ago))
        });
        Self {
            since: known
                .flatten()
                .unwrap_or(first)
                .clamp(first - limit / 2, first),
            usage: worker.thread.get().and_then(|thread| thread.usage()),
            due: limit,
            log_due: limit,
            number: None,
        }
    }

    /// What its thread got of the processors since it was first seen.
    fn spent(&self, worker: &WorkerShared) -> Option<Usage> {
        let now = worker.thread.get().and_then(|thread| thread.usage())?;
        let then = self.usage?;
        Some(Usage {
            ran: now.ran.saturating_sub(then.ran),
            queued: now.queued.saturating_sub(then.queued),
        })
    }

    /// Has the figures of what was reported go on with it: when it is over, how long it ran tells whether it computed or was
    /// blocked.
    fn keep_up(&self, shared: &Shared, worker: &WorkerShared, lasted: Duration) {
        let Some(number) = self.number else { return };
        let spent = self.spent(worker);
        let kept = shared.stalls.change(number, |stall| {
            stall.lasted = lasted;
            stall.ran = spent.map(|spent| spent.ran).or(stall.ran);
            stall.queued = spent.map(|spent| spent.queued).or(stall.queued);
        });
        drop(kept);
    }
}

/// Reports a coroutine that still holds its worker. False: its thread did not say all that it may when it is asked again.
fn report(
    shared: &'static Shared,
    worker: &WorkerShared,
    id: u64,
    stretch: &mut Stretch,
    lasted: Duration,
) -> bool {
    let Some(coroutine) = worker.running(id) else {
        return true;
    };
    let thread = worker.thread.get();
    // Before the backtrace, which may take a while: it ran for no longer than it lasted.
    let spent = stretch.spent(worker);
    let futex = thread.and_then(|thread| thread.futex());
    let addresses = thread.and_then(|thread| thread.sample(coroutine.head.stack()));
    let backtrace: Vec<_> = addresses
        .unwrap_or_default()
        .into_iter()
        .flat_map(registry::resolve)
        .collect();
    let lock = foreign_lock::find(worker, &coroutine, futex, &backtrace);
    // One that waits for a processor, or in the kernel, does not answer, and may at the next try.
    let told = lock.is_ok() && !backtrace.is_empty();
    let stall = Stall {
        id: crate::CoroutineId(id),
        name: coroutine.head.name.with(str::to_owned),
        site: coroutine.head.name.site,
        worker: worker.index,
        since: SystemTime::now() - lasted,
        lasted,
        over: false,
        ran: spent.map(|spent| spent.ran),
        queued: spent.map(|spent| spent.queued),
        lock: lock.ok().flatten(),
        backtrace,
    };
    let text = stall.to_string();
    shared.stream.note(id, &text);
    // Another answer that was not one is no news.
    let is_news = stretch.number.is_none() || told || lasted >= stretch.log_due;
    match stretch.number {
        None => stretch.number = Some(shared.stalls.push(stall)),
        Some(number) => drop(shared.stalls.change(number, |kept| *kept = stall)),
    }
    if is_news {
        stretch.log_due = lasted * AGAIN;
        log::warn!("{text}");
    }
    told
}

/// A coroutine let go of its worker.
fn end(shared: &Shared, stretch: &Stretch, now: Instant) {
    let Some(number) = stretch.number else { return };
    let ended = shared.stalls.change(number, |stall| {
        stall.lasted = now.saturating_duration_since(stretch.since);
        stall.over = true;
    });
    if let Some(stall) = ended {
        log::warn!("{stall}");
    }
}
