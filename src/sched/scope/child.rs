//! One child of a scope, and the handle to it.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::family::Payload;
use crate::Scope;
use crate::context::HandOver;
use crate::sched::interrupt::Raised;
use crate::sched::join::{JoinError, message};
use crate::sched::record::{CoroRef, EndedBy, Joiner, Outcome};
use crate::sched::spawn::CoroutineId;
use crate::sched::wait::{self, WaitKind, check_interrupt};
use crate::sched::{Shared, current, worker};

/// What came of a child, for whoever joins it.
pub(super) struct Packet<T> {
    outcome: Outcome<T>,
    joiner: Joiner,
}

impl<T> Packet<T> {
    pub(super) fn new() -> Self {
        Self {
            outcome: HandOver::empty(),
            joiner: Joiner::new(),
        }
    }

    fn put(&self, outcome: Result<T, JoinError>) {
        match self.outcome.put(outcome) {
            Ok(true) => self.joiner.wake(),
            Ok(false) => {}
            // Nobody wants it. Its destructor may panic, which has been reported then.
            Err(unwanted) => drop(catch_unwind(AssertUnwindSafe(|| drop(unwanted)))),
        }
    }
}

/// Whom a panic of a child concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The scope, which ends.
    OfScope,
    /// Whoever joins.
    OfChild,
}

/// A child's closure, which runs once or is dropped.
pub(super) struct Task<'scope, 'env, F, T> {
    pub(super) call: Option<F>,
    pub(super) packet: Arc<Packet<T>>,
    pub(super) scope: &'scope Scope<'scope, 'env>,
    pub(super) runtime: &'static Shared,
    pub(super) failure: Failure,
}

impl<F: FnOnce() -> T, T> Task<'_, '_, F, T> {
    pub(super) fn run(mut self) -> EndedBy {
        let call = self.call.take().expect("a task runs once");
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(value) => {
                self.packet.put(Ok(value));
                EndedBy::Return
            }
            Err(payload) => self.failed(payload),
        }
    }
}

impl<F, T> Task<'_, '_, F, T> {
    /// It never ran because an end was asked for: its own, the scope's, or the runtime's.
    fn is_refused(&self) -> bool {
        self.runtime.is_stopping()
            || self.scope.family().is_ending()
            || current::with(|current| current.is_some_and(|current| current.head.is_interrupted()))
    }

    fn failed(&self, payload: Payload) -> EndedBy {
        if payload.is::<Raised>() {
            self.packet.put(Err(JoinError::Interrupted));
            return EndedBy::Interrupt;
        }
        let payload = match self.failure {
            Failure::OfChild => payload,
            Failure::OfScope => {
                // The scope needs it, so whoever joins gets the text.
                let text = Box::new(message(payload.as_ref()).to_owned());
                match self.scope.family().fail(payload) {
                    Ok(()) => text,
                    Err(payload) => payload,
                }
            }
        };
        self.packet.put(Err(JoinError::Panicked(payload)));
        EndedBy::Panic
    }
}

impl<F, T> Drop for Task<'_, '_, F, T> {
    fn drop(&mut self) {
        let Some(call) = self.call.take() else { return };
        // It never ran. What it captured is dropped before anybody is told.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(call))) {
            self.failed(payload);
        } else if self.is_refused() {
            self.packet.put(Err(JoinError::Interrupted));
        } else {
            let error = JoinError::NoStack(io::ErrorKind::OutOfMemory.into());
            if self.failure == Failure::OfScope {
                // If another failed before, that one is told of.
                drop(self.scope.family().fail(Box::new(error.to_string())));
            }
            self.packet.put(Err(error));
        }
    }
}

/// The right to wait for the end of a scope's child. Dropped, it leaves that to the scope.
pub struct ScopedJoinHandle<'scope, T> {
    pub(super) coroutine: CoroRef,
    pub(super) packet: Arc<Packet<T>>,
    pub(super) _scope: std::marker::PhantomData<&'scope mut &'scope ()>,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits for the end. **May suspend**; on a plain thread it blocks.
    ///
    /// # Errors
    /// [`JoinError::Interrupted`] if the child was asked to end: by [`interrupt`](Self::interrupt), or because another one
    /// failed. [`JoinError::Panicked`] if it panicked: then the scope panics on with the payload of the first that did, of
    /// which there is only the message here.
    ///
    /// ```
    /// let words = ["round", "shot"];
    /// let total = grapeshot::scope(|s| {
    ///     let lengths = words.map(|word| s.spawn(|| word.len()));
    ///     lengths.map(|child| child.join().unwrap()).iter().sum::<usize>()
    /// });
    /// assert_eq!(total, 9);
    /// ```
    pub fn join(self) -> Result<T, JoinError> {
        check_interrupt();
        let outcome = &self.packet.outcome;
        if !outcome.is_done() {
            let (wait, waiter) = wait::prepare(WaitKind::Join, self.coroutine.head.id as usize)?;
            self.packet.joiner.wake_at_end(waiter, || outcome.ask());
            if let wait::Outcome::Interrupted(interrupt) = wait.suspend() {
                self.packet.joiner.forget();
                interrupt.raise();
            }
        }
        outcome.take().unwrap_or(Err(JoinError::Interrupted))
    }

    /// Asks the child to end, as [`JoinHandle::interrupt`](crate::JoinHandle::interrupt) does. That is no failure: the
    /// others go on.
    pub fn interrupt(&self) {
        worker::interrupt(&self.coroutine);
    }

    /// Has it ended?
    pub fn is_finished(&self) -> bool {
        self.packet.outcome.is_done()
    }

    /// Its number.
    pub fn id(&self) -> CoroutineId {
        CoroutineId(self.coroutine.head.id)
    }

    /// Its name: the one given, or the place in the code that spawned it.
    pub fn name(&self) -> String {
        self.coroutine.head.name.with(str::to_owned)
    }
}

impl<T> Drop for ScopedJoinHandle<'_, T> {
    fn drop(&mut self) {
        drop(self.packet.outcome.abandon());
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle")
            .field("id", &self.id().0)
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
