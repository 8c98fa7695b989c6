//! Waiting for the first of several descriptors.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Token};

use super::source::Source;
use crate::sched::wait::WaitKind;

/// Descriptors of which one coroutine (or thread) waits for the first that becomes writable. It is a poller of its own
/// that the worker's poller watches.
pub(crate) struct Group {
    poll: Source<Inner>,
    events: Events,
}

struct Inner(std::cell::RefCell<mio::Poll>, std::os::fd::RawFd);

impl AsFd for Inner {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: it is the descriptor of the poller beside it, which lives as long and never changes it.
        unsafe { BorrowedFd::borrow_raw(self.1) }
    }
}

impl Group {
    /// # Errors
    /// The process has no descriptor left.
    pub(crate) fn new() -> io::Result<Group> {
        let poll = mio::Poll::new()?;
        let fd = poll.as_raw_fd();
        Ok(Group {
            poll: Source::new(Inner(poll.into(), fd)),
            events: Events::with_capacity(16),
        })
    }

    /// Adds a descriptor. It leaves by being closed, so it must have no duplicate.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let poll = self.poll.get_ref().0.borrow();
        let (mut source, token) = (SourceFd(&fd.as_raw_fd()), Token(0));
        poll.registry()
            .register(&mut source, token, Interest::WRITABLE)
    }

    /// Waits until something has happened to one of them since the last call; it may return without cause.
    /// **May suspend.**
    pub(crate) fn wait(&mut self) -> io::Result<()> {
        let Group { poll, events } = self;
        poll.read_with(WaitKind::Connect, |inner| {
            inner.0.borrow_mut().poll(events, Some(Duration::ZERO))?;
            match events.is_empty() {
                true => Err(io::ErrorKind::WouldBlock.into()),
                false => Ok(()),
            }
        })
    }
}
