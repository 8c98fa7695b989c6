//! What `scope` promises, above all that nobody uses what it lent when it has ended.

use std::cell::Cell;
use std::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{Drops, HOUR, MS, OnDrop, SECOND, assert_calm, simulate, simulate_some, swallow};
use crate::sync::{Event, channel};
use crate::{
    Builder, JoinError, Placement, Runtime, in_parallel, join_all, registry, scope, shield, sleep,
    spawn, with_timeout, yield_now,
};

/// Waits for ever, and at its end writes to what it borrowed: too late, if the scope were gone.
fn linger(ended: &AtomicUsize) {
    let _ended = OnDrop(|| {
        ended.fetch_add(1, Ordering::SeqCst);
    });
    sleep(HOUR);
}

/// Nobody lives but the caller.
fn assert_alone() {
    let others: Vec<_> = registry::coroutines()
        .into_iter()
        .filter(|it| Some(it.id) != registry::current() && it.state != registry::State::Ended)
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn children_borrow_and_their_scope_waits() {
    simulate(|| {
        let words = [String::from("round"), String::from("shot")];
        let (mut left, mut right) = (0, 0);
        let total = scope(|s| {
            s.spawn(|| {
                sleep(MS);
                left = words[0].len();
            });
            s.spawn(|| right = words[1].len());
            let both = s.spawn(|| {
                yield_now();
                words.iter().map(String::len).sum::<usize>()
            });
            both.join().unwrap()
        });
        assert_eq!((left, right, total), (5, 4, 9));
        assert_alone();
    });
}

#[test]
fn a_failure_ends_the_siblings_and_goes_on() {
    simulate(|| {
        let ended = AtomicUsize::new(0);
        let drops = Drops::default();
        let result = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| {
                for _ in 0..3 {
                    let token = drops.token();
                    let ended = &ended;
                    s.spawn(move || {
                        let _token = token;
                        sleep(10 * MS);
                        linger(ended);
                    });
                }
                let failing = s.spawn(|| {
                    sleep(20 * MS);
                    resume_unwind(Box::new(7_u32))
                });
                // Whoever joins it gets the text; the payload is the scope's.
                let error: JoinError = failing.join().map(|(): ()| ()).unwrap_err();
                assert!(matches!(error, JoinError::Panicked(_)));
                let late = s.spawn(|| unreachable!("the scope is ending"));
                assert!(matches!(late.join(), Err::<(), _>(JoinError::Interrupted)));
            });
        }));
        assert_eq!(*result.unwrap_err().downcast::<u32>().unwrap(), 7);
        assert_eq!((ended.load(Ordering::SeqCst), drops.count()), (3, 3));
        assert_alone();
    });
}

#[test]
fn the_first_of_several_failures_goes_on() {
    simulate(|| {
        let result = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| {
                for number in 1..=3_u32 {
                    s.spawn(move || {
                        shield(|| sleep(number * MS));
                        resume_unwind(Box::new(number))
                    });
                }
            });
        }));
        assert_eq!(*result.unwrap_err().downcast::<u32>().unwrap(), 1);
        assert_eq!(registry::stats().unwrap().panicked, 3);
    });
}

#[test]
fn a_panic_of_the_closure_outweighs_a_childs() {
    simulate(|| {
        let ended = AtomicUsize::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            scope(|s| {
                s.spawn(|| linger(&ended));
                s.spawn(|| {
                    let _ = swallow(|| sleep(HOUR));
                    ended.fetch_add(1, Ordering::SeqCst);
                    resume_unwind(Box::new("a child's"))
                });
                sleep(MS);
                resume_unwind(Box::new("the closure's"))
            })
        }));
        let payload: Box<&str> = result.map(|(): ()| ()).unwrap_err().downcast().unwrap();
        assert_eq!(*payload, "the closure's");
        assert_eq!(ended.load(Ordering::SeqCst), 2);
        assert_calm();
        assert_alone();
    });
}

#[test]
fn a_timeout_leaves_nothing_behind() {
    simulate(|| {
        for in_closure in [false, true] {
            let ended = AtomicUsize::new(0);
            let result = with_timeout(10 * MS, || {
                scope(|s| {
                    for _ in 0..4 {
                        s.spawn(|| linger(&ended));
                    }
                    // Its cleanup takes longer than the time allowed.
                    s.spawn(|| {
                        let _ = swallow(|| sleep(HOUR));
                        shield(|| sleep(SECOND));
                        ended.fetch_add(1, Ordering::SeqCst);
                    });
                    if in_closure {
                        sleep(HOUR);
                    }
                });
            });
            assert!(result.is_err());
            assert_eq!(ended.load(Ordering::SeqCst), 5);
            assert_alone();
        }
    });
}

#[test]
fn a_killed_parent_ends_its_children_first() {
    simulate(|| {
        for in_closure in [false, true] {
            let ended = Arc::new(AtomicUsize::new(0));
            let counted = ended.clone();
            let parent = spawn(move || {
                let lent = AtomicUsize::new(0);
                let _look = OnDrop(|| {
                    counted.store(lent.load(Ordering::SeqCst), Ordering::SeqCst);
                });
                scope(|s| {
                    for _ in 0..3 {
                        // Scopes nest, and so do their ends.
                        s.spawn(|| {
                            scope(|inner| {
                                inner.spawn(|| linger(&lent));
                            });
                        });
                    }
                    if in_closure {
                        sleep(HOUR);
                    }
                });
            });
            sleep(MS);
            parent.interrupt();
            assert!(matches!(parent.join(), Err(JoinError::Interrupted)));
            assert_eq!(ended.load(Ordering::SeqCst), 3);
            assert_alone();
        }
    });
}

#[test]
fn one_that_was_interrupted_has_not_failed() {
    simulate(|| {
        let mut done = false;
        scope(|s| {
            let first = s.spawn(|| sleep(HOUR));
            s.spawn(|| {
                sleep(10 * MS);
                done = true;
            });
            sleep(MS);
            first.interrupt();
            assert!(matches!(first.join(), Err(JoinError::Interrupted)));
        });
        assert!(done);
    });
}

/// The captures of one that never starts are dropped before the scope ends.
#[test]
fn what_never_starts_is_dropped_in_time() {
    simulate(|| {
        let dropped = AtomicUsize::new(0);
        let look = || {
            OnDrop(|| {
                dropped.fetch_add(1, Ordering::SeqCst);
            })
        };
        scope(|s| {
            for _ in 0..3 {
                let captured = look();
                let child = s.spawn(move || {
                    let _captured = captured;
                    unreachable!("it was interrupted before");
                });
                child.interrupt();
                assert!(matches!(child.join(), Err::<(), _>(JoinError::Interrupted)));
            }
        });
        assert_eq!(dropped.load(Ordering::SeqCst), 3);
    });
}

#[test]
fn handles_may_be_dropped_forgotten_and_handed_on() {
    simulate(|| {
        let drops = Drops::default();
        let text = String::from("text");
        scope(|s| {
            // Results that borrow, which nobody takes.
            drop(s.spawn(|| (drops.token(), &text[..])));
            let unjoined = s.spawn(|| (drops.token(), &text[..]));
            forget(s.spawn(|| &text[..]));
            let first = s.spawn(|| &text[1..]);
            s.spawn(move || assert_eq!(first.join().unwrap(), "ext"));
            // Dropped by its sibling, perhaps when it has ended.
            s.spawn(move || {
                yield_now();
                drop(unjoined);
            });
        });
        assert_eq!(drops.count(), 2);
        assert_alone();
    });
}

#[test]
fn children_spawn_siblings() {
    simulate(|| {
        let count = AtomicUsize::new(0);
        scope(|s| {
            s.spawn(|| {
                for _ in 0..3 {
                    s.spawn(|| {
                        yield_now();
                        s.spawn(|| count.fetch_add(1, Ordering::SeqCst));
                    });
                }
            });
        });
        assert_eq!(count.load(Ordering::SeqCst), 3);
    });
}

/// Values that borrow, on their way when the scope ends.
#[test]
fn messages_that_borrow_are_gone_before_the_scope() {
    simulate(|| {
        let dropped = AtomicUsize::new(0);
        let result = with_timeout(5 * MS, || {
            scope(|s| {
                let (sender, receiver) = channel::bounded(1);
                for _ in 0..4 {
                    let sender = sender.clone();
                    let dropped = &dropped;
                    s.spawn(move || {
                        let message = OnDrop(move || {
                            dropped.fetch_add(1, Ordering::SeqCst);
                        });
                        let _ = sender.send(message);
                    });
                }
                s.spawn(move || {
                    let _first = receiver.recv();
                    sleep(HOUR);
                });
            });
        });
        assert!(result.is_err());
        assert_eq!(dropped.load(Ordering::SeqCst), 4);
    });
}

#[test]
fn it_refuses_while_unwinding() {
    simulate_some(3, || {
        let refused = Cell::new(false);
        let _ = swallow(|| {
            let _opens = OnDrop(|| {
                let payload = catch_unwind(|| scope(|_| ())).unwrap_err();
                let text = payload.downcast_ref::<&str>().unwrap();
                refused.set(text.contains("while unwinding"));
            });
            resume_unwind(Box::new(()));
        });
        assert!(refused.get());
    });
}

#[test]
fn join_all_keeps_every_outcome_in_order() {
    simulate(|| {
        let numbers = [3_u32, 1, 2];
        let results = join_all(numbers.iter().map(|number| {
            move || {
                sleep(*number * MS);
                if *number == 1 {
                    resume_unwind(Box::new("one"));
                }
                number
            }
        }));
        assert_eq!(**results[0].as_ref().unwrap(), 3);
        assert_eq!(results[1].as_ref().unwrap_err().message(), Some("one"));
        assert_eq!(**results[2].as_ref().unwrap(), 2);
        assert!(join_all(Vec::<fn()>::new()).is_empty());
        assert_alone();
    });
}

#[test]
fn in_parallel_gives_all_values_or_all_failures() {
    simulate(|| {
        let double = |number: u32| {
            move || {
                assert_calm();
                sleep(number % 3 * MS);
                if number == 4 {
                    resume_unwind(Box::new("four"));
                }
                2 * number
            }
        };
        assert_eq!(in_parallel((0..4).map(double)).unwrap(), [0, 2, 4, 6]);
        let error = in_parallel((3..6).map(double)).unwrap_err();
        assert_eq!(error.failures().count(), 1);
        assert_eq!(*error.results[2].as_ref().unwrap(), 10);
        assert_eq!(
            error.to_string(),
            "1 of 3 failed; first number 1: the coroutine panicked: four"
        );
        let ended = AtomicUsize::new(0);
        let result = with_timeout(MS, || in_parallel((0..3).map(|_| || linger(&ended))));
        assert!(result.is_err());
        assert_eq!(ended.load(Ordering::SeqCst), 3);
    });
}

/// Programs of nested scopes, interrupted and failing anywhere: what they lent is whole, nobody is left.
#[test]
fn random_programs_leave_nothing_behind() {
    fn grow(depth: u32, alive: &AtomicUsize) {
        let here = AtomicUsize::new(0);
        let _whole = OnDrop(|| assert_eq!(here.load(Ordering::SeqCst), 0));
        scope(|s| {
            for _ in 0..crate::sched::worker::random(4) {
                let here = &here;
                let child = s.spawn(move || {
                    here.fetch_add(1, Ordering::SeqCst);
                    alive.fetch_add(1, Ordering::SeqCst);
                    let _ended = OnDrop(|| {
                        here.fetch_sub(1, Ordering::SeqCst);
                        alive.fetch_sub(1, Ordering::SeqCst);
                    });
                    sleep(crate::sched::worker::random(5) as u32 * MS);
                    if depth > 0 {
                        grow(depth - 1, alive);
                    }
                    if crate::sched::worker::random(16) == 0 {
                        resume_unwind(Box::new("a failure"));
                    }
                });
                match crate::sched::worker::random(5) {
                    0 => child.interrupt(),
                    1 => drop(child.join()),
                    2 => forget(child),
                    3 => sleep(MS),
                    _ => {}
                }
            }
        });
    }
    simulate_some(1_000, || {
        let alive = AtomicUsize::new(0);
        let limit = crate::sched::worker::random(20) as u32 * MS;
        let _ = swallow(|| with_timeout(limit, || grow(3, &alive)));
        assert_eq!(alive.load(Ordering::SeqCst), 0);
        assert_alone();
    });
}

#[test]
fn over_several_workers() {
    fn lend(round: usize) {
        let mut sums = vec![0_usize; 16];
        let numbers: Vec<usize> = (0..16).collect();
        let interrupt = round.is_multiple_of(3);
        scope(|s| {
            for (index, sum) in sums.iter_mut().enumerate() {
                let numbers = &numbers;
                let child = Builder::new()
                    .placement(Placement::Worker(index))
                    .spawn_scoped(s, move || {
                        let _written = OnDrop(|| *sum += numbers[index]);
                        yield_now();
                    });
                if interrupt && index % 2 == 0 {
                    child.interrupt();
                }
            }
        });
        assert!(interrupt || sums == numbers);
    }
    let runtime = Runtime::builder().workers(3).build().unwrap();
    let owners: Vec<_> = (0..200)
        .map(|round| runtime.spawn(move || lend(round)))
        .collect();
    for owner in owners {
        owner.join().unwrap();
    }
    runtime.shutdown(10 * SECOND).unwrap();
}

#[test]
fn a_runtimes_end_unwinds_children_before_their_scope() {
    let lent_whole = Arc::new(AtomicUsize::new(0));
    for _ in 0..20 {
        let runtime = Runtime::builder().workers(2).build().unwrap();
        let counted = lent_whole.clone();
        runtime.run(move || {
            let opened = Arc::new(Event::new());
            let open = opened.clone();
            spawn(move || {
                let lent = AtomicUsize::new(0);
                let _look = OnDrop(|| {
                    let whole = usize::from(lent.load(Ordering::SeqCst) == 1);
                    counted.fetch_add(whole, Ordering::SeqCst);
                });
                scope(|s| {
                    s.spawn(|| {
                        open.set();
                        linger(&lent);
                    });
                });
            });
            opened.wait();
        });
    }
    assert_eq!(lent_whole.load(Ordering::SeqCst), 20);
}

/// A child that a stopping runtime gives up may still use what it borrowed: its scope does not go on, and the thread of
/// its scope's owner keeps its thread-locals.
#[test]
fn a_child_that_computes_on_after_its_runtimes_end_keeps_what_it_borrowed() {
    thread_local! {
        static LENT: Told = const { Told(AtomicUsize::new(0)) };
    }
    static GONE: AtomicBool = AtomicBool::new(false);
    struct Told(AtomicUsize);
    impl Drop for Told {
        fn drop(&mut self) {
            GONE.store(true, Ordering::SeqCst);
        }
    }
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let (computes, go_on) = (Arc::new(Event::new()), Arc::new(AtomicBool::new(false)));
    let (began, may_end) = (computes.clone(), go_on.clone());
    let (report, reported) = channel::bounded(1);
    let ended = Arc::new(AtomicBool::new(false));
    let scope_ended = ended.clone();
    let owner = runtime.spawn(move || {
        let own = registry::coroutine(registry::current().unwrap()).unwrap();
        let other = Builder::new().placement(Placement::Worker(own.worker.unwrap() + 1));
        LENT.with(|lent| {
            scope(|s| {
                other.spawn_scoped(s, || {
                    began.set();
                    while !may_end.load(Ordering::SeqCst) {
                        lent.0.fetch_add(1, Ordering::SeqCst);
                        std::thread::yield_now();
                    }
                    report.try_send(GONE.load(Ordering::SeqCst)).unwrap();
                });
            });
        });
        scope_ended.store(true, Ordering::SeqCst);
    });
    computes.wait();
    let left = runtime.shutdown(MS).unwrap_err();
    assert_eq!(left.coroutines.len(), 2, "{left}");
    // Given up: its stack, and what is on it, stay.
    assert!(matches!(owner.join(), Err(JoinError::Interrupted)));
    go_on.store(true, Ordering::SeqCst);
    assert_eq!(reported.recv(), Ok(false), "a thread-local is gone");
    assert!(!ended.load(Ordering::SeqCst));
}
