//! A lock for a few instructions: one locked instruction a use, where a lock that can put threads to sleep takes two.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
#[cfg(not(loom))]
use std::time::Duration;

use parking_lot::lock_api::{self, GuardNoSend, RawMutex};

/// A mutex for what is done in well under a microsecond and never blocks. Whoever finds it locked spins for a moment, then
/// lets other threads run: the owner may have lost its processor.
pub(crate) type SpinMutex<T> = lock_api::Mutex<RawSpin, T>;

/// Access to what a [`SpinMutex`] protects.
pub(crate) type SpinGuard<'a, T> = lock_api::MutexGuard<'a, RawSpin, T>;

/// See [`SpinMutex`].
pub(crate) struct RawSpin(AtomicBool);

// SAFETY: only one `swap` after each `store(false)` finds false, and acquires what the one before released.
unsafe impl RawMutex for RawSpin {
    const INIT: Self = Self(AtomicBool::new(false));
    type Guard = GuardNoSend;

    #[inline]
    fn lock(&self) -> GuardNoSend {
        if self.0.swap(true, Ordering::Acquire) {
            self.lock_slowly();
        }
        GuardNoSend::new()
    }

    #[inline]
    fn try_lock(&self) -> Option<GuardNoSend> {
        (!self.0.swap(true, Ordering::Acquire)).then(GuardNoSend::new)
    }

    #[inline]
    unsafe fn unlock(&self, _guard: GuardNoSend) {
        self.0.store(false, Ordering::Release);
    }

    fn is_locked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl RawSpin {
    #[cold]
    fn lock_slowly(&self) {
        let mut backoff = Backoff::new();
        while self.0.load(Ordering::Relaxed) || self.0.swap(true, Ordering::Acquire) {
            backoff.wait();
        }
    }
}

/// Waiting for what takes others a few instructions, unless they have lost their processor.
pub(super) struct Backoff(u32);

impl Backoff {
    pub(super) fn new() -> Self {
        Self(0)
    }

    pub(super) fn wait(&mut self) {
        #[cfg(loom)]
        loom::thread::yield_now();
        #[cfg(not(loom))]
        match self.0 {
            0..100 => std::hint::spin_loop(),
            100..200 => thread::yield_now(),
            _ => thread::sleep(Duration::from_micros(50)),
        }
        self.0 = self.0.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn excludes_others() {
        const ROUNDS: u64 = if cfg!(miri) { 100 } else { 20_000 };
        let count = Arc::new(SpinMutex::new((0_u64, 0_u64)));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let count = count.clone();
                thread::spawn(move || {
                    for _ in 0..ROUNDS {
                        let mut count = count.lock();
                        count.0 += 1;
                        count.1 = count.0 * 2;
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*count.lock(), (4 * ROUNDS, 8 * ROUNDS));
    }

    #[test]
    fn waits_for_an_owner_that_lost_its_processor() {
        let lock = Arc::new(SpinMutex::new(()));
        let guard = lock.lock();
        let waiting = {
            let lock = lock.clone();
            thread::spawn(move || drop(lock.lock()))
        };
        for _ in 0..if cfg!(miri) { 300 } else { 1_000 } {
            thread::yield_now();
        }
        assert!(!waiting.is_finished());
        drop(guard);
        waiting.join().unwrap();
        assert!(lock.try_lock().is_some());
    }
}
