//! [`UdpSocket`].

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::addr::first_success;
use super::datagram::datagram_io;
use super::datagrams::{Batch, Datagram};
use super::seam::Socket;
use super::socket::socket_basics;
use super::{ListenOptions, ToSocketAddrs, calls};
use crate::io::{Source, WaitKind, conversions};

/// A UDP socket; the twin of [`std::net::UdpSocket`].
///
/// One coroutine may receive while another sends; further ones of either direction queue behind. A datagram that is
/// longer than the buffer is cut, as everywhere; [`recv_many`](Self::recv_many) tells.
///
/// ```
/// use grapeshot::net::UdpSocket;
///
/// # grapeshot::run(|| {
/// let server = UdpSocket::bind("127.0.0.1:0")?;
/// let addr = server.local_addr()?;
/// let echo = grapeshot::spawn(move || {
///     let mut buf = [0; 1500];
///     let (count, peer) = server.recv_from(&mut buf)?;
///     server.send_to(&buf[..count], peer)
/// });
///
/// let client = UdpSocket::bind("127.0.0.1:0")?;
/// client.connect(addr)?;
/// client.send(b"anybody there?")?;
/// let mut answer = [0; 1500];
/// let count = client.recv(&mut answer)?;
/// assert_eq!(&answer[..count], b"anybody there?");
/// echo.join().unwrap().map(drop)
/// # }).unwrap();
/// ```
pub struct UdpSocket {
    source: Source<Socket<std::net::UdpSocket>>,
}

impl UdpSocket {
    pub(super) fn from_source(source: Source<Socket<std::net::UdpSocket>>) -> UdpSocket {
        UdpSocket { source }
    }

    /// Binds to the first of the addresses that allows it. Port 0 lets the system choose one. **May suspend** if `addr`
    /// holds a name to look up. [`ListenOptions::bind_udp`] has other choices.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) if somebody has the port already; whatever else the system gives.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<UdpSocket> {
        ListenOptions::new().bind_udp(addr)
    }

    /// Fixes the peer: `send` goes there, and only what comes from there is received. **May suspend** if `addr` holds a
    /// name to look up.
    ///
    /// # Errors
    ///
    /// The last address's error, such as `NetworkUnreachable`; nobody is asked whether they are there.
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        first_success(addr, |addr| self.source.live()?.connect(*addr))
    }

    /// Takes the next datagram, and says from where. **May suspend.**
    ///
    /// # Errors
    ///
    /// On a connected socket [`ConnectionRefused`](io::ErrorKind::ConnectionRefused), if the peer's host said that
    /// nobody receives there what was sent before.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.source
            .read_with(WaitKind::Read, |io| io.recv_from(buf))
    }

    /// Takes the next datagram if there is one, and never suspends.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is none; else as for [`recv_from`](Self::recv_from).
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.source.attempt(|io| io.recv_from(buf))
    }

    /// As [`recv_from`](Self::recv_from), and leaves the datagram to the next call. **May suspend.**
    ///
    /// # Errors
    ///
    /// As for `recv_from`.
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.source
            .read_with(WaitKind::Read, |io| io.peek_from(buf))
    }

    /// Sends a datagram to the first of the addresses. **May suspend**, if the system's buffer is full or `addr` holds
    /// a name to look up.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there is no address; `EMSGSIZE` for more than 65,507 bytes (IPv4); whatever else the system
    /// gives.
    pub fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let addr = first_of(addr)?;
        self.source
            .write_with(WaitKind::Write, |io| io.send_to(buf, addr))
    }

    /// Sends a datagram if the system takes it at once, and never suspends but for a look-up of `addr`.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if it does not; else as for [`send_to`](Self::send_to).
    pub fn try_send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let addr = first_of(addr)?;
        self.source.attempt(|io| io.send_to(buf, addr))
    }

    /// Takes as many datagrams as are there and as `batch` has room for, at least one, in one system call (`recvmmsg`).
    /// **May suspend**, while there is none. What was in the batch is gone.
    ///
    /// ```
    /// use grapeshot::net::{Batch, Datagram, UdpSocket};
    ///
    /// # grapeshot::run(|| {
    /// let server = UdpSocket::bind("127.0.0.1:0")?;
    /// let client = UdpSocket::bind("127.0.0.1:0")?;
    /// client.connect(server.local_addr()?)?;
    /// client.send_many(&[Datagram::new(b"one"), Datagram::new(b"two")])?;
    ///
    /// let mut batch = Batch::new(32, 1500);
    /// let count = server.recv_many(&mut batch)?;
    /// // A datagram that was received can be sent: it goes back to where it came from.
    /// let echo: Vec<Datagram<'_>> = batch.iter().collect();
    /// server.send_many(&echo)?;
    /// # assert_eq!(count, 2);
    /// # assert_eq!(client.recv(&mut [0; 9])?, 3);
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`recv_from`](Self::recv_from), if it comes before the first datagram.
    pub fn recv_many(&self, batch: &mut Batch) -> io::Result<usize> {
        self.source
            .read_with(WaitKind::Read, |io| io.recv_many(batch))
    }

    /// Sends the datagrams, in order, in one system call (`sendmmsg`) for each 64 of them. **May suspend**, while the
    /// system takes none. Returns how many it took, at least one; the rest is for another call.
    ///
    /// Those without an address go to the connected peer.
    ///
    /// # Errors
    ///
    /// What the first datagram met; that of a later one is for the call that begins with it.
    pub fn send_many(&self, datagrams: &[Datagram<'_>]) -> io::Result<usize> {
        self.source
            .write_with(WaitKind::Write, |io| io.send_many(datagrams))
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
    /// `NotConnected` if [`connect`](Self::connect) has fixed none.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.source.live()?.peer_addr()
    }
}

/// The address that a datagram goes to: the first, as in std.
fn first_of<A: ToSocketAddrs>(addr: A) -> io::Result<SocketAddr> {
    addr.to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no addresses to send data to"))
}

/// Options with std's names, types and meaning.
macro_rules! options {
    ($of:ident: $($(#[$doc:meta])* $set:ident($($arg:ident: $type:ty),*) $(, $read:ident -> $value:ty)?;)*) => {
        impl UdpSocket {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                ///
                /// Those of `setsockopt`.
                pub fn $set(&self, $($arg: $type),*) -> io::Result<()> {
                    self.source.live()?.$of()?.$set($($arg),*)
                }
                $(
                    #[doc = concat!("What [`", stringify!($set), "`](Self::", stringify!($set), ") sets.")]
                    ///
                    /// # Errors
                    ///
                    /// Those of `getsockopt`.
                    pub fn $read(&self) -> io::Result<$value> {
                        self.source.live()?.$of()?.$read()
                    }
                )?
            )*
        }
    };
}

options! {
    options:
    /// Whether it may send to a broadcast address (`SO_BROADCAST`).
    set_broadcast(yes: bool), broadcast -> bool;
    /// Sets the time to live of the datagrams sent, in hops.
    set_ttl(hops: u32), ttl -> u32;
    /// Whether what it sends to a multicast group comes back to this host too (`IP_MULTICAST_LOOP`).
    set_multicast_loop_v4(yes: bool), multicast_loop_v4 -> bool;
    /// How many hops datagrams to a multicast group may go (`IP_MULTICAST_TTL`).
    set_multicast_ttl_v4(hops: u32), multicast_ttl_v4 -> u32;
    /// As `set_multicast_loop_v4`, for IPv6.
    set_multicast_loop_v6(yes: bool), multicast_loop_v6 -> bool;
}

options! {
    system:
    /// Receives what is sent to the group, on the interface with that address; on one that the system chooses for
    /// `0.0.0.0`.
    join_multicast_v4(group: &Ipv4Addr, interface: &Ipv4Addr);
    /// Receives what is sent to the group, on the interface with that index; 0 lets the system choose.
    join_multicast_v6(group: &Ipv6Addr, interface: u32);
    /// Ends what [`join_multicast_v4`](Self::join_multicast_v4) began.
    leave_multicast_v4(group: &Ipv4Addr, interface: &Ipv4Addr);
    /// Ends what [`join_multicast_v6`](Self::join_multicast_v6) began.
    leave_multicast_v6(group: &Ipv6Addr, interface: u32);
}

datagram_io!(UdpSocket, Socket::recv, Socket::peek, Socket::send);
socket_basics!(UdpSocket);
conversions!(
    UdpSocket,
    std::net::UdpSocket,
    Socket<std::net::UdpSocket>,
    calls::quiet
);
