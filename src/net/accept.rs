//! Taking connections off a listener, and what to do when the process has no descriptor left for them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::SocketAddr as UnixSocketAddr;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::SocketAddrAny;

use super::{TcpListener, TcpStream, UnixListener, UnixStream};
use crate::io::Closed;

/// One attempt, for TCP.
pub(super) fn tcp(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, SocketAddr)> {
    loop {
        let (fd, addr) = worth_reporting(|| accept4(listener))?;
        // Some systems hand out a connection that has died meanwhile, without an address. Pass over it.
        if let Some(addr) = addr {
            return Ok((fd, SocketAddr::try_from(addr)?));
        }
    }
}

/// One attempt, for Unix sockets.
///
/// The address is asked for through std: rustix takes the unnamed for an empty abstract name, and panics at a path of
/// 108 bytes, which a peer is free to have.
pub(super) fn unix(listener: BorrowedFd<'_>) -> io::Result<(UnixStream, UnixSocketAddr)> {
    let (fd, _) = worth_reporting(|| accept4(listener))?;
    let stream = std::os::unix::net::UnixStream::from(fd);
    let peer = stream
        .peer_addr()
        .or_else(|_| UnixSocketAddr::from_pathname(""))?;
    Ok((UnixStream::from_nonblocking(stream), peer))
}

/// Adds to the first connection those that queue behind it, until there are `most`. An error is for the next call.
pub(super) fn with_queued<T>(
    first: T,
    most: usize,
    try_accept: impl FnMut() -> io::Result<T>,
) -> Vec<T> {
    let queued = std::iter::repeat_with(try_accept).map_while(Result::ok);
    let more = most.saturating_sub(1);
    std::iter::once(first).chain(queued.take(more)).collect()
}

/// The result of `accept4`, unless it tells of a connection that its peer took back while it was queued. That concerns
/// nobody here, least of all the server's loop, which would otherwise have to know it from a fault of the listener.
fn worth_reporting<T>(mut accept4: impl FnMut() -> Result<T, Errno>) -> io::Result<T> {
    loop {
        match accept4() {
            Err(Errno::CONNABORTED | Errno::PROTO) => {}
            result => return Ok(result?),
        }
    }
}

#[cfg(not(target_vendor = "apple"))]
fn accept4(listener: BorrowedFd<'_>) -> Result<(OwnedFd, Option<SocketAddrAny>), Errno> {
    use rustix::net::SocketFlags;
    rustix::net::acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
}

#[cfg(target_vendor = "apple")]
fn accept4(listener: BorrowedFd<'_>) -> Result<(OwnedFd, Option<SocketAddrAny>), Errno> {
    use std::os::fd::AsFd;
    let (fd, addr) = rustix::net::acceptfrom(listener)?;
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    rustix::net::sockopt::set_socket_nosigpipe(fd.as_fd(), true)?;
    Ok((fd, addr))
}

/// Pauses of an `incoming()` loop while the process or the system has no descriptor or memory to spare.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    /// The last pause; zero while all is well.
    pause: Duration,
}

/// The first pause is short, because descriptors come and go by the thousand; the longest is such that a server which
/// has recovered is not seen as dead.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Backoff {
    /// Waits before the next `accept`, if the last one told us to. **May suspend.**
    pub(super) fn wait(&self) {
        if !self.pause.is_zero() {
            crate::sleep(self.pause);
        }
    }

    /// Takes note of how an `accept` ended; `what` is for the log.
    pub(super) fn note<T>(&mut self, result: &io::Result<T>, what: impl FnOnce() -> String) {
        match result {
            Err(error) if is_exhaustion(error) => {
                if self.pause.is_zero() {
                    log::warn!("{} cannot accept for now, trying again: {error}", what());
                }
                self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            }
            Err(_) => self.pause = Duration::ZERO,
            Ok(_) if self.pause.is_zero() => {}
            Ok(_) => {
                log::warn!("{} accepts again", what());
                self.pause = Duration::ZERO;
            }
        }
    }
}

/// Whether `error` says that the process or the system has run out of what a new connection needs.
fn is_exhaustion(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        errno,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

/// Declares the endless iterator over a listener's connections.
macro_rules! incoming {
    ($(#[$doc:meta])* $name:ident, $listener:ident, $stream:ident) => {
        $(#[$doc])*
        ///
        /// It ends when the listener is closed. **Each step may suspend.** When descriptors or memory have run out, that error comes out once
        /// for each failed attempt, and the next step waits first: 10 ms, doubling up to 1 s. So a loop that goes on after an
        /// error neither spins nor loses the connections that queue meanwhile, and a line in the log tells when it
        /// begins and when it is over.
        #[derive(Debug)]
        pub struct $name<'a> {
            listener: &'a $listener,
            backoff: Backoff,
        }

        impl<'a> $name<'a> {
            pub(super) fn new(listener: &'a $listener) -> Self {
                $name { listener, backoff: Backoff::default() }
            }
        }

        impl Iterator for $name<'_> {
            type Item = io::Result<$stream>;

            fn next(&mut self) -> Option<io::Result<$stream>> {
                self.backoff.wait();
                let result = self.listener.accept();
                if result.as_ref().is_err_and(Closed::is) {
                    return None;
                }
                self.backoff.note(&result, || format!("{:?}", self.listener));
                Some(result.map(|(stream, _)| stream))
            }
        }

        impl std::iter::FusedIterator for $name<'_> {}
    };
}

incoming! {
    /// The connections that arrive at a [`TcpListener`], one after the other.
    Incoming, TcpListener, TcpStream
}
incoming! {
    /// The connections that arrive at a [`UnixListener`], one after the other.
    UnixIncoming, UnixListener, UnixStream
}
