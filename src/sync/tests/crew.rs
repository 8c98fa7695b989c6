//! Six who wait in line, of whom five are interrupted.

use super::{Count, yield_until};
use crate::{JoinError, JoinHandle, spawn, yield_now};

pub(super) const WAITERS: usize = 6;

/// Six coroutines that wait in the order of their numbers. Each counts itself as `through` when its wait ended,
/// and as `done` after one more blocking call, at which a pending interrupt is raised.
pub(super) struct Crew {
    handles: Vec<JoinHandle<()>>,
    pub(super) through: Count,
    pub(super) done: Count,
}

impl Crew {
    /// `wait` waits, then calls what it is given while it holds what it got. `waiting` is how many wait.
    pub(super) fn muster(
        wait: impl Fn(&dyn Fn()) + Clone + Send + 'static,
        waiting: impl Fn() -> usize,
    ) -> Self {
        let (through, done) = (Count::default(), Count::default());
        let mut handles = Vec::new();
        for number in 0..WAITERS {
            let (wait, through, done) = (wait.clone(), through.clone(), done.clone());
            handles.push(spawn(move || {
                wait(&|| {
                    through.up();
                    yield_now();
                    done.up();
                });
            }));
            yield_until("a waiter", || waiting() == number + 1);
        }
        Self {
            handles,
            through,
            done,
        }
    }

    pub(super) fn interrupt_five(&self) {
        for handle in &self.handles[..WAITERS - 1] {
            handle.interrupt();
        }
    }

    /// All end; the five by interrupt, the sixth well.
    #[track_caller]
    pub(super) fn assert_only_the_sixth_is_done(self) {
        for (number, handle) in self.handles.into_iter().enumerate() {
            let ended = handle.join();
            if number < WAITERS - 1 {
                assert!(
                    matches!(ended, Err(JoinError::Interrupted)),
                    "{number}: {ended:?}"
                );
            } else {
                assert!(ended.is_ok(), "{number}: {ended:?}");
            }
        }
        assert_eq!(self.done.get(), 1);
    }
}
