//! `why` of chains that are known.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::super::{Doing, Event, Link, Part, Recording, What, Why, label, start, why};
use super::{MS, named};
use crate::context::cycles;
use crate::registry::State;
use crate::sync::{Mutex, channel};
use crate::{
    Builder, CoroutineId, JoinHandle, Placement, Runtime, registry, sleep, testing, yield_now,
};

/// From when to when the longest wait of one lasted.
fn longest_wait(recording: &Recording, id: CoroutineId) -> [Duration; 2] {
    let all = recording.longest_waits(usize::MAX);
    let (.., from, to) = all
        .into_iter()
        .find(|wait| wait.0 == id)
        .expect("it waited");
    [from, to]
}

fn sums(why: &Why) {
    let sum: Duration = why.parts.iter().map(|part| part.lasted).sum();
    assert_eq!(sum, why.lasted, "{why:#?}");
}

fn names(why: &Why) -> Vec<&str> {
    why.hops.iter().map(|hop| hop.name.as_str()).collect()
}

/// Waits until one is suspended.
fn until_waiting<T>(handle: &JoinHandle<T>) {
    let waits = |it: registry::CoroutineInfo| it.state == State::Waiting;
    while !registry::coroutine(handle.id()).is_some_and(waits) {
        yield_now();
    }
}

#[test]
fn a_chain_is_named_hop_by_hop() {
    for seed in 0..50 {
        testing::run(seed, move || {
            let tracing = start(4_000).unwrap();
            let world = Arc::new(Mutex::new(()));
            let _label = label(&*world, "world");
            let (answer, answers) = channel::bounded::<u32>(1);
            let resolver = named("resolver", move || {
                sleep(70 * MS);
                answer.send(7).unwrap();
            });
            let holder = {
                let world = world.clone();
                named("holder", move || {
                    let _held = world.lock();
                    sleep(10 * MS);
                    answers.recv().unwrap();
                    sleep(20 * MS);
                })
            };
            until_waiting(&holder);
            let player = {
                let world = world.clone();
                named("player", move || drop(world.lock()))
            };
            let id = player.id();
            player.join().unwrap();
            drop((resolver, holder));
            let recording = tracing.stop();
            let [from, to] = longest_wait(&recording, id);
            assert_eq!(to - from, 90 * MS, "seed {seed}");
            let why = recording.why(id, from, to);
            assert_eq!(names(&why), ["player", "holder", "resolver"], "{why}");
            let links = why.hops.iter().map(|hop| hop.link).collect::<Vec<_>>();
            assert_eq!(links, [Some(Link::HeldBy), Some(Link::WokenBy), None]);
            let lasted: Vec<_> = why.hops.iter().map(|hop| hop.lasted).collect();
            assert_eq!(lasted, [90 * MS, 60 * MS, 60 * MS]);
            let text = why.to_string();
            assert!(
                text.contains("waited 90.0ms for mutex 'world', held by"),
                "{text}"
            );
            sums(&why);
            // The holder slept twice, the resolver in between.
            let slept = |name: &str| {
                let of = |part: &&Part| {
                    part.name == name
                        && matches!(&part.doing, Doing::Waited { what } if what == "sleep")
                };
                why.parts
                    .iter()
                    .filter(of)
                    .map(|part| part.lasted)
                    .sum::<Duration>()
            };
            assert_eq!([slept("holder"), slept("resolver")], [30 * MS, 60 * MS]);
        });
    }
}

/// Holds its worker for more than twice as long as from `start` to when `told` is not 0, both in cycles: whatever else takes
/// how long, on a machine with much to do, this takes longer.
fn hold_worker(start: u64, told: &AtomicU64) {
    let mut end = u64::MAX;
    while cycles::now() < end {
        let told = told.load(Ordering::Acquire);
        if told != 0 {
            end = told + 2 * (told - start) + cycles::scale().cycles(1_000_000);
        }
        std::hint::spin_loop();
    }
}

#[test]
fn a_selfish_coroutine_on_another_worker_is_the_last_hop() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    runtime.run(|| {
        let tracing = start(16_000).unwrap();
        let on = |worker: usize, name: &str| {
            Builder::new()
                .name(name)
                .placement(Placement::Worker(worker))
        };
        let world = Arc::new(Mutex::new(()));
        let (answer, answers) = channel::bounded::<u32>(1);
        let asked = Arc::new(crate::sync::Event::new());
        // Like a query to a name server: it is answered from outside, and then there is no processor for it.
        let query = Arc::new(crate::sync::Event::new());
        let resolver = {
            let (asked, query) = (asked.clone(), query.clone());
            on(1, "resolver").spawn(move || {
                asked.wait();
                query.wait();
                answer.send(7).unwrap();
            })
        };
        let holder = {
            let (world, asked) = (world.clone(), asked.clone());
            on(0, "holder").spawn(move || {
                let _held = world.lock();
                asked.set();
                answers.recv().unwrap();
            })
        };
        until_waiting(&holder);
        let begun = cycles::now();
        let player = on(0, "player").spawn(move || drop(world.lock()));
        until_waiting(&player);
        until_waiting(&resolver);
        let told = Arc::new(AtomicU64::new(0));
        let holds = Arc::new(AtomicBool::new(false));
        let selfish = {
            let (holds, told) = (holds.clone(), told.clone());
            on(1, "selfish").spawn(move || {
                holds.store(true, Ordering::Release);
                hold_worker(begun, &told);
            })
        };
        while !holds.load(Ordering::Acquire) {
            yield_now();
        }
        // The answer arrives while the worker is held.
        query.set();
        told.store(cycles::now(), Ordering::Release);
        let ids = [player.id(), resolver.id()];
        player.join().unwrap();
        selfish.join().unwrap();
        drop((resolver, holder));
        let recording = tracing.stop();
        let [from, to] = longest_wait(&recording, ids[0]);
        sums(&recording.why(ids[0], from, to));
        // What came after the selfish one is the machine's affair.
        let resumed = |event: &&Event| event.what == What::Resumed;
        let answers = recording.events_of(ids[1]).filter(resumed).last().unwrap();
        let why = recording.why(ids[0], from, answers.at);
        assert_eq!(
            names(&why),
            ["player", "holder", "resolver", "selfish"],
            "{why}"
        );
        let links: Vec<_> = why.hops.iter().filter_map(|hop| hop.link).collect();
        assert_eq!(links, [Link::HeldBy, Link::WokenBy, Link::Behind], "{why}");
        sums(&why);
        let text = why.to_string();
        assert!(text.contains("on worker 1, behind\n'selfish'"), "{text}");
    });
}

#[test]
fn a_wait_that_is_not_over_is_explained_by_who_has_the_lock() {
    testing::run(5, || {
        let tracing = start(1_000).unwrap();
        let (one, other) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())));
        let sleeper = {
            let lock = one.clone();
            named("sleeper", move || {
                let _held = lock.lock();
                sleep(1_000 * MS);
            })
        };
        until_waiting(&sleeper);
        let middle = named("middle", move || {
            let _held = other.lock();
            drop(one.lock());
        });
        until_waiting(&middle);
        let id = middle.id();
        let joins = named("joins", move || middle.join().unwrap());
        until_waiting(&joins);
        sleep(100 * MS);
        let recording = tracing.snapshot();
        let (from, to) = (recording.until - 50 * MS, recording.until);
        let why = recording.why(joins.id(), from, to);
        assert_eq!(names(&why), ["joins", "middle", "sleeper"], "{why}");
        assert_eq!(why.hops[0].link, Some(Link::EndOf));
        assert_eq!(why.hops[2].lasted, 50 * MS);
        sums(&why);
        assert_eq!(names(&recording.why(id, from, to)), ["middle", "sleeper"]);
        joins.join().unwrap();
        drop(sleeper);
    });
}

#[test]
fn what_is_so_now_is_told_from_the_registry_alone() {
    for seed in 0..20 {
        testing::run(seed, move || {
            let world = Arc::new(Mutex::new(()));
            let _label = label(&*world, "world");
            let sleeper = {
                let world = world.clone();
                named("sleeper", move || {
                    let _held = world.lock();
                    sleep(1_000 * MS);
                })
            };
            until_waiting(&sleeper);
            let waits = named("waits", move || drop(world.lock()));
            let id = waits.id();
            let joins = named("joins", move || waits.join().unwrap());
            until_waiting(&joins);
            while registry::coroutine(id).is_none_or(|it| it.state != State::Waiting) {
                yield_now();
            }
            let why = why(joins.id()).unwrap();
            assert!(why.live);
            assert_eq!(names(&why), ["joins", "waits", "sleeper"], "{why}");
            let links: Vec<_> = why.hops.iter().filter_map(|hop| hop.link).collect();
            assert_eq!(links, [Link::EndOf, Link::HeldBy], "{why}");
            let text = why.to_string();
            assert!(
                text.contains("for mutex 'world', held by\n'sleeper'"),
                "{text}"
            );
            joins.join().unwrap();
        });
    }
}

#[test]
fn nothing_is_known_of_nobody() {
    testing::run(6, || {
        assert_eq!(why(CoroutineId(u64::MAX)), None);
        let tracing = start(256).unwrap();
        let recording = tracing.stop();
        let why = recording.why(CoroutineId(u64::MAX), Duration::ZERO, MS);
        assert_eq!(why.parts.len(), 1);
        assert_eq!(why.parts[0].doing, Doing::Unknown);
        sums(&why);
    });
}
