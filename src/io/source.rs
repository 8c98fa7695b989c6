//! A descriptor that coroutines and threads may wait for.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec};

use super::WaitKind;
use super::poller::{Direction, Registration, Slot};
use super::turn::{Turn, Turns};
use crate::sched::interrupt;
use crate::sched::wait::{self, Outcome, Refused, check_interrupt};
use crate::sched::worker;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Read,
    Write,
}

/// A non-blocking descriptor. Registered lazily with the poller of the worker that first has to wait; leaves the poller
/// before it is closed.
pub(crate) struct Source<T: AsFd> {
    /// Dropped first: the descriptor leaves the poller before `io` closes it.
    registration: Mutex<Option<Arc<Registration>>>,
    readers: Turns,
    writers: Turns,
    /// The latest read took all that was there: there is no point in trying again before the next event.
    drained: AtomicBool,
    io: T,
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
            registration: Mutex::new(None),
            readers: Turns::default(),
            writers: Turns::default(),
            drained: AtomicBool::new(false),
            io,
        }
    }

    pub(crate) fn get_ref(&self) -> &T {
        &self.io
    }

    /// The descriptor, out of the poller.
    pub(crate) fn into_inner(self) -> T {
        let Self {
            registration, io, ..
        } = self;
        drop(registration);
        io
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
        if T::SHORT_IS_ALL
            && self.drained.load(Ordering::Relaxed)
            && self.drained.swap(false, Ordering::Relaxed)
            && crate::context::is_coroutine()
        {
            self.wait(Way::Read, WaitKind::Read)?;
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
    fn turn(&self, way: Way) -> Result<Turn<'_>, Refused> {
        let turns = match way {
            Way::Read => &self.readers,
            Way::Write => &self.writers,
        };
        turns.take(self.number())
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
                Err(error) => return Err(error),
            }
        }
    }

    fn number(&self) -> usize {
        self.io.as_fd().as_raw_fd() as usize
    }

    fn registered(&self) -> Option<Arc<Slot>> {
        self.registration
            .lock()
            .as_ref()
            .map(|registration| registration.slot.clone())
    }

    /// The place in a poller; taken now, with the current worker's, if there is none.
    fn slot(&self) -> io::Result<Arc<Slot>> {
        let mut registration = self.registration.lock();
        if let Some(registration) = registration
            .as_ref()
            .filter(|registration| !registration.is_dead())
        {
            return Ok(registration.slot.clone());
        }
        let reactor =
            worker::with(|worker| &worker.expect("a coroutine has a worker").mine().reactor);
        // The old one, of a runtime that has ended, goes first: both would be for the same descriptor.
        *registration = None;
        let fresh = Arc::new(reactor.register(self.io.as_fd().as_raw_fd())?);
        let slot = fresh.slot.clone();
        *registration = Some(fresh);
        Ok(slot)
    }

    fn wait(&self, way: Way, kind: WaitKind) -> io::Result<()> {
        if !crate::context::is_coroutine() {
            return block_thread(self.io.as_fd(), way);
        }
        let slot = self.slot()?;
        let direction: &Direction = match way {
            Way::Read => &slot.read,
            Way::Write => &slot.write,
        };
        let Some(wait) = direction.take_or_wait(|| wait::prepare(kind, self.number()))? else {
            return Ok(());
        };
        if let Outcome::Interrupted(interrupt) = wait.suspend() {
            direction.withdraw();
            interrupt.raise();
        }
        Ok(())
    }
}

/// After many calls in a row that did not have to wait, lets the others and the poller have a turn.
#[inline]
fn share_the_worker() {
    if worker::with(|worker| worker.is_some_and(worker::Worker::is_selfish)) {
        wait::through_poller();
    }
}

/// A plain thread waits in `poll(2)`, as long as the scopes that it is in allow.
#[cold]
fn block_thread(fd: BorrowedFd<'_>, way: Way) -> io::Result<()> {
    if std::thread::panicking() {
        return Err(Refused.into());
    }
    let flags = match way {
        Way::Read => PollFlags::IN,
        Way::Write => PollFlags::OUT,
    };
    loop {
        let left = interrupt::of_thread().unwrap_or_else(|interrupt| interrupt.raise());
        // Rounded up to the next millisecond: a timeout must not come early.
        let left = left.map(|left| left + Duration::from_micros(999));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match rustix::event::poll(&mut [PollFd::from_borrowed_fd(fd, flags)], timeout.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
