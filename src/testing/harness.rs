//! What the attributes `test` and `main` expand to calls of.

use std::fmt::Debug;
use std::ops::Range;
use std::process::{ExitCode, Termination};

use super::{Simulation, assert_no_leaks};
use crate::sched::runtime::Runtime;

/// What a test may return.
#[diagnostic::on_unimplemented(
    message = "a test cannot return `{Self}`",
    note = "it returns nothing, or a `Result` whose error is `Debug`"
)]
pub trait Outcome {
    /// # Panics
    /// If the test has failed.
    fn check(self);
}

impl Outcome for () {
    fn check(self) {}
}

impl<T: Outcome, E: Debug> Outcome for Result<T, E> {
    fn check(self) {
        match self {
            Ok(outcome) => outcome.check(),
            Err(error) => panic!("the test returned an error: {error:?}"),
        }
    }
}

fn whole<T: Outcome>(body: fn() -> T, may_leak: bool) {
    body().check();
    if !may_leak {
        assert_no_leaks();
    }
}

/// A test in a simulation, tried with all the seeds, if there are several.
pub fn test_simulated<T: Outcome + 'static>(
    simulation: Simulation,
    seeds: Option<Range<u64>>,
    may_leak: bool,
    body: fn() -> T,
) {
    match seeds {
        None => simulation.run(move || whole(body, may_leak)),
        Some(seeds) => simulation.explore(seeds, move |_| whole(body, may_leak)),
    }
}

/// A test in a runtime with the real clock.
pub fn test_for_real<T: Outcome + 'static>(
    workers: Option<usize>,
    may_leak: bool,
    body: fn() -> T,
) {
    runtime(workers).run(move || whole(body, may_leak));
}

/// A program's main function.
pub fn main<T: Termination + 'static>(workers: Option<usize>, body: fn() -> T) -> ExitCode {
    runtime(workers).run(move || body().report())
}

fn runtime(workers: Option<usize>) -> Runtime {
    let builder = match workers {
        Some(workers) => Runtime::builder().workers(workers),
        None => Runtime::builder(),
    };
    match builder.build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("cannot start the runtime: {error}"),
    }
}
