//! The seam between TCP and UDP sockets and what they stand on: a descriptor, or the network of a simulation.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
#[cfg(feature = "futures-io")]
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::calls;
use crate::io::{Source, Stream, dead};
use crate::testing::network::socket::Simulated;

/// A socket of the system, or one that a simulation has in its place. Which one is settled when it is made.
pub(crate) enum Socket<S> {
    System(S),
    /// Behind a `Box` so that the others are not larger for it.
    Simulated(Box<Simulated>),
}

impl<S: AsFd> AsFd for Socket<S> {
    /// A simulated one has a descriptor that refuses everything.
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::System(socket) => socket.as_fd(),
            Self::Simulated(_) => refusing(),
        }
    }
}

#[cold]
fn refusing() -> BorrowedFd<'static> {
    dead().expect("it was opened when the simulation began")
}

impl<S: fmt::Debug> fmt::Debug for Socket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(socket) => socket.fmt(f),
            Self::Simulated(socket) => socket.fmt(f),
        }
    }
}

impl<S> From<S> for Socket<S> {
    fn from(socket: S) -> Self {
        Self::System(socket)
    }
}

/// What a simulated socket does not have was asked for.
#[derive(Debug, thiserror::Error)]
#[error("this socket is simulated: it has no descriptor to give away")]
pub(crate) struct NoDescriptor;

impl From<NoDescriptor> for io::Error {
    fn from(error: NoDescriptor) -> Self {
        Self::new(io::ErrorKind::Unsupported, error)
    }
}

/// Takes the system's socket out.
pub(crate) trait IntoSystem<S> {
    fn into_system(self) -> Result<S, NoDescriptor>;
}

impl<S> IntoSystem<S> for S {
    fn into_system(self) -> Result<S, NoDescriptor> {
        Ok(self)
    }
}

impl<S> IntoSystem<S> for Socket<S> {
    fn into_system(self) -> Result<S, NoDescriptor> {
        match self {
            Self::System(socket) => Ok(socket),
            Self::Simulated(_) => Err(NoDescriptor),
        }
    }
}

impl<S: Into<OwnedFd>> From<Socket<S>> for OwnedFd {
    /// # Panics
    /// If it is simulated.
    fn from(socket: Socket<S>) -> Self {
        match socket.into_system() {
            Ok(socket) => S::into(socket),
            Err(error) => panic!("{error}"),
        }
    }
}

impl<S> Socket<S> {
    /// One of the running simulation, ready to be waited for.
    pub(super) fn source(socket: Simulated) -> Source<Self>
    where
        S: AsFd,
    {
        let (by, slot) = (socket.behind(), socket.slot());
        Source::simulated(Self::Simulated(Box::new(socket)), by, slot)
    }
}

/// What `std` has of its sockets, with the simulated ones' answers.
macro_rules! shared {
    ($std:ty, $options:ident) => {
        impl Socket<$std> {
            pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
                match self {
                    Self::System(socket) => socket.local_addr(),
                    Self::Simulated(socket) => socket.local_addr(),
                }
            }

            pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
                match self {
                    Self::System(socket) => socket.take_error(),
                    Self::Simulated(socket) => Ok(socket.take_error()),
                }
            }

            /// Where options are set and asked for.
            pub(super) fn options(&self) -> io::Result<&$std> {
                match self {
                    Self::System(socket) => Ok(socket),
                    Self::Simulated(socket) => socket.$options(),
                }
            }
        }
    };
}

shared!(std::net::TcpStream, stream_options);
shared!(std::net::TcpListener, listener_options);
shared!(std::net::UdpSocket, datagram_options);

impl<S> Socket<S> {
    /// What only the system can do.
    pub(super) fn system(&self) -> io::Result<&S> {
        match self {
            Self::System(socket) => Ok(socket),
            Self::Simulated(_) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this socket is simulated, and simulated networks have no multicast",
            )),
        }
    }
}

/// What every socket for data has.
pub(super) trait Handle: AsFd + Sized {
    /// A further handle to the same socket.
    fn duplicate(source: &Source<Self>) -> io::Result<Source<Self>>;

    /// Where options are set and asked for.
    fn option_fd(&self) -> io::Result<BorrowedFd<'_>> {
        Ok(self.as_fd())
    }
}

macro_rules! duplicate {
    ($($std:ty),*) => {$(
        impl Handle for $std {
            fn duplicate(source: &Source<Self>) -> io::Result<Source<Self>> {
                source.try_clone_with(|socket| socket.try_clone())
            }
        }
    )*};
}

duplicate!(
    std::os::unix::net::UnixStream,
    std::os::unix::net::UnixDatagram
);

macro_rules! duplicate_either {
    ($($std:ty),*) => {$(
        impl Handle for Socket<$std> {
            fn duplicate(source: &Source<Self>) -> io::Result<Source<Self>> {
                match source.live()? {
                    Self::Simulated(socket) => Ok(Self::source(socket.duplicate()?)),
                    Self::System(_) => source.try_clone_with(|socket| match socket {
                        Self::System(socket) => Ok(Self::System(socket.try_clone()?)),
                        Self::Simulated(_) => Err(NoDescriptor.into()),
                    }),
                }
            }

            fn option_fd(&self) -> io::Result<BorrowedFd<'_>> {
                Ok(self.options()?.as_fd())
            }
        }
    )*};
}

duplicate_either!(
    std::net::TcpStream,
    std::net::TcpListener,
    std::net::UdpSocket
);

/// The calls of a stream, each one attempt.
pub(super) trait StreamCalls: AsFd {
    #[inline]
    fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        calls::recv(self.as_fd(), buf)
    }
    /// As `recv`, into memory that need not be initialised.
    #[cfg(feature = "futures-io")]
    fn recv_uninit(&self, buf: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
        calls::recv_uninit(self.as_fd(), buf)
    }
    fn recv_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        calls::recv_vectored(self.as_fd(), bufs)
    }
    fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        calls::peek(self.as_fd(), buf)
    }
    #[inline]
    fn send(&self, buf: &[u8]) -> io::Result<usize> {
        calls::send(self.as_fd(), buf)
    }
    fn send_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        calls::send_vectored(self.as_fd(), bufs)
    }
    fn end(&self, how: Shutdown) -> io::Result<()>;
}

impl StreamCalls for std::os::unix::net::UnixStream {
    fn end(&self, how: Shutdown) -> io::Result<()> {
        self.shutdown(how)
    }
}

impl Stream for Socket<std::net::TcpStream> {
    const SHORT_IS_ALL: bool = <std::net::TcpStream as Stream>::SHORT_IS_ALL;
}

impl StreamCalls for Socket<std::net::TcpStream> {
    #[inline]
    fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::System(socket) => calls::recv(socket.as_fd(), buf),
            Self::Simulated(socket) => socket.recv(&mut [IoSliceMut::new(buf)], false),
        }
    }

    #[cfg(feature = "futures-io")]
    fn recv_uninit(&self, buf: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
        match self {
            Self::System(socket) => calls::recv_uninit(socket.as_fd(), buf),
            Self::Simulated(socket) => {
                let mut bytes = vec![0; buf.len()];
                let count = socket.recv(&mut [IoSliceMut::new(&mut bytes)], false)?;
                for (place, &byte) in buf.iter_mut().zip(&bytes[..count]) {
                    place.write(byte);
                }
                Ok(count)
            }
        }
    }

    fn recv_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match self {
            Self::System(socket) => calls::recv_vectored(socket.as_fd(), bufs),
            Self::Simulated(socket) => socket.recv(bufs, false),
        }
    }

    fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::System(socket) => calls::peek(socket.as_fd(), buf),
            Self::Simulated(socket) => socket.recv(&mut [IoSliceMut::new(buf)], true),
        }
    }

    #[inline]
    fn send(&self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::System(socket) => calls::send(socket.as_fd(), buf),
            Self::Simulated(socket) => socket.send(&[IoSlice::new(buf)]),
        }
    }

    fn send_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::System(socket) => calls::send_vectored(socket.as_fd(), bufs),
            Self::Simulated(socket) => socket.send(bufs),
        }
    }

    fn end(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::System(socket) => socket.shutdown(how),
            Self::Simulated(socket) => socket.shutdown(how),
        }
    }
}

impl Socket<std::net::TcpStream> {
    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::System(socket) => socket.peer_addr(),
            Self::Simulated(socket) => socket.peer_addr(),
        }
    }
}
