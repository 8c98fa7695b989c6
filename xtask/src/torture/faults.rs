//! Which system calls fail, and how.

/// What may go wrong, as the manual pages say. `close` is not here: one that fails has closed all the same, but one that
/// strace makes fail is never made, and the peer waits for an end that does not come.
pub(super) const COMMON: &[(&str, &[&str])] = &[
    ("mmap", &["ENOMEM"]),
    ("madvise", &["ENOMEM"]),
    ("mprotect", &["ENOMEM"]),
    ("munmap", &["ENOMEM"]),
    ("brk", &["ENOMEM"]),
    ("clone3", &["EAGAIN"]),
    ("epoll_create1", &["EMFILE", "ENOMEM"]),
    ("epoll_ctl", &["ENOMEM", "ENOSPC"]),
    ("eventfd2", &["EMFILE", "ENOMEM"]),
    ("fcntl", &["EMFILE"]),
    ("socket", &["EMFILE", "ENOBUFS"]),
    ("bind", &["ENOMEM"]),
    ("listen", &["ENOBUFS"]),
    ("connect", &["ENOBUFS", "EINTR"]),
    ("accept4", &["EMFILE", "ENOBUFS", "ECONNABORTED", "EINTR"]),
    ("setsockopt", &["ENOMEM"]),
    ("getsockopt", &["ENOBUFS"]),
    ("shutdown", &["ENOBUFS"]),
    ("read", &["EIO", "EINTR"]),
    ("recvfrom", &["ENOMEM", "EINTR"]),
    ("write", &["EIO", "ENOSPC", "EINTR"]),
    ("sendto", &["ENOBUFS", "EINTR"]),
    ("splice", &["ENOMEM"]),
    ("pipe2", &["EMFILE", "ENFILE"]),
    ("openat", &["EMFILE", "ENOMEM"]),
    ("statx", &["ENOMEM"]),
    ("pidfd_open", &["EMFILE"]),
    ("waitid", &["EINTR"]),
    ("epoll_wait", &["EINTR"]),
    ("poll", &["EINTR", "ENOMEM"]),
];

/// What the demo does beside that.
pub(super) const OF_DEMO: &[(&str, &[&str])] = &[
    ("getrandom", &["EINTR"]),
    ("getsockname", &["ENOBUFS"]),
    ("ioctl", &["ENOMEM"]),
    ("newfstatat", &["ENOMEM"]),
    ("recvmsg", &["ENOMEM"]),
    ("rt_sigaction", &["EINVAL"]),
    ("sched_getaffinity", &["ENOSYS"]),
    ("sendmsg", &["ENOBUFS", "EINTR"]),
    ("socketpair", &["EMFILE"]),
    ("unlink", &["EACCES"]),
    ("chmod", &["EPERM"]),
    ("writev", &["EIO", "EINTR"]),
];
