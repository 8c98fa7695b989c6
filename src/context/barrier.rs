//! A fence of which one side pays for both: the kernel has every running thread of the process execute one.

use std::sync::atomic::{AtomicBool, Ordering};

/// The kernel does it for this process.
static THERE: AtomicBool = AtomicBool::new(false);

/// Asks the kernel to be ready for it. Best before the process has a second thread: then it takes no time, and else some
/// milliseconds. Without it nothing is wrong, only slower.
pub(crate) fn prepare() {
    #[cfg(all(target_os = "linux", not(loom), not(miri)))]
    {
        use rustix::thread::{MembarrierCommand, membarrier};
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            let ready = membarrier(MembarrierCommand::RegisterPrivateExpedited);
            THERE.store(ready.is_ok(), Ordering::Relaxed);
        });
    }
}

/// Is [`light`] as good as a fence to whoever calls [`heavy`]? Once true, always true.
pub(super) fn is_there() -> bool {
    cfg!(loom) || THERE.load(Ordering::Relaxed)
}

/// The side that comes often: nothing but the order of the instructions.
#[inline(always)]
pub(super) fn light() {
    #[cfg(not(loom))]
    std::sync::atomic::compiler_fence(Ordering::SeqCst);
    #[cfg(loom)]
    loom::sync::atomic::fence(Ordering::SeqCst);
}

/// The side that comes seldom. Call it only if it [`is_there`].
pub(super) fn heavy() {
    #[cfg(all(target_os = "linux", not(loom), not(miri)))]
    {
        use rustix::thread::{MembarrierCommand, membarrier};
        if let Err(error) = membarrier(MembarrierCommand::PrivateExpedited) {
            // The process is registered, so a filter has come since. Whoever owns a lock cannot be told, and with this one
            // left locked all others would wait for ever.
            eprintln!(
                "grapeshot: the system refuses membarrier(2), which it had granted when the first runtime started: {error}; \
                 let the filter of system calls permit it, or install it earlier"
            );
            std::process::abort();
        }
    }
    #[cfg(loom)]
    loom::sync::atomic::fence(Ordering::SeqCst);
}
