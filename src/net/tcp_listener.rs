//! [`TcpListener`].

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use super::accept::{self, Incoming};
use super::seam::{Handle, Socket};
use super::{ListenOptions, TcpStream, ToSocketAddrs, calls};
use crate::io::{Source, WaitKind, conversions};

/// A TCP socket that connections arrive at; the twin of [`std::net::TcpListener`].
///
/// Several coroutines, on any workers, may accept from one listener: each connection goes to one of them.
///
/// ```
/// use grapeshot::net::{TcpListener, TcpStream};
/// use std::io::{Read, Write};
///
/// # grapeshot::run(|| {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let addr = listener.local_addr()?;
/// let server = grapeshot::spawn(move || {
///     let (mut stream, _peer) = listener.accept()?;
///     stream.write_all(b"hello")
/// });
/// let mut greeting = String::new();
/// TcpStream::connect(addr)?.read_to_string(&mut greeting)?;
/// assert_eq!(greeting, "hello");
/// server.join().unwrap()
/// # }).unwrap();
/// ```
pub struct TcpListener {
    source: Source<Socket<std::net::TcpListener>>,
}

impl TcpListener {
    pub(super) fn from_source(source: Source<Socket<std::net::TcpListener>>) -> TcpListener {
        TcpListener { source }
    }

    /// Listens on the first of the addresses that allows it. Port 0 lets the system choose one. **May suspend** if
    /// `addr` holds a name to look up.
    ///
    /// As in std, `SO_REUSEADDR` is set: a server that was restarted gets its port back at once. The backlog is 4096;
    /// [`ListenOptions`] has other choices.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) if somebody listens there already; whatever else the system gives.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        ListenOptions::new().bind(addr)
    }

    /// Takes the next connection. **May suspend.**
    ///
    /// A connection that its peer took back while it was queued is passed over. An interrupted `accept` loses none.
    ///
    /// # Errors
    ///
    /// Above all `EMFILE`, if the process has no descriptor left. The connection then stays in the queue, and the next
    /// call fails at once until a descriptor is free: a server must neither end nor spin then.
    /// [`incoming`](Self::incoming) backs off by itself.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.source.read_with(WaitKind::Accept, accept_one)
    }

    /// Takes a connection if there is one, and never suspends.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is none; else as for [`accept`](Self::accept).
    pub fn try_accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.source.attempt(accept_one)
    }

    /// Waits for a connection and takes all that are there, at most `most` (at least 1), in the order of their arrival.
    /// **May suspend**, until there is the first.
    ///
    /// # Errors
    ///
    /// As for [`accept`](Self::accept), if it comes before the first connection; else the next call has it.
    pub fn accept_many(&self, most: usize) -> io::Result<Vec<(TcpStream, SocketAddr)>> {
        let first = self.accept()?;
        Ok(accept::with_queued(first, most, || self.try_accept()))
    }

    /// The connections, one after the other, until it is closed. **Each step may suspend.**
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming::new(self)
    }

    /// The address it listens on, with the port that the system chose.
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
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        Ok(TcpListener {
            source: Handle::duplicate(&self.source)?,
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

    /// Sets the time to live of the packets sent, in hops.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.source.live()?.options()?.set_ttl(ttl)
    }

    /// The time to live of the packets sent, in hops.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub fn ttl(&self) -> io::Result<u32> {
        self.source.live()?.options()?.ttl()
    }
}

fn accept_one(listener: &Socket<std::net::TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Socket::System(listener) => {
            let (fd, addr) = accept::tcp(listener.as_fd())?;
            Ok((TcpStream::from_nonblocking(fd.into()), addr))
        }
        Socket::Simulated(listener) => {
            let (stream, addr) = listener.accept()?;
            Ok((TcpStream::from_source(Socket::source(stream)), addr))
        }
    }
}

conversions!(
    TcpListener,
    std::net::TcpListener,
    Socket<std::net::TcpListener>,
    calls::quiet
);
