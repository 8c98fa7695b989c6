//! Each fault is planted, and named by its line.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::{Builder, sleep, spawn_local, yield_now};

/// The lint of this kind, once it is there.
#[track_caller]
fn raised(kind: LintKind) -> Lint {
    let patience = Instant::now() + Duration::from_secs(60);
    while Instant::now() < patience {
        if let Some(lint) = lints().into_iter().find(|lint| lint.kind == kind) {
            return lint;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("no lint says {kind}: {:#?}", lints());
}

#[test]
fn coroutines_that_crowd_one_worker_are_named_by_their_line() {
    crate::Runtime::builder()
        .workers(2)
        .build()
        .unwrap()
        .run(|| {
            let stop = Arc::new(AtomicBool::new(false));
            let crowd = |_| {
                let stop = Arc::clone(&stop);
                spawn_local(move || {
                    while !stop.load(Ordering::Relaxed) {
                        yield_now();
                    }
                })
            };
            let line = line!() - 6;
            let crowd: Vec<_> = (0..8).map(crowd).collect();
            let lint = raised(LintKind::Unbalanced);
            assert_eq!(lint.place, format!("tests.rs:{line}"), "{lint}");
            stop.store(true, Ordering::Relaxed);
            crowd.into_iter().for_each(|it| it.join().unwrap());
        });
}

#[test]
fn a_stack_that_is_nearly_full_is_named_by_who_spawned_it() {
    #[inline(never)]
    fn fill(depth: usize, is_full: &AtomicBool) -> usize {
        let page = std::hint::black_box([depth as u8; 4096]);
        if depth == 0 {
            is_full.store(true, Ordering::Relaxed);
            sleep(Duration::from_secs(60));
            return 0;
        }
        fill(depth - 1, is_full) + usize::from(page[17])
    }
    crate::run(|| {
        // A frame takes more than its page, how much depends on the build: so this goes on until it is told.
        for depth in (4..250).step_by(4) {
            let filled = Arc::new(AtomicBool::new(false));
            let is_full = Arc::clone(&filled);
            let builder = Builder::new().stack_size(1 << 20);
            let (deep, line) = (builder.spawn(move || fill(depth, &is_full)), line!());
            while !filled.load(Ordering::Relaxed) {
                yield_now();
            }
            let found = lints()
                .into_iter()
                .find(|it| it.kind == LintKind::StackNearlyFull);
            deep.interrupt();
            assert!(deep.join().is_err());
            if let Some(lint) = found {
                assert_eq!(lint.place, format!("tests.rs:{line}"), "{lint}");
                return;
            }
        }
        panic!("none was filled");
    });
}

#[test]
fn the_same_at_the_same_place_is_told_once() {
    let lints = Lints::new();
    let one = |place: usize| Lint {
        kind: LintKind::Selfish,
        at: SystemTime::UNIX_EPOCH,
        id: CoroutineId(7),
        name: "bosun".to_owned(),
        site: Location::caller(),
        place: format!("ship.rs:{place}"),
        what: "it sang".to_owned(),
    };
    for place in 0..2 * KEPT {
        lints.raise(Some(one(place)));
        lints.raise(Some(one(place)));
    }
    assert_eq!(lints.kept.lock().len(), KEPT);
    let text = one(3).to_string();
    assert!(
        text.starts_with(
            "selfish coroutine: coroutine 'bosun' (#7) at ship.rs:3: it sang. call yield_now()"
        ),
        "{text}"
    );
}
