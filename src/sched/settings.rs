//! What can be chosen of a runtime.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::handle::RuntimeHandle;
use crate::context::stack;
use crate::trace::BlackBox;

/// Address space of a coroutine's stack; a debug build needs more for the same code.
const STACK: usize = 256 << 10;
/// How long a coroutine may hold its worker before that is reported.
const LATENCY: Duration = Duration::from_millis(200);
/// How long a stopping runtime waits for coroutines that do not stop.
const SHUTDOWN: Duration = Duration::from_secs(10);
/// In a simulation where nothing can happen any more except from outside, how long to wait for that.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a runtime was built with.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) workers: usize,
    pub(crate) thread_name: ThreadName,
    pub(crate) pin_workers: bool,
    pub(crate) stack_size: usize,
    /// Free stacks that a worker keeps with their memory, at most.
    pub(crate) max_pooled_stacks: usize,
    /// `usize::MAX`: no limit, and nobody counts.
    pub(crate) max_coroutines: usize,
    pub(crate) accounting: bool,
    /// `None`: nobody watches.
    pub(crate) latency_limit: Option<Duration>,
    pub(crate) shutdown_timeout: Duration,
    /// One worker, a virtual clock, and a ready queue shuffled by this seed.
    pub(crate) seed: Option<u64>,
    /// The runtime that this one serves, and whether it also stands for it.
    pub(crate) host: Option<(RuntimeHandle, bool)>,
    /// How long a simulation in which nothing can happen any more waits for the outside.
    pub(crate) patience: Duration,
    /// Where its events are recorded from its start on.
    pub(crate) black_box: Option<BlackBox>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: thread::available_parallelism().map_or(1, std::num::NonZero::get),
            thread_name: ThreadName(Arc::new(|index| format!("grapeshot-{index}"))),
            pin_workers: false,
            stack_size: if cfg!(debug_assertions) {
                4 * STACK
            } else {
                STACK
            },
            max_pooled_stacks: usize::MAX,
            max_coroutines: usize::MAX,
            accounting: true,
            latency_limit: Some(LATENCY),
            shutdown_timeout: SHUTDOWN,
            seed: None,
            host: None,
            patience: PATIENCE,
            black_box: None,
        }
    }
}

impl Config {
    /// What the system would refuse less politely.
    pub(super) fn check(&self) -> io::Result<()> {
        let nul = (0..self.workers).any(|index| self.thread_name.of(index).contains('\0'));
        if nul {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the name of a worker's thread has a NUL byte in it; give another to Runtime::builder().thread_name(..)",
            ));
        }
        Ok(())
    }
}

/// What the thread of each worker is called.
#[derive(Clone)]
pub(crate) struct ThreadName(Arc<dyn Fn(usize) -> String + Send + Sync>);

impl ThreadName {
    pub(super) fn of(&self, worker: usize) -> String {
        (self.0)(worker)
    }
}

impl fmt::Debug for ThreadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.of(0).fmt(f)
    }
}

/// Settings of a [`Runtime`](crate::Runtime).
///
/// ```
/// use grapeshot::Runtime;
/// use std::time::Duration;
///
/// let runtime = Runtime::builder()
///     .workers(2)
///     .thread_name("game")
///     .max_coroutines(100_000)
///     .shutdown_timeout(Duration::from_secs(5))
///     .build()?;
/// assert_eq!(runtime.run(|| std::thread::current().name().map(str::to_owned)).as_deref(), Some("game-0"));
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug, Clone)]
pub struct RuntimeBuilder {
    pub(super) config: Config,
}

impl RuntimeBuilder {
    /// Worker threads, at least 1; one a core by default.
    pub fn workers(mut self, workers: usize) -> Self {
        self.config.workers = workers.max(1);
        self
    }

    /// What the workers' threads are called: `prefix-0`, `prefix-1`…; `grapeshot` by default. Linux shows the first 15
    /// bytes of it.
    pub fn thread_name(self, prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        self.thread_name_fn(move |index| format!("{prefix}-{index}"))
    }

    /// As [`thread_name`](Self::thread_name), with the whole name made from the worker's index.
    pub fn thread_name_fn(
        mut self,
        name: impl Fn(usize) -> String + Send + Sync + 'static,
    ) -> Self {
        self.config.thread_name = ThreadName(Arc::new(name));
        self
    }

    /// Whether each worker is kept on a processor of its own, among those that the process may use. Off by default: the
    /// system moves threads for good reasons, so measure before you turn it on. Only Linux has it; elsewhere it does
    /// nothing.
    pub fn pin_workers(mut self, on: bool) -> Self {
        self.config.pin_workers = on;
        self
    }

    /// Bytes of address space for a coroutine's stack unless its `Builder` says otherwise; 256 KiB by default (1 MiB in a
    /// build with debug assertions), a guard page included. Memory is taken page by page as it is touched.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.config.stack_size = stack::whole(bytes);
        self
    }

    /// How many stacks of ended coroutines each worker keeps together with their memory, for the next ones. There is no
    /// limit by default, but what was not needed for a second gives its memory back. With a limit, the memory of what
    /// exceeds it is given back at once, which costs a system call at a coroutine's end; the address space is kept and used
    /// again.
    pub fn max_pooled_stacks(mut self, stacks: usize) -> Self {
        self.config.max_pooled_stacks = stacks;
        self
    }

    /// How many coroutines may live at a time, the main one included, at least 1. No limit by default. Beyond it,
    /// [`Builder::try_spawn`](crate::Builder::try_spawn) gives an error, and [`spawn`](crate::spawn) panics. When several
    /// threads spawn at the same moment, each may exceed it by a few.
    pub fn max_coroutines(mut self, coroutines: usize) -> Self {
        self.config.max_coroutines = coroutines.max(1);
        self
    }

    /// Whether processor time is counted at each switch, which costs a reading of the time-stamp counter. On by default;
    /// [`RuntimeHandle::set_accounting`](crate::RuntimeHandle::set_accounting) changes it while the runtime runs.
    pub fn accounting(mut self, on: bool) -> Self {
        self.config.accounting = on;
        self
    }

    /// How long a coroutine may hold its worker without suspending; 200 ms by default, at least 1 ms, `None` for as long as
    /// it likes. One that exceeds it is named in the log, with its backtrace: see [`registry::stalls`](crate::registry).
    /// Whoever is late in the queue behind it notices at once; this says why. After half of it, coroutines that were placed
    /// on its worker and have not started go to another.
    ///
    /// One thread watches all the workers of the process, and sleeps while they do. It takes the backtrace with a signal
    /// (SIGURG) to the worker that is held: system calls that a signal ends, such as a `nanosleep` of a foreign library,
    /// end early then. Only Linux gives backtraces of running code.
    pub fn latency_limit(mut self, limit: impl Into<Option<Duration>>) -> Self {
        let limit = limit.into();
        self.config.latency_limit = limit.map(|limit| limit.max(Duration::from_millis(1)));
        self
    }

    /// Keeps a black box: the latest events (see [`trace`](crate::trace)) in a file of `bytes` bytes at most, which is there
    /// however the process ends. `console postmortem` and [`Recording::open`](crate::trace::Recording::open) read it. A few
    /// megabytes hold the latest seconds of a busy server. None by default.
    ///
    /// The room on the disk is taken at once. A file that is there already is kept as `path` with `.previous` behind it. The
    /// file must not be cut while the program runs.
    ///
    /// [`RuntimeBuilder::build`] gives an error if the file cannot be made: the folder cannot be written, the disk is full,
    /// another runtime has it, or something else is there.
    pub fn black_box(mut self, path: impl Into<PathBuf>, bytes: usize) -> Self {
        let path = path.into();
        self.config.black_box = Some(BlackBox { path, bytes });
        self
    }

    /// How long a stopping runtime waits for coroutines that do not end; 10 s by default. What is left then is named on
    /// standard error and leaked.
    pub fn shutdown_timeout(mut self, limit: Duration) -> Self {
        self.config.shutdown_timeout = limit;
        self
    }

    /// Makes it a runtime that serves another one, such as the console's: it must answer whatever the other's workers do.
    /// What plain threads spawn never goes to it, its workers never wait awake, and its coroutines have ids out of the same
    /// numbers as the other's, so that one id means one coroutine.
    pub fn beside(mut self, host: RuntimeHandle) -> Self {
        self.config.host = Some((host, false));
        self
    }

    /// As [`beside`](Self::beside), for code of the other runtime that is to run on a thread of its own. What it spawns, it
    /// spawns in `host` ([`spawn_local`](crate::spawn_local) and the children of a [`scope`](crate::scope) excepted, which
    /// stay with it), and [`registry`](crate::registry) tells it of `host`.
    ///
    /// ```
    /// use grapeshot::{Runtime, RuntimeHandle};
    ///
    /// grapeshot::run(|| {
    ///     let here = RuntimeHandle::current().unwrap();
    ///     let aside = Runtime::builder().workers(1).thread_name("aside").on_behalf_of(here).build().unwrap();
    ///     let [own, spawned] = aside.run(|| {
    ///         let name = || std::thread::current().name().unwrap_or_default().to_owned();
    ///         [name(), grapeshot::spawn(name).join().unwrap()]
    ///     });
    ///     assert_eq!(own, "aside-0");
    ///     assert!(spawned.starts_with("grapeshot-"));
    /// });
    /// ```
    pub fn on_behalf_of(mut self, host: RuntimeHandle) -> Self {
        self.config.host = Some((host, true));
        self
    }

    pub(crate) fn seed(mut self, seed: u64) -> Self {
        self.config.seed = Some(seed);
        self.config.workers = 1;
        // Nobody waits there while one computes: the clock stands still.
        self.config.latency_limit = None;
        self
    }

    pub(crate) fn patience(mut self, patience: Duration) -> Self {
        self.config.patience = patience;
        self
    }
}
