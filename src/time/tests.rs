//! Beats and idle timers, in virtual time.

use super::{Due, IdleTimer, MissedTicks, interval, interval_at, now};
use crate::sync::Fifo;
use crate::sync::tests::{Random, for_each_seed, yield_until};
use crate::{Elapsed, JoinError, sleep, spawn, testing, with_timeout};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_beat_does_not_drift() {
    testing::run(0, || {
        let start = now();
        let mut beat = interval(SECOND);
        for number in 1..=100 {
            let tick = beat.tick();
            assert_eq!(tick.due - start, SECOND * number);
            assert_eq!(now(), tick.due);
            sleep(Duration::from_millis(u64::from(number * 37 % 1_000)));
        }
        assert_eq!(beat.statistics().missed, 0);
    });
}

/// When, in tenths of the period, ticks come and say that they were due, and how many were missed, if so many tenths pass
/// after the second.
fn ticks(missed_ticks: MissedTicks, busy: u32) -> Vec<(u128, u128, u64)> {
    testing::run(0, move || {
        let start = now();
        let tenths = |time: Instant| (time - start).as_millis() / 100;
        let beat = interval_at(start, SECOND).missed_ticks(missed_ticks);
        beat.take(6)
            .enumerate()
            .map(|(number, tick)| {
                let at = tenths(now());
                if number == 1 {
                    sleep(SECOND / 10 * busy);
                }
                (at, tenths(tick.due), tick.missed)
            })
            .collect()
    })
}

#[test]
fn missed_ticks_come_to_what_was_said() {
    let after = |missed_ticks, busy| {
        let ticks = ticks(missed_ticks, busy);
        assert_eq!(ticks[..2], [(0, 0, 0), (10, 10, 0)]);
        ticks[2..].to_vec()
    };
    assert_eq!(
        after(MissedTicks::Skip, 35),
        [(45, 40, 2), (50, 50, 0), (60, 60, 0), (70, 70, 0)]
    );
    assert_eq!(
        after(MissedTicks::Burst, 35),
        [(45, 20, 0), (45, 30, 0), (45, 40, 0), (50, 50, 0)]
    );
    assert_eq!(
        after(MissedTicks::Delay, 35),
        [(45, 20, 2), (55, 55, 0), (65, 65, 0), (75, 75, 0)]
    );
    // Late, and yet none is missed.
    for in_step in [MissedTicks::Skip, MissedTicks::Burst] {
        let expected = [(25, 20, 0), (30, 30, 0), (40, 40, 0), (50, 50, 0)];
        assert_eq!(after(in_step, 15), expected);
    }
    assert_eq!(
        after(MissedTicks::Delay, 15),
        [(25, 20, 0), (35, 35, 0), (45, 45, 0), (55, 55, 0)]
    );
}

#[test]
fn an_interrupted_tick_is_not_lost() {
    testing::run(0, || {
        let start = now();
        let mut beat = interval(SECOND);
        assert_eq!(with_timeout(SECOND / 2, || beat.tick()), Err(Elapsed));
        assert_eq!(beat.try_tick(), None);
        assert_eq!(beat.tick().due - start, SECOND);
        sleep(SECOND);
        assert_eq!(beat.try_tick().unwrap().due - start, SECOND * 2);
        beat.reset();
        sleep(SECOND / 2);
        beat.reset();
        assert_eq!(beat.tick().due - start, SECOND * 7 / 2);
        assert_eq!(beat.statistics().ticks, 3);
    });
}

#[test]
fn a_beat_works_on_a_plain_thread() {
    let start = now();
    let mut beat = interval_at(start, Duration::from_micros(10));
    let due = beat.tick().due;
    assert!(now() >= due && due >= start);
    assert!(beat.tick().due > due);
    let mut rare = interval(Duration::MAX);
    assert_eq!(with_timeout(Duration::ZERO, || rare.tick()), Err(Elapsed));
}

#[test]
fn at_least_so_often_if_not_sooner() {
    testing::run(0, || {
        let timer = Arc::new(IdleTimer::new(SECOND * 10));
        let start = now();
        let log = spawn({
            let timer = Arc::clone(&timer);
            move || [0; 4].map(|_| (timer.wait(), (now() - start).as_secs()))
        });
        sleep(SECOND * 14);
        timer.hurry();
        sleep(SECOND * 3);
        // Something was done that serves as well, at 17 and at 21.
        timer.touch();
        sleep(SECOND * 4);
        timer.touch();
        let expected = [
            (Due::Elapsed, 10),
            (Due::Sooner, 14),
            (Due::Elapsed, 31),
            (Due::Elapsed, 41),
        ];
        assert_eq!(log.join().unwrap(), expected);
        let statistics = timer.statistics();
        assert_eq!((statistics.elapsed, statistics.sooner), (3, 1));
    });
}

#[test]
fn a_hurry_is_remembered_once() {
    testing::run(0, || {
        let timer = IdleTimer::new(SECOND);
        timer.hurry();
        timer.hurry();
        assert_eq!(timer.try_wait(), Some(Due::Sooner));
        assert_eq!(timer.try_wait(), None);
        let start = now();
        timer.hurry();
        assert_eq!((timer.wait(), now() - start), (Due::Sooner, Duration::ZERO));
        assert_eq!((timer.wait(), now() - start), (Due::Elapsed, SECOND));
    });
}

#[test]
fn who_is_always_late_starves_nobody() {
    for_each_seed(|_| {
        let mut beat = interval(SECOND / 20).missed_ticks(MissedTicks::Burst);
        let timers = [(); 20].map(|()| IdleTimer::new(SECOND));
        sleep(SECOND);
        let turns = Arc::new(Fifo::new());
        let others = Arc::clone(&turns);
        let other = spawn(move || {
            loop {
                others.push(());
                crate::yield_now();
            }
        });
        (0..20).for_each(|_| _ = beat.tick());
        let after_ticks = turns.len();
        assert!(after_ticks > 0, "its turn came between the ticks");
        for timer in &timers {
            assert_eq!(timer.wait(), Due::Elapsed);
        }
        assert!(turns.len() > after_ticks, "and between the waits");
        other.interrupt();
    });
}

#[test]
fn outer_timeouts_and_kills_pass_through() {
    for_each_seed(|_| {
        let start = now();
        let timer = Arc::new(IdleTimer::new(SECOND * 10));
        assert_eq!(with_timeout(SECOND, || timer.wait()), Err(Elapsed));
        let waiters: Vec<_> = (0..6)
            .map(|number| {
                let ours = Arc::clone(&timer);
                let waiter = spawn(move || ours.wait());
                yield_until("one more", || timer.statistics().waiting == number + 1);
                waiter
            })
            .collect();
        waiters[..5].iter().for_each(|waiter| waiter.interrupt());
        timer.hurry();
        for (number, waiter) in waiters.into_iter().enumerate() {
            match waiter.join() {
                Ok(due) => assert_eq!((number, due), (5, Due::Sooner)),
                Err(JoinError::Interrupted) => assert!(number < 5),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(timer.try_wait(), None, "the hurry was for the sixth");
        assert_eq!(now() - start, SECOND, "which it reached at once");
    });
}

#[test]
fn it_is_due_as_often_as_it_should_whoever_waits() {
    for_each_seed(|seed| {
        let timer = Arc::new(IdleTimer::new(SECOND));
        let start = now();
        let dues = Arc::new(Fifo::new());
        let crew: Vec<_> = (0..4)
            .map(|number| {
                let (timer, dues) = (Arc::clone(&timer), Arc::clone(&dues));
                let mut random = Random(seed << 8 | number);
                spawn(move || {
                    loop {
                        let limit = Duration::from_millis(random.below(1_500));
                        // In the closure, so that it is written down whatever comes after.
                        let _ = with_timeout(limit, || dues.push((timer.wait(), now() - start)));
                    }
                })
            })
            .collect();
        let mut random = Random(seed);
        let mut hurried = 0;
        for _ in 0..20 {
            sleep(Duration::from_millis(random.below(1_000)));
            match random.below(4) {
                0 => timer.touch(),
                // What was not taken yet is the same one.
                1 if dues.len() as u64 == timer.statistics().elapsed + hurried => {
                    timer.hurry();
                    hurried += 1;
                }
                2 => crew[random.below(3) as usize].interrupt(),
                _ => {}
            }
        }
        sleep(SECOND * 10);
        let statistics = timer.statistics();
        crew.iter().for_each(|waiter| waiter.interrupt());
        for waiter in crew {
            assert!(matches!(waiter.join(), Err(JoinError::Interrupted)));
        }
        let dues = dues.try_pop_all();
        let sooner = dues.iter().filter(|(due, _)| *due == Due::Sooner).count();
        assert_eq!(sooner as u64, hurried, "each hurry is one wait's");
        assert_eq!(statistics.sooner, hurried);
        assert_eq!(statistics.elapsed, (dues.len() - sooner) as u64);
        // Untouched for ten seconds at the end, and the one that is left needs at most 1.5 seconds to come back.
        assert!(dues.back().unwrap().1 + SECOND * 3 > now() - start);
    });
}
