//! What a signal does: the handler that was there before ours, handing it what is not ours, and waking who waits for it.

use std::ffi::c_void;
use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::ptr;

use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use signal_hook::{SigId, low_level};

use crate::net::calls::NO_SIGNAL;

/// Failures in a row of which something may still come.
const TRIES: usize = 100;

/// Does the process do by default what a signal does?
pub(crate) fn is_default(signal: libc::c_int) -> bool {
    // SAFETY: only asks. Of a signal that does not exist, the kernel says so.
    unsafe {
        let mut now: libc::sigaction = mem::zeroed();
        libc::sigaction(signal, ptr::null(), &raw mut now) == 0 && now.sa_sigaction == libc::SIG_DFL
    }
}

/// Has each `signal` send a byte to whoever reads the other end of `waker`, a socket.
pub(crate) fn wake_on(signal: libc::c_int, waker: OwnedFd) -> io::Result<SigId> {
    let wake = move || {
        for _ in 0..TRIES {
            match send(&waker, b"!", SendFlags::DONTWAIT | NO_SIGNAL) {
                // Or so many wait to be read that another one tells no more, or the reader is gone.
                Ok(_) | Err(Errno::AGAIN | Errno::PIPE) => return,
                // Nobody would ever look for the signal if nothing came.
                Err(_) => {}
            }
        }
    };
    // SAFETY: it is what a handler may do: it makes a system call, and neither allocates nor waits nor unwinds.
    unsafe { low_level::register(signal, wake) }
}

/// Calls the function of a `previous` action, as the kernel would have. False: it has none, but the default or nothing is to
/// be done. For signal handlers.
///
/// # Safety
/// The action was in force for `signal`, and the rest is what the kernel gave the handler that calls this.
pub(super) unsafe fn hand_on(
    previous: &libc::sigaction,
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
) -> bool {
    match previous.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => return false,
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: with this flag it is a function of this kind.
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut c_void) =
                unsafe { mem::transmute(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: without the flag it is a function of this kind.
            let handler: extern "C" fn(libc::c_int) = unsafe { mem::transmute(handler) };
            handler(signal);
        }
    }
    true
}
