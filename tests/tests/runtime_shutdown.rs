//! Starting and stopping runtimes.

mod runtime_support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use grapeshot::sync::{Event, Mutex};
use grapeshot::{Builder, JoinError, Runtime, sleep, spawn, testing, yield_now};
use runtime_support::{HOUR, MS, PATIENCE, runtime};

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn several_run_side_by_side() {
    let runtimes: Vec<_> = (1..=4).map(runtime).collect();
    let handles: Vec<_> = runtimes
        .iter()
        .enumerate()
        .map(|(number, runtime)| {
            runtime.spawn(move || {
                let inner = spawn(move || {
                    sleep(MS);
                    (number, grapeshot::registry::stats().unwrap().workers)
                });
                inner.join().unwrap()
            })
        })
        .collect();
    for (number, handle) in handles.into_iter().enumerate() {
        assert_eq!(
            handle.join().unwrap(),
            (number, number + 1),
            "a spawn stays in its runtime"
        );
    }
    for runtime in runtimes {
        runtime.shutdown(PATIENCE).unwrap();
    }
}

#[test]
fn one_runs_inside_a_coroutine_of_another() {
    let sum = runtime(2).run(|| {
        let inner: Vec<_> = (0..4_u64)
            .map(|number| {
                spawn(move || {
                    let there = runtime(1).run(move || spawn(move || number * 10).join().unwrap());
                    there + testing::run(number, move || number)
                })
            })
            .collect();
        inner
            .into_iter()
            .map(|child| child.join().unwrap())
            .sum::<u64>()
    });
    assert_eq!(sum, 66);
}

#[test]
fn the_end_of_main_interrupts_all_and_their_destructors_run() {
    for workers in [1, 2, 4] {
        let dropped = Arc::new(AtomicUsize::new(0));
        let finished = Arc::new(AtomicUsize::new(0));
        let (drops, finishes) = (dropped.clone(), finished.clone());
        let start = Instant::now();
        runtime(workers).run(move || {
            for number in 0..500 {
                let (token, finishes) = (Counted(drops.clone()), finishes.clone());
                drop(spawn(move || {
                    let _token = token;
                    match number % 3 {
                        0 => sleep(HOUR),
                        1 => Event::new().wait(),
                        _ => {
                            grapeshot::shield(|| sleep(MS));
                            finishes.fetch_add(1, Ordering::Relaxed);
                            sleep(HOUR);
                        }
                    }
                }));
                if number % 50 == 0 {
                    yield_now();
                }
            }
        });
        assert_eq!(dropped.load(Ordering::SeqCst), 500, "{workers} workers");
        assert!(finished.load(Ordering::SeqCst) <= 167);
        assert!(start.elapsed() < PATIENCE);
    }
}

#[test]
fn whoever_joins_from_outside_is_told() {
    let runtime = runtime(2);
    let started: Vec<_> = (0..50).map(|_| runtime.spawn(|| sleep(HOUR))).collect();
    let joiners: Vec<_> = started
        .into_iter()
        .map(|handle| thread::spawn(move || handle.join()))
        .collect();
    runtime.shutdown(PATIENCE).unwrap();
    for joiner in joiners {
        assert!(matches!(
            joiner.join().unwrap(),
            Err(JoinError::Interrupted)
        ));
    }
}

/// One that swallows every interrupt never gets another wait, but nothing can force it to end.
#[test]
fn who_refuses_to_stop_is_named() {
    let runtime = runtime(2);
    let entered = Arc::new(AtomicBool::new(false));
    let enters = entered.clone();
    // `Runtime::spawn` gives no name, so it is spawned from inside.
    let named = runtime.spawn(move || {
        Builder::new().name("mutineer").spawn(move || -> () {
            enters.store(true, Ordering::Relaxed);
            loop {
                let _ = catch_unwind(AssertUnwindSafe(|| sleep(HOUR)));
            }
        })
    });
    let refuser = named.join().unwrap();
    let good = runtime.spawn(|| sleep(HOUR));
    while !entered.load(Ordering::Relaxed) {
        thread::yield_now();
    }
    let start = Instant::now();
    let left = runtime.shutdown(Duration::from_millis(100)).unwrap_err();
    assert!(start.elapsed() < PATIENCE, "it returns within its limit");
    assert_eq!(left.coroutines.len(), 1, "{left}");
    assert!(left.coroutines[0].contains("mutineer"), "{left}");
    assert!(left.to_string().contains("did not stop in time"), "{left}");
    assert!(
        matches!(refuser.join(), Err(JoinError::Interrupted)),
        "its joiner is let go"
    );
    assert!(matches!(good.join(), Err(JoinError::Interrupted)));
}

/// One that never suspends keeps its thread, and nobody else.
#[test]
fn who_computes_without_end_is_named_too() {
    let runtime = runtime(1);
    let (enough, entered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let (stop, enters) = (enough.clone(), entered.clone());
    let busy = runtime.spawn(move || {
        enters.store(true, Ordering::Relaxed);
        while !stop.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    });
    while !entered.load(Ordering::Relaxed) {
        thread::yield_now();
    }
    let start = Instant::now();
    let left = runtime.shutdown(Duration::from_millis(20)).unwrap_err();
    assert!(start.elapsed() < PATIENCE);
    assert_eq!(left.coroutines.len(), 1, "{left}");
    enough.store(true, Ordering::Relaxed);
    assert!(busy.join().is_ok(), "it ended after all");
}

#[test]
fn a_spawn_during_the_stop_never_hangs_whoever_joins() {
    for round in 0..200 {
        let runtime = runtime(1 + round % 4);
        let ran = Arc::new(AtomicUsize::new(0));
        let counted = ran.clone();
        // Spawns from a coroutine that is being unwound, from a shield, and from a thread outside.
        drop(runtime.spawn(move || {
            struct Spawner(Arc<AtomicUsize>);
            impl Drop for Spawner {
                fn drop(&mut self) {
                    let ran = self.0.clone();
                    drop(spawn(move || ran.fetch_add(1, Ordering::Relaxed)));
                }
            }
            let _spawner = Spawner(counted);
            grapeshot::shield(|| {
                for _ in 0..20 {
                    if spawn(yield_now).join().is_err() {
                        break;
                    }
                }
            });
            sleep(HOUR);
        }));
        let tree = runtime.spawn(|| {
            loop {
                let child = spawn(|| {
                    yield_now();
                    spawn(yield_now)
                });
                if let Ok(grandchild) = child.join() {
                    drop(grandchild);
                }
            }
        });
        runtime.shutdown(PATIENCE).unwrap();
        let result: Result<(), JoinError> = tree.join();
        assert!(matches!(result, Err(JoinError::Interrupted)));
    }
}

#[test]
fn a_spawn_from_a_thread_during_the_stop_never_hangs_either() {
    for round in 0..100 {
        let runtime = Arc::new(runtime(1 + round % 3));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let runtime = Arc::downgrade(&runtime);
                thread::spawn(move || {
                    let mut joined = 0;
                    while let Some(runtime) = runtime.upgrade() {
                        let handle = runtime.spawn(|| 7);
                        drop(runtime);
                        joined += u32::from(handle.join().is_ok());
                    }
                    joined
                })
            })
            .collect();
        // The last one to hold it stops it, whichever that is; the others may be in their spawn or join.
        drop(runtime);
        for thread in threads {
            thread.join().unwrap();
        }
    }
}

#[test]
fn unstarted_ones_are_dropped_where_their_destructors_may_wait() {
    let runtime = runtime(1);
    let mutex = Arc::new(Mutex::new(0));
    let dropped = Arc::new(AtomicUsize::new(0));
    let entered = Arc::new(AtomicBool::new(false));
    let (inner, drops, enters) = (mutex.clone(), dropped.clone(), entered.clone());
    let main = runtime.spawn(move || {
        let guard = inner.lock();
        for _ in 0..10 {
            let token = Counted(drops.clone());
            let inner = inner.clone();
            let capture = OnDrop(Some(move || drop(inner.lock())));
            drop(spawn(move || drop((token, capture))));
        }
        enters.store(true, Ordering::Relaxed);
        // Computes, so that none of them has started when the stop comes.
        runtime_support::compute(5 * MS);
        drop(guard);
        sleep(HOUR);
    });
    while !entered.load(Ordering::Relaxed) {
        thread::yield_now();
    }
    runtime.shutdown(PATIENCE).unwrap();
    assert!(main.join().is_err());
    assert_eq!(dropped.load(Ordering::SeqCst), 10);
}

struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            call();
        }
    }
}

#[test]
fn a_panic_of_main_goes_on_in_the_caller() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let token = Counted(dropped.clone());
    let result = catch_unwind(AssertUnwindSafe(|| {
        Runtime::builder().workers(2).build().unwrap().run(move || {
            drop(spawn(move || {
                let _token = token;
                sleep(HOUR);
            }));
            std::panic::resume_unwind(Box::new("on purpose"));
        });
    }));
    assert_eq!(result.unwrap_err().downcast_ref(), Some(&"on purpose"));
    assert_eq!(
        dropped.load(Ordering::SeqCst),
        1,
        "and the others were ended all the same"
    );
}
