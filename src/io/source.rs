//! A descriptor that coroutines and threads may wait for.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use parking_lot::Mutex;

use super::closed::Closed;
use super::poller::{Direction, Registration, Simulated, Slot};
use super::thread::{self, Bell};
use super::turn::{Turn, Turns};
use super::{WaitKind, system};
use crate::sched::wait::{self, Outcome, Refused, check_interrupt};
use crate::sched::{runtime, worker};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Read,
    Write,
}

/// A non-blocking descriptor. Registered lazily with the poller of the worker that first has to wait; leaves the poller
/// before it is closed.
pub(crate) struct Source<T: AsFd> {
    /// Set with `place` locked. Dropped first, as `place` is: the descriptor leaves the poller before `io` closes it.
    registration: OnceLock<Registration>,
    place: Mutex<Place>,
    pub(super) readers: Turns,
    pub(super) writers: Turns,
    /// The latest read took all that was there: there is no point in trying again before the next event. Only whoever has
    /// the turn to read touches it.
    pub(super) drained: AtomicBool,
    /// Set once, with `place` locked. `io` then refers to a descriptor that refuses everything, so only what failed, or
    /// would wait, has to look here.
    closed: AtomicBool,
    pub(super) io: T,
}

/// Where those who wait are found.
#[derive(Default)]
struct Place {
    /// In place of the first registration, whose runtime has ended.
    later: Option<Box<Registration>>,
    /// Of the plain threads that wait.
    bells: Vec<Arc<Bell>>,
}

/// A [`Slot`], as long as the source lives.
pub(super) enum SlotRef<'a> {
    First(&'a Slot),
    Later(Arc<Slot>),
}

impl std::ops::Deref for SlotRef<'_> {
    type Target = Slot;

    #[inline]
    fn deref(&self) -> &Slot {
        match self {
            Self::First(slot) => slot,
            Self::Later(slot) => slot,
        }
    }
}

/// A byte stream, as [`Source::read_stream`] must know it.
pub(crate) trait Stream: AsFd {
    /// A read that gives less than was asked for has taken all that was there.
    const SHORT_IS_ALL: bool;
}

impl Stream for std::net::TcpStream {
    // But for urgent data, of which the poller tells.
    const SHORT_IS_ALL: bool = cfg!(target_os = "linux");
}

impl Stream for std::os::unix::net::UnixStream {
    // A read also stops where descriptors were sent along.
    const SHORT_IS_ALL: bool = false;
}

impl<T: AsFd> Source<T> {
    pub(crate) fn new(io: T) -> Self {
        Self {
            registration: OnceLock::new(),
            place: Mutex::default(),
            readers: Turns::default(),
            writers: Turns::default(),
            drained: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            io,
        }
    }

    /// One that is no descriptor, but a socket of this worker's simulation.
    pub(crate) fn simulated(io: T, by: Arc<dyn Simulated>, slot: Arc<Slot>) -> Self {
        let source = Self::new(io);
        let reactor = worker::with(|worker| worker.map(|worker| &worker.mine().reactor));
        let reactor = reactor.expect("a simulated socket is made in its simulation");
        let registration = Registration::simulated(reactor, by, slot);
        source.registration.get_or_init(|| registration);
        source
    }

    pub(super) fn as_simulated(&self) -> Option<&dyn Simulated> {
        self.registration.get()?.as_simulated()
    }

    pub(crate) fn get_ref(&self) -> &T {
        &self.io
    }

    /// The descriptor, out of the poller.
    pub(crate) fn into_inner(self) -> T {
        let Self {
            registration,
            place,
            io,
            ..
        } = self;
        drop(registration);
        drop(place);
        io
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// As [`Source::get_ref`], for a call of its own.
    ///
    /// # Errors
    /// [`Closed`].
    pub(crate) fn live(&self) -> io::Result<&T> {
        if self.is_closed() {
            return Err(Closed.into());
        }
        Ok(&self.io)
    }

    /// Closes the descriptor under its owners' hands: who waits is woken, and every call fails from now on. The number
    /// itself is free once the owner drops it. Never suspends.
    ///
    /// # Errors
    /// `EMFILE`, and nothing has happened. It may come only from the first such call of the process.
    pub(crate) fn close(&self) -> io::Result<()>
    where
        T: Into<OwnedFd>,
    {
        let dead = system::dead()?;
        let place = self.place.lock();
        if self.is_closed() {
            return Ok(());
        }
        self.closed.store(true, Ordering::Release);
        let registrations = self.registration.get().into_iter();
        let registrations = registrations.chain(place.later.as_deref());
        registrations.clone().for_each(Registration::leave);
        let first = self.registration.get();
        let replaced = match first.and_then(|it| Some((&it.slot, it.as_simulated()?))) {
            Some((slot, simulated)) => {
                simulated.close(slot);
                Ok(())
            }
            None => system::replace(self.io.as_fd(), dead),
        };
        Direction::before_events();
        let mut wakers = Vec::new();
        for registration in registrations {
            registration.slot.tell(&mut wakers);
        }
        place.bells.iter().for_each(|bell| bell.ring());
        self.readers.close();
        self.writers.close();
        drop(place);
        wakers.into_iter().for_each(Waker::wake);
        replaced
    }

    /// A second handle, made by `duplicate`.
    pub(crate) fn try_clone_with(
        &self,
        duplicate: impl FnOnce(&T) -> io::Result<T>,
    ) -> io::Result<Self> {
        let other = duplicate(&self.io)?;
        // Asked after the fact, lest it is the other's end that was duplicated.
        self.live()?;
        // It shares our file description and so is non-blocking already.
        Ok(Self::new(other))
    }

    /// Runs `op` until it gives something other than `WouldBlock`, and suspends in between. `EINTR` is retried. Others
    /// that read meanwhile queue behind, first come, first served. Raises interrupts that are due. **May suspend.**
    #[inline]
    pub(crate) fn read_with<R>(
        &self,
        kind: WaitKind,
        op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        check_interrupt();
        let _turn = self.turn(Way::Read)?;
        self.drained.store(false, Ordering::Relaxed);
        self.repeat(Way::Read, kind, op)
    }

    /// As [`Source::read_with`], for a read of at most `len` bytes from a stream: what is known to be empty is not tried
    /// again before the poller has heard of it. **May suspend.**
    #[inline]
    pub(crate) fn read_stream(
        &self,
        len: usize,
        op: impl FnMut(&T) -> io::Result<usize>,
    ) -> io::Result<usize>
    where
        T: Stream,
    {
        check_interrupt();
        let _turn = self.turn(Way::Read)?;
        if T::SHORT_IS_ALL && self.drained.load(Ordering::Relaxed) {
            self.drained.store(false, Ordering::Relaxed);
            if crate::context::is_coroutine() {
                self.wait(Way::Read, WaitKind::Read)?;
            }
        }
        let count = self.repeat(Way::Read, WaitKind::Read, op)?;
        // A short read has taken all there was; whatever comes later makes a new event. Not so after the peer's end.
        if T::SHORT_IS_ALL
            && count > 0
            && count < len
            && self
                .registered()
                .is_some_and(|slot| !slot.short_means_nothing.load(Ordering::Acquire))
        {
            self.drained.store(true, Ordering::Relaxed);
        }
        Ok(count)
    }

    /// Waits until there may be something to read, if the stream is known to be empty. **May suspend.**
    #[inline]
    pub(crate) fn wait_if_drained(&self) -> io::Result<()>
    where
        T: Stream,
    {
        check_interrupt();
        if !T::SHORT_IS_ALL
            || !self.drained.load(Ordering::Relaxed)
            || !crate::context::is_coroutine()
        {
            return Ok(());
        }
        let _turn = self.turn(Way::Read)?;
        self.drained.store(false, Ordering::Relaxed);
        self.wait(Way::Read, WaitKind::Read)
    }

    /// As [`Source::read_with`], in the other direction. **May suspend.**
    #[inline]
    pub(crate) fn write_with<R>(
        &self,
        kind: WaitKind,
        op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        check_interrupt();
        let _turn = self.turn(Way::Write)?;
        self.repeat(Way::Write, kind, op)
    }

    /// As [`Source::write_with`], for an `op` that never suspends by itself. **May suspend.**
    #[inline]
    pub(crate) fn write_stream(
        &self,
        mut op: impl FnMut(&T) -> io::Result<usize>,
    ) -> io::Result<usize> {
        check_interrupt();
        // While nobody waits there is no line to stand in.
        if self.writers.are_free() {
            match op(&self.io) {
                Err(error) if is_temporary(&error) => {}
                Err(error) => return Err(self.explain(error)),
                Ok(count) => {
                    share_the_worker();
                    return Ok(count);
                }
            }
        }
        let _turn = self.turn(Way::Write)?;
        self.repeat(Way::Write, WaitKind::Write, op)
    }

    /// Waits until the descriptor is readable; it may return without that being so. **May suspend.**
    pub(crate) fn wait_readable(&self, kind: WaitKind) -> io::Result<()> {
        check_interrupt();
        let _turn = self.turn(Way::Read)?;
        self.drained.store(false, Ordering::Relaxed);
        self.wait(Way::Read, kind)
    }

    /// Waits until the descriptor is writable; it may return without that being so. **May suspend.**
    pub(crate) fn wait_writable(&self, kind: WaitKind) -> io::Result<()> {
        check_interrupt();
        let _turn = self.turn(Way::Write)?;
        self.wait(Way::Write, kind)
    }

    #[inline]
    pub(super) fn turn(&self, way: Way) -> Result<Turn<'_>, Refused> {
        let turns = match way {
            Way::Read => &self.readers,
            Way::Write => &self.writers,
        };
        turns.take(self.number())
    }

    /// The turn, if nobody has it; whoever reads will not rely on an earlier short read.
    pub(super) fn try_turn(&self, way: Way) -> Option<Turn<'_>> {
        match way {
            Way::Read => {
                let turn = self.readers.try_take()?;
                self.drained.store(false, Ordering::Relaxed);
                Some(turn)
            }
            Way::Write => self.writers.try_take(),
        }
    }

    #[inline]
    fn repeat<R>(
        &self,
        way: Way,
        kind: WaitKind,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let mut waited = false;
        loop {
            match op(&self.io) {
                Ok(value) => {
                    if !waited {
                        share_the_worker();
                    }
                    return Ok(value);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(way, kind)?;
                    waited = true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.explain(error)),
            }
        }
    }

    /// One attempt, with no turn taken and no wait. Only `EINTR` is retried.
    pub(crate) fn attempt<R>(&self, mut op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        loop {
            match op(&self.io) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map_err(|error| self.explain(error)),
            }
        }
    }

    #[cold]
    pub(super) fn explain(&self, error: io::Error) -> io::Error {
        if self.is_closed() {
            Closed.into()
        } else {
            error
        }
    }

    fn number(&self) -> usize {
        self.io.as_fd().as_raw_fd() as usize
    }

    /// The place in a poller, if there is one.
    #[inline]
    pub(super) fn registered(&self) -> Option<SlotRef<'_>> {
        let first = self.registration.get()?;
        if !first.is_dead() {
            return Some(SlotRef::First(&first.slot));
        }
        let place = self.place.lock();
        let later = place.later.as_ref().filter(|later| !later.is_dead());
        later.map(|later| SlotRef::Later(later.slot.clone()))
    }

    /// The place in a poller; taken now, with the current worker's (on a plain thread, some worker's), if there is none.
    pub(super) fn slot(&self) -> io::Result<SlotRef<'_>> {
        if let Some(slot) = self.registered() {
            self.live()?;
            return Ok(slot);
        }
        let mut place = self.place.lock();
        self.live()?;
        // The old one, of a runtime that has ended, goes first: both would be for the same descriptor.
        place.later = place.later.take().filter(|later| !later.is_dead());
        if let Some(later) = &place.later {
            return Ok(SlotRef::Later(later.slot.clone()));
        }
        let register = || loop {
            let reactor = worker::with(|worker| worker.map(|worker| &worker.mine().reactor))
                .unwrap_or_else(|| &runtime::here().workers[0].reactor);
            match reactor.register(self.io.as_fd().as_raw_fd()) {
                // The runtime has just ended; there is another, or will be.
                Err(_) if reactor.is_closed() => {}
                registered => return registered,
            }
        };
        match self.registration.get() {
            Some(first) if first.is_dead() => {
                let later = register()?;
                let slot = later.slot.clone();
                place.later = Some(Box::new(later));
                Ok(SlotRef::Later(slot))
            }
            // Somebody else has just registered it.
            Some(first) => Ok(SlotRef::First(&first.slot)),
            None => {
                let registration = register()?;
                let first = self.registration.get_or_init(|| registration);
                Ok(SlotRef::First(&first.slot))
            }
        }
    }

    /// Waits for readiness, with the turn taken. **May suspend.**
    pub(super) fn wait(&self, way: Way, kind: WaitKind) -> io::Result<()> {
        if !crate::context::is_coroutine() {
            return self.block_thread(way);
        }
        let slot = match self.slot() {
            // No poller watches it: it is always ready, as `poll(2)` says too.
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                check_interrupt();
                wait::through_poller();
                return Ok(());
            }
            slot => slot?,
        };
        let direction = slot.direction(way);
        let wait = direction.take_or_wait(|| wait::prepare(kind, self.number()))?;
        if let Some(Outcome::Interrupted(interrupt)) = wait.map(wait::Wait::suspend) {
            direction.withdraw();
            interrupt.raise();
        }
        self.live()?;
        Ok(())
    }

    #[cold]
    fn block_thread(&self, way: Way) -> io::Result<()> {
        if self.as_simulated().is_some() {
            return Err(NotOfThreads.into());
        }
        let bell = Bell::of_thread();
        let _hung = match &bell {
            Some(bell) => Some(self.hang(bell)?),
            None => None,
        };
        thread::wait(self.io.as_fd(), way, bell.as_deref())?;
        self.live()?;
        Ok(())
    }

    /// Puts up a thread's bell for as long as it waits.
    fn hang<'a>(&'a self, bell: &'a Arc<Bell>) -> io::Result<Hung<'a>> {
        let mut place = self.place.lock();
        self.live()?;
        place.bells.push(bell.clone());
        Ok(Hung {
            place: &self.place,
            closed: &self.closed,
            bell,
        })
    }
}

/// A bell that is taken down when this is dropped, however the wait ends.
struct Hung<'a> {
    place: &'a Mutex<Place>,
    closed: &'a AtomicBool,
    bell: &'a Arc<Bell>,
}

impl Drop for Hung<'_> {
    fn drop(&mut self) {
        let mut place = self.place.lock();
        place.bells.retain(|bell| !Arc::ptr_eq(bell, self.bell));
        let rung = self.closed.load(Ordering::Acquire);
        drop(place);
        if rung {
            self.bell.silence();
        }
    }
}

/// A simulated socket was used by a plain thread, or by a coroutine of another runtime.
#[derive(Debug, thiserror::Error)]
#[error("this socket is simulated: only the coroutines of its simulation can use it")]
pub(crate) struct NotOfThreads;

impl From<NotOfThreads> for io::Error {
    fn from(error: NotOfThreads) -> Self {
        Self::new(io::ErrorKind::Unsupported, error)
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// After many calls in a row that did not have to wait, lets the others and the poller have a turn.
#[inline]
pub(crate) fn share_the_worker() {
    if worker::with(|worker| worker.is_some_and(worker::Worker::is_selfish)) {
        wait::through_poller();
    }
}
