//! The virtual clock and the seeded order.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{HOUR, MS, SECOND, simulate};
use crate::net::UnixStream;
use crate::sync::Event;
use crate::testing::Simulation;
use crate::{
    Elapsed, JoinError, sleep, sleep_until, spawn, testing, time, with_timeout, yield_now,
};

/// What 10 coroutines do, 5 turns each, in the order in which they do it.
fn trace(seed: u64) -> Vec<(u32, u32)> {
    let log = Arc::new(Mutex::new(vec![]));
    let inner = log.clone();
    testing::run(seed, move || {
        let children: Vec<_> = (0..10)
            .map(|number| {
                let log = inner.clone();
                spawn(move || {
                    for turn in 0..5 {
                        log.lock().push((number, turn));
                        if turn % 2 == 0 {
                            yield_now()
                        } else {
                            sleep(MS)
                        }
                    }
                })
            })
            .collect();
        for child in children {
            child.join().unwrap();
        }
    });
    Arc::into_inner(log).expect("all have ended").into_inner()
}

#[test]
fn the_same_seed_gives_the_same_order_and_others_give_others() {
    let mut orders = HashSet::new();
    for seed in 0..100 {
        let order = trace(seed);
        assert_eq!(order, trace(seed), "seed {seed}");
        assert_eq!(order.len(), 50);
        orders.insert(order);
    }
    assert!(
        orders.len() > 95,
        "only {} different orders of 100",
        orders.len()
    );
}

#[test]
fn timers_fire_in_the_order_of_their_times() {
    simulate(|| {
        let start = time::now();
        let log = Arc::new(Mutex::new(vec![]));
        // Far apart and close together, so that they live in different parts of the wheel.
        let delays: Vec<_> = (0..40_u64)
            .map(|n| Duration::from_micros(1 + n * n * n * n * 977))
            .collect();
        let children: Vec<_> = delays
            .iter()
            .rev()
            .map(|&delay| {
                let log = log.clone();
                spawn(move || {
                    sleep(delay);
                    log.lock().push(delay);
                    assert_eq!(time::now() - start, delay);
                })
            })
            .collect();
        for child in children {
            child.join().unwrap();
        }
        assert_eq!(*log.lock(), delays);
    });
}

#[test]
fn hours_cost_nothing() {
    let real = Instant::now();
    testing::run(1, || {
        let start = time::now();
        for _ in 0..10_000 {
            sleep(HOUR);
        }
        assert_eq!(time::now() - start, 10_000 * HOUR);
        sleep_until(start + 20_000 * HOUR);
        sleep_until(start);
        assert_eq!(time::now() - start, 20_000 * HOUR);
    });
    assert!(real.elapsed() < 60 * SECOND, "{:?}", real.elapsed());
}

#[test]
fn real_sockets_work_beside_the_virtual_clock() {
    simulate(|| {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let echo = spawn(move || {
            let mut chunk = [0; 16];
            loop {
                match far.read(&mut chunk).unwrap() {
                    0 => return,
                    count => far.write_all(&chunk[..count]).unwrap(),
                }
            }
        });
        for _ in 0..20 {
            let mut answer = [0; 5];
            let start = time::now();
            near.write_all(b"hello").unwrap();
            with_timeout(SECOND, || near.read_exact(&mut answer))
                .unwrap()
                .unwrap();
            assert_eq!(
                time::now(),
                start,
                "no timer overtakes what is on its way within the process"
            );
            assert_eq!(&answer, b"hello");
            sleep(SECOND);
        }
        drop(near);
        echo.join().unwrap();
    });
}

/// A simulation with some patience, so that the test need not wait as long as a program would.
fn impatient(patience: Duration) -> Simulation {
    Simulation::new(7).patience(patience)
}

#[test]
fn a_stuck_one_is_reported_and_interrupted() {
    let result = std::panic::catch_unwind(|| {
        impatient(20 * MS).run(|| {
            let stuck = spawn(|| Event::new().wait());
            let unwound = matches!(stuck.join(), Err(JoinError::Interrupted));
            unreachable!("the main coroutine waits as well, and is interrupted: {unwound}")
        });
    });
    let payload = result.expect_err("nothing can ever happen any more");
    assert!(
        payload
            .downcast_ref::<String>()
            .expect("a message")
            .contains("interrupted")
    );
}

/// What comes from outside may take its time, and what wakes the poller for nothing does not shorten that.
#[test]
fn one_that_waits_for_the_outside_is_not_stuck() {
    let (near, far) = UnixStream::pair().unwrap();
    let (mut ready, tell) = std::os::unix::net::UnixStream::pair().unwrap();
    let outside = std::thread::spawn(move || {
        ready.read_exact(&mut [0]).unwrap();
        // Filled and drained: that makes events for writing, which nobody waits for.
        for _ in 0..50 {
            let mut pending = [0; 4096];
            while far.try_read(&mut pending).is_ok_and(|count| count > 0) {}
            std::thread::yield_now();
        }
        (&far).write_all(b"x").unwrap();
        far
    });
    let answer = impatient(10 * SECOND).run(move || {
        while near.try_write(&[0; 4096]).is_ok() {}
        (&tell).write_all(b"x").unwrap();
        let mut answer = [0; 1];
        (&near).read_exact(&mut answer).unwrap();
        answer
    });
    assert_eq!(&answer, b"x");
    drop(outside.join().unwrap());
}

#[test]
fn a_timeout_of_the_simulation_is_virtual_too() {
    simulate(|| {
        let start = time::now();
        assert_eq!(
            with_timeout(24 * HOUR, || Event::new().wait()),
            Err(Elapsed)
        );
        assert_eq!(time::now() - start, 24 * HOUR);
    });
}

/// Who yields until a timer has fired gets there in a simulation as well.
#[test]
fn time_passes_for_those_who_only_yield() {
    let took = testing::run(1, || {
        let start = time::now();
        while time::now() - start < Duration::from_secs(1) {
            let _ = with_timeout(Duration::from_millis(300), || {
                loop {
                    yield_now();
                }
            });
        }
        time::now() - start
    });
    assert!(took < Duration::from_secs(2));
}
