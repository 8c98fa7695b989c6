//! A runtime, as other threads and other runtimes name it.

use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::join::JoinHandle;
use super::runtime::{self, Runtime};
use super::spawn::{Builder, spawn_in};
use super::{Shared, worker};

/// Names a runtime: to spawn in it and to look at it from anywhere, for as long as it runs and after that.
///
/// ```
/// use grapeshot::{Builder, Runtime, RuntimeHandle};
///
/// let game = Runtime::builder().workers(1).thread_name("game").build()?;
/// let handle = game.handle();
/// // In another runtime:
/// grapeshot::run(move || {
///     let thread = handle.spawn(Builder::new().name("npc"), || std::thread::current().name().map(str::to_owned));
///     assert_eq!(thread.join().unwrap().as_deref(), Some("game-0"));
///     assert_ne!(RuntimeHandle::current(), Some(handle));
/// });
/// # std::io::Result::Ok(())
/// ```
///
/// What there is to see of it has the names of the functions in [`registry`](crate::registry).
#[derive(Clone, Copy)]
pub struct RuntimeHandle {
    pub(crate) shared: &'static Shared,
}

impl RuntimeHandle {
    /// The runtime of this worker (one that runs [on behalf](crate::RuntimeBuilder::on_behalf_of) of another stands for
    /// that); on a plain thread the one that was started last, if any runs.
    pub fn current() -> Option<Self> {
        runtime::running().map(|shared| Self { shared })
    }

    /// The runtime that a [`spawn`](crate::spawn) of the caller goes to. If there is none, one is started that lives as
    /// long as the process.
    pub fn of_spawns() -> Self {
        Self {
            shared: runtime::here(),
        }
    }

    /// Spawns a coroutine in this runtime, from anywhere.
    ///
    /// # Panics
    /// As [`spawn`](crate::spawn).
    #[track_caller]
    pub fn spawn<F, T>(self, builder: Builder, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        spawn_in(self.shared, builder.with_site(Location::caller()), f)
    }

    /// Has `f` called when the runtime has ended: after its coroutines have, or were given up, on the thread that stopped
    /// it and before [`run`](crate::run) or [`Runtime::shutdown`] returns there. At once, if it has ended already. Dropping
    /// what this returns takes it back.
    pub fn at_end(self, f: impl FnOnce() + Send + 'static) -> AtEnd {
        AtEnd {
            number: self.shared.at_end.add(Box::new(f)),
            shared: self.shared,
        }
    }
}

impl Runtime {
    /// Names this runtime for others.
    pub fn handle(&self) -> RuntimeHandle {
        RuntimeHandle {
            shared: self.shared,
        }
    }
}

impl PartialEq for RuntimeHandle {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.shared, other.shared)
    }
}

impl Eq for RuntimeHandle {}

impl fmt::Debug for RuntimeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { config, .. } = self.shared;
        write!(
            f,
            "RuntimeHandle({} × {:?})",
            config.workers, config.thread_name
        )
    }
}

/// A call at the end of a runtime that has not come yet; see [`RuntimeHandle::at_end`]. Dropping it takes that back.
#[must_use = "dropping it takes the call back"]
pub struct AtEnd {
    shared: &'static Shared,
    number: u64,
}

impl AtEnd {
    /// Leaves the call as it is, for good.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.shared.at_end.take_back(self.number);
    }
}

impl fmt::Debug for AtEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtEnd").finish_non_exhaustive()
    }
}

type Call = Box<dyn FnOnce() + Send>;

/// What is called when a runtime has ended; `None` once it has.
pub(crate) struct EndCalls(Mutex<Option<Vec<(u64, Call)>>>);

impl EndCalls {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Some(Vec::new())))
    }

    fn add(&self, call: Call) -> u64 {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // Not called with the lock held: it may take back others.
        let late = match self.0.lock().as_mut() {
            Some(calls) => {
                calls.push((number, call));
                None
            }
            None => Some(call),
        };
        if let Some(call) = late {
            call();
        }
        number
    }

    fn take_back(&self, number: u64) {
        let taken = self.0.lock().as_mut().and_then(|calls| {
            let place = calls.iter().position(|(it, _)| *it == number)?;
            Some(calls.swap_remove(place))
        });
        drop(taken);
    }

    pub(super) fn make(&self) {
        let calls = self.0.lock().take();
        for (_, call) in calls.into_iter().flatten() {
            call();
        }
    }
}

/// Whom the runtime of this worker stands for, or that runtime itself.
pub(super) fn principal(worker: &worker::Worker) -> &'static Shared {
    let shared = worker.shared();
    match shared.config.host {
        Some((host, true)) => host.shared,
        _ => shared,
    }
}
