//! Running programs under a virtual clock and a seeded order, on a network that fails.
//!
//! # How to test a server of yours
//!
//! Write the server so that it is given what it keeps (its "disk"), and let a test start it on a [`host`](host()) of a
//! simulated network. Nothing in it knows that it is simulated. Clients are other hosts, or the test itself. Then try many
//! seeds: each is another order of events, other delays, other connections that break.
//!
//! ```
//! use grapeshot::net::{TcpListener, TcpStream};
//! use grapeshot::testing::{self, NetworkConfig, Simulation};
//! use grapeshot::{sleep, spawn, with_timeout};
//! use std::collections::BTreeSet;
//! use std::io::{self, Read, Write};
//! use std::sync::{Arc, Mutex};
//! use std::time::Duration;
//!
//! type Orders = Arc<Mutex<BTreeSet<u64>>>;
//!
//! /// The server: takes orders, each once, and answers how many there are.
//! fn serve(listener: TcpListener, orders: Orders) {
//!     for mut stream in listener.incoming().flatten() {
//!         let orders = orders.clone();
//!         spawn(move || -> io::Result<()> {
//!             let mut number = [0; 8];
//!             stream.read_exact(&mut number)?;
//!             let count = {
//!                 let mut orders = orders.lock().unwrap();
//!                 orders.insert(u64::from_be_bytes(number));
//!                 orders.len() as u64
//!             };
//!             stream.write_all(&count.to_be_bytes())
//!         });
//!     }
//! }
//!
//! /// The client: asks until it is answered. So the server hears some orders twice.
//! fn order(number: u64) -> u64 {
//!     let attempt = || -> io::Result<u64> {
//!         let mut stream = TcpStream::connect("shop:7")?;
//!         stream.write_all(&number.to_be_bytes())?;
//!         let mut count = [0; 8];
//!         stream.read_exact(&mut count)?;
//!         Ok(u64::from_be_bytes(count))
//!     };
//!     loop {
//!         if let Ok(Ok(count)) = with_timeout(Duration::from_secs(5), attempt) {
//!             return count;
//!         }
//!         sleep(Duration::from_millis(100));
//!     }
//! }
//!
//! let rough = NetworkConfig::new().chop(true).resets(0.05).refusals(0.05);
//! Simulation::new(0).network(rough).explore(0..50, |_seed| {
//!     let orders = Orders::default(); // outlives the server's restarts
//!     let shop = testing::host("shop", move || {
//!         serve(TcpListener::bind("0.0.0.0:7").unwrap(), orders.clone());
//!     });
//!     assert_eq!(order(1), 1);
//!
//!     // Nothing gets through for a minute, which takes no time.
//!     let network = testing::network();
//!     network.partition(&network.here(), &shop);
//!     let waiting = spawn(|| order(2));
//!     sleep(Duration::from_secs(60));
//!     assert!(!waiting.is_finished());
//!     network.heal_all();
//!     assert_eq!(waiting.join().unwrap(), 2);
//!
//!     // The server dies with all its connections, and comes back.
//!     shop.restart();
//!     assert_eq!(order(3), 3);
//!     testing::assert_no_leaks();
//! });
//! ```
//!
//! In a test, the attribute [`grapeshot::test`](macro@crate::test) says the same in a line:
//! `#[grapeshot::test(seeds = 0..50, network = NetworkConfig::new().chop(true).resets(0.05))]`.
//!
//! Seeds find what a rough network does. [`Simulation::torture`] goes through what else may happen, one by one: each call on
//! the network fails once, with each error that it may give.
//!
//! When a seed fails, the message names it. `GRAPESHOT_SEED=17 cargo test` runs that seed alone, with the same order of events,
//! as often as it takes to understand it; [`NetworkConfig::trace`] writes down what the network did. Before you trust a test
//! that finds nothing, plant the bug that it is for (here: `orders` as a `Vec`), and see it fail.
//!
//! What has to come from the seed, or a run cannot be had again:
//!
//! - time: [`time::now`](crate::time::now) and [`time::system_now`](crate::time::system_now), not those of std;
//! - randomness: [`random::fill`](crate::random::fill). The order of a std `HashMap` is random, too;
//! - whatever other threads do. What is [`unblock`](crate::unblock)ed holds the clock, but ends when it likes.
//!
//! Names are those of the hosts, and neither TCP nor UDP reaches the system. Files, Unix sockets, other programs and signals are
//! real: a server that needs them can be tested in a simulation, but a failure of theirs does not come from the seed.
//!
//! Without a network of their own, simulations are for what happens in one process: [`run`].

mod chance;
mod explore;
pub(crate) mod harness;
mod leaks;
pub(crate) mod network;
mod torture;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use crate::sched::runtime::Runtime;

pub(crate) use chance::Chance;
pub use explore::{Failure, explore};
pub use leaks::assert_no_leaks;
pub use network::{Host, Network, NetworkConfig, host, network};
pub use torture::Torture;

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

    /// Gives it a network of its own, in memory: [`TcpListener`](crate::net::TcpListener),
    /// [`TcpStream`](crate::net::TcpStream) and [`UdpSocket`](crate::net::UdpSocket) then never reach the system, and what
    /// the network does to them (how long it takes, what it loses) is drawn from the seed too. Other sockets are real as ever. `f` runs on a host called `main`,
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
