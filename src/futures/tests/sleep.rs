//! Timers as futures.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::futures::{self, sleep, sleep_until};
use crate::{block_on, spawn, testing, time, with_timeout, yield_now};

const SECOND: Duration = Duration::from_secs(1);

/// Counts how often it is called.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn it_is_done_at_its_time_and_not_before() {
    for seed in 0..100 {
        testing::run(seed, || {
            let start = time::now();
            block_on(async {
                sleep(SECOND).await;
                sleep_until(start).await;
                sleep(Duration::ZERO).await;
                sleep(2 * SECOND).await;
            });
            assert_eq!(time::now() - start, 3 * SECOND);
        });
    }
}

#[test]
fn several_at_the_same_time_in_one_future() {
    for seed in 0..100 {
        testing::run(seed, || {
            let start = time::now();
            let mut sleeps: Vec<_> = (1..=5).map(|n| Box::pin(sleep(n * SECOND))).collect();
            let mut ends = Vec::new();
            block_on(poll_fn(|context| {
                sleeps.retain_mut(|sleep| {
                    let done = sleep.as_mut().poll(context).is_ready();
                    if done {
                        ends.push((time::now() - start).as_secs());
                    }
                    !done
                });
                if sleeps.is_empty() {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            }));
            assert_eq!(ends, [1, 2, 3, 4, 5]);
        });
    }
}

#[test]
fn the_latest_waker_counts_and_dropping_withdraws_it() {
    testing::run(1, || {
        let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let mut kept = Box::pin(sleep(SECOND));
        let mut dropped = Box::pin(sleep(SECOND));
        for counts in [&first, &second] {
            let waker = Waker::from(Arc::clone(counts));
            let mut context = Context::from_waker(&waker);
            assert!(kept.as_mut().poll(&mut context).is_pending());
            assert!(dropped.as_mut().poll(&mut context).is_pending());
        }
        drop(dropped);
        crate::sleep(2 * SECOND);
        assert_eq!(first.0.load(Ordering::Relaxed), 0);
        assert_eq!(second.0.load(Ordering::Relaxed), 1);
        assert_eq!(Arc::strong_count(&second), 1, "nothing is left behind");
    });
}

#[test]
fn a_waker_that_panics_ends_no_worker() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("on purpose");
        }
    }
    testing::run(1, || {
        let waker = Waker::from(Arc::new(Panics));
        let mut sleep = pin!(sleep(SECOND));
        assert!(
            sleep
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        crate::sleep(2 * SECOND);
        assert_eq!(block_on(async { 1 }), 1);
    });
}

#[test]
fn it_may_move_between_workers_and_runtimes() {
    let sleep = crate::run(|| {
        let mut sleep = Box::pin(sleep(Duration::from_millis(20)));
        assert!(
            sleep
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        sleep
    });
    // Its runtime has ended; another sees to it.
    crate::run(move || {
        with_timeout(60 * SECOND, || block_on(sleep)).unwrap();
    });
}

#[test]
fn plain_threads_may_await_it() {
    let start = time::now();
    with_timeout(60 * SECOND, || block_on(sleep(Duration::from_millis(5)))).unwrap();
    assert!(time::now() - start >= Duration::from_millis(5));
}

#[test]
fn a_future_has_a_coroutine_of_its_own() {
    testing::run(2, || {
        let slow = futures::spawn(async {
            sleep(SECOND).await;
            "slow"
        });
        let fast = spawn(|| "fast");
        assert_eq!(fast.join().unwrap(), "fast");
        assert!(!slow.is_finished());
        assert_eq!(slow.join().unwrap(), "slow");
        let endless = futures::spawn(std::future::pending::<()>());
        yield_now();
        endless.interrupt();
        assert!(endless.join().is_err());
    });
}
