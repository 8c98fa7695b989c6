//! Our handler among those of others for the same signal, each of which calls the one that it found there.
//!
//! ```text
//!   somebody's ◀─── ours, first ◀─── theirs, put on top meanwhile ◀─── ours, put on top again ◀─── the kernel
//! ```
//!
//! At each start of a profile ours goes to the top again: whoever listens to the signal would take our ticks for its own
//! otherwise. What is not ours goes down, and where one calls us, on from there.

use std::cell::Cell;
use std::ffi::c_void;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use parking_lot::Mutex;

use super::super::handler::hand_on;
use super::system::SIGNAL;
use super::system::on_signal;

/// What was there when ours was put on top.
struct Previous {
    action: libc::sigaction,
    /// What was there the time before that; null at the first time.
    before: *const Previous,
}

/// What was there at the latest time. Never freed, as a handler may read it at any time.
static LATEST: AtomicPtr<Previous> = AtomicPtr::new(ptr::null_mut());

/// Held by whoever puts ours on top.
static ALONE: Mutex<()> = Mutex::new(());

thread_local! {
    /// What this thread is handing a signal to. Without a destructor: signal handlers use it.
    static HANDING: Cell<*const Previous> = const { Cell::new(ptr::null()) };
}

/// Puts our handler on top.
pub(super) fn install() -> io::Result<()> {
    let _alone = ALONE.lock();
    put_on_top()
}

/// Puts our handler on top again, if it is there at all. To be called when another has been installed.
pub(crate) fn regain() -> io::Result<()> {
    let _alone = ALONE.lock();
    match LATEST.load(Ordering::Acquire).is_null() {
        true => Ok(()),
        false => put_on_top(),
    }
}

fn put_on_top() -> io::Result<()> {
    // SAFETY: only asks.
    let now = unsafe {
        let mut now: libc::sigaction = MaybeUninit::zeroed().assume_init();
        if libc::sigaction(SIGNAL, ptr::null(), &raw mut now) != 0 {
            return Err(io::Error::last_os_error());
        }
        now
    };
    if now.sa_sigaction == on_signal as *const () as usize {
        return Ok(());
    }
    keep(now);
    // SAFETY: `on_signal` is a handler of the SA_SIGINFO kind and runs on the alternate stack where there is one. What it
    // passes signals on to is there before it is in force.
    let failed = unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(SIGNAL, &raw const action, ptr::null_mut()) != 0
    };
    match failed {
        true => Err(io::Error::last_os_error()),
        false => Ok(()),
    }
}

/// Notes what ours is put on top of.
fn keep(now: libc::sigaction) {
    let latest = LATEST.load(Ordering::Acquire);
    let is_function = ![libc::SIG_DFL, libc::SIG_IGN].contains(&now.sa_sigaction);
    let is_same = |known: &Previous| known.action.sa_sigaction == now.sa_sigaction;
    // One that comes back is not called twice.
    let known = match is_function {
        true => from(latest).any(is_same),
        false => from(latest).next().is_some_and(is_same),
    };
    if known {
        return;
    }
    // Whoever puts the default back wants none of those that were there before.
    let before = if is_function { latest } else { ptr::null_mut() };
    let previous = Box::leak(Box::new(Previous {
        action: now,
        before,
    }));
    LATEST.store(previous, Ordering::Release);
}

/// That one, and those before it.
fn from(latest: *const Previous) -> impl Iterator<Item = &'static Previous> {
    // SAFETY: null, or leaked.
    let next = |at: *const Previous| unsafe { at.as_ref() };
    std::iter::successors(next(latest), move |it| next(it.before))
}

/// A signal that was not ours goes where it would have gone. For the handler.
pub(super) fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let outer = HANDING.get();
    let next = match from(outer).next() {
        // What we hand it to calls us, as what was there before it.
        Some(handing) => handing.before,
        None => LATEST.load(Ordering::Acquire),
    };
    let Some(previous) = from(next).next() else {
        return;
    };
    HANDING.set(next);
    // SAFETY: the action was in force before ours, and gets what the kernel gave us.
    let handled = unsafe { hand_on(&previous.action, signal, info, context) };
    HANDING.set(outer);
    if handled || !outer.is_null() || previous.action.sa_sigaction != libc::SIG_DFL {
        return;
    }
    // The default action ends the process: we step aside, and it comes again. But whoever has a handler on top of ours, and
    // called it, has seen to the signal.
    // SAFETY: as above; these are safe in a handler.
    unsafe {
        let mut now: libc::sigaction = MaybeUninit::zeroed().assume_init();
        libc::sigaction(signal, ptr::null(), &raw mut now);
        if now.sa_sigaction == on_signal as *const () as usize {
            libc::sigaction(signal, &raw const previous.action, ptr::null_mut());
            libc::raise(signal);
        }
    }
}
