//! Coroutines that no worker ever takes: of workers without threads. Nothing here switches stacks, so Miri can look on.

use super::Drops;
use crate::registry;
use crate::sched::join::{JoinError, JoinHandle};
use crate::sched::runtime::{Runtime, lay_out};
use crate::sched::spawn::{Builder, Placement, spawn_unlimited};
use crate::sched::{Shared, WorkerShared};
use std::panic::Location;
use std::sync::Mutex;
use std::thread;

const EACH: usize = if cfg!(miri) { 6 } else { 200 };

/// Runtimes live for ever, so somebody has to know them.
static LAID_OUT: Mutex<Vec<&'static Shared>> = Mutex::new(Vec::new());

fn without_threads() -> &'static Shared {
    let (shared, _) = lay_out(Runtime::builder().workers(2).config).unwrap();
    LAID_OUT.lock().unwrap().push(shared);
    shared
}

fn spawn_many(shared: &'static Shared, drops: &Drops) -> Vec<JoinHandle<()>> {
    let spawn = |n| {
        let token = drops.token();
        let spec = Builder::new().placement(Placement::Worker(n));
        let spec = spec.with_site(Location::caller());
        spawn_unlimited(shared, spec, move || {
            drop(token);
            unreachable!("no worker runs it");
        })
    };
    (0..EACH).map(spawn).collect()
}

#[test]
fn what_comes_as_its_worker_closes_is_refused_and_who_joins_is_told() {
    let shared = without_threads();
    let drops = Drops::default();
    let spawner = {
        let drops = drops.clone();
        move || {
            for child in spawn_many(shared, &drops) {
                assert!(matches!(child.join(), Err(JoinError::Interrupted)));
            }
        }
    };
    let mut threads: Vec<_> = (0..2).map(|_| thread::spawn(spawner.clone())).collect();
    threads.push(thread::spawn(move || {
        while shared.workers.iter().any(|worker| worker.alive() == 0) {
            thread::yield_now();
        }
        shared.workers.iter().for_each(WorkerShared::close);
    }));
    // Looks at them, and so holds some of them while they are refused.
    for _ in 0..3 {
        for record in registry::records(shared) {
            record.head.name.with(|name| assert!(!name.is_empty()));
        }
        thread::yield_now();
    }
    threads.into_iter().for_each(|it| it.join().unwrap());
    assert_eq!(drops.count(), 2 * EACH);
    assert!(registry::records(shared).is_empty());
}

#[test]
fn nobody_need_join_what_is_refused() {
    let shared = without_threads();
    let drops = Drops::default();
    let children = spawn_many(shared, &drops);
    assert_eq!(registry::records(shared).len(), EACH);
    let gone = thread::spawn(move || drop(children));
    shared.workers.iter().for_each(WorkerShared::close);
    gone.join().unwrap();
    assert_eq!(drops.count(), EACH);
}
