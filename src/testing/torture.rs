//! Making every call on the network fail, one a run.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::network::Faults;
use super::{Simulation, assert_no_leaks, explore};
use crate::sched::interrupt::with_timeout;
use crate::{registry, sched};

/// Names one run, to have it alone.
const RUN: &str = "GRAPESHOT_RUN";
/// By the simulation's clock.
const LIMIT: Duration = Duration::from_secs(3_600);

/// What [`Simulation::torture`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Torture {
    /// Calls on the network that the program makes when none fails.
    pub calls: usize,
    /// One for each call and error.
    pub runs: usize,
    /// Runs that ended with an error; the others came through.
    pub errors: usize,
}

impl fmt::Display for Torture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} runs for {} calls: {} went on, {} ended with an error",
            self.runs,
            self.calls,
            self.runs - self.errors,
            self.errors
        )
    }
}

impl Simulation {
    /// Runs `f` once to count its calls on the simulated network, and then once for each of them and each error that it may
    /// give (no descriptor left, no memory, a connection that is reset, an interrupted call, …): there, that call fails.
    /// `f` and its hosts may go on regardless or end with an error. What they may not:
    ///
    /// - hang: an hour of the simulation's clock is enough;
    /// - panic, `f` or any coroutine: so `f` asserts what must hold whatever fails, and returns an error for what need not;
    /// - leave a coroutine behind, as [`assert_no_leaks`] sees it.
    ///
    /// What a server lost without a word shows as a client that hangs or an assertion of `f` that does not hold.
    ///
    /// ```
    /// use grapeshot::net::{TcpListener, TcpStream};
    /// use grapeshot::testing::{self, NetworkConfig, Simulation};
    /// use std::io::{self, Read, Write};
    ///
    /// fn serve() -> io::Result<()> {
    ///     let listener = TcpListener::bind("0.0.0.0:7")?;
    ///     for stream in listener.incoming().flatten() {
    ///         grapeshot::spawn(move || io::copy(&mut &stream, &mut &stream));
    ///     }
    ///     Ok(())
    /// }
    ///
    /// let network = NetworkConfig::new();
    /// let torture = Simulation::new(7).network(network).torture(|| -> io::Result<()> {
    ///     testing::host("server", || drop(serve()));
    ///     grapeshot::sleep(std::time::Duration::from_millis(1));
    ///     let mut stream = TcpStream::connect("server:7")?;
    ///     stream.write_all(b"anybody there?")?;
    ///     stream.shutdown(std::net::Shutdown::Write)?;
    ///     let mut answer = String::new();
    ///     stream.read_to_string(&mut answer)?;
    ///     // A connection that breaks may end early; what came must be right.
    ///     assert!("anybody there?".starts_with(&answer));
    ///     Ok(())
    /// });
    /// println!("{torture}");
    /// assert!(torture.runs > torture.calls);
    /// assert!(torture.errors > 0);
    /// ```
    ///
    /// Without [`network`](Self::network) it has a faithful one. Calls are told apart by their number, so the program has to
    /// be one that its seed decides, as the [module](super) says. Files, other sockets and other programs are real, and do
    /// not fail.
    ///
    /// # Panics
    /// At the first run that does what it may not. The message tells which call failed, and how to have that run again.
    #[track_caller]
    pub fn torture<E>(self, f: impl Fn() -> Result<(), E> + Send + Sync + 'static) -> Torture
    where
        E: fmt::Display + Send + 'static,
    {
        let f = Arc::new(f);
        let calm = Arc::new(Faults::default());
        let panics = match self.run_with(calm.clone(), f.clone(), u64::MAX) {
            Ok((Ok(()), panics)) => panics,
            Ok((Err(error), _)) => panic!("it fails with nothing done to it: {error}"),
            Err(message) => panic!("it fails with nothing done to it: {message}"),
        };
        let calls = calm.made();
        let plan: Vec<_> = calls
            .iter()
            .enumerate()
            .flat_map(|(at, made)| made.call.errors().iter().map(move |&error| (at, error)))
            .collect();
        let (mut runs, mut errors) = (0, 0);
        for run in chosen(plan.len()) {
            let (at, error) = plan[run];
            let faults = Arc::new(Faults::at(at, error));
            match self.run_with(faults, f.clone(), panics) {
                Ok((result, _)) => errors += usize::from(result.is_err()),
                Err(message) => panic!(
                    "run {run} of {} fails: call {at}, {}, gave {:?}. {message}\nto have it again: {RUN}={run} cargo test",
                    plan.len(),
                    calls[at],
                    std::io::Error::from(error).to_string(),
                ),
            }
            runs += 1;
        }
        Torture {
            calls: calls.len(),
            runs,
            errors,
        }
    }

    /// Gives also how many coroutines panicked, of which there may be `panics`.
    fn run_with<E>(
        &self,
        faults: Arc<Faults>,
        f: Arc<impl Fn() -> Result<(), E> + Send + Sync + 'static>,
        panics: u64,
    ) -> Result<(Result<(), E>, u64), String>
    where
        E: Send + 'static,
    {
        let mut simulation = self.clone();
        let network = simulation.network.unwrap_or_default();
        simulation.network = Some(network.with_faults(faults));
        let run = AssertUnwindSafe(move || simulation.run(move || watched(&*f, panics)));
        catch_unwind(run).map_err(|payload| explore::message(&*payload))
    }
}

/// Which of the `count` runs are made.
fn chosen(count: usize) -> std::ops::Range<usize> {
    match std::env::var(RUN).map(|run| run.parse::<usize>()) {
        Err(_) => 0..count,
        Ok(Ok(run)) if run < count => run..run + 1,
        Ok(_) => panic!("{RUN} must be a number below {count}"),
    }
}

fn watched<E>(f: &dyn Fn() -> Result<(), E>, panics: u64) -> (Result<(), E>, u64) {
    let shared = sched::runtime::here();
    let Ok(result) = with_timeout(LIMIT, f) else {
        panic!(
            "it hangs: after {LIMIT:?} of its clock it has not ended. What is left of it:\n{}",
            registry::describe_waits(shared)
        );
    };
    assert_no_leaks();
    let workers = shared.workers.iter();
    let panicked = workers
        .map(|worker| worker.figures.panicked.load(Ordering::Relaxed))
        .sum();
    assert!(panicked <= panics, "a coroutine panicked");
    (result, panicked)
}
