//! Starting a runtime, running programs in it, stopping it.

use std::io;
use std::panic::{Location, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::accounting::Accounting;
use super::handle::{EndCalls, principal};
use super::join::{JoinError, JoinHandle};
use super::settings::{Config, RuntimeBuilder};
use super::sleeper::Idle;
use super::spawn::{Builder, Placement, spawn_in};
use super::{Message, Shared, WorkerShared, current, report, watchdog, worker};
use crate::context::{barrier, overflow};
use crate::io::Poller;
use crate::registry::lints::Lints;
use crate::registry::stalls::Stalls;
use crate::trace;
use crate::trace::stream::Slot;

/// The runtimes that live, the latest last: where a spawn from a plain thread goes. Simulations are not among them: what
/// a stray thread did would come into their order. Nor are those that only serve another.
static RUNNING: Mutex<Vec<&'static Shared>> = Mutex::new(Vec::new());

/// Runs `f` as the main coroutine of a runtime with one worker a core, and returns its value.
///
/// When `f` returns, the runtime stops: every other coroutine is interrupted and its destructors run. A panic of `f` goes
/// on in the caller.
///
/// ```
/// let answer = grapeshot::run(|| grapeshot::spawn(|| 6 * 7).join().unwrap());
/// assert_eq!(answer, 42);
/// ```
///
/// # Panics
/// If the system refuses the threads or the poller; [`Runtime::builder`] gives an error instead.
#[track_caller]
pub fn run<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match Runtime::builder().build() {
        Ok(runtime) => runtime.run(f),
        Err(error) => panic!("cannot start the runtime: {error}"),
    }
}

/// Workers and what runs on them. Several may live in one process. Dropped, it stops.
#[derive(Debug)]
pub struct Runtime {
    pub(super) shared: &'static Shared,
    threads: Vec<thread::JoinHandle<()>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The coroutines that had not ended when the time for stopping was over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StillRunning {
    /// Id, name and what it was doing, a line each; the first eight with their backtraces on further lines.
    pub coroutines: Vec<String>,
}

impl std::fmt::Display for StillRunning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} coroutines did not stop in time:",
            self.coroutines.len()
        )?;
        self.coroutines
            .iter()
            .try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for StillRunning {}

impl RuntimeBuilder {
    /// Starts the workers.
    ///
    /// A filter of system calls (seccomp) belongs before the first runtime; one that is installed later must permit
    /// `membarrier`.
    ///
    /// # Errors
    /// The system refuses a thread or a poller: no descriptor or no memory left. What was started by then has ended, and
    /// nothing of it is left.
    pub fn build(self) -> io::Result<Runtime> {
        self.config.check()?;
        barrier::prepare();
        overflow::install(current::describe);
        report::install_hook();
        let (shared, pollers) = lay_out(self.config)?;
        if let Some(black_box) = &shared.config.black_box {
            // It counts as a user that never goes.
            shared
                .stream
                .get_or(|| trace::open_for(&shared.config, black_box))?;
        }
        let mut runtime = Runtime {
            shared,
            threads: Vec::new(),
        };
        for (index, poller) in pollers.into_iter().enumerate() {
            let thread = thread::Builder::new().name(shared.config.thread_name.of(index));
            let main = move || worker::main(shared, index, poller);
            match thread.spawn(main) {
                Ok(thread) => runtime.threads.push(thread),
                Err(cause) => {
                    // Dropping `runtime` stops those that were started; the others are closed by nobody else.
                    shared.workers[index..].iter().for_each(WorkerShared::close);
                    return Err(NoThread::error(
                        format!("for worker {index} of {}", shared.workers.len()),
                        "ask for fewer with `Runtime::builder().workers(..)`",
                        cause,
                    ));
                }
            }
        }
        if shared.config.latency_limit.is_some() {
            watchdog::watch(shared).map_err(|cause| {
                let advice = "do without it: `Runtime::builder().latency_limit(None)`";
                NoThread::error("for the watchdog".to_owned(), advice, cause)
            })?;
        }
        if shared.config.seed.is_none() && shared.config.host.is_none() {
            RUNNING.lock().push(shared);
        }
        Ok(runtime)
    }
}

/// Everything but the threads.
pub(super) fn lay_out(config: Config) -> io::Result<(&'static Shared, Vec<Poller>)> {
    let mut pollers = Vec::with_capacity(config.workers);
    let mut workers = Vec::with_capacity(config.workers);
    for index in 0..config.workers {
        let (poller, reactor) = Poller::new()?;
        pollers.push(poller);
        workers.push(WorkerShared::new(index, reactor));
    }
    let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let shared = Box::leak(Box::new(Shared {
        // One that serves another must not take a processor away from it.
        may_spin: config.workers <= processors && config.seed.is_none() && config.host.is_none(),
        next_id: match config.host {
            Some((host, _)) => host.shared.next_id,
            None => Box::leak(Box::new(AtomicU64::new(1))),
        },
        accounting: Accounting::new(config.accounting),
        config,
        workers: workers.into(),
        base: Instant::now(),
        stopping: AtomicBool::new(false),
        abandoned: AtomicBool::new(false),
        idle: Idle::new(),
        stalls: Stalls::new(),
        stream: Slot::default(),
        lints: Lints::new(),
        at_end: EndCalls::new(),
    }));
    Ok((shared, pollers))
}

/// The system's own error does not say what to do.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no thread {what}: {cause}; raise the limit of threads (`ulimit -u`) or of memory, or {advice}"
)]
struct NoThread {
    what: String,
    advice: &'static str,
    #[source]
    cause: io::Error,
}

impl NoThread {
    fn error(what: String, advice: &'static str, cause: io::Error) -> io::Error {
        // Not of the cause's kind, which is "would block".
        io::Error::other(Self {
            what,
            advice,
            cause,
        })
    }
}

impl Runtime {
    /// Settings, with defaults.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder {
            config: Config::default(),
        }
    }

    /// Spawns a coroutine in this runtime, from anywhere.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        spawn_in(self.shared, Builder::new().with_site(Location::caller()), f)
    }

    /// Runs `f` as the main coroutine, stops the runtime and returns the value; see [`run`]. **May suspend**, called in
    /// a coroutine of another runtime; a plain thread blocks.
    ///
    /// # Panics
    /// With the panic of `f`, if it panicked. If there is no memory for its stack; [`Runtime::spawn`] and
    /// [`JoinHandle::join`] give an error instead.
    pub fn run<F, T>(self, f: F) -> T
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let main = Builder::new().name("main").placement(Placement::Worker(0));
        let result = spawn_in(self.shared, main.with_site(Location::caller()), f).join();
        let timeout = self.shared.config.shutdown_timeout;
        if let Err(left) = self.shutdown(timeout) {
            eprintln!("grapeshot: {left}");
        }
        match result {
            Ok(value) => value,
            Err(JoinError::Panicked(payload)) => resume_unwind(payload),
            Err(error) => panic!("the main coroutine has no value to return: {error}"),
        }
    }

    /// Stops it: interrupts every coroutine, and waits for them all, for at most `limit`. What has not ended then is
    /// leaked. Blocks the thread.
    ///
    /// # Errors
    /// The names of the coroutines that had not ended.
    pub fn shutdown(mut self, limit: Duration) -> Result<(), StillRunning> {
        self.stop(limit)
    }

    fn stop(&mut self, limit: Duration) -> Result<(), StillRunning> {
        if self.threads.is_empty() {
            return Ok(());
        }
        self.begin_to_stop();
        let ended = Ended::watch(std::mem::take(&mut self.threads));
        if ended.wait(limit) {
            self.make_end_known();
            return Ok(());
        }
        let coroutines = crate::registry::describe_with_backtraces(self.shared);
        self.shared.abandoned.store(true, Ordering::SeqCst);
        self.tell_workers();
        // A worker that computes without end is left behind, as a thread would be.
        ended.wait(Duration::from_millis(100));
        self.make_end_known();
        Err(StillRunning { coroutines })
    }

    /// Interrupts every coroutine and leaves the runtime to itself: each worker ends once its coroutines have. Never
    /// blocks. For a runtime that nobody needs to hear of any more, such as one that only [serves](RuntimeBuilder::beside)
    /// another; a process that ends at this moment does not wait for it.
    pub fn dismiss(mut self) {
        self.begin_to_stop();
        watchdog::leave(self.shared);
        // Without them, dropping it does not wait.
        self.threads.clear();
        self.shared.at_end.make();
    }

    /// Its coroutines have ended, or were given up.
    fn make_end_known(&self) {
        watchdog::leave(self.shared);
        self.shared.stream.close();
        self.shared.at_end.make();
    }

    fn begin_to_stop(&self) {
        RUNNING
            .lock()
            .retain(|running| !std::ptr::eq(*running, self.shared));
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.tell_workers();
    }

    fn tell_workers(&self) {
        for worker in &self.shared.workers {
            worker.send(Message::Stop);
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let limit = self.shared.config.shutdown_timeout;
        if let Err(left) = self.stop(limit) {
            eprintln!("grapeshot: {left}");
        }
    }
}

/// Waits for threads with a limit, which `std` cannot.
struct Ended {
    state: Arc<(Mutex<bool>, Condvar)>,
    /// What could not be left to a thread that waits for them.
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
}

impl Ended {
    fn watch(threads: Vec<thread::JoinHandle<()>>) -> Self {
        let state = Arc::new((Mutex::new(false), Condvar::new()));
        let threads = Arc::new(Mutex::new(threads));
        let (signal, theirs) = (state.clone(), threads.clone());
        let join = move || {
            for thread in std::mem::take(&mut *theirs.lock()) {
                // A worker's panic has ended the process.
                let _ = thread.join();
            }
            *signal.0.lock() = true;
            signal.1.notify_all();
        };
        let waiting = thread::Builder::new().name("grapeshot-stop".into());
        let left = match waiting.spawn(join) {
            Ok(_) => Vec::new(),
            Err(_) => std::mem::take(&mut *threads.lock()),
        };
        Self {
            state,
            threads: Mutex::new(left),
        }
    }

    fn wait(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut threads = self.threads.lock();
        if !threads.is_empty() {
            return Self::look(&mut threads, deadline);
        }
        let mut ended = self.state.0.lock();
        while !*ended {
            if self.state.1.wait_until(&mut ended, deadline).timed_out() {
                break;
            }
        }
        *ended
    }

    /// Where there is no thread to wait on: looks at them, every now and then.
    fn look(threads: &mut Vec<thread::JoinHandle<()>>, deadline: Instant) -> bool {
        const LOOK_EVERY: Duration = Duration::from_millis(1);
        loop {
            for thread in threads.extract_if(.., |thread| thread.is_finished()) {
                let _ = thread.join();
            }
            if threads.is_empty() || Instant::now() >= deadline {
                return threads.is_empty();
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// Where a spawn goes: to the runtime of this worker, or whom that stands for; on a plain thread to the one that was
/// started last and still runs, else to a lasting one.
#[inline]
pub(crate) fn here() -> &'static Shared {
    worker::with(|worker| worker.map(principal)).unwrap_or_else(of_process)
}

/// As [`here`], but that of this worker itself, whomever it stands for: for what stays with whoever spawns it.
#[inline]
pub(crate) fn right_here() -> &'static Shared {
    worker::with(|worker| worker.map(worker::Worker::shared)).unwrap_or_else(of_process)
}

/// The runtime that a look from outside means, if any runs.
pub(crate) fn running() -> Option<&'static Shared> {
    worker::with(|worker| worker.map(principal)).or_else(|| RUNNING.lock().last().copied())
}

#[cold]
fn of_process() -> &'static Shared {
    let latest = RUNNING.lock().last().copied();
    latest.unwrap_or_else(lasting)
}

/// One that runs until the process ends, for what plain threads want of one that does.
pub(crate) fn lasting() -> &'static Shared {
    static LASTING: OnceLock<Runtime> = OnceLock::new();
    LASTING
        .get_or_init(|| match Runtime::builder().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                panic!("cannot start a runtime for a spawn from a plain thread: {error}")
            }
        })
        .shared
}
