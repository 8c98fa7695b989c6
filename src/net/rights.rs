//! Descriptors that travel over Unix sockets (`SCM_RIGHTS`).

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage};

use super::calls;

/// As many travel with one message, at most (the kernel's `SCM_MAX_FD`).
pub const MAX_DESCRIPTORS: usize = 253;

/// The peer sent more descriptors with one message than the receiver had allowed. They are closed; the bytes that came
/// with them are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer sent more than {allowed} descriptors with a message; they are closed")]
pub struct TooManyDescriptors {
    /// What the receiver had allowed.
    pub allowed: usize,
}

/// The process could not take the descriptors that the peer sent, because it has none left. Those that it had taken are
/// closed; the bytes that came with them are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no descriptor is left for those that the peer sent; raise the limit (ulimit -n)")]
pub struct NoDescriptorsLeft;

/// One attempt to send `fds` along with `bytes`.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        let fits = control.push(SendAncillaryMessage::ScmRights(fds));
        debug_assert!(fits, "their number was checked");
    }
    let bytes = [IoSlice::new(bytes)];
    Ok(rustix::net::sendmsg(
        socket,
        &bytes,
        &mut control,
        calls::NO_SIGNAL,
    )?)
}

/// Can they be sent like this?
///
/// # Errors
/// `InvalidInput`: too many, or no byte that could carry them over a stream.
pub(super) fn check(is_stream: bool, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    if fds.len() > MAX_DESCRIPTORS {
        return Err(invalid("at most 253 descriptors travel with one message"));
    }
    if is_stream && bytes.is_empty() && !fds.is_empty() {
        return Err(invalid(
            "descriptors travel with a byte: send at least one along",
        ));
    }
    Ok(())
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// One attempt to receive, with at most `max` descriptors.
pub(super) fn recv(
    socket: BorrowedFd<'_>,
    buf: &mut [u8],
    max: usize,
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let max = max.min(MAX_DESCRIPTORS);
    let received = crate::io::recv_rights(socket, buf, max)?;
    // On any error, those that came are dropped here, and so closed.
    if received.fds.len() > max || received.cut && received.fds.len() == max {
        let error = TooManyDescriptors { allowed: max };
        return Err(io::Error::new(io::ErrorKind::InvalidData, error));
    }
    if received.cut {
        return Err(io::Error::other(NoDescriptorsLeft));
    }
    Ok((received.bytes, received.fds))
}

/// Gives a Unix socket the calls that pass descriptors, where `$recv` is one attempt to receive. The type holds a `source: Source<_>`.
macro_rules! passes_descriptors {
    ($socket:ident, stream: $is_stream:literal, $recv:path) => {
        impl $socket {
            /// Sends descriptors to the peer, along with bytes. **May suspend.**
            ///
            /// ```
            #[doc = concat!("# use grapeshot::net::", stringify!($socket), ";")]
            /// use std::fs::File;
            /// use std::os::fd::AsFd;
            ///
            #[doc = concat!("let (here, there) = ", stringify!($socket), "::pair()?;")]
            /// let file = File::open("/etc/hostname")?;
            /// here.send_fds(b"the log", &[file.as_fd()])?;
            ///
            /// let mut buf = [0; 64];
            /// let (count, mut fds) = there.recv_fds(&mut buf, 1)?;
            /// let theirs = File::from(fds.remove(0));
            /// # assert_eq!(&buf[..count], b"the log");
            /// # assert!(theirs.metadata()?.is_file());
            /// # Ok::<(), std::io::Error>(())
            /// ```
            ///
            /// The peer gets descriptors of its own, which refer to the same open files; ours stay ours. Returns how
            /// many bytes were taken; the descriptors went with the first of them, and once only. A peer that reads
            /// without asking for descriptors closes them unseen.
            ///
            /// # Errors
            ///
            /// `InvalidInput` for more than [`MAX_DESCRIPTORS`](crate::net::unix::MAX_DESCRIPTORS), or for descriptors
            /// without a byte on a stream; `ETOOMANYREFS` if too many are on their way already.
            pub fn send_fds(
                &self,
                bytes: &[u8],
                fds: &[std::os::fd::BorrowedFd<'_>],
            ) -> std::io::Result<usize> {
                super::rights::check($is_stream, bytes, fds)?;
                self.source.write_with(WaitKind::Write, |io| {
                    super::rights::send(io.as_fd(), bytes, fds)
                })
            }

            /// Receives bytes, and at most `max` descriptors that came along. **May suspend.**
            ///
            /// The descriptors are closed by `exec`. They come with the first byte that they were sent with; an ordinary
            /// read that takes this byte loses them. `max` is what protects this process: a peer may send 253 of them
            /// with each byte.
            ///
            /// # Errors
            ///
            /// [`TooManyDescriptors`](crate::net::unix::TooManyDescriptors) if more came,
            /// [`NoDescriptorsLeft`](crate::net::unix::NoDescriptorsLeft) if the process cannot take them: all that came are
            /// closed then, and the bytes are lost, so the connection should be closed too.
            pub fn recv_fds(
                &self,
                buf: &mut [u8],
                max: usize,
            ) -> std::io::Result<(usize, Vec<std::os::fd::OwnedFd>)> {
                self.source
                    .read_with(WaitKind::Read, |io| $recv(io.as_fd(), buf, max))
            }
        }
    };
}

pub(super) use passes_descriptors;
