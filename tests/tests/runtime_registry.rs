//! What the registry tells.

mod runtime_support;

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use grapeshot::net::{TcpListener, UnixStream};
use grapeshot::registry::{self, BacktraceError, CoroutineInfo, State};
use grapeshot::sync::{Event, Mutex, channel};
use grapeshot::{
    Builder, CoroutineId, JoinHandle, Placement, sleep, spawn, testing, with_timeout, yield_now,
};
use runtime_support::{HOUR, MS, PATIENCE, compute, runtime, until};

fn info<T>(child: &JoinHandle<T>) -> CoroutineInfo {
    registry::coroutine(child.id()).expect("it lives")
}

/// Handed over to another worker, it shows only when that worker has taken it on.
fn is_in<T>(child: &JoinHandle<T>, state: State) -> bool {
    registry::coroutine(child.id()).is_some_and(|info| info.state == state)
}

#[test]
fn names_parents_and_states() {
    testing::run(1, || {
        let me = registry::current().expect("in a coroutine");
        let child = Builder::new()
            .name("powder monkey")
            .stack_size(1 << 20)
            .spawn(|| sleep(HOUR));
        let fresh = info(&child);
        assert_eq!(fresh.name, "powder monkey");
        assert_eq!(fresh.parent, Some(me));
        assert!(
            matches!(fresh.state, State::Unstarted | State::Ready),
            "{:?}",
            fresh.state
        );
        assert_eq!(fresh.waits_for, None);
        assert_eq!(fresh.stack_size, 1 << 20);
        sleep(MS);
        let asleep = info(&child);
        assert_eq!(asleep.state, State::Waiting);
        assert_eq!(asleep.waits_for.unwrap().operation, "sleep");
        assert_eq!(asleep.worker, Some(0));
        assert_eq!(asleep.switches, 1);
        assert!(
            asleep
                .stack_used
                .is_some_and(|bytes| (4096..1 << 20).contains(&bytes)),
            "{asleep:?}"
        );
        assert!(!asleep.interrupted);
        let own = registry::coroutine(me).unwrap();
        assert_eq!(
            (own.state, own.name.as_str(), own.parent),
            (State::Running, "main", None)
        );
        assert_eq!(
            registry::coroutines()
                .iter()
                .map(|info| info.id)
                .collect::<Vec<_>>(),
            [me, child.id()]
        );
        child.interrupt();
        assert!(info(&child).interrupted);
        let id = child.id();
        assert!(child.join().is_err());
        assert!(registry::coroutine(id).is_none());
        assert!(!registry::interrupt(id));
        assert!(!registry::interrupt(CoroutineId(u64::MAX)));
    });
}

#[test]
fn what_each_waits_for() {
    testing::run(1, || {
        let mutex = Arc::new(Mutex::new(()));
        let held = mutex.lock();
        let wanted = mutex.clone();
        let (near, _far) = UnixStream::pair().unwrap();
        let near = Arc::new(near);
        let (first, second) = (near.clone(), near.clone());
        let fd = std::os::fd::AsRawFd::as_raw_fd(&*near) as u64;
        let (sender, receiver) = channel::bounded::<()>(0);
        let target = spawn(|| sleep(HOUR));
        let target_id = target.id().0;
        let cases: Vec<(&str, Option<u64>, JoinHandle<()>)> = vec![
            ("mutex", None, spawn(move || drop(wanted.lock()))),
            ("event", None, spawn(|| Event::new().wait())),
            (
                "read",
                Some(fd),
                spawn(move || drop((&*first).read(&mut [0]))),
            ),
            ("join", Some(target_id), spawn(move || drop(target.join()))),
            (
                "channel send",
                None,
                spawn(move || assert!(sender.send(()).is_err(), "its receiver goes")),
            ),
            (
                "accept",
                None,
                spawn(|| drop(TcpListener::bind("127.0.0.1:0").unwrap().accept())),
            ),
        ];
        sleep(MS);
        let queued = spawn(move || drop((&*second).read(&mut [0])));
        sleep(MS);
        let turn = info(&queued).waits_for.unwrap();
        assert!(
            turn.operation == "turn" || turn.operation == "read",
            "{turn}"
        );
        for (operation, object, child) in &cases {
            let waits = info(child).waits_for.unwrap();
            assert_eq!(waits.operation, *operation);
            if let Some(object) = object {
                assert_eq!(waits.object, *object, "{waits}");
            }
        }
        assert_eq!(
            info(&cases[2].2).waits_for.unwrap().to_string(),
            format!("read fd {fd}")
        );
        assert_eq!(
            info(&cases[3].2).waits_for.unwrap().to_string(),
            format!("join #{target_id}")
        );
        drop(held);
        drop(receiver);
    });
}

#[test]
fn processor_time_and_switches_grow() {
    runtime(1).run(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let stops = stop.clone();
        let busy = spawn(move || {
            while !stops.load(Ordering::Relaxed) {
                compute(MS);
                yield_now();
            }
        });
        let idle = spawn(|| sleep(HOUR));
        until("it has worked", || info(&busy).cpu > 3 * MS);
        let before = info(&busy);
        until("it works on", || info(&busy).cpu > before.cpu + 3 * MS);
        assert!(info(&busy).switches > before.switches);
        assert!(info(&busy).age >= 6 * MS);
        assert!(info(&idle).cpu < info(&busy).cpu);
        stop.store(true, Ordering::Relaxed);
        busy.join().unwrap();
    });
}

#[inline(never)]
fn deep_in_the_hold() {
    sleep(HOUR);
    std::hint::black_box(());
}

#[inline(never)]
fn below_deck() {
    deep_in_the_hold();
    std::hint::black_box(());
}

fn assert_names_its_functions(id: CoroutineId) {
    let frames = registry::backtrace(id).unwrap();
    let names: Vec<_> = frames
        .iter()
        .filter_map(|frame| frame.function.as_deref())
        .collect();
    let place = |name: &str| names.iter().position(|function| function.contains(name));
    let (inner, outer) = (place("deep_in_the_hold"), place("below_deck"));
    assert!(inner.is_some() && inner < outer, "{names:#?}");
    let file = frames[inner.unwrap()].file.as_deref().unwrap_or_default();
    assert!(file.ends_with("runtime_registry.rs"), "{file}");
}

#[test]
fn backtraces_name_the_functions() {
    runtime(3).run(|| {
        for worker in 0..3 {
            let child = Builder::new()
                .placement(Placement::Worker(worker))
                .spawn(below_deck);
            until("it sleeps", || is_in(&child, State::Waiting));
            assert_eq!(info(&child).worker, Some(worker));
            assert_names_its_functions(child.id());
        }
        let child = spawn(below_deck);
        until("it sleeps", || is_in(&child, State::Waiting));
        let id = child.id();
        // From the plain thread of somebody's console. It sees the runtime that was started last, which may be
        // another test's; then there is none with that number, or another.
        std::thread::spawn(move || drop(registry::backtrace(id)))
            .join()
            .unwrap();
    });
}

#[test]
fn backtraces_that_cannot_be_had_say_why() {
    runtime(2).run(|| {
        assert!(matches!(
            registry::backtrace(CoroutineId(1 << 60)),
            Err(BacktraceError::NotFound(_))
        ));
        let ended = spawn(|| ());
        let id = ended.id();
        ended.join().unwrap();
        until("it is forgotten", || registry::coroutine(id).is_none());
        assert!(matches!(
            registry::backtrace(id),
            Err(BacktraceError::NotFound(_))
        ));
    });
}

#[test]
fn a_backtrace_is_had_behind_one_that_holds_the_worker() {
    runtime(2).run(|| {
        let me = registry::current().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stops = stop.clone();
        let here = registry::coroutine(me).unwrap().worker.unwrap();
        let suspended = Builder::new()
            .placement(Placement::Worker(here + 1))
            .spawn(below_deck);
        until("it sleeps", || is_in(&suspended, State::Waiting));
        let busy = Builder::new()
            .placement(Placement::Worker(here + 1))
            .spawn(move || {
                while !stops.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        until("it runs", || is_in(&busy, State::Running));
        assert_names_its_functions(suspended.id());
        stop.store(true, Ordering::Relaxed);
        busy.join().unwrap();
    });
}

#[test]
fn coroutines_are_summed_up_by_the_place_that_spawned_them() {
    testing::run(3, || {
        let before = line!();
        let crew: Vec<_> = (0..70)
            .map(|n| {
                Builder::new()
                    .name(format!("hand-{n}"))
                    .spawn(|| sleep(HOUR))
            })
            .collect();
        let after = line!();
        sleep(MS);
        let sites = registry::sites();
        assert_eq!(
            sites[0].coroutines, 70,
            "the largest comes first: {sites:#?}"
        );
        let hands = &sites[0];
        assert!(hands.site.file().ends_with("runtime_registry.rs"));
        assert!((before..after).contains(&hands.site.line()), "{hands:?}");
        assert_eq!((hands.waiting, hands.ready), (70, 0));
        assert_eq!(hands.switches, 70);
        assert!(
            hands
                .stack_max
                .is_some_and(|bytes| (4096..1 << 20).contains(&bytes))
        );
        // Besides them there is the main coroutine, which runs.
        let rest: Vec<_> = sites[1..]
            .iter()
            .map(|it| (it.coroutines, it.waiting))
            .collect();
        assert_eq!(rest, [(1, 0)]);
        drop(crew);
    });
}

#[test]
fn a_kill_from_the_console() {
    runtime(2).run(|| {
        let child = spawn(|| sleep(HOUR));
        until("it sleeps", || is_in(&child, State::Waiting));
        assert!(registry::interrupt(child.id()));
        assert!(matches!(
            child.join(),
            Err(grapeshot::JoinError::Interrupted)
        ));
        // Its end is known to whoever joins a moment before it is counted.
        until("it is counted", || {
            registry::stats().unwrap().interrupted == 1
        });
        assert_eq!(registry::stats().unwrap().panicked, 0);
    });
}

#[test]
fn the_figures_add_up() {
    runtime(2).run(|| {
        for _ in 0..100 {
            spawn(yield_now).join().unwrap();
        }
        assert!(
            spawn(|| std::panic::resume_unwind(Box::new(1)))
                .join()
                .is_err()
        );
        until("the dead are counted", || {
            registry::stats().unwrap().ended == 101
        });
        let stats = registry::stats().unwrap();
        assert_eq!(
            (stats.spawned, stats.live, stats.panicked, stats.workers),
            (102, 1, 1, 2)
        );
        assert!(stats.resident_bytes.is_some_and(|bytes| bytes > 1 << 20));
        let workers = registry::workers();
        assert_eq!(workers.len(), 2);
        assert_eq!(
            workers
                .iter()
                .map(|worker| worker.coroutines)
                .sum::<usize>(),
            1
        );
        assert!(workers.iter().map(|worker| worker.resumes).sum::<u64>() >= 203);
        assert!(
            workers
                .iter()
                .any(|worker| worker.running == registry::current())
        );
    });
}

/// Many coroutines: all are listed, all can be woken, memory goes back, and meanwhile the worker goes on.
#[test]
fn a_hundred_thousand_suspended_at_once() {
    const MANY: usize = 100_000;
    grapeshot::Runtime::builder()
        .workers(1)
        .stack_size(32 << 10)
        .build()
        .unwrap()
        .run(move || {
            let resident = || registry::stats().unwrap().resident_bytes.unwrap();
            let before = resident();
            let gate = Arc::new(Event::new());
            let children: Vec<_> = (0..MANY)
                .map(|_| {
                    let gate = gate.clone();
                    spawn(move || gate.wait())
                })
                .collect();
            until("all wait", || gate.statistics().waiting == MANY);
            let full = resident();
            let longest = Arc::new(std::sync::Mutex::new(Duration::ZERO));
            let (notes, seen) = (longest.clone(), Arc::new(AtomicBool::new(false)));
            let stop = seen.clone();
            // A plain thread lists them all, over and over; the worker's own beat must not suffer.
            let list = std::thread::spawn(move || {
                let mut lists = 0;
                while !stop.load(Ordering::Relaxed) || lists == 0 {
                    drop(registry::coroutines());
                    lists += 1;
                }
                lists
            });
            let start = Instant::now();
            while start.elapsed() < 300 * MS {
                let turn = Instant::now();
                spawn(|| ()).join().unwrap();
                let mut longest = notes.lock().unwrap();
                *longest = (*longest).max(turn.elapsed());
            }
            seen.store(true, Ordering::Relaxed);
            assert!(list.join().unwrap() > 0);
            let listed = registry::coroutines();
            assert_eq!(listed.len(), MANY + 1);
            assert!(listed.windows(2).all(|pair| pair[0].id < pair[1].id));
            let waiting = listed
                .iter()
                .filter(|info| info.waits_for.is_some_and(|wait| wait.operation == "event"));
            assert_eq!(waiting.count(), MANY);
            let longest = *longest.lock().unwrap();
            assert!(
                longest < Duration::from_secs(5),
                "a turn took {longest:?} while they were listed"
            );
            gate.set();
            for child in children {
                child.join().unwrap();
            }
            until("all are gone", || registry::stats().unwrap().live == 1);
            assert!(full - before > MANY as u64 * 4096, "{before} {full}");
            let start = Instant::now();
            while resident() > before + (full - before) / 2 {
                assert!(start.elapsed() < PATIENCE, "{before} {full} {}", resident());
                // Lets the worker sleep: that is when it looks for stacks to give back.
                assert!(with_timeout(20 * MS, || Event::new().wait()).is_err());
            }
            // Told when the worker goes to sleep.
            while registry::workers()[0].stacks_pooled < MANY {
                assert!(start.elapsed() < PATIENCE, "the stacks are not pooled");
                assert!(with_timeout(20 * MS, || Event::new().wait()).is_err());
            }
        });
}
