//! What is allocated: programs that allocate known shares of it.

mod common;

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use common::{alone, group, on_two_workers};
use grapeshot::{Builder, Placement, yield_now};
use grapeshot_profiler::{Allocator, Form, Half, Options, Profile, Stack, run};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator::system();

const MEGABYTES: usize = 1_000_000;
/// Bytes between samples: small, so that there are many, and large enough that they are collected in time.
const EVERY: u64 = 16_384;

fn options() -> Options {
    Options::new().hertz(0).allocations(EVERY)
}

/// Many small ones.
#[inline(never)]
fn make_notes(bytes: usize) {
    for _ in 0..bytes / 64 {
        drop(black_box(Box::new([7_u8; 64])));
    }
}

/// Few large ones, zeroed.
#[inline(never)]
fn make_maps(bytes: usize) {
    for _ in 0..bytes / 100_000 {
        drop(black_box(vec![0_u8; 100_000]));
    }
}

/// One that grows, and grows.
#[inline(never)]
fn make_lists(bytes: usize) {
    for _ in 0..bytes / 8_000 {
        let mut list = Vec::with_capacity(10);
        for number in 0..100 {
            list.reserve_exact(10);
            list.extend([number as u64; 10]);
        }
        assert_eq!(black_box(list).capacity(), 1_000);
    }
}

/// Bytes and allocations of some stacks, below a function.
fn below<'a>(
    profile: &Profile,
    stacks: impl IntoIterator<Item = &'a Stack>,
    function: &str,
) -> (u64, u64) {
    let functions = profile.functions(stacks);
    let named = functions
        .iter()
        .filter(|it| profile.string(it.name).ends_with(function));
    named.fold((0, 0), |sum, it| {
        (sum.0 + it.total.nanos, sum.1 + it.total.count)
    })
}

fn of<'a>(profile: &'a Profile, name: &'a str) -> impl Iterator<Item = &'a Stack> {
    let stacks = profile.allocated.stacks.iter();
    stacks.filter(move |stack| profile.group(stack.group) == name)
}

#[track_caller]
fn near(found: u64, truth: usize, within: f64, what: &str) {
    let off = (found as f64 / truth as f64 - 1.0).abs();
    assert!(
        off < within,
        "{what}: {found}, and it was {truth}, {off:.3} off"
    );
}

#[test]
fn what_functions_and_groups_allocate_is_right() {
    let _alone = alone();
    let ((), profile) = on_two_workers(|| {
        let allocate = || {
            let there = |name: &str, worker| {
                Builder::new()
                    .name(name)
                    .placement(Placement::Worker(worker))
            };
            let all = [
                there("npc-1", 0).spawn(|| make_notes(100 * MEGABYTES)),
                there("npc-2", 1).spawn(|| make_lists(50 * MEGABYTES)),
                there("page-7", 0).spawn(|| make_maps(150 * MEGABYTES)),
                there("map", 1).spawn(|| {
                    make_maps(50 * MEGABYTES);
                    make_notes(50 * MEGABYTES);
                }),
            ];
            for coroutine in all {
                coroutine.join().unwrap();
            }
        };
        run(options(), allocate).unwrap()
    });
    assert_eq!(profile.lost.allocations, 0);
    assert_eq!(profile.allocated.every, EVERY);
    // One of 100,000 bytes has several of the sampled bytes, and is one sample.
    let expected = 200 * MEGABYTES / EVERY as usize + 2_000;
    near(profile.allocated.samples, expected, 0.06, "samples");
    let all = &profile.allocated.stacks;
    // Each has thousands of samples, so one standard deviation is at most 1.8 %.
    for (function, megabytes, each) in [
        ("make_notes", 150, 64),
        ("make_maps", 200, 100_000),
        ("make_lists", 50, 80),
    ] {
        let (bytes, times) = below(&profile, all, function);
        near(bytes, megabytes * MEGABYTES, 0.09, function);
        let truth = megabytes * MEGABYTES / each;
        near(times, truth, 0.09, function);
    }
    for (name, megabytes) in [("npc-*", 150), ("page-*", 150), ("map", 100)] {
        let bytes = of(&profile, name).map(|it| it.nanos).sum();
        near(bytes, megabytes * MEGABYTES, 0.09, name);
    }
    assert_eq!(group(&profile, "npc-*").coroutines, 2);
    near(profile.allocated.bytes(), 400 * MEGABYTES, 0.05, "all");
    // Whoever wants memory is at the end of a stack, and not who gives it.
    let innermost = |stack: &Stack| profile.function(*stack.frames.last().unwrap());
    for stack in of(&profile, "page-*") {
        let name = innermost(stack);
        assert!(
            name.contains("from_elem") || name.contains("RawVec"),
            "{name}"
        );
    }
    let folded = profile.folded(Half::Allocated);
    let sum = |name: &str| -> u64 {
        let lines = folded.lines().filter(|line| line.contains(name));
        lines
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
            .sum()
    };
    assert_eq!(
        sum("make_notes"),
        below(&profile, all, "make_notes").0,
        "the folded stacks are in bytes"
    );
    let json = Form::of("x.json").unwrap().text(&profile);
    let read = Profile::from_json(&json).unwrap();
    assert_eq!(read.allocated, profile.allocated);
}

#[test]
fn one_large_allocation_is_told_exactly() {
    let _alone = alone();
    let ((), profile) = on_two_workers(|| run(options(), || make_maps(100_000)).unwrap());
    // It has more than six of the sampled bytes, so it is missed once in 400 times.
    let (bytes, times) = below(&profile, &profile.allocated.stacks, "make_maps");
    assert!(bytes == 0 || (bytes, times) == (100_224, 1), "{bytes}");
}

#[test]
fn what_nobody_asked_for_is_not_there() {
    let _alone = alone();
    let take =
        |options: Options| on_two_workers(|| run(options, || make_notes(MEGABYTES)).unwrap());
    let ((), profile) = take(Options::new());
    assert_eq!(profile.allocated.every, 0);
    assert_eq!(profile.allocated.stacks, []);
    let ((), profile) = take(options());
    assert!(profile.allocated.bytes() > 0);
    let ((), profile) = take(Options::new());
    assert_eq!(profile.allocated.stacks, []);
}

#[test]
fn plain_threads_are_in_it_from_their_first_allocation_to_their_last() {
    /// What a thread keeps to its end allocates even there.
    struct Late;
    impl Drop for Late {
        fn drop(&mut self) {
            make_maps(20 * MEGABYTES);
        }
    }
    thread_local!(static LATE: Late = const { Late });
    let _alone = alone();
    let ((), profile) = on_two_workers(|| {
        let allocate = || {
            let threads = [0; 4].map(|_| {
                thread::spawn(|| {
                    LATE.with(|_| {});
                    make_notes(10 * MEGABYTES);
                })
            });
            for thread in threads {
                grapeshot::unblock(move || thread.join().unwrap()).unwrap();
            }
            grapeshot::unblock(|| make_lists(40 * MEGABYTES)).unwrap();
        };
        run(options(), allocate).unwrap()
    });
    assert_eq!(profile.lost.allocations, 0);
    for (function, megabytes) in [("make_notes", 40), ("make_maps", 80), ("make_lists", 40)] {
        let (bytes, _) = below(&profile, of(&profile, "(thread)"), function);
        near(bytes, megabytes * MEGABYTES, 0.1, function);
    }
    let stacks = of(&profile, "(thread)").filter(|stack| stack.nanos > MEGABYTES as u64);
    let begins = |stack: &Stack| {
        stack
            .frames
            .iter()
            .any(|&it| profile.function(it).contains("thread"))
    };
    assert!(
        stacks.into_iter().all(begins),
        "stacks go down to where threads begin"
    );
}

#[test]
fn without_workers_there_is_the_thread_that_asks() {
    let _alone = alone();
    let ((), profile) = run(options(), || make_maps(50 * MEGABYTES)).unwrap();
    let (bytes, times) = below(&profile, of(&profile, "(thread)"), "make_maps");
    near(bytes, 50 * MEGABYTES, 0.05, "bytes");
    near(times, 500, 0.05, "times");
}

/// Coroutines that come and go: what each allocated is there when it is long gone.
#[test]
fn a_storm_of_spawns_loses_nothing() {
    const CROWD: usize = 30_000;
    #[inline(never)]
    fn burst() {
        make_notes(2_000);
        yield_now();
        make_maps(100_000);
    }
    let _alone = alone();
    let ((), profile) = on_two_workers(|| {
        let storm = || {
            for _ in 0..CROWD / 300 {
                let crowd = (0..300).map(|number| {
                    let name = format!("burst-{number}");
                    Builder::new().name(name).spawn(burst)
                });
                let crowd: Vec<_> = crowd.collect();
                crowd.into_iter().for_each(|it| it.join().unwrap());
            }
        };
        run(options().allocations(1 << 20), storm).unwrap()
    });
    assert_eq!(profile.lost.allocations, 0);
    assert_eq!(group(&profile, "burst-*").coroutines, CROWD as u64);
    let (bytes, _) = below(&profile, of(&profile, "burst-*"), "make_maps");
    near(bytes, CROWD * 100_000, 0.1, "make_maps");
    let its: u64 = of(&profile, "burst-*").map(|it| it.nanos).sum();
    let everywhere = below(&profile, &profile.allocated.stacks, "burst").0;
    assert!(
        its >= everywhere,
        "none of it is charged to somebody else: {everywhere} of {its}"
    );
}

/// Profiles begin and end while everybody allocates: each has its own samples and no others.
#[test]
fn profiles_begin_and_end_in_the_midst_of_it() {
    let _alone = alone();
    on_two_workers(|| {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let is_over = move |stop: &std::sync::atomic::AtomicBool| {
            stop.load(std::sync::atomic::Ordering::Relaxed)
        };
        let busy = [0, 1].map(|worker| {
            let stop = stop.clone();
            let there = Builder::new()
                .name("busy")
                .placement(Placement::Worker(worker));
            there.spawn(move || {
                while !is_over(&stop) {
                    make_notes(64_000);
                    Builder::new()
                        .name("brief")
                        .spawn(|| make_notes(64_000))
                        .join()
                        .unwrap();
                }
            })
        });
        let thread = {
            let stop = stop.clone();
            thread::spawn(move || {
                while !is_over(&stop) {
                    make_lists(80_000);
                }
            })
        };
        for round in 0..20 {
            let every = [1 << 12, 1 << 16, 1 << 20][round % 3];
            let wait = || {
                for _ in 0..50 {
                    make_maps(2 * MEGABYTES);
                    yield_now();
                }
            };
            let options = Options::new().hertz(0).waits(false).allocations(every);
            let ((), profile) = run(options, wait).unwrap();
            assert_eq!(profile.allocated.every, every);
            let (bytes, _) = below(&profile, &profile.allocated.stacks, "make_maps");
            // Of the coarsest there are a hundred samples.
            near(bytes, 100 * MEGABYTES, 0.5, "make_maps");
            // Who ran when it began has a name, too.
            assert_eq!(of(&profile, "(others)").count(), 0);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        busy.into_iter().for_each(|it| it.join().unwrap());
        thread.join().unwrap();
    });
}

/// Signals come in the midst of the allocator, and in the midst of taking its samples.
#[cfg(target_os = "linux")]
#[test]
fn signals_inside_the_allocator_do_no_harm() {
    #[inline(never)]
    fn churn(time: Duration) -> usize {
        let end = common::used() + time;
        let (mut kept, mut bytes) = (Vec::with_capacity(1_000), 0);
        while common::used() < end {
            for size in 0..400 {
                kept.push(black_box(vec![1_u8; 1 + size * 97]));
                bytes += 1 + size * 97;
            }
            kept.drain(..kept.len() / 2);
        }
        bytes
    }
    let _alone = alone();
    let (truth, profile) = on_two_workers(|| {
        let burn = || {
            let churns = [0, 1].map(|worker| {
                let there = Builder::new()
                    .name("churn")
                    .placement(Placement::Worker(worker));
                there.spawn(|| churn(Duration::from_millis(200)))
            });
            churns
                .map(|churn| churn.join().unwrap())
                .iter()
                .sum::<usize>()
        };
        run(options().hertz(10_000), burn).unwrap()
    });
    let on = |stack: &&Stack| profile.group(stack.group) == "churn";
    let ran: u64 = profile.on.iter().filter(on).map(|it| it.nanos).sum();
    let found = common::below(&profile, profile.on.iter().filter(on), "churn");
    assert!(found as f64 > 0.95 * ran as f64, "{found} of {ran} ns");
    let (bytes, _) = below(&profile, of(&profile, "churn"), "churn");
    // What was lost is told, and missing.
    let kept = profile.allocated.samples as f64;
    let kept = kept / (kept + profile.lost.allocations as f64);
    near(bytes, (truth as f64 * kept) as usize, 0.1, "churn");
    assert!(profile.cost.nanos > 0);
}
