//! `unblock`: a call that truly blocks, on a thread where that disturbs nobody.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::pool::{self, Job, Pool, UnblockStatistics};
use crate::sched::wait::{self, Outcome, Refused, WaitKind, Waiter};
use crate::sched::worker::ClockHeld;

/// Threads there may be, unless [`set_unblock_threads`] says otherwise.
const MAX_THREADS: usize = 64;
/// After so long without a call a thread ends.
const IDLE_LIMIT: Duration = Duration::from_secs(10);

static POOL: LazyLock<Arc<Pool>> = LazyLock::new(|| Arc::new(Pool::new(MAX_THREADS, IDLE_LIMIT)));

/// Why [`unblock`] did not run the call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnblockError {
    /// The caller unwinds: nothing may wait then.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The pool has no thread, and the system gives none.
    #[error(
        "no thread can be started for a blocking call; raise the limit of threads (ulimit -u): {0}"
    )]
    NoThread(#[source] io::Error),
}

impl From<UnblockError> for io::Error {
    fn from(error: UnblockError) -> Self {
        // Not of the kind of what caused it: to a file, "would block" means something else.
        Self::other(error)
    }
}

/// Runs `f`, a call that truly blocks (the disk, a C library), on a thread of a pool, and waits for its result.
/// **May suspend.** The worker serves its other coroutines meanwhile.
///
/// The pool is the process's. It has up to 64 threads ([`set_unblock_threads`]), started when they are wanted and ended
/// after 10 seconds without a call. When each has a call, further callers queue, first come, first served; what the queue
/// holds is no more than one call for each coroutine or thread that waits. [`unblock_statistics`] tells when the pool is
/// the bottleneck. A call should end by itself: one that waits for others that need the pool too can fill it for ever.
///
/// If the caller is interrupted, or its time has passed, it goes at once. A call that no thread had begun then never runs;
/// one that runs goes on, its result is dropped, and it counts as an orphan. `f` itself hears of no timeout around it.
///
/// A panic of `f` goes on in the caller. Called by `f`, that is by a thread of the pool, this runs its call right there.
///
/// ```
/// let hosts = grapeshot::run(|| grapeshot::unblock(|| std::fs::read_to_string("/etc/hosts")))??;
/// assert!(hosts.contains("localhost"));
/// # std::io::Result::Ok(())
/// ```
///
/// # Errors
/// [`UnblockError`]: the caller unwinds, or there is not a single thread to be had. (If there are some, but fewer than
/// wanted, they run the calls in order.)
pub fn unblock<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> Result<T, UnblockError> {
    run_on(&POOL, f)
}

/// How much the pool of [`unblock`] has to do. Never suspends.
pub fn unblock_statistics() -> UnblockStatistics {
    POOL.statistics()
}

/// How many threads [`unblock`] may have, at least 1; 64 to begin with. If there are more, they end when they have done
/// their calls. Never suspends.
pub fn set_unblock_threads(max: usize) {
    POOL.set_max_threads(max);
}

/// Where a call and its caller meet.
struct Meeting<T> {
    /// Taken by the thread that ends the wait.
    waiter: Option<Waiter>,
    /// There before the wait ends.
    result: Option<Result<T, Box<dyn Any + Send>>>,
}

pub(super) fn run_on<T: Send + 'static>(
    pool: &Arc<Pool>,
    f: impl FnOnce() -> T + Send + 'static,
) -> Result<T, UnblockError> {
    wait::check_interrupt();
    if pool::is_pool_thread() {
        return Ok(f());
    }
    let (wait, waiter) = wait::prepare(WaitKind::Unblock, 0)?;
    let meeting = Arc::new(Mutex::new(Meeting {
        waiter: Some(waiter),
        result: None,
    }));
    let number = match pool.submit(job(f, Arc::clone(&meeting))) {
        Ok(number) => number,
        Err(error) => {
            let waiter = meeting.lock().waiter.take();
            let cancelled = waiter.map(|waiter| wait.cancel(&waiter));
            debug_assert!(
                matches!(cancelled, Some(Ok(()))),
                "nobody else had the waiter"
            );
            return Err(UnblockError::NoThread(error));
        }
    };
    let held = ClockHeld::new();
    let outcome = wait.suspend();
    drop(held);
    match outcome {
        Outcome::Granted => {
            let result = meeting.lock().result.take();
            match result.expect("the result is there before the wait ends") {
                Ok(value) => Ok(value),
                Err(panic) => resume_unwind(panic),
            }
        }
        Outcome::Interrupted(interrupt) => {
            pool.leave(number);
            interrupt.raise()
        }
    }
}

fn job<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
    meeting: Arc<Mutex<Meeting<T>>>,
) -> Job {
    Box::new(move || {
        let result = catch_unwind(AssertUnwindSafe(f));
        let waiter = {
            let mut meeting = meeting.lock();
            meeting.result = Some(result);
            meeting.waiter.take()
        };
        if waiter.is_some_and(Waiter::wake) {
            return;
        }
        // An orphan. Dropping it may panic in turn, which must not cost the pool a thread.
        let orphan = meeting.lock().result.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(orphan))) {
            log::error!(
                "dropping the result of an orphaned call panicked in {:?}",
                thread::current().name()
            );
            std::mem::forget(panic);
        }
    })
}
