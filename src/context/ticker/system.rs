//! The timers of Linux, and the handler of their signal.

use std::cell::Cell;
use std::ffi::c_void;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::sample::{Thread, registers};
use super::chain::{install, pass_on};
use super::walk::{note_text, walk};
use super::{FRAMES, Locate, Ring};

pub(super) const SIGNAL: libc::c_int = libc::SIGPROF;

/// What a thread's handler needs.
struct Seat {
    ring: &'static OnceLock<Ring>,
    /// Not 0 while the thread sleeps, and has nothing else to do.
    asleep: &'static AtomicU64,
    locate: Locate,
    stack: Range<usize>,
}

thread_local! {
    /// Set while the thread may be sampled. Without a destructor, so that a handler may look at it.
    static SEAT: Cell<*const Seat> = const { Cell::new(ptr::null()) };
}

/// Its address marks our timers' signals.
static OURS: u8 = 0;

/// Makes the calling thread one that may be sampled, into `ring` once that is there, for as long as `body` runs; while
/// `asleep` is not 0 it has nothing to do. The thread has a [`SignalStack`](super::super::overflow::SignalStack).
pub(crate) fn enlist(
    ring: &'static OnceLock<Ring>,
    asleep: &'static AtomicU64,
    locate: Locate,
    body: impl FnOnce(),
) {
    let seat = Seat {
        ring,
        asleep,
        locate,
        stack: own_stack(),
    };
    SEAT.set(&raw const seat);
    body();
    SEAT.set(ptr::null());
}

/// The addresses of the calling thread's own stack; none if the system does not say.
pub(in super::super) fn own_stack() -> Range<usize> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut start, mut size) = (ptr::null_mut(), 0);
    // SAFETY: asks for the attributes of the thread that calls, which are destroyed after they are read. The thread's own
    // `errno` stays as it is: somebody who allocates may be about to read it.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) == 0 {
            libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut start, &raw mut size);
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
        }
        *errno = before;
    }
    start as usize..start as usize + size
}

/// The kernel's number for the clock of a thread's processor time; see clock_getcpuclockid(3).
fn clock_of(thread: Thread) -> libc::clockid_t {
    const PER_THREAD_AND_SCHEDULER: libc::clockid_t = 4 | 2;
    (!thread.id() << 3) | PER_THREAD_AND_SCHEDULER
}

/// Nanoseconds of processor time that a thread has used; 0 if it is gone.
pub(crate) fn used(thread: Thread) -> u64 {
    nanos_of(clock_of(thread))
}

/// Safe in a signal handler.
fn nanos_of(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes to `time`.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut time) } != 0;
    if failed {
        return 0;
    }
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A thread's timer. Dropped, it stops; a signal that is on its way still comes.
pub(crate) struct Timer(&'static Ring);

impl Timer {
    /// Has `thread`, which was [enlisted](enlist) with `ring`, sampled once in so many nanoseconds.
    pub(crate) fn start(thread: Thread, ring: &'static Ring, every: u64) -> io::Result<Self> {
        note_text();
        install()?;
        let mut timer = MaybeUninit::uninit();
        // SAFETY: the event is plain data; the signal has a handler, and goes to a thread of this process. If that is
        // gone, this fails.
        let timer = unsafe {
            let mut event: libc::sigevent = MaybeUninit::zeroed().assume_init();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = SIGNAL;
            event.sigev_value.sival_ptr = ptr::from_ref(&OURS).cast_mut().cast();
            event.sigev_notify_thread_id = thread.id();
            let clock = libc::CLOCK_MONOTONIC;
            if libc::timer_create(clock, &raw mut event, timer.as_mut_ptr()) != 0 {
                return Err(io::Error::last_os_error());
            }
            timer.assume_init() as usize
        };
        ring.every.store(every, Ordering::Relaxed);
        ring.laziness.store(0, Ordering::Relaxed);
        let first = ring.draw(every);
        ring.timer.store(timer + 1, Ordering::SeqCst);
        let started = Self(ring);
        set(timer, first, every)?;
        Ok(started)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let timer = self.0.timer.swap(0, Ordering::SeqCst);
        // They take a moment, unless their thread has lost its processor.
        while self.0.users.load(Ordering::SeqCst) > 0 {
            std::thread::yield_now();
        }
        // SAFETY: it was created, and nobody has its number any more.
        unsafe { libc::timer_delete((timer - 1) as libc::timer_t) };
    }
}

/// Has a timer fire in so many nanoseconds. Should it not be set again then, it goes on by itself, more seldom than `every` so
/// many. Safe in a signal handler.
pub(super) fn set(timer: usize, delay: u64, every: u64) -> io::Result<()> {
    /// Longer than nearly all delays that are drawn.
    const BY_ITSELF: u64 = 16;
    let time = |nanos: u64| libc::timespec {
        tv_sec: (nanos / 1_000_000_000) as _,
        tv_nsec: (nanos % 1_000_000_000) as _,
    };
    let times = libc::itimerspec {
        it_interval: time(every * BY_ITSELF),
        it_value: time(delay),
    };
    let timer = timer as libc::timer_t;
    // SAFETY: `times` is read; of a number that is none, the kernel says so.
    let failed = unsafe { libc::timer_settime(timer, 0, &raw const times, ptr::null_mut()) } != 0;
    match failed {
        true => Err(io::Error::last_os_error()),
        false => Ok(()),
    }
}

pub(super) extern "C" fn on_signal(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
) {
    // SAFETY: the thread's own `errno`, which the interrupted code may be about to read.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    // SAFETY: the kernel passes a valid `info`; that of a timer has a value.
    let ours = unsafe {
        (*info).si_code == libc::SI_TIMER
            && (*info).si_value().sival_ptr.cast_const() == ptr::from_ref(&OURS).cast()
    };
    if ours {
        take(context);
    } else {
        pass_on(signal, info, context);
    }
    // SAFETY: as above.
    unsafe { *errno = before };
}

/// A tick: takes a sample of the code that the handler interrupted, if that is not asleep. Calls nothing that is not safe in a
/// signal handler.
fn take(context: *mut c_void) {
    // SAFETY: null, or set by `enlist`, which is still running below us on this thread.
    let Some(seat) = (unsafe { SEAT.get().as_ref() }) else {
        return;
    };
    let Some(ring) = seat.ring.get() else {
        return;
    };
    let used = nanos_of(libc::CLOCK_THREAD_CPUTIME_ID);
    let sleeps = seat.asleep.load(Ordering::Relaxed) != 0;
    if !sleeps {
        let nanos = used.saturating_sub(ring.used.swap(used, Ordering::Relaxed));
        sample(seat, ring, nanos, context);
    }
    ring.look(used);
    let spent = nanos_of(libc::CLOCK_THREAD_CPUTIME_ID).saturating_sub(used);
    ring.cost.fetch_add(spent, Ordering::Relaxed);
    if sleeps {
        // Nothing of this belongs to what runs next.
        ring.used.fetch_add(spent, Ordering::Relaxed);
    }
}

/// Where the thread has been found, and where it spent the time since the sample before.
fn sample(seat: &Seat, ring: &Ring, nanos: u64, context: *mut c_void) {
    let mut place = (seat.locate)();
    let at = registers(context);
    let (end, is_coroutine) = if place.stack.contains(&at.stack) {
        (place.stack.end, true)
    } else {
        place.coroutine = 0;
        (seat.stack.end, false)
    };
    let mut frames = [0; FRAMES];
    let mut len = 0;
    let mut keep = |address: usize| {
        if len < FRAMES {
            frames[len] = address as u64;
            len += 1;
        }
        len < FRAMES
    };
    keep(at.code + 1);
    if is_coroutine || seat.stack.contains(&at.stack) {
        // SAFETY: the thread runs on that stack, so it is mapped from there to its end, and stands still meanwhile.
        unsafe { walk(&at, at.stack..end, is_coroutine, &mut keep) };
    }
    ring.put(&place, nanos, &frames[..len]);
}
