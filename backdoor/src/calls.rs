//! Calls of the application's functions, each on a thread that nobody else needs.
//!
//! ```text
//!   worker "backdoor"                    worker "backdoor-call", one for each call that runs
//!   ─────────────────                    ──────────────────────────────────────────────────
//!   console-eval-3   ── name(..) ──▶     console-call-3: may wait for the application's locks, may hold its thread
//!         waits      ◀── its value ──    then the thread is there for the next call
//! ```
//!
//! A function of the application may compute on for ever, or block its thread in a lock that somebody else has. Only its
//! own thread is lost then: the console that called it gives up at Ctrl-C or at the time limit, and all others go on.
//! The thread's runtime stands for the application's, so what a function spawns runs there.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use grapeshot::sync::channel::{self, Receiver};
use grapeshot::{Builder, JoinHandle, Runtime, RuntimeHandle, catch_panic, shield, with_timeout};
use rhai::EvalAltResult;

use crate::language::{failed, terminated};
use crate::limits;
use crate::pace::{Pace, Stop};

/// Threads for calls.
pub(crate) struct Calls {
    host: RuntimeHandle,
    threads: Mutex<Threads>,
}

#[derive(Default)]
struct Threads {
    idle: Vec<Runtime>,
    /// All of them, those that run a call too.
    all: Vec<RuntimeHandle>,
    closed: bool,
}

impl Calls {
    pub(crate) fn new(host: RuntimeHandle) -> Arc<Self> {
        Arc::new(Self {
            host,
            threads: Mutex::default(),
        })
    }

    /// Calls `f` on a thread of its own and waits for its value. May suspend. If the caller is interrupted, the call is
    /// too; if that does not end it soon, `pace` is told so. A panic of `f` goes on in the caller.
    pub(crate) fn call<T: Send + 'static>(
        self: &Arc<Self>,
        name: &str,
        pace: &Pace,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Box<EvalAltResult>> {
        let fails = |message: &str| failed(&format!("{name}: {message}"));
        let thread = self.take().map_err(|message| fails(&message))?;
        let handle = thread.handle();
        let guard = Returns {
            calls: Arc::clone(self),
            thread: Some(thread),
        };
        let (sender, values) = channel::bounded(1);
        let builder = Builder::new()
            .name(format!("console-call-{}", pace.session()))
            .stack_size(limits::STACK_SIZE);
        let coroutine = handle.spawn(builder, move || {
            let _guard = guard;
            let sender = sender;
            let value = catch_panic(f);
            // Whoever asked may have given up.
            let _ = sender.try_send(value);
        });
        // An interrupt of this evaluation unwinds from here. It is held back while the call hears of it.
        let wait = || with_timeout(pace.left(), || values.recv());
        match catch_unwind(AssertUnwindSafe(wait)) {
            Ok(Ok(Ok(Ok(value)))) => Ok(value),
            Ok(Ok(Ok(Err(panic)))) => resume_unwind(panic),
            Ok(Ok(Err(_))) => Err(fails("somebody killed its coroutine")),
            Ok(Err(_elapsed)) => {
                give_up(name, pace, &coroutine, &values);
                Err(terminated(&Stop::TimeLimit(pace.limit()).to_string()))
            }
            Err(interrupt) => {
                give_up(name, pace, &coroutine, &values);
                resume_unwind(interrupt)
            }
        }
    }

    /// The runtimes of the calls.
    pub(crate) fn runtimes(&self) -> Vec<RuntimeHandle> {
        self.lock().all.clone()
    }

    fn take(&self) -> Result<Runtime, String> {
        let mut threads = self.lock();
        if threads.closed {
            return Err("the backdoor is being closed".to_owned());
        }
        if let Some(thread) = threads.idle.pop() {
            return Ok(thread);
        }
        if threads.all.len() >= limits::CALLS {
            return Err(format!(
                "{} calls have not ended, which is the limit: ps(\"console-call\") lists them, where(id) tells where they are",
                limits::CALLS
            ));
        }
        let thread = start(self.host)
            .map_err(|error| format!("there is no thread to run it on: {error}"))?;
        threads.all.push(thread.handle());
        Ok(thread)
    }

    /// Ends the threads: those that run a call, when that has ended.
    pub(crate) fn close(&self) {
        let idle = {
            let mut threads = self.lock();
            threads.closed = true;
            std::mem::take(&mut threads.idle)
        };
        idle.into_iter().for_each(Runtime::dismiss);
    }

    fn put_back(&self, thread: Runtime) {
        let mut threads = self.lock();
        if threads.closed {
            drop(threads);
            return thread.dismiss();
        }
        threads.idle.push(thread);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.close();
    }
}

fn start(host: RuntimeHandle) -> io::Result<Runtime> {
    Runtime::builder()
        .workers(1)
        .thread_name_fn(|_| limits::CALL_THREAD.to_owned())
        // A call may take its time: nobody waits behind it.
        .latency_limit(None)
        .on_behalf_of(host)
        .build()
}

/// Interrupts a call and waits a moment for its destructors. Some calls hear nothing: see [`Calls`].
fn give_up<T>(name: &str, pace: &Pace, coroutine: &JoinHandle<()>, values: &Receiver<T>) {
    coroutine.interrupt();
    let ended = shield(|| with_timeout(limits::CALL_GRACE, || while values.recv().is_ok() {}));
    if ended.is_err() {
        let id = coroutine.id();
        log_left(name, id.0);
        pace.leave_note(format!(
            "{name} does not end: where({id}) tells where it is; nobody waits for it any more"
        ));
    }
}

fn log_left(name: &str, id: u64) {
    crate::journal::warn(format!(
        "console: {name} was called and does not end when it is interrupted; coroutine {id} is left behind"
    ));
}

/// Gives the thread of a call back when it has ended, however it did.
struct Returns {
    calls: Arc<Calls>,
    thread: Option<Runtime>,
}

impl Drop for Returns {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.calls.put_back(thread);
        }
    }
}
