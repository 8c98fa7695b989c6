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

pub(crate) mod allocations;
pub(crate) mod backtrace;
pub(crate) mod barrier;
mod biased;
pub(crate) mod blocks;
mod cell;
mod claims;
mod counted;
pub(crate) mod cycles;
pub(crate) mod handler;
mod heir;
pub(crate) mod lend;
pub(crate) mod memory;
mod one_of;
pub(crate) mod overflow;
mod prefetch;
pub(crate) mod sample;
pub(crate) mod stack;

mod sanitizer;
mod spin;
mod switch;
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(crate) mod ticker;
mod typed;

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ops::{Range, RangeInclusive};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use biased::BiasedMutex;
pub(crate) use cell::{Binder, Fresh, HandOver, PinnedCell, Scoped};
pub(crate) use counted::{Counted, First};
pub(crate) use heir::{Bequest, Heir, Published};
pub(crate) use one_of::{OneOf, Which};
pub(crate) use prefetch::prefetch;
use sanitizer::Announced;
pub(crate) use spin::{SpinGuard, SpinMutex};
pub(crate) use stack::{Stack, StackPool};
use switch::Left;
pub(crate) use typed::Typed;

thread_local! {
    /// The worker's loop, which the running coroutine was resumed by; 0 on its own stack and on plain threads.
    static WORKER: Cell<Left> = const { Cell::new(0) };
}

/// What runs on a stack. It must not unwind: whoever passes it has caught everything. What it returns is for whoever
/// resumed it last.
pub(crate) type Entry = fn() -> u8;

/// How a resume ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switched {
    /// It called [`suspend`].
    Suspended,
    /// Its entry returned this; the stack may be taken back.
    Ended(u8),
}

/// One stack with the code that is suspended on it. Bound to the thread that first resumes it. Dropped before its end, it
/// leaks its stack, where others may have references to.
pub(crate) struct Context {
    /// 0 while it runs and after its end.
    left: Left,
    /// For its first switch.
    entry: Entry,
    /// The address of what it lends while it is suspended, or 0.
    lent: usize,
    stack: ManuallyDrop<Stack>,
}

/// The words that a coroutine leaves with when it ends: one more than the entry's result. When it suspends, the address of
/// what it lends meanwhile, or 0.
const ENDED: RangeInclusive<usize> = 1..=256;

impl Context {
    /// Prepares `entry` to run on `stack`.
    #[inline]
    pub(crate) fn new(stack: Stack, entry: Entry) -> Self {
        // SAFETY: a stack ends at a page's end, is larger than a page, and nothing runs on this one.
        let left = unsafe { switch::fresh(stack.bounds().end, start) };
        Self {
            left,
            entry,
            lent: 0,
            stack: ManuallyDrop::new(stack),
        }
    }

    /// Runs it until it suspends or ends.
    ///
    /// # Panics
    /// If it has ended.
    #[inline(always)]
    pub(crate) fn resume(&mut self) -> Switched {
        assert_ne!(self.left, 0, "resumed after its end");
        let left = std::mem::take(&mut self.left);
        let announced = Announced::switch_to(self.stack.bounds());
        // SAFETY: this is where it was left, or fresh; 0 is there as long as it runs. It is pinned to this thread by
        // whoever resumes: see `PinnedCell`. The stack is mapped as long as `self` has it.
        let (from, word) = unsafe { switch::switch(left, self.entry as usize) };
        announced.done();
        WORKER.set(0);
        match word {
            result if ENDED.contains(&result) => Switched::Ended((result - 1) as u8),
            lent => {
                self.left = from;
                self.lent = lent;
                Switched::Suspended
            }
        }
    }

    /// Has the processor fetch what a resume reads first.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch(self.left, 12 * 64);
    }

    /// Takes the stack of an ended coroutine.
    ///
    /// # Panics
    /// If it has not ended.
    #[inline]
    pub(crate) fn into_stack(self) -> Stack {
        assert_eq!(self.left, 0, "the stack of suspended code stays its own");
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped nor used again.
        unsafe { ManuallyDrop::take(&mut this.stack) }
    }

    /// What is in the word that the coroutine lends while it is suspended; see [`suspend`].
    pub(crate) fn lent(&self) -> Option<u64> {
        if self.left == 0 {
            return None;
        }
        let lent = ptr::with_exposed_provenance::<AtomicU64>(self.lent);
        // SAFETY: null, or what `suspend` was given. The coroutine is in that call still, since it goes on only by a `resume`,
        // which wants `self` for itself; so the reference lives.
        let word = unsafe { lent.as_ref() }?;
        Some(word.load(Ordering::Relaxed))
    }

    /// Return addresses of the suspended coroutine, innermost first, at most `most` of them.
    pub(crate) fn frames(&self, most: usize) -> Vec<usize> {
        let mut addresses = Vec::new();
        self.follow(|address| {
            addresses.push(address);
            addresses.len() < most
        });
        addresses
    }

    /// Calls `visit` with those addresses, for as long as it returns true. Allocates nothing.
    pub(crate) fn follow(&self, mut visit: impl FnMut(usize) -> bool) {
        let live = self.used();
        if live.is_empty() {
            return;
        }
        // SAFETY: the coroutine is suspended (or fresh) and borrowed, so nothing runs on or frees its stack; the walk
        // reads nothing outside the stack's bounds.
        unsafe {
            let (place, frame) = switch::place(self.left);
            if visit(place) {
                backtrace::follow(frame, live, visit);
            }
        }
    }

    /// The part of its stack that suspended code uses, saved registers included; empty while it runs and after its end.
    pub(crate) fn used(&self) -> Range<usize> {
        match self.left {
            0 => 0..0,
            left => left..self.stack.bounds().end,
        }
    }
}

/// The bottom of every coroutine's stack.
extern "C" fn start(entry: usize, worker: Left) -> ! {
    WORKER.set(worker);
    sanitizer::arrived();
    // SAFETY: the word of the first switch, which `Context::resume` made of an `Entry`.
    let entry = unsafe { std::mem::transmute::<usize, Entry>(entry) };
    let result = entry();
    sanitizer::leave_for_good();
    // SAFETY: the worker's loop waits in the `resume` that went on with this coroutine last.
    unsafe { switch::switch(WORKER.get(), usize::from(result) + 1) };
    unreachable!("an ended coroutine is not resumed")
}

/// Leaves the running coroutine; returns when it is resumed. Meanwhile its worker can read the word `lent`. Only
/// `sched::wait` calls this.
///
/// # Panics
/// Outside a coroutine.
#[inline]
pub(crate) fn suspend(lent: Option<&AtomicU64>) {
    let worker = WORKER.get();
    assert_ne!(worker, 0, "suspend called outside a coroutine");
    let announced = Announced::switch_to_worker();
    // No address is in `ENDED`: nothing is mapped there.
    let word = lent.map_or(0, |lent| ptr::from_ref(lent).expose_provenance());
    // SAFETY: the worker's loop waits in the `resume` that went on with this coroutine last; a coroutine never leaves its
    // thread.
    let (worker, _) = unsafe { switch::switch(worker, word) };
    announced.done();
    WORKER.set(worker);
}

/// Is the caller on a coroutine's stack?
#[inline]
pub(crate) fn is_coroutine() -> bool {
    WORKER.get() != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_suspends_and_ends() {
        thread_local! {
            static STEPS: Cell<u32> = const { Cell::new(0) };
        }
        let mut pool = StackPool::new(64 * 1024, usize::MAX);
        let mut context = Context::new(pool.take(64 * 1024).unwrap(), || {
            STEPS.set(1);
            suspend(None);
            STEPS.set(2);
            7
        });
        assert_eq!(context.resume(), Switched::Suspended);
        assert_eq!(STEPS.get(), 1);
        assert!(!is_coroutine());
        assert_eq!(context.resume(), Switched::Ended(7));
        assert_eq!(STEPS.get(), 2);
        pool.put(context.into_stack());
        assert_eq!(pool.pooled(), 1);
    }

    #[test]
    fn what_is_lent_is_read_while_it_is_suspended() {
        let mut pool = StackPool::new(64 * 1024, usize::MAX);
        let mut context = Context::new(pool.take(64 * 1024).unwrap(), || {
            suspend(Some(&AtomicU64::new(7)));
            suspend(None);
            0
        });
        assert_eq!(context.lent(), None);
        assert_eq!(context.resume(), Switched::Suspended);
        assert_eq!(context.lent(), Some(7));
        assert_eq!(context.resume(), Switched::Suspended);
        assert_eq!(context.lent(), None);
        assert_eq!(context.resume(), Switched::Ended(0));
        assert_eq!(context.lent(), None);
        pool.put(context.into_stack());
    }

    #[test]
    fn frames_lead_from_the_suspension_to_the_body() {
        #[inline(never)]
        fn inner() {
            suspend(None);
        }
        let mut pool = StackPool::new(64 * 1024, usize::MAX);
        let mut context = Context::new(pool.take(64 * 1024).unwrap(), || {
            inner();
            std::hint::black_box(0)
        });
        assert_eq!(context.resume(), Switched::Suspended);
        let names: Vec<_> = context
            .frames(64)
            .into_iter()
            .flat_map(backtrace::resolve)
            .filter_map(|frame| frame.function)
            .collect();
        assert!(names.iter().any(|name| name.contains("inner")), "{names:?}");
        assert_eq!(context.resume(), Switched::Ended(0));
        assert!(context.frames(64).is_empty());
        pool.put(context.into_stack());
    }

    #[test]
    fn registers_and_floats_survive_switches() {
        #[inline(never)]
        fn mix(seed: u64) -> f64 {
            // More live values than there are registers, across a suspension.
            let mut whole: [u64; 12] = std::array::from_fn(|i| seed + i as u64);
            let mut parts: [f64; 12] = std::array::from_fn(|i| seed as f64 / (i + 1) as f64);
            for _ in 0..100 {
                for i in 0..12 {
                    whole[i] = whole[i].wrapping_mul(31) ^ whole[(i + 5) % 12];
                    parts[i] = parts[i] * 0.75 + parts[(i + 7) % 12];
                }
                if is_coroutine() {
                    suspend(None);
                }
            }
            parts.iter().sum::<f64>() + (whole.iter().fold(0, |a, b| a ^ b) % 1000) as f64
        }
        thread_local! {
            static RESULTS: Cell<[f64; 2]> = const { Cell::new([0.0; 2]) };
        }
        let mut pool = StackPool::new(64 * 1024, usize::MAX);
        let mut contexts = [
            Context::new(pool.take(64 * 1024).unwrap(), || {
                let value = mix(3);
                RESULTS.set([value, RESULTS.get()[1]]);
                0
            }),
            Context::new(pool.take(64 * 1024).unwrap(), || {
                let value = mix(5);
                RESULTS.set([RESULTS.get()[0], value]);
                0
            }),
        ];
        while contexts.each_mut().map(|it| it.resume()) == [Switched::Suspended; 2] {}
        assert_eq!(RESULTS.get(), [mix(3), mix(5)]);
        for context in contexts {
            pool.put(context.into_stack());
        }
    }

    #[test]
    fn a_panic_is_caught_on_its_own_stack() {
        let mut pool = StackPool::new(64 * 1024, usize::MAX);
        let mut context = Context::new(pool.take(64 * 1024).unwrap(), || {
            let caught = std::panic::catch_unwind(|| {
                suspend(None);
                std::panic::resume_unwind(Box::new(1_u8));
            });
            *caught.unwrap_err().downcast_ref::<u8>().unwrap()
        });
        assert_eq!(context.resume(), Switched::Suspended);
        assert_eq!(context.resume(), Switched::Ended(1));
        pool.put(context.into_stack());
    }
}
