//! The system calls of a stream, each one attempt that never blocks.
//!
//! Straight to the kernel rather than through std's types: those raise `SIGPIPE` from `write_vectored` (`writev` takes
//! no flags), and on some systems from `write`.

use std::io::{self, IoSlice, IoSliceMut};
#[cfg(feature = "futures-io")]
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use rustix::net::{RecvFlags, SendFlags};

/// As many slices as one call may carry on Linux (`UIO_MAXIOV`) and elsewhere; more of them are left for the next call.
const MAX_SLICES: usize = 1024;

/// Apple has no such flag: there [`quiet`] silences the socket when it is made.
#[cfg(not(target_vendor = "apple"))]
pub(crate) const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
pub(crate) const NO_SIGNAL: SendFlags = SendFlags::empty();

#[inline]
pub(super) fn recv(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    let (n, _) = rustix::net::recv(fd, buf, RecvFlags::empty())?;
    Ok(n)
}

/// As [`recv`], into memory that need not be initialised.
#[cfg(feature = "futures-io")]
pub(super) fn recv_uninit(fd: BorrowedFd<'_>, buf: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    let ((initialised, _), _) = rustix::net::recv(fd, buf, RecvFlags::empty())?;
    Ok(initialised.len())
}

pub(super) fn peek(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    let (n, _) = rustix::net::recv(fd, buf, RecvFlags::PEEK)?;
    Ok(n)
}

pub(super) fn recv_vectored(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let count = bufs.len().min(MAX_SLICES);
    Ok(rustix::io::readv(fd, &mut bufs[..count])?)
}

#[inline]
pub(super) fn send(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(fd, buf, NO_SIGNAL)?)
}

pub(super) fn send_vectored(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let bufs = &bufs[..bufs.len().min(MAX_SLICES)];
    let mut control = rustix::net::SendAncillaryBuffer::default();
    Ok(rustix::net::sendmsg(fd, bufs, &mut control, NO_SIGNAL)?)
}

/// Prepares a socket that is new to us: no waits in the kernel, no `SIGPIPE`.
pub(super) fn quiet(fd: BorrowedFd<'_>) -> io::Result<()> {
    rustix::io::ioctl_fionbio(fd, true)?;
    #[cfg(target_vendor = "apple")]
    rustix::net::sockopt::set_socket_nosigpipe(fd, true)?;
    Ok(())
}
