//! What happens when a coroutine runs over the end of its stack: a report, then the end of the process, as when a
//! thread does. Any other fault goes to the handler that was there before.

use std::ffi::c_void;
use std::io::Write;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;
use std::sync::OnceLock;

use rustix::param::page_size;

use super::backtrace;
use super::handler::hand_on;

/// Enough to symbolise a backtrace on.
const SIGNAL_STACK: usize = 512 << 10;
/// Frames shown from the innermost and from the outermost end of what may be thousands.
const INNERMOST: usize = 16;
const OUTERMOST: usize = 8;
/// Symbolising may hang, if the overflow struck inside the allocator; the process must end all the same. On a
/// busy machine reading the debug information takes seconds.
const REPORT_SECONDS: u32 = 30;

/// The coroutine that runs on this thread, as the report needs it.
pub(crate) struct Culprit<'a> {
    pub(crate) id: u64,
    pub(crate) name: &'a str,
    pub(crate) stack: Range<usize>,
}

/// Calls back with the coroutine that runs on this thread, if any. Must be safe in a signal handler.
pub(crate) type Describe = fn(&mut dyn FnMut(&Culprit<'_>));

struct Installed {
    describe: Describe,
    segv: libc::sigaction,
    bus: libc::sigaction,
}

static INSTALLED: OnceLock<Installed> = OnceLock::new();

/// Installs the handler, once in a process.
pub(crate) fn install(describe: Describe) {
    INSTALLED.get_or_init(|| {
        // SAFETY: `on_fault` is a handler of the SA_SIGINFO kind, runs on the alternate stack where there is one, and
        // the previous actions are kept for what is not ours.
        unsafe {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            action.sa_sigaction = on_fault as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigemptyset(&raw mut action.sa_mask);
            let (mut segv, mut bus) = (MaybeUninit::zeroed(), MaybeUninit::zeroed());
            libc::sigaction(libc::SIGSEGV, &raw const action, segv.as_mut_ptr());
            libc::sigaction(libc::SIGBUS, &raw const action, bus.as_mut_ptr());
            Installed {
                describe,
                segv: segv.assume_init(),
                bus: bus.assume_init(),
            }
        }
    });
}

/// A worker's alternate stack for signals; gone, and the previous one back, when dropped.
pub(crate) struct SignalStack {
    memory: *mut c_void,
    previous: libc::stack_t,
}

impl SignalStack {
    /// Gives the calling thread one. If there is no memory for it, an overflow ends the process without a report.
    pub(crate) fn new() -> Option<Self> {
        // SAFETY: a fresh mapping of our own becomes this thread's signal stack until `drop`.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            #[cfg(target_os = "linux")]
            let flags = flags | libc::MAP_NORESERVE;
            let memory = libc::mmap(
                ptr::null_mut(),
                SIGNAL_STACK,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                -1,
                0,
            );
            if memory == libc::MAP_FAILED {
                return None;
            }
            let stack = libc::stack_t {
                ss_sp: memory,
                ss_flags: 0,
                ss_size: SIGNAL_STACK,
            };
            let mut previous = MaybeUninit::zeroed();
            if libc::sigaltstack(&raw const stack, previous.as_mut_ptr()) != 0 {
                libc::munmap(memory, SIGNAL_STACK);
                return None;
            }
            Some(Self {
                memory,
                previous: previous.assume_init(),
            })
        }
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        // SAFETY: this thread is not on the signal stack now, so it may go once the previous one is in force.
        unsafe {
            libc::sigaltstack(&raw const self.previous, ptr::null_mut());
            libc::munmap(self.memory, SIGNAL_STACK);
        }
    }
}

extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let Some(installed) = INSTALLED.get() else {
        return;
    };
    // SAFETY: the kernel passes a valid `info` to an SA_SIGINFO handler.
    let address = unsafe { (*info).si_addr() } as usize;
    (installed.describe)(&mut |culprit| {
        let guard = culprit.stack.start..culprit.stack.start + page_size();
        if guard.contains(&address) {
            report(culprit, frame_pointer_at_fault(context));
            std::process::abort();
        }
    });
    let previous = if signal == libc::SIGBUS {
        &installed.bus
    } else {
        &installed.segv
    };
    // SAFETY: the action was in force before ours, and gets what the kernel gave us.
    if !unsafe { hand_on(previous, signal, info, context) } {
        // The default action: we step aside, return, and the instruction faults again.
        // SAFETY: as above.
        unsafe { libc::sigaction(signal, ptr::from_ref(previous), ptr::null_mut()) };
    }
}

/// The frame pointer of the code that faulted; 0 where we do not know how to ask.
fn frame_pointer_at_fault(context: *mut c_void) -> usize {
    // SAFETY: the kernel passes a valid `ucontext_t` to an SA_SIGINFO handler.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    unsafe {
        (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RBP as usize] as usize
    }
    // SAFETY: as above.
    #[cfg(all(target_os = "linux", target_arch = "aarch64"))]
    unsafe {
        (*context.cast::<libc::ucontext_t>()).uc_mcontext.regs[29] as usize
    }
    #[cfg(not(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    )))]
    {
        let _ = context;
        0
    }
}

/// Writes what happened to standard error.
fn report(culprit: &Culprit<'_>, frame: usize) {
    let mut err = std::io::stderr();
    let kib = culprit.stack.len() >> 10;
    let _ = writeln!(
        err,
        "\ngrapeshot: coroutine '{}' (#{}) has overflowed its stack of {kib} KiB.\n\
         Endless recursion? If not, give it more with `Builder::stack_size`, or all of them with \
         `Runtime::builder().stack_size(..)`.",
        culprit.name.escape_debug(),
        culprit.id
    );
    // SAFETY: an alarm whose default action ends the process, should the rest hang.
    unsafe {
        libc::signal(libc::SIGALRM, libc::SIG_DFL);
        libc::alarm(REPORT_SECONDS);
    }
    // SAFETY: the stack is this thread's and we are on another one; its guard page is left out.
    let addresses = unsafe {
        backtrace::walk(
            frame,
            culprit.stack.start + page_size()..culprit.stack.end,
            usize::MAX,
        )
    };
    let _ = writeln!(
        err,
        "Its backtrace, {} frames, innermost first:",
        addresses.len()
    );
    let show = |err: &mut std::io::Stderr, from: usize, addresses: &[usize]| {
        for (number, &address) in addresses.iter().enumerate() {
            for frame in backtrace::resolve(address) {
                let function = frame.function.as_deref().unwrap_or("?");
                let place = match (&frame.file, frame.line) {
                    (Some(file), Some(line)) => format!(" at {file}:{line}"),
                    _ => String::new(),
                };
                let _ = writeln!(err, "{:6}: {function}{place}", from + number);
            }
        }
    };
    if addresses.len() <= INNERMOST + OUTERMOST {
        show(&mut err, 0, &addresses);
    } else {
        let last = addresses.len() - OUTERMOST;
        show(&mut err, 0, &addresses[..INNERMOST]);
        let _ = writeln!(err, "        … {} more …", last - INNERMOST);
        show(&mut err, last, &addresses[last..]);
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Output};
    use std::sync::atomic::{AtomicPtr, Ordering};

    use super::*;
    use crate::Builder;

    /// Runs `f` in a process of its own, which it ends: this program again, with the test of that name alone.
    fn end_of(test: &str, f: impl FnOnce()) -> Option<Output> {
        const ALONE: &str = "GRAPESHOT_TEST_ALONE";
        let test = format!("context::overflow::tests::{test}");
        if std::env::var(ALONE).is_ok_and(|name| name == test) {
            f();
            return None;
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &test, "--nocapture", "--test-threads=1"])
            .env(ALONE, &test)
            .output();
        Some(output.unwrap())
    }

    fn signal(output: &Output) -> Option<i32> {
        std::os::unix::process::ExitStatusExt::signal(&output.status)
    }

    fn said(output: &Output) -> String {
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// A function of C that faults, far from any stack's guard.
    #[inline(never)]
    fn has_c_read(address: *const libc::c_char) -> usize {
        // SAFETY: none. It is there to fault, in a process that is there for it.
        unsafe { libc::strlen(address) }
    }

    fn fault_in_a_coroutine() {
        let nowhere = std::hint::black_box(8 as *const libc::c_char as usize);
        crate::run(move || {
            let culprit = Builder::new().name("culprit");
            culprit.spawn(move || has_c_read(nowhere as _)).join()
        })
        .unwrap();
    }

    #[inline(never)]
    fn dig(depth: u64) -> u64 {
        let dug = std::hint::black_box([depth; 64]);
        if depth == u64::MAX {
            0
        } else {
            dig(depth + 1) + dug[1]
        }
    }

    fn overflow_in_a_coroutine() {
        crate::run(|| Builder::new().name("digger").spawn(|| dig(0)).join()).unwrap();
    }

    fn handle(handler: libc::sighandler_t, flags: libc::c_int) {
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            // SAFETY: each caller passes a handler of the kind that its flags say.
            unsafe {
                let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
                action.sa_sigaction = handler;
                action.sa_flags = flags;
                libc::sigaction(signal, &raw const action, ptr::null_mut());
            }
        }
    }

    /// The application's: it knows the address, and ends the process in its own way.
    extern "C" fn takes_all(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
        // SAFETY: the kernel's `info`, and the end of the process.
        unsafe {
            libc::_exit(if (*info).si_addr() as usize == 8 {
                42
            } else {
                43
            })
        }
    }

    extern "C" fn takes_the_number(signal: libc::c_int) {
        // SAFETY: the end of the process.
        unsafe { libc::_exit(100 + signal) }
    }

    static CLOSED: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

    /// One that mends what was wrong, as garbage collectors have it.
    extern "C" fn opens_the_page(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut c_void) {
        let page = CLOSED.load(Ordering::Relaxed);
        // SAFETY: a page of the test's own.
        unsafe { libc::mprotect(page, page_size(), libc::PROT_READ) };
    }

    #[test]
    fn a_fault_in_c_ends_the_process_as_ever() {
        let Some(ended) = end_of("a_fault_in_c_ends_the_process_as_ever", || {
            // The test program has std's, which does the same.
            handle(libc::SIG_DFL, 0);
            fault_in_a_coroutine();
        }) else {
            return;
        };
        assert_eq!(signal(&ended), Some(libc::SIGSEGV), "{ended:?}");
        assert!(!said(&ended).contains("overflow"), "{ended:?}");
    }

    #[test]
    fn a_fault_in_c_with_stds_handler_does_too() {
        let name = "a_fault_in_c_with_stds_handler_does_too";
        let Some(ended) = end_of(name, fault_in_a_coroutine) else {
            return;
        };
        if cfg!(grapeshot_asan) {
            // The sanitizer's handler is there instead of std's.
            assert!(said(&ended).contains("AddressSanitizer: SEGV"), "{ended:?}");
        } else {
            assert_eq!(signal(&ended), Some(libc::SIGSEGV), "{ended:?}");
            assert!(!said(&ended).contains("overflow"), "{ended:?}");
        }
    }

    #[test]
    fn a_fault_that_is_ignored_ends_the_process_too() {
        let name = "a_fault_that_is_ignored_ends_the_process_too";
        let Some(ended) = end_of(name, || {
            handle(libc::SIG_IGN, 0);
            fault_in_a_coroutine();
        }) else {
            return;
        };
        assert_eq!(signal(&ended), Some(libc::SIGSEGV), "{ended:?}");
    }

    #[test]
    fn the_applications_handler_gets_the_fault() {
        let Some(ended) = end_of("the_applications_handler_gets_the_fault", || {
            handle(takes_all as *const () as usize, libc::SA_SIGINFO);
            fault_in_a_coroutine();
        }) else {
            return;
        };
        assert_eq!(ended.status.code(), Some(42), "{ended:?}");
    }

    #[test]
    fn the_applications_handler_does_not_get_the_overflow() {
        let name = "the_applications_handler_does_not_get_the_overflow";
        let Some(ended) = end_of(name, || {
            handle(takes_all as *const () as usize, libc::SA_SIGINFO);
            overflow_in_a_coroutine();
        }) else {
            return;
        };
        assert_eq!(signal(&ended), Some(libc::SIGABRT), "{ended:?}");
        let said = said(&ended);
        assert!(
            said.contains("'digger'") && said.contains("has overflowed its stack"),
            "{said}"
        );
    }

    #[test]
    fn a_handler_without_siginfo_gets_the_fault() {
        let Some(ended) = end_of("a_handler_without_siginfo_gets_the_fault", || {
            handle(takes_the_number as *const () as usize, 0);
            fault_in_a_coroutine();
        }) else {
            return;
        };
        assert_eq!(ended.status.code(), Some(100 + libc::SIGSEGV), "{ended:?}");
    }

    #[test]
    fn a_handler_that_mends_it_lets_the_coroutine_go_on() {
        let Some(ended) = end_of("a_handler_that_mends_it_lets_the_coroutine_go_on", || {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            // SAFETY: a fresh mapping.
            let page =
                unsafe { libc::mmap(ptr::null_mut(), page_size(), libc::PROT_NONE, flags, -1, 0) };
            CLOSED.store(page, Ordering::Relaxed);
            handle(opens_the_page as *const () as usize, libc::SA_SIGINFO);
            let page = page as usize;
            let read = crate::run(move || crate::spawn(move || has_c_read(page as _)).join());
            assert_eq!(read.unwrap(), 0, "an empty string");
            std::process::exit(44);
        }) else {
            return;
        };
        assert_eq!(ended.status.code(), Some(44), "{ended:?}");
    }
}
