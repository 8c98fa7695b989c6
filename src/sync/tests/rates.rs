//! RateLimiter.

use super::crew::Crew;
use super::{Random, for_each_seed, yield_until};
use crate::sync::{Fifo, OnceLock, RateLimiter};
use crate::{JoinError, JoinHandle, sleep, spawn, time, with_timeout};
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn tokens_drip_at_the_rate_to_the_nanosecond() {
    crate::testing::run(0, || {
        // A third of a second each: no whole number of nanoseconds.
        let limiter = RateLimiter::new(3, SECOND).with_burst(2);
        let start = time::now();
        for _ in 0..3_002 {
            limiter.acquire();
        }
        assert_eq!(
            time::now() - start,
            SECOND * 1_000,
            "nothing is rounded away"
        );
        sleep(SECOND * 1_000_000);
        assert!(limiter.try_acquire_many(2));
        assert!(!limiter.try_acquire(), "no more than the burst is kept");
        assert_eq!(limiter.statistics().acquired, 3_004);
        sleep(SECOND / 3);
        assert!(
            !limiter.try_acquire(),
            "a fraction of a nanosecond is lacking"
        );
        sleep(Duration::from_nanos(1));
        assert!(limiter.try_acquire());
    });
}

#[test]
fn what_dripped_in_can_be_had_at_once() {
    crate::testing::run(0, || {
        let limiter = RateLimiter::new(10, SECOND);
        let start = time::now();
        limiter.acquire_many(10);
        assert_eq!(limiter.statistics().available, 0);
        sleep(SECOND / 2);
        assert_eq!(limiter.statistics().available, 5);
        assert!(!limiter.try_acquire_many(6));
        assert!(limiter.try_acquire_many(5));
        assert_eq!(time::now() - start, SECOND / 2);
    });
}

#[test]
fn more_than_the_burst_is_a_debt_of_those_behind() {
    crate::testing::run(0, || {
        let limiter = RateLimiter::new(10, SECOND);
        let start = time::now();
        limiter.acquire_many(30);
        assert_eq!(time::now() - start, Duration::ZERO);
        assert_eq!(limiter.statistics().available, 0);
        limiter.acquire();
        assert_eq!(time::now() - start, SECOND * 21 / 10);
    });
}

#[test]
fn nobody_passes_one_who_waits_for_many_and_all_go_on_when_it_gives_up() {
    for_each_seed(|_| {
        let limiter = Arc::new(RateLimiter::new(10, SECOND));
        limiter.acquire_many(10);
        let start = time::now();
        let served = Arc::new(Fifo::new());
        let ask = |tokens, limit| {
            let (limiter, served) = (Arc::clone(&limiter), Arc::clone(&served));
            let waiting = limiter.statistics().wait.waiting;
            let asking = spawn({
                let limiter = Arc::clone(&limiter);
                move || {
                    let asked = with_timeout(limit, || limiter.acquire_many(tokens));
                    served.push((tokens, time::now() - start));
                    asked.is_ok()
                }
            });
            yield_until("one more", || {
                limiter.statistics().wait.waiting == waiting + 1
            });
            asking
        };
        let gives_up = ask(9, SECOND / 2);
        let many = ask(7, SECOND * 9);
        let few = ask(1, SECOND * 9);
        assert!(!gives_up.join().unwrap());
        assert!(!limiter.try_acquire(), "there are some, and others wait");
        assert!(many.join().unwrap() && few.join().unwrap());
        assert_eq!(
            served.try_pop_all(),
            [(9, SECOND / 2), (7, SECOND * 7 / 10), (1, SECOND * 8 / 10)]
        );
        let wait = limiter.statistics().wait;
        assert_eq!((wait.waiting, wait.waits, wait.interrupted), (0, 3, 1));
    });
}

#[test]
fn rate_limiter_before_the_tokens() {
    for_each_seed(|_| {
        let limiter = Arc::new(RateLimiter::new(1, SECOND));
        limiter.acquire();
        let crew = limiter_crew(&limiter);
        crew.interrupt_five();
        let start = time::now();
        yield_until("the sixth at the head", || {
            limiter.statistics().wait.waiting == 1
        });
        sleep(SECOND * 2);
        assert_eq!((crew.through.get(), crew.done.get()), (1, 1));
        assert_eq!(time::now() - start, SECOND * 2);
        crew.assert_only_the_sixth_is_done();
        assert!(limiter.try_acquire(), "the five took none");
    });
}

#[test]
fn one_that_was_granted_the_head_and_killed_passes_it_on() {
    for_each_seed(|_| {
        let limiter = Arc::new(RateLimiter::new(1, SECOND));
        limiter.acquire();
        let start = time::now();
        let ask = || {
            let ours = Arc::clone(&limiter);
            move || ours.acquire()
        };
        let victim = Arc::new(OnceLock::<JoinHandle<()>>::new());
        let (first, killer) = (ask(), Arc::clone(&victim));
        let first = spawn(move || {
            let gave_up = with_timeout(SECOND / 2, first);
            // The second has the head now, and has not run since.
            killer.get().expect("spawned").interrupt();
            gave_up.is_err()
        });
        let waiting = || limiter.statistics().wait.waiting;
        yield_until("the first", || waiting() == 1);
        victim.set(spawn(ask())).expect("set once");
        yield_until("the second", || waiting() == 2);
        let third = spawn(ask());
        yield_until("the third", || waiting() == 3);
        assert!(first.join().unwrap());
        third.join().unwrap();
        assert_eq!(time::now() - start, SECOND);
        assert_eq!(limiter.statistics().wait.interrupted, 2);
    });
}

fn limiter_crew(limiter: &Arc<RateLimiter>) -> Crew {
    let ours = Arc::clone(limiter);
    let wait = move |then: &dyn Fn()| {
        ours.acquire();
        then();
    };
    Crew::muster(wait, || limiter.statistics().wait.waiting)
}

#[test]
fn no_time_has_more_than_its_share_whatever_happens() {
    for_each_seed(|seed| {
        let rate = 1 + (seed % 5) as u32;
        let burst = 1 + (seed / 5 % 4) as u32;
        let limiter = Arc::new(RateLimiter::new(rate, SECOND).with_burst(burst));
        let start = time::now();
        let taken = Arc::new(Fifo::new());
        let crew: Vec<_> = (0..6)
            .map(|number| {
                let (limiter, taken) = (Arc::clone(&limiter), Arc::clone(&taken));
                let mut random = Random(seed << 8 | number);
                spawn(move || {
                    for _ in 0..8 {
                        let tokens = 1 + random.below(u64::from(burst)) as u32;
                        let limit = Duration::from_millis(random.below(3_000));
                        let took = match random.below(3) {
                            0 => limiter.try_acquire_many(tokens),
                            1 => with_timeout(limit, || limiter.acquire_many(tokens)).is_ok(),
                            _ => {
                                limiter.acquire_many(tokens);
                                true
                            }
                        };
                        if took {
                            taken.push((time::now() - start, tokens));
                        }
                        sleep(limit / 4);
                    }
                })
            })
            .collect();
        let mut random = Random(seed);
        for _ in 0..2 {
            sleep(Duration::from_millis(random.below(5_000)));
            crew[random.below(6) as usize].interrupt();
        }
        for sailor in crew {
            assert!(!matches!(sailor.join(), Err(JoinError::Panicked(_))));
        }
        let taken = taken.try_pop_all();
        for (from, &(begin, _)) in taken.iter().enumerate() {
            let mut sum = 0;
            for &(end, tokens) in taken.range(from..) {
                sum += u128::from(tokens);
                let share = u128::from(burst)
                    + ((end - begin).as_nanos() * u128::from(rate)).div_ceil(SECOND.as_nanos());
                assert!(sum <= share, "{sum} from {begin:?} to {end:?}");
            }
        }
        let statistics = limiter.statistics();
        let sum: u64 = taken.iter().map(|&(_, tokens)| u64::from(tokens)).sum();
        // One who is killed just after it was served does not write that down.
        assert!(statistics.acquired >= sum && statistics.acquired - sum <= 2 * u64::from(burst));
        assert_eq!(statistics.wait.waiting, 0);
    });
}
