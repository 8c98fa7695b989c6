//! Where a coroutine is.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{PATIENCE, current};
use crate::context::backtrace::{self as frames, Frame};
use crate::context::cycles;
use crate::sched::handle::RuntimeHandle;
use crate::sched::record::CoroRef;
use crate::sched::spawn::CoroutineId;
use crate::sched::{WorkerShared, worker};
use crate::sync::channel;

/// How long a worker may take before its thread is asked.
pub(super) const GRACE: Duration = Duration::from_millis(20);
/// Frames of a backtrace, at most.
pub(super) const FRAMES: usize = 256;

/// Why there is no backtrace.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BacktraceError {
    /// There is none with that number, or not any more.
    #[error("no coroutine has the id {0}")]
    NotFound(u64),
    /// It has no stack yet.
    #[error("has not started yet")]
    Unstarted,
    /// It runs, and its thread did not answer, or this system has no way to ask.
    #[error("is running on worker {0}, whose thread did not say where: ask again")]
    Running(usize),
    /// Its worker runs something that does not suspend, and the worker's thread does not hear a signal.
    #[error(
        "worker {0} did not answer within {1:?}, nor did its thread answer a signal: something runs on it that does not \
         suspend; registry::stalls() says what"
    )]
    Stuck(usize, Duration),
}

/// Where a coroutine is, innermost frame first. **May suspend**, for a second at most.
///
/// Of a suspended one, its own worker takes the backtrace. One that runs is asked by a signal (SIGURG), which interrupts it
/// for a moment; see [`RuntimeBuilder::latency_limit`](crate::RuntimeBuilder::latency_limit). So is one that holds its
/// worker, for those that are suspended on that worker. Only Linux has the signal.
///
/// Names and lines need the symbols in the program (`debug = "limited"` in the profile), and the walk needs frame pointers
/// (`-C force-frame-pointers=yes`).
///
/// # Errors
/// It is gone, has not started, runs, or its worker does not answer.
pub fn backtrace(id: CoroutineId) -> Result<Vec<Frame>, BacktraceError> {
    let runtime = RuntimeHandle::current().ok_or(BacktraceError::NotFound(id.0))?;
    runtime.backtrace(id)
}

impl RuntimeHandle {
    /// Where a coroutine is; see [`backtrace()`]. **May suspend**, as that.
    ///
    /// # Errors
    /// As [`backtrace()`].
    pub fn backtrace(self, id: CoroutineId) -> Result<Vec<Frame>, BacktraceError> {
        backtrace_of(worker::find(self.shared, id.0).ok_or(BacktraceError::NotFound(id.0))?)
    }
}

/// As [`backtrace()`], of any coroutine.
pub(crate) fn backtrace_of(coroutine: CoroRef) -> Result<Vec<Frame>, BacktraceError> {
    let (shared, id) = (coroutine.head.runtime, CoroutineId(coroutine.head.id));
    let home = coroutine.head.home.load(Ordering::Acquire) as usize;
    let Some(worker) = shared.workers.get(home) else {
        return Err(BacktraceError::Unstarted);
    };
    if let Some(addresses) = of_running(worker, &coroutine) {
        return Ok(addresses.into_iter().flat_map(resolve).collect());
    }
    if current() == Some(id) {
        return Err(BacktraceError::Running(home));
    }
    let addresses = of_suspended(worker, &coroutine)?;
    Ok(addresses.into_iter().flat_map(resolve).collect())
}

/// Where a coroutine is suspended: its worker says, or, if something holds that worker, its thread does.
fn of_suspended(
    worker: &'static WorkerShared,
    coroutine: &CoroRef,
) -> Result<Vec<usize>, BacktraceError> {
    let (id, home) = (coroutine.head.id, worker.index);
    let (answer, answers) = channel::bounded(1);
    let theirs = coroutine.clone();
    let call = move || {
        let own = theirs.head.own.get();
        // Borrowed while it runs, which can only be while this very call is made from it.
        let result = match own.context.try_borrow().as_deref() {
            Err(_) => Err(BacktraceError::Running(home)),
            Ok(None) if theirs.head.has_ended() => Err(BacktraceError::NotFound(id)),
            Ok(None) => Err(BacktraceError::Unstarted),
            Ok(Some(context)) => Ok(context.frames(FRAMES)),
        };
        // Whoever asked may have given up.
        let _ = answer.try_send(result);
    };
    // Nobody need wait for a worker that is known to be held.
    if is_held(worker)
        && let Some(addresses) = of_held(worker, coroutine)
    {
        return Ok(addresses);
    }
    worker.call(Box::new(call));
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        match crate::with_timeout(GRACE, || answers.recv()) {
            Ok(Ok(addresses)) => return addresses,
            Ok(Err(_)) => return Err(BacktraceError::NotFound(id)),
            Err(_) => {}
        }
        if let Some(addresses) = of_held(worker, coroutine) {
            return Ok(addresses);
        }
    }
    Err(BacktraceError::Stuck(home, PATIENCE))
}

/// Has what runs there not suspended for a while? Without accounting nobody knows.
pub(super) fn is_held(worker: &WorkerShared) -> bool {
    let figures = &worker.figures;
    let cycles = cycles::now().saturating_sub(figures.resumed.load(Ordering::Relaxed));
    figures.running.load(Ordering::Relaxed) != 0
        && Duration::from_nanos(cycles::scale().nanos(cycles)) > GRACE
}

/// Where a coroutine is suspended whose worker is held by another one: the worker's thread walks its stack in the handler
/// of a signal, while it stands still itself. Nothing can resume the one that is looked at meanwhile, as only that thread
/// does. `None`: the thread did not answer, or is not held any more. May suspend.
fn of_held(worker: &'static WorkerShared, coroutine: &CoroRef) -> Option<Vec<usize>> {
    let holder = worker.running(worker.figures.running.load(Ordering::Relaxed))?;
    let (thread, stack) = (*worker.thread.get()?, holder.head.stack());
    let theirs = coroutine.clone();
    ask(move || {
        // A signal handler must not allocate.
        let (mut addresses, mut is_there) = (Vec::with_capacity(FRAMES), false);
        let mut errand = || {
            if let Some(own) = theirs.head.own.try_get()
                && let Ok(context) = own.context.try_borrow()
                && let Some(context) = context.as_ref()
            {
                is_there = true;
                context.follow(|address| {
                    addresses.push(address);
                    addresses.len() < FRAMES
                });
            }
        };
        let answered = thread.send_on(stack, &mut errand);
        (answered && is_there).then_some(addresses)
    })
}

/// Where a coroutine is that runs at this moment: its thread is asked by a signal. May suspend.
fn of_running(worker: &'static WorkerShared, coroutine: &CoroRef) -> Option<Vec<usize>> {
    if worker.figures.running.load(Ordering::Relaxed) != coroutine.head.id {
        return None;
    }
    let (thread, stack) = (*worker.thread.get()?, coroutine.head.stack());
    if current() == Some(CoroutineId(coroutine.head.id)) {
        return thread.sample(stack);
    }
    ask(move || thread.sample(stack))
}

/// Asks a thread. It usually answers within microseconds, but a machine with much to do may let it wait, so a worker lets
/// another thread ask; unless it only serves another runtime, whose calls may have taken all those threads.
pub(super) fn ask<T: Send + 'static>(
    question: impl FnOnce() -> Option<T> + Send + 'static,
) -> Option<T> {
    let serves =
        worker::with(|worker| worker.is_none_or(|worker| worker.shared().config.host.is_some()));
    if serves {
        return question();
    }
    crate::unblock(question).ok().flatten()
}

/// Resolving reads the program's debug information, so answers are kept; code does not move.
pub(crate) fn resolve(address: usize) -> Vec<Frame> {
    static KNOWN: Mutex<Option<HashMap<usize, Vec<Frame>>>> = Mutex::new(None);
    if let Some(frames) = KNOWN.lock().as_ref().and_then(|known| known.get(&address)) {
        return frames.clone();
    }
    let frames = frames::resolve(address);
    KNOWN
        .lock()
        .get_or_insert_default()
        .insert(address, frames.clone());
    frames
}
