//! What every socket has: waiting for it, options, closing it, and the way from and to std and descriptors.

/// Gives a socket type that is read and written (a stream, or one for datagrams) what those have in common.
///
/// The type holds a `source: Source<_>`.
macro_rules! socket_basics {
    ($socket:ident) => {
        impl $socket {
            /// Waits until there is something to read, or the end, or an error. **May suspend.**
            ///
            /// For protocol libraries that do their own reading (through [`AsFd`](std::os::fd::AsFd) or `try_read`).
            /// Try to read first: only what comes after a `WouldBlock` is sure to be told. It may return without cause.
            ///
            /// # Errors
            ///
            /// Those of the poller.
            pub fn wait_readable(&self) -> std::io::Result<()> {
                self.source.wait_readable(WaitKind::Read)
            }

            /// Waits until something can be written, or an error. **May suspend.** As for
            /// [`wait_readable`](Self::wait_readable), try first; it may return without cause.
            ///
            /// # Errors
            ///
            /// Those of the poller.
            pub fn wait_writable(&self) -> std::io::Result<()> {
                self.source.wait_writable(WaitKind::Write)
            }

            /// Takes the error that the system holds for this socket, if there is one.
            ///
            /// # Errors
            ///
            /// If the system cannot be asked.
            pub fn take_error(&self) -> std::io::Result<Option<std::io::Error>> {
                self.source.live()?.take_error()
            }

            /// A second handle to the same socket, with a descriptor of its own. It shares everything but the
            /// queues of waiting readers and writers; to share those as well, share the stream itself.
            ///
            /// # Errors
            ///
            /// If the process has no descriptor left.
            pub fn try_clone(&self) -> std::io::Result<Self> {
                Ok($socket {
                    source: self.source.try_clone_with(|io| io.try_clone())?,
                })
            }

            /// How many bytes the system keeps for us until they are read (`SO_RCVBUF`). Linux takes twice the number,
            /// for its own needs, and clips it to `net.core.rmem_max`.
            ///
            /// # Errors
            ///
            /// Those of `setsockopt`.
            pub fn set_recv_buffer_size(&self, bytes: usize) -> std::io::Result<()> {
                socket2::SockRef::from(self.source.live()?).set_recv_buffer_size(bytes)
            }

            /// How many bytes the system keeps for us until they are read.
            ///
            /// # Errors
            ///
            /// Those of `getsockopt`.
            pub fn recv_buffer_size(&self) -> std::io::Result<usize> {
                socket2::SockRef::from(self.source.live()?).recv_buffer_size()
            }

            /// How many bytes the system takes from us before the peer has them (`SO_SNDBUF`). Linux takes twice the
            /// number, for its own needs, and clips it to `net.core.wmem_max`.
            ///
            /// # Errors
            ///
            /// Those of `setsockopt`.
            pub fn set_send_buffer_size(&self, bytes: usize) -> std::io::Result<()> {
                socket2::SockRef::from(self.source.live()?).set_send_buffer_size(bytes)
            }

            /// How many bytes the system takes from us before the peer has them.
            ///
            /// # Errors
            ///
            /// Those of `getsockopt`.
            pub fn send_buffer_size(&self) -> std::io::Result<usize> {
                socket2::SockRef::from(self.source.live()?).send_buffer_size()
            }
        }
    };
}

/// Gives a socket type its conversions from and to std's type and descriptors, and std's `Debug`.
macro_rules! socket_conversions {
    ($socket:ident, $std:ty) => {
        impl $socket {
            /// Takes over a socket of std's and makes it non-blocking (and with it all its clones).
            ///
            /// # Errors
            ///
            /// If the descriptor refuses that.
            pub fn from_std(socket: $std) -> std::io::Result<Self> {
                calls::quiet(socket.as_fd())?;
                Ok($socket {
                    source: Source::new(socket),
                })
            }

            /// Hands the socket over to std, blocking as std expects it. Clones that are still used here would block
            /// their workers from then on: there must be none.
            ///
            /// # Errors
            ///
            /// If the descriptor refuses that; [`Closed`](crate::io::Closed).
            pub fn into_std(self) -> std::io::Result<$std> {
                self.source.live()?;
                let socket = self.source.into_inner();
                socket.set_nonblocking(false)?;
                Ok(socket)
            }

            /// Closes the socket now, though others may still share it. Never suspends.
            ///
            /// Whoever waits in one of its calls is woken, and that call and every later one fail with
            /// [`Closed`](crate::io::Closed). The peer sees what it sees when a socket is dropped; clones (with a
            /// descriptor of their own) keep the connection. Closing again does nothing.
            ///
            /// # Errors
            ///
            /// `EMFILE`, only at the first `close` of the process; nothing has happened then.
            pub fn close(&self) -> std::io::Result<()> {
                self.source.close()
            }
        }

        /// As [`from_std`](Self::from_std).
        impl TryFrom<$std> for $socket {
            type Error = std::io::Error;
            fn try_from(socket: $std) -> std::io::Result<Self> {
                $socket::from_std(socket)
            }
        }

        #[doc = concat!("As [`into_std`](", stringify!($socket), "::into_std).")]
        impl TryFrom<$socket> for $std {
            type Error = std::io::Error;
            fn try_from(socket: $socket) -> std::io::Result<Self> {
                socket.into_std()
            }
        }

        /// Takes over a descriptor, which must be of this kind, and makes it non-blocking.
        impl TryFrom<std::os::fd::OwnedFd> for $socket {
            type Error = std::io::Error;
            fn try_from(fd: std::os::fd::OwnedFd) -> std::io::Result<Self> {
                $socket::from_std(fd.into())
            }
        }

        /// Gives the descriptor away; it stays non-blocking.
        impl From<$socket> for std::os::fd::OwnedFd {
            fn from(socket: $socket) -> Self {
                socket.source.into_inner().into()
            }
        }

        /// Gives the descriptor away; it stays non-blocking, and closing it is the caller's.
        impl std::os::fd::IntoRawFd for $socket {
            fn into_raw_fd(self) -> std::os::fd::RawFd {
                self.source.into_inner().into_raw_fd()
            }
        }

        impl std::os::fd::AsFd for $socket {
            #[inline]
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.source.get_ref().as_fd()
            }
        }

        impl std::os::fd::AsRawFd for $socket {
            #[inline]
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                self.source.get_ref().as_raw_fd()
            }
        }

        /// As std's: the addresses and the descriptor.
        impl std::fmt::Debug for $socket {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.source.get_ref().fmt(f)
            }
        }
    };
}

pub(super) use socket_basics;
pub(super) use socket_conversions;
