//! [`TcpStream`].

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use super::addr::first_success;
use super::socket::socket_basics;
use super::stream::stream_io;
use super::{ToSocketAddrs, calls, connect};
use crate::io::{Source, WaitKind, conversions};

/// A TCP connection; the twin of [`std::net::TcpStream`].
///
/// It is closed when it is dropped. See [the module](crate::net) for sharing it between a reader and a writer and for
/// what holds after a timeout.
///
/// ```
/// use grapeshot::net::{Shutdown, TcpListener, TcpStream};
/// use std::io::{Read, Write};
/// use std::time::Duration;
///
/// # grapeshot::run(|| {
/// # let listener = TcpListener::bind("127.0.0.1:0")?;
/// # let addr = listener.local_addr()?;
/// # let echo = grapeshot::spawn(move || {
/// #     let (stream, _) = listener.accept().unwrap();
/// #     std::io::copy(&mut &stream, &mut &stream).unwrap();
/// # });
/// let stream = TcpStream::connect(addr)?;
/// stream.set_nodelay(true)?;
/// (&stream).write_all(b"anybody there?")?;
/// stream.shutdown(Shutdown::Write)?;
///
/// let mut answer = String::new();
/// // The timeout bounds the whole of it, however many reads it takes.
/// grapeshot::with_timeout(Duration::from_secs(5), || (&stream).read_to_string(&mut answer))
///     .expect("no answer in time")?;
/// assert_eq!(answer, "anybody there?");
/// # echo.join().unwrap();
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
pub struct TcpStream {
    source: Source<std::net::TcpStream>,
}

impl TcpStream {
    /// Connects to the first of the addresses that answers. **May suspend.**
    ///
    /// # Errors
    ///
    /// The last address's error, such as [`ConnectionRefused`](io::ErrorKind::ConnectionRefused).
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        let source = first_success(addr, connect::tcp)?;
        Ok(TcpStream { source })
    }

    /// As [`connect`](Self::connect), within a time. **May suspend.**
    ///
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut) when the time is over; `InvalidInput` if it is zero, as in std.
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        if timeout.is_zero() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "cannot set a 0 duration timeout",
            ));
        }
        match crate::with_timeout(timeout, || connect::tcp(addr)) {
            Ok(result) => Ok(TcpStream { source: result? }),
            Err(_elapsed) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "connection timed out",
            )),
        }
    }

    /// Takes over a socket that is known not to block.
    pub(super) fn from_nonblocking(stream: std::net::TcpStream) -> TcpStream {
        TcpStream {
            source: Source::new(stream),
        }
    }

    /// This end's address.
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
    /// `NotConnected` if the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.source.live()?.peer_addr()
    }

    /// Whether small writes go out at once (`TCP_NODELAY`), rather than wait for company.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.source.live()?.set_nodelay(nodelay)
    }

    /// Whether small writes go out at once.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.source.live()?.nodelay()
    }

    /// Sets the time to live of the packets sent, in hops.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.source.live()?.set_ttl(ttl)
    }

    /// The time to live of the packets sent, in hops.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub fn ttl(&self) -> io::Result<u32> {
        self.source.live()?.ttl()
    }

    /// What closing does with bytes that are not sent yet (`SO_LINGER`). `Some(Duration::ZERO)` drops them and resets
    /// the connection, `None` (the default) sends them in the background.
    ///
    /// Any other duration makes closing *block the thread* for so long, even here: do not use it in a coroutine.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        SockRef::from(self.source.live()?).set_linger(linger)
    }

    /// What closing does with bytes that are not sent yet.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        SockRef::from(self.source.live()?).linger()
    }

    /// Has the system probe a peer that was silent for `idle` (`SO_KEEPALIVE`), so that a dead one is found out. `None`
    /// turns that off. The system's settings say how often and how long it probes.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub fn set_keepalive(&self, idle: Option<Duration>) -> io::Result<()> {
        let socket = SockRef::from(self.source.live()?);
        match idle {
            Some(idle) => socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle)),
            None => socket.set_keepalive(false),
        }
    }
}

stream_io!(TcpStream);
socket_basics!(TcpStream);
conversions!(TcpStream, std::net::TcpStream, calls::quiet);
