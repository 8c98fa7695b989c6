//! [`UnixListener`].

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use super::accept::{self, UnixIncoming};
use super::unix::SocketAddr;
use super::{ListenOptions, UnixStream, calls};
use crate::io::{Source, WaitKind, conversions};

/// A Unix socket that connections arrive at; the twin of [`std::os::unix::net::UnixListener`].
///
/// Dropping it leaves its path behind, as in std: who made the path removes it.
pub struct UnixListener {
    source: Source<std::os::unix::net::UnixListener>,
}

impl UnixListener {
    /// Listens on a path, which must not exist.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) if the path exists, whether or not anybody listens there.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        ListenOptions::new().bind_unix(path)
    }

    /// Listens on an address, which may also be abstract.
    ///
    /// # Errors
    ///
    /// As for [`bind`](Self::bind).
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<UnixListener> {
        ListenOptions::new().bind_unix_addr(addr)
    }

    /// Takes the next connection. **May suspend.** An interrupted `accept` loses none.
    ///
    /// # Errors
    ///
    /// As for [`TcpListener::accept`](super::TcpListener::accept).
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        self.source
            .read_with(WaitKind::Accept, |io| accept::unix(io.as_fd()))
    }

    /// Takes a connection if there is one, and never suspends.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is none; else as for [`accept`](Self::accept).
    pub fn try_accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        self.source.attempt(|io| accept::unix(io.as_fd()))
    }

    /// Waits for a connection and takes all that are there, at most `most` (at least 1), in the order of their arrival.
    /// **May suspend**, until there is the first.
    ///
    /// # Errors
    ///
    /// As for [`accept`](Self::accept), if it comes before the first connection; else the next call has it.
    pub fn accept_many(&self, most: usize) -> io::Result<Vec<(UnixStream, SocketAddr)>> {
        let first = self.accept()?;
        Ok(accept::with_queued(first, most, || self.try_accept()))
    }

    /// The connections, one after the other, until it is closed. **Each step may suspend.**
    pub fn incoming(&self) -> UnixIncoming<'_> {
        UnixIncoming::new(self)
    }

    /// The address it listens on.
    ///
    /// # Errors
    ///
    /// Those of `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.live()?.local_addr()
    }

    /// A second handle to the same listener, with a descriptor of its own.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left.
    pub fn try_clone(&self) -> io::Result<UnixListener> {
        Ok(UnixListener {
            source: self
                .source
                .try_clone_with(std::os::unix::net::UnixListener::try_clone)?,
        })
    }

    /// Takes the error that the system holds for this socket, if there is one.
    ///
    /// # Errors
    ///
    /// If the system cannot be asked.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.source.live()?.take_error()
    }
}

conversions!(UnixListener, std::os::unix::net::UnixListener, calls::quiet);
