//! Coroutines of several workers and plain threads on the same primitives.

use crate::spawn;
use crate::sync::{
    Barrier, Condvar, Event, Fifo, InvertedSemaphore, LruCache, Mutex, OnceLock, RateLimiter,
    RwLock, Semaphore, broadcast, channel, watch,
};
use crate::time::{Due, IdleTimer};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const COROUTINES: u64 = if cfg!(miri) { 2 } else { 8 };
const THREADS: u64 = 2;
const ROUNDS: u64 = if cfg!(miri) { 8 } else { 3_000 };

/// Runs `body` in coroutines and in plain threads at once, and returns when all are done. Miri, which cannot switch
/// stacks, has threads in place of the coroutines: it is there for what passes between threads.
fn everywhere(body: impl Fn(u64) + Clone + Send + 'static) {
    if cfg!(miri) {
        return in_threads(body);
    }
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

fn in_threads(body: impl Fn(u64) + Clone + Send + 'static) {
    let threads: Vec<_> = (0..THREADS + COROUTINES)
        .map(|number| {
            let body = body.clone();
            thread::spawn(move || body(number))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
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
    const TURNS: u64 = if cfg!(miri) { 5 } else { 50 };
    let turn = Arc::new((Mutex::new(0_u64), Condvar::new(), Event::new()));
    let ours = Arc::clone(&turn);
    everywhere(move |number| {
        let (turn, changed, finished) = &*ours;
        // Round and round in the order of their numbers, threads and coroutines alike.
        for round in 0..TURNS {
            let mine = round * (THREADS + COROUTINES) + number;
            let mut now = changed.wait_while(turn.lock(), |now| *now != mine);
            *now += 1;
            changed.notify_all();
        }
        if number == 0 {
            drop(changed.wait_while(turn.lock(), |now| *now < TURNS * (THREADS + COROUTINES)));
            finished.set();
        }
        finished.wait();
    });
    assert_eq!(*turn.0.lock(), TURNS * (THREADS + COROUTINES));
}

#[test]
fn plain_threads_need_no_runtime() {
    let (sender, receiver) = channel::bounded(1);
    let total = Arc::new(Mutex::new(0_u64));
    let consumers: Vec<_> = (0..2)
        .map(|_| {
            let (receiver, total) = (receiver.clone(), Arc::clone(&total));
            thread::spawn(move || receiver.iter().for_each(|n| *total.lock() += n))
        })
        .collect();
    (0..ROUNDS).for_each(|n| sender.send(n).unwrap());
    drop(sender);
    for consumer in consumers {
        consumer.join().unwrap();
    }
    assert_eq!(*total.lock(), ROUNDS * (ROUNDS - 1) / 2);
}

#[test]
fn parties_of_both_kinds_meet() {
    const MEETINGS: u64 = if cfg!(miri) { 10 } else { 200 };
    let barrier = Arc::new(Barrier::new((COROUTINES + THREADS) as usize));
    let (come, led) = (super::Count::default(), super::Count::default());
    let (ours, leaders) = (Arc::clone(&barrier), led.clone());
    everywhere(move |_| {
        for round in 1..=MEETINGS {
            come.up();
            if ours.wait().is_leader() {
                leaders.up();
            }
            assert!(come.get() as u64 >= round * (COROUTINES + THREADS));
        }
    });
    assert_eq!(led.get() as u64, MEETINGS);
    assert_eq!(barrier.statistics().meetings, MEETINGS);
}

#[test]
fn what_is_done_once_is_done_once_for_all() {
    for _ in 0..if cfg!(miri) { 3 } else { 50 } {
        let lock = Arc::new(OnceLock::new());
        let made = super::Count::default();
        let (ours, count) = (Arc::clone(&lock), made.clone());
        everywhere(move |number| {
            let init = || {
                crate::yield_now();
                // The first to try fails.
                if count.up() == 0 { Err(()) } else { Ok(number) }
            };
            if let Ok(&value) = ours.get_or_try_init(init) {
                assert_eq!(ours.get(), Some(&value));
            }
        });
        assert_eq!(made.get(), 2);
    }
}

#[test]
fn fifos_and_zeros_carry_everything_once() {
    let (fifo, left) = (Arc::new(Fifo::new()), Arc::new(InvertedSemaphore::new(0)));
    let sum = Arc::new(Mutex::new(0));
    let pushers = (COROUTINES + THREADS) / 2;
    let (items, out, total) = (Arc::clone(&fifo), Arc::clone(&left), Arc::clone(&sum));
    let all = Arc::new(Barrier::new((COROUTINES + THREADS) as usize));
    everywhere(move |number| {
        if number % 2 == 0 {
            for round in 0..ROUNDS {
                out.acquire().forget();
                items.push(number * ROUNDS + round);
            }
            all.wait();
            out.wait_zero();
            items.push(u64::MAX);
        } else {
            all.wait();
            loop {
                let item = items.pop();
                if item == u64::MAX {
                    return;
                }
                *total.lock() += item;
                out.release(1);
            }
        }
    });
    let expected: u64 = (0..pushers)
        .flat_map(|pusher| (0..ROUNDS).map(move |round| pusher * 2 * ROUNDS + round))
        .sum();
    assert_eq!(*sum.lock(), expected);
    assert_eq!((fifo.len(), left.count()), (0, 0));
}

#[test]
fn broadcasts_and_watches_reach_both_kinds() {
    let (news, first) = broadcast::channel(64);
    let (course, watcher) = watch::channel(0_u64);
    let (news, first) = (Arc::new(news), Arc::new(Mutex::new(Some(first))));
    let (course, watcher) = (Arc::new(course), Arc::new(watcher));
    let all = Arc::new(Barrier::new((COROUTINES + THREADS) as usize));
    everywhere(move |number| {
        let mut news_of = news.subscribe();
        let mut watcher = (*watcher).clone();
        drop(first.lock().take());
        all.wait();
        if number == 0 {
            for round in 0..ROUNDS {
                news.send(round).unwrap();
                course.send(round + 1);
            }
        }
        let (mut heard, mut next) = (0, 0);
        while heard < ROUNDS {
            match news_of.recv() {
                Ok(round) => {
                    assert_eq!(round, next, "in order, and nothing twice");
                    (heard, next) = (heard + 1, next + 1);
                }
                Err(broadcast::RecvError::Lagged(missed)) => {
                    (heard, next) = (heard + missed, next + missed);
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(watcher.wait_for(|&at| at == ROUNDS).as_deref(), Ok(&ROUNDS));
    });
}

#[test]
fn a_cache_loads_once_for_both_kinds() {
    let cache = Arc::new(LruCache::new(4));
    let ours = Arc::clone(&cache);
    everywhere(move |number| {
        for round in 0..(ROUNDS / 4).max(8) {
            let key = (round * 7 + number) % 8;
            let value = ours.get_or_insert_with(key, |&key| {
                crate::yield_now();
                key * 10
            });
            assert_eq!(*value, key * 10);
            let pin = ours.pin(&key);
            assert!(pin.is_none_or(|pin| *pin == key * 10));
        }
    });
    let statistics = cache.statistics();
    assert_eq!((statistics.len, statistics.pinned), (4, 0));
    assert_eq!((statistics.loading, statistics.waiting), (0, 0));
    assert!(statistics.loads >= 8);
}

#[test]
fn a_rate_limiter_serves_both_kinds() {
    const EACH: u64 = if cfg!(miri) { 10 } else { 100 };
    let limiter = Arc::new(RateLimiter::new(1_000_000, Duration::from_secs(1)).with_burst(3));
    let ours = Arc::clone(&limiter);
    let start = Instant::now();
    everywhere(move |number| (0..EACH).for_each(|_| ours.acquire_many(1 + number as u32 % 3)));
    let tokens = (0..COROUTINES + THREADS).map(|number| EACH * (1 + number % 3));
    let statistics = limiter.statistics();
    assert_eq!(statistics.acquired, tokens.sum::<u64>());
    assert!(start.elapsed() >= Duration::from_micros(statistics.acquired - 3));
    assert_eq!(statistics.wait.waiting, 0);
}

#[test]
#[cfg_attr(miri, ignore = "needs a coroutine")]
fn an_idle_timer_is_hurried_by_either_kind() {
    const HOUR: Duration = Duration::from_secs(3_600);
    let (timer, answer) = (
        Arc::new(IdleTimer::new(HOUR)),
        Arc::new(IdleTimer::new(HOUR)),
    );
    crate::run(move || {
        let thread = thread::spawn({
            let (timer, answer) = (Arc::clone(&timer), Arc::clone(&answer));
            move || {
                for _ in 0..1_000 {
                    assert_eq!(timer.wait(), Due::Sooner);
                    answer.hurry();
                }
            }
        });
        for _ in 0..1_000 {
            timer.hurry();
            assert_eq!(answer.wait(), Due::Sooner);
        }
        thread.join().unwrap();
    });
}

#[test]
#[cfg_attr(miri, ignore = "needs coroutines")]
fn kills_from_other_workers_lose_nothing() {
    for round in 0..100_usize {
        crate::run(move || {
            let (fifo, popped) = (Arc::new(Fifo::new()), super::Count::default());
            let (once, made) = (Arc::new(OnceLock::new()), super::Count::default());
            let left = Arc::new(InvertedSemaphore::new(0));
            let consumers: Vec<_> = (0..8)
                .map(|_| {
                    let (fifo, popped) = (Arc::clone(&fifo), popped.clone());
                    let (once, made) = (Arc::clone(&once), made.clone());
                    let hold = left.acquire_owned();
                    spawn(move || {
                        let _hold = hold;
                        once.get_or_init(|| {
                            (0..round % 5).for_each(|_| crate::yield_now());
                            made.up();
                        });
                        loop {
                            let item: usize = fifo.pop();
                            popped.up();
                            assert!(item < 50);
                        }
                    })
                })
                .collect();
            for item in 0..50 {
                fifo.push(item);
                if item % 7 == 0 {
                    consumers[item / 7].interrupt();
                }
                if (item + round) % 4 == 0 {
                    crate::yield_now();
                }
            }
            // All eight have been told to end; who was granted an item before has taken it.
            left.wait_zero();
            for consumer in consumers {
                assert!(matches!(
                    consumer.join(),
                    Err(crate::JoinError::Interrupted)
                ));
            }
            assert_eq!(popped.get() + fifo.try_pop_all().len(), 50);
            assert_eq!(made.get(), usize::from(once.get().is_some()));
            assert_eq!(fifo.statistics().wait.waiting, 0);
        });
    }
}
