//! Sleeping, as a future.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::sched::listener::Listener;
use crate::sched::wait::Waiter;
use crate::sched::{WorkerShared, runtime, worker};
use crate::time;
use crate::time::wheel::TimerKey;

/// Done when its time has come; what [`sleep`] gives.
///
/// Its timer is one of the worker whose coroutine polled it last. Dropping it disarms that.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Sleep {
    deadline: Instant,
    armed: Option<Armed>,
}

struct Armed {
    listener: Arc<Listener>,
    worker: &'static WorkerShared,
    /// `None` if another thread's worker was asked for it.
    timer: Option<TimerKey>,
}

/// A future that is done after `duration`, counted from now. Never suspends by itself.
///
/// ```
/// use grapeshot::{block_on, futures, testing, time};
/// use std::time::Duration;
///
/// testing::run(1, || {
///     let start = time::now();
///     block_on(futures::sleep(Duration::from_secs(3_600)));
///     assert_eq!((time::now() - start).as_secs(), 3_600);
/// });
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    /// As good as never, and no clock overflows.
    const AGE: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);
    sleep_until(time::now() + duration.min(AGE))
}

/// A future that is done at `deadline`.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep {
        deadline,
        armed: None,
    }
}

impl Sleep {
    /// When it is done.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if time::now() >= self.deadline {
            self.armed = None;
            return Poll::Ready(());
        }
        let still = |armed: &Armed| armed.is_here() && armed.listener.still_listens(context);
        if !self.armed.as_ref().is_some_and(still) {
            self.armed = None;
            self.armed = Some(Armed::new(self.deadline, context));
        }
        Poll::Pending
    }
}

impl Armed {
    fn new(deadline: Instant, context: &Context<'_>) -> Self {
        let listener = Arc::new(Listener::default());
        listener.listen(context);
        let waiter = Waiter::listener(Arc::clone(&listener));
        let arm = move |worker: &worker::Worker| {
            let left = deadline.saturating_duration_since(time::now());
            worker.arm_wake(left.as_nanos().try_into().unwrap_or(u64::MAX), waiter)
        };
        let here = worker::with(|worker| worker.map(|worker| worker.mine()));
        let (worker, timer) = match here {
            Some(mine) => {
                let timer = worker::with(|worker| arm(worker.expect("it was here")));
                (mine, Some(timer))
            }
            None => {
                let workers = &runtime::lasting().workers;
                workers[0].call(Box::new(move || {
                    worker::with(|worker| worker.map(arm));
                }));
                (&workers[0], None)
            }
        };
        Self {
            listener,
            worker,
            timer,
        }
    }

    /// Would it be armed at the same worker again? Another's may end before.
    fn is_here(&self) -> bool {
        worker::with(|worker| match worker {
            Some(worker) => std::ptr::eq(worker.mine(), self.worker),
            None => self.timer.is_none(),
        })
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        // A timer that has fired is there no more; one whose key is not known does nothing when it fires.
        let Some(timer) = self.timer.filter(|_| self.listener.stop()) else {
            return;
        };
        if self.is_here() {
            worker::with(|worker| worker.map(|worker| worker.disarm(timer)));
        } else {
            self.worker.call(Box::new(move || {
                worker::with(|worker| worker.map(|worker| worker.disarm(timer)));
            }));
        }
    }
}

impl std::fmt::Debug for Armed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Armed")
            .field("worker", &self.worker.index)
            .finish_non_exhaustive()
    }
}
