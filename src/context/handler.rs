//! What a signal does already: the handler that was there before ours, and handing it what is not ours.

use std::ffi::c_void;
use std::mem;
use std::ptr;

/// Does the process do by default what a signal does?
pub(crate) fn is_default(signal: libc::c_int) -> bool {
    // SAFETY: only asks. Of a signal that does not exist, the kernel says so.
    unsafe {
        let mut now: libc::sigaction = mem::zeroed();
        libc::sigaction(signal, ptr::null(), &raw mut now) == 0 && now.sa_sigaction == libc::SIG_DFL
    }
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
