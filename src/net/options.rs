//! How a listener or a UDP socket is set up, beyond what `bind` chooses.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use socket2::{Domain, Protocol, Socket, Type};

use super::addr::first_success;
use super::{TcpListener, ToSocketAddrs, UdpSocket, UnixListener, calls};
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
    backlog: u32,
    reuse_port: bool,
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

    /// Whether a listener on an IPv6 address refuses IPv4 (`IPV6_V6ONLY`). Left alone, the system decides.
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
        let listener = first_success(addr, |addr| self.bind_one(addr))?;
        TcpListener::from_std(listener)
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
