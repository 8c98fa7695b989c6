//! Starting coroutines.

use std::cell::Cell;
use std::fmt;
use std::panic::Location;

use super::join::{JoinHandle, LocalJoinHandle};
use super::record::{CoroRef, Head, Name, Record, Run};
use super::{Shared, current, hooks, runtime, worker};
use crate::context::PinnedCell;

/// A coroutine's number; unique in its runtime, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoroutineId(pub u64);

impl fmt::Display for CoroutineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which worker a new coroutine starts on, and so stays on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Placement {
    /// The spawner's own worker, unless that carries clearly more than another or another is idle.
    #[default]
    Balanced,
    /// The spawner's own worker; as `Balanced` on a thread that is not one.
    Here,
    /// The worker with this index, modulo their number.
    Worker(usize),
}

/// The longest name of a coroutine, in bytes.
const LONGEST_NAME: usize = 200;

/// What ends a name that was longer.
const CUT: &str = "…";

fn cut(mut name: String) -> String {
    if name.len() > LONGEST_NAME {
        name.truncate(name.floor_char_boundary(LONGEST_NAME - CUT.len()));
        name.push_str(CUT);
    }
    name
}

/// Chooses a name, a stack size or a worker for a coroutine.
///
/// ```
/// grapeshot::run(|| {
///     let deep = grapeshot::Builder::new().name("deep").stack_size(2 << 20).spawn(|| 1 + 1);
///     assert_eq!(deep.join().unwrap(), 2);
/// });
/// ```
#[derive(Debug, Clone, Default)]
pub struct Builder {
    name: Option<String>,
    stack_size: Option<usize>,
    placement: Placement,
}

impl Builder {
    /// No name, the runtime's stack size, balanced placement.
    pub fn new() -> Self {
        Self::default()
    }

    /// A name for the console, the logs and the panic message. Without one, or with an empty one, a coroutine is called after
    /// the place that spawned it. One of more than 200 bytes is cut, and ends in `…`: what it is made of may have come from a
    /// stranger, and it stands in each row of a table, in the log, in `/metrics` and in the black box.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(cut(name.into())).filter(|name| !name.is_empty());
        self
    }

    /// Bytes of address space for its stack, in whole pages, a guard page included; between 16 KiB and 1 GiB. Memory is
    /// taken page by page as it is touched.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Which worker it starts on.
    pub fn placement(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// Spawns a coroutine that runs `f`.
    ///
    /// # Panics
    /// As [`spawn`]; [`Builder::try_spawn`] gives an error instead.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        spawn_in(runtime::here(), self.with_site(Location::caller()), f)
    }

    /// Spawns a coroutine that runs `f`, unless there are too many.
    ///
    /// ```
    /// use grapeshot::{Builder, Runtime, SpawnError, yield_now};
    ///
    /// Runtime::builder().workers(1).max_coroutines(2).build()?.run(|| {
    ///     let second = Builder::new().try_spawn(|| 2).unwrap();
    ///     assert!(matches!(Builder::new().try_spawn(|| 3), Err(SpawnError::TooMany { limit: 2 })));
    ///     assert_eq!(second.join().unwrap(), 2);
    /// });
    /// # std::io::Result::Ok(())
    /// ```
    ///
    /// # Errors
    /// [`SpawnError::TooMany`]: the runtime has as many as [`RuntimeBuilder::max_coroutines`](crate::RuntimeBuilder)
    /// allows. `f` is dropped.
    #[track_caller]
    pub fn try_spawn<F, T>(self, f: F) -> Result<JoinHandle<T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let shared = runtime::here();
        look_for_room(shared)?;
        Ok(spawn_unlimited(
            shared,
            self.with_site(Location::caller()),
            f,
        ))
    }

    /// Spawns a coroutine that runs `f` on this worker, so neither `f` nor its value need be `Send`.
    ///
    /// # Panics
    /// On a thread that is not a worker, and as [`spawn`].
    #[track_caller]
    pub fn spawn_local<F, T>(mut self, f: F) -> LocalJoinHandle<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        assert!(
            worker::with(|worker| worker.is_some()),
            "spawn_local needs a worker to stay on: call it in a coroutine, or use spawn"
        );
        self.placement = Placement::Here;
        let closure = PinnedCell::bound(Cell::new(Some(f)));
        let body = move || {
            let f = closure.get().take().expect("runs once");
            PinnedCell::bound(Cell::new(Some(f())))
        };
        let handle = spawn_in(
            runtime::right_here(),
            self.with_site(Location::caller()),
            body,
        );
        LocalJoinHandle::new(handle)
    }

    pub(crate) fn with_site(self, site: &'static Location<'static>) -> Spec {
        let name = Name {
            given: self.name.map(String::into),
            site,
        };
        Spec {
            name,
            stack_size: self.stack_size,
            placement: self.placement,
            scope_of: None,
        }
    }
}

/// What to spawn, apart from the closure.
pub(crate) struct Spec {
    name: Name,
    stack_size: Option<usize>,
    pub(crate) placement: Placement,
    /// Whose scope it is a child of (0: a plain thread's), if any.
    pub(crate) scope_of: Option<u64>,
}

/// Spawns a coroutine that runs `f`.
///
/// It is queued at once and runs when this worker, or an idle one, comes to it; from its first instruction on it stays on
/// that worker's thread. Called on a plain thread, it goes to the runtime that was started last, or to one that is
/// started now and lives as long as the process.
///
/// ```
/// grapeshot::run(|| {
///     let sum = grapeshot::spawn(|| (1..=10).sum::<u32>());
///     assert_eq!(sum.join().unwrap(), 55);
/// });
/// ```
///
/// What belongs to one thread cannot go to another worker; [`spawn_local`] takes it:
///
/// ```compile_fail,E0277
/// use std::rc::Rc;
///
/// let log = Rc::new("the captain's");
/// grapeshot::spawn(move || println!("{log}"));
/// ```
///
/// # Panics
/// If the runtime has as many coroutines as [`RuntimeBuilder::max_coroutines`](crate::RuntimeBuilder) allows (there is
/// no limit by default); [`Builder::try_spawn`] gives an error instead.
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawn_in(
        runtime::here(),
        Builder::new().with_site(Location::caller()),
        f,
    )
}

/// Spawns a coroutine on this worker. Neither `f` nor its value need be `Send`: `Rc` and `RefCell` are fine.
///
/// # Panics
/// On a thread that is not a worker.
#[track_caller]
pub fn spawn_local<F, T>(f: F) -> LocalJoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    Builder::new().spawn_local(f)
}

/// Why [`Builder::try_spawn`] did not spawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// As many coroutines live as the runtime was built for.
    #[error(
        "{limit} coroutines live, which is the limit of this runtime: wait for some to end, or raise it with \
         `Runtime::builder().max_coroutines(..)`"
    )]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

/// May one more be spawned?
#[inline]
pub(crate) fn look_for_room(shared: &'static Shared) -> Result<(), SpawnError> {
    match shared.config.max_coroutines {
        usize::MAX => Ok(()),
        limit if shared.alive() < limit => Ok(()),
        limit => Err(SpawnError::TooMany { limit }),
    }
}

#[inline]
#[track_caller]
pub(crate) fn spawn_in<F, T>(shared: &'static Shared, spec: Spec, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    if let Err(error) = look_for_room(shared) {
        refuse(error);
    }
    spawn_unlimited(shared, spec, f)
}

#[cold]
#[track_caller]
pub(crate) fn refuse(error: SpawnError) -> ! {
    panic!("cannot spawn: {error}; `Builder::try_spawn` gives an error instead of this panic")
}

#[inline]
pub(crate) fn spawn_unlimited<F, T>(shared: &'static Shared, spec: Spec, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let scoped = spec.scope_of.is_some();
    let parent = spec.scope_of.unwrap_or_else(current::id);
    let stack_size = spec.stack_size.unwrap_or(shared.config.stack_size);
    let spawned = if shared.accounting.is_on() {
        worker::stamp(shared)
    } else {
        0
    };
    let id = worker::new_id(shared);
    let (newborn, handle) = CoroRef::create(
        || Record {
            head: Head::new(spec.name, parent, id, shared, stack_size, spawned, scoped),
        },
        || Run::new(f),
        |run| run,
    );
    if hooks::is_on() {
        hooks::spawned(&newborn.head);
    }
    worker::launch(newborn, spec.placement);
    JoinHandle::new(handle)
}
