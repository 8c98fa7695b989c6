//! The one way to suspend and the one way to wake.
//!
//! A blocking call [`prepare`]s a wait, leaves the [`Waiter`] where whoever can end the wait finds it, and
//! [`Wait::suspend`]s. That is all that primitives, timers and the poller know of the scheduler.

use std::cell::{OnceCell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::thread::{self, Thread};
use std::time::Duration;

use super::current;
use super::hooks::{self, Cause};
use super::interrupt::{self, Interrupt};
use super::listener::Listener;
use super::observe;
use super::owner::Owner;
use super::record::CoroRef;
use super::word::{Ending, Epoch, WaitWord};
use super::worker::{self, Next};
use crate::context::{OneOf, Which};

pub(crate) use super::interrupt::check_interrupt;
pub(crate) use super::kind::WaitKind;

/// A blocking call that would have to wait was made by a destructor that runs while its coroutine (or thread) unwinds.
/// A coroutine never suspends then: the others of its worker would seem to panic too. Or it was made by an
/// [`Observer`](crate::Observer) of switches, for which the whole worker would stand still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a blocking call that has to wait was made where nothing may wait: while unwinding, or by an observer of switches; \
     hand what has to be done to a coroutine of its own"
)]
pub struct Refused;

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        Self::other(refused)
    }
}

/// A plain thread that waits.
struct ThreadWait {
    word: WaitWord,
    thread: Thread,
}

impl ThreadWait {
    /// The calling thread's.
    fn of_thread() -> Arc<Self> {
        thread_local! {
            static WAIT: OnceCell<Arc<ThreadWait>> = const { OnceCell::new() };
        }
        let new = || {
            Arc::new(Self {
                word: WaitWord::new(),
                thread: thread::current(),
            })
        };
        WAIT.with(|wait| wait.get_or_init(new).clone())
    }

    #[cold]
    fn begin() -> (Epoch, Arc<Self>) {
        let waiter = Self::of_thread();
        (waiter.word.begin(), waiter)
    }
}

/// A coroutine, a thread, or the listener of a future, which has no word: the listener itself hears once only.
type Target = OneOf<CoroRef, Arc<ThreadWait>, Arc<Listener>>;

/// The right to end one particular wait. Public only because a sealed trait of `select!` names it.
pub struct Waiter {
    target: Target,
    epoch: Epoch,
}

impl Waiter {
    /// Ends the wait with a grant and queues the waiter to run. False: the wait is over already, by an interrupt or by
    /// another waker; the grant is for the next in line.
    #[inline]
    pub(crate) fn wake(self) -> bool {
        match self.target.take() {
            Which::First(coroutine) => worker::grant(coroutine, self.epoch),
            Which::Second(waiter) => {
                let granted = waiter.word.grant(self.epoch);
                if granted {
                    waiter.thread.unpark();
                }
                granted
            }
            Which::Third(listener) => {
                let waker = listener.tell();
                waker.map(Waker::wake).is_some()
            }
        }
    }
}

impl Waiter {
    /// What is told when this is woken, for a future.
    pub(crate) fn listener(listener: Arc<Listener>) -> Self {
        Self {
            target: Target::new(Which::Third(listener)),
            epoch: Epoch::none(),
        }
    }

    /// As [`Waiter::wake`], for a caller that holds a lock: a waker, which is foreign code, is left for later.
    pub(crate) fn wake_later(self, wakers: &mut Vec<Waker>) -> bool {
        let Self { target, epoch } = self;
        match target.take() {
            Which::Third(listener) => {
                let waker = listener.tell();
                let granted = waker.is_some();
                wakers.extend(waker);
                granted
            }
            other => {
                let target = Target::new(other);
                Self { target, epoch }.wake()
            }
        }
    }

    /// The right to end the same wait by another arm; see [`Wait::suspend_for_any`].
    pub(crate) fn for_arm(&self, arm: u8) -> Self {
        let target = self.target.with(|target| match target {
            Which::First(coroutine) => Which::First(coroutine.clone()),
            Which::Second(thread) => Which::Second(thread.clone()),
            Which::Third(listener) => Which::Third(listener.clone()),
        });
        Self {
            target: Target::new(target),
            epoch: self.epoch.with_arm(arm),
        }
    }

    /// The coroutine that it wakes, if it is one.
    pub(crate) fn coroutine(&self) -> Option<CoroRef> {
        self.target.with(|target| match target {
            Which::First(coroutine) => Some(coroutine.clone()),
            Which::Second(_) | Which::Third(_) => None,
        })
    }

    /// Is it the caller's own?
    pub(crate) fn is_own(&self) -> bool {
        self.target.with(|target| match target {
            Which::First(coroutine) => current::with(|current| {
                current.is_some_and(|current| current.head.id == coroutine.head.id)
            }),
            Which::Second(thread) => thread.thread.id() == thread::current().id(),
            Which::Third(_) => false,
        })
    }

    /// As [`Waiter::wake_later`], for the worker's loop: a coroutine of this worker goes straight to `ready`, which the
    /// loop has borrowed.
    #[inline]
    pub(crate) fn wake_on(
        self,
        ready: &mut VecDeque<CoroRef>,
        wakers: &RefCell<Vec<Waker>>,
        cause: Cause,
    ) -> bool {
        let Self { target, epoch } = self;
        match target.take() {
            Which::First(coroutine) if worker::is_home(&coroutine) => {
                let granted = coroutine.head.word.grant_at_home(epoch);
                if granted {
                    if hooks::is_on() {
                        hooks::woken(&coroutine.head, cause);
                    }
                    ready.push_back(coroutine);
                }
                granted
            }
            other => {
                let target = Target::new(other);
                Self { target, epoch }.wake_later(&mut wakers.borrow_mut())
            }
        }
    }
}

/// Which of the things that a wait was for was granted. A word, for the same reason as an [`Interrupt`]'s cause.
pub(crate) type Arm = usize;

/// What a wait came to.
#[derive(Debug)]
#[must_use]
pub(crate) enum Outcome {
    Granted,
    /// Nothing was granted, and nothing will be: the waiter's place may be given up.
    Interrupted(Interrupt),
}

impl Outcome {
    fn of(ending: Result<Arm, Interrupt>) -> Self {
        match ending {
            Ok(_) => Self::Granted,
            Err(interrupt) => Self::Interrupted(interrupt),
        }
    }
}

/// A wait that was prepared and must be gone through with.
#[must_use]
pub(crate) struct Wait {
    epoch: Epoch,
    object: usize,
    kind: WaitKind,
    masked: bool,
}

/// Begins a wait of the caller for `object`, an address or a number.
///
/// # Errors
/// [`Refused`], where [`nothing_may_wait`].
#[inline(always)]
pub(crate) fn prepare(kind: WaitKind, object: usize) -> Result<(Wait, Waiter), Refused> {
    begin(kind, object, false)
}

/// As [`prepare`], but the wait takes no interrupts.
pub(crate) fn wait_masked(kind: WaitKind, object: usize) -> Result<(Wait, Waiter), Refused> {
    begin(kind, object, true)
}

/// Does the caller unwind, or is it told of a switch? Then a call that would have to wait is refused.
#[inline]
pub(crate) fn nothing_may_wait() -> bool {
    thread::panicking() || observe::is_calling()
}

#[inline(always)]
fn begin(kind: WaitKind, object: usize, masked: bool) -> Result<(Wait, Waiter), Refused> {
    if thread::panicking() {
        return Err(Refused);
    }
    let coroutine: Option<CoroRef> = current::with(|coroutine| {
        let coroutine = coroutine?;
        let spare = worker::with(|worker| worker?.spare(coroutine));
        Some(spare.unwrap_or_else(|| coroutine.clone()))
    });
    let (epoch, target) = match coroutine {
        Some(coroutine) => (coroutine.head.word.begin(), Which::First(coroutine)),
        None if observe::is_calling() => return Err(Refused),
        None => {
            let (epoch, thread) = ThreadWait::begin();
            (epoch, Which::Second(thread))
        }
    };
    let target = Target::new(target);
    let wait = Wait {
        epoch,
        object,
        kind,
        masked,
    };
    Ok((wait, Waiter { target, epoch }))
}

impl Wait {
    /// Suspends the coroutine (blocks the thread) until the wait is over. Call it with no lock held. A grant that came
    /// first always wins over an interrupt.
    #[inline]
    pub(crate) fn suspend(self) -> Outcome {
        Outcome::of(self.suspend_for_any(None))
    }

    /// As [`Wait::suspend`], for a lock that has an owner: the search for deadlocks looks who that is.
    pub(crate) fn suspend_behind(self, owner: &Owner) -> Outcome {
        Outcome::of(if crate::context::is_coroutine() {
            self.suspend_coroutine(Some(owner.word()))
        } else {
            self.block_thread(&ThreadWait::of_thread(), None)
        })
    }

    /// As [`Wait::suspend`], and says by which arm it was granted. A plain thread, which has no timers, also takes the
    /// grant of `alarm`: an arm, and the time (by [`worker::now`]) at which it grants.
    #[inline]
    pub(crate) fn suspend_for_any(self, alarm: Option<(u8, u64)>) -> Result<Arm, Interrupt> {
        if crate::context::is_coroutine() {
            self.suspend_coroutine(None)
        } else {
            self.block_thread(&ThreadWait::of_thread(), alarm)
        }
    }

    /// Gives the wait up instead of going through with it. Fails if it has been granted: by which arm.
    pub(crate) fn cancel(self, waiter: &Waiter) -> Result<(), Arm> {
        let (cancelled, ending) = waiter.target.with(|target| {
            let word = match target {
                Which::First(coroutine) => &coroutine.head.word,
                Which::Second(thread) => &thread.word,
                Which::Third(_) => unreachable!("no `Wait` belongs to a listener"),
            };
            let cancelled = word.grant(self.epoch);
            let ending = word.ending();
            // What is due is raised by the next call: an interrupt is a fact, and does not get lost.
            word.end();
            (cancelled, ending)
        });
        match ending {
            Some(Ending::Granted(arm)) if !cancelled => Err(arm.into()),
            _ => Ok(()),
        }
    }

    fn suspend_coroutine(&self, lent: Option<&AtomicU64>) -> Result<Arm, Interrupt> {
        if let Some(interrupt) =
            current::with(|coroutine| self.look_before(coroutine.expect("prepared in a coroutine")))
        {
            return Err(interrupt);
        }
        leave(Next::Wait, lent);
        current::with(|coroutine| {
            let head = &coroutine.expect("resumed").head;
            let ending = head.word.ending().expect("only an ended wait is resumed");
            head.word.end();
            match ending {
                Ending::Granted(arm) => Ok(arm.into()),
                Ending::Interrupted => {
                    let cause = head.own.get().scopes.due(head.is_interrupted());
                    Err(Interrupt::new(cause.expect("an interrupt has a cause")))
                }
            }
        })
    }

    /// Ends the wait before it begins, if an interrupt is due; otherwise leaves word of what is waited for.
    #[inline]
    fn look_before(&self, coroutine: &CoroRef) -> Option<Interrupt> {
        let head = &coroutine.head;
        let own = head.own.get();
        if !self.masked {
            arm_scopes(coroutine);
            if let Some(cause) = own.scopes.due(head.is_interrupted())
                && head.word.interrupt(self.epoch)
            {
                head.word.end();
                return Some(Interrupt::new(cause));
            }
        }
        own.masked.set(self.masked);
        own.scopes.suspended();
        head.waits_for.store(self.kind as u8, Ordering::Relaxed);
        head.waits_on.store(self.object, Ordering::Relaxed);
        None
    }

    #[cold]
    fn block_thread(
        &self,
        waiter: &ThreadWait,
        alarm: Option<(u8, u64)>,
    ) -> Result<Arm, Interrupt> {
        loop {
            match waiter.word.ending() {
                Some(Ending::Granted(arm)) => {
                    waiter.word.end();
                    return Ok(arm.into());
                }
                Some(Ending::Interrupted) => {
                    unreachable!("only its own thread interrupts it, below")
                }
                None => {}
            }
            let due = if self.masked {
                Ok(None)
            } else {
                interrupt::of_thread()
            };
            let left = match due {
                Ok(left) => left,
                Err(interrupt) => {
                    if waiter.word.interrupt(self.epoch) {
                        waiter.word.end();
                        return Err(interrupt);
                    }
                    continue;
                }
            };
            let rings = alarm.map(|(arm, time)| (arm, time.saturating_sub(worker::now())));
            match (left, rings) {
                // It may fail: then something else was granted first.
                (_, Some((arm, 0))) => _ = waiter.word.grant(self.epoch.with_arm(arm)),
                (None, None) => thread::park(),
                (left, rings) => {
                    let rings = rings.map(|(_, nanos)| Duration::from_nanos(nanos));
                    thread::park_timeout(left.into_iter().chain(rings).min().unwrap_or_default());
                }
            }
        }
    }
}

/// Before every suspension: the timeouts that the coroutine is in must be able to fire meanwhile.
#[inline]
fn arm_scopes(coroutine: &CoroRef) {
    coroutine
        .head
        .own
        .get()
        .scopes
        .arm(worker::now, |deadline, scope| {
            worker::with(|worker| {
                worker.expect("a coroutine has a worker").arm_scope(
                    deadline,
                    coroutine.clone(),
                    scope,
                )
            })
        });
}

/// Every suspension goes through here: the registry, the accounting and the interrupts rely on it.
#[inline]
fn leave(next: Next, lent: Option<&AtomicU64>) {
    worker::with(|worker| worker.expect("a coroutine has a worker").set_next(next));
    current::suspend(lent);
}

/// Lets the other coroutines run. **May suspend.**
///
/// The caller goes to the end of the queue; the worker still looks after I/O and timers, however many coroutines yield.
/// On a plain thread this is [`std::thread::yield_now`].
pub fn yield_now() {
    let suspends = crate::context::is_coroutine() && !thread::panicking();
    if suspends {
        current::with(|coroutine| arm_scopes(coroutine.expect("on a coroutine's stack")));
    }
    check_interrupt();
    if suspends {
        leave(Next::Again, None);
    } else if !crate::context::is_coroutine() {
        thread::yield_now();
    }
}

/// Lets the others run, and the poller see to theirs, before the caller goes on. Takes no interrupts.
pub(crate) fn through_poller() {
    if crate::context::is_coroutine() && !thread::panicking() {
        // A loop of calls that never have to wait has no other occasion for it.
        current::with(|coroutine| arm_scopes(coroutine.expect("on a coroutine's stack")));
        leave(Next::AfterPoll, None);
    }
}
