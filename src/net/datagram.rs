//! What every socket for datagrams has, once its peer is fixed; and what UDP's stand on.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use super::calls;
use super::datagrams::{self, Batch, Datagram};
use super::seam::Socket;

/// Gives a socket for datagrams its `recv` and `send`, where `$recv`, `$peek` and `$send` are one attempt each. The type
/// holds a `source: Source<_>`.
macro_rules! datagram_io {
    ($socket:ident, $recv:path, $peek:path, $send:path) => {
        impl $socket {
            /// Takes the next datagram; what does not fit into `buf` of it is lost. **May suspend.**
            ///
            /// Unlike a stream, it may be empty: 0 is no end.
            ///
            /// # Errors
            ///
            /// [`ConnectionRefused`](std::io::ErrorKind::ConnectionRefused), if nobody receives there (any more) what
            /// was sent before.
            pub fn recv(&self, buf: &mut [u8]) -> std::io::Result<usize> {
                self.source.read_with(WaitKind::Read, |io| $recv(io, buf))
            }

            /// Takes the next datagram if there is one, and never suspends.
            ///
            /// # Errors
            ///
            /// [`WouldBlock`](std::io::ErrorKind::WouldBlock) if there is none; else as for [`recv`](Self::recv).
            pub fn try_recv(&self, buf: &mut [u8]) -> std::io::Result<usize> {
                self.source.attempt(|io| $recv(io, buf))
            }

            /// As [`recv`](Self::recv), and leaves the datagram to the next call. **May suspend.**
            ///
            /// # Errors
            ///
            /// As for `recv`.
            pub fn peek(&self, buf: &mut [u8]) -> std::io::Result<usize> {
                self.source.read_with(WaitKind::Read, |io| $peek(io, buf))
            }

            /// Sends a datagram to the connected peer. **May suspend**, while there is no room for it.
            ///
            /// # Errors
            ///
            /// `NotConnected` or `DestinationAddrRequired` if there is no peer; `ConnectionRefused` if nobody receives
            /// there; `EMSGSIZE` if it is too long.
            pub fn send(&self, buf: &[u8]) -> std::io::Result<usize> {
                self.source.write_with(WaitKind::Write, |io| $send(io, buf))
            }

            /// Sends a datagram if there is room for it, and never suspends.
            ///
            /// # Errors
            ///
            /// [`WouldBlock`](std::io::ErrorKind::WouldBlock) if there is none; else as for [`send`](Self::send).
            pub fn try_send(&self, buf: &[u8]) -> std::io::Result<usize> {
                self.source.attempt(|io| $send(io, buf))
            }
        }
    };
}

pub(super) use datagram_io;

/// The calls of a UDP socket, each one attempt.
impl Socket<UdpSocket> {
    pub(super) fn connect(&self, addr: SocketAddr) -> io::Result<()> {
        match self {
            Self::System(socket) => socket.connect(addr),
            Self::Simulated(socket) => socket.fix_peer(addr),
        }
    }

    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::System(socket) => socket.peer_addr(),
            Self::Simulated(socket) => socket.fixed_peer(),
        }
    }

    #[inline]
    pub(super) fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::System(socket) => calls::recv(socket.as_fd(), buf),
            Self::Simulated(socket) => Ok(socket.recv_datagram(buf, false)?.count),
        }
    }

    pub(super) fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::System(socket) => calls::peek(socket.as_fd(), buf),
            Self::Simulated(socket) => Ok(socket.recv_datagram(buf, true)?.count),
        }
    }

    #[inline]
    pub(super) fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self {
            Self::System(socket) => socket.recv_from(buf),
            Self::Simulated(socket) => {
                let received = socket.recv_datagram(buf, false)?;
                Ok((received.count, received.from))
            }
        }
    }

    pub(super) fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        match self {
            Self::System(socket) => socket.peek_from(buf),
            Self::Simulated(socket) => {
                let received = socket.recv_datagram(buf, true)?;
                Ok((received.count, received.from))
            }
        }
    }

    #[inline]
    pub(super) fn send(&self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::System(socket) => calls::send(socket.as_fd(), buf),
            Self::Simulated(socket) => socket.send_datagram(buf, None),
        }
    }

    #[inline]
    pub(super) fn send_to(&self, buf: &[u8], addr: SocketAddr) -> io::Result<usize> {
        match self {
            Self::System(socket) => socket.send_to(buf, addr),
            Self::Simulated(socket) => socket.send_datagram(buf, Some(addr)),
        }
    }

    pub(super) fn recv_many(&self, batch: &mut Batch) -> io::Result<usize> {
        match self {
            Self::System(socket) => datagrams::recv(socket, batch),
            Self::Simulated(socket) => batch.fill(|room| {
                let received = socket.recv_datagram(room, false)?;
                Ok((received.count, received.from, received.len > received.count))
            }),
        }
    }

    pub(super) fn send_many(&self, datagrams: &[Datagram<'_>]) -> io::Result<usize> {
        match self {
            Self::System(socket) => datagrams::send(socket, datagrams),
            Self::Simulated(socket) => datagrams::send_each(datagrams, |datagram| {
                socket.send_datagram(datagram.bytes(), datagram.addr())
            }),
        }
    }
}
