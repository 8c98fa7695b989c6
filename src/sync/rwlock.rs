//! Shared or exclusive access, in order of arrival.

use super::wait_queue::{Ticket, WaitQueue, WaitStatistics};
use super::{address, refuse};
use crate::CoroutineId;
use crate::sched::owner::Owner;
use crate::sched::wait::{self, Outcome, Wait, WaitKind};
use std::fmt;
use std::ops::{Deref, DerefMut};

/// A lock that many may hold to read, or one to write.
///
/// First come, first served: once a writer waits, readers that come later wait behind it, and when a writer lets
/// go, all readers up to the next writer go together. So neither kind can starve the other. It follows that a
/// coroutine which already reads must not ask to read again: a writer that came in between would wait for the
/// first, and the second for the writer. Nor can a reader become a writer without letting go.
///
/// There is no poisoning: see [`Mutex`](super::Mutex). Plain threads may lock it as well.
///
/// ```
/// use grapeshot::sync::RwLock;
///
/// grapeshot::run(|| {
///     let route = RwLock::new(vec!["Genoa"]);
///     {
///         let one = route.read();
///         assert_eq!(one.len(), 1);
///     }
///     route.write().push("Tunis");
///     assert_eq!(*route.read(), ["Genoa", "Tunis"]);
/// });
/// ```
pub struct RwLock<T: ?Sized> {
    gate: Gate,
    /// Locked only by those whom `gate` let in, so always free for them.
    data: parking_lot::RwLock<T>,
}

struct Gate {
    state: parking_lot::Mutex<State>,
    /// The writer that is in. Readers are many, and not known.
    owner: Owner,
}

/// Between two calls: the first in line cannot be let in.
struct State {
    readers: usize,
    /// A writer is in; `readers` is 0 then.
    writer: bool,
    queue: WaitQueue<Access>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// What a [`RwLock`] says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RwLockStatistics {
    /// Readers that hold it now.
    pub readers: usize,
    /// Whether a writer holds it now.
    pub writer: bool,
    /// How much it has been waited for, by readers and writers together.
    pub wait: WaitStatistics,
}

/// Shared access to what a [`RwLock`] protects, until it is dropped.
#[must_use = "the lock is released when the guard is dropped"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    // The order matters: the data is let go first, only then may the gate let the next one in.
    data: parking_lot::RwLockReadGuard<'a, T>,
    _pass: ReadPass<'a>,
}

/// Exclusive access to what a [`RwLock`] protects, until it is dropped.
#[must_use = "the lock is released when the guard is dropped"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    data: parking_lot::RwLockWriteGuard<'a, T>,
    pass: WritePass<'a>,
}

struct ReadPass<'a>(&'a Gate);
struct WritePass<'a>(&'a Gate);

impl<T> RwLock<T> {
    /// A lock that nobody holds.
    pub const fn new(value: T) -> Self {
        let state = State {
            readers: 0,
            writer: false,
            queue: WaitQueue::new(),
        };
        Self {
            gate: Gate {
                state: parking_lot::Mutex::new(state),
                owner: Owner::nobody(),
            },
            data: parking_lot::RwLock::new(value),
        }
    }

    /// The value, out of its lock.
    pub fn into_inner(self) -> T {
        self.data.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Takes the lock to read; waits while a writer holds it or waits for it. **May suspend.**
    ///
    /// # Panics
    /// If it would have to wait and the caller is unwinding; see [`Mutex::lock`](super::Mutex::lock).
    #[track_caller]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        wait::check_interrupt();
        self.gate.enter(Access::Read, address(self));
        self.read_guard()
    }

    /// Takes the lock to write; waits while anyone holds it. **May suspend.**
    ///
    /// # Panics
    /// If it would have to wait and the caller is unwinding; see [`Mutex::lock`](super::Mutex::lock).
    #[track_caller]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        wait::check_interrupt();
        self.gate.enter(Access::Write, address(self));
        self.write_guard()
    }

    /// Takes the lock to read if [`read`](Self::read) would not have to wait.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        let entered = self.gate.state.lock().try_enter(Access::Read);
        entered.then(|| self.read_guard())
    }

    /// Takes the lock to write if [`write`](Self::write) would not have to wait.
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        let entered = self.gate.state.lock().try_enter(Access::Write);
        entered.then(|| self.write_guard())
    }

    /// The value; no lock is needed, since nobody else can see it.
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }

    /// The coroutine that has it to write, if one does: to be shown, as another may have it a moment later. Never
    /// suspends. `None` for a plain thread too, and for readers.
    pub fn written_by(&self) -> Option<CoroutineId> {
        self.gate.owner.id()
    }

    /// Who holds the lock, and how much it has been waited for.
    pub fn statistics(&self) -> RwLockStatistics {
        let state = self.gate.state.lock();
        RwLockStatistics {
            readers: state.readers,
            writer: state.writer,
            wait: state.queue.statistics(),
        }
    }

    fn read_guard(&self) -> RwLockReadGuard<'_, T> {
        RwLockReadGuard {
            data: self.data.read(),
            _pass: ReadPass(&self.gate),
        }
    }

    fn write_guard(&self) -> RwLockWriteGuard<'_, T> {
        self.gate.owner.enter();
        RwLockWriteGuard {
            data: self.data.write(),
            pass: WritePass(&self.gate),
        }
    }
}

impl Gate {
    #[track_caller]
    fn enter(&self, access: Access, object: usize) {
        let mut state = self.state.lock();
        if state.try_enter(access) {
            return;
        }
        let Ok((wait, waiter)) = wait::prepare(access.wait_kind(), object) else {
            drop(state);
            match access {
                Access::Read => refuse("RwLock::read", "try_read"),
                Access::Write => refuse("RwLock::write", "try_write"),
            }
        };
        let ticket = state.queue.push(waiter, access);
        drop(state);
        self.sit_out(wait, ticket);
    }

    fn sit_out(&self, wait: Wait, ticket: Ticket) {
        if let Outcome::Interrupted(interrupt) = wait.suspend_behind(&self.owner) {
            let mut state = self.state.lock();
            state.queue.withdraw(ticket);
            // A writer that gives up lets the readers behind it go.
            state.settle();
            drop(state);
            interrupt.raise();
        }
    }
}

impl Access {
    fn wait_kind(self) -> WaitKind {
        match self {
            Self::Read => WaitKind::RwLockRead,
            Self::Write => WaitKind::RwLockWrite,
        }
    }
}

impl State {
    fn admits(&self, access: Access) -> bool {
        !self.writer && (access == Access::Read || self.readers == 0)
    }

    fn admit(&mut self, access: Access) {
        match access {
            Access::Read => self.readers += 1,
            Access::Write => self.writer = true,
        }
    }

    fn try_enter(&mut self, access: Access) -> bool {
        let free = self.queue.is_empty() && self.admits(access);
        if free {
            self.admit(access);
        }
        free
    }

    /// Lets in whom it can, from the front of the line.
    fn settle(&mut self) {
        while let Some(&access) = self.queue.front() {
            if !self.admits(access) {
                break;
            }
            if self.queue.grant_front().is_some() {
                self.admit(access);
            }
        }
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Goes on as a reader; no other writer comes in between, and readers at the front of the line come in too.
    pub fn downgrade(self) -> RwLockReadGuard<'a, T> {
        let Self { data, pass } = self;
        let gate = pass.0;
        let data = parking_lot::RwLockWriteGuard::downgrade(data);
        // Now one reader is in and the data is shared: say so, instead of leaving as a writer.
        std::mem::forget(pass);
        gate.owner.leave();
        let mut state = gate.state.lock();
        state.writer = false;
        state.readers = 1;
        state.settle();
        drop(state);
        RwLockReadGuard {
            data,
            _pass: ReadPass(gate),
        }
    }
}

impl Drop for ReadPass<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.readers -= 1;
        state.settle();
    }
}

impl Drop for WritePass<'_> {
    fn drop(&mut self) {
        self.0.owner.leave();
        let mut state = self.0.state.lock();
        state.writer = false;
        state.settle();
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.data
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.data
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.data
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("RwLock");
        match self.try_read() {
            Some(guard) => out.field("data", &&*guard),
            None => out.field("data", &format_args!("<locked>")),
        };
        out.finish_non_exhaustive()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
