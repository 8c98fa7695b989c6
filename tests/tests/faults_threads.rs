//! Faults that concern threads: none to be had, one that dies.
#![cfg(target_os = "linux")]

mod net_support;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake};
use std::time::Duration;

use grapeshot::{Builder, JoinError, Runtime, fs, registry, sleep, spawn, unblock};
use net_support::{
    Brittle, alone, alone_without_rights, assert_passed, end_of, open_descriptors, until,
};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

const HOUR: Duration = Duration::from_secs(3_600);

/// Threads of this process.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Lets the user have `more` threads than this process has now; `None`: as many as it could have before.
fn allow_threads(more: Option<usize>) {
    let current = more.map(|more| (threads() + more) as u64);
    let limit = getrlimit(Resource::Nproc);
    let current = current.or(limit.maximum);
    setrlimit(Resource::Nproc, Rlimit { current, ..limit }).unwrap();
}

/// A thread that was joined leaves /proc a moment later.
#[track_caller]
fn until_there_are(count: usize) {
    until(|| threads() == count);
}

#[test]
fn without_threads_no_runtime_starts_and_none_is_left() {
    let Some(child) = alone_without_rights("without_threads_no_runtime_starts_and_none_is_left")
    else {
        let (before, descriptors) = (threads(), open_descriptors());
        let two = || Runtime::builder().workers(2).latency_limit(None);
        // Wherever in its start it runs out, it is an error, and what was started has ended.
        for more in 0..2 {
            allow_threads(Some(more));
            let error = two().build().unwrap_err().to_string();
            assert!(
                error.contains("there is no thread for worker")
                    && error.contains("raise the limit of threads (`ulimit -u`)")
                    && error.contains("Runtime::builder().workers(..)"),
                "{error}"
            );
            until_there_are(before);
            assert_eq!(open_descriptors(), descriptors);
        }
        // This one has no error to give.
        let panic = std::panic::catch_unwind(|| {
            allow_threads(Some(0));
            grapeshot::run(|| ());
        });
        let message = panic.unwrap_err().downcast::<String>().unwrap();
        assert!(
            message.contains("cannot start the runtime: there is no thread"),
            "{message}"
        );
        allow_threads(None);
        assert_eq!(
            two().build().unwrap().run(|| 3),
            3,
            "there are threads again"
        );
        return;
    };
    assert_passed(child);
}

#[test]
fn without_a_thread_for_the_watchdog_no_runtime_starts() {
    let Some(child) = alone_without_rights("without_a_thread_for_the_watchdog_no_runtime_starts")
    else {
        let before = threads();
        allow_threads(Some(1));
        let error = Runtime::builder()
            .workers(1)
            .build()
            .unwrap_err()
            .to_string();
        // As an ordinary user the system may count other programs' threads, so that not even the worker gets one.
        assert!(
            error.contains("there is no thread for the watchdog")
                || error.contains("there is no thread for worker 0"),
            "{error}"
        );
        until_there_are(before);
        allow_threads(None);
        assert_eq!(grapeshot::run(|| 3), 3);
        return;
    };
    assert_passed(child);
}

#[test]
fn what_runs_goes_on_and_stops_without_further_threads() {
    let Some(child) = alone_without_rights("what_runs_goes_on_and_stops_without_further_threads")
    else {
        let before = threads();
        let runtime = Runtime::builder()
            .workers(2)
            .latency_limit(None)
            .build()
            .unwrap();
        let ended = runtime.spawn(|| spawn(|| sleep(HOUR)));
        let sleeper = ended.join().unwrap();
        let program = || {
            allow_threads(Some(0));
            let error = unblock(|| 1).unwrap_err().to_string();
            assert!(
                error.contains("no thread can be started") && error.contains("ulimit -u"),
                "{error}"
            );
            // A call that waits for the disk says the same, and not that it would block.
            let error = fs::read_dir("/proc").map(drop).unwrap_err();
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock);
            assert!(error.to_string().contains("ulimit -u"), "{error}");
            assert_eq!(spawn(|| 2).join().unwrap(), 2, "the others go on");
            sleep(Duration::from_millis(1));
            allow_threads(None);
            assert_eq!(unblock(|| 1).unwrap(), 1, "there are threads again");
            allow_threads(Some(0));
        };
        // The pool's thread outlives the runtime. The workers have ended when `run` returns, though there is no thread to
        // wait for them on.
        runtime.run(program);
        assert!(matches!(sleeper.join(), Err(JoinError::Interrupted)));
        until_there_are(before + 1);
        return;
    };
    assert_passed(child);
}

/// What the application logs with. This one is broken.
struct BrokenLogger;

impl log::Log for BrokenLogger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        panic!("cannot write '{}'", record.args());
    }

    fn flush(&self) {}
}

/// The waker of somebody's executor. This one is broken too.
struct BrokenWaker;

impl Wake for BrokenWaker {
    fn wake(self: Arc<Self>) {
        panic!("cannot wake");
    }
}

/// A worker's coroutines stay on its thread. So if that dies, the process must: none of them would ever go on, nor would
/// whoever joins them.
#[test]
fn a_worker_that_dies_takes_the_process_with_it_and_says_so() {
    let Some(child) = alone("a_worker_that_dies_takes_the_process_with_it_and_says_so") else {
        log::set_logger(&BrokenLogger).unwrap();
        log::set_max_level(log::LevelFilter::Error);
        Runtime::builder().workers(2).build().unwrap().run(|| {
            let there = || Builder::new().placement(grapeshot::Placement::Worker(1));
            let waits = there().name("waits").spawn(|| sleep(HOUR));
            let kills = there().spawn(|| {
                let waker = Arc::new(BrokenWaker).into();
                let mut future = pin!(grapeshot::futures::sleep(Duration::from_millis(1)));
                let state = future.as_mut().poll(&mut Context::from_waker(&waker));
                assert!(state.is_pending());
                // The worker calls the waker. That this panics is logged.
                sleep(HOUR);
            });
            drop((kills.join(), waits.join()));
        });
        return;
    };
    let ended = end_of(child);
    assert_eq!(ended.signal, Some(Signal::ABORT.as_raw()), "{ended:?}");
    for said in [
        "cannot write 'the waker of a future panicked'",
        "grapeshot: worker 1 panicked outside of its coroutines",
        "so the process ends",
    ] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
}

/// An interrupt unwinds as a panic does, so there too a destructor must not panic.
#[test]
fn a_panic_in_a_destructor_while_an_interrupt_unwinds_ends_the_process_and_says_so() {
    const NAME: &str =
        "a_panic_in_a_destructor_while_an_interrupt_unwinds_ends_the_process_and_says_so";
    let Some(child) = alone(NAME) else {
        grapeshot::run(|| {
            let doomed = Builder::new().name("doomed").spawn(|| {
                let _brittle = Brittle;
                sleep(HOUR);
            });
            let waits = || registry::coroutine(doomed.id())?.waits_for;
            until(|| waits().is_some());
            doomed.interrupt();
            until(|| false);
        });
        return;
    };
    let ended = end_of(child);
    assert_eq!(ended.signal, Some(Signal::ABORT.as_raw()), "{ended:?}");
    for said in [
        "coroutine 'doomed' (#",
        "broken in a destructor",
        "panic in a destructor during cleanup",
    ] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
}
