//! [`UnixDatagram`].

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use super::calls;
use super::datagram::datagram_io;
use super::rights::{self, passes_descriptors};
use super::socket::socket_basics;
use super::unix::SocketAddr;
use crate::io::{Source, WaitKind, conversions};

/// A socket for datagrams between processes of one machine; the twin of [`std::os::unix::net::UnixDatagram`].
///
/// Unlike UDP, it loses nothing and keeps the order: who sends faster than the other receives has to wait.
///
/// ```
/// use grapeshot::net::UnixDatagram;
///
/// # grapeshot::run(|| {
/// let (here, there) = UnixDatagram::pair()?;
/// here.send(b"one")?;
/// here.send(b"two")?;
/// let mut buf = [0; 16];
/// assert_eq!(there.recv(&mut buf)?, 3);
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub struct UnixDatagram {
    source: Source<std::os::unix::net::UnixDatagram>,
}

/// First pause while a receiver's queue is full, and the longest.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(1);
const QUEUE_FULL_PAUSE_MAX: Duration = Duration::from_millis(50);

impl UnixDatagram {
    /// Receives at a path, which must not exist. Dropping the socket leaves the path behind.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) if the path exists.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        UnixDatagram::from_std(std::os::unix::net::UnixDatagram::bind(path)?)
    }

    /// Receives at an address, which may also be abstract.
    ///
    /// # Errors
    ///
    /// As for [`bind`](Self::bind).
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<UnixDatagram> {
        UnixDatagram::from_std(std::os::unix::net::UnixDatagram::bind_addr(addr)?)
    }

    /// A socket without an address: it can send, and be answered only once it is connected both ways.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left.
    pub fn unbound() -> io::Result<UnixDatagram> {
        UnixDatagram::from_std(std::os::unix::net::UnixDatagram::unbound()?)
    }

    /// Two sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// If the process has no descriptors left.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = std::os::unix::net::UnixDatagram::pair()?;
        Ok((UnixDatagram::from_std(one)?, UnixDatagram::from_std(other)?))
    }

    /// Fixes the peer: `send` goes there. Never suspends.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such path, `ConnectionRefused` if nobody receives there (any more).
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.source.live()?.connect(path)
    }

    /// As [`connect`](Self::connect), with an address that may also be abstract.
    ///
    /// # Errors
    ///
    /// As for `connect`.
    pub fn connect_addr(&self, addr: &SocketAddr) -> io::Result<()> {
        self.source.live()?.connect_addr(addr)
    }

    /// Takes the next datagram, and says from where: unnamed, if the sender has no address. What does not fit into
    /// `buf` is lost. **May suspend.**
    ///
    /// # Errors
    ///
    /// Those of `recvfrom`.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.source
            .read_with(WaitKind::Read, |io| recv_from(io, buf))
    }

    /// Takes the next datagram if there is one, and never suspends.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is none; else as for [`recv_from`](Self::recv_from).
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.source.attempt(|io| recv_from(io, buf))
    }

    /// Sends a datagram to a path. **May suspend**, while the receiver's queue is full.
    ///
    /// Nobody tells when an unconnected receiver has room again: the call asks again, after 1 ms to 50 ms, and those who
    /// send to others meanwhile do not wait for it. A connected socket's [`send`](Self::send) is told at once.
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect); `EMSGSIZE` if it is longer than the send buffer.
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        self.send_to_addr(buf, &SocketAddr::from_pathname(path)?)
    }

    /// As [`send_to`](Self::send_to), with an address that may also be abstract. **May suspend.**
    ///
    /// # Errors
    ///
    /// As for `send_to`.
    pub fn send_to_addr(&self, buf: &[u8], addr: &SocketAddr) -> io::Result<usize> {
        let mut pause = QUEUE_FULL_PAUSE;
        loop {
            let sent = self.source.write_with(WaitKind::Write, |io| {
                match io.send_to_addr(buf, addr) {
                    // Our own buffer has room, so it is the receiver's queue, of which the poller knows nothing.
                    Err(error)
                        if error.kind() == io::ErrorKind::WouldBlock
                            && is_ready(io.as_fd(), PollFlags::OUT)? =>
                    {
                        Ok(None)
                    }
                    result => result.map(Some),
                }
            })?;
            match sent {
                Some(count) => return Ok(count),
                // Without the turn: the others' receivers may have room.
                None => crate::sleep(pause),
            }
            pause = (pause * 2).min(QUEUE_FULL_PAUSE_MAX);
        }
    }

    /// Sends a datagram to an address if there is room for it, and never suspends.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is none; else as for [`send_to`](Self::send_to).
    pub fn try_send_to_addr(&self, buf: &[u8], addr: &SocketAddr) -> io::Result<usize> {
        self.source.attempt(|io| io.send_to_addr(buf, addr))
    }

    /// Ends the receiving side, the sending side, or both. A coroutine that waits here is woken: receiving then gives
    /// an empty datagram, sending `BrokenPipe`. Never suspends.
    ///
    /// # Errors
    ///
    /// `NotConnected` if there is no peer.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.source.live()?.shutdown(how)
    }

    /// This end's address.
    ///
    /// # Errors
    ///
    /// Those of `getsockname`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.source.live()?.local_addr()
    }

    /// The peer's address.
    ///
    /// # Errors
    ///
    /// `NotConnected` if there is none.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.source.live()?.peer_addr()
    }
}

fn recv(socket: &std::os::unix::net::UnixDatagram, buf: &mut [u8]) -> io::Result<usize> {
    let socket = socket.as_fd();
    unless_ended(socket, calls::recv(socket, buf), || 0)
}

fn peek(socket: &std::os::unix::net::UnixDatagram, buf: &mut [u8]) -> io::Result<usize> {
    let socket = socket.as_fd();
    unless_ended(socket, calls::peek(socket, buf), || 0)
}

fn send(socket: &std::os::unix::net::UnixDatagram, buf: &[u8]) -> io::Result<usize> {
    calls::send(socket.as_fd(), buf)
}

fn recv_from(
    socket: &std::os::unix::net::UnixDatagram,
    buf: &mut [u8],
) -> io::Result<(usize, SocketAddr)> {
    let unnamed = SocketAddr::from_pathname("")?;
    unless_ended(socket.as_fd(), socket.recv_from(buf), || (0, unnamed))
}

fn recv_rights(
    socket: BorrowedFd<'_>,
    buf: &mut [u8],
    max: usize,
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let received = rights::recv(socket, buf, max);
    unless_ended(socket, received, || (0, Vec::new()))
}

/// What was received; `end`, as a blocking socket gives it, if the receiving side was shut. Linux answers `EAGAIN` to
/// that, so that we would wait for ever.
fn unless_ended<T>(
    socket: BorrowedFd<'_>,
    received: io::Result<T>,
    end: impl FnOnce() -> T,
) -> io::Result<T> {
    match received {
        Err(error)
            if cfg!(target_os = "linux")
                && error.kind() == io::ErrorKind::WouldBlock
                && is_ready(socket, HUNG_UP)? =>
        {
            Ok(end())
        }
        received => received,
    }
}

#[cfg(target_os = "linux")]
const HUNG_UP: PollFlags = PollFlags::RDHUP;
#[cfg(not(target_os = "linux"))]
const HUNG_UP: PollFlags = PollFlags::HUP;

fn is_ready(socket: BorrowedFd<'_>, flags: PollFlags) -> io::Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(socket, flags)];
    rustix::event::poll(&mut fds, Some(&Timespec::default()))?;
    Ok(fds[0].revents().contains(flags))
}

datagram_io!(UnixDatagram, recv, peek, send);
passes_descriptors!(UnixDatagram, stream: false, recv_rights);
socket_basics!(UnixDatagram);
conversions!(UnixDatagram, std::os::unix::net::UnixDatagram, calls::quiet);
