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
use loom::sync::atomic::{AtomicBool, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering, fence};

#[derive(Debug)]
pub(crate) struct Sleeper {
    sleeping: AtomicBool,
}

impl Sleeper {
    pub(crate) fn new() -> Self {
        Self { sleeping: AtomicBool::new(false) }
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
        self.sleeping.load(Ordering::Relaxed) && self.sleeping.swap(false, Ordering::Relaxed)
    }

    /// For the registry; may be stale.
    pub(crate) fn is_sleeping(&self) -> bool {
        self.sleeping.load(Ordering::Relaxed)
    }
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
            Self { written: Mutex::new(false), changed: Condvar::new() }
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

    /// Whatever wakers push, the worker gets it; a lost wake-up would be a deadlock, which loom reports.
    fn nothing_is_lost(wakers: usize) {
        loom::model(move || {
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

    #[test]
    fn one_waker_is_heard() {
        nothing_is_lost(1);
    }

    #[test]
    fn two_wakers_are_heard() {
        nothing_is_lost(2);
    }
}
