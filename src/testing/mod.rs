//! Running programs under a virtual clock and a seeded order.

use std::time::Duration;

use crate::sched::runtime::Runtime;

/// Runs `f` as the main coroutine of a simulation: one worker, a virtual clock, and a ready queue whose order `seed`
/// decides. The same seed gives the same order, so a failure that depends on the interleaving can be had again.
///
/// Sleeping costs nothing: when no coroutine can run, the clock jumps to the next timer. [`time::now`](crate::time::now)
/// tells the virtual time. Sockets are real; while one is waited for, timers do not wait. The clock does stand still while
/// an [`unblock`](crate::unblock)ed call, such as those of [`fs`](crate::fs), is out, but no longer than the
/// [patience](Simulation::patience) lasts. If nothing can ever happen any
/// more, that is reported with what each coroutine waits for, and all are interrupted.
///
/// ```
/// use grapeshot::{sleep, testing, time};
/// use std::time::Duration;
///
/// let hours = testing::run(7, || {
///     let start = time::now();
///     sleep(Duration::from_secs(3_600));
///     (time::now() - start).as_secs() / 3_600
/// });
/// assert_eq!(hours, 1);
/// ```
#[track_caller]
pub fn run<F, T>(seed: u64, f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Simulation::new(seed).run(f)
}

/// A simulation with settings; [`run`] is one with the usual.
///
/// ```
/// use grapeshot::testing::Simulation;
/// use std::time::Duration;
///
/// let sum = Simulation::new(7).patience(Duration::from_secs(1)).run(|| 1 + 1);
/// assert_eq!(sum, 2);
/// ```
#[derive(Debug, Clone)]
pub struct Simulation {
    seed: u64,
    patience: Option<Duration>,
}

impl Simulation {
    /// One whose order `seed` decides.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            patience: None,
        }
    }

    /// How long, by the real clock, it waits for something from outside (a socket, a signal, a plain thread) when nothing
    /// of its own can happen any more, before that is reported; 10 s if not given.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// As [`run`].
    #[track_caller]
    pub fn run<F, T>(self, f: F) -> T
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let mut runtime = Runtime::builder().seed(self.seed);
        if let Some(patience) = self.patience {
            runtime = runtime.patience(patience);
        }
        match runtime.build() {
            Ok(runtime) => runtime.run(f),
            Err(error) => panic!("cannot start the simulation: {error}"),
        }
    }
}
