//! What the attributes `test` and `main` expand to calls of.

use std::fmt::Debug;
use std::ops::Range;
use std::process::{ExitCode, Termination};

use super::{Simulation, assert_no_leaks};
use crate::registry;
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

/// What a test must not do.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Coroutines may outlive it.
    pub may_leak: bool,
    /// It fails if the runtime notices something.
    pub deny_lints: bool,
}

fn whole<T: Outcome>(body: fn() -> T, rules: Rules) {
    let watch = rules.deny_lints.then(registry::watch_closely);
    body().check();
    if rules.deny_lints {
        let lints: Vec<String> = registry::lints().iter().map(ToString::to_string).collect();
        assert!(lints.is_empty(), "{}", lints.join("\n"));
    }
    drop(watch);
    if !rules.may_leak {
        assert_no_leaks();
    }
}

/// A test in a simulation, tried with all the seeds, if there are several.
pub fn test_simulated<T: Outcome + 'static>(
    simulation: Simulation,
    seeds: Option<Range<u64>>,
    rules: Rules,
    body: fn() -> T,
) {
    match seeds {
        None => simulation.run(move || whole(body, rules)),
        Some(seeds) => simulation.explore(seeds, move |_| whole(body, rules)),
    }
}

/// A test in a runtime with the real clock.
pub fn test_for_real<T: Outcome + 'static>(workers: Option<usize>, rules: Rules, body: fn() -> T) {
    runtime(workers).run(move || whole(body, rules));
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
