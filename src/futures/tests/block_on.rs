//! A future in a coroutine: every wake counts, and interrupts come through.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::sync::channel;
use crate::{JoinError, block_on, sleep, spawn, spawn_local, testing, with_timeout, yield_now};

const SEEDS: u64 = 200;
const SECOND: Duration = Duration::from_secs(1);

/// A value that is sent once; whoever awaits it leaves the waker.
struct Promise<T>(Arc<Mutex<(Option<T>, Option<Waker>)>>);

impl<T> Promise<T> {
    fn new() -> Self {
        Self(Arc::new(Mutex::new((None, None))))
    }

    fn other_end(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    fn keep(&self, value: T) {
        let waker = {
            let mut place = self.0.lock().unwrap();
            place.0 = Some(value);
            place.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn is_awaited(&self) -> bool {
        self.0.lock().unwrap().1.is_some()
    }
}

impl<T> Future for Promise<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut place = self.0.lock().unwrap();
        match place.0.take() {
            Some(value) => Poll::Ready(value),
            None => {
                place.1 = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[test]
fn a_wake_from_another_coroutine_is_never_lost() {
    for seed in 0..SEEDS {
        let sum = testing::run(seed, || {
            let promises: Vec<_> = (0..5).map(|_| Promise::new()).collect();
            let keepers: Vec<_> = promises
                .iter()
                .enumerate()
                .map(|(number, promise)| {
                    let promise = promise.other_end();
                    spawn(move || {
                        (0..number).for_each(|_| yield_now());
                        promise.keep(number);
                    })
                })
                .collect();
            let sum = block_on(async {
                let mut sum = 0;
                for promise in promises {
                    sum += promise.await;
                }
                sum
            });
            keepers
                .into_iter()
                .for_each(|keeper| keeper.join().unwrap());
            sum
        });
        assert_eq!(sum, 10, "seed {seed}");
    }
}

#[test]
fn a_wake_from_a_thread_is_never_lost() {
    crate::run(|| {
        for round in 0..500 {
            let promise = Promise::new();
            let other = promise.other_end();
            let keeper = std::thread::spawn(move || other.keep(round));
            assert_eq!(block_on(promise), round);
            keeper.join().unwrap();
        }
    });
}

#[test]
fn a_plain_thread_blocks() {
    for round in 0..100 {
        let promise = Promise::new();
        let other = promise.other_end();
        let keeper = std::thread::spawn(move || other.keep(round));
        assert_eq!(block_on(promise), round);
        keeper.join().unwrap();
    }
    let elapsed = with_timeout(Duration::from_millis(1), || block_on(pending::<()>()));
    assert!(elapsed.is_err(), "a timeout ends it on a thread, too");
}

#[test]
fn a_wake_while_it_is_polled_means_another_poll() {
    for seed in 0..SEEDS {
        let polls = testing::run(seed, || {
            let mut polls = 0;
            block_on(poll_fn(|context| {
                polls += 1;
                // More often than once, by reference and by value; one poll follows.
                context.waker().wake_by_ref();
                let waker = context.waker().clone();
                waker.wake();
                if polls < 10 {
                    Poll::Pending
                } else {
                    Poll::Ready(())
                }
            }));
            polls
        });
        assert_eq!(polls, 10);
    }
}

#[test]
fn spurious_and_late_wakes_do_no_harm() {
    for seed in 0..SEEDS {
        testing::run(seed, || {
            let promise = Promise::new();
            let other = promise.other_end();
            let kept = Rc::new(RefCell::new(None::<Waker>));
            let ended = Arc::new(AtomicBool::new(false));
            let nuisance = spawn({
                let ended = Arc::clone(&ended);
                move || {
                    while !other.is_awaited() {
                        yield_now();
                    }
                    for _ in 0..5 {
                        let waker = other.0.lock().unwrap().1.clone();
                        waker.inspect(Waker::wake_by_ref);
                        yield_now();
                    }
                    assert!(!ended.load(Ordering::Relaxed), "only the value ends it");
                    other.keep(7);
                }
            });
            let mut promise = promise;
            let value = block_on(poll_fn(|context| {
                *kept.borrow_mut() = Some(context.waker().clone());
                Pin::new(&mut promise).poll(context)
            }));
            ended.store(true, Ordering::Relaxed);
            assert_eq!(value, 7);
            nuisance.join().unwrap();
            // Long after; the coroutine is in another wait by now.
            let late = kept.borrow_mut().take().unwrap();
            let waker = spawn(move || (0..3).for_each(|_| late.wake_by_ref()));
            sleep(SECOND);
            waker.join().unwrap();
        });
    }
}

#[test]
fn a_future_may_borrow_and_be_bound_to_its_thread() {
    testing::run(3, || {
        let calls = Cell::new(0);
        let text = Rc::new(String::from("shared"));
        let length = block_on(async {
            calls.set(calls.get() + 1);
            let text = Rc::clone(&text);
            ready(()).await;
            text.len()
        });
        assert_eq!((length, calls.get()), (6, 1));
    });
}

#[test]
fn what_is_polled_may_make_blocking_calls() {
    for seed in 0..SEEDS {
        testing::run(seed, || {
            let (sender, receiver) = channel::bounded(1);
            let promise = Promise::new();
            let other = promise.other_end();
            let feeder = spawn(move || {
                for number in 0..10 {
                    sender.send(number).unwrap();
                }
                other.keep(100);
            });
            let sum = block_on(async {
                let mut sum = 0;
                for _ in 0..10 {
                    sum += receiver.recv().unwrap();
                    sum += block_on(async { ready(1).await });
                }
                sum + promise.await
            });
            assert_eq!(sum, 45 + 10 + 100);
            feeder.join().unwrap();
        });
    }
}

/// Counts the drops of what it is in.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn interrupts_drop_the_future() {
    for seed in 0..SEEDS {
        testing::run(seed, || {
            let drops = Arc::new(AtomicUsize::new(0));
            let inside = Dropped(Arc::clone(&drops));
            let timeout = with_timeout(SECOND, || {
                block_on(async move {
                    let _inside = inside;
                    pending::<()>().await;
                })
            });
            assert!(timeout.is_err());
            assert_eq!(drops.load(Ordering::Relaxed), 1);

            let inside = Dropped(Arc::clone(&drops));
            let victim = spawn(move || {
                let _inside = inside;
                block_on(pending::<()>());
            });
            sleep(SECOND);
            victim.interrupt();
            assert!(matches!(victim.join(), Err(JoinError::Interrupted)));
            assert_eq!(drops.load(Ordering::Relaxed), 2);
        });
    }
}

#[test]
fn one_that_always_wakes_itself_starves_nobody_and_hears_its_timeout() {
    for seed in 0..20 {
        testing::run(seed, || {
            let selfish = spawn(|| {
                with_timeout(SECOND, || {
                    block_on(poll_fn(|context| -> Poll<()> {
                        context.waker().wake_by_ref();
                        Poll::Pending
                    }));
                })
                .is_err()
            });
            // Timers and other coroutines have their turn.
            sleep(SECOND / 2);
            assert!(selfish.join().unwrap());
        });
    }
}

#[test]
fn a_panic_comes_out() {
    testing::run(1, || {
        let outcome = spawn(|| block_on(async { panic!("from the future") })).join();
        assert!(matches!(outcome, Err(JoinError::Panicked(_))));
        assert_eq!(block_on(ready(1)), 1);
    });
}

#[test]
fn while_unwinding_only_what_is_ready_is_driven() {
    struct OnDrop<F: FnMut()>(F);
    impl<F: FnMut()> Drop for OnDrop<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    testing::run(1, || {
        let (report, reported) = channel::unbounded();
        let child = spawn_local(move || {
            let _cleanup = OnDrop(|| {
                let done = block_on(ready(5));
                let refused = catch_unwind(AssertUnwindSafe(|| block_on(pending::<()>())));
                let message = *refused.unwrap_err().downcast::<String>().unwrap();
                report.send((done, message)).unwrap();
            });
            panic!("on purpose");
        });
        assert!(child.join().is_err());
        let (done, message) = reported.recv().unwrap();
        assert_eq!(done, 5);
        assert!(
            message.starts_with("block_on would have to wait"),
            "{message}"
        );
    });
}

#[test]
fn the_registry_shows_the_wait() {
    testing::run(1, || {
        let child = spawn(|| block_on(pending::<()>()));
        // In a simulation time passes once all wait.
        sleep(SECOND);
        let rows = crate::registry::coroutines();
        let row = rows.into_iter().find(|row| row.id == child.id());
        let waits_for = row.and_then(|row| row.waits_for);
        assert_eq!(waits_for.map(|wait| wait.operation), Some("future"));
        child.interrupt();
        assert!(child.join().is_err());
    });
}
