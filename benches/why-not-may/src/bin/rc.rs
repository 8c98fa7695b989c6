//! An `Rc` of a thread-local, held across a short sleep and a yield. The program has no `unsafe` of its own; `go!` hides one.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const COROUTINES: usize = 16;
const ROUNDS: usize = 1_000;
/// So many clones are leaked first: a wrong count must not reach zero and free what others use.
const LEAKED: usize = 1 << 24;

static CHANGED: AtomicUsize = AtomicUsize::new(0);
static OFF: AtomicI64 = AtomicI64::new(0);

thread_local! {
    static SHARED: Rc<Cell<u32>> = {
        let shared = Rc::new(Cell::new(0));
        // As many `mem::forget(Rc::clone(&shared))`, which is safe code.
        (0..LEAKED).for_each(|_| std::mem::forget(Rc::clone(&shared)));
        shared
    };
}

fn main() {
    why_not_may::choose(with_may, with_grapeshot);
    println!(
        "{} of {} waits changed the thread",
        CHANGED.load(Ordering::Relaxed),
        COROUTINES * ROUNDS
    );
    println!(
        "reference counts are off by {} in all",
        OFF.load(Ordering::Relaxed)
    );
}

fn with_may() {
    may::config().set_workers(2);
    let all: Vec<_> = (0..COROUTINES)
        .map(|_| may::go!(|| hold(may_waits)))
        .collect();
    all.into_iter()
        .for_each(|one| one.join().expect("it does not panic"));
    // Only now does nobody hold a clone: ask each thread for its count, as often as it takes to meet both.
    let asking: Vec<_> = (0..COROUTINES)
        .map(|_| may::go!(|| count(may_waits)))
        .collect();
    asking
        .into_iter()
        .for_each(|one| one.join().expect("it does not panic"));
}

fn with_grapeshot() {
    let runtime = grapeshot::Runtime::builder()
        .workers(2)
        .build()
        .expect("two threads");
    runtime.run(|| {
        let all: Vec<_> = (0..COROUTINES)
            .map(|_| grapeshot::spawn(|| hold(grapeshot_waits)))
            .collect();
        all.into_iter()
            .for_each(|one| one.join().expect("it does not panic"));
        let asking: Vec<_> = (0..COROUTINES)
            .map(|_| grapeshot::spawn(|| count(grapeshot_waits)))
            .collect();
        asking
            .into_iter()
            .for_each(|one| one.join().expect("it does not panic"));
    });
}

fn may_waits() {
    may::coroutine::sleep(Duration::from_micros(10));
    may::coroutine::yield_now();
}

fn grapeshot_waits() {
    grapeshot::sleep(Duration::from_micros(10));
    grapeshot::yield_now();
}

fn hold(wait: fn()) {
    for _ in 0..ROUNDS {
        let held = SHARED.with(Rc::clone);
        let before = thread::current().id();
        wait();
        if thread::current().id() != before {
            CHANGED.fetch_add(1, Ordering::Relaxed);
        }
        // What it is held for: a look at it now and then.
        (0..1_000).for_each(|_| drop(std::hint::black_box(Rc::clone(&held))));
    }
}

/// Adds up how far each thread's count is from the truth, once for each thread.
fn count(wait: fn()) {
    thread_local!(static COUNTED: Cell<bool> = const { Cell::new(false) });
    for _ in 0..100 {
        if !COUNTED.replace(true) {
            let off = SHARED.with(Rc::strong_count) as i64 - LEAKED as i64 - 1;
            OFF.fetch_add(off.abs(), Ordering::Relaxed);
        }
        wait();
    }
}
