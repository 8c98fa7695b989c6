//! Receiving descriptors over a Unix socket. Not through rustix, which makes a process id that cannot be 0 of the 0 that
//! the kernel gives for a sender in another namespace.

#![allow(unsafe_code)]
#![allow(
    clippy::unnecessary_cast,
    reason = "the types are others on other systems"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

pub(crate) struct ReceivedRights {
    pub(crate) bytes: usize,
    pub(crate) fds: Vec<OwnedFd>,
    /// More came than there was room for, or than the process could take.
    pub(crate) cut: bool,
}

/// Descriptors are closed by `exec` from the start, where the system can do that.
#[cfg(not(target_vendor = "apple"))]
const FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
#[cfg(target_vendor = "apple")]
const FLAGS: libc::c_int = libc::MSG_DONTWAIT;

/// Receives bytes with room for `max` descriptors, without waiting. One more may come, because the room is rounded up.
pub(crate) fn recv_rights(
    socket: BorrowedFd<'_>,
    buf: &mut [u8],
    max: usize,
) -> io::Result<ReceivedRights> {
    // SAFETY: it only computes.
    let space = unsafe { libc::CMSG_SPACE((max * size_of::<RawFd>()) as u32) } as usize;
    // Of words, so that the headers in it are aligned.
    let mut control = vec![0_u64; space.div_ceil(size_of::<u64>())];
    let mut slice = libc::iovec {
        iov_base: buf.as_mut_ptr().cast(),
        iov_len: buf.len(),
    };
    // SAFETY: all of it are numbers and pointers, for which zero is a value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = ptr::from_mut(&mut slice);
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = space as _;
    // SAFETY: the header points to a slice and a buffer of this function, which outlive the call, with their sizes; the
    // slice to `buf`, which is ours alone.
    let bytes = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, FLAGS) };
    if bytes == -1 {
        return Err(io::Error::last_os_error());
    }
    let mut fds = Vec::new();
    // SAFETY: the kernel has filled `control` and set the header's length of it; the macros stay within that.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    while !message.is_null() {
        // SAFETY: not null, so it is a whole header within `control`.
        let (level, kind, len) = unsafe {
            (
                (*message).cmsg_level,
                (*message).cmsg_type,
                (*message).cmsg_len,
            )
        };
        if level == libc::SOL_SOCKET && kind == libc::SCM_RIGHTS {
            // SAFETY: it only computes.
            let head = unsafe { libc::CMSG_LEN(0) } as usize;
            for index in 0..(len as usize).saturating_sub(head) / size_of::<RawFd>() {
                // SAFETY: the message's length covers it; it need not be aligned. The kernel has made the descriptor
                // for us, and nobody else knows of it.
                fds.push(unsafe {
                    let fd = libc::CMSG_DATA(message).cast::<RawFd>().add(index);
                    OwnedFd::from_raw_fd(fd.read_unaligned())
                });
            }
        }
        // SAFETY: both are what they were for the first.
        message = unsafe { libc::CMSG_NXTHDR(&raw const header, message) };
    }
    #[cfg(target_vendor = "apple")]
    for fd in &fds {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok(ReceivedRights {
        bytes: bytes as usize,
        fds,
        cut: header.msg_flags & libc::MSG_CTRUNC != 0,
    })
}
