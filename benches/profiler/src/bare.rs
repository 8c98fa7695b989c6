//! A timer whose signal is counted, and nothing else: what of the cost of samples is the system's.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

const SIGNAL: libc::c_int = libc::SIGUSR2;
const MILLISECOND: libc::c_long = 1_000_000;

static TICKS: AtomicU64 = AtomicU64::new(0);

/// Interrupts the thread that made it once a millisecond, until it is dropped.
pub(crate) struct BareTimer {
    timer: libc::timer_t,
    before: u64,
}

impl BareTimer {
    pub(crate) fn start() -> io::Result<Self> {
        let before = TICKS.load(Ordering::Relaxed);
        let mut timer = MaybeUninit::uninit();
        // SAFETY: both structures are plain data; the handler is one that takes the signal's number, runs on the thread's
        // signal stack and touches an atomic only. The kernel fills `timer` if it returns 0, which is when it is read.
        unsafe {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            action.sa_sigaction = count as *const () as usize;
            action.sa_flags = libc::SA_ONSTACK | libc::SA_RESTART;
            check(libc::sigaction(SIGNAL, &raw const action, ptr::null_mut()))?;
            let mut event: libc::sigevent = MaybeUninit::zeroed().assume_init();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = SIGNAL;
            event.sigev_notify_thread_id = libc::gettid();
            check(libc::timer_create(
                libc::CLOCK_MONOTONIC,
                &raw mut event,
                timer.as_mut_ptr(),
            ))?;
        }
        // SAFETY: it was created.
        let timer = unsafe { timer.assume_init() };
        let started = Self { timer, before };
        let every = libc::timespec {
            tv_sec: 0,
            tv_nsec: MILLISECOND,
        };
        let times = libc::itimerspec {
            it_interval: every,
            it_value: every,
        };
        // SAFETY: `times` is read; the timer is there until `started` is dropped.
        check(unsafe { libc::timer_settime(timer, 0, &raw const times, ptr::null_mut()) })?;
        Ok(started)
    }

    /// Signals that came so far.
    pub(crate) fn ticks(&self) -> u64 {
        TICKS.load(Ordering::Relaxed) - self.before
    }
}

impl Drop for BareTimer {
    fn drop(&mut self) {
        // SAFETY: it was created, and nobody else has its number.
        unsafe { libc::timer_delete(self.timer) };
    }
}

extern "C" fn count(_signal: libc::c_int) {
    TICKS.fetch_add(1, Ordering::Relaxed);
}

fn check(result: libc::c_int) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
