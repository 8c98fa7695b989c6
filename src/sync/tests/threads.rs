//! Coroutines of several workers and plain threads on the same primitives.

use crate::spawn;
use crate::sync::{Condvar, Event, Mutex, RwLock, Semaphore, channel};
use std::sync::Arc;
use std::thread;

const COROUTINES: u64 = 8;
const THREADS: u64 = 2;
const ROUNDS: u64 = 3_000;

/// Runs `body` in coroutines and in plain threads at once, and returns when all are done.
fn everywhere(body: impl Fn(u64) + Clone + Send + 'static) {
    crate::run(move || {
        let (done, all_done) = channel::unbounded();
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let (body, done) = (body.clone(), done.clone());
                thread::spawn(move || {
                    body(number);
                    done.send(()).unwrap();
                })
            })
            .collect();
        drop(done);
        let coroutines: Vec<_> = (0..COROUTINES)
            .map(|number| {
                let body = body.clone();
                spawn(move || body(THREADS + number))
            })
            .collect();
        for coroutine in coroutines {
            coroutine.join().unwrap();
        }
        // Before `join`, which would block the worker and not only us.
        assert_eq!(all_done.iter().count() as u64, THREADS);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_mutex_excludes() {
    let total = Arc::new(Mutex::new(0_u64));
    let ours = Arc::clone(&total);
    everywhere(move |number| {
        for round in 0..ROUNDS {
            let mut total = ours.lock();
            let before = *total;
            if (round + number) % 64 == 0 {
                crate::yield_now();
            }
            *total = before + 1;
        }
    });
    assert_eq!(*total.lock(), (COROUTINES + THREADS) * ROUNDS);
    assert_eq!(total.statistics().waiting, 0);
}

#[test]
fn a_rwlock_excludes_writers() {
    let pair = Arc::new(RwLock::new((0_u64, 0_u64)));
    let ours = Arc::clone(&pair);
    everywhere(move |number| {
        for round in 0..ROUNDS {
            if (round + number) % 4 == 0 {
                let mut pair = ours.write();
                pair.0 += 1;
                if round % 64 == 0 {
                    crate::yield_now();
                }
                pair.1 += 1;
            } else {
                let pair = ours.read();
                assert_eq!(pair.0, pair.1, "a writer was half way");
            }
        }
    });
    assert_eq!(pair.read().0, (COROUTINES + THREADS) * ROUNDS / 4);
    assert_eq!(pair.statistics().wait.waiting, 0);
}

#[test]
fn a_semaphore_gives_out_no_more_than_it_has() {
    let semaphore = Arc::new(Semaphore::new(3));
    let held = super::Count::default();
    let (ours, count) = (Arc::clone(&semaphore), held.clone());
    everywhere(move |number| {
        for round in 0..ROUNDS {
            let permits = 1 + (round + number) as usize % 3;
            let _permit = ours.acquire_many(permits);
            (0..permits).for_each(|_| assert!(count.up() < 3));
            if round % 64 == 0 {
                crate::yield_now();
            }
            (0..permits).for_each(|_| count.down());
        }
    });
    assert_eq!(semaphore.available(), 3);
}

#[test]
fn channels_carry_everything_once() {
    for capacity in [Some(0), Some(1), Some(16), None] {
        let (sender, receiver) = capacity.map_or_else(channel::unbounded, channel::bounded);
        let (sum, sums) = channel::unbounded();
        let ours = receiver.clone();
        everywhere(move |number| {
            if number % 2 == 0 {
                for round in 0..ROUNDS {
                    sender.send(number * ROUNDS + round).unwrap();
                }
            } else {
                // As many as there are senders, and each takes as much as one sends.
                sum.send((0..ROUNDS).map(|_| ours.recv().unwrap()).sum::<u64>())
                    .unwrap();
            }
        });
        let expected = (0..THREADS + COROUTINES)
            .filter(|number| number % 2 == 0)
            .map(|number| {
                (0..ROUNDS)
                    .map(|round| number * ROUNDS + round)
                    .sum::<u64>()
            })
            .sum::<u64>();
        assert_eq!(sums.iter().sum::<u64>(), expected, "capacity {capacity:?}");
        assert!(receiver.is_empty());
    }
}

#[test]
fn events_and_condition_variables_wake_both_kinds() {
    let turn = Arc::new((Mutex::new(0_u64), Condvar::new(), Event::new()));
    let ours = Arc::clone(&turn);
    everywhere(move |number| {
        let (turn, changed, finished) = &*ours;
        // Round and round in the order of their numbers, threads and coroutines alike.
        for round in 0..50 {
            let mine = round * (THREADS + COROUTINES) + number;
            let mut now = changed.wait_while(turn.lock(), |now| *now != mine);
            *now += 1;
            changed.notify_all();
        }
        if number == 0 {
            drop(changed.wait_while(turn.lock(), |now| *now < 50 * (THREADS + COROUTINES)));
            finished.set();
        }
        finished.wait();
    });
    assert_eq!(*turn.0.lock(), 50 * (THREADS + COROUTINES));
}

#[test]
fn plain_threads_need_no_runtime() {
    let (sender, receiver) = channel::bounded(1);
    let total = Arc::new(Mutex::new(0));
    let consumers: Vec<_> = (0..2)
        .map(|_| {
            let (receiver, total) = (receiver.clone(), Arc::clone(&total));
            thread::spawn(move || receiver.iter().for_each(|n| *total.lock() += n))
        })
        .collect();
    (0..1_000).for_each(|n| sender.send(n).unwrap());
    drop(sender);
    for consumer in consumers {
        consumer.join().unwrap();
    }
    assert_eq!(*total.lock(), 499_500);
}
