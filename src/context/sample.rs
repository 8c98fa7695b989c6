//! Where a thread is that runs and does not say: asked by a signal.
//!
//! ```text
//!   who asks                           the thread that is asked
//!   ────────                           ────────────────────────
//!   FREE → ASKED, signal   ────────▶   handler: ASKED → TAKING
//!   waits for TAKEN                    calls what it was given, such as a walk along the frame pointers
//!                          ◀────────   TAKING → TAKEN
//!   TAKEN → FREE
//! ```
//!
//! The handler allocates nothing, takes no lock and makes no system calls but `gettid` and `futex`, so it may interrupt the
//! allocator, a foreign library or the kernel. It runs on the thread's signal stack, as a coroutine's own may be nearly
//! full. Who asks takes turns with others, and gives up after [`PATIENCE`]: ASKED → FREE.
//!
//! The signal is SIGURG, which does nothing where nobody handles it, with `SA_RESTART`: system calls that it interrupts go
//! on. Those that never do (signal(7): `epoll_wait`, `poll`, `nanosleep`, sockets with a timeout of their own) return
//! `EINTR` to code that has them in hand. A worker that sleeps in its poller is never asked.

use std::ops::Range;

/// Frames of a sample, at most.
pub(crate) const FRAMES: usize = 256;

/// What a thread does for whoever asks it, in its signal handler: it must allocate nothing, take no lock and not panic.
pub(crate) type Errand<'a> = &'a mut (dyn FnMut() + Send);

#[cfg(target_os = "linux")]
pub(super) use system::{Registers, innermost, registers};
pub(crate) use system::{Thread, Usage};

#[cfg(target_os = "linux")]
mod system {
    use std::ffi::c_void;
    use std::mem::MaybeUninit;
    use std::ptr;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use parking_lot::Mutex;
    use rustix::thread::{Timespec, futex, gettid};

    use super::super::backtrace;
    use super::super::handler::hand_on;
    use super::{Errand, FRAMES, Range};

    const SIGNAL: libc::c_int = libc::SIGURG;
    /// How long to wait for an answer, which usually takes microseconds.
    const PATIENCE: Duration = Duration::from_millis(100);

    const FREE: u32 = 0;
    const ASKED: u32 = 1;
    const TAKING: u32 = 2;
    const TAKEN: u32 = 3;

    /// A thread that can be asked.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Thread {
        id: i32,
    }

    /// What a thread has got of the processors.
    #[derive(Debug, Clone, Copy, Default)]
    pub(crate) struct Usage {
        /// It ran.
        pub(crate) ran: Duration,
        /// It could have run, but others did.
        pub(crate) queued: Duration,
    }

    /// The question. One for the process.
    struct Question {
        state: AtomicU32,
        thread: AtomicI32,
        low: AtomicUsize,
        high: AtomicUsize,
        /// What to call if the thread is on that stack.
        visit: AtomicPtr<Visit<'static>>,
        visited: AtomicBool,
    }

    type Visit<'a> = &'a mut (dyn FnMut(&Registers) + Send);

    static QUESTION: Question = Question {
        state: AtomicU32::new(FREE),
        thread: AtomicI32::new(0),
        low: AtomicUsize::new(0),
        high: AtomicUsize::new(0),
        visit: AtomicPtr::new(ptr::null_mut()),
        visited: AtomicBool::new(false),
    };

    /// Held by whoever asks.
    static TURN: Mutex<()> = Mutex::new(());

    impl Thread {
        /// The calling thread. It must have a [`SignalStack`](super::super::overflow::SignalStack).
        pub(crate) fn current() -> Self {
            Self {
                id: gettid().as_raw_nonzero().get(),
            }
        }

        /// Addresses of the code that runs on `stack` at this moment, innermost first; each but the first is where a call
        /// returns to, and so is the first plus 1. `None`: the thread runs elsewhere, or does not answer, because it waits for
        /// a processor, or in the kernel where it hears no signals. Blocks the caller for [`PATIENCE`] at most.
        pub(crate) fn sample(self, stack: Range<usize>) -> Option<Vec<usize>> {
            let mut frames = Vec::with_capacity(FRAMES);
            let end = stack.end;
            let mut follow = |at: &Registers| {
                // Never more than there is room for, as a signal handler must not allocate.
                let mut keep = |address| {
                    if frames.len() < FRAMES {
                        frames.push(address);
                    }
                    frames.len() < FRAMES
                };
                keep(at.code + 1);
                let live = at.stack..end;
                // SAFETY: the thread runs on that stack, so it is mapped, and stands still while its handler calls this.
                unsafe { backtrace::follow(innermost(at.frame, &live), live, keep) };
            };
            self.ask(stack, &mut follow).then_some(frames)
        }

        /// Has the thread run an errand while the code that it runs on `stack` stands still. False: as for
        /// [`Thread::sample`].
        pub(crate) fn send_on(self, stack: Range<usize>, errand: Errand<'_>) -> bool {
            self.ask(stack, &mut |_| errand())
        }

        fn ask(self, stack: Range<usize>, mut visit: Visit<'_>) -> bool {
            let _turn = TURN.lock();
            install();
            let question = &QUESTION;
            question.thread.store(self.id, Ordering::Relaxed);
            question.low.store(stack.start, Ordering::Relaxed);
            question.high.store(stack.end, Ordering::Relaxed);
            question.visited.store(false, Ordering::Relaxed);
            // The handler calls it only between ASKED and TAKEN, and this does not return before it is out of that.
            question
                .visit
                .store((&raw mut visit).cast(), Ordering::Relaxed);
            question.state.store(ASKED, Ordering::Release);
            // SAFETY: sends a signal that has a handler to a thread of this process. If the thread is gone, it fails, or
            // reaches another, whose stack is not the one that the handler looks for.
            let sent =
                unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), self.id, SIGNAL) } == 0;
            let answered = (sent || !give_up(&question.state)) && wait_for_answer(&question.state);
            let visited = answered && question.visited.load(Ordering::Relaxed);
            question.state.store(FREE, Ordering::Relaxed);
            visited
        }

        /// The address that it sleeps on in futex(2), where the kernel tells: Linux with `CONFIG_HAVE_ARCH_TRACEHOOK` and
        /// a `/proc`.
        pub(crate) fn futex(self) -> Option<usize> {
            let text = format!("/proc/self/task/{}/syscall", self.id);
            let text = std::fs::read_to_string(text).ok()?;
            let mut words = text.split_whitespace();
            if words.next()?.parse() != Ok(libc::SYS_futex) {
                return None;
            }
            let mut hex = || usize::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
            let (address, operation) = (hex()?, hex()? as libc::c_int);
            let waits = [
                libc::FUTEX_WAIT,
                libc::FUTEX_WAIT_BITSET,
                libc::FUTEX_LOCK_PI,
            ];
            let operation = operation & !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);
            waits.contains(&operation).then_some(address)
        }

        /// Its number in the system.
        pub(crate) fn id(self) -> i32 {
            self.id
        }

        /// What it has got of the processors so far, where the kernel counts it.
        pub(crate) fn usage(self) -> Option<Usage> {
            let text = format!("/proc/self/task/{}/schedstat", self.id);
            let text = std::fs::read_to_string(text).ok()?;
            let mut numbers = text.split_whitespace().map(str::parse);
            let mut next = || Some(Duration::from_nanos(numbers.next()?.ok()?));
            Some(Usage {
                ran: next()?,
                queued: next()?,
            })
        }
    }

    /// No answer will come now, unless one has begun: then it returns false.
    fn give_up(state: &AtomicU32) -> bool {
        let taken_back = state.compare_exchange(ASKED, FREE, Ordering::Relaxed, Ordering::Relaxed);
        taken_back.is_ok()
    }

    /// False: it did not come in time, and will not come now.
    fn wait_for_answer(state: &AtomicU32) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = state.load(Ordering::Acquire);
            if now == TAKEN {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            // The handler, once it has begun, is done in a moment.
            if now == ASKED && left.is_zero() {
                if give_up(state) {
                    return false;
                }
                continue;
            }
            let left = Timespec {
                tv_sec: 0,
                tv_nsec: left.as_nanos().max(1_000_000) as _,
            };
            // Whatever it returns, the state is looked at again.
            let _ = futex::wait(state, futex::Flags::PRIVATE, now, Some(&left));
        }
    }

    static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

    fn install() {
        PREVIOUS.get_or_init(|| {
            // SAFETY: `on_signal` is a handler of the SA_SIGINFO kind and runs on the alternate stack where there is one.
            // The previous action is kept for what is not ours; until it is, a signal of somebody else's is lost, which
            // for SIGURG is what happens by default.
            unsafe {
                let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
                action.sa_sigaction = on_signal as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
                libc::sigemptyset(&raw mut action.sa_mask);
                let mut previous = MaybeUninit::zeroed();
                libc::sigaction(SIGNAL, &raw const action, previous.as_mut_ptr());
                previous.assume_init()
            }
        });
    }

    extern "C" fn on_signal(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
        // SAFETY: the thread's own `errno`, which the interrupted code may be about to read.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: as above.
        let before = unsafe { *errno };
        if !answer(context) {
            pass_on(signal, info, context);
        }
        // SAFETY: as above.
        unsafe { *errno = before };
    }

    /// Answers the question, if it is this thread's. Calls nothing that is not safe in a signal handler.
    fn answer(context: *mut c_void) -> bool {
        let question = &QUESTION;
        let asked = question.state.load(Ordering::Acquire) == ASKED
            && question.thread.load(Ordering::Relaxed) == gettid().as_raw_nonzero().get();
        if !asked
            || question
                .state
                .compare_exchange(ASKED, TAKING, Ordering::Acquire, Ordering::Relaxed)
                .is_err()
        {
            return false;
        }
        let stack = question.low.load(Ordering::Relaxed)..question.high.load(Ordering::Relaxed);
        let at = registers(context);
        if stack.contains(&at.stack) {
            // SAFETY: whoever asked put it there, waits until TAKEN and does not touch it meanwhile.
            let visit = unsafe { &mut *question.visit.load(Ordering::Relaxed) };
            visit(&at);
            question.visited.store(true, Ordering::Relaxed);
        }
        question.state.store(TAKEN, Ordering::Release);
        let _ = futex::wake(&question.state, futex::Flags::PRIVATE, 1);
        true
    }

    /// The frame to begin at: the register's, or, in code that uses that register for something else, the first on the
    /// stack that leads to its base.
    ///
    /// # Safety
    /// As for [`backtrace::follow`].
    pub(in super::super) unsafe fn innermost(frame: usize, live: &Range<usize>) -> usize {
        /// Words looked at. Foreign code that keeps more on the stack has no callers in its backtrace.
        const WORDS: usize = 2048;
        const WORD: usize = size_of::<usize>();
        // SAFETY: by the caller's promise.
        let leads = |frame| unsafe { backtrace::follow(frame, live.clone(), |_| true) };
        // AddressSanitizer minds a look at what lies between the variables.
        if leads(frame) || cfg!(grapeshot_asan) {
            return frame;
        }
        let words = live.start.next_multiple_of(WORD)..live.end.saturating_sub(WORD);
        let found = words.step_by(WORD).take(WORDS).find(|&place| {
            // SAFETY: inside the stack, which the caller keeps.
            let saved = unsafe { *(place as *const usize) };
            saved > place && leads(place)
        });
        found.unwrap_or(frame)
    }

    pub(in super::super) struct Registers {
        pub(in super::super) code: usize,
        pub(in super::super) stack: usize,
        pub(in super::super) frame: usize,
    }

    pub(in super::super) fn registers(context: *mut c_void) -> Registers {
        // SAFETY: the kernel passes a valid `ucontext_t` to an SA_SIGINFO handler.
        let machine = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext };
        #[cfg(target_arch = "x86_64")]
        let registers = Registers {
            code: machine.gregs[libc::REG_RIP as usize] as usize,
            stack: machine.gregs[libc::REG_RSP as usize] as usize,
            frame: machine.gregs[libc::REG_RBP as usize] as usize,
        };
        #[cfg(target_arch = "aarch64")]
        let registers = Registers {
            code: machine.pc as usize,
            stack: machine.sp as usize,
            frame: machine.regs[29] as usize,
        };
        registers
    }

    /// A signal that was not ours goes where it would have gone.
    fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
        let Some(previous) = PREVIOUS.get() else {
            return;
        };
        // SAFETY: the action was in force before ours, and gets what the kernel gave us.
        let _handled = unsafe { hand_on(previous, signal, info, context) };
        // By default SIGURG is ignored.
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{Errand, Range};
    use std::time::Duration;

    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Thread;

    #[derive(Debug, Clone, Copy, Default)]
    pub(crate) struct Usage {
        pub(crate) ran: Duration,
        pub(crate) queued: Duration,
    }

    impl Thread {
        pub(crate) fn current() -> Self {
            Self
        }

        pub(crate) fn sample(self, _stack: Range<usize>) -> Option<Vec<usize>> {
            None
        }

        pub(crate) fn send_on(self, _stack: Range<usize>, _errand: Errand<'_>) -> bool {
            false
        }

        pub(crate) fn futex(self) -> Option<usize> {
            None
        }

        pub(crate) fn id(self) -> i32 {
            0
        }

        pub(crate) fn usage(self) -> Option<Usage> {
            None
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::cell::UnsafeCell;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use crate::registry;
    use crate::{Builder, Placement, Runtime, sleep, yield_now};

    /// A mutex of C, which has no guard: what somebody passes around is a struct that it is in.
    struct Account {
        _balance: u64,
        mutex: UnsafeCell<libc::pthread_mutex_t>,
    }

    // SAFETY: that is what a mutex is for.
    unsafe impl Send for Account {}
    // SAFETY: as above.
    unsafe impl Sync for Account {}

    impl Account {
        #[inline(never)]
        fn lock(&self) {
            // SAFETY: it was initialized, and lives.
            unsafe { libc::pthread_mutex_lock(self.mutex.get()) };
        }

        fn unlock(&self) {
            // SAFETY: as above. For this kind of mutex, libc does not mind who unlocks it.
            unsafe { libc::pthread_mutex_unlock(self.mutex.get()) };
        }
    }

    #[test]
    fn a_mutex_of_c_that_a_coroutine_sleeps_with_is_reported() {
        let runtime = Runtime::builder()
            .workers(2)
            .latency_limit(Duration::from_millis(10));
        let lock = Arc::new(Account {
            _balance: 0,
            mutex: UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER),
        });
        runtime.build().unwrap().run(move || {
            let until = |what: &mut dyn FnMut() -> bool| {
                let start = Instant::now();
                while !what() {
                    assert!(
                        start.elapsed() < Duration::from_secs(60),
                        "it does not come"
                    );
                    yield_now();
                }
            };
            let there = || Builder::new().placement(Placement::Worker(1));
            let has_it = Arc::new(AtomicBool::new(false));
            let (held, tells) = (lock.clone(), has_it.clone());
            let account = there().name("account").spawn(move || {
                held.lock();
                tells.store(true, Ordering::Relaxed);
                sleep(Duration::from_secs(3_600));
            });
            until(&mut || has_it.load(Ordering::Relaxed));
            let wanted = lock.clone();
            let audit = there().name("audit").spawn(move || wanted.lock());
            let mut found = None;
            until(&mut || {
                let stall = registry::stalls().pop();
                found = stall.and_then(|stall| stall.lock);
                found.is_some()
            });
            let found = found.unwrap();
            assert_eq!(found.kind, "pthread_mutex_t");
            assert_eq!(found.futex, lock.mutex.get() as usize);
            let holders: Vec<_> = found.holders.iter().map(|it| it.id).collect();
            assert_eq!(holders, [account.id()]);
            lock.unlock();
            audit.join().unwrap();
            account.interrupt();
            assert!(account.join().is_err());
        });
    }
}
