//! Mutual exclusion, handed from owner to owner in order of arrival.

use super::wait_queue::{WaitQueue, WaitStatistics};
use super::{address, refuse};
use crate::CoroutineId;
use crate::context::{SpinGuard, SpinMutex};
use crate::registry::lints::LockId;
use crate::sched::hooks;
use crate::sched::owner::Owner;
use crate::sched::wait::{self, Outcome, Refused, Wait, WaitKind, Waiter};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::atomic::{AtomicU8, Ordering};

/// Somebody owns the mutex, or it is on its way to somebody.
const LOCKED: u8 = 1;
/// The owner must look at the queue when it lets go. Never set without `LOCKED`, and only under the queue's lock.
const WAITERS: u8 = 2;

/// A mutual exclusion lock whose `lock` suspends the coroutine, not its worker.
///
/// First come, first served: the owner that lets go hands the mutex to the one who has waited longest, and
/// nobody can take it in between. Recursive locking waits for itself, for ever;
/// [`deadlocks`](crate::registry::deadlocks) finds that, and other circles.
///
/// There is no poisoning. A coroutine that is interrupted (or panics) while it holds the guard drops it as it
/// unwinds; what it was changing stays as it was left at that point.
///
/// Plain threads may lock it as well; they are blocked as by any other mutex.
///
/// ```
/// use grapeshot::sync::Mutex;
/// use std::sync::Arc;
///
/// grapeshot::run(|| {
///     let hits = Arc::new(Mutex::new(0));
///     let counters: Vec<_> = (0..10)
///         .map(|_| {
///             let hits = Arc::clone(&hits);
///             grapeshot::spawn(move || *hits.lock() += 1)
///         })
///         .collect();
///     for counter in counters {
///         counter.join().unwrap();
///     }
///     assert_eq!(*hits.lock(), 10);
/// });
/// ```
pub struct Mutex<T: ?Sized> {
    gate: Gate,
    /// Locked only by the owner of `gate`, so always free for it. It is here because it turns ownership into
    /// `&mut T` without a line of unsafe code.
    data: SpinMutex<T>,
}

/// The right to the data: who owns it, and who is next.
struct Gate {
    word: AtomicU8,
    /// For whoever watches closely.
    id: LockId,
    owner: Owner,
    queue: SpinMutex<WaitQueue<()>>,
}

/// Access to what a [`Mutex`] protects, until it is dropped.
#[must_use = "the mutex is unlocked when the guard is dropped"]
pub struct MutexGuard<'a, T: ?Sized> {
    // The order matters: the data is let go first, only then may the gate open for the next owner.
    data: SpinGuard<'a, T>,
    pass: Pass<'a, T>,
}

/// Opens the gate when dropped.
struct Pass<'a, T: ?Sized>(&'a Mutex<T>);

impl<T> Mutex<T> {
    /// A mutex that nobody owns.
    pub const fn new(value: T) -> Self {
        let gate = Gate {
            word: AtomicU8::new(0),
            id: LockId::none(),
            owner: Owner::nobody(),
            queue: SpinMutex::new(WaitQueue::new()),
        };
        Self {
            gate,
            data: SpinMutex::new(value),
        }
    }

    /// The value, out of its mutex.
    pub fn into_inner(self) -> T {
        self.data.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the mutex; waits while somebody else owns it. **May suspend.**
    ///
    /// # Panics
    /// If the mutex is taken and the caller is unwinding: a destructor must not wait then. Use
    /// [`try_lock`](Self::try_lock) there, or give the cleanup to a coroutine of its own. (In a destructor that
    /// runs because of an unwinding, this second panic ends the process.)
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        wait::check_interrupt();
        if !self.gate.try_enter() {
            self.gate.enter_slowly(wait::prepare, address(self));
        }
        self.guard(true)
    }

    /// Takes the mutex if nobody owns it and nobody waits for it.
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        if !self.gate.try_enter() {
            return None;
        }
        Some(self.guard(false))
    }

    /// Takes the mutex, whatever interrupts there may be: for what must hold it before it may unwind or return.
    #[track_caller]
    pub(super) fn lock_masked(&self) -> MutexGuard<'_, T> {
        if !self.gate.try_enter() {
            self.gate.enter_slowly(wait::wait_masked, address(self));
        }
        self.guard(true)
    }

    /// Whether somebody owns the mutex at this moment.
    pub fn is_locked(&self) -> bool {
        self.gate.word.load(Ordering::Relaxed) & LOCKED != 0
    }

    /// The value; no lock is needed, since nobody else can see the mutex.
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }

    /// How much the mutex has been waited for.
    pub fn statistics(&self) -> WaitStatistics {
        self.gate.queue.lock().statistics()
    }

    /// The coroutine that has it, if one does: to be shown, as another may have it a moment later. Never suspends. `None`
    /// for a plain thread too.
    pub fn held_by(&self) -> Option<CoroutineId> {
        self.gate.owner.id()
    }

    /// For the owner of the gate only; `waits`: it would have waited.
    #[track_caller]
    fn guard(&self, waits: bool) -> MutexGuard<'_, T> {
        self.gate.owner.enter();
        if hooks::is_on() {
            hooks::locked(&self.gate.id, false, waits, Location::caller());
        }
        MutexGuard {
            data: self.data.lock(),
            pass: Pass(self),
        }
    }
}

impl Gate {
    // Without these the two halves of an uncontended lock would be calls into another crate.
    #[inline]
    fn try_enter(&self) -> bool {
        self.word
            .compare_exchange(0, LOCKED, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    #[cold]
    #[track_caller]
    fn enter_slowly(
        &self,
        prepare: impl FnOnce(WaitKind, usize) -> Result<(Wait, Waiter), Refused>,
        object: usize,
    ) {
        let mut queue = self.queue.lock();
        if self.announce_waiter() {
            return;
        }
        let Ok((wait, waiter)) = prepare(WaitKind::Mutex, object) else {
            // `WAITERS` without a waiter is harmless: whoever lets go looks, and finds nobody.
            drop(queue);
            refuse("Mutex::lock", "try_lock");
        };
        let ticket = queue.push(waiter, ());
        drop(queue);
        if let Outcome::Interrupted(interrupt) = wait.suspend_behind(&self.owner) {
            self.queue.lock().withdraw(ticket);
            interrupt.raise();
        }
    }

    /// With the queue locked: makes the owner look at the queue when it lets go, or, if it just has, takes the
    /// gate (true).
    fn announce_waiter(&self) -> bool {
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let free = seen & LOCKED == 0;
            let wanted = if free { LOCKED } else { seen | WAITERS };
            match self.word.compare_exchange_weak(
                seen,
                wanted,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return free,
                Err(now) => seen = now,
            }
        }
    }

    #[inline]
    fn leave(&self) {
        if hooks::is_on() {
            hooks::unlocked(&self.id);
        }
        self.owner.leave();
        if self
            .word
            .compare_exchange(LOCKED, 0, Ordering::Release, Ordering::Relaxed)
            .is_err()
        {
            self.hand_over();
        }
    }

    /// Gives the gate, closed as it is, to the first in line; opens it if there is none.
    #[cold]
    fn hand_over(&self) {
        let mut queue = self.queue.lock();
        let granted = queue.grant_first().is_some();
        if !granted {
            self.word.store(0, Ordering::Release);
        } else if queue.is_empty() {
            self.word.store(LOCKED, Ordering::Relaxed);
        }
    }
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// The mutex that this guard unlocks.
    pub(super) fn mutex(&self) -> &'a Mutex<T> {
        self.pass.0
    }
}

impl<T: ?Sized> Drop for Pass<'_, T> {
    fn drop(&mut self) {
        self.0.gate.leave();
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.data
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.data
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Mutex");
        match self.try_lock() {
            Some(guard) => out.field("data", &&*guard),
            None => out.field("data", &format_args!("<locked>")),
        };
        out.finish_non_exhaustive()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
