//! What belongs to Unix sockets alone: their addresses, the credentials of a peer, descriptors that are passed.

pub use std::os::unix::net::SocketAddr;

pub use super::accept::UnixIncoming as Incoming;
pub use super::rights::{MAX_DESCRIPTORS, NoDescriptorsLeft, TooManyDescriptors};
pub use super::{UnixDatagram, UnixListener, UnixStream};

/// Who is at the other end of a [`UnixStream`], as the kernel noted it when the connection was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct UCred {
    /// Effective user of the peer.
    pub uid: u32,
    /// Effective group of the peer.
    pub gid: u32,
    /// The peer's process; `None` if it lives in a namespace from which it cannot be seen.
    pub pid: Option<i32>,
}
