//! The half on the processor: a program that burns known shares of it.

mod common;

use std::time::Duration;

use common::{alone, below, burner, group, on_two_workers};
use grapeshot::profile::RUNTIME;
use grapeshot::{Builder, Placement};
use grapeshot_profiler::{Options, Stack, run};

burner!(find_a_path);
burner!(write_a_page);
burner!(draw_a_map);

#[cfg(target_os = "linux")]
#[test]
fn the_processor_time_of_functions_and_groups_is_right() {
    let _alone = alone();
    let ((), profile) = on_two_workers(|| {
        let burn = || {
            let ms = Duration::from_millis;
            let there = |name: &str, worker| {
                Builder::new()
                    .name(name)
                    .placement(Placement::Worker(worker))
            };
            let all = [
                there("npc-1", 0).spawn(move || find_a_path(ms(300))),
                there("npc-2", 1).spawn(move || find_a_path(ms(200))),
                there("page-7", 0).spawn(move || write_a_page(ms(300))),
                there("map", 1).spawn(move || {
                    draw_a_map(ms(300));
                    write_a_page(ms(100));
                }),
            ];
            for coroutine in all {
                coroutine.join().unwrap();
            }
        };
        run(Options::new(), burn).unwrap()
    });
    let total: u64 = profile.on.iter().map(|stack| stack.nanos).sum();
    let share = |nanos: u64| nanos as f64 / total as f64;
    for (function, milliseconds) in [
        ("find_a_path", 500.0),
        ("write_a_page", 400.0),
        ("draw_a_map", 300.0),
    ] {
        let found = share(below(&profile, &profile.on, function));
        let off = (found - milliseconds / 1_200.0).abs();
        assert!(
            off < 0.02,
            "{function} has {found:.3} of {total} ns, {off:.3} off"
        );
    }
    for (name, milliseconds) in [("npc-*", 500.0), ("page-*", 300.0), ("map", 400.0)] {
        let sampled = profile
            .on
            .iter()
            .filter(|stack| profile.group(stack.group) == name);
        let found = share(sampled.map(|stack| stack.nanos).sum());
        let off = (found - milliseconds / 1_200.0).abs();
        assert!(
            off < 0.02,
            "{name} has {found:.3} of {total} ns, {off:.3} off"
        );
        // Exact, by the clock on the wall, of which others may have had some.
        assert!(
            group(&profile, name).cpu as f64 >= milliseconds * 0.999e6,
            "{name}"
        );
    }
    assert_eq!(group(&profile, "npc-*").coroutines, 2);
    assert_eq!(profile.lost.samples, 0);
    let own = profile
        .frames
        .iter()
        .filter(|frame| profile.string(frame.function).ends_with("find_a_path"));
    assert!(own.clone().count() > 0 && own.clone().all(|frame| frame.own));
}

/// In a test of its own process-wide profile, whatever is in the way of the handler must not matter: the allocator's locks
/// are held all the time.
#[cfg(target_os = "linux")]
#[test]
fn signals_inside_malloc_do_no_harm() {
    #[inline(never)]
    fn churn(time: Duration) -> usize {
        let end = common::used() + time;
        let (mut kept, mut rounds) = (Vec::new(), 0_usize);
        while common::used() < end {
            for size in 0..200 {
                kept.push(std::hint::black_box(vec![
                    1_u8;
                    1 + rounds * 7919
                        % (1 + size * 97)
                ]));
                rounds += 1;
            }
            // The oldest go first, so blocks are split and joined.
            kept.drain(..kept.len() / 2);
        }
        rounds
    }
    let _alone = alone();
    let ((), profile) = on_two_workers(|| {
        let burn = || {
            let churns = [0, 1].map(|worker| {
                let there = Builder::new()
                    .name("churn")
                    .placement(Placement::Worker(worker));
                there.spawn(|| churn(Duration::from_millis(200)))
            });
            for churn in churns {
                assert!(churn.join().unwrap() > 0);
            }
        };
        run(Options::new().hertz(10_000), burn).unwrap()
    });
    let its = |stack: &&Stack| profile.group(stack.group) == "churn";
    let total: u64 = profile.on.iter().filter(its).map(|stack| stack.nanos).sum();
    assert!(total >= 380_000_000, "{total}");
    // What the C library does has no frame pointers, and yet it is known who called it.
    let found = below(&profile, profile.on.iter().filter(its), "churn");
    assert!(found as f64 > 0.95 * total as f64, "{found} of {total}");
}

/// A worker that sleeps nearly all the time. The ticks find it asleep, and yet what it does in between has the time.
#[cfg(target_os = "linux")]
#[test]
fn what_runs_between_two_sleeps_has_the_time_and_not_the_sleep() {
    const ROUNDS: u32 = 400;
    let _alone = alone();
    let burn = Duration::from_micros(200);
    let (used, profile) = on_two_workers(move || {
        let there = Builder::new().name("step").placement(Placement::Worker(1));
        let steps = move || {
            let step = there.spawn(move || {
                let before = common::used();
                for _ in 0..ROUNDS {
                    grapeshot::sleep(Duration::from_millis(2));
                    find_a_path(burn);
                }
                common::used() - before
            });
            step.join().unwrap()
        };
        run(Options::new().hertz(5_000), steps).unwrap()
    });
    let on = |stack: &&Stack| stack.worker == 1;
    let total: u64 = profile.on.iter().filter(on).map(|stack| stack.nanos).sum();
    let found = below(&profile, profile.on.iter().filter(on), "find_a_path");
    let truth = (burn * ROUNDS).as_nanos() as f64 / used.as_nanos() as f64;
    let share = found as f64 / total as f64;
    assert!(
        share > 0.85 * truth && share > 0.3,
        "{share:.3} of {total} ns, and it was {truth:.3} of {used:?}"
    );
    let asleep = below(&profile, profile.on.iter().filter(on), "epoll_wait");
    assert!(asleep * 5 < total, "{asleep} of {total} ns");
    // Nothing is lost on the way: what was used in a sleep, or before it, goes to the sample after it.
    assert!(
        total as f64 > 0.8 * (burn * ROUNDS).as_nanos() as f64,
        "{total} ns of {used:?}"
    );
}

/// Runs of less than a microsecond, and between them the worker does as much again: each has its own, exactly and in samples.
#[cfg(target_os = "linux")]
#[test]
fn what_a_worker_does_between_two_runs_is_its_own() {
    let _alone = alone();
    let ((), profile) = on_two_workers(|| {
        let steps = || {
            let steps = [1, 2].map(|number| {
                let there = Builder::new().name(format!("step-{number}"));
                there.placement(Placement::Worker(1)).spawn(|| {
                    let end = common::used() + Duration::from_millis(600);
                    while common::used() < end {
                        (0..1_000).for_each(|_| grapeshot::yield_now());
                    }
                })
            });
            for step in steps {
                step.join().unwrap();
            }
        };
        run(Options::new(), steps).unwrap()
    });
    let sampled = |name: &str| -> u64 {
        let its = |stack: &&Stack| stack.worker == 1 && profile.group(stack.group) == name;
        profile.on.iter().filter(its).map(|stack| stack.nanos).sum()
    };
    let (step, runtime) = (group(&profile, "step-*").cpu, group(&profile, RUNTIME).cpu);
    let busy: u64 = profile.workers.iter().map(|worker| worker.busy).sum();
    let samples = sampled("step-*") as f64 / (sampled("step-*") + sampled(RUNTIME)) as f64;
    let exact = step as f64 / profile.workers[1].busy as f64;
    // Without a part of its own it would have nearly nothing, whatever else the machine does meanwhile.
    assert!(samples < 0.8, "sampled {samples:.3}");
    assert!(exact < 0.8, "measured {exact:.3}, sampled {samples:.3}");
    assert!(step + runtime <= busy && profile.cpu() + runtime >= busy / 100 * 99);
    // How its thread began says nothing.
    assert_eq!(below(&profile, &profile.on, "thread_start"), 0);
}
