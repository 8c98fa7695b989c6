//! Shared or exclusive access, in order of arrival.

use super::wait_queue::{Ticket, WaitQueue, WaitStatistics};
use super::{address, refuse};
use crate::CoroutineId;
use crate::registry::lints::LockId;
use crate::sched::owner::Owner;
use crate::sched::wait::{self, Outcome, Wait, WaitKind};
use crate::sched::{current, hooks};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::Location;

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

/// Readers that are known at a time, at most.
const KNOWN: usize = 4;

struct Gate {
    state: parking_lot::Mutex<State>,
    /// The writer that is in, or one of the readers.
    owner: Owner,
    /// For whoever watches closely.
    id: LockId,
}

/// Between two calls: the first in line cannot be let in.
struct State {
    readers: usize,
    /// Those of them that are coroutines, by id, as far as there is room. 0: room.
    known: [u64; KNOWN],
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

/// With the reader's id, or 0.
struct ReadPass<'a>(&'a Gate, u64);
struct WritePass<'a>(&'a Gate);

impl<T> RwLock<T> {
    /// A lock that nobody holds.
    pub const fn new(value: T) -> Self {
        let state = State {
            readers: 0,
            known: [0; KNOWN],
            writer: false,
            queue: WaitQueue::new(),
        };
        Self {
            gate: Gate {
                state: parking_lot::Mutex::new(state),
                owner: Owner::nobody(),
                id: LockId::none(),
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
        self.read_guard(true)
    }

    /// Takes the lock to write; waits while anyone holds it. **May suspend.**
    ///
    /// # Panics
    /// If it would have to wait and the caller is unwinding; see [`Mutex::lock`](super::Mutex::lock).
    #[track_caller]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        wait::check_interrupt();
        self.gate.enter(Access::Write, address(self));
        self.write_guard(true)
    }

    /// Takes the lock to read if [`read`](Self::read) would not have to wait.
    #[track_caller]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        if !self.gate.try_enter(Access::Read) {
            return None;
        }
        Some(self.read_guard(false))
    }

    /// Takes the lock to write if [`write`](Self::write) would not have to wait.
    #[track_caller]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        if !self.gate.try_enter(Access::Write) {
            return None;
        }
        Some(self.write_guard(false))
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

    #[track_caller]
    fn read_guard(&self, waits: bool) -> RwLockReadGuard<'_, T> {
        if hooks::is_on() {
            hooks::locked(&self.gate.id, true, waits, Location::caller());
        }
        RwLockReadGuard {
            data: self.data.read(),
            _pass: ReadPass(&self.gate, reader()),
        }
    }

    #[track_caller]
    fn write_guard(&self, waits: bool) -> RwLockWriteGuard<'_, T> {
        self.gate.owner.enter();
        if hooks::is_on() {
            hooks::locked(&self.gate.id, false, waits, Location::caller());
        }
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
            self.note(&mut state, access);
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
        if access == Access::Read {
            self.note(&mut self.state.lock(), access);
        }
    }

    fn try_enter(&self, access: Access) -> bool {
        let mut state = self.state.lock();
        let entered = state.try_enter(access);
        if entered {
            self.note(&mut state, access);
        }
        entered
    }

    /// The caller is in: if it reads, that is for others to see.
    fn note(&self, state: &mut State, access: Access) {
        if access == Access::Read {
            state.change_known(0, reader());
            self.owner.share(state.known());
        }
    }

    #[inline]
    fn tell_left(&self) {
        if hooks::is_on() {
            hooks::unlocked(&self.id);
        }
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

/// The caller's id, or 0.
fn reader() -> u64 {
    current::with(|coroutine| coroutine.map_or(0, |it| it.head.id))
}

impl State {
    /// Replaces one place of the known readers, if there is such a one.
    fn change_known(&mut self, from: u64, to: u64) {
        if from != to
            && let Some(place) = self.known.iter_mut().find(|it| **it == from)
        {
            *place = to;
        }
    }

    /// One of the readers.
    fn known(&self) -> Option<u64> {
        self.known.into_iter().find(|it| *it != 0)
    }

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
        gate.note(&mut state, Access::Read);
        state.settle();
        drop(state);
        RwLockReadGuard {
            data,
            _pass: ReadPass(gate, reader()),
        }
    }
}

impl Drop for ReadPass<'_> {
    fn drop(&mut self) {
        self.0.tell_left();
        let mut state = self.0.state.lock();
        state.change_known(self.1, 0);
        self.0.owner.share(state.known());
        state.readers -= 1;
        state.settle();
    }
}

impl Drop for WritePass<'_> {
    fn drop(&mut self) {
        self.0.tell_left();
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
