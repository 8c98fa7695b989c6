//! However busy a worker is, what comes from outside the queue gets through. How soon is counted in resumes of those who keep
//! it busy, not in time: so it holds on any machine, under any load.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::OnDrop;
use crate::net::UnixStream;
use crate::sched::worker::BUDGET;
use crate::sync::{Event, channel};
use crate::{JoinHandle, Runtime, sleep, spawn, yield_now};

/// What is looked for each time: a timer that is due, a byte in a socket, a message from a plain thread.
const TIMES: u64 = 4;
/// If nothing gets through for so many turns, nothing ever will.
const HOPELESS: u64 = 200_000;

/// The turns of those who keep the worker busy.
#[derive(Clone, Default)]
struct Turns {
    taken: Arc<AtomicU64>,
    /// Of them, when something last got through.
    success: Arc<AtomicU64>,
}

impl Turns {
    fn now(&self) -> u64 {
        self.taken.load(Ordering::SeqCst)
    }

    /// Counts one. False: nothing gets through, so the test is over.
    fn take(&self) -> bool {
        let now = self.taken.fetch_add(1, Ordering::SeqCst);
        now.saturating_sub(self.success.load(Ordering::SeqCst)) < HOPELESS
    }

    /// How many since `start`, at which something was there that has got through now.
    fn since(&self, start: u64) -> u64 {
        self.success.store(self.now(), Ordering::SeqCst);
        self.now().saturating_sub(start)
    }
}

/// Has `hogs` keep the one worker busy, of whom `ready` at a time are ready to run, and looks how many turns they have before
/// anything else gets through.
#[track_caller]
fn nothing_is_kept_out(
    ready: u64,
    hogs: impl FnOnce(&Turns) -> Vec<JoinHandle<()>> + Send + 'static,
) {
    // What has just missed a look waits for the next, and then behind those who are ready.
    let bound = 2 * (u64::from(BUDGET) + ready);
    let turns = Turns::default();
    let seen = turns.clone();
    let runtime = Runtime::builder().workers(1).build();
    let worst = runtime.expect("it starts").run(move || {
        let hogs = hogs(&turns);
        while turns.now() <= ready {
            yield_now();
        }
        let worst = [timers(&turns), sockets(&turns), wakes_from_outside(&turns)];
        for hog in hogs {
            hog.interrupt();
            drop(hog.join());
        }
        worst
    });
    assert!(seen.now() > TIMES * 3, "they kept it busy");
    assert!(
        worst.iter().all(|&turns| turns <= bound),
        "timers, sockets and wakes from outside came after {worst:?} turns, not {bound}"
    );
}

fn timers(turns: &Turns) -> u64 {
    let wait = |_| {
        let start = turns.now();
        // Due at once; still, only the wheel ends it.
        sleep(Duration::ZERO);
        turns.since(start)
    };
    (0..TIMES).map(wait).max().expect("some")
}

fn sockets(turns: &Turns) -> u64 {
    let (near, far) = UnixStream::pair().expect("a pair");
    let (near, far) = (Arc::new(near), far.into_std().expect("it is ours alone"));
    let wait = |_| {
        let (ear, theirs) = (near.clone(), turns.clone());
        let (begin, began) = channel::bounded(1);
        let reader = spawn(move || {
            begin.send(()).expect("there is room");
            (&*ear).read_exact(&mut [0]).expect("a byte");
            theirs.now()
        });
        // It has found nothing when this one has a turn again, and waits for the poller.
        began.recv().expect("it runs");
        let start = turns.now();
        (&far).write_all(b"x").expect("there is room");
        let end = reader.join().expect("nobody interrupts it");
        turns.since(start);
        end - start
    };
    (0..TIMES).map(wait).max().expect("some")
}

fn wakes_from_outside(turns: &Turns) -> u64 {
    let (sender, receiver) = channel::bounded(1);
    let ((go, wanted), (went, sent)) = (mpsc::channel(), mpsc::channel());
    let theirs = turns.clone();
    let outside = thread::spawn(move || {
        while wanted.recv().is_ok() {
            sender.send(()).expect("there is room");
            // However long the system lets this thread wait: from here on the message is there.
            went.send(theirs.now()).expect("it is waited for");
        }
    });
    let wait = |_| {
        go.send(()).expect("it listens");
        receiver.recv().expect("a message");
        let end = turns.now();
        let start = sent.recv().expect("it was sent");
        turns.since(start);
        end.saturating_sub(start)
    };
    let worst = (0..TIMES).map(wait).max().expect("some");
    drop(go);
    outside.join().expect("it has ended well");
    worst
}

#[test]
fn a_loop_that_yields_keeps_nothing_out() {
    for count in [1, 10, 1_000] {
        nothing_is_kept_out(count, move |turns| {
            let hog = |_| {
                let turns = turns.clone();
                spawn(move || {
                    while turns.take() {
                        yield_now();
                    }
                })
            };
            (0..count).map(hog).collect()
        });
    }
}

#[test]
fn one_that_spawns_without_end_keeps_nothing_out() {
    nothing_is_kept_out(3, |turns| {
        let (turns, of_child) = (turns.clone(), turns.clone());
        let parent = move || {
            while turns.take() {
                let turns = of_child.clone();
                drop(spawn(move || turns.take()));
                yield_now();
            }
        };
        vec![spawn(parent)]
    });
}

#[test]
fn one_that_spawns_and_joins_without_end_keeps_nothing_out() {
    nothing_is_kept_out(2, |turns| {
        let turns = turns.clone();
        let parent = move || {
            while turns.take() {
                spawn(|| ()).join().expect("nobody interrupts it");
            }
        };
        vec![spawn(parent)]
    });
}

#[test]
fn children_that_spawn_their_successors_keep_nothing_out() {
    fn live(turns: Turns, over: Arc<AtomicBool>) {
        if turns.take() && !over.load(Ordering::SeqCst) {
            drop(spawn(move || live(turns, over)));
        }
    }
    let over = Arc::new(AtomicBool::new(false));
    nothing_is_kept_out(2, |turns| {
        live(turns.clone(), over.clone());
        // Whoever ends the hogs ends the dynasty.
        let end = OnDrop(move || over.store(true, Ordering::SeqCst));
        vec![spawn(move || {
            let _end = end;
            Event::new().wait();
        })]
    });
}

#[test]
fn ten_thousand_that_keep_each_other_ready_keep_nothing_out() {
    nothing_is_kept_out(10_000, |turns| {
        let mut hogs = Vec::new();
        for _ in 0..5_000 {
            let (ours, theirs) = (channel::bounded(1), channel::bounded(1));
            for (to, from) in [(ours.0, theirs.1), (theirs.0, ours.1)] {
                let turns = turns.clone();
                hogs.push(spawn(move || {
                    while turns.take() && to.send(()).is_ok() && from.recv().is_ok() {}
                }));
            }
        }
        hogs
    });
}

#[test]
fn a_pair_that_never_stops_talking_keeps_nothing_out() {
    nothing_is_kept_out(2, |turns| {
        let ((ping, hears_ping), (pong, hears_pong)) = (channel::bounded(0), channel::bounded(0));
        let (one, other) = (turns.clone(), turns.clone());
        vec![
            spawn(
                move || while one.take() && ping.send(()).is_ok() && hears_pong.recv().is_ok() {},
            ),
            spawn(
                move || while other.take() && hears_ping.recv().is_ok() && pong.send(()).is_ok() {},
            ),
        ]
    });
}
