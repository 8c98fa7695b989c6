//! Starting coroutines and learning what became of them.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::panic::Location;

use super::record::{CoroRef, Head, Name, Outcome, Record, Run};
use super::wait::{self, Refused, WaitKind, Waiter, check_interrupt};
use super::{Shared, current, runtime, worker};
use crate::context::{PinnedCell, cycles};
use crate::select::sealed::Arm;

/// A coroutine's number; unique in its runtime, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoroutineId(pub u64);

impl fmt::Display for CoroutineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why [`JoinHandle::join`] has no value to give.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// It panicked; this is the payload, for [`std::panic::resume_unwind`] or [`JoinError::message`].
    #[error("the coroutine panicked: {}", message(.0.as_ref()))]
    Panicked(Box<dyn Any + Send>),
    /// It was asked to end: by [`JoinHandle::interrupt`], from the console, or by the runtime's shutdown.
    #[error("the coroutine was interrupted")]
    Interrupted,
    /// There was no memory for its stack, so it never ran.
    #[error("the coroutine could not start: no memory for its stack: {0}")]
    NoStack(io::Error),
    /// The caller unwinds, so it cannot wait.
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl JoinError {
    /// The panic's message, if there was one.
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Panicked(payload) => Some(message(payload.as_ref())),
            _ => None,
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(payload) => f
                .debug_tuple("Panicked")
                .field(&message(payload.as_ref()))
                .finish(),
            Self::Interrupted => f.write_str("Interrupted"),
            Self::NoStack(error) => f.debug_tuple("NoStack").field(error).finish(),
            Self::Refused(refused) => f.debug_tuple("Refused").field(refused).finish(),
        }
    }
}

pub(crate) fn message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(a payload that is not text)")
}

/// The right to wait for a coroutine's end. Dropped, it lets the coroutine run on.
pub struct JoinHandle<T: 'static> {
    /// `None` once its outcome was taken.
    coroutine: Option<CoroRef>,
    _value: PhantomData<fn() -> T>,
}

impl<T: 'static> JoinHandle<T> {
    /// Waits for the end. **May suspend**; on a plain thread it blocks.
    ///
    /// # Errors
    /// [`JoinError::Panicked`] with the panic, [`JoinError::Interrupted`] if it was asked to end.
    pub fn join(mut self) -> Result<T, JoinError> {
        check_interrupt();
        let outcome = self.outcome();
        if !outcome.is_done() {
            let head = &self.coroutine().head;
            let (wait, waiter) = wait::prepare(WaitKind::Join, head.id as usize)?;
            head.wake_at_end(outcome, waiter);
            if let wait::Outcome::Interrupted(interrupt) = wait.suspend() {
                interrupt.raise();
            }
        }
        let result = outcome.take().unwrap_or(Err(JoinError::Interrupted));
        // So there is nothing left for `drop` to look at.
        self.coroutine = None;
        result
    }

    /// Lets the coroutine run on, and gives a reference to it.
    #[inline]
    pub(crate) fn detach(mut self) -> CoroRef {
        drop(self.outcome().abandon());
        self.coroutine.take().expect("joining consumes the handle")
    }

    #[inline]
    fn coroutine(&self) -> &CoroRef {
        self.coroutine
            .as_ref()
            .expect("joining consumes the handle")
    }

    #[inline]
    fn outcome(&self) -> &Outcome<T> {
        let outcome = self.coroutine().body().outcome();
        outcome.downcast_ref().expect("spawned with this very type")
    }

    /// Asks the coroutine to end: from now on every blocking call that it makes outside a [`shield`](crate::shield)
    /// unwinds. Returns at once; asking again changes nothing. One that has not started never will.
    pub fn interrupt(&self) {
        worker::interrupt(self.coroutine());
    }

    /// Has it ended?
    pub fn is_finished(&self) -> bool {
        self.outcome().is_done()
    }

    /// Its number.
    pub fn id(&self) -> CoroutineId {
        CoroutineId(self.coroutine().head.id)
    }

    /// Its name: the one given, or the place in the code that spawned it.
    pub fn name(&self) -> String {
        self.coroutine().head.name.with(str::to_owned)
    }
}

/// Joining, as an arm of a [`select!`](crate::select!).
pub struct JoinArm<'a, T: 'static> {
    handle: &'a JoinHandle<T>,
    listed: bool,
    output: Option<Result<T, JoinError>>,
}

impl<T: 'static> JoinHandle<T> {
    /// For `select!`.
    #[doc(hidden)]
    pub fn __select_join(&self) -> JoinArm<'_, T> {
        JoinArm {
            handle: self,
            listed: false,
            output: None,
        }
    }
}

impl<T: 'static> JoinArm<'_, T> {
    /// What came of it; `None` if it was not chosen.
    pub fn into_output(self) -> Option<Result<T, JoinError>> {
        self.output
    }
}

impl<T: 'static> Arm for JoinArm<'_, T> {
    fn attempt(&mut self) -> bool {
        let outcome = self.handle.outcome();
        if outcome.is_done() {
            self.output = Some(outcome.take().unwrap_or(Err(JoinError::Interrupted)));
        }
        self.output.is_some()
    }

    fn enlist(&mut self, waiter: Waiter) -> bool {
        let outcome = self.handle.outcome();
        if outcome.is_done() {
            return false;
        }
        // If it ends at this moment, this wakes the caller by this arm.
        self.handle.coroutine().head.wake_at_end(outcome, waiter);
        self.listed = true;
        true
    }

    fn complete(&mut self) -> bool {
        self.listed = false;
        self.attempt()
    }

    fn withdraw(&mut self) {
        if std::mem::take(&mut self.listed) {
            self.handle.coroutine().head.forget_joiner();
        }
    }
}

impl<T: 'static> Drop for JoinHandle<T> {
    #[inline]
    fn drop(&mut self) {
        if self.coroutine.is_some() {
            drop(self.outcome().abandon());
        }
    }
}

impl<T: 'static> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("id", &self.id().0)
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// A [`JoinHandle`] of [`spawn_local`]: its value need not be `Send`, so it stays on its worker.
pub struct LocalJoinHandle<T: 'static> {
    handle: JoinHandle<PinnedCell<Cell<Option<T>>>>,
    /// Neither `Send` nor `Sync`.
    _local: PhantomData<*const ()>,
}

impl<T: 'static> LocalJoinHandle<T> {
    /// As [`JoinHandle::join`]. **May suspend.**
    ///
    /// # Errors
    /// As [`JoinHandle::join`].
    pub fn join(self) -> Result<T, JoinError> {
        let value = self.handle.join()?;
        Ok(value
            .get()
            .take()
            .expect("put there by the coroutine, taken once"))
    }

    /// As [`JoinHandle::interrupt`].
    pub fn interrupt(&self) {
        self.handle.interrupt();
    }

    /// As [`JoinHandle::is_finished`].
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// As [`JoinHandle::id`].
    pub fn id(&self) -> CoroutineId {
        self.handle.id()
    }
}

impl<T: 'static> fmt::Debug for LocalJoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
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

    /// A name for the console, the logs and the panic message.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
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
        let handle = spawn_in(runtime::here(), self.with_site(Location::caller()), body);
        LocalJoinHandle {
            handle,
            _local: PhantomData,
        }
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
    let spawned = if shared.config.accounting {
        cycles::now()
    } else {
        0
    };
    let id = worker::new_id(shared);
    let (newborn, handle) = CoroRef::new(
        || Record {
            head: Head::new(spec.name, parent, id, shared, stack_size, spawned, scoped),
        },
        || Run::new(f),
        |run| run,
    );
    worker::launch(newborn, spec.placement);
    JoinHandle {
        coroutine: Some(handle),
        _value: PhantomData,
    }
}
