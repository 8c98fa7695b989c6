//! Running programs under a virtual clock and a seeded order.

mod chance;
mod explore;
pub(crate) mod harness;
mod leaks;
pub(crate) mod network;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use crate::sched::runtime::Runtime;

pub(crate) use chance::Chance;
pub use explore::{Failure, explore};
pub use leaks::assert_no_leaks;
pub use network::{Host, Network, NetworkConfig, host, network};

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
    network: Option<NetworkConfig>,
}

impl Simulation {
    /// One whose order `seed` decides.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            patience: None,
            network: None,
        }
    }

    /// How long, by the real clock, it waits for something from outside (a socket, a signal, a plain thread) when nothing
    /// of its own can happen any more, before that is reported; 10 s if not given.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Gives it a network of its own, in memory: [`TcpListener`](crate::net::TcpListener) and
    /// [`TcpStream`](crate::net::TcpStream) then never reach the system, and what the network does to them (how long it
    /// takes, what it loses) is drawn from the seed too. Other sockets are real as ever. `f` runs on a host called `main`,
    /// of address 10.0.0.1; [`host()`] starts others.
    ///
    /// The same seed gives the same run, if the program takes time from [`time::now`](crate::time::now) and
    /// [`time::system_now`](crate::time::system_now), and randomness from [`random::fill`](crate::random::fill). The order of
    /// a `HashMap` is random, too, so iterate over a `BTreeMap` instead. A socket of the network has no descriptor, and only
    /// coroutines of the simulation can use it.
    ///
    /// ```
    /// use grapeshot::net::{TcpListener, TcpStream};
    /// use grapeshot::testing::{self, NetworkConfig, Simulation};
    /// use std::io::{Read, Write};
    ///
    /// Simulation::new(7).network(NetworkConfig::new().chop(true)).run(|| -> std::io::Result<()> {
    ///     testing::host("server", || {
    ///         let listener = TcpListener::bind("0.0.0.0:7").unwrap();
    ///         for stream in listener.incoming().flatten() {
    ///             grapeshot::spawn(move || std::io::copy(&mut &stream, &mut &stream));
    ///         }
    ///     });
    ///     grapeshot::sleep(std::time::Duration::from_millis(1));
    ///     let mut stream = TcpStream::connect("server:7")?;
    ///     stream.write_all(b"anybody there?")?;
    ///     stream.shutdown(std::net::Shutdown::Write)?;
    ///     let mut answer = String::new();
    ///     stream.read_to_string(&mut answer)?;
    ///     assert_eq!(answer, "anybody there?");
    ///     Ok(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn network(mut self, config: NetworkConfig) -> Self {
        self.network = Some(config);
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
            Ok(runtime) => match self.network {
                None => runtime.run(f),
                Some(config) => runtime.run(move || on_network(config, self.seed, f)),
            },
            Err(error) => panic!("cannot start the simulation: {error}"),
        }
    }
}

/// Runs `f` as the main coroutine of a simulation with a network.
fn on_network<T>(config: NetworkConfig, seed: u64, f: impl FnOnce() -> T) -> T {
    let wire = match network::Wire::lay(config, seed) {
        Ok(wire) => wire,
        Err(error) => panic!("cannot start the simulated network: {error}"),
    };
    let result = catch_unwind(AssertUnwindSafe(f));
    if let Some(payload) = wire.take_failure() {
        resume_unwind(payload);
    }
    result.unwrap_or_else(|payload| resume_unwind(payload))
}
