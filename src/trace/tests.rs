//! What recordings say of known programs, and what they say when much of them is missing.

mod files;
mod reasons;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::event::{Actor, End, What};
use super::{Recording, start};
use crate::sync::{Event, channel};
use crate::{Builder, CoroutineId, JoinHandle, Runtime, sleep, testing, yield_now};

const MS: Duration = Duration::from_millis(1);

fn named<T: Send + 'static>(name: &str, f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    Builder::new().name(name).spawn(f)
}

/// What happened to one, and when, in milliseconds.
fn story(recording: &Recording, id: CoroutineId) -> Vec<(u128, String)> {
    let events = recording.events_of(id);
    let tell = |event: &super::Event| (event.at.as_millis(), event.what.to_string());
    events.map(tell).collect()
}

#[test]
fn the_whole_life_of_a_coroutine_is_told_in_order() {
    for seed in 0..20 {
        testing::run(seed, move || {
            let tracing = start(1_000).unwrap();
            let (sender, receiver) = channel::bounded(1);
            let started = crate::time::now();
            let waits = named("waits", move || {
                sleep(5 * MS);
                yield_now();
                receiver.recv().unwrap();
            });
            let id = waits.id();
            let main = crate::registry::current().unwrap();
            sleep(20 * MS);
            sender.send(()).unwrap();
            waits.join().unwrap();
            assert_eq!(crate::time::now() - started, 20 * MS);
            let recording = tracing.stop();
            let told = story(&recording, id);
            let channel = told[7].1.clone();
            assert!(
                channel.starts_with("waits for channel recv 0x"),
                "{channel}"
            );
            let by_main = [format!("spawned by #{main}"), format!("woken by #{main}")];
            let expected = [
                (0, by_main[0].as_str()),
                (0, "resumed"),
                (0, "waits for sleep"),
                (5, "woken by a timer"),
                (5, "resumed"),
                (5, "yields"),
                (5, "resumed"),
                (5, &channel),
                (20, &by_main[1]),
                (20, "resumed"),
                (20, "returned"),
            ];
            let expected: Vec<_> = expected
                .map(|(at, what)| (at, what.to_owned()))
                .into_iter()
                .collect();
            assert_eq!(told, expected, "seed {seed}");
            assert_eq!(recording.losses, super::Losses::default());
            assert_eq!(recording.name(id), "waits");
            assert_eq!(recording.named("waits"), [id]);
        });
    }
}

#[test]
fn interrupts_and_deadlines_are_told_apart() {
    testing::run(1, || {
        let tracing = start(1_000).unwrap();
        let killed = named("killed", || sleep(3_600_000 * MS));
        let (id, main) = (killed.id(), crate::registry::current().unwrap());
        sleep(MS);
        killed.interrupt();
        assert!(killed.join().is_err());
        let late = named("late", || {
            _ = crate::with_timeout(7 * MS, || sleep(3_600_000 * MS));
        });
        let late_id = late.id();
        late.join().unwrap();
        let recording = tracing.stop();
        let whats = |id| -> Vec<What> { recording.events_of(id).map(|event| event.what).collect() };
        let by = Actor::Coroutine(main);
        let killed = whats(id);
        assert!(killed.contains(&What::InterruptAsked { by }));
        let by = Actor::Interrupt;
        assert!(killed.contains(&What::Woken { by }));
        assert_eq!(killed.last(), Some(&What::Ended(End::Interrupted)));
        let by = Actor::Deadline;
        assert!(whats(late_id).contains(&What::Woken { by }));
        assert_eq!(whats(late_id).last(), Some(&What::Ended(End::Returned)));
    });
}

#[test]
fn what_is_overwritten_is_counted_and_the_rest_is_true() {
    testing::run(2, || {
        let tracing = start(256).unwrap();
        let busy = named("busy", || (0..1_000).for_each(|_| yield_now()));
        let id = busy.id();
        busy.join().unwrap();
        let recording = tracing.stop();
        assert!(
            recording.losses.overwritten >= 1_500,
            "{}",
            recording.losses
        );
        assert_eq!(recording.losses.torn, 0);
        assert!(recording.losses.adrift <= 1);
        let kept = recording.events.len() as u64;
        assert!((250..256).contains(&kept), "{kept}");
        // It yields and is resumed in turn, until it ends.
        let whats: Vec<_> = recording.events_of(id).map(|event| event.what).collect();
        let turns = whats
            .iter()
            .take_while(|what| **what != What::Ended(End::Returned));
        for pair in turns.collect::<Vec<_>>().windows(2) {
            assert_ne!(pair[0], pair[1]);
        }
        assert!(whats.contains(&What::Ended(End::Returned)));
    });
}

#[test]
fn plain_threads_and_other_runtimes_are_heard_of() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let handle = runtime.handle();
    let recording = runtime.run(move || {
        let tracing = handle.trace(1_000).unwrap();
        let [one, other] = [0, 1].map(|_| Arc::new(Event::new()));
        let waits = {
            let events = [one.clone(), other.clone()];
            named("waits", move || {
                events.iter().for_each(|event| event.wait())
            })
        };
        let id = waits.id();
        let suspensions = |recording: &Recording| {
            let of = recording.events_of(id);
            of.filter(|event| matches!(event.what, What::Suspended(_)))
                .count()
        };
        while suspensions(&tracing.snapshot()) < 1 {
            yield_now();
        }
        thread::spawn(move || one.set());
        while suspensions(&tracing.snapshot()) < 2 {
            yield_now();
        }
        let beside = Runtime::builder().workers(1).build().unwrap();
        crate::unblock(move || beside.run(move || other.set())).unwrap();
        waits.join().unwrap();
        let recording = tracing.stop();
        let woken = recording.events_of(id).filter(|event| {
            event.what == What::Woken { by: Actor::Outside } && event.worker.is_none()
        });
        assert_eq!(woken.count(), 2);
        recording
    });
    assert_eq!(recording.workers, 2);
}

#[test]
fn events_can_be_followed() {
    testing::run(3, || {
        let tracing = start(256).unwrap();
        let mut follow = tracing.follow();
        assert!(follow.next_events().is_empty());
        let mut seen = 0;
        for _ in 0..20 {
            named("one of many", yield_now).join().unwrap();
            let events = follow.next_events();
            let mut is_meant =
                |event: &super::Event| follow.name(event.coroutine) == Some("one of many");
            assert!(events.iter().any(&mut is_meant));
            assert!(events.is_sorted_by_key(|event| event.at));
            let ends = |event: &&super::Event| matches!(event.what, What::Ended(_));
            seen += events.iter().filter(ends).count();
        }
        assert_eq!(seen, 20);
        assert_eq!(follow.losses(), super::Losses::default());
        (0..1_000).for_each(|_| yield_now());
        follow.next_events();
        assert!(follow.losses().overwritten > 0);
    });
}

#[test]
fn a_stream_lasts_as_long_as_somebody_wants_it() {
    testing::run(4, || {
        let first = start(256).unwrap();
        let second = start(100_000).unwrap();
        let before = first.stop().events.len();
        yield_now();
        assert!(second.snapshot().events.len() > before);
        drop(second);
        let fresh = start(256).unwrap();
        assert!(fresh.snapshot().events.len() < before + 2);
    });
}
