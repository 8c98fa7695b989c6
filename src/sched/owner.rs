//! Who owns a lock, for the search for deadlocks and for people. Nothing else relies on it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::current;
use super::spawn::CoroutineId;

const NOBODY: u64 = 0;
/// No coroutine has this number.
const A_THREAD: u64 = u64::MAX;
/// Added to the number of one that shares the lock with others. No number comes so far.
const SHARES: u64 = 1 << 63;

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

    /// This one has the lock too, if any is known that does. With the lock's state locked, so that it is never a wrong one.
    pub(crate) fn share(&self, id: Option<u64>) {
        self.0
            .store(id.map_or(NOBODY, |id| id | SHARES), Ordering::Relaxed);
    }

    /// Who owns the lock alone at this moment, as far as that is known; `None` for a plain thread too.
    pub(crate) fn id(&self) -> Option<CoroutineId> {
        let word = self.0.load(Ordering::Relaxed);
        Self::read(word)
            .filter(|_| !Self::is_shared(word))
            .map(CoroutineId)
    }

    /// For whoever waits to lend: see [`Owner::read`].
    pub(super) fn word(&self) -> &AtomicU64 {
        &self.0
    }

    /// The coroutine that such a word names.
    pub(crate) fn read(word: u64) -> Option<u64> {
        (word != NOBODY && word != A_THREAD).then_some(word & !SHARES)
    }

    /// Whether the coroutine that such a word names has the lock together with others.
    pub(crate) fn is_shared(word: u64) -> bool {
        word & SHARES != 0 && word != A_THREAD
    }
}
