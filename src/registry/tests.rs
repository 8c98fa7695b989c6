//! What the registry tells of timers, descriptors, locks and memory.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::net::{TcpListener, TcpStream};
use crate::registry::DescriptorInfo;
use crate::sync::{Event, Mutex};
use crate::{
    Builder, JoinHandle, Runtime, RuntimeHandle, sleep, spawn, testing, with_timeout, yield_now,
};

const HOUR: Duration = Duration::from_secs(3_600);

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

/// Lets others run until `condition` holds; far longer than anything here takes, however busy the machine.
#[track_caller]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "still not: {what}"
        );
        yield_now();
    }
}

fn here() -> RuntimeHandle {
    RuntimeHandle::current().expect("in a runtime")
}

#[test]
fn a_walk_meets_every_coroutine_once() {
    runtime(2).run(|| {
        let end = Arc::new(Event::new());
        let crowd: Vec<_> = (0..2_000)
            .map(|_| {
                let end = Arc::clone(&end);
                spawn(move || end.wait())
            })
            .collect();
        until("all have started", || {
            crowd
                .iter()
                .all(|it| here().coroutine(it.id()).is_some_and(|it| it.switches > 0))
        });
        let mut met: Vec<u64> = here().walk().map(|it| it.id.0).collect();
        met.sort_unstable();
        let mut all: Vec<u64> = here().coroutines().iter().map(|it| it.id.0).collect();
        assert_eq!(met.len(), 2_001);
        assert_eq!(met, all);
        all.dedup();
        assert_eq!(met, all);
        end.set();
        crowd.into_iter().for_each(|it| it.join().unwrap());
    });
}

#[test]
fn timers_come_in_the_order_in_which_they_fire() {
    testing::run(1, || {
        // Of every level of the wheel.
        let after = [
            3 * HOUR,
            Duration::from_millis(1),
            HOUR,
            Duration::from_secs(5),
            Duration::from_millis(90),
        ];
        let sleepers: Vec<_> = after
            .iter()
            .enumerate()
            .map(|(n, &after)| {
                Builder::new()
                    .name(format!("sleeper-{n}"))
                    .spawn(move || sleep(after))
            })
            .collect();
        let bounded = Builder::new()
            .name("bounded")
            .spawn(|| with_timeout(2 * HOUR, || Event::new().wait()));
        (0..10).for_each(|_| yield_now());
        let timers = here().timers(100);
        assert!(timers.silent.is_empty(), "{timers:?}");
        assert_eq!(timers.armed, timers.soonest.len());
        let names: Vec<&str> = timers
            .soonest
            .iter()
            .filter_map(|it| it.name.as_deref())
            .collect();
        // The one who asks has a timer, too: for the worker's answer.
        let names: Vec<&str> = names
            .into_iter()
            .filter(|it| it.starts_with("sleeper") || *it == "bounded")
            .collect();
        assert_eq!(
            names,
            [
                "sleeper-1",
                "sleeper-4",
                "sleeper-3",
                "sleeper-2",
                "bounded",
                "sleeper-0"
            ]
        );
        let last = timers.soonest.last().unwrap();
        assert_eq!(
            (last.what, last.due, last.coroutine),
            ("sleep", 3 * HOUR, Some(sleepers[0].id()))
        );
        let of_bounded = timers
            .soonest
            .iter()
            .find(|it| it.coroutine == Some(bounded.id()))
            .unwrap();
        assert_eq!((of_bounded.what, of_bounded.due), ("timeout", 2 * HOUR));
        assert_eq!(here().timers(2).soonest.len(), 2);
        for sleeper in sleepers {
            sleeper.interrupt();
            let _ = sleeper.join();
        }
        bounded.interrupt();
        let _ = bounded.join();
    });
}

#[test]
fn descriptors_have_addresses_and_whoever_waits() {
    runtime(2).run(|| {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let address = listener.local_addr().unwrap();
        let theirs = Arc::clone(&listener);
        let accepter = spawn(move || {
            let (first, _) = theirs.accept().unwrap();
            let _second = theirs.accept();
            first
        });
        let client = Arc::new(TcpStream::connect(address).unwrap());
        let own = client.local_addr().unwrap().to_string();
        let reading = Arc::clone(&client);
        let reader = spawn(move || (&*reading).read(&mut [0; 8]).unwrap());
        let queueing = Arc::clone(&client);
        let queued = spawn(move || (&*queueing).read(&mut [0; 8]).unwrap());
        let find = |local: &str, peer: Option<&str>| -> Option<DescriptorInfo> {
            let mut all = here().descriptors().into_iter();
            all.find(|it| it.local.as_deref() == Some(local) && it.peer.as_deref() == peer)
        };
        let there = address.to_string();
        until("somebody reads and another queues", || {
            find(&own, Some(&there)).is_some_and(|it| it.reader.is_some() && it.queued == 1)
        });
        let stream = find(&own, Some(&there)).unwrap();
        assert_eq!(stream.kind, "tcp");
        // Either of the two may have come first.
        assert!(
            [reader.id(), queued.id()].contains(&stream.reader.unwrap()),
            "{stream:?}"
        );
        assert_eq!(stream.writer, None);
        until("somebody accepts", || {
            find(&there, None).is_some_and(|it| it.reader.is_some())
        });
        let listening = find(&there, None).unwrap();
        assert_eq!(
            (listening.kind, listening.reader),
            ("tcp listener", Some(accepter.id()))
        );
        listener.close().unwrap();
        let mut accepted = accepter.join().unwrap();
        accepted.write_all(b"one").unwrap();
        until("nobody queues", || {
            find(&own, Some(&there)).is_some_and(|it| it.queued == 0)
        });
        accepted.write_all(b"two").unwrap();
        assert_eq!(reader.join().unwrap() + queued.join().unwrap(), 6);
        drop((client, accepted));
        assert!(find(&own, Some(&there)).is_none(), "it is closed");
    });
}

#[test]
fn locks_have_their_owners_and_waiters() {
    runtime(2).run(|| {
        let (lock, end) = (Arc::new(Mutex::new(())), Arc::new(Event::new()));
        let (theirs, ends) = (Arc::clone(&lock), Arc::clone(&end));
        let owner = Builder::new()
            .name("owner")
            .spawn(move || hold(&theirs, &ends));
        until("it is held", || lock.held_by() == Some(owner.id()));
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let lock = Arc::clone(&lock);
                spawn(move || drop(lock.lock()))
            })
            .collect();
        let find = || {
            here()
                .locks()
                .into_iter()
                .find(|it| it.owner == Some(owner.id()))
        };
        until("three wait", || {
            find().is_some_and(|it| it.waiters.len() == 3)
        });
        let found = find().unwrap();
        assert_eq!(
            (found.kind, found.owner_name.as_deref()),
            ("mutex", Some("owner"))
        );
        let mut wanted: Vec<_> = waiters.iter().map(JoinHandle::id).collect();
        wanted.sort();
        assert_eq!(found.waiters, wanted);
        assert!(
            found.backtrace.iter().any(|frame| frame
                .function
                .as_deref()
                .is_some_and(|it| it.contains("hold"))),
            "{:?}",
            found.backtrace
        );
        end.set();
        waiters.into_iter().for_each(|it| it.join().unwrap());
        owner.join().unwrap();
        assert!(here().locks().is_empty());
    });
}

#[test]
fn who_waits_for_what_has_a_label_waits_for_that() {
    runtime(1).run(|| {
        let world = Arc::new(Mutex::new(()));
        let held = world.lock();
        let wanted = Arc::clone(&world);
        let waits = spawn(move || drop(wanted.lock()));
        let waits_for = || here().coroutine(waits.id()).unwrap().waits_for;
        until("it waits", || waits_for().is_some());
        let shown = || waits_for().unwrap().to_string();
        assert!(shown().starts_with("mutex 0x"), "{}", shown());
        let label = crate::trace::label(&*world, "the world\n");
        assert_eq!(shown(), "mutex 'the world\\n'");
        let labels = || here().locks().into_iter().map(|it| it.label);
        assert!(labels().eq([Some("the world\n".to_owned())]));
        drop(label);
        assert!(labels().eq([None]));
        assert!(shown().starts_with("mutex 0x"), "{}", shown());
        drop(held);
        waits.join().unwrap();
    });
}

#[inline(never)]
fn hold(lock: &Mutex<()>, end: &Event) {
    let _held = lock.lock();
    end.wait();
}

#[test]
fn memory_is_what_the_stacks_take() {
    testing::run(1, || {
        let before = here().memory();
        let sleepers: Vec<_> = (0..500)
            .map(|_| Builder::new().stack_size(1 << 20).spawn(|| sleep(HOUR)))
            .collect();
        (0..10).for_each(|_| yield_now());
        sleep(Duration::from_millis(1));
        let memory = here().memory();
        assert_eq!(memory.coroutines, before.coroutines + 500);
        assert_eq!(memory.stack_space - before.stack_space, 500 << 20);
        assert!((200..=256).contains(&memory.stacks_measured), "{memory:?}");
        // Each has touched a page at least, and far from all of its stack.
        assert!(
            (500 * 4096..500 << 18).contains(&memory.stacks),
            "{memory:?}"
        );
        assert!(
            memory.stack_max < 1 << 20 && memory.records > before.records,
            "{memory:?}"
        );
        assert!(
            memory.resident.is_none_or(|it| it > memory.stacks),
            "{memory:?}"
        );
        for sleeper in sleepers {
            sleeper.interrupt();
            let _ = sleeper.join();
        }
    });
}
