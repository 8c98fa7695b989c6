//! Structured concurrency: children that borrow from their caller, and end before it goes on.
//!
//! | file | what |
//! |---|---|
//! | `family` | the children of a scope, the first failure, the wait for all |
//! | `child` | one child's closure, its outcome and the handle |
//! | `parallel` | `join_all` and `in_parallel` |
//!
//! That a child may borrow is decided in `context/lend.rs`.

mod child;
mod family;
mod parallel;

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{Location, resume_unwind};
use std::sync::Arc;

use super::interrupt::Raised;
use super::spawn::{Builder, Spec, look_for_room, refuse, spawn_unlimited};
use super::wait::{self, check_interrupt};
use super::{current, runtime};
pub use crate::context::lend::Scope;
use crate::context::lend::lending;
pub use child::ScopedJoinHandle;
use child::{Failure, Packet, Task};
pub(crate) use family::Family;
pub use parallel::{InParallelError, in_parallel, join_all};

thread_local! {
    /// Scopes of this thread's coroutines that have not ended.
    static OPEN: Cell<usize> = const { Cell::new(0) };
}

/// A worker that leaves coroutines behind must not end its thread while their children, on other workers, may still use
/// the thread-locals that were lent to them.
pub(crate) fn keeps_thread() -> bool {
    OPEN.get() > 0
}

/// Runs `f`, which may spawn children that borrow from the caller, and waits until all of them have ended. **May suspend**;
/// on a plain thread it blocks.
///
/// When this returns or unwinds, every child has ended, and what it captured and what nobody joined has been dropped:
///
/// - If a child panics, the others are interrupted, and this panics on with the payload of the first that did. Every
///   panic is printed and counted as it happens. An `Err` that a child returns is a value as any other, and a child that
///   was [interrupted](ScopedJoinHandle::interrupt) has not failed either.
/// - If `f` panics, the children are interrupted, and its panic goes on. It outweighs a child's.
/// - If the caller is interrupted, by a timeout, a `kill` or the runtime's end, while it is in `f` or waits for the children,
///   they are interrupted, and that goes on when they have ended. So `with_timeout(limit, || scope(..))` leaves nothing
///   behind, but it takes as long as the children take to unwind: one that computes without end, or is in a
///   [`shield`](crate::shield), is waited for.
///
/// A runtime that stops gives up what does not end in time. Such a child may still use what it borrowed, so the scope then
/// never returns.
///
/// ```
/// let mut ships = vec!["Argo", "Beagle"];
/// let mut longest = 0;
/// grapeshot::scope(|s| {
///     s.spawn(|| longest = ships.iter().map(|name| name.len()).max().unwrap_or(0));
///     s.spawn(|| println!("{} ships", ships.len()));
/// });
/// ships.push("Erebus");
/// assert_eq!(longest, 6);
/// ```
///
/// # Panics
/// With a child's panic. And if it is called by a destructor that runs while the caller unwinds: it could not wait.
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    assert!(
        !wait::nothing_may_wait(),
        "a scope was opened while unwinding, or by an observer of switches, where it could not wait for its children; \
         hand the cleanup to a coroutine of its own"
    );
    check_interrupt();
    OPEN.set(OPEN.get() + 1);
    let (result, end) = lending(Family::new(current::id()), f, family::settle);
    OPEN.set(OPEN.get() - 1);
    match (result, end.failure) {
        (Err(payload), None) => resume_unwind(payload),
        (Err(payload), Some(_)) if !payload.is::<Raised>() => resume_unwind(payload),
        (_, Some(failure)) => resume_unwind(failure),
        (Ok(value), None) => {
            if let Some(interrupt) = end.interrupt {
                drop(value);
                interrupt.raise();
            }
            value
        }
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Spawns a child that runs `f`, which may borrow whatever outlives the scope. Children may spawn more of them. As
    /// [`spawn`](crate::spawn) otherwise.
    ///
    /// A child cannot borrow what the scope's own closure owns, since that is gone when the children are waited for:
    ///
    /// ```compile_fail,E0373
    /// grapeshot::scope(|s| {
    ///     let local = String::from("gone when this closure returns");
    ///     s.spawn(|| println!("{local}"));
    /// });
    /// ```
    ///
    /// Nor return a borrow of what it owns itself:
    ///
    /// ```compile_fail,E0515
    /// grapeshot::scope(|s| {
    ///     let child = s.spawn(|| {
    ///         let local = String::from("gone when the child ends");
    ///         &local[..]
    ///     });
    /// });
    /// ```
    ///
    /// Two children cannot change the same thing, nor can one while the scope's closure reads it:
    ///
    /// ```compile_fail,E0499
    /// let mut count = 0;
    /// grapeshot::scope(|s| {
    ///     s.spawn(|| count += 1);
    ///     s.spawn(|| count += 1);
    /// });
    /// ```
    ///
    /// What belongs to one thread stays there:
    ///
    /// ```compile_fail,E0277
    /// let log = std::rc::Rc::new("the captain's");
    /// grapeshot::scope(|s| {
    ///     s.spawn(|| println!("{log}"));
    /// });
    /// ```
    ///
    /// And neither a handle nor the scope itself gets out:
    ///
    /// ```compile_fail
    /// let escaped = grapeshot::scope(|s| s.spawn(|| 1));
    /// escaped.join();
    /// ```
    ///
    /// ```compile_fail,E0521
    /// let mut escaped = None;
    /// grapeshot::scope(|s| escaped = Some(s));
    /// ```
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.spawn_with(
            Builder::new().with_site(Location::caller()),
            Failure::OfScope,
            f,
        )
    }

    #[track_caller]
    fn spawn_with<F, T>(
        &'scope self,
        mut spec: Spec,
        failure: Failure,
        f: F,
    ) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let family = self.family();
        spec.scope_of = Some(family.owner);
        let shared = runtime::right_here();
        // Before anything is lent: a panic here fails the closure, not a child.
        if let Err(error) = look_for_room(shared) {
            refuse(error);
        }
        let packet = Arc::new(Packet::new());
        let task = Task {
            call: Some(f),
            packet: packet.clone(),
            scope: self,
            runtime: shared,
            failure,
        };
        let key = family.expect();
        let lent = self.lend(key, move || task.run());
        let coroutine = spawn_unlimited(shared, spec, lent).detach();
        family.add(key, &coroutine);
        ScopedJoinHandle {
            coroutine,
            packet,
            _scope: PhantomData,
        }
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (children, ending) = self.family().look();
        f.debug_struct("Scope")
            .field("children", &children)
            .field("ending", &ending)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// Spawns a child of `scope` that runs `f`: [`Scope::spawn`] with a name, a stack size or a worker.
    ///
    /// ```
    /// let chart = String::from("the Azores");
    /// grapeshot::scope(|s| {
    ///     let child = grapeshot::Builder::new().name("navigator").spawn_scoped(s, || chart.len());
    ///     assert_eq!(child.name(), "navigator");
    ///     assert_eq!(child.join().unwrap(), 10);
    /// });
    /// ```
    #[track_caller]
    pub fn spawn_scoped<'scope, F, T>(
        self,
        scope: &'scope Scope<'scope, '_>,
        f: F,
    ) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        scope.spawn_with(self.with_site(Location::caller()), Failure::OfScope, f)
    }
}
