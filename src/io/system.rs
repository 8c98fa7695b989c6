//! System calls that no crate wraps as we need them.

#![allow(unsafe_code)]

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags};

/// A descriptor that refuses to be read, written, or used as a socket. The first call opens it.
///
/// # Errors
/// The process has no descriptor left.
pub(crate) fn dead() -> io::Result<BorrowedFd<'static>> {
    use std::os::fd::AsFd;
    static DEAD: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(dead) = DEAD.get() {
        return Ok(dead.as_fd());
    }
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    // It only names the folder: there is nothing that could be done with it.
    #[cfg(target_os = "linux")]
    let flags = flags | OFlags::PATH;
    let opened = rustix::fs::open("/", flags, Mode::empty())?;
    Ok(DEAD.get_or_init(|| opened).as_fd())
}

/// Closes what `fd` refers to and lets it refer to what `dead` does. Its number stays taken, so nobody who still uses it
/// meets a stranger.
pub(super) fn replace(fd: BorrowedFd<'_>, dead: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the number stays open and stays its owner's, because nothing is dropped here; what it refers to is
    // exchanged by the kernel in one step, for which all system calls are prepared.
    let mut place = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(fd.as_raw_fd()) });
    #[cfg(not(target_vendor = "apple"))]
    rustix::io::retry_on_intr(|| {
        rustix::io::dup3(dead, &mut place, rustix::io::DupFlags::CLOEXEC)
    })?;
    #[cfg(target_vendor = "apple")]
    {
        rustix::io::retry_on_intr(|| rustix::io::dup2(dead, &mut place))?;
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok(())
}

/// Who is at the other end of a Unix socket. Not through rustix, whose process ids cannot be 0: that is what the kernel
/// says of a process which lives in another namespace.
#[cfg(target_os = "linux")]
pub(crate) fn peer_cred(socket: BorrowedFd<'_>) -> io::Result<libc::ucred> {
    let mut cred = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into `cred`, for which any bytes are values.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut cred).cast(),
            &raw mut len,
        )
    };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(cred)
}
