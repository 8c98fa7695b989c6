//! What every stream has: reading, writing and ending it.

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
                    .read_stream(buf.len(), |io| crate::net::seam::StreamCalls::recv(io, buf))
            }
            fn read_vectored(
                &mut self,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::io::Result<usize> {
                self.source.read_with(WaitKind::Read, |io| {
                    crate::net::seam::StreamCalls::recv_vectored(io, bufs)
                })
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
                    .write_stream(|io| crate::net::seam::StreamCalls::send(io, buf))
            }
            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                self.source
                    .write_stream(|io| crate::net::seam::StreamCalls::send_vectored(io, bufs))
            }
            /// Does nothing: a socket keeps nothing back on this side.
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        impl crate::io::sealed::Sealed for $stream {
            #[allow(private_interfaces)]
            fn end(&self) -> crate::io::End<'_> {
                crate::io::End::Stream(&self.source)
            }
        }
        impl crate::io::CopyFrom for $stream {}
        impl crate::io::CopyTo for $stream {}

        impl $stream {
            /// Reads without taking: the next read finds the same bytes. **May suspend.**
            ///
            /// # Errors
            ///
            /// As for reading.
            pub fn peek(&self, buf: &mut [u8]) -> std::io::Result<usize> {
                self.source.read_with(WaitKind::Read, |io| {
                    crate::net::seam::StreamCalls::peek(io, buf)
                })
            }

            /// Waits until there may be something to read, if a read has found before that there is nothing: for who
            /// would rather not hold a buffer meanwhile. It may return without that being so. **May suspend.**
            ///
            /// # Errors
            ///
            /// Those of the socket.
            pub(crate) fn wait_to_read(&self) -> std::io::Result<()> {
                self.source.wait_if_drained()
            }

            /// Reads what is there, and never suspends.
            ///
            /// # Errors
            ///
            /// [`WouldBlock`](std::io::ErrorKind::WouldBlock) if nothing is there.
            pub fn try_read(&self, buf: &mut [u8]) -> std::io::Result<usize> {
                self.source
                    .attempt(|io| crate::net::seam::StreamCalls::recv(io, buf))
            }

            /// Writes what the kernel takes, and never suspends: for a last word in a destructor, say. It may overtake
            /// a coroutine that waits to write.
            ///
            /// # Errors
            ///
            /// [`WouldBlock`](std::io::ErrorKind::WouldBlock) if it takes nothing.
            pub fn try_write(&self, buf: &[u8]) -> std::io::Result<usize> {
                self.source
                    .attempt(|io| crate::net::seam::StreamCalls::send(io, buf))
            }

            /// Writes all of the slices. **May suspend.** The slices are changed on the way.
            ///
            /// # Errors
            ///
            /// As for writing; nobody knows then how much of it is written. `WriteZero` if nothing is taken.
            pub fn write_all_vectored(
                &self,
                mut bufs: &mut [std::io::IoSlice<'_>],
            ) -> std::io::Result<()> {
                // Empty ones at the front are no reason to call.
                std::io::IoSlice::advance_slices(&mut bufs, 0);
                while !bufs.is_empty() {
                    match std::io::Write::write_vectored(&mut &*self, bufs)? {
                        0 => return Err(std::io::ErrorKind::WriteZero.into()),
                        count => std::io::IoSlice::advance_slices(&mut bufs, count),
                    }
                }
                Ok(())
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
                crate::net::seam::StreamCalls::end(self.source.live()?, how)
            }
        }
    };
}

/// Lets futures poll a stream type.
#[cfg(feature = "futures-io")]
macro_rules! stream_polls {
    ($stream:ident) => {
        crate::io::polls!($stream, |stream| {
            match stream.shutdown(std::net::Shutdown::Write) {
                // The peer was faster: it has ended.
                Err(error) if error.kind() == std::io::ErrorKind::NotConnected => Ok(()),
                result => result,
            }
        });
        crate::io::poll_read!($stream, |io, buf| {
            crate::net::seam::StreamCalls::recv_uninit(io, buf)
        });
        crate::io::poll_write!($stream, |io, bufs| match bufs {
            [one] => crate::net::seam::StreamCalls::send(io, one),
            many => crate::net::seam::StreamCalls::send_vectored(io, many),
        });
    };
}

pub(super) use stream_io;
#[cfg(feature = "futures-io")]
pub(super) use stream_polls;
