//! Pipes.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use super::conversions::conversions;
use super::copy::{CopyFrom, CopyTo, End, sealed};
use super::sigpipe::without_sigpipe;
use super::source::Source;
use crate::sched::wait::WaitKind;

/// As many slices as one call may carry (`UIO_MAXIOV` of Linux); more of them are left for the next call.
const MAX_SLICES: usize = 1024;

/// A pipe: what is written into one end is read from the other. The twin of [`std::io::pipe`].
///
/// ```
/// use std::io::{Read, Write};
///
/// # grapeshot::run(|| {
/// let (mut reader, mut writer) = grapeshot::io::pipe()?;
/// let child = grapeshot::spawn(move || writer.write_all(b"hello"));
/// let mut heard = String::new();
/// // Ends when the last writer is closed.
/// reader.read_to_string(&mut heard)?;
/// assert_eq!(heard, "hello");
/// child.join().unwrap()
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// The process has no descriptors left.
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    Ok((PipeReader::from_std(reader)?, PipeWriter::from_std(writer)?))
}

/// The end of a pipe that is read; the twin of [`std::io::PipeReader`].
pub struct PipeReader {
    source: Source<io::PipeReader>,
}

/// The end of a pipe that is written; the twin of [`std::io::PipeWriter`]. No write raises `SIGPIPE`.
pub struct PipeWriter {
    source: Source<io::PipeWriter>,
}

impl PipeReader {
    /// Reads what is there, and never suspends.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if nothing is there.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.source
            .attempt(|io| Ok(rustix::io::read(io, &mut *buf)?))
    }

    /// Waits until there is something to read, or the end. **May suspend.** Try to read first: only what comes after a
    /// `WouldBlock` is sure to be told. It may return without cause.
    ///
    /// # Errors
    ///
    /// Those of the poller.
    pub fn wait_readable(&self) -> io::Result<()> {
        self.source.wait_readable(WaitKind::Read)
    }
}

impl PipeWriter {
    /// Writes what the pipe takes, and never suspends. It may overtake a coroutine that waits to write.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if it takes nothing.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.source.attempt(|io| write(io, buf))
    }

    /// Writes all of the slices. **May suspend.** The slices are changed on the way.
    ///
    /// # Errors
    ///
    /// As for writing; nobody knows then how much of it is written. `WriteZero` if nothing is taken.
    pub fn write_all_vectored(&self, mut bufs: &mut [IoSlice<'_>]) -> io::Result<()> {
        // Empty ones at the front are no reason to call.
        IoSlice::advance_slices(&mut bufs, 0);
        while !bufs.is_empty() {
            match Write::write_vectored(&mut &*self, bufs)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => IoSlice::advance_slices(&mut bufs, count),
            }
        }
        Ok(())
    }

    /// Waits until something can be written, or nobody reads any more. **May suspend.** Try first, as for
    /// [`PipeReader::wait_readable`].
    ///
    /// # Errors
    ///
    /// Those of the poller.
    pub fn wait_writable(&self) -> io::Result<()> {
        self.source.wait_writable(WaitKind::Write)
    }
}

fn write(pipe: impl AsFd, buf: &[u8]) -> io::Result<usize> {
    without_sigpipe(|| Ok(rustix::io::write(pipe, buf)?))
}

/// Reading **may suspend**.
impl Read for PipeReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

/// Reading **may suspend**. Several readers are served in the order of their arrival.
impl Read for &PipeReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.source
            .read_with(WaitKind::Read, |io| Ok(rustix::io::read(io, &mut *buf)?))
    }
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let count = bufs.len().min(MAX_SLICES);
        self.source.read_with(WaitKind::Read, |io| {
            Ok(rustix::io::readv(io, &mut bufs[..count])?)
        })
    }
}

/// Writing **may suspend**. It never raises `SIGPIPE`.
impl Write for PipeWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }
    /// Does nothing: a pipe keeps nothing back on this side.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writing **may suspend**. Several writers are served in the order of their arrival, one `write` each; what is no longer
/// than `PIPE_BUF` (4096 bytes on Linux) is taken whole.
impl Write for &PipeWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.source.write_stream(|io| write(io, buf))
    }
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let bufs = &bufs[..bufs.len().min(MAX_SLICES)];
        self.source
            .write_stream(|io| without_sigpipe(|| Ok(rustix::io::writev(io, bufs)?)))
    }
    /// Does nothing: a pipe keeps nothing back on this side.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What both ends have.
macro_rules! pipe_end {
    ($end:ident) => {
        impl $end {
            /// A second handle to the same end, with a descriptor of its own.
            ///
            /// # Errors
            ///
            /// If the process has no descriptor left.
            pub fn try_clone(&self) -> io::Result<Self> {
                Ok($end {
                    source: self.source.try_clone_with(io::$end::try_clone)?,
                })
            }

            /// How many bytes the pipe holds until they are read.
            ///
            /// # Errors
            ///
            /// Those of `fcntl`.
            #[cfg(target_os = "linux")]
            pub fn capacity(&self) -> io::Result<usize> {
                Ok(rustix::pipe::fcntl_getpipe_size(self.source.live()?)?)
            }

            /// Makes the pipe hold at least so many bytes; 65,536 is what it begins with.
            ///
            /// # Errors
            ///
            /// `EPERM` above the system's limit (`fs.pipe-max-size`), `EBUSY` below what it holds now.
            #[cfg(target_os = "linux")]
            pub fn set_capacity(&self, bytes: usize) -> io::Result<()> {
                rustix::pipe::fcntl_setpipe_size(self.source.live()?, bytes)?;
                Ok(())
            }
        }

        impl sealed::Sealed for $end {
            #[allow(private_interfaces)]
            fn end(&self) -> End<'_> {
                End::Pipe(&self.source)
            }
        }

        conversions!($end, io::$end, nonblocking);
    };
}

pipe_end!(PipeReader);
pipe_end!(PipeWriter);
impl CopyFrom for PipeReader {}
impl CopyTo for PipeWriter {}

#[cfg(feature = "futures-io")]
mod polls {
    use super::{MAX_SLICES, PipeReader, PipeWriter, write};
    use crate::io::sigpipe::without_sigpipe;
    use crate::io::{poll_read, poll_write, polls};

    polls!(PipeReader, |_reader| Ok(()));
    polls!(PipeWriter, |writer| writer.close());
    poll_read!(PipeReader, |io, buf| {
        let (initialised, _) = rustix::io::read(io, &mut *buf)?;
        Ok(initialised.len())
    });
    poll_write!(PipeWriter, |io, bufs| match bufs {
        [one] => write(io, one),
        many => {
            let many = &many[..many.len().min(MAX_SLICES)];
            without_sigpipe(|| Ok(rustix::io::writev(io, many)?))
        }
    });
}

pub(super) fn nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(fd, true)?)
}
