//! Several closures at the same time, and what came of each.

use std::fmt;
use std::panic::Location;

use super::Failure;
use crate::sched::join::JoinError;
use crate::sched::spawn::Builder;

/// Runs each closure in a coroutine of its own, waits for all, and returns what came of each, in their order. **May
/// suspend**; on a plain thread it blocks.
///
/// A closure that panics interrupts nobody: its panic is its result. The closures may borrow from the caller, as in a
/// [`scope`](crate::scope); if the caller is interrupted, so are they, and that goes on when they have ended.
///
/// ```
/// let names = ["Argo", "", "Beagle"];
/// let first = grapeshot::join_all(names.iter().map(|name| move || name.chars().next().unwrap()));
/// assert_eq!(*first[0].as_ref().unwrap(), 'A');
/// assert!(first[1].is_err());
/// assert_eq!(*first[2].as_ref().unwrap(), 'B');
/// ```
///
/// # Panics
/// If it is called by a destructor that runs while the caller unwinds.
#[track_caller]
pub fn join_all<F, T>(closures: impl IntoIterator<Item = F>) -> Vec<Result<T, JoinError>>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    let site = Location::caller();
    super::scope(|s| {
        let spawn = |f| s.spawn_with(Builder::new().with_site(site), Failure::OfChild, f);
        let children: Vec<_> = closures.into_iter().map(spawn).collect();
        children.into_iter().map(|child| child.join()).collect()
    })
}

/// As [`join_all`], for when all must succeed: the values in order, or an error with what came of each. **May suspend**.
///
/// ```
/// let sums = grapeshot::in_parallel((1..=3).map(|n| move || (1..=n).sum::<u32>()));
/// assert_eq!(sums.unwrap(), [1, 3, 6]);
/// ```
///
/// # Errors
/// [`InParallelError`], if one or more of them panicked or were interrupted. An `Err` that a closure returns is a value.
///
/// # Panics
/// As [`join_all`].
#[track_caller]
pub fn in_parallel<F, T>(
    closures: impl IntoIterator<Item = F>,
) -> Result<Vec<T>, InParallelError<T>>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    let results = join_all(closures);
    if results.iter().any(Result::is_err) {
        return Err(InParallelError { results });
    }
    Ok(results.into_iter().flatten().collect())
}

/// Not all that [`in_parallel`] ran came to a value.
pub struct InParallelError<T> {
    /// What came of each closure, in their order; at least one is an error.
    pub results: Vec<Result<T, JoinError>>,
}

impl<T> InParallelError<T> {
    /// The errors, each with its closure's place in the order.
    pub fn failures(&self) -> impl Iterator<Item = (usize, &JoinError)> {
        let errors = self.results.iter().enumerate();
        errors.filter_map(|(index, result)| Some((index, result.as_ref().err()?)))
    }
}

impl<T> fmt::Display for InParallelError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (failed, all) = (self.failures().count(), self.results.len());
        write!(f, "{failed} of {all} failed")?;
        match self.failures().next() {
            Some((index, error)) => write!(f, "; first number {index}: {error}"),
            None => Ok(()),
        }
    }
}

impl<T> fmt::Debug for InParallelError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.failures()).finish()
    }
}

impl<T> std::error::Error for InParallelError<T> {}
