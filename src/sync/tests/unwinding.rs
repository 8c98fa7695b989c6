//! What destructors may do while their coroutine unwinds: whatever needs no wait.

use super::for_each_seed;
use crate::sync::channel::{RecvError, SendError};
use crate::sync::{Condvar, Event, Mutex, RwLock, Semaphore, channel};
use crate::{JoinError, spawn, yield_now};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Calls what it holds when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}

/// Runs `cleanup` in a destructor of a coroutine that is killed; whether it got to its end.
fn while_unwinding(mut cleanup: impl FnMut() + Send + 'static) -> bool {
    let (report, reported) = channel::unbounded();
    let victim = spawn(move || {
        let _cleanup = OnDrop(|| {
            assert!(std::thread::panicking());
            cleanup();
            report.send(()).unwrap();
        });
        loop {
            yield_now();
        }
    });
    yield_now();
    victim.interrupt();
    // A body that had not started never runs; then there is nothing to clean up.
    assert!(matches!(victim.join(), Err(JoinError::Interrupted)));
    reported.recv().is_ok()
}

#[test]
fn what_needs_no_wait_succeeds() {
    let ran = Arc::new(parking_lot::Mutex::new(0));
    let count = Arc::clone(&ran);
    for_each_seed(move |_| {
        let done = while_unwinding(|| {
            *Mutex::new(1).lock() += 1;
            assert_eq!(*RwLock::new(1).read(), 1);
            *RwLock::new(1).write() += 1;
            drop(Semaphore::new(1).acquire());
            let event = Event::new();
            event.set();
            event.wait();
            let (sender, receiver) = channel::bounded(1);
            sender.send(1).unwrap();
            assert_eq!(receiver.recv(), Ok(1));
            assert!(!Condvar::new().notify_one());
        });
        *count.lock() += usize::from(done);
    });
    assert!(*ran.lock() > 0, "some seed let the coroutine start");
}

#[test]
fn what_would_wait_gives_an_error() {
    let ran = Arc::new(parking_lot::Mutex::new(0));
    let count = Arc::clone(&ran);
    for_each_seed(move |_| {
        let (sender, receiver) = channel::bounded(1);
        sender.send(1).unwrap();
        let (other_sender, other_receiver) = channel::bounded::<i32>(1);
        let done = while_unwinding(move || {
            assert_eq!(sender.send(2), Err(SendError::Refused(2)));
            assert_eq!(other_receiver.recv(), Err(RecvError::Refused));
            assert_eq!(other_receiver.iter().next(), None);
        });
        assert_eq!(receiver.statistics().send.waiting, 0);
        assert_eq!(other_sender.statistics().recv.waiting, 0);
        *count.lock() += usize::from(done);
    });
    assert!(*ran.lock() > 0, "some seed let the coroutine start");
}

#[test]
fn what_would_wait_and_has_no_error_panics_and_says_what_to_do() {
    crate::testing::run(0, || {
        let mutex = Arc::new(Mutex::new(()));
        let held = mutex.lock();
        let ours = Arc::clone(&mutex);
        while_unwinding(move || {
            let lock = catch_unwind(AssertUnwindSafe(|| drop(ours.lock())));
            let message = *lock
                .expect_err("it is taken")
                .downcast::<String>()
                .expect("a message");
            assert!(message.contains("Mutex::lock"), "{message}");
            assert!(message.contains("try_lock"), "{message}");
            assert!(ours.try_lock().is_none());
        });
        drop(held);
        assert!(mutex.try_lock().is_some(), "the refused one is not in line");
    });
}
