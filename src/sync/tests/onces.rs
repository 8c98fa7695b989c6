//! Once, OnceLock and LazyLock.

use super::crew::{Crew, WAITERS};
use super::{Count, Random, for_each_seed, yield_until};
use crate::sync::{LazyLock, Once, OnceLock};
use crate::{JoinError, catch_panic, sleep, spawn, with_timeout, yield_now};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(10);

/// A panic that prints nothing.
fn fail_unless(well: bool) {
    if !well {
        resume_unwind(Box::new("as planned"));
    }
}

#[test]
fn one_makes_it_while_the_others_wait() {
    for_each_seed(|_| {
        let lock = Arc::new(OnceLock::new());
        let made = Count::default();
        let crew: Vec<_> = (0..5)
            .map(|number| {
                let (lock, made) = (Arc::clone(&lock), made.clone());
                spawn(move || {
                    let init = || {
                        sleep(TICK);
                        made.up();
                        number
                    };
                    *lock.get_or_init(init)
                })
            })
            .collect();
        let got: Vec<_> = crew
            .into_iter()
            .map(|sailor| sailor.join().unwrap())
            .collect();
        assert!(got.iter().all(|&number| number == got[0]), "{got:?}");
        assert_eq!(made.get(), 1);
        assert_eq!(lock.get(), Some(&got[0]));
        assert_eq!(lock.set(9), Err(9));
        let statistics = lock.statistics();
        assert_eq!((statistics.done, statistics.running), (true, false));
        assert_eq!((statistics.attempts, statistics.wait.waits), (1, 4));
    });
}

#[test]
fn a_value_can_be_put_in_and_taken_out() {
    let mut lock = OnceLock::new();
    assert_eq!(lock.set(1), Ok(()));
    assert_eq!(lock.take(), Some(1));
    assert_eq!(lock.get(), None);
    assert_eq!(*lock.get_or_init(|| 2), 2);
    *lock.get_mut().unwrap() += 1;
    assert_eq!(format!("{lock:?}"), "OnceLock(3)");
    assert_eq!(lock.into_inner(), Some(3));
}

#[test]
fn the_next_tries_when_an_initialiser_panics_fails_or_is_interrupted() {
    for_each_seed(|seed| {
        let lock = Arc::new(OnceLock::new());
        let first = spawn({
            let lock = Arc::clone(&lock);
            move || {
                lock.get_or_try_init(|| {
                    sleep(TICK);
                    match seed % 3 {
                        0 => resume_unwind(Box::new("as planned")),
                        1 => Err(()),
                        _ => loop {
                            sleep(TICK);
                        },
                    }
                })
                .copied()
            }
        });
        yield_until("the first", || lock.statistics().running);
        let second = spawn({
            let lock = Arc::clone(&lock);
            move || *lock.get_or_init(|| 2)
        });
        yield_until("the second", || lock.statistics().wait.waiting == 1);
        sleep(TICK);
        if seed % 3 == 2 {
            first.interrupt();
        }
        assert_eq!(second.join().unwrap(), 2);
        match seed % 3 {
            0 => assert!(matches!(first.join(), Err(JoinError::Panicked(_)))),
            1 => assert_eq!(first.join().unwrap(), Err(()), "only its own caller's"),
            _ => assert!(matches!(first.join(), Err(JoinError::Interrupted))),
        }
        assert_eq!(lock.statistics().attempts, 2);
    });
}

#[test]
fn a_timeout_around_the_initialiser_leaves_it_to_the_next() {
    for_each_seed(|_| {
        let once = Arc::new(Once::new());
        let ran = Count::default();
        let other = spawn({
            let (once, ran) = (Arc::clone(&once), ran.clone());
            move || {
                sleep(TICK / 2);
                once.call_once(|| {
                    ran.up();
                });
            }
        });
        let slow = with_timeout(TICK, || once.call_once(|| sleep(TICK * 100)));
        assert!(slow.is_err());
        other.join().unwrap();
        assert!(once.is_completed());
        once.call_once(|| panic!("not again"));
        assert_eq!(ran.get(), 1);
    });
}

#[test]
fn an_initialiser_that_needs_itself_is_told() {
    let nested = |lock: &OnceLock<i32>| {
        let lock = std::panic::AssertUnwindSafe(lock);
        let payload = catch_panic(|| *lock.get_or_init(|| *lock.get_or_init(|| 1)))
            .expect_err("it would wait for itself");
        let message = payload.downcast::<String>().expect("a message");
        assert!(message.contains("its own initialiser"), "{message}");
        assert_eq!(*lock.get_or_init(|| 2), 2, "the next one can");
    };
    crate::testing::run(0, move || nested(&OnceLock::new()));
    nested(&OnceLock::new());
    static ITSELF: LazyLock<i32> = LazyLock::new(|| *ITSELF + 1);
    assert!(catch_panic(|| *ITSELF).is_err());
}

#[test]
fn a_lazy_value_is_made_at_first_use() {
    for_each_seed(|_| {
        let made = Count::default();
        let ours = made.clone();
        let lazy = Arc::new(LazyLock::new(move || {
            let attempt = ours.up();
            yield_now();
            fail_unless(attempt != 0);
            vec![attempt]
        }));
        assert_eq!(made.get(), 0);
        assert!(catch_panic(|| lazy.len()).is_err());
        let crew: Vec<_> = (0..3)
            .map(|_| {
                let lazy = Arc::clone(&lazy);
                spawn(move || lazy[0])
            })
            .collect();
        for sailor in crew {
            assert_eq!(sailor.join().unwrap(), 1, "it is not poisoned");
        }
        assert_eq!(LazyLock::statistics(&lazy).attempts, 2);
    });
}

#[test]
fn a_done_one_raises_no_interrupts() {
    crate::testing::run(0, || {
        let lock = OnceLock::new();
        let zero = Duration::ZERO;
        assert!(with_timeout(zero, || lock.get_or_init(|| 1)).is_err());
        lock.set(2).unwrap();
        assert_eq!(with_timeout(zero, || *lock.get_or_init(|| 3)), Ok(2));
    });
}

#[test]
fn once_before_the_wake() {
    for_each_seed(|seed| {
        let once = Arc::new(Once::new());
        let crew = once_crew(&once, seed % 2 == 0, Crew::interrupt_five);
        yield_until("the sixth", || crew.done.get() == 1);
        assert_eq!(crew.through.get(), 1);
        crew.assert_only_the_sixth_is_done();
        assert!(once.is_completed());
    });
}

#[test]
fn once_after_the_wake() {
    for_each_seed(|seed| {
        let once = Arc::new(Once::new());
        let well = seed % 2 == 0;
        let crew = once_crew(&once, well, |_| {});
        crew.interrupt_five();
        yield_until("the sixth", || crew.done.get() == 1);
        let through = if well { WAITERS } else { 1 };
        yield_until("the others", || crew.through.get() == through);
        crew.assert_only_the_sixth_is_done();
        assert!(once.is_completed());
    });
}

/// Six who wait while the caller is at it, which ends well or badly. In the latter case the first is granted its turn, and
/// whoever tries yields.
fn once_crew(once: &Arc<Once>, well: bool, before: impl FnOnce(&Crew)) -> Crew {
    let mut crew = None;
    let attempt = catch_panic(|| {
        once.call_once(|| {
            let ours = Arc::clone(once);
            let wait = move |then: &dyn Fn()| {
                ours.call_once(yield_now);
                then();
            };
            let six = crew.insert(Crew::muster(wait, || once.statistics().wait.waiting));
            before(six);
            fail_unless(well);
        });
    });
    assert_eq!(attempt.is_ok(), well);
    crew.expect("mustered")
}

#[test]
fn exactly_one_attempt_succeeds_whatever_happens_to_the_others() {
    for_each_seed(|seed| {
        let lock = Arc::new(OnceLock::new());
        let (running, succeeded) = (Count::default(), Count::default());
        let crew: Vec<_> = (0..8)
            .map(|number| {
                let mut random = Random(seed << 8 | number);
                let lock = Arc::clone(&lock);
                let (running, succeeded) = (running.clone(), succeeded.clone());
                spawn(move || {
                    struct Down(Count);
                    impl Drop for Down {
                        fn drop(&mut self) {
                            self.0.down();
                        }
                    }
                    let limit = Duration::from_micros(1 + random.below(200));
                    let init = || {
                        assert_eq!(running.up(), 0, "one at a time");
                        let _down = Down(running.clone());
                        sleep(Duration::from_micros(random.below(150)));
                        if random.below(2) == 0 {
                            return Err("as planned");
                        }
                        succeeded.up();
                        Ok(number)
                    };
                    with_timeout(limit, || lock.get_or_try_init(init).copied())
                })
            })
            .collect();
        let mut random = Random(seed);
        for _ in 0..2 {
            sleep(Duration::from_micros(random.below(200)));
            crew[random.below(8) as usize].interrupt();
        }
        for sailor in crew {
            match sailor.join() {
                Ok(Ok(Ok(value))) => assert_eq!(lock.get(), Some(&value)),
                Ok(_) | Err(JoinError::Interrupted) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(succeeded.get(), usize::from(lock.get().is_some()));
        let statistics = lock.statistics();
        assert_eq!((statistics.running, statistics.wait.waiting), (false, 0));
        assert_eq!(*lock.get_or_init(|| 99), *lock.get().unwrap());
    });
}
