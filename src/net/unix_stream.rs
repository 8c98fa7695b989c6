//! [`UnixStream`].

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use super::rights::{self, passes_descriptors};
use super::socket::socket_basics;
use super::stream::stream_io;
use super::unix::SocketAddr;
#[cfg(target_os = "linux")]
use super::unix::UCred;
use super::{calls, connect};
use crate::io::{Source, WaitKind, conversions};

/// A connection between two processes of one machine; the twin of [`std::os::unix::net::UnixStream`].
///
/// ```
/// use grapeshot::net::UnixStream;
/// use std::io::{Read, Write};
///
/// # grapeshot::run(|| {
/// let (mut here, mut there) = UnixStream::pair()?;
/// let writer = grapeshot::spawn(move || there.write_all(b"hello"));
/// let mut heard = String::new();
/// here.read_to_string(&mut heard)?;
/// assert_eq!(heard, "hello");
/// writer.join().unwrap()
/// # }).unwrap();
/// ```
pub struct UnixStream {
    source: Source<std::os::unix::net::UnixStream>,
}

impl UnixStream {
    /// Connects to the listener at a path. **May suspend**, if that listener's queue is full.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such path, `ConnectionRefused` if nobody listens there (any more).
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        // Through std's type for its checks, which say better what is wrong with a path than `EINVAL` does.
        UnixStream::connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Connects to the listener at an address, which may also be abstract. **May suspend.**
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect); `InvalidInput` if the address is unnamed.
    pub fn connect_addr(addr: &SocketAddr) -> io::Result<UnixStream> {
        Ok(UnixStream {
            source: connect::unix(&connect::unix_addr(addr)?)?,
        })
    }

    /// Two streams that are connected to each other.
    ///
    /// # Errors
    ///
    /// If the process has no descriptors left.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = std::os::unix::net::UnixStream::pair()?;
        Ok((UnixStream::from_std(one)?, UnixStream::from_std(other)?))
    }

    /// Takes over a socket that is known not to block.
    pub(super) fn from_nonblocking(stream: std::os::unix::net::UnixStream) -> UnixStream {
        UnixStream {
            source: Source::new(stream),
        }
    }

    /// This end's address; a client's is unnamed.
    ///
    /// # Errors
    ///
    /// Those of `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.live()?.local_addr()
    }

    /// The other end's address.
    ///
    /// # Errors
    ///
    /// Those of `getpeername`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.source.live()?.peer_addr()
    }

    /// Who connected (or listened) at the other end, as the kernel noted it: a peer cannot forge this.
    ///
    /// ```
    /// # use grapeshot::net::UnixStream;
    /// let (here, _there) = UnixStream::pair()?;
    /// assert_eq!(here.peer_cred()?.pid, Some(std::process::id() as i32));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    #[cfg(target_os = "linux")]
    pub fn peer_cred(&self) -> io::Result<UCred> {
        let cred = crate::io::peer_cred(self.as_fd())?;
        Ok(UCred {
            uid: cred.uid,
            gid: cred.gid,
            pid: (cred.pid > 0).then_some(cred.pid),
        })
    }
}

stream_io!(UnixStream);
#[cfg(feature = "futures-io")]
super::stream::stream_polls!(UnixStream);
passes_descriptors!(UnixStream, stream: true, rights::recv);
socket_basics!(UnixStream);
conversions!(UnixStream, std::os::unix::net::UnixStream, calls::quiet);
