//! Condvar and Event.

use super::{Count, for_each_seed, yield_until};
use crate::sync::{Condvar, Event, Mutex};
use crate::{Elapsed, JoinError, sleep, spawn, with_timeout};
use std::sync::Arc;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(10);

#[test]
fn notifications_go_in_order_of_arrival() {
    for_each_seed(|_| {
        let pair = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let mut crew = Vec::new();
        for number in 0..4 {
            let ours = Arc::clone(&pair);
            crew.push(spawn(move || ours.1.wait(ours.0.lock()).push(number)));
            yield_until("a waiter", || pair.1.statistics().waiting == number + 1);
        }
        for number in 0..4 {
            assert!(pair.1.notify_one());
            yield_until("the notified one", || pair.0.lock().len() == number + 1);
        }
        assert!(!pair.1.notify_one(), "nobody is left");
        for sailor in crew {
            sailor.join().unwrap();
        }
        assert_eq!(*pair.0.lock(), [0, 1, 2, 3]);
    });
}

#[test]
fn a_notified_waiter_takes_the_mutex_although_it_was_interrupted() {
    for_each_seed(|_| {
        let pair = Arc::new((Mutex::new(0), Condvar::new()));
        let waiter = spawn({
            let pair = Arc::clone(&pair);
            move || {
                let mut count = pair.1.wait(pair.0.lock());
                *count += 1;
                crate::yield_now();
                *count += 10;
            }
        });
        yield_until("the waiter", || pair.1.statistics().waiting == 1);
        let held = pair.0.lock();
        assert!(pair.1.notify_one());
        waiter.interrupt();
        yield_until("the waiter, now for the mutex", || {
            pair.0.statistics().waiting == 1
        });
        drop(held);
        assert!(matches!(waiter.join(), Err(JoinError::Interrupted)));
        assert_eq!(
            *pair.0.try_lock().expect("dropped once"),
            1,
            "raised by the call after `wait`"
        );
    });
}

#[test]
fn wait_timeout_takes_the_mutex_again_either_way() {
    for_each_seed(|seed| {
        let pair = Arc::new((Mutex::new(false), Condvar::new()));
        let delay = Duration::from_millis(seed % 21);
        let notifier = spawn({
            let pair = Arc::clone(&pair);
            move || {
                sleep(delay);
                *pair.0.lock() = true;
                pair.1.notify_one()
            }
        });
        let mut guard = pair.0.lock();
        let mut notified = true;
        while !*guard && notified {
            (guard, notified) = pair.1.wait_timeout(guard, TICK);
        }
        // A tie may go either way, and the flag may be set while the mutex is taken again.
        assert!(*guard || delay >= TICK, "too early");
        assert!(notified || delay <= TICK || !*guard, "too late");
        drop(guard);
        let anyone = notifier.join().unwrap();
        assert!(
            !anyone || notified,
            "a notification reaches one who returns notified"
        );
        assert!(pair.0.try_lock().is_some());
    });
}

#[test]
fn an_interrupted_waiter_drops_its_guard_and_does_not_wait_for_the_mutex() {
    for_each_seed(|_| {
        let pair = Arc::new((Mutex::new(()), Condvar::new()));
        let waiter = spawn({
            let pair = Arc::clone(&pair);
            move || with_timeout(TICK, || drop(pair.1.wait(pair.0.lock())))
        });
        yield_until("the waiter", || pair.1.statistics().waiting == 1);
        let held = pair.0.lock();
        assert_eq!(
            waiter.join().unwrap(),
            Err(Elapsed),
            "although the mutex is taken"
        );
        drop(held);
        assert!(pair.0.try_lock().is_some());
    });
}

#[test]
fn an_event_lets_everybody_through_until_it_is_cleared() {
    for_each_seed(|_| {
        let event = Arc::new(Event::new());
        let through = Count::default();
        let wait = || {
            let (event, through) = (Arc::clone(&event), through.clone());
            spawn(move || {
                event.wait();
                through.up();
            })
        };
        let early: Vec<_> = (0..3).map(|_| wait()).collect();
        yield_until("three waiters", || event.statistics().waiting == 3);
        event.set();
        for waiter in early {
            waiter.join().unwrap();
        }
        wait().join().unwrap();
        event.clear();
        assert!(!event.is_set());
        let late = wait();
        yield_until("the late one", || event.statistics().waiting == 1);
        assert_eq!(through.get(), 4);
        event.set();
        late.join().unwrap();
    });
}

#[test]
fn a_timeout_that_ties_with_an_event_wins_or_loses_but_not_both() {
    for_each_seed(|_| {
        let event = Arc::new(Event::new());
        let setter = spawn({
            let event = Arc::clone(&event);
            move || {
                sleep(TICK);
                event.set();
            }
        });
        let waited = with_timeout(TICK, || event.wait());
        setter.join().unwrap();
        let statistics = event.statistics();
        assert_eq!(statistics.waiting, 0);
        assert!(waited == Ok(()) || statistics.interrupted <= 1);
    });
}
