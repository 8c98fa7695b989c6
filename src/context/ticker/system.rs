//! The timers of Linux, and the handler of their signal.

use std::cell::Cell;
use std::ffi::c_void;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use parking_lot::Mutex;

use super::super::handler::hand_on;
use super::super::sample::{Thread, registers};
use super::walk::{note_text, walk};
use super::{FRAMES, HARDLY, LAZY, Locate, Ring};

const SIGNAL: libc::c_int = libc::SIGPROF;

/// What a thread's handler needs.
struct Seat {
    ring: &'static OnceLock<Ring>,
    locate: Locate,
    stack: Range<usize>,
}

thread_local! {
    /// Set while the thread may be sampled. Without a destructor, so that a handler may look at it.
    static SEAT: Cell<*const Seat> = const { Cell::new(ptr::null()) };
}

/// Its address marks our timers' signals.
static OURS: u8 = 0;

/// Makes the calling thread one that may be sampled, into `ring` once that is there, for as long as `body` runs. The thread
/// has a [`SignalStack`](super::super::overflow::SignalStack).
pub(crate) fn enlist(ring: &'static OnceLock<Ring>, locate: Locate, body: impl FnOnce()) {
    let seat = Seat {
        ring,
        locate,
        stack: own_stack(),
    };
    SEAT.set(&raw const seat);
    body();
    SEAT.set(ptr::null());
}

/// The addresses of the calling thread's own stack.
fn own_stack() -> Range<usize> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut start, mut size) = (ptr::null_mut(), 0);
    // SAFETY: asks for the attributes of the thread that calls, which are destroyed after they are read.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return 0..0;
        }
        libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut start, &raw mut size);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
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
        ring.timer.store(timer + 1, Ordering::SeqCst);
        let started = Self(ring);
        set(timer, every)?;
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

/// Has a timer fire every so many nanoseconds from now on. Safe in a signal handler.
pub(super) fn set(timer: usize, every: u64) -> io::Result<()> {
    let every = libc::timespec {
        tv_sec: (every / 1_000_000_000) as _,
        tv_nsec: (every % 1_000_000_000) as _,
    };
    let times = libc::itimerspec {
        it_interval: every,
        it_value: every,
    };
    let timer = timer as libc::timer_t;
    // SAFETY: `times` is read; of a number that is none, the kernel says so.
    let failed = unsafe { libc::timer_settime(timer, 0, &raw const times, ptr::null_mut()) } != 0;
    match failed {
        true => Err(io::Error::last_os_error()),
        false => Ok(()),
    }
}

/// What was there before our handler. Leaked, as a handler may read it at any time.
static PREVIOUS: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());

/// Installs the handler, unless it was installed before. Whoever has put another on top since then calls ours, as is the
/// custom; to put ours on top of that one again would make a ring. If there is none at all any more, ours comes back.
fn install() -> io::Result<()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock();
    note_text();
    // SAFETY: `on_signal` is a handler of the SA_SIGINFO kind and runs on the alternate stack where there is one. The
    // previous action is kept for what is not ours, and is there before ours is in force.
    unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        libc::sigemptyset(&raw mut action.sa_mask);
        let mut now: libc::sigaction = MaybeUninit::zeroed().assume_init();
        libc::sigaction(SIGNAL, ptr::null(), &raw mut now);
        let is_first = PREVIOUS.load(Ordering::Acquire).is_null();
        if !is_first && ![libc::SIG_DFL, libc::SIG_IGN].contains(&now.sa_sigaction) {
            return Ok(());
        }
        if is_first {
            PREVIOUS.store(Box::leak(Box::new(now)), Ordering::Release);
        }
        if libc::sigaction(SIGNAL, &raw const action, ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

extern "C" fn on_signal(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
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

/// Takes a sample of the code that the handler interrupted. Calls nothing that is not safe in a signal handler.
fn take(context: *mut c_void) {
    // SAFETY: null, or set by `enlist`, which is still running below us on this thread.
    let Some(seat) = (unsafe { SEAT.get().as_ref() }) else {
        return;
    };
    let Some(ring) = seat.ring.get() else {
        return;
    };
    let used = nanos_of(libc::CLOCK_THREAD_CPUTIME_ID);
    let nanos = used.saturating_sub(ring.used.load(Ordering::Relaxed));
    ring.used.store(used, Ordering::Relaxed);
    let laziness = ring.laziness.load(Ordering::Relaxed);
    let awaited = ring.every.load(Ordering::Relaxed) << laziness;
    if nanos < awaited / HARDLY {
        if laziness < LAZY {
            ring.pace(laziness + 1);
        }
    } else if laziness > 0 {
        ring.pace(0);
    }
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
    let spent = nanos_of(libc::CLOCK_THREAD_CPUTIME_ID).saturating_sub(used);
    ring.cost.fetch_add(spent, Ordering::Relaxed);
}

/// A signal that was not ours goes where it would have gone.
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: set before our handler was in force, and never freed.
    let Some(previous) = (unsafe { PREVIOUS.load(Ordering::Acquire).as_ref() }) else {
        return;
    };
    // SAFETY: the action was in force before ours, and gets what the kernel gave us.
    let handled = unsafe { hand_on(previous, signal, info, context) };
    if !handled && previous.sa_sigaction == libc::SIG_DFL {
        // The default action ends the process: we step aside, and it comes again. But whoever has a handler on top of ours, and
        // called it, has seen to the signal.
        // SAFETY: as above; these are safe in a handler.
        unsafe {
            let mut now: libc::sigaction = MaybeUninit::zeroed().assume_init();
            libc::sigaction(signal, ptr::null(), &raw mut now);
            if now.sa_sigaction != on_signal as *const () as usize {
                return;
            }
            libc::sigaction(signal, ptr::from_ref(previous), ptr::null_mut());
            libc::raise(signal);
        }
    }
}
