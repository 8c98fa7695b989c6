//! Keeping `SIGPIPE` from whoever writes where nobody reads, for the system calls that have no flag for it.

#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// Runs a call that may give `EPIPE`; the signal that the kernel sends along does nothing, whatever the process does with
/// it.
///
/// Programs in Rust ignore it from their start, unless they ask for something else. Nothing is changed for longer than
/// the call: what is started from this thread would inherit that.
pub(crate) fn without_sigpipe<R>(call: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    let _silence = (!is_ignored()).then(Silence::new);
    call()
}

/// While it lives, this thread hears no such signal; one that came meanwhile is taken away.
struct Silence {
    was_blocked: bool,
    was_pending: bool,
}

impl Silence {
    fn new() -> Self {
        let was_blocked = change_mask(libc::SIG_BLOCK);
        Silence {
            was_blocked,
            was_pending: was_blocked && is_pending(),
        }
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if !self.was_pending && is_pending() {
            take_pending();
        }
        if !self.was_blocked {
            change_mask(libc::SIG_UNBLOCK);
        }
    }
}

fn is_ignored() -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: it asks, and changes nothing; the answer is read only if there was one.
    unsafe {
        libc::sigaction(libc::SIGPIPE, ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// The set of this signal alone.
fn sigpipe() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the first call fills the whole set, the second changes it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
        set.assume_init()
    }
}

fn contains_sigpipe(set: &libc::sigset_t) -> bool {
    // SAFETY: it only reads the set.
    unsafe { libc::sigismember(set, libc::SIGPIPE) == 1 }
}

/// Returns whether the thread had blocked the signal before.
fn change_mask(how: libc::c_int) -> bool {
    let mut before = sigpipe();
    // SAFETY: both sets live; it concerns this thread alone.
    unsafe { libc::pthread_sigmask(how, &sigpipe(), &raw mut before) };
    contains_sigpipe(&before)
}

fn is_pending() -> bool {
    let mut pending = sigpipe();
    // SAFETY: it writes to a set that lives.
    unsafe { libc::sigpending(&raw mut pending) };
    contains_sigpipe(&pending)
}

/// It is pending and blocked, so this returns at once.
fn take_pending() {
    let mut number = 0;
    let set = sigpipe();
    // SAFETY: both live.
    unsafe { libc::sigwait(ptr::from_ref(&set), &raw mut number) };
}
