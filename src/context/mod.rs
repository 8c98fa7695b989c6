//! Machine contexts: stacks, the switch, and what is bound to them.
//!
//! This is where the runtime's `unsafe` lives, behind safe functions; the scheduler above it has none.
//!
//! ```text
//!   worker's own stack             coroutine's stack (one of a slab's)
//!   ──────────────────             ───────────────────────────────────
//!   Worker::run_one                ┌──────────────┐ base (high)
//!     Context::resume ──switch──▶  │ entry        │
//!                                  │ user's code  │
//!     Suspended ◀────switch─────── │ suspend()    │ ◀ saved frame pointer: backtraces start here
//!                                  ├──────────────┤
//!                                  │ guard page   │ touching it ends the process with a report
//!                                  └──────────────┘ limit (low)
//! ```
#![allow(unsafe_code)]

pub(crate) mod backtrace;
mod cell;
pub(crate) mod cycles;
pub(crate) mod overflow;
pub(crate) mod stack;

use std::cell::Cell;
use std::ptr;

use corosensei::{Coroutine, CoroutineResult, Yielder};

pub(crate) use cell::{HandOver, PinnedCell, Scoped};
pub(crate) use stack::{Stack, StackPool};

thread_local! {
    /// The running coroutine's way back to its worker; null on a worker's own stack and on plain threads.
    static YIELDER: Cell<*const Yielder<(), ()>> = const { Cell::new(ptr::null()) };
    /// The frame pointer at the latest suspension on this thread.
    static FRAME: Cell<usize> = const { Cell::new(0) };
}

/// How a resume ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switched {
    /// It called [`suspend`].
    Suspended,
    /// Its body returned; the stack may be taken back.
    Ended,
}

/// One stack with the machine state of the code that is suspended on it. Bound to the thread that first resumes it.
pub(crate) struct Context {
    coroutine: Coroutine<(), (), (), Stack>,
    yielder: *const Yielder<(), ()>,
    frame: usize,
}

impl Context {
    /// Prepares `body` to run on `stack`. It must not unwind: whoever passes it has caught everything.
    pub(crate) fn new(stack: Stack, body: impl FnOnce() + 'static) -> Self {
        let coroutine = Coroutine::with_stack(stack, move |yielder: &Yielder<(), ()>, ()| {
            YIELDER.set(ptr::from_ref(yielder));
            body();
        });
        Self {
            coroutine,
            yielder: ptr::null(),
            frame: 0,
        }
    }

    /// Runs it until it suspends or ends.
    #[inline]
    pub(crate) fn resume(&mut self) -> Switched {
        YIELDER.set(self.yielder);
        let result = self.coroutine.resume(());
        let switched = match result {
            CoroutineResult::Yield(()) => {
                self.yielder = YIELDER.get();
                self.frame = FRAME.get();
                Switched::Suspended
            }
            CoroutineResult::Return(()) => Switched::Ended,
        };
        YIELDER.set(ptr::null());
        switched
    }

    /// Takes the stack of an ended coroutine.
    pub(crate) fn into_stack(self) -> Stack {
        self.coroutine.into_stack()
    }

    /// Return addresses of the suspended coroutine, innermost first, at most `most` of them.
    pub(crate) fn frames(&self, most: usize) -> Vec<usize> {
        if self.frame == 0 || self.coroutine.done() {
            return Vec::new();
        }
        // SAFETY: the coroutine is suspended and borrowed, so nothing runs on or frees its stack; the walk reads
        // nothing outside the stack's bounds.
        unsafe { backtrace::walk(self.frame, self.stack_bounds(), most) }
    }

    fn stack_bounds(&self) -> std::ops::Range<usize> {
        // The parent link at the base stays valid while the coroutine is suspended; the stack itself is inside
        // `coroutine`, so its bounds are kept by the yielder's address: the base is just above it.
        let base = self.yielder as usize;
        self.frame..base
    }
}

/// Leaves the running coroutine; returns when it is resumed. Only `sched::wait` calls this.
///
/// # Panics
/// Outside a coroutine.
#[inline(never)]
pub(crate) fn suspend() {
    let yielder = YIELDER.get();
    assert!(!yielder.is_null(), "suspend called outside a coroutine");
    FRAME.set(frame_pointer());
    // SAFETY: the pointer was set when this coroutine was entered, from a reference that lives on its stack as long
    // as its body runs, and every resume sets it anew; a coroutine never leaves its thread.
    unsafe { (*yielder).suspend(()) };
}

/// Is the caller on a coroutine's stack?
#[inline]
pub(crate) fn is_coroutine() -> bool {
    !YIELDER.get().is_null()
}

#[inline(always)]
fn frame_pointer() -> usize {
    let fp: usize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reads one register.
    unsafe {
        std::arch::asm!("mov {}, rbp", out(reg) fp, options(nomem, nostack, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: reads one register.
    unsafe {
        std::arch::asm!("mov {}, x29", out(reg) fp, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        fp = 0;
    }
    fp
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn runs_suspends_and_ends() {
        let mut pool = StackPool::new(64 * 1024);
        let steps = Rc::new(Cell::new(0));
        let inside = steps.clone();
        let mut context = Context::new(pool.take(64 * 1024).unwrap(), move || {
            inside.set(1);
            suspend();
            inside.set(2);
        });
        assert_eq!(context.resume(), Switched::Suspended);
        assert_eq!(steps.get(), 1);
        assert!(!is_coroutine());
        assert_eq!(context.resume(), Switched::Ended);
        assert_eq!(steps.get(), 2);
        pool.put(context.into_stack());
        assert_eq!(pool.pooled(), 1);
    }

    #[test]
    fn frames_lead_from_the_suspension_to_the_body() {
        #[inline(never)]
        fn inner() {
            suspend();
        }
        let mut pool = StackPool::new(64 * 1024);
        let mut context = Context::new(pool.take(64 * 1024).unwrap(), || {
            inner();
            std::hint::black_box(());
        });
        context.resume();
        let names: Vec<_> = context
            .frames(64)
            .into_iter()
            .flat_map(backtrace::resolve)
            .filter_map(|frame| frame.function)
            .collect();
        assert!(names.iter().any(|name| name.contains("inner")), "{names:?}");
        context.resume();
        pool.put(context.into_stack());
    }
}
