//! What the scheduler promises: DESIGN.md's invariants and its rules for interrupts.
//!
//! Nearly all of it runs in simulations, several hundred of them each, so that every promise is held in many
//! interleavings and a failure can be had again by its seed. What needs real threads is in the package
//! `grapeshot-tests`.

mod across;
mod fairness;
#[cfg(target_os = "linux")]
mod idle;
mod interrupts;
mod joins;
mod observers;
mod refused;
mod scopes;
mod settings;
mod shields;
mod simulation;
mod timeouts;
mod unwinding;
mod watchdog;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::testing;

/// How many orders each promise is held in.
const SEEDS: u64 = 300;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// Longer than any test waits, and free of charge in a simulation.
const HOUR: Duration = Duration::from_secs(3_600);

/// Runs `f` in many simulations; names the seed of the one that fails.
#[track_caller]
fn simulate(f: impl Fn() + Send + Sync + 'static) {
    simulate_some(SEEDS, f);
}

/// As [`simulate`], for what takes long.
#[track_caller]
fn simulate_some(seeds: u64, f: impl Fn() + Send + Sync + 'static) {
    let f = Arc::new(f);
    for seed in 0..seeds {
        let f = f.clone();
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| testing::run(seed, move || f()))) {
            eprintln!("this failed with the seed {seed}");
            resume_unwind(payload);
        }
    }
}

/// Catches whatever unwinds, interrupts too, as no program should.
fn swallow<T>(f: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(f)).ok()
}

/// Counts its own drops.
#[derive(Clone, Default)]
struct Drops(Arc<AtomicUsize>);

impl Drops {
    /// Something whose end is counted here.
    fn token(&self) -> Token {
        Token(self.0.clone())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

struct Token(Arc<AtomicUsize>);

impl Drop for Token {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Runs a call when dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// No coroutine may ever see its thread unwind, but for the one that does.
fn assert_calm() {
    assert!(!thread::panicking(), "another coroutine's unwinding shows");
}
