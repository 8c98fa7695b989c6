//! The half off the processor, and what is exact.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{alone, burner, group, on_two_workers};
use grapeshot::sync::{Mutex, channel};
use grapeshot::{Builder, Placement, sleep, spawn, yield_now};
use grapeshot_profiler::{Options, Profile, QUEUED, StartError, run, start, stop};

burner!(compute);

/// Time that a group waited, that in the queue left out: in all, and for `kind` below `function`.
fn waited(profile: &Profile, name: &str, kind: &str, function: &str) -> (u64, u64) {
    let (mut all, mut right) = (0, 0);
    for stack in &profile.off {
        let its = profile.string(stack.kind.unwrap());
        if profile.group(stack.group) != name || its == QUEUED {
            continue;
        }
        all += stack.nanos;
        let mut functions = stack.frames.iter().map(|&frame| profile.function(frame));
        if its == kind && functions.any(|it| it.contains(function)) {
            right += stack.nanos;
        }
    }
    (all, right)
}

#[inline(never)]
fn wait_for_the_world(world: &Mutex<u32>) {
    *world.lock() += 1;
}

#[inline(never)]
fn take_an_order(orders: &channel::Receiver<u32>) -> Option<u32> {
    orders.recv().ok()
}

#[inline(never)]
fn doze() {
    sleep(Duration::from_millis(30));
}

#[test]
fn each_wait_is_charged_to_what_it_was_for() {
    let _alone = alone();
    let ((), profile) = on_two_workers(|| {
        let work = || {
            let world = Arc::new(Mutex::new(0));
            let (send, orders) = channel::unbounded();
            let held = world.lock();
            let locked: Vec<_> = (0..4)
                .map(|number| {
                    let world = Arc::clone(&world);
                    Builder::new()
                        .name(format!("npc-{number}"))
                        .spawn(move || wait_for_the_world(&world))
                })
                .collect();
            let cook = Builder::new()
                .name("cook")
                .spawn(move || while take_an_order(&orders).is_some() {});
            let cat = Builder::new()
                .name("cat")
                .spawn(|| (0..2).for_each(|_| doze()));
            cat.join().unwrap();
            send.send(1).unwrap();
            drop((held, send));
            locked.into_iter().for_each(|it| it.join().unwrap());
            cook.join().unwrap();
        };
        run(Options::new(), work).unwrap()
    });
    for (name, kind, function) in [
        ("npc-*", "mutex", "wait_for_the_world"),
        ("cook", "channel recv", "take_an_order"),
        ("cat", "sleep", "doze"),
        ("main", "join", "join"),
    ] {
        let (all, right) = waited(&profile, name, kind, function);
        assert!(
            right > 0 && right as f64 >= all as f64 * 0.99,
            "{name}: {right} of {all}"
        );
        let exact = group(&profile, name).waits.iter();
        let exact: u64 = exact
            .filter(|it| profile.string(it.0) == kind)
            .map(|it| it.1)
            .sum();
        assert_eq!(
            exact.abs_diff(right) / 1_000_000,
            0,
            "{name}: {right} ns of stacks, {exact} ns exact"
        );
    }
    let slept = waited(&profile, "cat", "sleep", "doze").1;
    assert!(slept >= 59_000_000, "two dozes of 30 ms took {slept} ns");
    let woke = |from: &str, to: &str| {
        let mut edges = profile.wakes.iter();
        edges.any(|it| profile.group(it.from) == from && profile.group(it.to) == to)
    };
    assert!(woke("(timer)", "cat") && woke("main", "cook") && woke("cat", "main"));
    assert!(woke("main", "npc-*"), "who gave up the lock woke the first");
    assert_eq!(profile.lost.events, 0);
}

#[test]
fn time_in_the_queue_is_told_from_the_wait() {
    let _alone = alone();
    let ((), profile) = on_two_workers(|| {
        let work = || {
            let there = |name: &str| Builder::new().name(name).placement(Placement::Worker(1));
            let (send, orders) = channel::unbounded();
            let (ready, is_ready) = channel::bounded(1);
            let patient = there("patient").spawn(move || {
                ready.send(()).unwrap();
                take_an_order(&orders)
            });
            is_ready.recv().unwrap();
            // Its order comes while another one computes on its worker.
            let selfish = there("selfish").spawn(move || {
                send.send(7).unwrap();
                compute(Duration::from_millis(100));
            });
            assert_eq!(patient.join().unwrap(), Some(7));
            selfish.join().unwrap();
        };
        run(Options::new().hertz(0), work).unwrap()
    });
    let patient = group(&profile, "patient");
    let queued = patient
        .waits
        .iter()
        .find(|it| profile.string(it.0) == QUEUED)
        .unwrap();
    assert!(queued.1 >= 99_000_000, "{} ns", queued.1);
    assert!(profile.on.is_empty() && profile.hertz == 0);
    let in_line = |stack: &&grapeshot_profiler::Stack| {
        profile.group(stack.group) == "patient" && profile.string(stack.kind.unwrap()) == QUEUED
    };
    let stack = profile
        .off
        .iter()
        .filter(in_line)
        .max_by_key(|it| it.nanos)
        .unwrap();
    let mut functions = stack.frames.iter().map(|&frame| profile.function(frame));
    assert!(functions.any(|it| it.contains("take_an_order")));
}

#[test]
fn who_still_waits_at_the_end_is_charged() {
    const WAITERS: u64 = 300;
    let _alone = alone();
    on_two_workers(|| {
        let (send, orders) = channel::unbounded::<u32>();
        let orders = Arc::new(orders);
        let waiters: Vec<_> = (0..WAITERS)
            .map(|number| {
                let orders = Arc::clone(&orders);
                Builder::new()
                    .name(format!("waiter-{number}"))
                    .spawn(move || take_an_order(&orders))
            })
            .collect();
        let waits = |info: &grapeshot::registry::CoroutineInfo| {
            info.waits_for
                .is_some_and(|it| it.operation == "channel recv")
        };
        let begun = Instant::now();
        while grapeshot::registry::coroutines()
            .iter()
            .filter(|it| waits(it))
            .count()
            < WAITERS as usize
        {
            assert!(begun.elapsed() < Duration::from_secs(60));
            yield_now();
        }
        let profiled = Instant::now();
        let ((), profile) = run(Options::new(), || compute(Duration::from_millis(20))).unwrap();
        let at_most = profiled.elapsed().as_nanos() as u64 * WAITERS;
        let waiters_group = group(&profile, "waiter-*");
        assert_eq!((waiters_group.coroutines, waiters_group.cpu), (WAITERS, 0));
        let (all, right) = waited(&profile, "waiter-*", "channel recv", "take_an_order");
        assert!(right as f64 >= all as f64 * 0.99, "{right} of {all}");
        assert!((20_000_000 * WAITERS..at_most).contains(&all), "{all}");
        drop(send);
        waiters
            .into_iter()
            .for_each(|it| assert_eq!(it.join().unwrap(), None));
    });
}

#[test]
fn a_storm_of_spawns_is_counted_to_the_last() {
    const STORM: u64 = 20_000;
    let _alone = alone();
    let ((), profile) = on_two_workers(|| {
        let storm = || {
            let storms = [0, 1].map(|worker| {
                Builder::new()
                    .name("cloud")
                    .placement(Placement::Worker(worker))
                    .spawn(|| {
                        for batch in 0..STORM / 2 / 100 {
                            let drops = (0..100).map(|drop| {
                                let name = format!("drop-{batch}-{drop}");
                                Builder::new().name(name).spawn(yield_now)
                            });
                            let drops: Vec<_> = drops.collect();
                            drops.into_iter().for_each(|it| it.join().unwrap());
                        }
                    })
            });
            storms.into_iter().for_each(|it| it.join().unwrap());
        };
        run(Options::new().hertz(5_000), storm).unwrap()
    });
    let drops = group(&profile, "drop-*-*");
    assert_eq!(drops.coroutines, STORM);
    assert_eq!(drops.switches, 2 * STORM);
    assert!(profile.timeline.len() <= 4 * 10_000);
    assert!(profile.timeline.is_sorted_by_key(|it| it.from));
    let kinds: Vec<_> = drops.waits.iter().map(|it| profile.string(it.0)).collect();
    assert_eq!(kinds, [QUEUED]);
}

#[test]
fn it_starts_and_stops_any_number_of_times() {
    let _alone = alone();
    on_two_workers(|| {
        let busy = Builder::new().name("busy").spawn(|| {
            loop {
                compute(Duration::from_millis(1));
                yield_now();
            }
        });
        for round in 0..40 {
            start(Options::new()).unwrap();
            assert!(matches!(start(Options::new()), Err(StartError::Running)));
            // Coroutines end while it is taken, and others begin.
            let short = spawn(|| compute(Duration::from_micros(200)));
            if round % 2 == 0 {
                short.join().unwrap();
            }
            let profile = stop().unwrap();
            assert!(stop().is_err());
            assert_eq!(group(&profile, "busy").coroutines, 1, "round {round}");
        }
        let unwound = std::panic::catch_unwind(|| run(Options::new(), || panic!("as planned")));
        assert!(unwound.is_err() && !grapeshot_profiler::is_running());
        busy.interrupt();
        assert!(busy.join().is_err());
    });
}

#[test]
fn workers_that_start_later_are_in_it() {
    let _alone = alone();
    start(Options::new()).unwrap();
    on_two_workers(|| {
        let late = Builder::new()
            .name("late")
            .spawn(|| compute(Duration::from_millis(50)));
        late.join().unwrap();
    });
    // Their threads have ended.
    let profile = stop().unwrap();
    assert_eq!(group(&profile, "late").coroutines, 1);
    assert!(profile.workers.len() >= 2);
    if cfg!(target_os = "linux") {
        let sampled = common::below(&profile, &profile.on, "compute");
        assert!((40_000_000..60_000_000).contains(&sampled), "{sampled}");
    }
}
