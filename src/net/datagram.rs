//! What every socket for datagrams has, once its peer is fixed.

/// Gives a socket for datagrams its `recv` and `send`, where `$recv` and `$peek` are one attempt each. The type holds a
/// `source: Source<_>`.
macro_rules! datagram_io {
    ($socket:ident, $recv:path, $peek:path) => {
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
                self.source
                    .read_with(WaitKind::Read, |io| $recv(io.as_fd(), buf))
            }

            /// Takes the next datagram if there is one, and never suspends.
            ///
            /// # Errors
            ///
            /// [`WouldBlock`](std::io::ErrorKind::WouldBlock) if there is none; else as for [`recv`](Self::recv).
            pub fn try_recv(&self, buf: &mut [u8]) -> std::io::Result<usize> {
                self.source.attempt(|io| $recv(io.as_fd(), buf))
            }

            /// As [`recv`](Self::recv), and leaves the datagram to the next call. **May suspend.**
            ///
            /// # Errors
            ///
            /// As for `recv`.
            pub fn peek(&self, buf: &mut [u8]) -> std::io::Result<usize> {
                self.source
                    .read_with(WaitKind::Read, |io| $peek(io.as_fd(), buf))
            }

            /// Sends a datagram to the connected peer. **May suspend**, while there is no room for it.
            ///
            /// # Errors
            ///
            /// `NotConnected` or `DestinationAddrRequired` if there is no peer; `ConnectionRefused` if nobody receives
            /// there; `EMSGSIZE` if it is too long.
            pub fn send(&self, buf: &[u8]) -> std::io::Result<usize> {
                self.source
                    .write_with(WaitKind::Write, |io| calls::send(io.as_fd(), buf))
            }

            /// Sends a datagram if there is room for it, and never suspends.
            ///
            /// # Errors
            ///
            /// [`WouldBlock`](std::io::ErrorKind::WouldBlock) if there is none; else as for [`send`](Self::send).
            pub fn try_send(&self, buf: &[u8]) -> std::io::Result<usize> {
                self.source.attempt(|io| calls::send(io.as_fd(), buf))
            }
        }
    };
}

pub(super) use datagram_io;
