//! What hangs on a switch, a wake and a spawn. One word says what of it is on, so that the scheduler pays for one load and
//! one branch while nothing is; what is on is called from here, out of the way of the hot path.
//!
//! ```text
//!   spawn            spawned
//!   Worker::run_one  resumed ── switch ──▶ the coroutine's code ──▶ woken, interrupt_asked (it wakes and ends others)
//!                    suspended, or ended ◀── switch ── it suspends, or ends
//!   Worker::run      woken (a timer, a descriptor, a deadline)
//!   plain threads    spawned, woken, interrupt_asked
//!   Mutex, RwLock    locked, unlocked
//! ```
//!
//! `resumed`, `suspended` and `ended` are called on the worker's own stack, where there is nothing to suspend; the others on
//! that of whoever wakes or spawns, maybe with locks of a primitive held. None may wait, take a lock that is held for long, or
//! wake a coroutine.

use std::panic::Location;
use std::sync::atomic::{AtomicU32, Ordering};

use super::observe;
use super::record::{CoroRef, EndedBy, Head};
use super::wait::WaitKind;
use crate::context::{Context, Switched};
use crate::profile;
use crate::registry::lints::{self, LockId};
use crate::trace::stream as trace;

/// [`observe`](crate::observe) was called.
pub(crate) const OBSERVERS: u32 = 1;
/// Some runtime's events are recorded: see [`trace`].
pub(crate) const STREAM: u32 = 2;
/// Somebody watches closely: see [`watch_closely`](crate::registry::watch_closely).
pub(crate) const WATCH: u32 = 4;
/// A profile is taken.
pub(crate) const PROFILE: u32 = 1 << 8;

/// What of it is on.
static ON: AtomicU32 = AtomicU32::new(0);

/// Is anything on? All that a switch, a wake and a spawn pay if not.
#[inline(always)]
pub(crate) fn is_on() -> bool {
    ON.load(Ordering::Relaxed) != 0
}

/// Is this on?
#[inline]
fn is(what: u32) -> bool {
    ON.load(Ordering::Acquire) & what != 0
}

/// From now on every switch, wake and spawn of the process comes here for `what`.
pub(crate) fn turn_on(what: u32) {
    ON.fetch_or(what, Ordering::Release);
}

/// From now on nothing comes here for `what`, but for calls that are on their way.
pub(crate) fn turn_off(what: u32) {
    ON.fetch_and(!what, Ordering::Release);
}

/// Why a coroutine suspends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// To be woken: it waits for this.
    For(WaitKind, usize),
    /// To let the others run.
    Yields,
    /// To let the others run and the poller look.
    ThroughPoller,
}

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A coroutine or a plain thread, whichever calls.
    Caller,
    /// A timer of a sleep.
    Timer,
    /// A descriptor that is ready.
    Descriptor,
    /// The deadline of a `with_timeout`.
    Deadline,
    /// It was asked to end.
    Interrupt,
}

/// `coroutine` runs next; `context` has its stack. `stamp`: cycles, at the switch before.
#[cold]
pub(super) fn resumed(coroutine: &CoroRef, stamp: u64, context: &Context) {
    if is(STREAM) {
        trace::resumed(coroutine, stamp);
    }
    if is(PROFILE) {
        profile::resumed(coroutine, stamp, context);
    }
    if is(OBSERVERS) {
        observe::resumed(coroutine);
    }
}

/// `coroutine` has just left the processor. Before the time is looked at: what observers take counts as the coroutine's.
#[cold]
pub(super) fn left(coroutine: &CoroRef, switched: Switched) {
    if is(OBSERVERS) {
        observe::left(coroutine, switched);
    }
}

/// `coroutine` suspended at `stamp` (cycles). `owner`: of the lock that it waits for, as far as that is known.
#[cold]
pub(super) fn suspended(coroutine: &CoroRef, leaves: Leaves, owner: Option<u64>, stamp: u64) {
    if is(STREAM) {
        trace::suspended(coroutine, leaves, owner, stamp);
    }
    if is(PROFILE) {
        profile::suspended(coroutine, stamp);
    }
}

/// `coroutine` ended at `stamp` (cycles).
#[cold]
pub(super) fn ended(coroutine: &CoroRef, by: EndedBy, stamp: u64) {
    if is(STREAM) {
        trace::ended(coroutine, by, stamp);
    }
    if is(PROFILE) {
        profile::ended(coroutine, stamp);
    }
    if is(WATCH) {
        lints::ended(&coroutine.head);
    }
}

/// The caller has made a coroutine, which is not queued yet.
#[cold]
pub(super) fn spawned(child: &Head) {
    if is(STREAM) {
        trace::spawned(child.runtime, child.id);
    }
}

/// The wait of `whom` is over, but it cannot have been resumed yet.
#[cold]
pub(super) fn woken(whom: &Head, cause: Cause) {
    if is(STREAM) {
        trace::woken(whom, cause);
    }
    if is(PROFILE) {
        profile::woken(whom, cause);
    }
}

/// The caller has just taken this lock, together with others if it `reads`; `waits`: it would have waited for it.
#[cold]
pub(crate) fn locked(id: &LockId, reads: bool, waits: bool, site: &'static Location<'static>) {
    if is(WATCH) {
        lints::locked(id, reads, waits, site);
    }
}

/// The caller lets go of this lock.
#[cold]
pub(crate) fn unlocked(id: &LockId) {
    if is(WATCH) {
        lints::unlocked(id);
    }
}

/// The caller asks `whom` to end.
#[cold]
pub(super) fn interrupt_asked(whom: &Head) {
    if is(STREAM) {
        trace::interrupt_asked(whom);
    }
}
