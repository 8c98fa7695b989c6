//! `block_on`: a future, driven to its end by whoever waits for it.

use std::future::IntoFuture;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::context::SpinMutex;
use crate::sched::wait::{self, Outcome, WaitKind, Waiter};
use crate::sync::{address, refuse};

/// Drives a future to its end and gives its output. **May suspend.** On a plain thread it blocks the thread.
///
/// For the futures of libraries that bring no runtime along and ask for none: they wait for each other, for channels, for
/// callbacks of threads. One that wants the timers or sockets of a certain runtime fails here as that runtime says.
///
/// The future is polled by the caller and nobody else, so it may be `!Send` and borrow; and it may make blocking calls of
/// ours. Its waker may be called from any thread, at any time and as often as wanted. Each time that a future wakes itself
/// while it is polled, the other coroutines run before it is polled again.
///
/// An interrupt (a timeout, a kill) is raised between two polls and drops the future where it stands.
///
/// ```
/// use std::future::{poll_fn, ready};
/// use std::task::Poll;
///
/// grapeshot::run(|| {
///     let mut polls = 0;
///     // Borrows from here, and is polled three times.
///     let sum = grapeshot::block_on(async {
///         poll_fn(|context| {
///             polls += 1;
///             if polls == 3 {
///                 return Poll::Ready(());
///             }
///             let waker = context.waker().clone();
///             std::thread::spawn(move || waker.wake());
///             Poll::Pending
///         })
///         .await;
///         ready(40).await + 2
///     });
///     assert_eq!((sum, polls), (42, 3));
/// });
/// ```
///
/// # Panics
///
/// If the future panics; and if it is not ready at once and the caller is unwinding: a destructor must not wait then.
#[track_caller]
pub fn block_on<F: IntoFuture>(future: F) -> F::Output {
    wait::check_interrupt();
    let signal = Arc::new(Signal::default());
    let waker = Waker::from(Arc::clone(&signal));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future.into_future());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        signal.wait();
    }
}

/// Where the waker and the one that polls meet.
///
/// ```text
///   Idle ──── wake ───▶ Woken ──── wait: poll again ───▶ Idle
///   Idle ──── wait ───▶ Waiting ── wake: end the wait ─▶ Woken ──▶ Idle, then poll
/// ```
#[derive(Default)]
struct Signal(SpinMutex<State>);

#[derive(Default)]
enum State {
    /// Not woken since the latest poll began.
    #[default]
    Idle,
    Woken,
    Waiting(Waiter),
}

impl Signal {
    /// Waits until it has been woken since the latest poll began. **May suspend**, and always lets the others run.
    #[track_caller]
    fn wait(&self) {
        if wait::nothing_may_wait() {
            refuse("block_on", "a future that is ready at once");
        }
        let Some(wait) = self.begin() else {
            return wait::yield_now();
        };
        let outcome = wait.suspend();
        // What was written before a wake that comes after this, the next poll does not see; it makes another poll.
        *self.0.lock() = State::Idle;
        if let Outcome::Interrupted(interrupt) = outcome {
            interrupt.raise();
        }
    }

    /// Leaves a waiter; `None` if it has been woken.
    fn begin(&self) -> Option<wait::Wait> {
        let mut state = self.0.lock();
        if matches!(*state, State::Woken) {
            *state = State::Idle;
            return None;
        }
        let (wait, waiter) =
            wait::prepare(WaitKind::Future, address(self)).expect("it does not unwind");
        *state = State::Waiting(waiter);
        Some(wait)
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let before = std::mem::replace(&mut *self.0.lock(), State::Woken);
        if let State::Waiting(waiter) = before {
            // If it was interrupted meanwhile, the future is dropped, and nobody is left to be told.
            waiter.wake();
        }
    }
}
