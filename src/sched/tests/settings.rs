//! What `Runtime::builder` offers, each setting by what it changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::swallow;
use crate::context::stack;
use crate::sync::Event;
use crate::{
    Builder, JoinError, Placement, Runtime, RuntimeBuilder, RuntimeHandle, SpawnError, registry,
    spawn, yield_now,
};

/// The name of the thread of each of three workers.
fn thread_names(runtime: Runtime) -> Vec<String> {
    runtime.run(|| {
        let name = || std::thread::current().name().unwrap_or_default().to_owned();
        let there = |worker| {
            Builder::new()
                .placement(Placement::Worker(worker))
                .spawn(name)
        };
        (0..3).map(|worker| there(worker).join().unwrap()).collect()
    })
}

#[test]
fn threads_are_called_as_wished() {
    let builder = || Runtime::builder().workers(3);
    assert_eq!(
        thread_names(builder().build().unwrap()),
        ["grapeshot-0", "grapeshot-1", "grapeshot-2"]
    );
    assert_eq!(
        thread_names(builder().thread_name("game").build().unwrap()),
        ["game-0", "game-1", "game-2"]
    );
    let letters = |index: usize| ["a", "b", "c"][index].to_owned();
    assert_eq!(
        thread_names(builder().thread_name_fn(letters).build().unwrap()),
        ["a", "b", "c"]
    );
    let error = builder().thread_name("no\0name").build().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[cfg(target_os = "linux")]
#[test]
fn pinned_workers_stay_on_one_processor_each() {
    use rustix::thread::{CpuSet, sched_getaffinity};
    let allowed = |pin: bool| {
        let runtime = Runtime::builder().workers(3).pin_workers(pin).build();
        runtime.unwrap().run(|| {
            let there = |worker| {
                Builder::new()
                    .placement(Placement::Worker(worker))
                    .spawn(|| {
                        let set = sched_getaffinity(None).unwrap();
                        let is_set = |&processor: &usize| set.is_set(processor);
                        (0..CpuSet::MAX_CPU).filter(is_set).collect::<Vec<_>>()
                    })
            };
            (0..3)
                .map(|worker| there(worker).join().unwrap())
                .collect::<Vec<_>>()
        })
    };
    let all = allowed(false).remove(0);
    let expected: Vec<_> = (0..3).map(|worker| vec![all[worker % all.len()]]).collect();
    assert_eq!(allowed(true), expected);
}

#[test]
fn beyond_the_limit_a_spawn_is_an_error() {
    let runtime = Runtime::builder().workers(1).max_coroutines(3).build();
    runtime.unwrap().run(|| {
        let release = Arc::new(Event::new());
        let waits = {
            let release = release.clone();
            move || release.wait()
        };
        let first = Builder::new().try_spawn(waits.clone()).unwrap();
        let second = spawn(waits.clone());
        assert_eq!(
            Builder::new().try_spawn(waits.clone()).unwrap_err(),
            SpawnError::TooMany { limit: 3 }
        );
        let ran = Arc::new(AtomicBool::new(false));
        let runs = ran.clone();
        let panic = swallow(|| spawn(move || runs.store(true, Ordering::Relaxed)));
        assert!(panic.is_none(), "a plain spawn panics");
        release.set();
        first.join().unwrap();
        second.join().unwrap();
        assert!(!ran.load(Ordering::Relaxed));
        // Those that have ended count no more.
        for _ in 0..100 {
            Builder::new().try_spawn(|| ()).unwrap().join().unwrap();
        }
    });
}

#[test]
fn the_panic_at_the_limit_says_what_to_do() {
    let runtime = Runtime::builder().workers(1).max_coroutines(2).build();
    runtime.unwrap().run(|| {
        let spawner = spawn(|| drop(spawn(|| ())));
        let Err(JoinError::Panicked(payload)) = spawner.join() else {
            panic!("it had no room for a child");
        };
        let message = payload.downcast_ref::<String>().unwrap();
        assert!(
            message.contains("2 coroutines live")
                && message.contains("max_coroutines")
                && message.contains("try_spawn"),
            "{message}"
        );
    });
}

#[test]
fn no_more_stacks_than_wished_keep_their_memory() {
    /// How many of eight that ran at the same time have left their memory in the pool.
    fn kept(builder: RuntimeBuilder) -> usize {
        builder.workers(1).build().unwrap().run(|| {
            let page = rustix::param::page_size();
            let crew: Vec<_> = (0..8)
                .map(|_| {
                    spawn(move || {
                        let local = 0_u8;
                        let address = std::hint::black_box(&raw const local) as usize;
                        yield_now();
                        address / page * page
                    })
                })
                .collect();
            let pages: Vec<_> = crew.into_iter().map(|it| it.join().unwrap()).collect();
            let has_memory = |&page_start: &usize| {
                stack::resident_bytes(page_start..page_start + page) == Some(page)
            };
            pages.iter().filter(|page| has_memory(page)).count()
        })
    }
    assert_eq!(kept(Runtime::builder()), 8);
    assert_eq!(kept(Runtime::builder().max_pooled_stacks(2)), 2);
    assert_eq!(kept(Runtime::builder().max_pooled_stacks(0)), 0);
}

#[test]
fn accounts_are_turned_off_and_on_while_it_runs() {
    Runtime::builder().workers(1).build().unwrap().run(|| {
        let runtime = RuntimeHandle::current().unwrap();
        let me = || registry::coroutine(registry::current().unwrap()).unwrap();
        // More than the worker needs to notice.
        let yields = |count| {
            let before = me().switches;
            (0..count).for_each(|_| yield_now());
            me().switches - before
        };
        assert!(runtime.accounting());
        assert_eq!(yields(1000), 1000);
        runtime.set_accounting(false);
        assert!(yields(1000) <= 256);
        assert_eq!(yields(1000), 0);
        let off = me();
        assert_eq!((off.age, off.runs_for), (Duration::ZERO, None));
        let young = spawn(|| ());
        runtime.set_accounting(true);
        let age = registry::coroutine(young.id()).unwrap().age;
        assert!(age <= me().age, "it seems to have begun now: {age:?}");
        assert!(me().age < Duration::from_secs(3600), "{:?}", me().age);
        yields(1000);
        assert_eq!(yields(1000), 1000);
        assert!(me().runs_for.is_some() && me().cpu >= off.cpu);
    });
}
