//! What destructors see and may do while their coroutine unwinds: it never suspends, so nobody else sees it.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::{Drops, HOUR, MS, OnDrop, SECOND, assert_calm, simulate};
use crate::net::{TcpListener, UnixStream};
use crate::sync::channel::{RecvError, SendError};
use crate::sync::{Mutex, RwLock, Semaphore, channel};
use crate::{JoinError, Refused, sleep, spawn, time, with_timeout, yield_now};

/// Runs `cleanup` in a destructor, once while a timeout unwinds and once while a kill and once while a panic does.
fn in_a_destructor(cleanup: impl Fn() + Send + Sync + 'static) {
    let cleanup = Arc::new(cleanup);
    let runs = Arc::new(AtomicUsize::new(0));
    let guard = || {
        let (cleanup, runs) = (cleanup.clone(), runs.clone());
        OnDrop(move || {
            assert!(thread::panicking());
            let start = time::now();
            cleanup();
            assert_eq!(time::now(), start, "a destructor waited");
            runs.fetch_add(1, Ordering::Relaxed);
        })
    };
    let ours = guard();
    let elapsed = with_timeout(MS, move || {
        let _guard = ours;
        sleep(HOUR);
    });
    assert!(elapsed.is_err());
    let theirs = guard();
    let killed = spawn(move || {
        let _guard = theirs;
        sleep(HOUR);
    });
    sleep(MS);
    killed.interrupt();
    assert!(matches!(killed.join(), Err(JoinError::Interrupted)));
    let theirs = guard();
    let panicked = spawn(move || {
        let _guard = theirs;
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(matches!(panicked.join(), Err(JoinError::Panicked(_))));
    assert_eq!(runs.load(Ordering::Relaxed), 3);
}

#[test]
fn sleep_and_yield_return_at_once() {
    simulate(|| {
        in_a_destructor(|| {
            sleep(HOUR);
            yield_now();
        });
    });
}

#[test]
fn what_need_not_wait_works() {
    simulate(|| {
        let mutex = Arc::new(Mutex::new(0));
        let inner = mutex.clone();
        let (sender, receiver) = channel::bounded(8);
        let (near, mut far) = UnixStream::pair().unwrap();
        in_a_destructor(move || {
            *inner.lock() += 1;
            *inner.try_lock().unwrap() += 1;
            drop(RwLock::new(()).write());
            drop(Semaphore::new(1).acquire());
            assert!(Semaphore::new(0).try_acquire().is_none());
            sender.send(1).unwrap();
            sender.try_send(2).unwrap();
            assert_eq!(receiver.recv(), Ok(1));
            assert_eq!(receiver.try_recv(), Ok(2));
            (&near).write_all(b"bye").unwrap();
            assert_eq!(with_timeout(SECOND, || 5), Ok(5));
            let _detached = spawn(|| sleep(HOUR));
        });
        assert_eq!(*mutex.lock(), 6);
        let mut words = vec![];
        far.read_to_end(&mut words).unwrap();
        assert_eq!(words, b"byebyebye", "its end was dropped with the closure");
    });
}

#[test]
fn what_would_have_to_wait_is_refused() {
    simulate(|| {
        let (sender, receiver) = channel::bounded::<u32>(0);
        let (near, far) = UnixStream::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let kept = (sender.clone(), receiver.clone(), far);
        let refused = |error: std::io::Error| {
            let inner = error.get_ref().expect("our own error");
            assert!(inner.is::<Refused>(), "{error:?}");
        };
        in_a_destructor(move || {
            assert_eq!(receiver.recv(), Err(RecvError::Refused));
            assert!(matches!(sender.send(1), Err(SendError::Refused(1))));
            assert!(matches!(
                spawn(|| sleep(HOUR)).join(),
                Err(JoinError::Refused(_))
            ));
            refused((&near).read(&mut [0; 4]).unwrap_err());
            refused(near.wait_readable().unwrap_err());
            refused(listener.accept().unwrap_err());
            assert_eq!(
                with_timeout(MS, || receiver.recv()),
                Ok(Err(RecvError::Refused))
            );
            near.shutdown(Shutdown::Write).ok();
        });
        drop(kept);
    });
}

#[test]
fn a_contended_lock_panics_and_a_caught_panic_goes_no_further() {
    // Once: each of the panics is reported on standard error.
    crate::testing::run(1, || {
        let mutex = Arc::new(Mutex::new(()));
        let held = mutex.lock();
        let inner = mutex.clone();
        in_a_destructor(move || {
            let hook = crate::catch_panic(|| drop(inner.lock()));
            let payload = hook.expect_err("it would have to wait");
            let message = payload.downcast_ref::<String>().expect("a message");
            assert!(message.contains("try_lock"), "{message}");
        });
        drop(held);
        assert!(mutex.try_lock().is_some());
    });
}

/// What already unwinds is not interrupted a second time: that would end the process.
#[test]
fn no_interrupt_is_raised_in_a_destructor() {
    simulate(|| {
        let child = spawn(|| {
            let _guard = OnDrop(|| {
                crate::registry::interrupt(crate::registry::current().unwrap());
                for _ in 0..10 {
                    sleep(HOUR);
                    yield_now();
                    drop(Mutex::new(()).lock());
                }
            });
            let _: Result<(), _> = with_timeout(MS, || {
                crate::registry::interrupt(crate::registry::current().unwrap());
                sleep(HOUR);
            });
        });
        assert!(matches!(child.join(), Err(JoinError::Interrupted)));
    });
}

#[test]
fn others_never_see_it() {
    simulate(|| {
        let others: Vec<_> = (0..10)
            .map(|_| {
                spawn(|| {
                    let mutex = std::sync::Mutex::new(());
                    for turn in 0..50 {
                        assert_calm();
                        // Falsely poisoned, if the guard's drop saw somebody else's unwinding.
                        drop(mutex.lock().expect("not poisoned"));
                        if turn % 2 == 0 {
                            yield_now()
                        } else {
                            sleep(MS)
                        }
                    }
                })
            })
            .collect();
        let unwinders: Vec<_> = (0..10)
            .map(|number| {
                spawn(move || {
                    let _guard = OnDrop(|| {
                        sleep(MS);
                        yield_now();
                        let _ = spawn(|| ()).join();
                        let _ = with_timeout(MS, || sleep(HOUR));
                    });
                    for _ in 0..5 {
                        assert!(with_timeout(MS, || sleep(HOUR)).is_err());
                        assert_calm();
                    }
                    match number % 3 {
                        0 => sleep(HOUR),
                        1 => std::panic::resume_unwind(Box::new("on purpose")),
                        _ => crate::shield(|| sleep(MS)),
                    }
                })
            })
            .collect();
        sleep(20 * MS);
        for unwinder in unwinders {
            unwinder.interrupt();
            let _ = unwinder.join();
        }
        for other in others {
            other.join().unwrap();
        }
    });
}

#[test]
fn every_destructor_runs_once() {
    simulate(|| {
        let drops = Drops::default();
        let depth_of = |drops: &Drops, depth| {
            fn descend(drops: &Drops, depth: u32) {
                let _token = drops.token();
                match depth {
                    0 => sleep(HOUR),
                    _ => drop(with_timeout(HOUR, || descend(drops, depth - 1))),
                }
            }
            let drops = drops.clone();
            spawn(move || descend(&drops, depth))
        };
        let children: Vec<_> = (0..10).map(|depth| depth_of(&drops, depth)).collect();
        sleep(MS);
        for child in &children {
            child.interrupt();
        }
        for child in children {
            assert!(child.join().is_err());
        }
        assert_eq!(drops.count(), (1..=10).sum());
        assert!(
            with_timeout(MS, || {
                let _token = drops.token();
                sleep(HOUR);
            })
            .is_err()
        );
        assert_eq!(drops.count(), 56);
    });
}

/// Results that nobody joins are dropped, and what such a destructor does is confined to its coroutine.
#[test]
fn the_result_of_a_detached_one_is_dropped_once() {
    simulate(|| {
        let drops = Drops::default();
        let token = drops.token();
        drop(spawn(move || token));
        let token = drops.token();
        let late = spawn(move || token);
        sleep(MS);
        assert_eq!(drops.count(), 1);
        drop(late);
        assert_eq!(drops.count(), 2);
    });
}

#[test]
fn a_panic_in_the_destructor_of_a_detached_result_ends_nobody_else() {
    simulate(|| {
        drop(spawn(|| {
            OnDrop(|| std::panic::resume_unwind(Box::new("on purpose")))
        }));
        sleep(MS);
        assert_eq!(spawn(|| 7).join().unwrap(), 7, "the worker lives");
    });
}

/// A detached result's destructor is code of its coroutine like any other: its waits suspend, they do not block the
/// worker.
#[test]
fn a_wait_in_the_destructor_of_a_detached_result_blocks_nobody() {
    simulate(|| {
        let mutex = Arc::new(Mutex::new(0));
        let held = mutex.lock();
        let its = mutex.clone();
        drop(spawn(move || OnDrop(move || *its.lock() += 1)));
        sleep(MS);
        drop(held);
        sleep(MS);
        assert_eq!(*mutex.lock(), 1);
    });
}

/// The captures of what never starts, likewise.
#[test]
fn a_wait_in_the_destructor_of_a_capture_blocks_nobody() {
    simulate(|| {
        let mutex = Arc::new(Mutex::new(0));
        let held = mutex.lock();
        let its = mutex.clone();
        let capture = OnDrop(move || *its.lock() += 1);
        let child = spawn(move || drop(capture));
        child.interrupt();
        sleep(MS);
        drop(held);
        assert!(child.join().is_err());
        // Whether the wait was refused its time or not is the interrupt's affair: the mutex is free.
        assert!(mutex.try_lock().is_some());
    });
}
