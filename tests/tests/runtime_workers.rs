//! Coroutines on several workers: they stay on their threads, spread, are stolen before they start, and starve nobody.

mod runtime_support;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ThreadId};
use std::time::Instant;

use grapeshot::net::UnixStream;
use grapeshot::sync::{Event, Mutex, Semaphore, channel};
use grapeshot::{JoinHandle, registry, sleep, spawn, spawn_local, with_timeout, yield_now};
use runtime_support::{HOUR, MS, PATIENCE, compute, runtime, until};

thread_local! {
    static MARK: Cell<u64> = const { Cell::new(0) };
}

fn here() -> ThreadId {
    thread::current().id()
}

#[test]
fn a_coroutine_never_changes_its_thread() {
    let threads = runtime(4).run(|| {
        let mutex = Arc::new(Mutex::new(()));
        let permits = Arc::new(Semaphore::new(3));
        let (sender, receiver) = channel::bounded::<u32>(16);
        let pump: Vec<_> = (0..4)
            .map(|_| {
                let (sender, receiver) = (sender.clone(), receiver.clone());
                spawn(move || {
                    for _ in 0..500 {
                        sender.send(1).unwrap();
                        receiver.recv().unwrap();
                    }
                })
            })
            .collect();
        let children: Vec<_> = (0..2_000_u64)
            .map(|number| {
                let (mutex, permits) = (mutex.clone(), permits.clone());
                spawn(move || {
                    let home = here();
                    let stays = |what: &str| assert_eq!(here(), home, "after {what}");
                    for turn in 0..3 {
                        match (number + turn) % 6 {
                            0 => yield_now(),
                            1 => sleep(MS),
                            2 => drop(mutex.lock()),
                            3 => drop(permits.acquire()),
                            4 => assert!(with_timeout(MS, || sleep(HOUR)).is_err()),
                            _ => assert!(spawn(|| ()).join().is_ok()),
                        }
                        stays("a wait");
                    }
                    home
                })
            })
            .collect();
        for pump in pump {
            pump.join().unwrap();
        }
        let mut threads = HashMap::new();
        for child in children {
            *threads.entry(child.join().unwrap()).or_insert(0) += 1;
        }
        threads
    });
    assert!(threads.len() > 1, "all on one thread: {threads:?}");
}

#[test]
fn what_is_bound_to_a_thread_may_live_across_waits() {
    runtime(4).run(|| {
        let spawners: Vec<_> = (0..8)
            .map(|_| {
                spawn(|| {
                    let home = here();
                    let shared = Rc::new(RefCell::new(0_u32));
                    let children: Vec<_> = (0..50)
                        .map(|number| {
                            let shared = shared.clone();
                            spawn_local(move || {
                                assert_eq!(here(), home, "spawn_local stays");
                                sleep(MS);
                                *shared.borrow_mut() += 1;
                                if number % 2 == 0 {
                                    yield_now();
                                }
                                assert_eq!(here(), home);
                                Rc::downgrade(&shared)
                            })
                        })
                        .collect();
                    for child in children {
                        assert!(child.join().unwrap().upgrade().is_some());
                    }
                    let guard = shared.borrow_mut();
                    sleep(MS);
                    assert_eq!(*guard, 50);
                    MARK.set(MARK.get() + 1);
                })
            })
            .collect();
        for spawner in spawners {
            spawner.join().unwrap();
        }
    });
}

/// The pattern of a server: each suspension brings one new child, which then waits for long. Gives how many of them each
/// worker has.
fn accept_loop(workers: usize, children: usize) -> Vec<usize> {
    runtime(workers).run(move || {
        let quit = Arc::new(Event::new());
        let started = Arc::new(AtomicUsize::new(0));
        let (peer, acceptor) = UnixStream::pair().unwrap();
        let ringer = spawn(move || {
            for _ in 0..children {
                (&peer).write_all(b"x").unwrap();
                (&peer).read_exact(&mut [0]).unwrap();
            }
        });
        let handles: Vec<JoinHandle<usize>> = (0..children)
            .map(|_| {
                (&acceptor).read_exact(&mut [0]).unwrap();
                let (quit, started) = (quit.clone(), started.clone());
                let child = spawn(move || {
                    started.fetch_add(1, Ordering::Relaxed);
                    quit.wait();
                    let me = registry::current().unwrap();
                    registry::coroutine(me).unwrap().worker.unwrap()
                });
                (&acceptor).write_all(b"x").unwrap();
                child
            })
            .collect();
        ringer.join().unwrap();
        until("all children started", || {
            started.load(Ordering::Relaxed) == children
        });
        quit.set();
        let mut held = vec![0; workers];
        for child in handles {
            held[child.join().unwrap()] += 1;
        }
        held
    })
}

#[test]
fn a_server_that_accepts_and_spawns_spreads_its_connections() {
    for (workers, children) in [(2, 100), (2, 1_000), (4, 100), (4, 1_000)] {
        let held = accept_loop(workers, children);
        let most = held.iter().max().unwrap();
        assert!(
            most * 2 * workers <= children * 3,
            "{children} on {workers} workers: {held:?}"
        );
    }
}

#[test]
fn bursts_of_short_children_all_complete() {
    runtime(4).run(|| {
        let done = Arc::new(AtomicUsize::new(0));
        for _ in 0..20 {
            let children: Vec<_> = (0..500)
                .map(|_| {
                    let done = done.clone();
                    spawn(move || done.fetch_add(1, Ordering::Relaxed))
                })
                .collect();
            for child in children {
                child.join().unwrap();
            }
        }
        assert_eq!(done.load(Ordering::Relaxed), 10_000);
    });
}

/// Spawns one child after the other and computes until each has run, never suspending: only another worker can run them,
/// though it has gone to sleep again each time.
#[test]
fn an_idle_worker_steals_from_one_that_computes() {
    runtime(2).run(|| {
        let first = Instant::now();
        let children: Vec<_> = (0..20)
            .map(|child| {
                let ran = Arc::new(AtomicBool::new(false));
                let runs = ran.clone();
                let handle = spawn(move || {
                    runs.store(true, Ordering::Relaxed);
                    here()
                });
                let start = Instant::now();
                while !ran.load(Ordering::Relaxed) {
                    assert!(start.elapsed() < PATIENCE, "nobody stole child {child}");
                    std::hint::spin_loop();
                }
                compute(5 * MS);
                handle
            })
            .collect();
        // A thief that is woken, not one that happens to look again.
        let took = first.elapsed();
        assert!(took < 5_000 * MS, "the thief slept: {took:?}");
        for child in children {
            assert_ne!(child.join().unwrap(), here());
        }
    });
}

/// Invariant 7: however busy the queue is, sockets, timers and wakes from other threads get through.
#[test]
fn endless_yielding_keeps_nothing_out() {
    runtime(1).run(|| {
        let spinners: Vec<_> = (0..10)
            .map(|_| {
                spawn(|| -> () {
                    loop {
                        yield_now();
                    }
                })
            })
            .collect();
        assert!(with_timeout(MS, || sleep(HOUR)).is_err(), "timers");
        sleep(MS);
        let (mut near, far) = UnixStream::pair().unwrap();
        let far = far.into_std().unwrap();
        let outside = thread::spawn(move || {
            let mut word = [0; 4];
            (&far).read_exact(&mut word).unwrap();
            (&far).write_all(&word).unwrap();
        });
        near.write_all(b"ping").unwrap();
        let mut answer = [0; 4];
        with_timeout(PATIENCE, || near.read_exact(&mut answer))
            .expect("sockets")
            .unwrap();
        outside.join().unwrap();
        let (sender, receiver) = channel::bounded(0);
        let outside = thread::spawn(move || sender.send(7).unwrap());
        assert_eq!(
            with_timeout(PATIENCE, || receiver.recv()).expect("wakes from outside"),
            Ok(7)
        );
        outside.join().unwrap();
        for spinner in spinners {
            spinner.interrupt();
            assert!(spinner.join().is_err());
        }
    });
}

#[test]
fn io_that_always_succeeds_at_once_starves_nobody() {
    runtime(1).run(|| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let greedy = spawn(move || -> () {
            loop {
                (&ours).write_all(b"x").unwrap();
                (&theirs).read_exact(&mut [0]).unwrap();
            }
        });
        let mut turns = 0;
        for _ in 0..100 {
            yield_now();
            turns += 1;
        }
        assert!(with_timeout(MS, || sleep(HOUR)).is_err());
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let echo = spawn(move || {
            let mut word = [0; 4];
            far.read_exact(&mut word).unwrap();
            far.write_all(&word).unwrap();
        });
        near.write_all(b"ping").unwrap();
        with_timeout(PATIENCE, || near.read_exact(&mut [0; 4]))
            .expect("others' sockets")
            .unwrap();
        echo.join().unwrap();
        assert_eq!(turns, 100);
        greedy.interrupt();
        assert!(greedy.join().is_err());
    });
}

#[test]
fn wakes_between_workers_lose_nothing() {
    runtime(4).run(|| {
        let rings: Vec<_> = (0..8)
            .map(|_| {
                let (there, here_) = channel::bounded::<u64>(0);
                let (back, home) = channel::bounded::<u64>(0);
                let echo = spawn(move || {
                    while let Ok(number) = here_.recv() {
                        back.send(number + 1).unwrap();
                    }
                });
                spawn(move || {
                    let mut number = 0;
                    for _ in 0..2_000 {
                        there.send(number).unwrap();
                        number = home.recv().unwrap();
                    }
                    drop(there);
                    echo.join().unwrap();
                    number
                })
            })
            .collect();
        for ring in rings {
            assert_eq!(ring.join().unwrap(), 2_000);
        }
    });
}

/// Interrupts race with starts, steals, wakes and ends on other workers; every one is heard, or came too late.
#[test]
fn interrupts_from_everywhere_are_all_heard() {
    for _ in 0..20 {
        runtime(4).run(|| {
            let children: Vec<_> = (0..400)
                .map(|number| {
                    spawn(move || match number % 4 {
                        0 => sleep(HOUR),
                        1 => Event::new().wait(),
                        2 => {
                            yield_now();
                            drop(Semaphore::new(0).acquire());
                        }
                        _ => drop(spawn(|| sleep(HOUR)).join()),
                    })
                })
                .collect();
            let ids: Vec<_> = children.iter().map(JoinHandle::id).collect();
            let killer = spawn(move || {
                for id in ids.into_iter().rev().step_by(2) {
                    registry::interrupt(id);
                }
            });
            for child in &children {
                child.interrupt();
            }
            for child in children {
                assert!(
                    with_timeout(PATIENCE, || child.join())
                        .expect("an interrupt was lost")
                        .is_err()
                );
            }
            killer.join().unwrap();
        });
    }
}
