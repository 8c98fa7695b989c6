//! What `deny_lints` fails for: each fault is planted, and named by its line.

use std::future::poll_fn;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use grapeshot::net::UnixStream;
use grapeshot::registry::{self, Lint, LintKind};
use grapeshot::sync::{Event, Mutex, RwLock, channel};
use grapeshot::{block_on, sleep, spawn, spawn_local, yield_now};

const MS: Duration = Duration::from_millis(1);

/// The lint of this kind, once it is there.
#[track_caller]
fn raised(kind: LintKind) -> Lint {
    let patience = Instant::now() + Duration::from_secs(60);
    while Instant::now() < patience {
        let lints = registry::lints();
        if let Some(lint) = lints.into_iter().find(|lint| lint.kind == kind) {
            return lint;
        }
        sleep(MS * 10);
    }
    panic!("nothing says {}", kind.to_string().to_uppercase());
}

/// Its place is one of these lines of this file.
#[track_caller]
fn is_at(lint: &Lint, lines: std::ops::RangeInclusive<u32>) {
    let line = lint.place.strip_prefix("lints.rs:").map(str::parse);
    let is_there = line.is_some_and(|line| line.is_ok_and(|line| lines.contains(&line)));
    // Nothing that `should_panic` expects.
    assert!(is_there, "{lines:?}, not {}", lint.place);
}

/// Two threads of control take two locks in different orders, one after the other.
fn take_turns(take: impl Fn(usize, usize) + Send + Sync + 'static) {
    let take = Arc::new(take);
    let other = Arc::clone(&take);
    spawn(move || other(0, 1)).join().unwrap();
    take(1, 0);
}

#[grapeshot::test(deny_lints)]
#[should_panic(expected = "lock order inverted")]
fn locks_in_two_orders() {
    let locks = [Mutex::new(()), Mutex::new(())];
    let line = line!() + 3;
    take_turns(move |first, second| {
        let _first = locks[first].lock();
        let _second = locks[second].lock();
    });
    let lint = raised(LintKind::LockOrder);
    is_at(&lint, line..=line);
    let earlier = format!("taken at lints.rs:{}", line - 1);
    assert!(lint.what.contains(&earlier), "{}", lint.what);
}

#[grapeshot::test(deny_lints)]
#[should_panic(expected = "lock order inverted")]
fn a_writer_and_a_mutex_in_two_orders() {
    let (map, file) = (RwLock::new(()), Mutex::new(()));
    take_turns(move |first, _| {
        if first == 0 {
            let _map = map.read();
            let _file = file.lock();
        } else {
            let _file = file.lock();
            let _map = map.write();
        }
    });
}

#[grapeshot::test(deny_lints)]
fn who_only_tries_waits_for_nobody() {
    let locks = [Mutex::new(()), Mutex::new(())];
    take_turns(move |first, second| {
        let _first = locks[first].lock();
        let _second = locks[second].try_lock();
    });
}

#[grapeshot::test(deny_lints, seeds = 0..20)]
fn locks_in_one_order() {
    let locks = Arc::new([const { Mutex::new(0) }; 3]);
    let crew: Vec<_> = (0..10)
        .map(|number| {
            let locks = Arc::clone(&locks);
            spawn(move || {
                for turn in 0..10 {
                    let first = (number + turn) % 2;
                    let mut low = locks[first].lock();
                    yield_now();
                    *locks[2].lock() += 1;
                    *low += 1;
                }
            })
        })
        .collect();
    crew.into_iter().for_each(|it| it.join().unwrap());
    assert_eq!(*locks[2].lock(), 100);
}

#[grapeshot::test(real, deny_lints)]
#[should_panic(expected = "lock held across I/O")]
fn a_lock_held_while_a_peer_is_silent() {
    let (mut stream, _peer) = UnixStream::pair().unwrap();
    let lock = Arc::new(Mutex::new(()));
    let own = Arc::clone(&lock);
    let line = line!() + 3;
    let _reader = spawn(move || {
        let _guard = own.lock();
        let _ = stream.read(&mut [0]);
    });
    while !lock.is_locked() {
        sleep(MS);
    }
    let _waiter = spawn(move || drop(lock.lock()));
    let lint = raised(LintKind::LockAcrossIo);
    is_at(&lint, line..=line);
    assert!(lint.what.contains("it waits for read fd"), "{}", lint.what);
}

#[grapeshot::test(real, deny_lints)]
#[should_panic(expected = "wakes itself")]
fn one_that_waits_by_yielding() {
    let stop = Arc::new(AtomicBool::new(false));
    let own = Arc::clone(&stop);
    let first = line!();
    let _restless = spawn(move || {
        while !own.load(Ordering::Relaxed) {
            yield_now();
        }
    });
    let last = line!();
    is_at(&raised(LintKind::WakesItself), first..=last);
    stop.store(true, Ordering::Relaxed);
}

#[grapeshot::test(real, deny_lints)]
#[should_panic(expected = "wakes itself")]
fn a_future_that_wakes_itself() {
    let stop = Arc::new(AtomicBool::new(false));
    let own = Arc::clone(&stop);
    let first = line!();
    let _restless = spawn(move || {
        block_on(poll_fn(|context| {
            context.waker().wake_by_ref();
            if own.load(Ordering::Relaxed) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }))
    });
    let last = line!();
    is_at(&raised(LintKind::WakesItself), first..=last);
    stop.store(true, Ordering::Relaxed);
}

#[grapeshot::test(real, workers = 1, deny_lints)]
#[should_panic(expected = "long run-queue delay")]
fn a_crowd_that_computes() {
    let stop = Arc::new(AtomicBool::new(false));
    let line = line!() + 3;
    for _ in 0..20 {
        let own = Arc::clone(&stop);
        drop(spawn_local(move || {
            while !own.load(Ordering::Relaxed) {
                let start = Instant::now();
                while start.elapsed() < MS * 60 {}
                yield_now();
            }
        }));
    }
    is_at(&raised(LintKind::LongDelay), line..=line);
    stop.store(true, Ordering::Relaxed);
}

#[grapeshot::test(real, deny_lints)]
#[should_panic(expected = "group only grows")]
fn a_crowd_that_nobody_ends() {
    let never = Arc::new(Event::new());
    let own = Arc::clone(&never);
    let line = line!() + 7;
    let spawner = spawn(move || {
        for number in 0..15_000 {
            if number % 200 == 0 {
                sleep(MS * 100);
            }
            let own = Arc::clone(&own);
            drop(spawn(move || own.wait()));
        }
    });
    is_at(&raised(LintKind::GroupGrows), line..=line);
    spawner.interrupt();
    never.set();
}

#[grapeshot::test(real, deny_lints)]
#[should_panic(expected = "queue only grows")]
fn a_queue_that_nobody_empties() {
    let (sender, receiver) = channel::unbounded();
    let first = line!();
    let _eager = spawn(move || {
        while sender.send([0_u8; 16]).is_ok() {
            if sender.len() % 1024 == 0 {
                sleep(MS);
            }
        }
    });
    let last = line!();
    is_at(&raised(LintKind::QueueGrows), first..=last);
    drop(receiver);
}

/// Bursts, queues, locks: all of it as it should be. In a simulation, as nobody knows how long a busy machine takes for it.
#[grapeshot::test(deny_lints)]
fn what_is_well_raises_nothing() {
    let log = Arc::new(Mutex::new(0_u64));
    for _ in 0..20 {
        let (sender, receiver) = channel::unbounded();
        let sum = spawn(move || receiver.iter().sum::<u64>());
        let crew: Vec<_> = (0..500)
            .map(|number| {
                let (log, sender) = (Arc::clone(&log), sender.clone());
                spawn(move || {
                    (0..50).for_each(|_| sender.send(number).unwrap());
                    sleep(MS * 5);
                    *log.lock() += 1;
                })
            })
            .collect();
        drop(sender);
        crew.into_iter().for_each(|it| it.join().unwrap());
        assert_eq!(sum.join().unwrap(), 50 * 499 * 500 / 2);
        sleep(MS * 10);
    }
    assert_eq!(*log.lock(), 20 * 500);
}
