//! Mutex, RwLock and Semaphore: who gets in, in which order.

use super::{Count, for_each_seed, yield_until};
use crate::sync::{Mutex, RwLock, Semaphore};
use crate::{Elapsed, JoinError, sleep, spawn, with_timeout, yield_now};
use std::sync::Arc;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(10);

#[test]
fn mutex_goes_round_in_order_of_arrival() {
    for_each_seed(|_| {
        let log = Arc::new(Mutex::new(Vec::new()));
        let held = log.lock();
        let mut crew = Vec::new();
        for number in 0..5 {
            let ours = Arc::clone(&log);
            crew.push(spawn(move || ours.lock().push(number)));
            yield_until("a waiter", || log.statistics().waiting == number + 1);
        }
        drop(held);
        for sailor in crew {
            sailor.join().unwrap();
        }
        assert_eq!(*log.lock(), [0, 1, 2, 3, 4]);
        assert_eq!(log.statistics().waits, 5);
    });
}

#[test]
fn a_mutex_keeps_others_out_across_suspensions() {
    for_each_seed(|_| {
        let total = Arc::new(Mutex::new(0));
        let crew: Vec<_> = (0..10)
            .map(|_| {
                let total = Arc::clone(&total);
                spawn(move || {
                    let mut total = total.lock();
                    let before = *total;
                    yield_now();
                    *total = before + 1;
                })
            })
            .collect();
        for sailor in crew {
            sailor.join().unwrap();
        }
        assert_eq!(*total.lock(), 10);
    });
}

#[test]
fn a_timeout_that_ties_with_the_hand_over_leaves_the_mutex_whole() {
    for_each_seed(|_| {
        let mutex = Arc::new(Mutex::new(0));
        let owner = spawn({
            let mutex = Arc::clone(&mutex);
            move || {
                let _held = mutex.lock();
                sleep(TICK);
            }
        });
        let waiter = spawn({
            let mutex = Arc::clone(&mutex);
            move || {
                with_timeout(TICK, || {
                    *mutex.lock() += 1;
                })
            }
        });
        owner.join().unwrap();
        let waited = waiter.join().unwrap();
        let count = *mutex.try_lock().expect("free again");
        assert_eq!(count, if waited == Err(Elapsed) { 0 } else { 1 });
    });
}

#[test]
fn a_mutex_holds_unsized_things_and_shows_itself() {
    crate::testing::run(0, || {
        let mutex: Arc<Mutex<[i32]>> = Arc::new(Mutex::new([1, 2, 3]));
        mutex.lock()[0] = 7;
        assert_eq!(format!("{mutex:?}"), "Mutex { data: [7, 2, 3], .. }");
        let held = mutex.lock();
        assert_eq!(format!("{mutex:?}"), "Mutex { data: <locked>, .. }");
        assert!(mutex.is_locked());
        drop(held);
        assert!(!mutex.is_locked());
        assert_eq!(Mutex::new(5).into_inner(), 5);
    });
}

#[test]
fn readers_share_and_writers_do_not() {
    for_each_seed(|_| {
        let lock = Arc::new(RwLock::new(0));
        let (readers, writers) = (Count::default(), Count::default());
        let crew: Vec<_> = (0..12)
            .map(|number| {
                let (lock, readers, writers) =
                    (Arc::clone(&lock), readers.clone(), writers.clone());
                spawn(move || {
                    if number % 3 == 0 {
                        let mut value = lock.write();
                        assert_eq!((readers.get(), writers.up()), (0, 0));
                        yield_now();
                        *value += 1;
                        writers.down();
                    } else {
                        let value = lock.read();
                        readers.up();
                        let before = *value;
                        yield_now();
                        assert_eq!((writers.get(), *value), (0, before));
                        readers.down();
                    }
                })
            })
            .collect();
        for sailor in crew {
            sailor.join().unwrap();
        }
        assert_eq!(*lock.read(), 4);
    });
}

#[test]
fn a_waiting_writer_comes_before_new_readers() {
    for_each_seed(|_| {
        let lock = Arc::new(RwLock::new("old"));
        let reader = lock.read();
        let writer = spawn({
            let lock = Arc::clone(&lock);
            move || *lock.write() = "new"
        });
        yield_until("the writer", || lock.statistics().wait.waiting == 1);
        assert!(lock.try_read().is_none());
        let late = spawn({
            let lock = Arc::clone(&lock);
            move || *lock.read()
        });
        yield_until("the late reader", || lock.statistics().wait.waiting == 2);
        assert_eq!(*reader, "old");
        drop(reader);
        assert_eq!(late.join().unwrap(), "new");
        writer.join().unwrap();
    });
}

#[test]
fn a_writer_that_gives_up_lets_the_readers_behind_it_go() {
    for_each_seed(|_| {
        let lock = Arc::new(RwLock::new(()));
        let _reader = lock.read();
        let writer = spawn({
            let lock = Arc::clone(&lock);
            move || drop(lock.write())
        });
        yield_until("the writer", || lock.statistics().wait.waiting == 1);
        let late: Vec<_> = (0..3)
            .map(|_| {
                let lock = Arc::clone(&lock);
                spawn(move || drop(lock.read()))
            })
            .collect();
        yield_until("the late readers", || lock.statistics().wait.waiting == 4);
        writer.interrupt();
        // They get in although the first reader never leaves.
        for reader in late {
            reader.join().unwrap();
        }
        assert!(matches!(writer.join(), Err(JoinError::Interrupted)));
        assert_eq!(lock.statistics().readers, 1);
    });
}

#[test]
fn a_queued_writer_that_times_out_strands_nobody() {
    for_each_seed(|seed| {
        let lock = Arc::new(RwLock::new(0));
        let held = lock.read();
        // Writers and readers in turns, and all the writers but the last give up, in an order that the seed decides.
        let mut crew = Vec::new();
        for number in 0..6 {
            let ours = Arc::clone(&lock);
            let limit = TICK * (1 + (seed as u32 + number * 5) % 7);
            crew.push(spawn(move || match number {
                5 => with_timeout(TICK * 100, || *ours.write() += 1),
                1 | 3 => with_timeout(TICK * 50, || drop(ours.read())),
                _ => with_timeout(limit, || *ours.write() += 10),
            }));
            yield_until("one more", || {
                lock.statistics().wait.waiting == number as usize + 1
            });
        }
        for (number, sailor) in crew.drain(..5).enumerate() {
            assert_eq!(sailor.join().unwrap().is_ok(), number % 2 == 1, "{number}");
        }
        assert!(lock.try_read().is_none(), "the last writer still waits");
        drop(held);
        crew.remove(0).join().unwrap().expect("the last writer");
        assert_eq!(*lock.try_read().expect("nobody holds it"), 1);
    });
}

#[test]
fn a_writer_can_go_on_as_a_reader() {
    for_each_seed(|_| {
        let lock = Arc::new(RwLock::new(0));
        let mut held = lock.write();
        let reader = spawn({
            let lock = Arc::clone(&lock);
            move || *lock.read()
        });
        yield_until("the reader", || lock.statistics().wait.waiting == 1);
        let writer = spawn({
            let lock = Arc::clone(&lock);
            move || *lock.write() = 2
        });
        yield_until("the writer", || lock.statistics().wait.waiting == 2);
        *held = 1;
        let held = held.downgrade();
        assert_eq!(reader.join().unwrap(), 1, "the reader in front came in");
        assert_eq!(*held, 1, "the writer did not");
        drop(held);
        writer.join().unwrap();
        assert_eq!(*lock.read(), 2);
    });
}

#[test]
fn one_release_clears_a_backlog() {
    for_each_seed(|_| {
        let semaphore = Arc::new(Semaphore::new(0));
        let crew: Vec<_> = (0..5)
            .map(|_| {
                let semaphore = Arc::clone(&semaphore);
                spawn(move || semaphore.acquire().forget())
            })
            .collect();
        yield_until("five waiters", || semaphore.statistics().wait.waiting == 5);
        semaphore.release(5);
        assert_eq!(semaphore.statistics().wait.waiting, 0);
        for sailor in crew {
            sailor.join().unwrap();
        }
        assert_eq!(semaphore.available(), 0);
    });
}

#[test]
fn nobody_passes_one_who_waits_for_many() {
    for_each_seed(|_| {
        let semaphore = Arc::new(Semaphore::new(2));
        let order = Arc::new(Mutex::new(Vec::new()));
        let wanting = |permits| {
            let (semaphore, order) = (Arc::clone(&semaphore), Arc::clone(&order));
            spawn(move || {
                let _permit = semaphore.acquire_many(permits);
                order.lock().push(permits);
            })
        };
        let many = wanting(3);
        yield_until("many", || semaphore.statistics().wait.waiting == 1);
        let few = wanting(1);
        yield_until("few", || semaphore.statistics().wait.waiting == 2);
        assert!(
            semaphore.try_acquire().is_none(),
            "two are there, but somebody was first"
        );
        semaphore.release(1);
        many.join().unwrap();
        few.join().unwrap();
        assert_eq!(*order.lock(), [3, 1]);
    });
}

#[test]
fn one_who_waits_for_many_and_gives_up_lets_the_others_go() {
    for_each_seed(|_| {
        let semaphore = Arc::new(Semaphore::new(2));
        let many = spawn({
            let semaphore = Arc::clone(&semaphore);
            move || with_timeout(TICK, || drop(semaphore.acquire_many(3)))
        });
        yield_until("many", || semaphore.statistics().wait.waiting == 1);
        let few = spawn({
            let semaphore = Arc::clone(&semaphore);
            move || semaphore.acquire_many(2).forget()
        });
        few.join().unwrap();
        assert_eq!(many.join().unwrap(), Err(Elapsed));
        assert_eq!(semaphore.available(), 0);
    });
}

#[test]
fn an_interrupt_is_raised_even_where_nobody_would_wait() {
    for_each_seed(|_| {
        let reached = Count::default();
        let calls: [fn(); 4] = [
            || drop(Mutex::new(()).lock()),
            || drop(RwLock::new(()).read()),
            || drop(RwLock::new(()).write()),
            || drop(Semaphore::new(1).acquire()),
        ];
        for call in calls {
            let ours = reached.clone();
            let elapsed = with_timeout(Duration::ZERO, || {
                call();
                ours.up();
            });
            assert_eq!(elapsed, Err(Elapsed));
        }
        assert_eq!(reached.get(), 0);
    });
}
