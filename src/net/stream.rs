//! What every stream has: reading, writing, and the way from and to descriptors.

/// Gives a stream type its [`Read`](std::io::Read) and [`Write`](std::io::Write), by value and by reference.
///
/// The type holds a `source: Source<_>`.
macro_rules! stream_io {
    ($stream:ident) => {
        /// Reading **may suspend**.
        impl std::io::Read for $stream {
            #[inline]
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                (&*self).read(buf)
            }
            fn read_vectored(
                &mut self,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::io::Result<usize> {
                (&*self).read_vectored(bufs)
            }
        }

        /// Reading **may suspend**. Several readers are served in the order of their arrival.
        impl std::io::Read for &$stream {
            #[inline]
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                self.source
                    .read_stream(buf.len(), |io| calls::recv(io.as_fd(), buf))
            }
            fn read_vectored(
                &mut self,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::io::Result<usize> {
                self.source
                    .read_with(WaitKind::Read, |io| calls::recv_vectored(io.as_fd(), bufs))
            }
        }

        /// Writing **may suspend**. It never raises `SIGPIPE`.
        impl std::io::Write for $stream {
            #[inline]
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                (&*self).write(buf)
            }
            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                (&*self).write_vectored(bufs)
            }
            /// Does nothing: a socket keeps nothing back on this side.
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        /// Writing **may suspend**. Several writers are served in the order of their arrival, one `write` each: a
        /// message that takes more than one must be guarded by a lock.
        impl std::io::Write for &$stream {
            #[inline]
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                self.source
                    .write_with(WaitKind::Write, |io| calls::send(io.as_fd(), buf))
            }
            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                self.source
                    .write_with(WaitKind::Write, |io| calls::send_vectored(io.as_fd(), bufs))
            }
            /// Does nothing: a socket keeps nothing back on this side.
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        impl $stream {
            /// Reads without taking: the next read finds the same bytes. **May suspend.**
            ///
            /// # Errors
            ///
            /// As for reading.
            pub fn peek(&self, buf: &mut [u8]) -> std::io::Result<usize> {
                self.source
                    .read_with(WaitKind::Read, |io| calls::peek(io.as_fd(), buf))
            }

            /// Reads what is there, and never suspends.
            ///
            /// # Errors
            ///
            /// [`WouldBlock`](std::io::ErrorKind::WouldBlock) if nothing is there.
            pub fn try_read(&self, buf: &mut [u8]) -> std::io::Result<usize> {
                self.source.attempt(|io| calls::recv(io.as_fd(), buf))
            }

            /// Writes what the kernel takes, and never suspends: for a last word in a destructor, say. It may overtake
            /// a coroutine that waits to write.
            ///
            /// # Errors
            ///
            /// [`WouldBlock`](std::io::ErrorKind::WouldBlock) if it takes nothing.
            pub fn try_write(&self, buf: &[u8]) -> std::io::Result<usize> {
                self.source.attempt(|io| calls::send(io.as_fd(), buf))
            }

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

            /// Ends the reading side, the writing side, or both, for all clones of this stream. Never suspends.
            ///
            /// The peer sees the end of the stream once the writing side is shut. A coroutine that waits here to read
            /// or write is woken: reading then gives the end of the stream, writing `BrokenPipe`.
            ///
            /// # Errors
            ///
            /// `NotConnected` if there is no connection (any more).
            pub fn shutdown(&self, how: std::net::Shutdown) -> std::io::Result<()> {
                self.source.live()?.shutdown(how)
            }

            /// Takes the error that the system holds for this socket, if there is one.
            ///
            /// # Errors
            ///
            /// If the system cannot be asked.
            pub fn take_error(&self) -> std::io::Result<Option<std::io::Error>> {
                self.source.live()?.take_error()
            }

            /// A second handle to the same connection, with a descriptor of its own. It shares everything but the
            /// queues of waiting readers and writers; to share those as well, share the stream itself.
            ///
            /// # Errors
            ///
            /// If the process has no descriptor left.
            pub fn try_clone(&self) -> std::io::Result<Self> {
                Ok($stream {
                    source: self.source.try_clone_with(|io| io.try_clone())?,
                })
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

pub(super) use socket_conversions;
pub(super) use stream_io;
