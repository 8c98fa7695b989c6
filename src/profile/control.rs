//! Starting and stopping: one session at a time, of all workers.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;

use super::groups::Groups;
use super::report::Report;
use super::sampler::{Sampler, Samples};
use super::tally::{self, NUMBER, Shelf, Tally};
use super::{Recorded, Settings, waiting};
use crate::context::ticker::{self, Ring, Timer};
use crate::context::{BiasedMutex, allocations, cycles};
use crate::registry;
use crate::sched::hooks;
use crate::sched::{Shared, WorkerShared};

/// Why no profile is taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is one at a time in a process.
    #[error("a profile is being taken already: stop that one first")]
    Running,
    /// The system refuses the timers.
    #[error(
        "the system gives no timer to sample with ({0}): take a profile of 0 Hz, which counts exact times and stacks of waits"
    )]
    Timer(#[source] io::Error),
    /// The program's allocations pass us by.
    #[error(
        "allocations are seen by the profiler's allocator alone, and the program has another: add to its main.rs \
         `#[global_allocator] static ALLOCATOR: grapeshot::profile::Allocator = grapeshot::profile::Allocator::system();`"
    )]
    Allocator,
    /// The system refuses the thread that collects samples.
    #[error("the system gives no thread to collect samples with: {0}")]
    Thread(#[source] io::Error),
}

/// What all parts of a session share.
pub(super) struct Session {
    pub(super) settings: Settings,
    /// Cycles.
    pub(super) start: u64,
    pub(super) groups: Groups,
}

/// A worker's place in a session.
pub(super) struct Seat {
    shared: &'static Shared,
    pub(super) worker: &'static WorkerShared,
    shelf: Shelf,
    timer: Option<Timer>,
    /// Nanoseconds that it had slept before.
    pub(super) idle_before: u64,
    /// Nanoseconds that it had slept when it ended, if it ended before the session.
    pub(super) idle_after: Option<u64>,
    /// Cycles.
    pub(super) began: u64,
    /// Cycles, if it ended before the session.
    pub(super) ended: Option<u64>,
}

pub(super) struct Running {
    pub(super) session: Arc<Session>,
    pub(super) started: SystemTime,
    since: Instant,
    /// Those that have ended included.
    pub(super) seats: Vec<Seat>,
    sampler: Option<Sampler>,
}

struct Control {
    /// Whose threads run.
    workers: Vec<(&'static Shared, &'static WorkerShared)>,
    running: Option<Running>,
    /// It is being started, or stopped.
    is_busy: bool,
}

impl Control {
    /// Keeps the workers of a runtime together, and in order.
    fn take_on(&mut self, shared: &'static Shared, worker: &'static WorkerShared) {
        let before = |(its, other): &&(&'static Shared, &'static WorkerShared)| {
            std::ptr::eq(*its, shared) && other.index < worker.index
        };
        let is_sibling = |(its, _): &(&'static Shared, _)| std::ptr::eq(*its, shared);
        let first = self.workers.iter().position(is_sibling);
        let first = first.unwrap_or(self.workers.len());
        let place = first + self.workers[first..].iter().filter(before).count();
        self.workers.insert(place, (shared, worker));
    }
}

static CONTROL: Mutex<Control> = Mutex::new(Control {
    workers: Vec::new(),
    running: None,
    is_busy: false,
});

/// Cycles, when the latest session began.
static START: AtomicU64 = AtomicU64::new(0);

pub(super) fn started_at() -> u64 {
    START.load(Ordering::Relaxed)
}

/// The tally of a worker in the session that is on.
pub(super) fn shelf(worker: &'static WorkerShared) -> Option<Shelf> {
    let control = CONTROL.lock();
    let seats = &control.running.as_ref()?.seats;
    let seat = seats.iter().find(|it| std::ptr::eq(it.worker, worker))?;
    Some(Arc::clone(&seat.shelf))
}

/// Runs a worker's loop, which may be profiled meanwhile. On its thread.
pub(crate) fn serve(shared: &'static Shared, worker: &'static WorkerShared, body: impl FnOnce()) {
    // What serves another, such as the console, would only be in the way.
    if shared.config.host.is_some() {
        return allocations::unseen(body);
    }
    let asleep = &worker.figures.asleep;
    ticker::enlist(&worker.ring, asleep, tally::locate, || {
        {
            let mut control = CONTROL.lock();
            control.take_on(shared, worker);
            if let Some(running) = &mut control.running {
                // Without a timer its times are exact all the same.
                if let Err(error) = running.take_in(shared, worker) {
                    log::warn!("worker {} is not sampled: {error}", worker.index);
                }
            }
        }
        tally::serve(body);
        let mut control = CONTROL.lock();
        control
            .workers
            .retain(|(_, other)| !std::ptr::eq(*other, worker));
        let seats = control.running.as_mut().map(|running| &mut running.seats);
        if let Some(seat) = seats
            .into_iter()
            .flatten()
            .find(|it| std::ptr::eq(it.worker, worker))
        {
            seat.timer = None;
            let now = cycles::now();
            seat.idle_after = Some(worker.figures.idle_until(now));
            seat.ended = Some(now);
        }
    });
}

/// Is a profile being taken?
pub fn is_running() -> bool {
    let control = CONTROL.lock();
    control.running.is_some() || control.is_busy
}

/// Starts to collect.
///
/// # Errors
/// A profile is being taken already, or the system has no timers for it: only Linux samples on the processor. Allocations are
/// asked for, and the program's allocator is not [`Allocator`](super::Allocator).
pub fn start(mut settings: Settings) -> Result<(), StartError> {
    settings.hertz = settings.hertz.min(10_000);
    if settings.allocations > 0 && !allocations::is_installed() {
        return Err(StartError::Allocator);
    }
    let workers = {
        let mut control = CONTROL.lock();
        if control.running.is_some() || control.is_busy {
            return Err(StartError::Running);
        }
        control.is_busy = true;
        control.workers.clone()
    };
    forget_wakes(&workers);
    let mut control = CONTROL.lock();
    control.is_busy = false;
    let start = cycles::now();
    let session = Arc::new(Session {
        settings,
        start,
        groups: Groups::new(),
    });
    let mut running = Running {
        session,
        started: SystemTime::now(),
        since: Instant::now(),
        seats: Vec::new(),
        sampler: None,
    };
    let Settings {
        hertz,
        allocations: every,
        ..
    } = running.session.settings;
    if hertz > 0 || every > 0 {
        running.sampler = Some(Sampler::start().map_err(StartError::Thread)?);
    }
    let mut all = control.workers.iter();
    let sampled = all.try_for_each(|&(shared, worker)| running.take_in(shared, worker));
    if let Err(error) = sampled {
        running.end();
        return Err(StartError::Timer(error));
    }
    START.store(start, Ordering::Relaxed);
    NUMBER.fetch_add(1, Ordering::AcqRel);
    let running = control.running.insert(running);
    hooks::turn_on(hooks::PROFILE);
    // Last: samples have the groups of this session.
    if let Some(sampler) = running.sampler.as_ref().filter(|_| every > 0) {
        sampler.watch_allocations(every);
    }
    Ok(())
}

/// What a session before this one left.
fn forget_wakes(workers: &[(&'static Shared, &'static WorkerShared)]) {
    for shared in runtimes(workers.iter().map(|&(shared, _)| shared)) {
        for coroutine in registry::records(shared) {
            coroutine.head.woken.store(0, Ordering::Relaxed);
        }
    }
}

/// Each once.
fn runtimes(of: impl Iterator<Item = &'static Shared>) -> Vec<&'static Shared> {
    let mut each: Vec<&'static Shared> = Vec::new();
    for shared in of {
        if !each.iter().any(|known| std::ptr::eq(*known, shared)) {
            each.push(shared);
        }
    }
    each
}

/// Stops, and gives what was collected; `None` if no profile is being taken. **May suspend**: workers say where their
/// coroutines wait. One that does not answer within a second is left alone, and those waits are charged without a stack.
pub fn stop() -> Option<Recorded> {
    let mut running = {
        let mut control = CONTROL.lock();
        control.is_busy |= control.running.is_some();
        control.running.take()?
    };
    // Should a timeout or a kill end this early.
    struct Free;
    impl Drop for Free {
        fn drop(&mut self) {
            CONTROL.lock().is_busy = false;
        }
    }
    let _free = Free;
    allocations::turn_off();
    let lasted = running.since.elapsed();
    let end = cycles::now();
    let mut tallies: Vec<Tally> = running.seats.iter().map(Seat::take).collect();
    hooks::turn_off(hooks::PROFILE);
    running.charge_waiting(&mut tallies, end);
    let samples = running.end();
    Some(Report::new(running, tallies, samples, end).make(lasted))
}

impl Seat {
    /// The worker counts no more.
    fn take(&self) -> Tally {
        let mut shelf = self.shelf.lock();
        let mut tally = shelf.take().expect("only this takes it");
        // What runs cannot be seen to leave while this holds the shelf.
        let running = &self.worker.figures.running;
        let find = || self.worker.running(running.load(Ordering::Relaxed));
        tally.end(cycles::now(), find);
        tally
    }
}

impl Running {
    /// Begins with a worker whose thread runs.
    fn take_in(
        &mut self,
        shared: &'static Shared,
        worker: &'static WorkerShared,
    ) -> io::Result<()> {
        let is_sampled = self.session.settings.hertz > 0;
        let thread = worker.thread.get().filter(|_| is_sampled);
        let ring = thread.map(|_| worker.ring.get_or_init(Ring::new));
        let tally = Tally::new(Arc::clone(&self.session), ring);
        let mut seat = Seat {
            shared,
            worker,
            shelf: Arc::new(BiasedMutex::new(Some(tally))),
            timer: None,
            idle_before: worker.figures.idle_until(cycles::now()),
            idle_after: None,
            began: cycles::now(),
            ended: None,
        };
        let mut result = Ok(());
        if let (Some(sampler), Some(&thread), Some(ring)) = (&self.sampler, thread, ring) {
            ring.reset(ticker::used(thread));
            sampler.watch(self.seats.len(), ring);
            let every = 1_000_000_000 / u64::from(self.session.settings.hertz);
            match Timer::start(thread, ring, every) {
                Ok(timer) => seat.timer = Some(timer),
                Err(error) => result = Err(error),
            }
        }
        self.seats.push(seat);
        result
    }

    /// Samples no more. What came.
    fn end(&mut self) -> Samples {
        self.seats.iter_mut().for_each(|seat| seat.timer = None);
        self.sampler.take().map(Sampler::finish).unwrap_or_default()
    }

    /// Those that wait have done so since they were suspended.
    fn charge_waiting(&self, tallies: &mut [Tally], end: u64) {
        let shared = runtimes(self.seats.iter().map(|seat| seat.shared));
        // First all times: what goes on meanwhile changes them.
        let still: Vec<_> = (shared.into_iter())
            .map(|shared| (shared, waiting::still(shared, self.session.start, end)))
            .collect();
        for (shared, those) in still {
            for (seat, tally) in self.seats.iter().zip(&mut *tallies) {
                if !std::ptr::eq(seat.shared, shared) {
                    continue;
                }
                let home = seat.worker.index;
                // Those that no worker has taken are queued at the first one's.
                let those: Vec<_> = (those.iter())
                    .filter(|it| it.home.unwrap_or(0) == home)
                    .collect();
                let stacks = match self.session.settings.waits && seat.ended.is_none() {
                    true => waiting::stacks(seat.worker, &those),
                    false => vec![Vec::new(); those.len()],
                };
                let members = tally.members();
                for (it, frames) in those.into_iter().zip(stacks) {
                    let head = &it.coroutine.head;
                    let group = match members.get(&head.id) {
                        Some(&group) => group,
                        None => tally.new_member(head),
                    };
                    if let Some(waited) = &it.waited {
                        tally.charge(group, waited, &frames, false);
                    }
                }
            }
        }
    }
}
