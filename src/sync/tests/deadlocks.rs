//! Coroutines that wait for each other are found, and nobody else is.

use super::{Random, for_each_seed, yield_until};
use crate::registry::{self, Deadlock, State};
use crate::sync::{Mutex, RwLock};
use crate::{Builder, JoinError, JoinHandle, testing, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn named(name: &str, body: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    Builder::new().name(name).spawn(body)
}

/// The only circle there is, once it has closed.
#[track_caller]
fn the_deadlock() -> Deadlock {
    for _ in 0..10_000 {
        let mut found = registry::deadlocks();
        assert!(found.len() < 2, "{found:#?}");
        if let Some(deadlock) = found.pop() {
            return deadlock;
        }
        yield_now();
    }
    panic!("no deadlock was found");
}

/// Name, operation and object of each, with the name of whom it waits for.
fn told(deadlock: &Deadlock) -> Vec<(&str, &str, u64, &str)> {
    let name = |id| {
        let mut all = deadlock.coroutines.iter();
        all.find(|it| it.id == id).map_or("?", |it| &it.name)
    };
    let all = deadlock.coroutines.iter();
    all.map(|it| {
        let (operation, object) = (it.waits_for.operation, it.waits_for.object);
        (it.name.as_str(), operation, object, name(it.held_by))
    })
    .collect()
}

fn address<T>(lock: &Arc<T>) -> u64 {
    Arc::as_ptr(lock).addr() as u64
}

#[track_caller]
fn end(coroutines: impl IntoIterator<Item = JoinHandle<()>>) {
    let coroutines: Vec<_> = coroutines.into_iter().collect();
    coroutines.iter().for_each(JoinHandle::interrupt);
    for coroutine in coroutines {
        // One may get its lock, since another was interrupted before.
        assert!(matches!(
            coroutine.join(),
            Ok(()) | Err(JoinError::Interrupted)
        ));
    }
    assert!(registry::deadlocks().is_empty(), "it is over");
}

/// Coroutines in a ring: each takes its own mutex and, once all have theirs, wants its neighbour's.
fn ring(size: usize) {
    let mutexes: Vec<_> = (0..size).map(|_| Arc::new(Mutex::new(()))).collect();
    let ring: Vec<_> = (0..size)
        .map(|index| {
            let mutexes = mutexes.clone();
            named(&format!("p{index}"), move || {
                let _own = mutexes[index].lock();
                yield_until("all have theirs", || {
                    mutexes.iter().all(|it| it.is_locked())
                });
                let _other = mutexes[(index + 1) % size].lock();
            })
        })
        .collect();
    // It waits for them, but is not in the circle.
    let first = mutexes[0].clone();
    yield_until("they hold them", || first.is_locked());
    let outsider = named("outsider", move || _ = first.lock());
    let deadlock = the_deadlock();
    let names: Vec<_> = (0..size).map(|index| format!("p{index}")).collect();
    let expected: Vec<_> = (0..size)
        .map(|index| {
            let next = (index + 1) % size;
            let wanted = address(&mutexes[next]);
            (names[index].as_str(), "mutex", wanted, names[next].as_str())
        })
        .collect();
    assert_eq!(told(&deadlock), expected);
    let text = deadlock.to_string();
    assert_eq!(text.lines().count(), size, "{text}");
    assert!(text.contains("held by #"), "{text}");
    end(ring.into_iter().chain([outsider]));
}

#[test]
fn two_that_wait_for_each_other_are_found() {
    for_each_seed(|_| ring(2));
}

#[test]
fn three_in_a_ring_are_found_on_several_workers() {
    for_each_seed(|_| ring(3));
    crate::run(|| ring(3));
}

#[test]
fn one_that_locks_twice_waits_for_itself() {
    testing::run(0, || {
        let mutex = Arc::new(Mutex::new(()));
        let lock = Arc::new(RwLock::new(()));
        let (one, other) = (mutex.clone(), lock.clone());
        let twice = named("twice", move || {
            let _held = one.lock();
            let _again = one.lock();
        });
        assert_eq!(
            told(&the_deadlock()),
            [("twice", "mutex", address(&mutex), "twice")]
        );
        end([twice]);
        let writer = named("writer", move || {
            let _held = other.write();
            let _again = other.read();
        });
        let expected = [("writer", "rwlock read", address(&lock), "writer")];
        let deadlock = the_deadlock();
        assert_eq!(told(&deadlock), expected);
        let frames = &deadlock.coroutines[0].backtrace;
        let here = |frame: &registry::Frame| {
            let function = frame.function.as_deref().unwrap_or_default();
            function.contains("deadlocks::one_that_locks_twice")
        };
        assert!(frames.iter().any(here), "{frames:#?}");
        end([writer]);
    });
}

/// The keeper of the mutex waits for the writer, the writer for a coroutine's end, and that one for the mutex.
#[test]
fn locks_of_both_kinds_and_a_join_make_a_circle() {
    for_each_seed(|_| {
        let mutex = Arc::new(Mutex::new(()));
        let lock = Arc::new(RwLock::new(()));
        let all_hold = |mutex: &Mutex<()>, lock: &RwLock<()>| {
            yield_until("both are held", || {
                mutex.is_locked() && lock.statistics().writer
            });
        };
        let (m, l) = (mutex.clone(), lock.clone());
        let keeper = named("keeper", move || {
            let _held = m.lock();
            all_hold(&m, &l);
            let _wanted = l.write();
        });
        let (m, l) = (mutex.clone(), lock.clone());
        let writer = named("writer", move || {
            let _held = l.write();
            all_hold(&m, &l);
            let last = named("last", move || _ = m.lock());
            let _ = last.join();
        });
        let deadlock = the_deadlock();
        let last = deadlock.coroutines.iter().find(|it| it.name == "last");
        let last = last.expect("it is in the circle").id.0;
        let expected = [
            ("keeper", "rwlock write", address(&lock), "writer"),
            ("writer", "join", last, "last"),
            ("last", "mutex", address(&mutex), "keeper"),
        ];
        assert_eq!(told(&deadlock), expected);
        end([keeper, writer]);
    });
}

/// What takes its locks in order never deadlocks, so whatever is reported of it is wrong.
fn in_order(seed: u64, rounds: u64, looks: usize) {
    const LOCKS: u64 = 4;
    let mutexes: Arc<Vec<Mutex<()>>> = Arc::new((0..LOCKS).map(|_| Mutex::new(())).collect());
    let last = Arc::new(RwLock::new(()));
    let over = Arc::new(AtomicBool::new(false));
    let crew: Vec<_> = (0..6)
        .map(|number| {
            let (mutexes, last, over) = (mutexes.clone(), last.clone(), over.clone());
            named("orderly", move || {
                let mut random = Random(seed << 8 | number);
                for _ in 0..rounds {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let chosen = random.below(1 << LOCKS);
                    let mut held = Vec::new();
                    for index in (0..LOCKS).filter(|index| chosen >> index & 1 == 1) {
                        held.push(mutexes[index as usize].lock());
                        if random.below(2) == 0 {
                            yield_now();
                        }
                    }
                    match random.below(4) {
                        0 => drop(last.write().downgrade()),
                        1 => drop(last.write()),
                        2 => drop(last.read()),
                        _ => yield_now(),
                    }
                    while !held.is_empty() {
                        let which = random.below(held.len() as u64) as usize;
                        drop(held.swap_remove(which));
                        if random.below(4) == 0 {
                            yield_now();
                        }
                    }
                }
            })
        })
        .collect();
    for _ in 0..looks {
        assert!(registry::deadlocks().is_empty(), "nobody is to blame");
        yield_now();
    }
    over.store(true, Ordering::Relaxed);
    for coroutine in crew {
        coroutine.join().unwrap();
    }
}

#[test]
fn who_locks_in_order_is_never_blamed() {
    for_each_seed(|seed| in_order(seed, 20, 40));
    crate::Runtime::builder()
        .workers(3)
        .build()
        .unwrap()
        .run(|| in_order(7, u64::MAX, 300));
}

/// One that waits for who waits for nobody is not in a circle, however long it takes.
#[test]
fn a_lock_that_is_held_for_long_is_no_deadlock() {
    testing::run(0, || {
        let mutex = Arc::new(Mutex::new(()));
        let held = mutex.lock();
        let wanted = mutex.clone();
        let waiter = named("waiter", move || _ = wanted.lock());
        let waits =
            || registry::coroutine(waiter.id()).is_some_and(|it| it.state == State::Waiting);
        yield_until("it waits", waits);
        assert!(registry::deadlocks().is_empty());
        drop(held);
        waiter.join().unwrap();
    });
}
