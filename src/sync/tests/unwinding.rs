//! What destructors may do while their coroutine unwinds: whatever needs no wait.

use super::for_each_seed;
use crate::sync::channel::{RecvError, SendError};
use crate::sync::{
    Barrier, Condvar, Event, Fifo, InvertedSemaphore, LruCache, Mutex, Once, OnceLock, RateLimiter,
    RwLock, Semaphore, broadcast, channel, watch,
};
use crate::time::{Due, IdleTimer, interval};
use crate::{JoinError, spawn, yield_now};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

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
    let (start, started) = channel::unbounded();
    let victim = spawn(move || {
        let _cleanup = OnDrop(|| {
            assert!(std::thread::panicking());
            cleanup();
            report.send(()).unwrap();
        });
        start.send(()).unwrap();
        loop {
            yield_now();
        }
    });
    // A body that had not started would never run; then there would be nothing to clean up.
    started.recv().unwrap();
    victim.interrupt();
    assert!(matches!(victim.join(), Err(JoinError::Interrupted)));
    reported.recv().is_ok()
}

#[test]
fn what_needs_no_wait_succeeds() {
    for_each_seed(|_| {
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
            assert!(Barrier::new(1).wait().is_leader());
            InvertedSemaphore::new(0).wait_zero();
            Once::new().call_once(|| {});
            assert_eq!(*OnceLock::new().get_or_init(|| 1), 1);
            assert_eq!(*LruCache::new(1).get_or_insert_with(1, |_| 2), 2);
            let fifo = Fifo::new();
            fifo.push(1);
            assert_eq!(fifo.pop(), 1);
            let (sender, mut receiver) = broadcast::channel(1);
            sender.send(1).unwrap();
            assert_eq!(receiver.recv(), Ok(1));
            let (sender, mut receiver) = watch::channel(1);
            sender.send(2);
            assert_eq!(receiver.changed().as_deref(), Ok(&2));
            RateLimiter::new(1, MINUTE).acquire();
            let timer = IdleTimer::new(MINUTE);
            timer.hurry();
            assert_eq!(timer.wait(), Due::Sooner);
        });
        assert!(done);
    });
}

#[test]
fn what_would_wait_gives_an_error() {
    for_each_seed(|_| {
        let (sender, receiver) = channel::bounded(1);
        sender.send(1).unwrap();
        let (other_sender, other_receiver) = channel::bounded::<i32>(1);
        let done = while_unwinding(move || {
            assert_eq!(sender.send(2), Err(SendError::Refused(2)));
            assert_eq!(other_receiver.recv(), Err(RecvError::Refused));
            assert_eq!(other_receiver.iter().next(), None);
            let (_sender, mut receiver) = broadcast::channel::<i32>(1);
            assert_eq!(receiver.recv(), Err(broadcast::RecvError::Refused));
            let (_sender, mut receiver) = watch::channel(1);
            assert_eq!(receiver.changed(), Err(RecvError::Refused));
            assert_eq!(receiver.wait_for(|&n| n == 2), Err(RecvError::Refused));
        });
        assert_eq!(receiver.statistics().send.waiting, 0);
        assert_eq!(other_sender.statistics().recv.waiting, 0);
        assert!(done);
    });
}

#[test]
fn what_would_wait_and_has_no_error_panics_and_says_what_to_do() {
    crate::testing::run(0, || {
        let mutex = Arc::new(Mutex::new(()));
        let held = mutex.lock();
        let ours = Arc::clone(&mutex);
        assert!(while_unwinding(move || {
            assert_refused(|| drop(ours.lock()), "Mutex::lock", "try_lock");
            assert!(ours.try_lock().is_none());
        }));
        drop(held);
        assert!(mutex.try_lock().is_some(), "the refused one is not in line");
    });
}

#[test]
fn so_do_the_others() {
    crate::testing::run(0, || {
        // Both begun by somebody who does not come to an end.
        let once = Arc::new(OnceLock::<i32>::new());
        let cache = Arc::new(LruCache::<i32, i32>::new(1));
        let (busy_once, busy_cache) = (Arc::clone(&once), Arc::clone(&cache));
        let busy = [
            spawn(move || _ = busy_once.get_or_init(forever)),
            spawn(move || drop(busy_cache.get_or_insert_with(1, |_| forever()))),
        ];
        while !once.statistics().running || cache.statistics().loads == 0 {
            yield_now();
        }
        assert!(while_unwinding(move || {
            let barrier = Barrier::new(2);
            assert_refused(|| _ = barrier.wait(), "Barrier::wait", "leave");
            assert_eq!(barrier.statistics().arrived, 0);
            let inverted = InvertedSemaphore::new(1);
            assert_refused(|| inverted.wait_zero(), "wait_zero", "count");
            let fifo = Fifo::<i32>::new();
            assert_refused(|| _ = fifo.pop(), "Fifo::pop", "try_pop");
            assert_refused(|| drop(fifo.pop_all()), "Fifo::pop_all", "try_pop_all");
            fifo.push(1);
            assert_eq!(fifo.try_pop(), Some(1), "it was promised to nobody");
            let limiter = RateLimiter::new(1, MINUTE);
            limiter.acquire();
            assert_refused(|| limiter.acquire(), "RateLimiter::acquire", "try_acquire");
            assert_eq!(limiter.statistics().wait.waiting, 0);
            let timer = IdleTimer::new(MINUTE);
            assert_refused(|| _ = timer.wait(), "IdleTimer::wait", "try_wait");
            let mut beat = interval(MINUTE);
            assert_refused(|| _ = beat.tick(), "Interval::tick", "try_tick");
            let get = || _ = once.get_or_init(|| 1);
            assert_refused(get, "OnceLock::get_or_init", "get");
            let get = || drop(cache.get_or_insert_with(1, |_| 1));
            assert_refused(get, "LruCache::get_or_load", "get");
            assert_eq!(cache.statistics().waiting, 0);
        }));
        busy.iter().for_each(|busy| busy.interrupt());
    });
}

fn forever() -> i32 {
    loop {
        yield_now();
    }
}

#[track_caller]
fn assert_refused(call: impl FnOnce(), name: &str, instead: &str) {
    let message = *catch_unwind(AssertUnwindSafe(call))
        .expect_err("it would have to wait")
        .downcast::<String>()
        .expect("a message");
    assert!(message.contains(name), "{message}");
    assert!(message.contains(instead), "{message}");
}
