//! What the descriptors are that a poller watches, for people.

#![allow(unsafe_code)]

use std::os::fd::{BorrowedFd, RawFd};

use rustix::net::{SocketAddrAny, SocketType, sockopt};

/// What a descriptor is.
pub(crate) struct Nature {
    pub(crate) kind: &'static str,
    pub(crate) local: Option<String>,
    pub(crate) peer: Option<String>,
}

impl Nature {
    /// Of the descriptor with this number, which the caller knows to be open: by holding the lock under which it would leave
    /// the poller, as it does before it is closed. Some system calls.
    pub(crate) fn of(fd: RawFd) -> Self {
        // SAFETY: it is open for as long as the borrow lasts, by the caller's promise. If somebody closed it behind our back,
        // the number may be another's; what is asked of it below changes nothing, whatever it is.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let Ok(kind) = sockopt::socket_type(fd) else {
            return Self {
                kind: kind_of_file(fd),
                local: None,
                peer: None,
            };
        };
        let local = rustix::net::getsockname(fd).ok();
        let is_unix = local
            .as_ref()
            .is_some_and(|it| it.address_family() == rustix::net::AddressFamily::UNIX);
        let peer = rustix::net::getpeername(fd).ok().flatten();
        #[cfg(not(target_vendor = "apple"))]
        let listens = sockopt::socket_acceptconn(fd).unwrap_or(false);
        // It has no way to ask.
        #[cfg(target_vendor = "apple")]
        let listens = peer.is_none();
        Self {
            kind: match (is_unix, kind, listens) {
                (false, SocketType::STREAM, true) => "tcp listener",
                (false, SocketType::STREAM, false) => "tcp",
                (false, SocketType::DGRAM, _) => "udp",
                (true, SocketType::STREAM, true) => "unix listener",
                (true, SocketType::STREAM, false) => "unix",
                (true, SocketType::DGRAM, _) => "unix datagram",
                _ => "socket",
            },
            local: local.and_then(|it| shown(&it)),
            peer: peer.and_then(|it| shown(&it)),
        }
    }
}

/// `None` for a Unix socket without a name.
fn shown(address: &SocketAddrAny) -> Option<String> {
    if let Ok(address) = std::net::SocketAddr::try_from(address.clone()) {
        return Some(address.to_string());
    }
    let address = rustix::net::SocketAddrUnix::try_from(address.clone()).ok()?;
    let path = address.path_bytes()?;
    Some(String::from_utf8_lossy(path).into_owned())
}

fn kind_of_file(fd: BorrowedFd<'_>) -> &'static str {
    use rustix::fs::FileType;
    let Ok(stat) = rustix::fs::fstat(fd) else {
        return "closed";
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo => "pipe",
        FileType::RegularFile => "file",
        FileType::Directory => "folder",
        FileType::CharacterDevice => "device",
        // What has no place in the file system, such as inotify's, timers and processes.
        _ => "other",
    }
}
