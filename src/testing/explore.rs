//! Trying many seeds.

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::Simulation;

/// Names one seed, to have it alone.
const SEED: &str = "GRAPESHOT_SEED";

/// The first seed for which a simulated program failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// With this it fails again.
    pub seed: u64,
    /// What its panic said.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {0} fails: {1}\nto have it again: {SEED}={0} cargo test",
            self.seed, self.message
        )
    }
}

impl std::error::Error for Failure {}

/// Runs `f` in a simulation for each of the seeds, until one fails. [`Simulation::explore`] has settings.
///
/// ```
/// use grapeshot::sync::channel;
/// use grapeshot::testing;
///
/// testing::explore(0..100, |_seed| {
///     let (sender, receiver) = channel::bounded(1);
///     let other = sender.clone();
///     grapeshot::spawn(move || sender.send(1));
///     grapeshot::spawn(move || other.send(2));
///     assert_eq!(receiver.iter().sum::<i32>(), 3);
/// });
/// ```
///
/// # Panics
/// If `f` panics for one of the seeds; the message tells how to have that one again.
#[track_caller]
pub fn explore(seeds: Range<u64>, f: impl Fn(u64) + Send + Sync + 'static) {
    Simulation::new(seeds.start).explore(seeds, f);
}

impl Simulation {
    /// As [`explore`], with these settings; the seed of the simulation itself is not looked at. With `GRAPESHOT_SEED` in
    /// the environment it runs that seed only.
    ///
    /// # Panics
    /// As for [`explore`].
    #[track_caller]
    pub fn explore(self, seeds: Range<u64>, f: impl Fn(u64) + Send + Sync + 'static) {
        let chosen = std::env::var(SEED).ok();
        let seeds = match chosen.map(|seed| seed.parse::<u64>()) {
            None => seeds,
            Some(Ok(seed)) => seed..seed.saturating_add(1),
            Some(Err(error)) => panic!("{SEED} must be a number: {error}"),
        };
        if let Some(failure) = self.first_failure(seeds, f) {
            panic!("{failure}");
        }
    }

    /// The first of the seeds for which `f` panics, or gets stuck, if there is one.
    pub fn first_failure(
        self,
        seeds: Range<u64>,
        f: impl Fn(u64) + Send + Sync + 'static,
    ) -> Option<Failure> {
        let f = Arc::new(f);
        for seed in seeds {
            let (simulation, f) = (self.clone().seed(seed), f.clone());
            let run = AssertUnwindSafe(move || simulation.run(move || f(seed)));
            if let Err(payload) = catch_unwind(run) {
                let message = message(&*payload);
                return Some(Failure { seed, message });
            }
        }
        None
    }

    fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}

pub(super) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}
