//! Asking a coroutine to end: whatever it does at that moment.

use std::cell::Cell;
use std::io::Read;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::{Drops, HOUR, MS, OnDrop, SECOND, assert_calm, simulate, swallow};
use crate::net::{TcpListener, UnixStream};
use crate::sync::{Condvar, Event, Mutex, RwLock, Semaphore, channel};
use crate::{JoinError, registry, sleep, spawn, spawn_local, time, with_timeout, yield_now};

fn assert_interrupted<T>(result: Result<T, JoinError>) {
    match result {
        Err(JoinError::Interrupted) => {}
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it returned"),
    }
}

/// Spawns `wait`, lets it get there, interrupts it, and sees that it ends at once and unwinds.
fn ends(name: &'static str, wait: impl FnOnce() + Send + 'static) {
    let drops = Drops::default();
    let token = drops.token();
    let started = Arc::new(AtomicBool::new(false));
    let starts = started.clone();
    let child = spawn(move || {
        let _token = token;
        starts.store(true, Ordering::Relaxed);
        wait();
        panic!("{name} came back");
    });
    while !started.load(Ordering::Relaxed) {
        yield_now();
    }
    // Some seeds find it before, some in its wait.
    let start = time::now();
    child.interrupt();
    assert_interrupted(child.join());
    assert_eq!(drops.count(), 1);
    assert_eq!(time::now(), start, "it ended at once");
}

#[test]
fn a_waiting_one_ends_whatever_it_waits_for() {
    simulate(|| {
        ends("sleep", || sleep(HOUR));
        ends("sleep for good", || sleep(Duration::MAX));
        ends("join", || drop(spawn(|| sleep(HOUR)).join()));
        ends("event", || Event::new().wait());
        ends("semaphore", || drop(Semaphore::new(0).acquire()));
        ends("condvar", || {
            drop(Condvar::new().wait(Mutex::new(()).lock()))
        });
        ends("read", || {
            let (mut ours, _theirs) = UnixStream::pair().unwrap();
            drop(ours.read(&mut [0; 8]));
        });
        ends("accept", || {
            drop(TcpListener::bind("127.0.0.1:0").unwrap().accept())
        });
        let mutex = Arc::new(Mutex::new(()));
        let held = mutex.lock();
        let wanted = mutex.clone();
        ends("lock", move || drop(wanted.lock()));
        drop(held);
        assert!(
            mutex.try_lock().is_some(),
            "whoever was interrupted in line holds nothing"
        );
        let lock = Arc::new(RwLock::new(()));
        let held = lock.read();
        let wanted = lock.clone();
        ends("write", move || drop(wanted.write()));
        drop(held);
        assert!(lock.try_write().is_some());
    });
}

#[test]
fn a_waiting_receiver_ends_and_its_end_of_the_channel_closes() {
    simulate(|| {
        let (sender, receiver) = channel::bounded::<u32>(1);
        let child = spawn(move || receiver.recv());
        sleep(MS);
        child.interrupt();
        assert_interrupted(child.join());
        assert!(sender.send(1).is_err(), "its receiver was dropped");
    });
}

#[test]
fn a_ready_one_keeps_what_it_was_granted_and_ends_at_its_next_wait() {
    simulate(|| {
        let (sender, receiver) = channel::bounded::<u32>(1);
        let got = Arc::new(AtomicUsize::new(0));
        let gets = got.clone();
        let child = spawn(move || {
            gets.store(receiver.recv().unwrap() as usize, Ordering::Relaxed);
            sleep(HOUR);
        });
        sleep(MS);
        // Granted, and then interrupted before it runs: nothing suspends in between.
        sender.send(7).unwrap();
        child.interrupt();
        assert_interrupted(child.join());
        assert_eq!(
            got.load(Ordering::Relaxed),
            7,
            "a grant that came first wins"
        );
    });
}

#[test]
fn a_running_one_ends_at_its_next_wait() {
    simulate(|| {
        let (sender, receiver) = channel::unbounded::<crate::CoroutineId>();
        let reached = Arc::new(AtomicUsize::new(0));
        let reaches = reached.clone();
        let child = spawn(move || {
            // It interrupts itself, so it runs for sure.
            assert!(registry::interrupt(registry::current().unwrap()));
            reaches.store(1, Ordering::Relaxed);
            sender.send(registry::current().unwrap()).unwrap();
            sleep(Duration::ZERO);
            reaches.store(2, Ordering::Relaxed);
        });
        let id = child.id();
        assert_interrupted(child.join());
        assert_eq!(reached.load(Ordering::Relaxed), 1);
        assert_eq!(receiver.recv(), Ok(id), "what need not wait still worked");
    });
}

#[test]
fn an_unstarted_one_never_runs() {
    simulate(|| {
        let ran = Arc::new(AtomicBool::new(false));
        let drops = Drops::default();
        let children: Vec<_> = (0..20)
            .map(|_| {
                let (runs, token) = (ran.clone(), drops.token());
                let child = spawn(move || {
                    let _token = token;
                    runs.store(true, Ordering::Relaxed);
                });
                child.interrupt();
                child
            })
            .collect();
        let local = Rc::new(Cell::new(0));
        let inside = local.clone();
        let alone = spawn_local(move || inside.set(1));
        alone.interrupt();
        for child in children {
            assert_interrupted(child.join());
        }
        assert_interrupted(alone.join());
        assert!(!ran.load(Ordering::Relaxed));
        assert_eq!(drops.count(), 20, "each capture is dropped once");
        assert_eq!((local.get(), Rc::strong_count(&local)), (0, 1));
    });
}

#[test]
fn an_ended_one_has_its_value_still() {
    simulate(|| {
        let child = spawn(|| 7);
        while !child.is_finished() {
            yield_now();
        }
        child.interrupt();
        child.interrupt();
        assert_eq!(child.join().unwrap(), 7);
    });
}

#[test]
fn asking_twice_changes_nothing() {
    simulate(|| {
        let unwound = Drops::default();
        let token = unwound.token();
        let child = spawn(move || {
            let _token = token;
            sleep(HOUR);
        });
        yield_now();
        for _ in 0..10 {
            child.interrupt();
        }
        assert_interrupted(child.join());
        assert_eq!(unwound.count(), 1);
    });
}

#[test]
fn one_that_swallows_never_waits_again_and_ends() {
    simulate(|| {
        let (sender, receiver) = channel::unbounded();
        // Open to the end, whoever of the two ends first.
        let _open = receiver.clone();
        let its = sender.clone();
        let peer = spawn(move || {
            for turn in 0..100 {
                assert_calm();
                its.send(turn).unwrap();
                yield_now();
            }
        });
        let started = Arc::new(AtomicBool::new(false));
        let starts = started.clone();
        let child = spawn(move || {
            starts.store(true, Ordering::Relaxed);
            let mut good = 0;
            let mut swallowed = 0;
            while swallowed < 100 {
                match swallow(|| receiver.recv()) {
                    Some(_) if swallowed > 0 => good += 1,
                    Some(_) => {}
                    None => swallowed += 1,
                }
            }
            good
        });
        while !started.load(Ordering::Relaxed) {
            yield_now();
        }
        child.interrupt();
        peer.join().unwrap();
        // It returned, so that is what it came to: an end that was asked for is not forced upon a result.
        assert_eq!(
            child.join().unwrap(),
            0,
            "a wait succeeded after the interrupt"
        );
    });
}

#[test]
fn the_end_of_a_child_does_not_end_its_parent() {
    simulate(|| {
        let grandchild = spawn(|| {
            let child = spawn(|| sleep(HOUR));
            child.interrupt();
            child.join().is_err()
        });
        assert!(grandchild.join().unwrap());
    });
}

#[test]
fn an_interrupt_goes_through_every_timeout_and_catch_panic() {
    simulate(|| {
        let handled = Arc::new(AtomicBool::new(false));
        let handles = handled.clone();
        let child = spawn(move || {
            let inner = with_timeout(HOUR, || {
                crate::catch_panic(|| with_timeout(HOUR, || sleep(HOUR)))
            });
            handles.store(true, Ordering::Relaxed);
            inner.is_ok()
        });
        sleep(MS);
        child.interrupt();
        assert_interrupted(child.join());
        assert!(!handled.load(Ordering::Relaxed));
    });
}

/// The wait for the mutex, after the notification, takes no interrupt: it comes with the next blocking call.
#[test]
fn a_notified_waiter_gets_its_mutex_though_it_is_killed() {
    simulate(|| {
        let shared = Arc::new((Mutex::new(0), Condvar::new(), AtomicBool::new(false)));
        let its = shared.clone();
        let child = spawn(move || {
            let (mutex, condvar, back) = &*its;
            let mut guard = condvar.wait(mutex.lock());
            *guard += 1;
            back.store(true, Ordering::Relaxed);
            drop(guard);
            sleep(HOUR);
        });
        let (mutex, condvar, back) = &*shared;
        sleep(MS);
        let held = mutex.lock();
        assert!(condvar.notify_one());
        // It runs, finds the mutex taken and waits for it.
        sleep(MS);
        child.interrupt();
        sleep(SECOND);
        assert!(
            !back.load(Ordering::Relaxed) && !child.is_finished(),
            "the wait is masked"
        );
        drop(held);
        assert_interrupted(child.join());
        assert!(back.load(Ordering::Relaxed));
        assert_eq!(*mutex.lock(), 1);
    });
}

#[test]
fn a_timeout_does_not_end_a_masked_wait_either() {
    simulate(|| {
        let shared = Arc::new((Mutex::new(()), Condvar::new()));
        let its = shared.clone();
        let child = spawn(move || {
            let mut back = false;
            let result = with_timeout(10 * MS, || {
                drop(its.1.wait(its.0.lock()));
                back = true;
                sleep(HOUR);
            });
            (back, result.is_err(), time::now())
        });
        sleep(MS);
        let held = shared.0.lock();
        shared.1.notify_all();
        sleep(SECOND);
        let released = time::now();
        drop(held);
        let (back, elapsed, ended) = child.join().unwrap();
        assert!(back && elapsed);
        assert_eq!(
            ended, released,
            "and it is raised as soon as the mutex was there"
        );
    });
}

#[test]
fn whoever_is_interrupted_in_line_passes_the_grant_on() {
    simulate(|| {
        let mutex = Arc::new(Mutex::new(0));
        let held = mutex.lock();
        let waiters: Vec<_> = (0..20)
            .map(|_| {
                let mutex = mutex.clone();
                spawn(move || {
                    *mutex.lock() += 1;
                    yield_now();
                })
            })
            .collect();
        sleep(MS);
        for waiter in waiters.iter().step_by(2) {
            waiter.interrupt();
        }
        drop(held);
        let ended = waiters
            .into_iter()
            .filter(|_| true)
            .map(crate::JoinHandle::join);
        let results: Vec<_> = ended.collect();
        assert!(results.iter().skip(1).step_by(2).all(Result::is_ok));
        // Those that had the grant already count; none was lost, and the mutex is free.
        assert!(*mutex.lock() >= 10);
    });
}

#[test]
fn the_main_coroutine_can_be_interrupted_too() {
    let dropped = Drops::default();
    let token = dropped.token();
    let result = std::panic::catch_unwind(|| {
        crate::testing::run(1, move || {
            let _token = token;
            registry::interrupt(registry::current().unwrap());
            sleep(HOUR);
        });
    });
    let payload = result.expect_err("there is no value to return");
    let message = payload.downcast_ref::<String>().expect("a message");
    assert!(message.contains("interrupted"), "{message}");
    assert_eq!(dropped.count(), 1);
}

/// A destructor that runs because of the interrupt sees it as any destructor sees an unwinding.
#[test]
fn destructors_of_what_is_interrupted_run_in_order() {
    simulate(|| {
        let order = Arc::new(Mutex::new(vec![]));
        let log = order.clone();
        let child = spawn(move || {
            let note = |number: u32| {
                let log = log.clone();
                OnDrop(move || log.try_lock().expect("nobody else has it").push(number))
            };
            let _first = note(1);
            let _second = note(2);
            sleep(HOUR);
        });
        sleep(MS);
        child.interrupt();
        assert_interrupted(child.join());
        assert_eq!(*order.lock(), [2, 1]);
    });
}
