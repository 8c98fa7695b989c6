//! The primitives under virtual time and a seeded ready queue, and between real threads.

mod broadcasts;
mod caches;
mod channels;
mod conditions;
mod crew;
mod deadlocks;
mod everything;
mod fifos;
mod five_then_one;
mod forsaken;
mod harbour;
mod loads;
mod locks;
mod meetings;
mod onces;
mod programs;
mod rates;
mod registered;
mod storms;
mod stuck;
mod threads;
mod tries;
mod unwinding;
mod watches;

use crate::testing;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Runs a program once for each of several hundred orders in which its coroutines may run.
pub(crate) fn for_each_seed(program: impl Fn(u64) + Send + Sync + 'static) {
    let program = Arc::new(program);
    for seed in 0..300 {
        let program = Arc::clone(&program);
        naming(seed, || testing::run(seed, move || program(seed)));
    }
}

/// Runs what takes its order from a seed, which the report of a failure names.
fn naming<T>(seed: u64, run: impl FnOnce() -> T) -> T {
    struct Name(u64);
    impl Drop for Name {
        fn drop(&mut self) {
            if thread::panicking() {
                eprintln!("it was seed {}", self.0);
            }
        }
    }
    let _name = Name(seed);
    run()
}

/// Yields until the others have got so far.
#[track_caller]
pub(crate) fn yield_until(what: impl Debug, condition: impl Fn() -> bool) {
    for _ in 0..100_000 {
        if condition() {
            return;
        }
        crate::yield_now();
    }
    panic!("never came: {what:?}");
}

/// A count that coroutines share.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn up(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    fn down(&self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Random numbers that depend on nothing but the seed (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % n
    }
}
