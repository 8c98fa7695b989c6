//! [`TcpStream`].

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use super::addr::first_success;
use super::seam::Socket;
use super::socket::socket_basics;
use super::stream::stream_io;
use super::{ConnectOptions, ToSocketAddrs, calls, connect};
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
    source: Source<Socket<std::net::TcpStream>>,
}

impl TcpStream {
    /// Connects to the first of the addresses that answers. **May suspend.**
    ///
    /// # Errors
    ///
    /// The last address's error, such as [`ConnectionRefused`](io::ErrorKind::ConnectionRefused).
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        let source = first_success(addr, |addr| connect::tcp(addr, connect::tcp_socket))?;
        Ok(TcpStream { source })
    }

    /// Connects to whichever of the addresses answers first (happy eyeballs, RFC 8305). **May suspend.**
    ///
    /// IPv6 and IPv4 take turns, beginning with the family of the first address. The next one is tried as soon as those
    /// before have failed, or 250 ms after the last was begun; the first connection wins, and the other attempts are
    /// closed. At most 64 addresses are tried. [`connect`](Self::connect) tries them one after the other, as std does.
    ///
    /// ```
    /// use grapeshot::net::{ConnectErrors, TcpListener, TcpStream};
    ///
    /// # grapeshot::run(|| {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let here = listener.local_addr()?;
    /// // Nobody listens at the first.
    /// let addrs = ["[::1]:9".parse().unwrap(), here];
    /// let stream = TcpStream::connect_any(&addrs[..])?;
    /// assert_eq!(stream.peer_addr()?, here);
    ///
    /// drop((listener, stream));
    /// let error = TcpStream::connect_any(&addrs[..]).unwrap_err();
    /// for (addr, why) in error.get_ref().unwrap().downcast_ref::<ConnectErrors>().unwrap().iter() {
    ///     println!("{addr}: {why}");
    /// }
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConnectErrors`](super::ConnectErrors), inside the error, has that of each address.
    pub fn connect_any<A: ToSocketAddrs>(addrs: A) -> io::Result<TcpStream> {
        ConnectOptions::new().connect(addrs)
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
        match crate::with_timeout(timeout, || connect::tcp(addr, connect::tcp_socket)) {
            Ok(result) => Ok(TcpStream { source: result? }),
            Err(_elapsed) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "connection timed out",
            )),
        }
    }

    /// Takes over a socket that is known not to block.
    pub(super) fn from_nonblocking(stream: std::net::TcpStream) -> TcpStream {
        TcpStream::from_source(Source::new(stream.into()))
    }

    pub(super) fn from_source(source: Source<Socket<std::net::TcpStream>>) -> TcpStream {
        TcpStream { source }
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
        self.source.live()?.options()?.set_nodelay(nodelay)
    }

    /// Whether small writes go out at once.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.source.live()?.options()?.nodelay()
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

    /// What closing does with bytes that are not sent yet (`SO_LINGER`). `Some(Duration::ZERO)` drops them and resets
    /// the connection, `None` (the default) sends them in the background.
    ///
    /// Any other duration makes closing *block the thread* for so long, even here: do not use it in a coroutine.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        SockRef::from(self.source.live()?.options()?).set_linger(linger)
    }

    /// What closing does with bytes that are not sent yet.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        SockRef::from(self.source.live()?.options()?).linger()
    }

    /// Has the system probe a peer that was silent for `idle` (`SO_KEEPALIVE`), so that a dead one is found out. `None`
    /// turns that off. [`set_keepalive_probes`](Self::set_keepalive_probes) says how often and how long it probes.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub fn set_keepalive(&self, idle: Option<Duration>) -> io::Result<()> {
        let socket = SockRef::from(self.source.live()?.options()?);
        match idle {
            Some(idle) => socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle)),
            None => socket.set_keepalive(false),
        }
    }

    /// After which silence the system probes the peer; `None` if it does not.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub fn keepalive(&self) -> io::Result<Option<Duration>> {
        let socket = SockRef::from(self.source.live()?.options()?);
        Ok(match socket.keepalive()? {
            true => Some(socket.tcp_keepalive_time()?),
            false => None,
        })
    }

    /// Once the system probes, it does so every `interval`, in whole seconds; after `lost` probes without an answer the
    /// connection is dead, and reading gives [`TimedOut`](io::ErrorKind::TimedOut). Linux begins with 75 s and 9.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`: `InvalidInput` for less than a second, more than 32,767 s, or more than 127 probes.
    pub fn set_keepalive_probes(&self, interval: Duration, lost: u32) -> io::Result<()> {
        let socket = self.source.live()?.options()?;
        rustix::net::sockopt::set_tcp_keepintvl(socket, interval)?;
        rustix::net::sockopt::set_tcp_keepcnt(socket, lost)?;
        Ok(())
    }

    /// How often the system probes, and how many lost probes mean death.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub fn keepalive_probes(&self) -> io::Result<(Duration, u32)> {
        let socket = self.source.live()?.options()?;
        let interval = rustix::net::sockopt::tcp_keepintvl(socket)?;
        Ok((interval, rustix::net::sockopt::tcp_keepcnt(socket)?))
    }
}

/// What Linux has.
#[cfg(target_os = "linux")]
impl TcpStream {
    /// Whether partial packets are held back until the cork is drawn, for 200 ms at most (`TCP_CORK`). So a head that is
    /// written by itself shares a packet with what follows from a file.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub fn set_cork(&self, cork: bool) -> io::Result<()> {
        Ok(rustix::net::sockopt::set_tcp_cork(
            self.source.live()?.options()?,
            cork,
        )?)
    }

    /// Whether partial packets are held back.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub fn cork(&self) -> io::Result<bool> {
        Ok(rustix::net::sockopt::tcp_cork(
            self.source.live()?.options()?,
        )?)
    }

    /// How many bytes the system takes that it cannot send yet, because the peer has no room or the path is full
    /// (`TCP_NOTSENT_LOWAT`); `None` leaves it to `net.ipv4.tcp_notsent_lowat`, which is no limit but that of the send buffer:
    /// megabytes. Bytes that are under way do not count, so that a fast peer is served as fast. A write goes on when less than
    /// half is left.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub fn set_notsent_lowat(&self, bytes: Option<usize>) -> io::Result<()> {
        // Nothing is no limit: the least that can be said is one byte, and the most means what the system does by itself.
        let bytes = bytes.map_or(0, |bytes| u32::try_from(bytes.max(1)).unwrap_or(u32::MAX));
        socket2::SockRef::from(self.source.live()?.options()?).set_tcp_notsent_lowat(bytes)
    }

    /// How many bytes the system takes that it cannot send yet, if there is a limit for this stream.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub fn notsent_lowat(&self) -> io::Result<Option<usize>> {
        let bytes = socket2::SockRef::from(self.source.live()?.options()?).tcp_notsent_lowat()?;
        Ok((bytes > 0).then_some(bytes as usize))
    }

    /// Whether what arrives is acknowledged at once, rather than with what we send next (`TCP_QUICKACK`). The system
    /// goes its own way again after a while.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`.
    pub fn set_quickack(&self, quick: bool) -> io::Result<()> {
        Ok(rustix::net::sockopt::set_tcp_quickack(
            self.source.live()?.options()?,
            quick,
        )?)
    }

    /// Whether what arrives is acknowledged at once.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub fn quickack(&self) -> io::Result<bool> {
        Ok(rustix::net::sockopt::tcp_quickack(
            self.source.live()?.options()?,
        )?)
    }

    /// How long sent bytes may stay unacknowledged before the connection is dead, in whole milliseconds
    /// (`TCP_USER_TIMEOUT`); `None` leaves it to the system, which tries for some 15 minutes.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt`; `InvalidInput` beyond 49 days.
    pub fn set_user_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        let millis = match limit {
            None => 0,
            // Nothing is no limit: the least that can be said is 1 ms.
            Some(limit) => u32::try_from(limit.as_millis().max(1))
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "longer than 49 days"))?,
        };
        Ok(rustix::net::sockopt::set_tcp_user_timeout(
            self.source.live()?.options()?,
            millis,
        )?)
    }

    /// How long sent bytes may stay unacknowledged.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt`.
    pub fn user_timeout(&self) -> io::Result<Option<Duration>> {
        let millis = rustix::net::sockopt::tcp_user_timeout(self.source.live()?)?;
        Ok((millis > 0).then(|| Duration::from_millis(millis.into())))
    }
}

stream_io!(TcpStream);
#[cfg(feature = "futures-io")]
super::stream::stream_polls!(TcpStream);
socket_basics!(TcpStream);
conversions!(
    TcpStream,
    std::net::TcpStream,
    Socket<std::net::TcpStream>,
    calls::quiet
);
