//! Calls on threads: their order, their panics, their orphans.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use crate::events::pool::Pool;
use crate::events::unblock::{UnblockError, run_on};
use crate::sync::tests::yield_until;
use crate::{JoinError, spawn, with_timeout};

const LONG: Duration = Duration::from_secs(3_600);

fn pool(max_threads: usize) -> Arc<Pool> {
    Arc::new(Pool::new(max_threads, LONG))
}

/// A call that blocks its thread until it is let go.
fn gate() -> (Sender<()>, Receiver<()>) {
    mpsc::channel()
}

#[test]
fn a_blocking_call_holds_up_nobody_else() {
    crate::testing::run(1, || {
        let pool = pool(4);
        let (open, gate) = gate();
        let caller = spawn({
            let pool = Arc::clone(&pool);
            move || run_on(&pool, move || gate.recv().map(|()| 7)).unwrap()
        });
        yield_until("a busy thread", || pool.statistics().busy == 1);
        // The one worker of the simulation is free to do this.
        open.send(()).unwrap();
        assert_eq!(caller.join().unwrap(), Ok(7));
    });
}

#[test]
fn beyond_the_limit_calls_queue_in_order() {
    crate::run(|| {
        let pool = pool(1);
        let (open, gate) = gate();
        let (tell, told) = mpsc::channel();
        let mut callers = vec![spawn({
            let pool = Arc::clone(&pool);
            move || run_on(&pool, move || gate.recv().unwrap()).unwrap()
        })];
        yield_until("a busy thread", || pool.statistics().busy == 1);
        for number in 0..5 {
            let (inner, tell) = (Arc::clone(&pool), tell.clone());
            callers.push(spawn(move || {
                run_on(&inner, move || tell.send(number).unwrap()).unwrap();
            }));
            yield_until(number, || pool.statistics().queued == number + 1);
        }
        let statistics = pool.statistics();
        assert_eq!((statistics.threads, statistics.busy), (1, 1));
        open.send(()).unwrap();
        for caller in callers {
            caller.join().unwrap();
        }
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        let statistics = pool.statistics();
        assert_eq!((statistics.calls, statistics.queued), (6, 0));
        assert!(statistics.longest_wait > Duration::ZERO);
        assert_eq!(statistics.orphans + statistics.withdrawn, 0);
    });
}

#[test]
fn a_panic_reaches_the_caller() {
    let pool = pool(1);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        run_on(&pool, || -> u8 { panic!("the disk is on fire") })
    }));
    let message = panic.unwrap_err();
    assert_eq!(message.downcast_ref(), Some(&"the disk is on fire"));
    assert_eq!(run_on(&pool, || 1).unwrap(), 1, "the thread lives on");
}

#[test]
fn who_is_interrupted_leaves_an_orphan_or_nothing() {
    crate::run(|| {
        let pool = pool(1);
        let (open, gate) = gate();
        let (tell, told) = mpsc::channel();
        let owned = Arc::new(());
        let orphan = spawn({
            let (pool, owned, tell) = (Arc::clone(&pool), Arc::clone(&owned), tell.clone());
            move || {
                run_on(&pool, move || {
                    gate.recv().unwrap();
                    tell.send("ran").unwrap();
                    owned
                })
            }
        });
        yield_until("a busy thread", || pool.statistics().busy == 1);
        let withdrawn = spawn({
            let (pool, tell) = (Arc::clone(&pool), tell.clone());
            move || run_on(&pool, move || tell.send("never").unwrap())
        });
        yield_until("a queued call", || pool.statistics().queued == 1);
        orphan.interrupt();
        withdrawn.interrupt();
        // Both end while the thread is held.
        assert!(matches!(orphan.join(), Err(JoinError::Interrupted)));
        assert!(matches!(withdrawn.join(), Err(JoinError::Interrupted)));
        let statistics = pool.statistics();
        assert_eq!((statistics.orphans, statistics.withdrawn), (1, 1));
        assert_eq!((statistics.busy, statistics.queued), (1, 0));
        open.send(()).unwrap();
        yield_until("an idle thread", || pool.statistics().busy == 0);
        assert_eq!(told.try_iter().collect::<Vec<_>>(), ["ran"]);
        assert_eq!(
            Arc::strong_count(&owned),
            1,
            "the orphan's result is dropped"
        );
    });
}

#[test]
fn a_timeout_works_on_plain_threads_too() {
    let pool = pool(1);
    let mut gates = Vec::new();
    let is_given_up = |_| {
        let (open, gate) = gate();
        let call = || run_on(&pool, move || gate.recv());
        assert!(with_timeout(Duration::from_millis(1), call).is_err());
        gates.push(open);
        // It may have passed before a thread came to the call; on a machine with much to do, before the call was made.
        let statistics = pool.statistics();
        statistics.orphans + statistics.withdrawn == 1
    };
    assert!((0..1_000).any(is_given_up));
    drop(gates);
    assert_eq!(run_on(&pool, || 3).unwrap(), 3);
}

#[test]
fn a_panic_in_dropping_an_orphan_costs_no_thread() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    crate::run(|| {
        let pool = pool(1);
        let (open, gate) = gate();
        let caller = spawn({
            let pool = Arc::clone(&pool);
            move || {
                run_on(&pool, move || {
                    gate.recv().unwrap();
                    Bomb
                })
                .map(std::mem::forget)
            }
        });
        yield_until("a busy thread", || pool.statistics().busy == 1);
        caller.interrupt();
        assert!(caller.join().is_err());
        open.send(()).unwrap();
        assert_eq!(run_on(&pool, || 4).unwrap(), 4);
        assert_eq!(pool.statistics().threads, 1);
    });
}

#[test]
fn idle_threads_leave() {
    let pool = Arc::new(Pool::new(8, Duration::ZERO));
    run_on(&pool, || ()).unwrap();
    yield_until("no threads", || pool.statistics().threads == 0);
    run_on(&pool, || ()).unwrap();
}

#[test]
fn a_lower_limit_ends_threads_and_a_higher_one_starts_them() {
    crate::run(|| {
        let pool = pool(1);
        let (opens, callers): (Vec<_>, Vec<_>) = (0..3)
            .map(|_| {
                let (open, gate) = gate();
                let pool = Arc::clone(&pool);
                (open, spawn(move || run_on(&pool, move || gate.recv())))
            })
            .unzip();
        yield_until("two in line", || pool.statistics().queued == 2);
        pool.set_max_threads(3);
        yield_until("three threads", || pool.statistics().busy == 3);
        pool.set_max_threads(1);
        drop(opens);
        for caller in callers {
            assert!(caller.join().unwrap().unwrap().is_err());
        }
        yield_until("one thread", || pool.statistics().threads == 1);
    });
}

#[test]
fn a_call_within_a_call_needs_no_second_thread() {
    let pool = pool(1);
    let inner = Arc::clone(&pool);
    assert_eq!(
        run_on(&pool, move || run_on(&inner, || 5).unwrap()).unwrap(),
        5
    );
}

#[test]
fn while_unwinding_it_refuses() {
    struct Cleanup(Arc<Pool>, Sender<bool>);
    impl Drop for Cleanup {
        fn drop(&mut self) {
            let refused = matches!(run_on(&self.0, || ()), Err(UnblockError::Refused(_)));
            self.1.send(refused).unwrap();
        }
    }
    let (tell, told) = mpsc::channel();
    let unwound = crate::run(move || {
        spawn(move || {
            let _cleanup = Cleanup(pool(1), tell);
            panic!("on purpose");
        })
        .join()
    });
    assert!(matches!(unwound, Err(JoinError::Panicked(_))));
    assert!(told.recv().unwrap());
}

#[test]
fn a_virtual_clock_waits_for_a_call() {
    crate::testing::run(1, || {
        let pool = pool(1);
        let start = crate::time::now();
        // It takes real time; virtual time would have passed at once.
        let call = || (0..1_000).for_each(|_| std::thread::yield_now());
        let done = with_timeout(Duration::from_millis(1), || run_on(&pool, call));
        assert!(done.is_ok());
        assert_eq!(crate::time::now(), start);
        crate::sleep(LONG);
    });
}

#[test]
fn but_its_patience_has_an_end() {
    let simulation = crate::testing::Simulation::new(1).patience(Duration::from_millis(1));
    simulation.run(|| {
        let pool = pool(1);
        let (open, gate) = gate();
        let late = with_timeout(LONG, || run_on(&pool, move || gate.recv()));
        assert!(late.is_err());
        drop(open);
    });
}
