//! What every socket for data has: waiting for it, copies of it, its buffers.

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
                    source: crate::net::seam::Handle::duplicate(&self.source)?,
                })
            }

            /// How many bytes the system keeps for us until they are read (`SO_RCVBUF`). Linux takes twice the number,
            /// for its own needs, and clips it to `net.core.rmem_max`.
            ///
            /// # Errors
            ///
            /// Those of `setsockopt`.
            pub fn set_recv_buffer_size(&self, bytes: usize) -> std::io::Result<()> {
                socket2::SockRef::from(&crate::net::seam::Handle::option_fd(self.source.live()?)?)
                    .set_recv_buffer_size(bytes)
            }

            /// How many bytes the system keeps for us until they are read.
            ///
            /// # Errors
            ///
            /// Those of `getsockopt`.
            pub fn recv_buffer_size(&self) -> std::io::Result<usize> {
                socket2::SockRef::from(&crate::net::seam::Handle::option_fd(self.source.live()?)?)
                    .recv_buffer_size()
            }

            /// How many bytes the system takes from us before the peer has them (`SO_SNDBUF`). Linux takes twice the
            /// number, for its own needs, and clips it to `net.core.wmem_max`.
            ///
            /// # Errors
            ///
            /// Those of `setsockopt`.
            pub fn set_send_buffer_size(&self, bytes: usize) -> std::io::Result<()> {
                socket2::SockRef::from(&crate::net::seam::Handle::option_fd(self.source.live()?)?)
                    .set_send_buffer_size(bytes)
            }

            /// How many bytes the system takes from us before the peer has them.
            ///
            /// # Errors
            ///
            /// Those of `getsockopt`.
            pub fn send_buffer_size(&self) -> std::io::Result<usize> {
                socket2::SockRef::from(&crate::net::seam::Handle::option_fd(self.source.live()?)?)
                    .send_buffer_size()
            }
        }
    };
}

pub(super) use socket_basics;
