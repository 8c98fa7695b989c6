//! Tells AddressSanitizer of every switch, if the build is for it (`--cfg grapeshot_asan`): it keeps a stack's bounds for
//! each thread, and would take a coroutine's for somebody else's.

#[cfg(grapeshot_asan)]
pub(super) use on::*;

#[cfg(not(grapeshot_asan))]
pub(super) use off::*;

#[cfg(not(grapeshot_asan))]
mod off {
    use std::ops::Range;

    /// A switch that was announced and must be followed by [`Announced::done`], on the same stack.
    pub(in super::super) struct Announced;

    impl Announced {
        #[inline(always)]
        pub(in super::super) fn switch_to(_stack: Range<usize>) -> Self {
            Self
        }

        #[inline(always)]
        pub(in super::super) fn switch_to_worker() -> Self {
            Self
        }

        #[inline(always)]
        pub(in super::super) fn done(self) {}
    }

    /// On a fresh stack.
    #[inline(always)]
    pub(in super::super) fn arrived() {}

    /// The running coroutine's stack is left for the last time.
    #[inline(always)]
    pub(in super::super) fn leave_for_good() {}
}

#[cfg(grapeshot_asan)]
mod on {
    use std::cell::Cell;
    use std::ffi::c_void;
    use std::ops::Range;
    use std::ptr;

    unsafe extern "C" {
        fn __sanitizer_start_switch_fiber(
            fake_stack: *mut *mut c_void,
            bottom: *const c_void,
            size: usize,
        );
        fn __sanitizer_finish_switch_fiber(
            fake_stack: *mut c_void,
            old_bottom: *mut *const c_void,
            old_size: *mut usize,
        );
    }

    thread_local! {
        /// The worker's own stack: lowest address and size.
        static WORKER_STACK: Cell<(*const c_void, usize)> = const { Cell::new((ptr::null(), 0)) };
    }

    /// A switch that was announced and must be followed by [`Announced::done`], on the same stack.
    pub(in super::super) struct Announced {
        fake_stack: *mut c_void,
        to_worker: bool,
    }

    impl Announced {
        fn start(bottom: *const c_void, size: usize, to_worker: bool) -> Self {
            let mut fake_stack = ptr::null_mut();
            // SAFETY: the bounds are those of the stack that is switched to next.
            unsafe { __sanitizer_start_switch_fiber(&raw mut fake_stack, bottom, size) };
            Self {
                fake_stack,
                to_worker,
            }
        }

        pub(in super::super) fn switch_to(stack: Range<usize>) -> Self {
            Self::start(stack.start as *const c_void, stack.len(), false)
        }

        pub(in super::super) fn switch_to_worker() -> Self {
            let (bottom, size) = WORKER_STACK.get();
            Self::start(bottom, size, true)
        }

        /// Back on the stack that announced it.
        pub(in super::super) fn done(self) {
            let left = finish(self.fake_stack);
            if self.to_worker {
                WORKER_STACK.set(left);
            }
        }
    }

    /// Returns the bounds of the stack that was left.
    fn finish(fake_stack: *mut c_void) -> (*const c_void, usize) {
        let (mut bottom, mut size) = (ptr::null(), 0);
        // SAFETY: the other half of the `start` that was called last on this stack, or the first call on a fresh one.
        unsafe { __sanitizer_finish_switch_fiber(fake_stack, &raw mut bottom, &raw mut size) };
        (bottom, size)
    }

    /// On a fresh stack.
    pub(in super::super) fn arrived() {
        WORKER_STACK.set(finish(ptr::null_mut()));
    }

    /// The running coroutine's stack is left for the last time.
    pub(in super::super) fn leave_for_good() {
        let (bottom, size) = WORKER_STACK.get();
        // SAFETY: the bounds are the worker's; without a place to save it to, the fake stack is freed.
        unsafe { __sanitizer_start_switch_fiber(ptr::null_mut(), bottom, size) };
    }
}
