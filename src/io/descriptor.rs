//! Any descriptor.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::pipe::nonblocking;
use super::select::ReadinessArm;
use super::sigpipe::without_sigpipe;
use super::source::{Source, Way};
use crate::sched::wait::WaitKind;

/// Any descriptor that the system's poller can watch: a terminal, a FIFO, an eventfd, a netlink or packet socket, a
/// device, what a C library made. A call that finds it not ready suspends its coroutine, as for the sockets of
/// [`net`](crate::net).
///
/// ```
/// use grapeshot::io::Descriptor;
/// use rustix::event::{EventfdFlags, eventfd};
///
/// # grapeshot::run(|| {
/// let counter = Descriptor::new(eventfd(0, EventfdFlags::CLOEXEC)?)?;
/// let waiter = grapeshot::spawn({
///     let counter = counter.try_clone()?;
///     move || {
///         let mut count = [0; 8];
///         counter.read_with(|fd| Ok(rustix::io::read(fd, &mut count)?))?;
///         std::io::Result::Ok(u64::from_ne_bytes(count))
///     }
/// });
/// counter.write_with(|fd| Ok(rustix::io::write(fd, &7_u64.to_ne_bytes())?))?;
/// assert_eq!(waiter.join().unwrap()?, 7);
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// `T` is whatever has the descriptor: an [`OwnedFd`], a [`File`](std::fs::File), a [`BorrowedFd`], a type of yours. Its
/// `as_fd` must give the same open descriptor each time. One descriptor may be in one `Descriptor` at a time; use a
/// duplicate for another.
///
/// The descriptor becomes non-blocking, and with it whatever shares its open file: a terminal's may be the shell's too.
///
/// Regular files are always ready, says the system. Calls on one work, but wait for the disk, and the worker with them.
pub struct Descriptor<T: AsFd> {
    pub(super) source: Source<T>,
}

impl<T: AsFd> Descriptor<T> {
    /// Takes over a descriptor and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// If it refuses that.
    pub fn new(inner: T) -> io::Result<Self> {
        nonblocking(inner.as_fd())?;
        Ok(Descriptor {
            source: Source::new(inner),
        })
    }

    /// What has the descriptor.
    pub fn get_ref(&self) -> &T {
        self.source.get_ref()
    }

    /// Gives back what has the descriptor, which stays non-blocking.
    pub fn into_inner(self) -> T {
        self.source.into_inner()
    }

    /// Runs `op` until it gives something other than [`WouldBlock`](io::ErrorKind::WouldBlock), and waits in between
    /// until the descriptor is readable. Repeats it after `Interrupted`. Others that read meanwhile queue behind, first
    /// come, first served. **May suspend.**
    ///
    /// `op` must be one attempt that does nothing unless it succeeds, so that an interrupt of the wait takes nothing.
    ///
    /// # Errors
    ///
    /// Those of `op`, those of the poller, and [`Closed`](super::Closed).
    pub fn read_with<R>(&self, op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.source.read_with(WaitKind::Read, op)
    }

    /// As [`read_with`](Self::read_with), until the descriptor is writable. No `SIGPIPE` comes of it. **May suspend.**
    ///
    /// # Errors
    ///
    /// As for `read_with`.
    pub fn write_with<R>(&self, mut op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        self.source
            .write_with(WaitKind::Write, |io| without_sigpipe(|| op(io)))
    }

    /// Waits until the descriptor is readable, or at its end, or has an error. **May suspend.** Try to read first: only
    /// what comes after a `WouldBlock` is sure to be told. It may return without cause.
    ///
    /// # Errors
    ///
    /// Those of the poller, and [`Closed`](super::Closed).
    pub fn wait_readable(&self) -> io::Result<()> {
        self.source.wait_readable(WaitKind::Read)
    }

    /// Waits until the descriptor is writable, or has an error. **May suspend.** Try first; it may return without cause.
    ///
    /// # Errors
    ///
    /// Those of the poller, and [`Closed`](super::Closed).
    pub fn wait_writable(&self) -> io::Result<()> {
        self.source.wait_writable(WaitKind::Write)
    }

    /// For `select!`.
    #[doc(hidden)]
    pub fn __select_readable(&self) -> ReadinessArm<'_, T> {
        self.source.readiness(Way::Read)
    }

    /// For `select!`.
    #[doc(hidden)]
    pub fn __select_writable(&self) -> ReadinessArm<'_, T> {
        self.source.readiness(Way::Write)
    }

    /// Closes the descriptor now, though others may still share it. Never suspends. What it referred to is closed, and
    /// its number stays taken until this is dropped.
    ///
    /// Whoever waits in one of its calls is woken, and that call and every later one fail with
    /// [`Closed`](super::Closed). Closing again does nothing.
    ///
    /// # Errors
    ///
    /// `EMFILE`, only at the first `close` of the process; nothing has happened then.
    pub fn close(&self) -> io::Result<()>
    where
        T: Into<OwnedFd>,
    {
        self.source.close()
    }
}

impl Descriptor<OwnedFd> {
    /// A second handle to the same open file, with a descriptor of its own.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Descriptor {
            source: self.source.try_clone_with(OwnedFd::try_clone)?,
        })
    }
}

/// Reading **may suspend**.
impl<T: AsFd> Read for Descriptor<T>
where
    for<'a> &'a T: Read,
{
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

/// Reading **may suspend**. Several readers are served in the order of their arrival.
impl<T: AsFd> Read for &Descriptor<T>
where
    for<'a> &'a T: Read,
{
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_with(|mut io| io.read(buf))
    }
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.read_with(|mut io| io.read_vectored(bufs))
    }
}

/// Writing **may suspend**. It never raises `SIGPIPE`.
impl<T: AsFd> Write for Descriptor<T>
where
    for<'a> &'a T: Write,
{
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }
    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}

/// Writing **may suspend**. Several writers are served in the order of their arrival, one `write` each.
impl<T: AsFd> Write for &Descriptor<T>
where
    for<'a> &'a T: Write,
{
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_with(|mut io| io.write(buf))
    }
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_with(|mut io| io.write_vectored(bufs))
    }
    fn flush(&mut self) -> io::Result<()> {
        self.write_with(|mut io| io.flush())
    }
}

impl<T: AsFd> AsFd for Descriptor<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl<T: AsFd> AsRawFd for Descriptor<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for Descriptor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Descriptor").field(self.get_ref()).finish()
    }
}
