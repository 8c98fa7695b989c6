//! How a listener, a UDP socket or a connection is set up, beyond what `bind` and `connect` choose.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::addr::first_success;
use super::seam::Socket as Either;
use super::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket, UnixListener, calls, connect, race};
use crate::testing::network;
use std::os::fd::AsFd;

/// Connections that may wait for an `accept`. The kernel clips it to its own limit (`net.core.somaxconn`, 4096 on
/// Linux); std asks for 128, which a burst of clients overflows.
const BACKLOG: u32 = 4096;

/// Sets up a listener, or a UDP socket, with more than the defaults.
///
/// ```
/// use grapeshot::net::ListenOptions;
///
/// // One listener for each worker: the kernel spreads the connections.
/// let first = ListenOptions::new().reuse_port(true).bind("127.0.0.1:0")?;
/// let second = ListenOptions::new().reuse_port(true).bind(first.local_addr()?)?;
/// assert_eq!(first.local_addr()?, second.local_addr()?);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ListenOptions {
    pub(crate) backlog: u32,
    pub(crate) reuse_port: bool,
    only_v6: Option<bool>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        ListenOptions::new()
    }
}

impl ListenOptions {
    /// What `bind` uses: a backlog of 4096, the port not shared.
    #[must_use]
    pub fn new() -> Self {
        ListenOptions {
            backlog: BACKLOG,
            reuse_port: false,
            only_v6: None,
        }
    }

    /// How many connections may queue before they are accepted. The kernel may clip it.
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Whether several listeners of this user may share the port (`SO_REUSEPORT`). On Linux the kernel then spreads
    /// the connections over them. It means nothing to a Unix listener.
    #[must_use]
    pub fn reuse_port(mut self, yes: bool) -> Self {
        self.reuse_port = yes;
        self
    }

    /// Whether a listener on an IPv6 address refuses IPv4 (`IPV6_V6ONLY`). Left alone, the system decides. With `false`,
    /// a listener on `[::]` serves both; IPv4 peers have addresses such as `::ffff:192.0.2.1` there
    /// ([`to_canonical`](std::net::IpAddr::to_canonical) makes them plain).
    #[must_use]
    pub fn only_v6(mut self, yes: bool) -> Self {
        self.only_v6 = Some(yes);
        self
    }

    /// Binds a TCP listener to the first of the addresses that allows it, with `SO_REUSEADDR` as in std.
    /// **May suspend** if `addr` holds a name to look up.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) if somebody listens there already; whatever else the system gives.
    pub fn bind<A: ToSocketAddrs>(&self, addr: A) -> io::Result<TcpListener> {
        if let Some(network) = network::current() {
            let listener = first_success(addr, |addr| network.listen(*addr, self))?;
            return Ok(TcpListener::from_source(Either::source(listener)));
        }
        let listener = first_success(addr, |addr| self.bind_one(addr))?;
        TcpListener::from_std(listener)
    }

    /// Binds one TCP listener for each worker of the runtime (one, where none runs), all to the same address and port:
    /// the kernel spreads the connections over them, and no worker waits for another to accept. **May suspend** if `addr`
    /// holds a name to look up.
    ///
    /// ```
    /// use grapeshot::net::{ListenOptions, TcpStream};
    /// use grapeshot::{Builder, Placement, spawn_local};
    ///
    /// # grapeshot::run(|| {
    /// let listeners = ListenOptions::new().bind_per_worker("127.0.0.1:0")?;
    /// # let addr = listeners[0].local_addr()?;
    /// for (worker, listener) in listeners.into_iter().enumerate() {
    ///     Builder::new().placement(Placement::Worker(worker)).spawn(move || {
    ///         for stream in listener.incoming().flatten() {
    ///             // It stays on this worker.
    ///             spawn_local(move || std::io::copy(&mut &stream, &mut &stream));
    ///         }
    ///     });
    /// }
    /// # for _ in 0..8 {
    /// #     use std::io::{Read, Write};
    /// #     let mut stream = TcpStream::connect(addr)?;
    /// #     stream.write_all(b"x")?;
    /// #     stream.read_exact(&mut [0])?;
    /// # }
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// The kernel goes by the clients' addresses, not by load; and what it has given to one listener no other can take,
    /// however busy that worker is. So this is for short requests from many clients. On other systems than Linux it may
    /// all go to one listener.
    ///
    /// # Errors
    ///
    /// As for [`bind`](Self::bind). Whoever has the port must be of this user, and share it too.
    pub fn bind_per_worker<A: ToSocketAddrs>(&self, addr: A) -> io::Result<Vec<TcpListener>> {
        let options = self.clone().reuse_port(true);
        let first = options.bind(addr)?;
        // With the port that the system chose, if it was to choose one.
        let addr = first.local_addr()?;
        let mut listeners = vec![first];
        for _ in 1..crate::registry::workers().len() {
            listeners.push(options.bind(addr)?);
        }
        Ok(listeners)
    }

    fn bind_one(&self, addr: &SocketAddr) -> io::Result<std::net::TcpListener> {
        let socket = self.socket(*addr, Type::STREAM, Protocol::TCP)?;
        socket.set_reuse_address(true)?;
        socket.bind(&(*addr).into())?;
        socket.listen(self.clipped_backlog())?;
        Ok(socket.into())
    }

    /// Binds a UDP socket to the first of the addresses that allows it. The backlog means nothing to it. **May suspend**
    /// if `addr` holds a name to look up.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) if somebody has the port already; whatever else the system gives.
    pub fn bind_udp<A: ToSocketAddrs>(&self, addr: A) -> io::Result<UdpSocket> {
        if let Some(network) = network::current() {
            let socket = first_success(addr, |addr| network.bind(*addr, self))?;
            return Ok(UdpSocket::from_source(Either::source(socket)));
        }
        let socket = first_success(addr, |addr| {
            let socket = self.socket(*addr, Type::DGRAM, Protocol::UDP)?;
            socket.bind(&(*addr).into())?;
            Ok(socket.into())
        })?;
        UdpSocket::from_std(socket)
    }

    /// A socket for `addr` with what was chosen.
    fn socket(&self, addr: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
        if self.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if let (Some(only_v6), SocketAddr::V6(_)) = (self.only_v6, addr) {
            socket.set_only_v6(only_v6)?;
        }
        Ok(socket)
    }

    /// Binds a Unix listener to a path, which must not exist.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) if the path exists, whether or not anybody listens there.
    pub fn bind_unix<P: AsRef<Path>>(&self, path: P) -> io::Result<UnixListener> {
        self.listen_unix(std::os::unix::net::UnixListener::bind(path)?)
    }

    /// As [`bind_unix`](Self::bind_unix), with an address that may also be abstract.
    ///
    /// # Errors
    ///
    /// As for `bind_unix`.
    pub fn bind_unix_addr(&self, addr: &super::unix::SocketAddr) -> io::Result<UnixListener> {
        self.listen_unix(std::os::unix::net::UnixListener::bind_addr(addr)?)
    }

    fn listen_unix(&self, listener: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
        calls::quiet(listener.as_fd())?;
        // std has chosen a backlog already; listening again only changes that.
        rustix::net::listen(&listener, self.clipped_backlog())?;
        UnixListener::from_std(listener)
    }

    fn clipped_backlog(&self) -> i32 {
        i32::try_from(self.backlog).unwrap_or(i32::MAX)
    }
}

/// RFC 8305, section 5.
const STAGGER: Duration = Duration::from_millis(250);

/// Sets up a connection with more than the defaults.
///
/// ```
/// use grapeshot::net::{ConnectOptions, TcpListener};
///
/// # grapeshot::run(|| {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let stream = ConnectOptions::new()
///     .local_addr("127.0.0.7:0".parse().unwrap())
///     .connect(listener.local_addr()?)?;
/// assert_eq!(stream.local_addr()?.ip().to_string(), "127.0.0.7");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    local_addr: Option<SocketAddr>,
    stagger: Duration,
    recv_buffer_size: Option<usize>,
    send_buffer_size: Option<usize>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        ConnectOptions::new()
    }
}

impl ConnectOptions {
    /// What [`TcpStream::connect_any`] uses.
    #[must_use]
    pub fn new() -> Self {
        ConnectOptions {
            local_addr: None,
            stagger: STAGGER,
            recv_buffer_size: None,
            send_buffer_size: None,
        }
    }

    /// Connects from this address; port 0 lets the system choose one. Addresses of the other family then fail.
    #[must_use]
    pub fn local_addr(mut self, addr: SocketAddr) -> Self {
        self.local_addr = Some(addr);
        self
    }

    /// How long an address may not answer before the next is tried beside it; 250 ms by default.
    #[must_use]
    pub fn stagger(mut self, pause: Duration) -> Self {
        self.stagger = pause;
        self
    }

    /// How many bytes the system keeps until they are read (`SO_RCVBUF`). Only before the connection is made can it
    /// widen the window that the peer is offered.
    #[must_use]
    pub fn recv_buffer_size(mut self, bytes: usize) -> Self {
        self.recv_buffer_size = Some(bytes);
        self
    }

    /// How many bytes the system takes before the peer has them (`SO_SNDBUF`).
    #[must_use]
    pub fn send_buffer_size(mut self, bytes: usize) -> Self {
        self.send_buffer_size = Some(bytes);
        self
    }

    /// Connects to whichever of the addresses answers first; see [`TcpStream::connect_any`]. **May suspend.**
    ///
    /// # Errors
    ///
    /// [`ConnectErrors`](super::ConnectErrors), inside the error, has that of each address.
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<TcpStream> {
        let addrs = addr.to_socket_addrs()?;
        let source = race::connect(addrs, self.stagger, |addr| self.socket(addr))?;
        Ok(TcpStream::from_source(source))
    }

    fn socket(&self, addr: &SocketAddr) -> io::Result<std::net::TcpStream> {
        let stream = connect::tcp_socket(addr)?;
        let socket = SockRef::from(&stream);
        if let Some(bytes) = self.recv_buffer_size {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.send_buffer_size {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Some(local) = self.local_addr {
            if local.is_ipv4() != addr.is_ipv4() {
                return Err(io::Error::new(
                    io::ErrorKind::AddrNotAvailable,
                    "the local address is of the other family",
                ));
            }
            socket.bind(&local.into())?;
        }
        Ok(stream)
    }
}
