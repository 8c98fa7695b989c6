//! What observers hear of switches, and what they may not do. An observer is one of the whole process, so those here only
//! note what happens on threads that ask for it: each simulation has a thread of its own.

use std::cell::{Cell, RefCell};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::{HOUR, MS, SECOND, simulate, swallow};
use crate::sync::channel::RecvError;
use crate::sync::{Mutex, channel};
use crate::{
    CoroutineId, JoinError, Observed, Observer, Placement, Runtime, block_on, observe, scope,
    sleep, spawn, yield_now,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Resumed,
    Suspended,
    Ended,
}

use Heard::{Ended, Resumed, Suspended};

thread_local! {
    static HEARD: RefCell<Option<Vec<(CoroutineId, Heard)>>> = const { RefCell::new(None) };
    /// What [`Waiting`] does at the next switch of this thread.
    static ATTEMPT: Cell<Option<fn()>> = const { Cell::new(None) };
    static PANICS: Cell<bool> = const { Cell::new(false) };
}

/// Notes what it hears.
struct Notes;

impl Notes {
    fn note(coroutine: Observed<'_>, heard: Heard) {
        HEARD.with_borrow_mut(|notes| {
            if let Some(notes) = notes {
                notes.push((coroutine.id(), heard));
            }
        });
    }

    /// From now on, of this thread.
    fn begin() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| observe(&Notes));
        HEARD.set(Some(Vec::new()));
    }

    /// What was heard of one.
    fn of(id: CoroutineId) -> Vec<Heard> {
        HEARD.with_borrow(|notes| {
            let notes = notes.iter().flatten();
            notes
                .filter(|(of, _)| *of == id)
                .map(|(_, heard)| *heard)
                .collect()
        })
    }

    fn all() -> Vec<(CoroutineId, Heard)> {
        HEARD.with_borrow(|notes| notes.clone().unwrap_or_default())
    }
}

impl Observer for Notes {
    fn resumed(&self, coroutine: Observed<'_>) {
        Self::note(coroutine, Resumed);
    }

    fn suspended(&self, coroutine: Observed<'_>) {
        Self::note(coroutine, Suspended);
    }

    fn ended(&self, coroutine: Observed<'_>) {
        Self::note(coroutine, Ended);
    }
}

#[test]
fn each_switch_is_heard_of_once_and_in_order() {
    simulate(|| {
        Notes::begin();
        let yields = spawn(|| (0..3).for_each(|_| yield_now()));
        let sleeps = spawn(|| sleep(MS));
        let panics = spawn(|| {
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        let killed = spawn(|| sleep(HOUR));
        let unstarted = spawn(|| unreachable!("it is interrupted before"));
        unstarted.interrupt();
        let ids = [&yields, &sleeps, &panics, &killed].map(|it| it.id());
        let unstarted_id = unstarted.id();
        yields.join().unwrap();
        sleeps.join().unwrap();
        assert!(matches!(panics.join(), Err(JoinError::Panicked(_))));
        assert!(matches!(unstarted.join(), Err(JoinError::Interrupted)));
        assert_eq!(Notes::of(ids[3]), [Resumed, Suspended]);
        killed.interrupt();
        assert!(matches!(killed.join(), Err(JoinError::Interrupted)));
        let [first, between, last] = [[Resumed].as_slice(), &[Suspended, Resumed], &[Ended]];
        let of = |suspensions: usize| [first, &between.repeat(suspensions), last].concat();
        assert_eq!(Notes::of(ids[0]), of(3));
        assert_eq!(Notes::of(ids[1]), of(1));
        assert_eq!(Notes::of(ids[2]), of(0));
        assert_eq!(Notes::of(ids[3]), of(1));
        // It has a stack, on which what it owns is dropped.
        assert_eq!(Notes::of(unstarted_id), of(0));
        // One at a time, and the main coroutine, which runs now, was suspended first.
        let all = Notes::all();
        assert_eq!(all[0].1, Suspended);
        for pair in all[1..].chunks(2) {
            assert_eq!(pair[0].1, Resumed);
            assert!(pair.len() == 1 || pair[1].1 != Resumed && pair[1].0 == pair[0].0);
        }
    });
}

/// Does on demand what would have to wait.
struct Waiting;

impl Observer for Waiting {
    fn suspended(&self, _coroutine: Observed<'_>) {
        if let Some(attempt) = ATTEMPT.take() {
            attempt();
        }
    }
}

/// Has `attempt` made by an observer.
fn at_a_switch(attempt: fn()) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| observe(&Waiting));
    ATTEMPT.set(Some(attempt));
    yield_now();
    assert!(ATTEMPT.take().is_none(), "it was made");
}

#[test]
fn an_observer_never_waits() {
    static REFUSED: AtomicUsize = AtomicUsize::new(0);
    let refused = || REFUSED.load(Ordering::Relaxed);
    simulate(move || {
        let before = refused();
        at_a_switch(|| {
            let (sender, receiver) = channel::unbounded::<()>();
            // Were it to wait, then not for ever.
            let (done, waits) = std::sync::mpsc::channel::<()>();
            thread::spawn(move || {
                let _ = waits.recv_timeout(60 * SECOND);
                drop(sender);
            });
            assert_eq!(receiver.recv(), Err(RecvError::Refused));
            drop(done);
            let mutex = Mutex::new(());
            let _lock = mutex.lock();
            let panics = swallow(|| drop(mutex.lock())).is_none()
                && swallow(|| block_on(std::future::pending::<()>())).is_none()
                && swallow(|| scope(|_| ())).is_none();
            assert!(panics);
            REFUSED.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(refused(), before + 1, "it panicked");
        // The coroutines themselves still may.
        sleep(MS);
    });
}

#[test]
fn an_observer_may_do_what_does_not_wait() {
    simulate(|| {
        static SENT: std::sync::Mutex<Option<channel::Receiver<u64>>> = std::sync::Mutex::new(None);
        at_a_switch(|| {
            let (sender, receiver) = channel::unbounded();
            *SENT.lock().unwrap() = Some(receiver);
            spawn(move || {
                sleep(MS);
                sender.send(7)
            });
        });
        let receiver = SENT.lock().unwrap().take().unwrap();
        assert_eq!(receiver.recv(), Ok(7));
    });
}

/// Panics on demand.
struct Panicking;

/// How often it was called where it is to panic.
static PANICKED: AtomicUsize = AtomicUsize::new(0);

impl Observer for Panicking {
    fn resumed(&self, _coroutine: Observed<'_>) {
        if PANICS.get() {
            PANICKED.fetch_add(1, Ordering::Relaxed);
            std::panic::resume_unwind(Box::new("on purpose"));
        }
    }
}

#[test]
fn one_that_panics_hears_no_more_and_harms_nobody() {
    observe(&Panicking);
    simulate(|| {
        PANICS.set(true);
        Notes::begin();
        let other = spawn(|| sleep(MS));
        let id = other.id();
        other.join().unwrap();
        assert_eq!(
            Notes::of(id),
            [Resumed, Suspended, Resumed, Ended],
            "the others still hear"
        );
        assert_eq!(PANICKED.load(Ordering::Relaxed), 1);
        // And a call that waits is not refused for it.
        thread::yield_now();
        sleep(MS);
    });
}

#[test]
fn workers_tell_each_of_their_own() {
    /// Who was told of, by which thread.
    static TOLD_BY: std::sync::Mutex<Vec<(CoroutineId, thread::ThreadId)>> =
        std::sync::Mutex::new(Vec::new());
    struct Threads;
    impl Threads {
        fn note(coroutine: Observed<'_>) {
            // Only those of this test's runtime.
            if thread::current().name() == Some("observed") {
                let told = (coroutine.id(), thread::current().id());
                TOLD_BY.lock().unwrap().push(told);
            }
        }
    }
    impl Observer for Threads {
        fn resumed(&self, coroutine: Observed<'_>) {
            Self::note(coroutine);
        }
        fn suspended(&self, coroutine: Observed<'_>) {
            Self::note(coroutine);
        }
    }
    observe(&Threads);
    let runtime = Runtime::builder()
        .workers(3)
        .thread_name_fn(|_| "observed".to_owned())
        .build()
        .unwrap();
    let ran_on = runtime.run(|| {
        let spawn_at = |i| {
            let builder = crate::Builder::new().placement(Placement::Worker(i));
            builder.spawn(|| {
                yield_now();
                thread::current().id()
            })
        };
        let coroutines: Vec<_> = (0..6).map(spawn_at).collect();
        let with_id = |it: crate::JoinHandle<_>| (it.id(), it.join().unwrap());
        coroutines.into_iter().map(with_id).collect::<Vec<_>>()
    });
    let told_by = TOLD_BY.lock().unwrap();
    for (id, thread) in ran_on {
        let told: Vec<_> = told_by.iter().filter(|(of, _)| *of == id).collect();
        assert_eq!(told.len(), 3, "resumed, suspended, resumed");
        assert!(told.iter().all(|(_, by)| *by == thread));
    }
}
