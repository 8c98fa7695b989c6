//! Observers of switches: what other crates hang on each resumption and suspension.
//!
//! ```text
//!   Worker::run_one      tell resumed ── switch ──▶ the coroutine's code
//!                        tell suspended, or ended ◀── switch ── it suspends, or ends
//! ```
//!
//! They run on the worker's own stack, so they cost the coroutine none of its, and there is nothing there to suspend.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::hooks;
use super::record::CoroRef;
use super::spawn::CoroutineId;
use crate::context::Switched;

/// Hears of every switch, on the thread where it happens; for what keeps something per thread that should be per coroutine,
/// and for what keeps a record of who ran when. See [`observe`].
///
/// What it is told of one coroutine comes in order and from one thread, since a coroutine never changes its own: `resumed`,
/// `suspended`, `resumed`, …, `ended`. One that never started is not mentioned, nor is the end of one that a runtime left
/// behind when it stopped.
///
/// It is called between two coroutines, so no coroutine is the current one: `local!` values are the thread's. It holds up
/// the whole worker; its time counts as the coroutine's. It must not wait: what would have to gives a
/// [`Refused`](crate::Refused) error or panics, as in a destructor that runs during unwinding. If it panics, that is caught
/// and logged, and this observer hears no more.
pub trait Observer: Sync {
    /// The coroutine's code runs next: for the first time, or from where it was suspended.
    fn resumed(&self, coroutine: Observed<'_>) {
        _ = coroutine;
    }

    /// The coroutine's code has just stopped running, to be resumed later.
    fn suspended(&self, coroutine: Observed<'_>) {
        _ = coroutine;
    }

    /// The coroutine has returned or unwound; it is never resumed again. Whoever joins it may know already.
    fn ended(&self, coroutine: Observed<'_>) {
        _ = coroutine;
    }
}

/// The coroutine that an [`Observer`] is told of.
#[derive(Clone, Copy)]
pub struct Observed<'a>(&'a CoroRef);

impl Observed<'_> {
    /// Its number, as the console and the log have it. No other coroutine of its runtime has it, nor ever had.
    pub fn id(&self) -> CoroutineId {
        CoroutineId(self.0.head.id)
    }
}

impl std::fmt::Debug for Observed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Observed").field(&self.id()).finish()
    }
}

/// Tells `observer` of every switch of every runtime in this process, from now on and for good. Observers are called in the
/// order in which they came.
///
/// Of a coroutine that runs meanwhile it hears first that it is suspended. While there is no observer, a switch pays for a
/// load and a branch.
///
/// ```
/// use grapeshot::{Observed, Observer};
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// /// Counts.
/// struct Suspensions(AtomicU64);
///
/// impl Observer for Suspensions {
///     fn suspended(&self, _coroutine: Observed<'_>) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
/// }
///
/// static SUSPENSIONS: Suspensions = Suspensions(AtomicU64::new(0));
///
/// grapeshot::observe(&SUSPENSIONS);
/// grapeshot::run(|| grapeshot::yield_now());
/// assert!(SUSPENSIONS.0.load(Ordering::Relaxed) > 0);
/// ```
pub fn observe(observer: &'static dyn Observer) {
    let new: &'static Node = Box::leak(Box::new(Node {
        observer,
        failed: AtomicBool::new(false),
        next: OnceLock::new(),
    }));
    let mut end = &FIRST;
    while end.set(new).is_err() {
        end = &end.get().expect("it is set").next;
    }
    hooks::turn_on(hooks::OBSERVERS);
}

/// One observer, and whoever came after it. None is ever taken back, so that a switch need not count who reads the list.
struct Node {
    observer: &'static dyn Observer,
    /// It has panicked.
    failed: AtomicBool,
    next: OnceLock<&'static Node>,
}

static FIRST: OnceLock<&'static Node> = OnceLock::new();

thread_local! {
    /// An observer is being called.
    static CALLING: Cell<bool> = const { Cell::new(false) };
}

/// Is the caller part of an observer?
pub(crate) fn is_calling() -> bool {
    CALLING.get()
}

pub(super) fn resumed(coroutine: &CoroRef) {
    tell(|observer| observer.resumed(Observed(coroutine)));
}

pub(super) fn left(coroutine: &CoroRef, switched: Switched) {
    tell(|observer| match switched {
        Switched::Suspended => observer.suspended(Observed(coroutine)),
        Switched::Ended(_) => observer.ended(Observed(coroutine)),
    });
}

fn tell(call: impl Fn(&dyn Observer)) {
    CALLING.set(true);
    let mut next = FIRST.get();
    while let Some(node) = next {
        if !node.failed.load(Ordering::Relaxed)
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| call(node.observer)))
        {
            node.fail();
            // Its destructor is foreign code as well.
            std::mem::forget(panic);
        }
        next = node.next.get();
    }
    CALLING.set(false);
}

impl Node {
    #[cold]
    fn fail(&self) {
        if !self.failed.swap(true, Ordering::Relaxed) {
            log::error!("an observer of switches panicked; it hears of no more switches");
        }
    }
}
