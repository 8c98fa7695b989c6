//! `with_timeout`: who gets `Elapsed`, when, and what it bounds.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{HOUR, MS, SECOND, assert_calm, simulate, simulate_some, swallow};
use crate::net::{TcpListener, UnixStream};
use crate::sync::{Condvar, Event, Mutex, RwLock, Semaphore, channel};
use crate::{Elapsed, sleep, spawn, testing, time, with_deadline, with_timeout, yield_now};

/// One scope for each limit, the first outermost. Leaves the levels that returned `Elapsed` in `elapsed`, and those whose
/// code went on after their child in `went_on`.
fn nest(limits: &[Duration], level: usize, elapsed: &mut Vec<usize>, went_on: &mut Vec<usize>) {
    let Some((&limit, inner)) = limits.split_first() else {
        sleep(HOUR);
        return;
    };
    let result = with_timeout(limit, || {
        nest(inner, level + 1, elapsed, went_on);
        went_on.push(level);
    });
    if result.is_err() {
        elapsed.push(level);
    }
}

#[test]
fn of_fifty_nested_timeouts_the_earliest_owns_the_end() {
    for shortest in 0..50 {
        testing::run(shortest as u64, move || {
            let mut limits = vec![10 * SECOND; 50];
            limits[shortest] = SECOND;
            let (mut elapsed, mut went_on) = (vec![], vec![]);
            let start = time::now();
            nest(&limits, 0, &mut elapsed, &mut went_on);
            assert_eq!(time::now() - start, SECOND);
            assert_eq!(elapsed, [shortest], "only the owner gets it");
            // Those inside were skipped, those outside went on as if nothing had happened.
            let outside: Vec<_> = (0..shortest).rev().collect();
            assert_eq!(went_on, outside);
        });
    }
}

#[test]
fn an_inner_timeout_is_no_concern_of_an_outer_one() {
    simulate(|| {
        let outer = with_timeout(SECOND, || {
            assert_eq!(with_timeout(MS, || sleep(HOUR)), Err(Elapsed));
            sleep(MS);
            7
        });
        assert_eq!(outer, Ok(7));
    });
}

#[test]
fn of_several_that_have_passed_the_outermost_counts() {
    simulate(|| {
        let mut handled = false;
        let result = with_timeout(SECOND, || {
            let inner = with_timeout(2 * SECOND, || {
                crate::shield(|| sleep(3 * SECOND));
                sleep(HOUR);
            });
            handled = inner.is_err();
        });
        assert_eq!(result, Err(Elapsed));
        assert!(!handled, "the inner one's handler ran");

        let mut handled = false;
        let result = with_timeout(Duration::ZERO, || {
            handled = with_timeout(Duration::ZERO, || sleep(Duration::ZERO)).is_err();
        });
        assert_eq!(result, Err(Elapsed));
        assert!(!handled, "the inner one's handler ran");

        // Both at the same instant.
        let mut handled = false;
        let result = with_timeout(SECOND, || {
            handled = with_timeout(SECOND, || sleep(HOUR)).is_err();
        });
        assert_eq!(result, Err(Elapsed));
        assert!(!handled, "the inner one's handler ran");
    });
}

#[test]
fn no_time_at_all_elapses() {
    simulate(|| {
        assert_eq!(
            with_timeout(Duration::ZERO, || sleep(Duration::ZERO)),
            Err(Elapsed)
        );
        assert_eq!(with_timeout(Duration::ZERO, yield_now), Err(Elapsed));
        let (_sender, receiver) = channel::unbounded::<()>();
        assert_eq!(
            with_timeout(Duration::ZERO, || receiver.recv()),
            Err(Elapsed)
        );
        assert_eq!(
            with_timeout(Duration::ZERO, || 7),
            Ok(7),
            "what does not block has all the time it needs"
        );
        assert_eq!(
            with_deadline(time::now(), || sleep(Duration::ZERO)),
            Err(Elapsed)
        );
        assert_eq!(
            with_deadline(time::now() - MS, || sleep(Duration::ZERO)),
            Err(Elapsed)
        );
    });
    assert_eq!(
        with_timeout(Duration::ZERO, || sleep(SECOND)),
        Err(Elapsed),
        "on a plain thread too"
    );
}

#[test]
fn all_the_time_there_is_never_elapses() {
    simulate(|| {
        assert_eq!(with_timeout(Duration::MAX, || sleep(HOUR)), Ok(()));
        assert_eq!(with_timeout(HOUR, || sleep(Duration::MAX)), Err(Elapsed));
    });
}

/// A sleep and its own timeout that end at the same instant: both timers are on the same worker's wheel, and it serves
/// those of one instant in the order in which they were armed. A scope arms its timer when it first has to wait: so
/// whoever has not waited before gets the value, and whoever has, is told `Elapsed`.
#[test]
fn a_tie_goes_to_the_timer_that_was_armed_first() {
    simulate(|| {
        for limit in [MS, 10 * MS, SECOND, HOUR] {
            assert_eq!(with_timeout(limit, || sleep(limit)), Ok(()), "{limit:?}");
            let late = with_timeout(limit, || {
                sleep(limit / 2);
                sleep(limit - limit / 2);
            });
            assert_eq!(late, Err(Elapsed), "{limit:?}");
        }
    });
}

#[test]
fn what_was_granted_before_the_timeout_wins() {
    simulate(|| {
        let (sender, receiver) = channel::unbounded();
        let giver = spawn(move || {
            sleep(SECOND);
            // Granted to the waiting receiver, which has not run since; then its time passes.
            sender.send(7).unwrap();
        });
        assert_eq!(with_timeout(SECOND + MS, || receiver.recv()), Ok(Ok(7)));
        giver.join().unwrap();
    });
}

#[test]
fn what_swallows_the_timeout_gets_it_again_and_starves_nobody() {
    simulate_some(20, || {
        let turns = Arc::new(AtomicUsize::new(0));
        let counted = turns.clone();
        let peer = spawn(move || {
            loop {
                assert_calm();
                counted.fetch_add(1, Ordering::Relaxed);
                yield_now();
            }
        });
        let (_sender, receiver) = channel::unbounded::<()>();
        // The peer yields without end, so no time passes: the deadline is one that has passed already.
        let succeeded = with_timeout(Duration::ZERO, || {
            (0..200)
                .filter(|round| match round % 4 {
                    0 => swallow(|| sleep(Duration::ZERO)).is_some(),
                    1 => swallow(|| receiver.recv()).is_some(),
                    2 => swallow(|| Event::new().wait()).is_some(),
                    _ => swallow(yield_now).is_some(),
                })
                .count()
        });
        assert_eq!(succeeded, Ok(0), "it swallowed every one and returned");
        peer.interrupt();
        assert!(peer.join().is_err());
        assert!(
            turns.load(Ordering::Relaxed) >= 50,
            "{turns:?} turns beside 200 interrupts"
        );
    });
}

#[test]
fn a_swallowed_timeout_leaves_no_wait_that_succeeds() {
    simulate(|| {
        let (sender, receiver) = channel::unbounded();
        let peer = spawn(move || {
            for turn in 0..1_000 {
                assert_calm();
                sender.send(turn).unwrap();
                sleep(MS);
            }
        });
        let good = with_timeout(10 * MS, || {
            while swallow(|| sleep(SECOND)).is_some() {}
            (0..100)
                .filter(|_| swallow(|| receiver.recv()).is_some())
                .count()
        });
        assert_eq!(good, Ok(0));
        peer.join().unwrap();
        assert_eq!(receiver.len(), 1_000);
    });
}

/// Every blocking call there is, bounded.
#[test]
fn every_blocking_call_is_bounded() {
    simulate(|| {
        let start = time::now();
        let mut calls = 0;
        let mut elapses = |name: &str, call: &mut dyn FnMut()| {
            assert_eq!(with_timeout(SECOND, &mut *call), Err(Elapsed), "{name}");
            calls += 1;
        };
        let mutex = Mutex::new(());
        let held = mutex.lock();
        elapses("lock", &mut || drop(mutex.lock()));
        drop(held);
        let lock = RwLock::new(());
        let held = lock.read();
        elapses("write", &mut || drop(lock.write()));
        drop(held);
        let held = lock.write();
        elapses("read", &mut || drop(lock.read()));
        drop(held);
        let condvar = Condvar::new();
        elapses("condvar", &mut || drop(condvar.wait(mutex.lock())));
        assert!(
            mutex.try_lock().is_some(),
            "the interrupted wait left the mutex free"
        );
        let semaphore = Semaphore::new(0);
        elapses("semaphore", &mut || drop(semaphore.acquire()));
        elapses("event", &mut || Event::new().wait());
        let (sender, receiver) = channel::bounded(1);
        elapses("recv", &mut || assert!(receiver.recv().is_err()));
        sender.send(()).unwrap();
        elapses("send", &mut || assert!(sender.send(()).is_err()));
        elapses("sleep", &mut || sleep(HOUR));
        let child = spawn(|| sleep(HOUR));
        let mut handle = Some(child);
        elapses("join", &mut || drop(handle.take().unwrap().join()));
        let (mut ours, _theirs) = UnixStream::pair().unwrap();
        elapses("read", &mut || drop(ours.read(&mut [0; 8])));
        elapses("wait_readable", &mut || drop(ours.wait_readable()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        elapses("accept", &mut || drop(listener.accept()));
        assert_eq!(time::now() - start, SECOND * calls);
    });
}

/// Blocks this thread, in each way that there is; allowed to take real time, since it waits for nobody.
#[test]
fn on_a_plain_thread_too() {
    let limit = 3 * MS;
    let elapses = |name: &str, call: &mut dyn FnMut()| {
        let start = Instant::now();
        assert_eq!(with_timeout(limit, &mut *call), Err(Elapsed), "{name}");
        let took = start.elapsed();
        assert!(took >= limit, "{name} took only {took:?}");
        // A busy machine may hold the thread back, but not by this much.
        assert!(took < 5 * SECOND, "{name} took {took:?}");
    };
    let mutex = Mutex::new(());
    let held = mutex.lock();
    elapses("lock", &mut || drop(mutex.lock()));
    drop(held);
    let condvar = Condvar::new();
    elapses("condvar", &mut || drop(condvar.wait(mutex.lock())));
    elapses("event", &mut || Event::new().wait());
    let semaphore = Semaphore::new(0);
    elapses("semaphore", &mut || drop(semaphore.acquire()));
    let (_sender, receiver) = channel::bounded::<()>(0);
    elapses("recv", &mut || assert!(receiver.recv().is_err()));
    elapses("sleep", &mut || sleep(HOUR));
    let (mut ours, _theirs) = UnixStream::pair().unwrap();
    elapses("read", &mut || drop(ours.read(&mut [0; 8])));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    elapses("accept", &mut || drop(listener.accept()));
    let runtime = crate::Runtime::builder().workers(1).build().unwrap();
    let mut handle = Some(runtime.spawn(|| sleep(HOUR)));
    elapses("join", &mut || drop(handle.take().unwrap().join()));

    let mut handled = false;
    let outer = with_timeout(limit, || {
        handled = with_timeout(SECOND, || sleep(HOUR)).is_err()
    });
    assert_eq!(outer, Err(Elapsed));
    assert!(!handled);
    runtime.shutdown(10 * SECOND).unwrap();
}

/// A deadline that passes while the coroutine computes is noticed by the next call that has to wait. On the real
/// clock, which computing moves.
#[test]
fn a_computing_loop_meets_its_deadline_at_the_next_wait() {
    let runtime = crate::Runtime::builder().workers(1).build().unwrap();
    runtime.run(|| {
        let waits: [fn(); 3] = [|| sleep(HOUR), || Event::new().wait(), yield_now];
        for wait in waits {
            let mut computed = false;
            let result = with_timeout(3 * MS, || {
                let start = Instant::now();
                while start.elapsed() < 6 * MS {
                    std::hint::spin_loop();
                }
                computed = true;
                wait();
            });
            assert_eq!(result, Err(Elapsed));
            assert!(computed, "nothing stops a computation");
        }
    });
}

/// Suspending is not the same as waiting: a loop that only yields is bounded as well.
#[test]
fn a_yielding_loop_is_bounded() {
    let runtime = crate::Runtime::builder().workers(1).build().unwrap();
    let turns = runtime.run(|| {
        let mut turns = 0_u64;
        let result: Result<(), Elapsed> = with_timeout(3 * MS, || {
            let start = Instant::now();
            loop {
                assert!(start.elapsed() < 10 * SECOND, "it yields without end");
                turns += 1;
                yield_now();
            }
        });
        assert_eq!(result, Err(Elapsed));
        turns
    });
    assert!(turns > 1);
}

/// Nor does a loop whose I/O always succeeds at once escape.
#[test]
fn a_loop_of_immediate_io_is_bounded() {
    let runtime = crate::Runtime::builder().workers(1).build().unwrap();
    runtime.run(|| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let result: Result<(), Elapsed> = with_timeout(3 * MS, || {
            let start = Instant::now();
            loop {
                assert!(start.elapsed() < 10 * SECOND, "it goes on without end");
                std::io::Write::write_all(&mut &ours, b"x").unwrap();
                (&theirs).read_exact(&mut [0]).unwrap();
            }
        });
        assert_eq!(result, Err(Elapsed));
    });
}

#[test]
fn timeouts_are_counted() {
    simulate(|| {
        let before = crate::registry::stats().unwrap().timeouts;
        for _ in 0..5 {
            assert!(with_timeout(MS, || sleep(HOUR)).is_err());
        }
        assert!(with_timeout(HOUR, || sleep(MS)).is_ok());
        assert_eq!(crate::registry::stats().unwrap().timeouts - before, 5);
    });
}
