//! A coroutine that holds its worker is seen, whatever it does there.

use std::collections::BTreeSet;
use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::registry::{self, Frame, Stall};
use crate::{
    Builder, CoroutineId, Placement, Runtime, RuntimeBuilder, sleep, spawn, with_timeout, yield_now,
};

/// More than anything here takes, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[track_caller]
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "still not: {what}");
        yield_now();
    }
}

fn watched() -> RuntimeBuilder {
    Runtime::builder()
        .workers(2)
        .latency_limit(Duration::from_millis(10))
}

fn passes(frames: &[Frame], function: &str) -> bool {
    let name = |frame: &Frame| {
        frame
            .function
            .as_deref()
            .unwrap_or_default()
            .contains(function)
    };
    frames.iter().any(name)
}

fn stall(id: CoroutineId) -> Option<Stall> {
    registry::stalls().into_iter().find(|stall| stall.id == id)
}

#[inline(never)]
fn computes_until(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        spin_loop();
    }
    black_box(());
}

#[inline(never)]
fn allocates_until(stop: &AtomicBool) {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for round in 0_usize.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        kept.push(black_box(vec![0; round % 3_000]));
        if kept.len() > 100 {
            kept.clear();
        }
    }
}

/// Holds worker 1 with `body`, and sees that it is reported with the function's name, and that it was over.
fn is_reported(builder: RuntimeBuilder, function: &'static str, body: fn(&AtomicBool)) {
    builder.build().unwrap().run(move || {
        let stop = Arc::new(AtomicBool::new(false));
        let stops = stop.clone();
        let hog = Builder::new()
            .name("hog")
            .placement(Placement::Worker(1))
            .spawn(move || body(&stops));
        let id = hog.id();
        let seen = until("it is reported where it is", || {
            stall(id).filter(|stall| passes(&stall.backtrace, function))
        });
        assert_eq!(
            (seen.name.as_str(), seen.worker, seen.over),
            ("hog", 1, false)
        );
        assert!(seen.site.file().ends_with("tests/watchdog.rs"));
        assert!(
            seen.lasted >= Duration::from_millis(10),
            "{:?}",
            seen.lasted
        );
        let line = seen.to_string();
        assert!(line.contains("'hog'") && line.contains(function), "{line}");
        stop.store(true, Ordering::Relaxed);
        hog.join().unwrap();
        let ended = until("its end is noticed", || {
            stall(id).filter(|stall| stall.over)
        });
        assert!(ended.lasted >= seen.lasted);
        assert!(ended.to_string().contains("held worker 1 for"), "{ended}");
    });
}

/// Its backtrace is taken seldom. How long it ran is asked at each look: beside how long it lasted, that tells computing from
/// blocking.
#[cfg(target_os = "linux")]
#[test]
fn how_long_one_ran_is_kept_up_while_it_lasts() {
    watched().build().unwrap().run(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let stops = stop.clone();
        let hog = Builder::new()
            .placement(Placement::Worker(1))
            .spawn(move || computes_until(&stops));
        let id = hog.id();
        let mut seen = BTreeSet::new();
        // Reported is it after 10 ms, 40 ms, 160 ms: the eighth time after minutes.
        until("it is looked at again and again", || {
            seen.extend(stall(id).and_then(|stall| stall.ran));
            (seen.len() >= 8).then_some(())
        });
        stop.store(true, Ordering::Relaxed);
        hog.join().unwrap();
        let ended = until("its end is noticed", || {
            stall(id).filter(|stall| stall.over)
        });
        assert!(ended.ran >= seen.last().copied(), "{ended:?}");
        assert!(ended.ran <= Some(ended.lasted), "{ended:?}");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn one_that_computes_is_reported_with_its_place() {
    is_reported(watched(), "computes_until", computes_until);
}

#[cfg(target_os = "linux")]
#[test]
fn without_accounting_too() {
    is_reported(
        watched().accounting(false),
        "computes_until",
        computes_until,
    );
}

#[cfg(target_os = "linux")]
#[test]
#[cfg_attr(
    grapeshot_asan,
    ignore = "AddressSanitizer's own allocator keeps no frame pointers: its caller is found by luck only"
)]
fn one_that_is_in_the_allocator_is_reported_too() {
    is_reported(watched(), "allocates_until", allocates_until);
}

#[cfg(target_os = "linux")]
#[test]
fn one_that_blocks_its_thread_is_reported_and_goes_on_as_if_nothing_were() {
    #[inline(never)]
    fn waits_for_a_thread(inbox: &mpsc::Receiver<u32>) -> u32 {
        black_box(inbox.recv().unwrap())
    }
    watched().build().unwrap().run(|| {
        let (sender, inbox) = mpsc::channel();
        let blocked = Builder::new()
            .placement(Placement::Worker(1))
            .spawn(move || waits_for_a_thread(&inbox));
        let id = blocked.id();
        until("it is reported where it is", || {
            stall(id).filter(|stall| passes(&stall.backtrace, "waits_for_a_thread"))
        });
        sender.send(7).unwrap();
        assert_eq!(blocked.join().unwrap(), 7);
    });
}

#[test]
fn without_a_limit_nobody_is_reported() {
    let runtime = Runtime::builder().workers(2).latency_limit(None).build();
    runtime.unwrap().run(|| {
        let watched = super::super::watchdog::watches(crate::sched::runtime::here());
        assert!(!watched);
    });
    watched().build().unwrap().run(|| {
        let watched = super::super::watchdog::watches(crate::sched::runtime::here());
        assert!(watched);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_running_coroutine_can_be_asked_where_it_is() {
    let runtime = Runtime::builder().workers(2).latency_limit(None).build();
    runtime.unwrap().run(|| {
        let stop = Arc::new(AtomicBool::new(false));
        for body in [computes_until, allocates_until] {
            stop.store(false, Ordering::Relaxed);
            let stops = stop.clone();
            let there = Builder::new().placement(Placement::Worker(1));
            let busy = there.spawn(move || body(&stops));
            let function = "es_until";
            for _ in 0..50 {
                until("its place is known", || {
                    let frames = registry::backtrace(busy.id()).ok()?;
                    passes(&frames, function).then_some(())
                });
            }
            stop.store(true, Ordering::Relaxed);
            busy.join().unwrap();
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn one_can_ask_where_it_is_itself() {
    #[inline(never)]
    fn asks() -> Vec<Frame> {
        black_box(registry::backtrace(registry::current().unwrap()).unwrap())
    }
    crate::run(|| {
        let frames = asks();
        assert!(passes(&frames, "asks"), "{frames:#?}");
        assert!(
            passes(&frames, "one_can_ask_where_it_is_itself"),
            "{frames:#?}"
        );
    });
    crate::testing::run(1, || assert!(passes(&asks(), "asks")));
}

#[test]
fn what_does_not_stop_is_described_with_its_place() {
    #[inline(never)]
    fn refuses_to_stop() {
        crate::shield(|| crate::sleep(Duration::from_secs(3_600)));
        black_box(());
    }
    let runtime = watched().shutdown_timeout(Duration::ZERO);
    runtime.build().unwrap().run(|| {
        let refuser = Builder::new()
            .name("refuser")
            .placement(Placement::Worker(1))
            .spawn(refuses_to_stop);
        let shared = crate::sched::runtime::here();
        let text = until("it is described", || {
            let all = registry::describe_with_backtraces(shared);
            all.into_iter()
                .find(|text| text.contains("'refuser' waits for sleep") && text.contains("0: "))
        });
        assert!(text.contains("refuses_to_stop"), "{text}");
        refuser.interrupt();
        // It does not hear it, so the runtime leaves it behind.
    });
}

/// The spawner carries more than the worker that is held, and so hands over to that one.
#[test]
fn who_was_placed_on_a_worker_that_is_held_starts_on_another() {
    watched().build().unwrap().run(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let stops = stop.clone();
        let (sender, runs) = mpsc::channel();
        let hog = Builder::new()
            .placement(Placement::Worker(1))
            .spawn(move || {
                sender.send(()).unwrap();
                computes_until(&stops);
            });
        let idle = || Builder::new().placement(Placement::Worker(0));
        let crowd = [(); 20].map(|()| idle().spawn(|| sleep(PATIENCE)));
        until("it holds its worker", || runs.try_recv().ok());
        let where_it_runs = || std::thread::current().id();
        let placed = [(); 10].map(|()| spawn(where_it_runs));
        for coroutine in placed {
            let ran = with_timeout(PATIENCE, || coroutine.join().unwrap());
            assert_eq!(ran, Ok(where_it_runs()));
        }
        assert!(!hog.is_finished());
        // One that is for this worker alone stays.
        let own = Builder::new().placement(Placement::Worker(1));
        let own = own.spawn(where_it_runs);
        until("the watchdog has looked again", || {
            let stalls = registry::stalls();
            stalls.into_iter().find(|stall| stall.id == hog.id())
        });
        assert!(!own.is_finished());
        stop.store(true, Ordering::Relaxed);
        assert_ne!(own.join().unwrap(), where_it_runs());
        crowd.iter().for_each(|it| it.interrupt());
    });
}
