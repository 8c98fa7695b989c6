//! What `join` gives.

use std::cell::RefCell;
use std::fmt::Debug;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::record::{self, CoroRef, Head, Name, Record, Run};
use super::super::{current, runtime};
use super::{HOUR, MS, simulate, simulate_some};
use crate::{Builder, JoinError, Placement, Runtime, sleep, spawn, spawn_local, yield_now};

#[test]
fn a_value() {
    simulate(|| {
        assert_eq!(spawn(|| String::from("seven")).join().unwrap(), "seven");
        let many: Vec<_> = (0..50)
            .map(|number| {
                spawn(move || {
                    for _ in 0..number % 5 {
                        yield_now();
                    }
                    number
                })
            })
            .collect();
        let sum: u32 = many.into_iter().map(|child| child.join().unwrap()).sum();
        assert_eq!(sum, (0..50).sum());
    });
}

/// What a closure captures and what it returns are in the record, between its neighbours, and in between on its stack.
#[test]
fn values_that_want_a_cache_line_or_a_page_for_themselves() {
    #[derive(Clone, Debug, PartialEq)]
    #[repr(align(64))]
    struct Line(String);
    #[derive(Clone, Debug, PartialEq)]
    #[repr(align(4096))]
    struct Page(String);

    fn check<T: Clone + Debug + PartialEq + Send + 'static>(value: T) {
        let is_aligned = |value: &T| (&raw const *value).is_aligned();
        let children: Vec<_> = (0..3)
            .map(|_| {
                let value = value.clone();
                spawn(move || {
                    assert!(is_aligned(&value));
                    yield_now();
                    value
                })
            })
            .collect();
        for child in children {
            let returned = child.join().unwrap();
            assert!(is_aligned(&returned));
            assert_eq!(returned, value);
        }
        drop(spawn(move || is_aligned(&value)));
    }

    simulate_some(20, || {
        check(Line("seven".into()));
        check(Page("eight".into()));
    });
}

#[derive(Debug, PartialEq)]
struct Custom(u32);

#[test]
fn a_panic_with_its_payload() {
    simulate(|| {
        let error = spawn(|| resume_unwind(Box::new("a literal")))
            .join()
            .unwrap_err();
        assert_eq!(error.message(), Some("a literal"));
        let error = spawn(|| resume_unwind(Box::new(format!("number {}", 7))))
            .join()
            .unwrap_err();
        assert_eq!(error.message(), Some("number 7"));
        assert_eq!(error.to_string(), "the coroutine panicked: number 7");
        let error = spawn(|| resume_unwind(Box::new(Custom(7))))
            .join()
            .unwrap_err();
        assert_eq!(error.message(), Some("(a payload that is not text)"));
        let JoinError::Panicked(payload) = error else {
            panic!("it panicked")
        };
        assert_eq!(*payload.downcast::<Custom>().unwrap(), Custom(7));
    });
}

#[test]
fn an_interrupt() {
    simulate(|| {
        let child = spawn(|| sleep(HOUR));
        sleep(MS);
        child.interrupt();
        let error = child.join().unwrap_err();
        assert_eq!(error.message(), None);
        assert_eq!(format!("{error:?}"), "Interrupted");
    });
}

#[test]
fn a_value_that_is_not_send_from_spawn_local() {
    simulate(|| {
        let shared = Rc::new(RefCell::new(vec![]));
        let children: Vec<_> = (0..10)
            .map(|number| {
                let shared = shared.clone();
                spawn_local(move || {
                    // A guard across a wait: nobody else runs on another thread, and these take turns.
                    sleep(MS * number);
                    let mut list = shared.borrow_mut();
                    list.push(number);
                    drop(list);
                    Rc::new(number)
                })
            })
            .collect();
        let sum: u32 = children
            .into_iter()
            .map(|child| *child.join().unwrap())
            .sum();
        assert_eq!(sum, 45);
        assert_eq!(*shared.borrow(), (0..10).collect::<Vec<_>>());
    });
}

#[test]
fn a_guard_of_a_refcell_lives_across_a_wait() {
    simulate(|| {
        let cell = Rc::new(RefCell::new(0));
        let inner = cell.clone();
        let holder = spawn_local(move || {
            let mut guard = inner.borrow_mut();
            sleep(10 * MS);
            *guard = 7;
        });
        sleep(MS);
        assert!(cell.try_borrow().is_err(), "held across the wait");
        holder.join().unwrap();
        assert_eq!(*cell.borrow(), 7);
    });
}

#[test]
fn a_dropped_handle_lets_it_run_on() {
    simulate(|| {
        let ran = Arc::new(AtomicUsize::new(0));
        for _ in 0..10 {
            let ran = ran.clone();
            drop(spawn(move || {
                sleep(MS);
                ran.fetch_add(1, Ordering::Relaxed);
            }));
        }
        sleep(10 * MS);
        assert_eq!(ran.load(Ordering::Relaxed), 10);
    });
}

#[test]
fn a_join_that_was_interrupted_does_not_end_the_child() {
    simulate(|| {
        let ran = Arc::new(AtomicUsize::new(0));
        let runs = ran.clone();
        let child = spawn(move || {
            sleep(10 * MS);
            runs.fetch_add(1, Ordering::Relaxed);
        });
        assert!(crate::with_timeout(MS, || child.join().is_ok()).is_err());
        sleep(20 * MS);
        assert_eq!(ran.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_finished_one_says_so_and_keeps_its_name() {
    simulate(|| {
        let child = Builder::new().name("helmsman").spawn(|| ());
        assert_eq!(child.name(), "helmsman");
        assert!(!child.is_finished());
        sleep(MS);
        assert!(child.is_finished());
        let nameless = spawn(|| ());
        assert!(
            nameless.name().starts_with("joins.rs:"),
            "{}",
            nameless.name()
        );
        assert_ne!(nameless.id(), child.id());
        assert!(format!("{child:?}").contains("helmsman"));
    });
}

#[test]
fn from_a_plain_thread_and_from_another_runtime() {
    let (one, two) = (
        Runtime::builder().workers(2).build().unwrap(),
        Runtime::builder().workers(2).build().unwrap(),
    );
    for round in 0..200_u64 {
        let child = one.spawn(move || {
            for _ in 0..round % 3 {
                yield_now();
            }
            round
        });
        let through = two.spawn(move || child.join().unwrap() + 1);
        assert_eq!(through.join().unwrap(), round + 1);
    }
    let panicked = one.spawn(|| resume_unwind(Box::new("on purpose")));
    assert_eq!(panicked.join().unwrap_err().message(), Some("on purpose"));
    let stuck = two.spawn(|| sleep(HOUR));
    stuck.interrupt();
    assert!(matches!(stuck.join(), Err(JoinError::Interrupted)));
    one.shutdown(10 * super::SECOND).unwrap();
    two.shutdown(10 * super::SECOND).unwrap();
}

#[test]
fn placed_where_it_was_told_to() {
    let runtime = Runtime::builder().workers(3).build().unwrap();
    runtime.run(|| {
        let worker_of = || {
            crate::registry::coroutine(crate::registry::current().unwrap())
                .unwrap()
                .worker
        };
        for index in 0..9 {
            let there = Builder::new()
                .placement(Placement::Worker(index))
                .spawn(worker_of);
            assert_eq!(there.join().unwrap(), Some(index % 3));
        }
        let here = worker_of();
        for _ in 0..100 {
            assert_eq!(
                Builder::new()
                    .placement(Placement::Here)
                    .spawn(worker_of)
                    .join()
                    .unwrap(),
                here
            );
            assert_eq!(spawn_local(worker_of).join().unwrap(), here);
        }
    });
}

/// The smallest and the largest that are promised, and what is beyond them.
#[test]
fn on_a_stack_of_any_size() {
    crate::testing::run(1, || {
        for bytes in [0, 1, 64 << 10, 1 << 20, 1 << 30, usize::MAX] {
            let child = Builder::new().stack_size(bytes).spawn(|| {
                sleep(MS);
                7
            });
            assert_eq!(child.join().unwrap(), 7, "{bytes}");
        }
    });
}

/// Between a coroutine's last word and its end, another thread may let go of its handle: there is no telling when, so the
/// steps are taken by hand here.
#[test]
fn a_value_that_loses_its_heir_at_the_last_moment_is_dropped_where_it_may_wait() {
    struct Slow(crate::sync::channel::Sender<u64>);
    impl Drop for Slow {
        fn drop(&mut self) {
            sleep(MS);
            self.0.send(current::id()).unwrap();
        }
    }
    simulate(|| {
        let (sender, dropped) = crate::sync::channel::unbounded();
        let name = Name {
            given: None,
            site: std::panic::Location::caller(),
        };
        let head = Head::new(name, 0, u64::MAX >> 1, runtime::here(), 1 << 16, 0, false);
        let (newborn, heir) = CoroRef::create(|| Record { head }, || Run::new(|| ()), |run| run);
        let [one, two] = record::adopt(newborn);
        one.discard(JoinError::Panicked(Box::new(Slow(sender))));
        drop(heir);
        record::publish(one, two);
        let by = dropped.recv().unwrap();
        assert!(by != 0 && by != current::id(), "by a coroutine of its own");
    });
}

#[test]
fn a_name_that_is_too_long_is_cut_between_two_characters() {
    fn named(name: &str) -> String {
        Builder::new().name(name).spawn(|| ()).name()
    }
    simulate(|| {
        for longest in ["x".repeat(200), "é".repeat(100), "…".repeat(66)] {
            assert_eq!(named(&longest), longest);
        }
        assert_eq!(named(&"x".repeat(100_000)), "x".repeat(197) + "…");
        // A character of two bytes does not fit at an odd place.
        assert_eq!(named(&"é".repeat(100_000)), "é".repeat(98) + "…");
    });
}
