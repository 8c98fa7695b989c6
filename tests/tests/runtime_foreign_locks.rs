//! A coroutine that goes to sleep with a lock of std in hand, and another of its worker that wants it: neither ever goes on,
//! and the watchdog says who and where. Each in a process of its own, as such a worker never ends.
#![cfg(target_os = "linux")]

mod net_support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock, mpsc};
use std::time::Duration;

use grapeshot::registry::{self, Stall};
use grapeshot::{Builder, JoinHandle, Placement, Runtime, sleep};
use net_support::{alone, assert_passed, end_of, until};

const HOUR: Duration = Duration::from_secs(3_600);

/// A coroutine on worker 1, which the main one is not on.
#[track_caller]
fn there(name: &str, body: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let there = Builder::new().placement(Placement::Worker(1));
    there.name(name).spawn(body)
}

fn in_two_workers(main: impl FnOnce() + Send + 'static) {
    let runtime = Runtime::builder()
        .workers(2)
        .latency_limit(Duration::from_millis(50));
    runtime.build().unwrap().run(main);
}

/// What is reported of the coroutine with this name.
fn stall(name: &str) -> Option<Stall> {
    registry::stalls().into_iter().find(|it| it.name == name)
}

/// 'account' goes to sleep inside of `hold`, which says when it has the lock; then 'audit' calls `want`. Prints the report.
fn holds_and_wants<L: Send + Sync + 'static>(lock: L, hold: fn(&L, &dyn Fn()), want: fn(&L)) {
    in_two_workers(move || {
        let lock = Arc::new(lock);
        let has_it = Arc::new(AtomicBool::new(false));
        // One that only knows the lock.
        let (known, knows_it) = (lock.clone(), has_it.clone());
        let clerk = there("clerk", move || {
            sleep(HOUR);
            drop((known, knows_it));
        });
        let (held, tells) = (lock.clone(), has_it.clone());
        let account = there("account", move || {
            hold(&held, &|| {
                tells.store(true, Ordering::Relaxed);
                sleep(HOUR);
            });
        });
        until(|| has_it.load(Ordering::Relaxed));
        let audit = there("audit", move || want(&lock));
        let mut found = None;
        until(|| {
            found = stall("audit").filter(|it| it.lock.is_some());
            found.is_some()
        });
        let found = found.unwrap();
        let holders = &found.lock.as_ref().unwrap().holders;
        println!(
            "\nholders: {:?}",
            holders
                .iter()
                .map(|it| it.id == account.id())
                .collect::<Vec<_>>()
        );
        println!("{found}");
        drop((clerk, audit));
        // The runtime could not stop.
        std::process::exit(0);
    });
}

/// Looks at what [`holds_and_wants`] printed.
#[track_caller]
fn assert_reported(child: std::process::Child, kind: &str, wants: &str, instead: &str) {
    let ended = end_of(child);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let said = &ended.stdout;
    assert!(said.contains("holders: [true]"), "{said}");
    let file = "runtime_foreign_locks.rs";
    for part in [
        "coroutine 'audit' (#".to_owned(),
        "has held worker 1 for".to_owned(),
        format!("It is blocked at {file}:"),
        format!(" in a {kind} (futex 0x"),
        "that coroutine 'account' (#".to_owned(),
        format!("which waits for sleep at {file}:"),
        "seems to hold. Hold no such lock across a blocking call".to_owned(),
        format!("use grapeshot::sync::{instead}"),
        "'account' (#".to_owned(),
        wants.to_owned(),
    ] {
        assert!(said.contains(&part), "{part}: {said}");
    }
}

#[inline(never)]
fn wants_the_mutex(lock: &Mutex<u32>) {
    *lock.lock().unwrap() += 1;
}

#[test]
fn a_mutex_of_std() {
    let Some(child) = alone("a_mutex_of_std") else {
        let hold = |lock: &Mutex<u32>, sleeps: &dyn Fn()| {
            let mut guard = lock.lock().unwrap();
            sleeps();
            *guard += 1;
        };
        return holds_and_wants(Mutex::new(0), hold, wants_the_mutex);
    };
    assert_reported(child, "std::sync::Mutex", "wants_the_mutex", "Mutex");
}

#[inline(never)]
fn wants_to_read(lock: &RwLock<u32>) {
    assert_eq!(*lock.read().unwrap(), 0);
}

#[inline(never)]
fn wants_to_write(lock: &RwLock<u32>) {
    *lock.write().unwrap() += 1;
}

#[test]
fn the_writer_of_a_rwlock_of_std() {
    let Some(child) = alone("the_writer_of_a_rwlock_of_std") else {
        let hold = |lock: &RwLock<u32>, sleeps: &dyn Fn()| {
            let mut guard = lock.write().unwrap();
            sleeps();
            *guard += 1;
        };
        return holds_and_wants(RwLock::new(0), hold, wants_to_read);
    };
    assert_reported(child, "std::sync::RwLock", "wants_to_read", "RwLock");
}

#[test]
fn a_reader_of_a_rwlock_of_std() {
    let Some(child) = alone("a_reader_of_a_rwlock_of_std") else {
        let hold = |lock: &RwLock<u32>, sleeps: &dyn Fn()| {
            let guard = lock.read().unwrap();
            sleeps();
            assert_eq!(*guard, 0);
        };
        return holds_and_wants(RwLock::new(0), hold, wants_to_write);
    };
    assert_reported(child, "std::sync::RwLock", "wants_to_write", "RwLock");
}

#[inline(never)]
fn wants_the_value(cell: &OnceLock<u32>) {
    assert_eq!(*cell.get_or_init(|| 7), 7);
}

#[test]
fn one_that_initializes_a_cell_of_std() {
    let Some(child) = alone("one_that_initializes_a_cell_of_std") else {
        let hold = |cell: &OnceLock<u32>, sleeps: &dyn Fn()| {
            cell.get_or_init(|| {
                sleeps();
                7
            });
        };
        return holds_and_wants(OnceLock::new(), hold, wants_the_value);
    };
    let instead = "Once, OnceLock or LazyLock";
    assert_reported(child, "std::sync::Once", "wants_the_value", instead);
}

#[inline(never)]
fn wants_the_parking_mutex(lock: &parking_lot::Mutex<u32>) {
    *lock.lock() += 1;
}

#[test]
fn a_mutex_of_parking_lot() {
    let Some(child) = alone("a_mutex_of_parking_lot") else {
        let hold = |lock: &parking_lot::Mutex<u32>, sleeps: &dyn Fn()| {
            let mut guard = lock.lock();
            sleeps();
            *guard += 1;
        };
        let lock = parking_lot::Mutex::new(0);
        return holds_and_wants(lock, hold, wants_the_parking_mutex);
    };
    assert_reported(
        child,
        "parking_lot::Mutex",
        "wants_the_parking_mutex",
        "Mutex",
    );
}

#[inline(never)]
fn wants_to_write_in_parking(lock: &parking_lot::RwLock<u32>) {
    *lock.write() += 1;
}

#[test]
fn a_reader_of_a_rwlock_of_parking_lot() {
    let Some(child) = alone("a_reader_of_a_rwlock_of_parking_lot") else {
        let hold = |lock: &parking_lot::RwLock<u32>, sleeps: &dyn Fn()| {
            let guard = lock.read();
            sleeps();
            assert_eq!(*guard, 0);
        };
        let lock = parking_lot::RwLock::new(0);
        return holds_and_wants(lock, hold, wants_to_write_in_parking);
    };
    assert_reported(
        child,
        "parking_lot::RwLock",
        "wants_to_write_in_parking",
        "RwLock",
    );
}

/// A plain thread has what worker 1 wants, and so has nobody of it.
fn a_thread_has_it<L: Send + Sync + 'static>(lock: L, hold: fn(&L, &dyn Fn()), want: fn(&L)) {
    in_two_workers(move || {
        let lock = Arc::new(lock);
        let (tell, told) = mpsc::channel();
        let (let_go, goes) = mpsc::channel::<()>();
        let held = lock.clone();
        let thread = std::thread::spawn(move || {
            hold(&held, &|| {
                tell.send(()).unwrap();
                goes.recv().unwrap();
            });
        });
        told.recv().unwrap();
        let known = lock.clone();
        let clerk = there("clerk", move || {
            sleep(HOUR);
            drop(known);
        });
        let audit = there("audit", move || want(&lock));
        // It is reported again as it lasts.
        let long = Duration::from_millis(150);
        until(|| stall("audit").is_some_and(|it| it.lasted > long));
        let found = stall("audit").unwrap();
        assert!(!found.backtrace.is_empty(), "it was asked: {found}");
        assert!(found.lock.is_none(), "{found}");
        let_go.send(()).unwrap();
        thread.join().unwrap();
        audit.join().unwrap();
        clerk.interrupt();
    });
}

#[test]
fn nobody_is_accused_of_what_a_thread_has() {
    if let Some(child) = alone("nobody_is_accused_of_what_a_thread_has") {
        return assert_passed(child);
    }
    let hold = |lock: &Mutex<u32>, waits: &dyn Fn()| {
        let guard = lock.lock().unwrap();
        waits();
        drop(guard);
    };
    a_thread_has_it(Mutex::new(0), hold, wants_the_mutex);
    let hold = |lock: &parking_lot::Mutex<u32>, waits: &dyn Fn()| {
        let guard = lock.lock();
        waits();
        drop(guard);
    };
    a_thread_has_it(parking_lot::Mutex::new(0), hold, wants_the_parking_mutex);
}

/// The lock of standard output lets its own thread in again, and so every coroutine of the worker.
#[test]
fn the_lock_of_stdout_lets_the_worker_in() {
    let Some(child) = alone("the_lock_of_stdout_lets_the_worker_in") else {
        in_two_workers(|| {
            let account = there("account", || {
                let stdout = std::io::stdout().lock();
                sleep(HOUR);
                drop(stdout);
            });
            until(|| registry::coroutine(account.id()).is_some_and(|it| it.waits_for.is_some()));
            let audit = there("audit", || println!("\naudited"));
            audit.join().unwrap();
            account.interrupt();
            drop(account.join());
        });
        return;
    };
    let ended = end_of(child);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("audited"), "{ended:?}");
}
