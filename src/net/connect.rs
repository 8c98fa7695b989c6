//! Connecting without a blocked thread.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use super::seam::Socket;
use crate::io::{Source, WaitKind};
use crate::testing::network;

/// A non-blocking TCP connection to one address, with a socket that `open` makes. **May suspend.**
///
/// An interrupt drops the socket, and with it the attempt.
pub(super) fn tcp(
    addr: &SocketAddr,
    open: impl FnOnce(&SocketAddr) -> io::Result<std::net::TcpStream>,
) -> io::Result<Source<Socket<std::net::TcpStream>>> {
    if let Some(network) = network::current() {
        let stream = Socket::<std::net::TcpStream>::source(network.connect(*addr)?);
        stream.write_with(WaitKind::Connect, |socket| match socket {
            Socket::Simulated(socket) => socket.outcome(),
            Socket::System(socket) => outcome(socket.as_fd()),
        })?;
        return Ok(stream);
    }
    let socket = open(addr)?;
    begin(&socket, addr)?;
    let stream = Source::new(Socket::System(socket));
    stream.write_with(WaitKind::Connect, |socket| outcome(socket.as_fd()))?;
    Ok(stream)
}

/// A TCP socket that can be connected to `addr`.
pub(super) fn tcp_socket(addr: &SocketAddr) -> io::Result<std::net::TcpStream> {
    let family = if addr.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    Ok(stream_socket(family)?.into())
}

/// Begins an attempt, which goes on in the background.
pub(super) fn begin(socket: &std::net::TcpStream, addr: &SocketAddr) -> io::Result<()> {
    loop {
        match rustix::net::connect(socket, addr) {
            // The last two: a signal cut the first call short, but not the attempt.
            Ok(()) | Err(Errno::INPROGRESS | Errno::ALREADY | Errno::ISCONN) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// How the attempt on `socket` ended; `WouldBlock` while it has not.
///
/// Readiness alone does not tell: a failed socket is writable as well, and a wake-up may be stale.
pub(super) fn outcome(socket: BorrowedFd<'_>) -> io::Result<()> {
    rustix::net::sockopt::socket_error(socket)??;
    match rustix::net::getpeername(socket) {
        Ok(_) => Ok(()),
        Err(Errno::NOTCONN) => match rustix::net::sockopt::socket_error(socket)? {
            Ok(()) => Err(io::ErrorKind::WouldBlock.into()),
            // It failed between the two questions.
            Err(error) => Err(error.into()),
        },
        // It was connected and has gone already: the first read or write tells why.
        Err(Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// First pause when a Unix listener's queue is full, and the longest.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(1);
const QUEUE_FULL_PAUSE_MAX: Duration = Duration::from_millis(50);

/// A non-blocking Unix connection. **May suspend**, but only if the listener's queue is full.
///
/// A Unix socket connects at once or not at all: with the queue full the kernel gives `EAGAIN` and remembers nothing, so
/// there is no event to wait for; a blocking socket would wait in the kernel. We ask again, ever more slowly.
pub(super) fn unix(addr: &SocketAddrUnix) -> io::Result<Source<std::os::unix::net::UnixStream>> {
    let stream = Source::new(std::os::unix::net::UnixStream::from(stream_socket(
        AddressFamily::UNIX,
    )?));
    let mut pause = QUEUE_FULL_PAUSE;
    loop {
        match rustix::net::connect(stream.get_ref(), addr) {
            Ok(()) => return Ok(stream),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                crate::sleep(pause);
                pause = (pause * 2).min(QUEUE_FULL_PAUSE_MAX);
            }
            // Only where a Unix socket may connect in the background; there its progress can be waited for.
            Err(Errno::INPROGRESS) => {
                stream.write_with(WaitKind::Connect, |socket| outcome(socket.as_fd()))?;
                return Ok(stream);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The form that the system calls take of a Unix address.
///
/// # Errors
///
/// `InvalidInput` if the address has no name to connect to.
pub(super) fn unix_addr(addr: &std::os::unix::net::SocketAddr) -> io::Result<SocketAddrUnix> {
    if let Some(path) = addr.as_pathname() {
        return Ok(SocketAddrUnix::new(path)?);
    }
    #[cfg(target_os = "linux")]
    if let Some(name) = std::os::linux::net::SocketAddrExt::as_abstract_name(addr) {
        return Ok(SocketAddrUnix::new_abstract_name(name)?);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "cannot connect to an unnamed socket",
    ))
}

/// A stream socket that neither blocks nor survives an `exec`.
#[cfg(not(target_vendor = "apple"))]
pub(super) fn stream_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    use rustix::net::SocketFlags;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(
        family,
        SocketType::STREAM,
        flags,
        None,
    )?)
}

/// A stream socket that neither blocks nor survives an `exec`.
#[cfg(target_vendor = "apple")]
pub(super) fn stream_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let fd = rustix::net::socket(family, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    super::calls::quiet(fd.as_fd())?;
    Ok(fd)
}
