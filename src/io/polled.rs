//! A descriptor that a future polls: a call that would wait leaves a waker instead.

#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::source::{Source, Way};
use crate::sched::listener::Listener;
use crate::sched::wait::Waiter;
use crate::sched::worker;

/// What the polls of one direction leave behind.
#[derive(Default)]
pub struct Polled {
    listener: Arc<Listener>,
    /// From the first poll that had to wait until one that did not.
    has_turn: bool,
}

impl<T: AsFd> Source<T> {
    /// One attempt at `op`. If it would have to wait, the waker is called when there is reason to poll again. Never
    /// suspends; after many polls without a suspension, it asks for one by waking itself.
    pub(crate) fn poll_with<R>(
        &self,
        way: Way,
        polled: &mut Polled,
        context: &mut Context<'_>,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        if worker::with(|worker| worker.is_some_and(worker::Worker::has_spent_its_turn)) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if !polled.has_turn {
            // Whoever polls owns the source, so nobody else is in the middle of a call; but it may be closed.
            let Some(turn) = self.try_turn(way) else {
                return Poll::Ready(self.live().and(Err(io::ErrorKind::ResourceBusy.into())));
            };
            turn.keep();
            polled.has_turn = true;
        }
        let result = loop {
            match op(&self.io) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.listen(way, polled, context) {
                        Ok(true) => return Poll::Pending,
                        Ok(false) => {}
                        Err(error) => break Err(error),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result.map_err(|error| self.explain(error)),
            }
        };
        self.leave(way, polled);
        Poll::Ready(result)
    }

    /// Leaves the waker for the next event; false if one has come, so that it is worth trying again.
    fn listen(&self, way: Way, polled: &Polled, context: &mut Context<'_>) -> io::Result<bool> {
        if polled.listener.still_listens(context) {
            return Ok(true);
        }
        let slot = match self.slot() {
            // No poller watches it: it is always ready, as `poll(2)` says too.
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                context.waker().wake_by_ref();
                return Ok(true);
            }
            slot => slot?,
        };
        let left = slot.direction(way).take_or_wait(|| {
            polled.listener.listen(context);
            Ok::<_, io::Error>(((), Waiter::listener(polled.listener.clone())))
        })?;
        Ok(left.is_some())
    }

    /// Nothing is waited for any more: withdraws the waker, and gives the turn on.
    pub(crate) fn leave(&self, way: Way, polled: &mut Polled) {
        if !std::mem::take(&mut polled.has_turn) {
            return;
        }
        if polled.listener.stop()
            && let Some(slot) = self.registered()
        {
            slot.direction(way).withdraw();
        }
        match way {
            Way::Read => self.readers.give_back(),
            Way::Write => self.writers.give_back(),
        }
    }
}

pub(crate) mod sealed {
    use super::{Polled, Way, io};

    /// What can be polled at all.
    pub trait Polls {
        #[allow(private_interfaces)]
        fn leave(&self, way: Way, polled: &mut Polled);
        /// Ends the writing side. Never suspends.
        fn end_writing(&self) -> io::Result<()>;
    }
}

/// What futures can read: a stream, an end of a pipe, a descriptor.
pub trait PollRead: sealed::Polls {
    /// Reads into memory that need not be initialised; so many bytes of it are then.
    #[doc(hidden)]
    fn poll_read_uninit(
        &self,
        polled: &mut Polled,
        context: &mut Context<'_>,
        buf: &mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>>;

    #[doc(hidden)]
    fn poll_read(
        &self,
        polled: &mut Polled,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        // SAFETY: the layout is the same, and only the kernel writes there: nothing becomes uninitialised.
        let buf = unsafe { &mut *(std::ptr::from_mut(buf) as *mut [MaybeUninit<u8>]) };
        self.poll_read_uninit(polled, context, buf)
    }
}

/// What futures can write: a stream, an end of a pipe, a descriptor.
pub trait PollWrite: sealed::Polls {
    #[doc(hidden)]
    fn poll_write(
        &self,
        polled: &mut Polled,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;

    /// Does nothing: a stream keeps nothing back on this side.
    #[doc(hidden)]
    fn poll_flush(&self, _: &mut Polled, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Lets futures poll a type, by the calls that its blocking methods make. The type holds a `source: Source<_>`.
macro_rules! polls {
    ($type:ident, |$this:ident| $end_writing:expr) => {
        impl crate::io::sealed_polls::Polls for $type {
            #[allow(private_interfaces)]
            fn leave(&self, way: crate::io::Way, polled: &mut crate::io::Polled) {
                self.source.leave(way, polled);
            }
            fn end_writing(&self) -> std::io::Result<()> {
                let $this = self;
                $end_writing
            }
        }
    };
}

macro_rules! poll_read {
    ($type:ident, |$io:ident, $buf:ident| $read:expr) => {
        impl crate::io::PollRead for $type {
            fn poll_read_uninit(
                &self,
                polled: &mut crate::io::Polled,
                context: &mut std::task::Context<'_>,
                $buf: &mut [std::mem::MaybeUninit<u8>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let way = crate::io::Way::Read;
                self.source.poll_with(way, polled, context, |$io| $read)
            }
        }
    };
}

macro_rules! poll_write {
    ($type:ident, |$io:ident, $bufs:ident| $write:expr) => {
        impl crate::io::PollWrite for $type {
            fn poll_write(
                &self,
                polled: &mut crate::io::Polled,
                context: &mut std::task::Context<'_>,
                $bufs: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let way = crate::io::Way::Write;
                self.source.poll_with(way, polled, context, |$io| $write)
            }
        }
    };
}

pub(crate) use {poll_read, poll_write, polls};
