//! Who owns a lock, for the search for deadlocks and for people. Nothing else relies on it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::current;
use super::spawn::CoroutineId;

const NOBODY: u64 = 0;
/// No coroutine has this number.
const A_THREAD: u64 = u64::MAX;

/// The coroutine that owns a lock. Written by the owner only, so that no locked instruction is needed: after it came in, and
/// before it leaves. In between the lock may have an owner that is not known yet, but never a wrong one.
pub(crate) struct Owner(AtomicU64);

impl Owner {
    pub(crate) const fn nobody() -> Self {
        Self(AtomicU64::new(NOBODY))
    }

    /// The caller owns the lock now.
    #[inline]
    pub(crate) fn enter(&self) {
        let id = current::with(|coroutine| coroutine.map_or(A_THREAD, |it| it.head.id));
        self.0.store(id, Ordering::Relaxed);
    }

    /// The caller is about to let go.
    #[inline]
    pub(crate) fn leave(&self) {
        self.0.store(NOBODY, Ordering::Relaxed);
    }

    /// Who owns the lock at this moment, as far as that is known; `None` for a plain thread too.
    pub(crate) fn id(&self) -> Option<CoroutineId> {
        Self::read(self.0.load(Ordering::Relaxed)).map(CoroutineId)
    }

    /// For whoever waits to lend: see [`Owner::read`].
    pub(super) fn word(&self) -> &AtomicU64 {
        &self.0
    }

    /// The coroutine that such a word names.
    pub(crate) fn read(word: u64) -> Option<u64> {
        (word != NOBODY && word != A_THREAD).then_some(word)
    }
}
