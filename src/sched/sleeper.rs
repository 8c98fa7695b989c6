//! A worker's sleep, and how others end it without losing a wake-up or paying for one that nobody needs.
//!
//! ```text
//!   worker                                   waker
//!   ──────                                   ─────
//!   announce()       (now SLEEPING)          push to the inbox
//!   look at the inbox once more              rouse(): SLEEPING? then AWAKE, and write the eventfd
//!   empty: block in the poller
//!   retract()        (now AWAKE)
//! ```
//!
//! Either the worker's second look finds what was pushed, or the waker finds it SLEEPING: both sides write before
//! they read, and the fences order that.

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

#[derive(Debug)]
pub(crate) struct Sleeper {
    sleeping: AtomicBool,
}

impl Sleeper {
    pub(crate) fn new() -> Self {
        Self {
            sleeping: AtomicBool::new(false),
        }
    }

    /// Says that the worker is about to block. It must look at everything that could wake it after this.
    pub(crate) fn announce(&self) {
        self.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Says that the worker runs again.
    pub(crate) fn retract(&self) {
        self.sleeping.store(false, Ordering::Relaxed);
    }

    /// Called after work was left for the worker. True: it sleeps (or is about to), and the caller must wake its
    /// poller. At most one caller per sleep gets true.
    #[inline]
    pub(crate) fn rouse(&self) -> bool {
        fence(Ordering::SeqCst);
        self.sleeping.load(Ordering::Relaxed)
            && self
                .sleeping
                .compare_exchange(true, false, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// For the registry; may be stale.
    pub(crate) fn is_sleeping(&self) -> bool {
        self.sleeping.load(Ordering::Relaxed)
    }
}

/// Which workers sleep, so that a spawner can find one to wake. Those from the 64th on are never in it.
///
/// A worker enters before its last look at the queues of unstarted coroutines, which it takes their locks for; a spawner
/// looks here after it has let go of the lock under which it queued. So either the one finds the coroutine or the
/// other the sleeper.
#[derive(Debug)]
pub(crate) struct Idle(AtomicU64);

impl Idle {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn enter(&self, worker: usize) {
        self.0.fetch_or(bit(worker), Ordering::AcqRel);
    }

    pub(crate) fn leave(&self, worker: usize) {
        self.0.fetch_and(!bit(worker), Ordering::AcqRel);
    }

    /// A worker that sleeps, if one does.
    #[inline]
    pub(crate) fn any(&self) -> Option<usize> {
        let idle = self.0.load(Ordering::Relaxed);
        (idle != 0).then(|| idle.trailing_zeros() as usize)
    }
}

fn bit(worker: usize) -> u64 {
    if worker < 64 { 1 << worker } else { 0 }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::atomic::AtomicUsize;
    use loom::sync::{Arc, Condvar, Mutex};

    /// The poller: blocks until its eventfd was written.
    struct Poller {
        written: Mutex<bool>,
        changed: Condvar,
    }

    impl Poller {
        fn new() -> Self {
            Self {
                written: Mutex::new(false),
                changed: Condvar::new(),
            }
        }

        fn wake(&self) {
            *self.written.lock().unwrap() = true;
            self.changed.notify_one();
        }

        fn block(&self) {
            let mut written = self.written.lock().unwrap();
            while !*written {
                written = self.changed.wait(written).unwrap();
            }
            *written = false;
        }
    }

    /// Enough preemptions to find every race that was ever in here, and done in seconds.
    fn model(run: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(run);
    }

    /// Whatever wakers push, the worker gets it; a lost wake-up would be a deadlock, which loom reports.
    fn nothing_is_lost(wakers: usize) {
        model(move || {
            let inbox = Arc::new(AtomicUsize::new(0));
            let sleeper = Arc::new(Sleeper::new());
            let poller = Arc::new(Poller::new());
            let threads: Vec<_> = (0..wakers)
                .map(|_| {
                    let (inbox, sleeper, poller) = (inbox.clone(), sleeper.clone(), poller.clone());
                    loom::thread::spawn(move || {
                        inbox.fetch_add(1, Ordering::Release);
                        if sleeper.rouse() {
                            poller.wake();
                        }
                    })
                })
                .collect();
            let mut taken = 0;
            while taken < wakers {
                taken += inbox.swap(0, Ordering::Acquire);
                if taken == wakers {
                    break;
                }
                sleeper.announce();
                if inbox.load(Ordering::Acquire) == 0 {
                    poller.block();
                }
                sleeper.retract();
            }
            for thread in threads {
                thread.join().unwrap();
            }
        });
    }

    /// What a spawner queues while a thief falls asleep is stolen; a lost wake-up would be a deadlock.
    #[test]
    fn a_thief_does_not_oversleep() {
        model(|| {
            let unstarted = Arc::new(Mutex::new(0));
            let idle = Arc::new(Idle::new());
            let sleeper = Arc::new(Sleeper::new());
            let poller = Arc::new(Poller::new());
            let spawner = {
                let (unstarted, idle) = (unstarted.clone(), idle.clone());
                let (sleeper, poller) = (sleeper.clone(), poller.clone());
                loom::thread::spawn(move || {
                    *unstarted.lock().unwrap() += 1;
                    if idle.any().is_some() && sleeper.rouse() {
                        poller.wake();
                    }
                })
            };
            let steal = || std::mem::take(&mut *unstarted.lock().unwrap());
            while steal() == 0 {
                idle.enter(0);
                sleeper.announce();
                if *unstarted.lock().unwrap() == 0 {
                    poller.block();
                }
                sleeper.retract();
                idle.leave(0);
            }
            spawner.join().unwrap();
        });
    }

    #[test]
    fn one_waker_is_heard() {
        nothing_is_lost(1);
    }

    #[test]
    fn two_wakers_are_heard() {
        nothing_is_lost(2);
    }
}
