//! `recvmmsg` and `sendmmsg`: many datagrams with one system call.

#![allow(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use socket2::{SockAddr, SockAddrStorage};

fn slice(start: *const u8, len: usize) -> libc::iovec {
    libc::iovec {
        iov_base: start.cast_mut().cast(),
        iov_len: len,
    }
}

fn header(
    slice: *mut libc::iovec,
    name: *mut libc::c_void,
    name_len: libc::socklen_t,
) -> libc::mmsghdr {
    // SAFETY: all of it are numbers and pointers, for which zero is a value.
    let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
    header.msg_hdr.msg_name = name;
    header.msg_hdr.msg_namelen = name_len;
    header.msg_hdr.msg_iov = slice;
    header.msg_hdr.msg_iovlen = 1;
    header
}

/// Receives at most one datagram into each room, without waiting, and tells of each its length, where it came from and
/// whether it was cut.
pub(crate) fn recv_datagrams<'a>(
    socket: BorrowedFd<'_>,
    rooms: impl Iterator<Item = &'a mut [u8]>,
    mut each: impl FnMut(usize, Option<SocketAddr>, bool),
) -> io::Result<()> {
    let mut slices: Vec<_> = rooms
        .map(|room| slice(room.as_mut_ptr(), room.len()))
        .collect();
    let mut names: Vec<_> = slices.iter().map(|_| SockAddrStorage::zeroed()).collect();
    let name_len = names.first().map_or(0, SockAddrStorage::size_of);
    let mut headers: Vec<_> = slices
        .iter_mut()
        .zip(&mut names)
        .map(|(slice, name)| header(slice, ptr::from_mut(name).cast(), name_len))
        .collect();
    // SAFETY: each header points to a slice and a name of this function, which outlive the call, with their sizes; each
    // slice to a room that is borrowed for it alone.
    let count = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            headers.len() as libc::c_uint,
            libc::MSG_DONTWAIT as _,
            ptr::null_mut(),
        )
    };
    if count == -1 {
        return Err(io::Error::last_os_error());
    }
    let received: Vec<_> = headers[..count as usize]
        .iter()
        .map(|header| {
            let truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            (
                header.msg_len as usize,
                header.msg_hdr.msg_namelen,
                truncated,
            )
        })
        .collect();
    for ((len, name_len, truncated), name) in received.into_iter().zip(names) {
        // SAFETY: the kernel has written an address of this length, or none and said so.
        let name = unsafe { SockAddr::new(name, name_len) };
        each(len, name.as_socket(), truncated);
    }
    Ok(())
}

/// Sends datagrams, without waiting, and says how many; those without an address go to the connected peer.
pub(crate) fn send_datagrams<'a>(
    socket: BorrowedFd<'_>,
    datagrams: impl Iterator<Item = (&'a [u8], Option<SocketAddr>)>,
) -> io::Result<usize> {
    let (mut slices, names): (Vec<_>, Vec<_>) = datagrams
        .map(|(bytes, addr)| (slice(bytes.as_ptr(), bytes.len()), addr.map(SockAddr::from)))
        .unzip();
    let mut headers: Vec<_> = slices
        .iter_mut()
        .zip(&names)
        .map(|(slice, name)| match name {
            Some(name) => header(slice, name.as_ptr().cast_mut().cast(), name.len()),
            None => header(slice, ptr::null_mut(), 0),
        })
        .collect();
    // SAFETY: each header points to a slice and a name of this function, which outlive the call, with their sizes; each
    // slice to bytes that are borrowed for it. The kernel writes to none but the headers.
    let count = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            headers.len() as libc::c_uint,
            (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
        )
    };
    if count == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(count as usize)
}
