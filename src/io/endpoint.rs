//! What copying needs of a [`Source`], whatever its type.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering;

use super::WaitKind;
use super::sigpipe::without_sigpipe;
use super::source::{Source, Way};
use super::turn::Turn;
use crate::sched::wait::check_interrupt;

/// A [`Source`] of whatever type, as one end of a copy.
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "only Linux copies in the kernel")
)]
pub(crate) trait Endpoint {
    fn fd(&self) -> BorrowedFd<'_>;
    /// Waits for the turn, and raises interrupts that are due. **May suspend.**
    fn turn(&self, way: Way) -> io::Result<Turn<'_>>;
    /// Waits until it is ready, with the turn taken. **May suspend.**
    fn wait(&self, way: Way) -> io::Result<()>;
    fn explain(&self, error: io::Error) -> io::Error;
    /// The kernel knows nothing of it.
    fn is_simulated(&self) -> bool;
    /// **May suspend.**
    fn read(&self, buf: &mut [u8]) -> io::Result<usize>;
    /// **May suspend.**
    fn write(&self, buf: &[u8]) -> io::Result<usize>;
}

impl<T: AsFd> Endpoint for Source<T> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }

    fn turn(&self, way: Way) -> io::Result<Turn<'_>> {
        check_interrupt();
        let turn = Source::turn(self, way)?;
        if way == Way::Read {
            self.drained.store(false, Ordering::Relaxed);
        }
        Ok(turn)
    }

    fn wait(&self, way: Way) -> io::Result<()> {
        let kind = match way {
            Way::Read => WaitKind::Read,
            Way::Write => WaitKind::Write,
        };
        Source::wait(self, way, kind)
    }

    fn explain(&self, error: io::Error) -> io::Error {
        Source::explain(self, error)
    }

    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let simulated = self.as_simulated();
        self.read_with(WaitKind::Read, |io| match simulated {
            Some(simulated) => simulated.read(buf),
            None => Ok(rustix::io::read(io, &mut *buf)?),
        })
    }

    fn is_simulated(&self) -> bool {
        self.as_simulated().is_some()
    }

    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        let simulated = self.as_simulated();
        self.write_with(WaitKind::Write, |io| match simulated {
            Some(simulated) => simulated.write(buf),
            None => without_sigpipe(|| Ok(rustix::io::write(io, buf)?)),
        })
    }
}
