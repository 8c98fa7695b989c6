//! Timeouts, interrupts and shields.
//!
//! An interrupt is *level-triggered*: it is a fact (a deadline has passed, an end was asked for) which every blocking
//! call of the scope looks at, not a message that could be swallowed. It is delivered by unwinding with a private
//! payload that only the owning [`with_timeout`], or the coroutine's end, takes.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use super::record::Head;
use super::{current, worker};
use crate::context::Fresh;
use crate::time::wheel::TimerKey;

/// The time that [`with_timeout`] allowed has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the time allowed has elapsed")]
pub struct Elapsed;

impl From<Elapsed> for std::io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(std::io::ErrorKind::TimedOut, elapsed)
    }
}

/// Why a blocking call is interrupted.
///
/// One word, so that what a wait came to travels in registers: in memory it would be written in pieces and read as a
/// whole, for which the processor waits until the pieces have left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cause(NonZeroU64);

impl Cause {
    /// `interrupt`, the console's `kill`, or the runtime's shutdown.
    const KILL: Self = Self(NonZeroU64::MAX);

    /// The deadline of the scope with this number.
    fn deadline(scope: u64) -> Self {
        Self(NonZeroU64::new(scope).expect("scopes count from 1"))
    }

    /// The number of the scope whose deadline it is.
    fn scope(self) -> Option<u64> {
        (self != Self::KILL).then_some(self.0.get())
    }
}

/// The payload of the unwinding.
pub(crate) struct Raised(Cause);

impl Raised {
    pub(crate) const KILL: Self = Self(Cause::KILL);
}

/// An interrupt that is due, to be raised when the primitive has cleaned up.
#[derive(Debug)]
#[must_use]
pub(crate) struct Interrupt(Cause);

impl Interrupt {
    pub(crate) fn new(cause: Cause) -> Self {
        Self(cause)
    }

    /// Unwinds the caller.
    #[cold]
    pub(crate) fn raise(self) -> ! {
        if self.0.scope().is_some() {
            worker::with(|worker| worker.map(worker::Worker::count_timeout));
        }
        resume_unwind(Box::new(Raised(self.0)))
    }
}

/// One `with_timeout` that is under way.
struct Scope {
    id: u64,
    /// Nanoseconds since the clock's base.
    deadline: u64,
    expired: bool,
    /// Armed at the first suspension inside, so that a call which does not block pays for no timer.
    timer: Option<TimerKey>,
}

/// The scopes that a coroutine, or a plain thread, is in; the outermost first.
pub(crate) struct Scopes {
    list: RefCell<Vec<Scope>>,
    last_id: Cell<u64>,
    /// Scopes before this one are shielded off.
    visible_from: Cell<usize>,
    shields: Cell<u32>,
    /// Interrupts raised since the latest suspension.
    raised: Cell<u16>,
    /// Something may be due. False means for sure that no deadline is.
    attention: Cell<bool>,
    /// Some visible scope has no timer yet.
    unarmed: Cell<bool>,
}

impl Fresh for Scopes {
    const FRESH: Self = Self {
        list: RefCell::new(Vec::new()),
        last_id: Cell::new(0),
        visible_from: Cell::new(0),
        shields: Cell::new(0),
        raised: Cell::new(0),
        attention: Cell::new(false),
        unarmed: Cell::new(false),
    };
}

impl Scopes {
    /// Gives the memory back, at the coroutine's end: its record may be dropped by another thread, which must leave it.
    #[inline]
    pub(crate) fn clear(&self) {
        drop(self.list.take());
    }

    fn enter(&self, deadline: u64, expired: bool) -> u64 {
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        self.list.borrow_mut().push(Scope {
            id,
            deadline,
            expired,
            timer: None,
        });
        if expired {
            self.attention.set(true);
        } else {
            self.unarmed.set(true);
        }
        id
    }

    /// Leaves the innermost scope; returns its timer to be cancelled.
    fn leave(&self, id: u64) -> Option<TimerKey> {
        let mut list = self.list.borrow_mut();
        let scope = list.pop().expect("scopes are left in the reverse order");
        assert_eq!(scope.id, id, "scopes are left in the reverse order");
        if list.is_empty() {
            self.attention.set(false);
            self.unarmed.set(false);
        } else if scope.expired {
            self.attention.set(list.iter().any(|scope| scope.expired));
        }
        scope.timer
    }

    /// What is due now and not shielded off: an end that was asked for, else the outermost deadline.
    #[inline]
    pub(crate) fn due(&self, killed: bool) -> Option<Cause> {
        if !self.may_be_due(killed) {
            return None;
        }
        if killed && self.shields.get() == 0 {
            return Some(Cause::KILL);
        }
        let list = self.list.borrow();
        list[self.visible_from.get()..]
            .iter()
            .find(|scope| scope.expired)
            .map(|scope| Cause::deadline(scope.id))
    }

    /// False: nothing is due.
    #[inline(always)]
    fn may_be_due(&self, killed: bool) -> bool {
        killed || self.attention.get()
    }

    /// Arms a timer for each visible scope that has none, or finds its deadline past.
    #[inline]
    pub(crate) fn arm(&self, now: impl FnOnce() -> u64, arm: impl FnMut(u64, u64) -> TimerKey) {
        if self.unarmed.replace(false) {
            self.arm_all(now, arm);
        }
    }

    /// Apart, so that a suspension in no scope is short.
    #[inline(never)]
    fn arm_all(&self, now: impl FnOnce() -> u64, mut arm: impl FnMut(u64, u64) -> TimerKey) {
        let now = now();
        for scope in &mut self.list.borrow_mut()[self.visible_from.get()..] {
            if scope.timer.is_some() || scope.expired {
                continue;
            }
            if scope.deadline <= now {
                scope.expired = true;
                self.attention.set(true);
            } else {
                scope.timer = Some(arm(scope.deadline, scope.id));
            }
        }
    }

    /// The timer of a scope has fired. True: the scope is visible, so a wait that is on must end.
    pub(crate) fn expire(&self, id: u64) -> bool {
        let mut list = self.list.borrow_mut();
        let Some(index) = list.iter().position(|scope| scope.id == id) else {
            return false;
        };
        list[index].expired = true;
        list[index].timer = None;
        self.attention.set(true);
        index >= self.visible_from.get()
    }

    /// Plain threads have no timers: marks what has passed, and returns the earliest deadline that has not.
    pub(crate) fn look_at_clock(&self, now: u64) -> Option<u64> {
        let mut earliest = None;
        for scope in &mut self.list.borrow_mut()[self.visible_from.get()..] {
            if scope.deadline <= now {
                scope.expired = true;
                self.attention.set(true);
            } else {
                earliest =
                    Some(earliest.map_or(scope.deadline, |other: u64| other.min(scope.deadline)));
            }
        }
        earliest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.borrow().is_empty()
    }

    /// Does a request to end reach the coroutine now?
    pub(crate) fn hears_kill(&self) -> bool {
        self.shields.get() == 0
    }

    pub(crate) fn suspended(&self) {
        self.raised.set(0);
    }

    /// Counts an interrupt; true if there have been so many without a suspension that somebody swallows them.
    fn swallows(&self) -> bool {
        let raised = self.raised.get().saturating_add(1);
        self.raised.set(raised);
        raised > 2
    }
}

/// Calls with the scopes of the running coroutine, or of the plain thread.
fn with_scopes<R>(call: impl FnOnce(&Scopes, Option<&Head>) -> R) -> R {
    thread_local! {
        static OF_THREAD: Scopes = const { Scopes::FRESH };
    }
    current::with(|coroutine| match coroutine {
        Some(coroutine) => call(&coroutine.head.own.get().scopes, Some(&coroutine.head)),
        None => OF_THREAD.with(|scopes| call(scopes, None)),
    })
}

/// What a plain thread must look at while it waits: what is due, else the earliest deadline.
pub(crate) fn of_thread() -> Result<Option<Duration>, Interrupt> {
    with_scopes(|scopes, _| {
        if scopes.is_empty() {
            return Ok(None);
        }
        let now = worker::now();
        let next = scopes.look_at_clock(now);
        match scopes.due(false) {
            Some(cause) => Err(Interrupt(cause)),
            None => Ok(next.map(|deadline| Duration::from_nanos(deadline - now))),
        }
    })
}

/// Raises an interrupt that is due. Every blocking call begins with this; while the caller unwinds it does nothing.
#[inline(always)]
pub(crate) fn check_interrupt() {
    let may_be_due = current::with(|coroutine| {
        coroutine.is_none_or(|coroutine| {
            let head = &coroutine.head;
            head.own.get().scopes.may_be_due(head.is_interrupted())
        })
    });
    if may_be_due {
        look_closer();
    }
}

#[cold]
fn look_closer() {
    if let Some(interrupt) = due() {
        raise(interrupt);
    }
}

fn due() -> Option<Interrupt> {
    with_scopes(|scopes, head| match head {
        Some(head) => scopes.due(head.is_interrupted()),
        None if scopes.is_empty() => None,
        None => {
            scopes.look_at_clock(worker::now());
            scopes.due(false)
        }
    })
    .map(Interrupt)
}

#[cold]
fn raise(interrupt: Interrupt) {
    if std::thread::panicking() {
        return;
    }
    // Whoever catches interrupts in a loop shall not starve the others.
    if with_scopes(|scopes, head| head.is_some() && scopes.swallows()) {
        super::wait::through_poller();
    }
    interrupt.raise();
}

/// Runs `f`, for at most `limit`. **May suspend**, if `f` does.
///
/// When the time has passed, the blocking call that `f` is in (or the next one that it makes) unwinds out of `f`, whose
/// destructors run, and this returns [`Elapsed`]. Every later blocking call in `f` would unwind again, so code that
/// catches the unwinding cannot live on. Scopes nest to any depth; only the one whose time has passed returns `Elapsed`,
/// and if several have, the outermost. If `f` got what it waited for before it was interrupted, that wins.
///
/// It bounds blocking calls, not computation: a loop that never blocks is not stopped. What `f` was in the middle of is
/// left there; do not use a connection again whose message was half sent.
///
/// # Errors
/// [`Elapsed`], when the time has passed before `f` returned.
///
/// ```
/// use grapeshot::{sleep, with_timeout};
/// use std::time::Duration;
///
/// grapeshot::run(|| {
///     assert_eq!(with_timeout(Duration::from_secs(1), || 42), Ok(42));
///     assert!(with_timeout(Duration::from_millis(1), || sleep(Duration::from_secs(60))).is_err());
/// });
/// ```
pub fn with_timeout<T>(limit: Duration, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
    within(|now| now.saturating_add(nanos), nanos == 0, f)
}

/// Runs `f`, until `deadline` at most; otherwise as [`with_timeout`]. **May suspend**, if `f` does.
///
/// # Errors
/// [`Elapsed`], when the deadline has passed before `f` returned.
pub fn with_deadline<T>(deadline: Instant, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    with_timeout(deadline.saturating_duration_since(crate::time::now()), f)
}

#[inline]
fn within<T>(
    deadline: impl FnOnce(u64) -> u64,
    expired: bool,
    f: impl FnOnce() -> T,
) -> Result<T, Elapsed> {
    let deadline = deadline(worker::now());
    let id = with_scopes(|scopes, _| scopes.enter(deadline, expired));
    let result = catch_unwind(AssertUnwindSafe(f));
    if let Some(timer) = with_scopes(|scopes, _| scopes.leave(id)) {
        worker::with(|worker| worker.map(|worker| worker.disarm(timer)));
    }
    match result {
        Ok(value) => Ok(value),
        Err(payload) => match payload.downcast_ref::<Raised>() {
            Some(Raised(cause)) if cause.scope() == Some(id) => Err(Elapsed),
            _ => resume_unwind(payload),
        },
    }
}

/// Runs `f` with no interrupt from outside: neither timeouts around it nor a request to end reach it. For a cleanup that
/// must finish; bound it by a [`with_timeout`] inside. What came meanwhile is raised by the next blocking call after it.
///
/// ```
/// use grapeshot::{shield, sleep, with_timeout};
/// use std::time::Duration;
///
/// grapeshot::run(|| {
///     let mut done = false;
///     let result = with_timeout(Duration::from_millis(1), || {
///         shield(|| {
///             sleep(Duration::from_millis(5));
///             done = true;
///         });
///         sleep(Duration::from_secs(60));
///     });
///     assert!(done && result.is_err());
/// });
/// ```
pub fn shield<T>(f: impl FnOnce() -> T) -> T {
    let outer = with_scopes(|scopes, _| {
        scopes.shields.set(scopes.shields.get() + 1);
        scopes.visible_from.replace(scopes.list.borrow().len())
    });
    let result = catch_unwind(AssertUnwindSafe(f));
    with_scopes(|scopes, _| {
        scopes.shields.set(scopes.shields.get() - 1);
        scopes.visible_from.set(outer);
        scopes.unarmed.set(!scopes.is_empty());
    });
    result.unwrap_or_else(|payload| resume_unwind(payload))
}

/// Runs `f` and catches a panic, but lets interrupts through. Servers isolate their handlers with it.
///
/// # Errors
/// The panic's payload.
///
/// ```
/// assert!(grapeshot::catch_panic(|| 1).is_ok());
/// ```
pub fn catch_panic<T>(f: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
        if payload.is::<Raised>() {
            resume_unwind(payload);
        }
        payload
    })
}
