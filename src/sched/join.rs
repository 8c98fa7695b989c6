//! Learning what became of a coroutine.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::io;
use std::marker::PhantomData;

use super::record::{Body, CoroHeir, CoroRef, Inheritance};
use super::spawn::CoroutineId;
use super::wait::{self, Refused, WaitKind, Waiter, check_interrupt};
use super::worker;
use crate::context::PinnedCell;
use crate::select::sealed::Arm;

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

/// With the same words; a panic's payload is not kept.
impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::NoStack(error) => error,
            other => Self::other(other.to_string()),
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
    /// `None` once it was given up.
    heir: Option<CoroHeir>,
    _value: PhantomData<fn() -> T>,
}

/// Where the outcome of a coroutine is whose closure returns a `T`.
#[inline]
fn inheritance<T: 'static>(body: &dyn Body) -> &Inheritance<T> {
    let inheritance = body.inheritance().get();
    inheritance.expect("spawned with this very type")
}

impl<T: 'static> JoinHandle<T> {
    /// Of a coroutine whose closure returns a `T`.
    #[inline]
    pub(super) fn new(heir: CoroHeir) -> Self {
        Self {
            heir: Some(heir),
            _value: PhantomData,
        }
    }

    /// Waits for the end. **May suspend**; on a plain thread it blocks.
    ///
    /// # Errors
    /// [`JoinError::Panicked`] with the panic, [`JoinError::Interrupted`] if it was asked to end.
    pub fn join(mut self) -> Result<T, JoinError> {
        check_interrupt();
        let heir = self.heir();
        if !heir.is_ready() {
            let head = &heir.head;
            let (wait, waiter) = wait::prepare(WaitKind::Join, head.id as usize)?;
            head.wake_at_end(waiter, || heir.ask());
            if let wait::Outcome::Interrupted(interrupt) = wait.suspend() {
                interrupt.raise();
            }
        }
        let outcome = self.heir.take().and_then(|heir| heir.abandon(inheritance));
        outcome.unwrap_or(Err(JoinError::Interrupted))
    }

    /// Lets the coroutine run on, and gives a reference to it.
    #[inline]
    pub(crate) fn detach(mut self) -> CoroRef {
        let heir = self.heir.take().expect("only joining gives it up");
        let (coroutine, outcome) = heir.resign(inheritance::<T>);
        drop(outcome);
        coroutine
    }

    #[inline]
    fn heir(&self) -> &CoroHeir {
        self.heir.as_ref().expect("only joining gives it up")
    }

    /// Asks the coroutine to end: from now on every blocking call that it makes outside a [`shield`](crate::shield)
    /// unwinds. Returns at once; asking again changes nothing. One that has not started never will.
    pub fn interrupt(&self) {
        worker::interrupt(self.heir());
    }

    /// Has it ended?
    pub fn is_finished(&self) -> bool {
        self.heir().is_ready()
    }

    /// Its number.
    pub fn id(&self) -> CoroutineId {
        CoroutineId(self.heir().head.id)
    }

    /// Its name: the one given, or the place in the code that spawned it.
    pub fn name(&self) -> String {
        self.heir().head.name.with(str::to_owned)
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
        let heir = self.handle.heir();
        if heir.is_ready() {
            let outcome = heir.take_shared(inheritance);
            self.output = Some(outcome.unwrap_or(Err(JoinError::Interrupted)));
        }
        self.output.is_some()
    }

    fn enlist(&mut self, waiter: Waiter) -> bool {
        let heir = self.handle.heir();
        if heir.is_ready() {
            return false;
        }
        // If it ends at this moment, this wakes the caller by this arm.
        heir.head.wake_at_end(waiter, || heir.ask());
        self.listed = true;
        true
    }

    fn complete(&mut self) -> bool {
        self.listed = false;
        self.attempt()
    }

    fn withdraw(&mut self) {
        if std::mem::take(&mut self.listed) {
            self.handle.heir().head.forget_joiner();
        }
    }
}

impl<T: 'static> Drop for JoinHandle<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(heir) = self.heir.take() {
            drop(heir.abandon(inheritance::<T>));
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

/// A [`JoinHandle`] of [`spawn_local`](crate::spawn_local): its value need not be `Send`, so it stays on its worker.
pub struct LocalJoinHandle<T: 'static> {
    handle: JoinHandle<PinnedCell<Cell<Option<T>>>>,
    /// Neither `Send` nor `Sync`.
    _local: PhantomData<*const ()>,
}

impl<T: 'static> LocalJoinHandle<T> {
    pub(super) fn new(handle: JoinHandle<PinnedCell<Cell<Option<T>>>>) -> Self {
        Self {
            handle,
            _local: PhantomData,
        }
    }

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
