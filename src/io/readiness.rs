//! Whether a descriptor is ready in one direction, and who waits for that (model-checked).
//!
//! ```text
//!   whoever reads or writes                      the poller
//!   ───────────────────────                      ──────────
//!   asks the kernel: not ready                   the kernel gets ready, and reports an event
//!   take_or_wait(): an event came? use it up,    event(): one has come that nobody used? then leave it at that
//!     and ask again                                wake who waits, else keep the event
//!   else leave a waiter, and suspend
//! ```

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering, fence};

#[cfg(not(loom))]
use crate::context::SpinMutex as Lock;
#[cfg(loom)]
use models::Lock;

/// Readiness in one direction, and who waits for it.
pub(crate) struct Readiness<W> {
    /// An event came that no call has used yet. Changed with `waiter` locked.
    ready: AtomicBool,
    waiter: Lock<Option<W>>,
}

impl<W> Default for Readiness<W> {
    fn default() -> Self {
        Self {
            ready: AtomicBool::new(false),
            waiter: Lock::new(None),
        }
    }
}

impl<W> Readiness<W> {
    /// Uses up an event that came; else leaves the waiter that `begin` makes to be woken by the next.
    pub(crate) fn take_or_wait<R, E>(
        &self,
        begin: impl FnOnce() -> Result<(R, W), E>,
    ) -> Result<Option<R>, E> {
        let mut place = self.waiter.lock();
        if self.ready.load(Ordering::Relaxed) {
            self.ready.store(false, Ordering::Relaxed);
            // Before the caller asks the kernel again: see `event`.
            fence(Ordering::SeqCst);
            return Ok(None);
        }
        let (wait, waiter) = begin()?;
        *place = Some(waiter);
        Ok(Some(wait))
    }

    /// Takes the waiter back after an interrupt.
    pub(crate) fn withdraw(&self) {
        let waiter = self.waiter.lock().take();
        drop(waiter);
    }

    #[cfg(test)]
    pub(super) fn is_waited_for(&self) -> bool {
        self.waiter.lock().is_some()
    }

    /// Called once between the kernel's report and the [`event`](Self::event)s in it.
    pub(super) fn before_events() {
        fence(Ordering::SeqCst);
    }

    /// The kernel says that it is ready. `wake` gives false if the wait was over already.
    #[inline]
    pub(super) fn event(&self, wake: &mut dyn FnMut(W) -> bool) {
        // Nobody has used the previous event, so nobody waits, and whoever uses it later asks the kernel after that and
        // finds what this event is about. Sockets are writable nearly always, so this is the usual case for that.
        if self.ready.load(Ordering::Acquire) {
            return;
        }
        let mut place = self.waiter.lock();
        let woken = place.take().is_some_and(wake);
        // Interrupted at the same moment, or nobody waits: the next call uses it.
        self.ready.store(!woken, Ordering::Release);
    }
}

#[cfg(loom)]
mod models {
    use loom::sync::{Mutex, MutexGuard};

    pub(super) struct Lock<T>(Mutex<T>);

    impl<T> Lock<T> {
        pub(super) fn new(value: T) -> Self {
            Self(Mutex::new(value))
        }

        pub(super) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }

    #[cfg(test)]
    mod tests {
        use super::super::*;
        use loom::sync::atomic::AtomicUsize;
        use loom::sync::{Arc, Condvar};

        /// A wait that one wake ends.
        struct Bell {
            rung: loom::sync::Mutex<bool>,
            changed: Condvar,
        }

        /// The kernel gets ready `events` times; whoever waits until it has done so that often is not left waiting.
        fn nothing_is_missed(events: usize) {
            let mut builder = loom::model::Builder::new();
            builder.preemption_bound = Some(3);
            builder.check(move || {
                let readiness = Arc::new(Readiness::<Arc<Bell>>::default());
                let kernel = Arc::new(AtomicUsize::new(0));
                let poller = {
                    let (readiness, kernel) = (readiness.clone(), kernel.clone());
                    loom::thread::spawn(move || {
                        for count in 1..=events {
                            kernel.store(count, Ordering::Relaxed);
                            Readiness::<Arc<Bell>>::before_events();
                            readiness.event(&mut |bell| {
                                *bell.rung.lock().unwrap() = true;
                                bell.changed.notify_one();
                                true
                            });
                        }
                    })
                };
                while kernel.load(Ordering::Relaxed) < events {
                    let bell = Arc::new(Bell {
                        rung: loom::sync::Mutex::new(false),
                        changed: Condvar::new(),
                    });
                    let wait = readiness.take_or_wait(|| Ok::<_, ()>((bell.clone(), bell)));
                    if let Some(bell) = wait.unwrap() {
                        let mut rung = bell.rung.lock().unwrap();
                        while !*rung {
                            rung = bell.changed.wait(rung).unwrap();
                        }
                    }
                }
                poller.join().unwrap();
            });
        }

        #[test]
        fn one_event_is_heard() {
            nothing_is_missed(1);
        }

        #[test]
        fn an_event_upon_an_event_is_heard() {
            nothing_is_missed(2);
        }
    }
}
