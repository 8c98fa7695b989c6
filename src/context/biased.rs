//! A lock that leans to one thread: whoever keeps taking it alone takes it without a locked instruction.
//!
//! Most channels and tables are used by one worker only, and a locked instruction, which waits until all that was written
//! before has left the processor, is most of what a lock costs.
//!
//! ```text
//!   the owner                            anybody else
//!   ─────────                            ────────────
//!   held = true                          locked = true, if it was not: one at a time
//!   (no fence: the compiler's only)      owner = 0
//!   still the owner? in.                 membarrier: a fence on every thread of the process
//!   held = false; else as the others     while held: wait. In.
//! ```
//!
//! Each side writes before it reads, and the barrier of the one that comes seldom is a fence for both: either the owner finds
//! that it is none any more, or the other finds it inside. Who took the bias away pays a system call of a microsecond or
//! some; so a thread gets it after [`FIRST_STREAK`] uses in a row, and each time that it was taken away, sixteen times later.
//!
//! A former owner may lose its processor just before `held = true`, and take that back much later. So nobody else ever writes
//! `held`: a lock leans to one thread in its life, the first that keeps using it.

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering};

use super::barrier;
use super::cell::thread_token;
use super::spin::Backoff;

/// Uses in a row by one thread, as a power of two, after which it becomes the owner.
const FIRST_STREAK: u8 = 6;
/// Each time that the bias is taken away, the power grows by this.
const LESS_EAGER: u8 = 4;
/// As large as it gets.
const LAST_STREAK: u8 = 30;

/// Whoever is inside came as one of many.
const AS_ONE_OF_MANY: u8 = 0;
/// Whoever is inside came as the owner.
const AS_OWNER: u8 = 1;
/// Whoever is inside came as one of many, and will be the owner.
const BECOMES_OWNER: u8 = 2;

/// A mutex for what is done in well under a microsecond and never blocks.
pub(crate) struct BiasedMutex<T> {
    raw: Raw,
    value: UnsafeCell<T>,
}

/// Access to what a [`BiasedMutex`] protects. It stays on its thread.
pub(crate) struct BiasedGuard<'a, T> {
    mutex: &'a BiasedMutex<T>,
    _here: PhantomData<*const ()>,
}

struct Raw {
    /// The token of the thread that needs no locked instruction; 0: there is none. Never another than `favourite`.
    owner: AtomicUsize,
    /// The owner is inside, or tries to be. Written by `favourite` only.
    held: AtomicBool,
    /// Somebody else is inside, or waits for `held`.
    locked: AtomicBool,
    // Written by whoever is inside.
    /// How whoever is inside came.
    entered: AtomicU8,
    /// The only thread that is ever the owner; 0: it is not known yet.
    favourite: AtomicUsize,
    /// A power of two: see [`FIRST_STREAK`].
    patience: AtomicU8,
    /// Uses in a row by `last`.
    streak: AtomicU32,
    last: AtomicUsize,
}

// SAFETY: one thread at a time gets at the value: see `Raw`.
unsafe impl<T: Send> Sync for BiasedMutex<T> {}

impl<T> BiasedMutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            raw: Raw::new(),
            value: UnsafeCell::new(value),
        }
    }

    #[inline]
    pub(crate) fn lock(&self) -> BiasedGuard<'_, T> {
        self.raw.lock(thread_token());
        BiasedGuard {
            mutex: self,
            _here: PhantomData,
        }
    }
}

impl<T> Deref for BiasedGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard is there, so its thread is inside, alone.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for BiasedGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed alone.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for BiasedGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.raw.unlock();
    }
}

impl Raw {
    fn new() -> Self {
        Self {
            owner: AtomicUsize::new(0),
            held: AtomicBool::new(false),
            locked: AtomicBool::new(false),
            entered: AtomicU8::new(AS_ONE_OF_MANY),
            favourite: AtomicUsize::new(0),
            patience: AtomicU8::new(FIRST_STREAK),
            streak: AtomicU32::new(0),
            last: AtomicUsize::new(0),
        }
    }

    #[inline]
    fn lock(&self, me: usize) {
        if !self.enter_as_owner(me) {
            self.lock_as_one_of_many(me);
        }
    }

    /// What others did inside before is visible: `me` was inside itself when it became the owner, and nobody but the owner has
    /// been since.
    #[inline]
    fn enter_as_owner(&self, me: usize) -> bool {
        if self.owner.load(Ordering::Relaxed) != me {
            return false;
        }
        // Whoever waits for itself would wait for ever; here it would not even wait.
        assert!(
            !self.held.load(Ordering::Relaxed),
            "locked twice by one thread"
        );
        self.held.store(true, Ordering::Relaxed);
        barrier::light();
        let is_owner = self.owner.load(Ordering::Relaxed) == me;
        if is_owner {
            self.entered.store(AS_OWNER, Ordering::Relaxed);
        } else {
            // Release: whoever waits for this may not have seen the `unlock` before.
            self.held.store(false, Ordering::Release);
        }
        is_owner
    }

    #[inline]
    fn lock_as_one_of_many(&self, me: usize) {
        if !self.try_shut_out() {
            self.wait_for_others();
        }
        if self.owner.load(Ordering::Relaxed) != 0 {
            self.revoke();
        }
        if self.last.load(Ordering::Relaxed) == me {
            let streak = self.streak.load(Ordering::Relaxed) + 1;
            self.streak.store(streak, Ordering::Relaxed);
            if streak >> self.patience.load(Ordering::Relaxed) != 0 {
                self.favour(me);
            }
        } else {
            self.last.store(me, Ordering::Relaxed);
            self.streak.store(0, Ordering::Relaxed);
        }
    }

    #[cold]
    fn wait_for_others(&self) {
        let mut backoff = Backoff::new();
        while self.looks_taken() || !self.try_shut_out() {
            backoff.wait();
        }
    }

    /// Takes `locked`.
    #[inline]
    fn try_shut_out(&self) -> bool {
        self.locked
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Without a locked instruction, for whoever waits. In a model, what is not asked for with one may stay hidden for ever.
    fn looks_taken(&self) -> bool {
        !cfg!(loom) && self.locked.load(Ordering::Relaxed)
    }

    /// After this time, `me` needs no locked instruction. Called inside.
    #[cold]
    fn favour(&self, me: usize) {
        self.streak.store(0, Ordering::Relaxed);
        if !barrier::is_there() || ![0, me].contains(&self.favourite.load(Ordering::Relaxed)) {
            return;
        }
        self.favourite.store(me, Ordering::Relaxed);
        self.entered.store(BECOMES_OWNER, Ordering::Relaxed);
    }

    /// Called with `locked` taken. Returns when the owner is not inside and never will be as the owner.
    #[cold]
    fn revoke(&self) {
        self.owner.store(0, Ordering::Relaxed);
        barrier::heavy();
        let mut backoff = Backoff::new();
        while self.held.load(Ordering::Acquire) {
            backoff.wait();
            // As in `looks_taken`.
            #[cfg(loom)]
            while self
                .held
                .compare_exchange(false, false, Ordering::Acquire, Ordering::Relaxed)
                .is_err()
            {
                backoff.wait();
            }
        }
        let patience = self.patience.load(Ordering::Relaxed) + LESS_EAGER;
        self.patience
            .store(patience.min(LAST_STREAK), Ordering::Relaxed);
    }

    #[inline]
    fn unlock(&self) {
        match self.entered.load(Ordering::Relaxed) {
            AS_ONE_OF_MANY => {}
            AS_OWNER => {
                self.entered.store(AS_ONE_OF_MANY, Ordering::Relaxed);
                return self.held.store(false, Ordering::Release);
            }
            _ => {
                self.entered.store(AS_ONE_OF_MANY, Ordering::Relaxed);
                let favourite = self.favourite.load(Ordering::Relaxed);
                self.owner.store(favourite, Ordering::Relaxed);
            }
        }
        self.locked.store(false, Ordering::Release);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;

    /// Two words that are written one after the other: whoever is inside finds them the same.
    struct Pair {
        raw: Raw,
        words: [AtomicU32; 2],
    }

    impl Pair {
        /// Leaning to the thread `1`.
        fn leaning() -> Arc<Self> {
            let pair = Self {
                raw: Raw::new(),
                words: [AtomicU32::new(0), AtomicU32::new(0)],
            };
            pair.raw.favourite.store(1, Ordering::Relaxed);
            pair.raw.owner.store(1, Ordering::Relaxed);
            Arc::new(pair)
        }

        /// As the thread `me`.
        fn add(&self, me: usize) {
            self.raw.lock(me);
            let [one, two] = self.words.each_ref();
            let value = one.load(Ordering::Relaxed);
            one.store(value + 1, Ordering::Relaxed);
            assert_eq!(
                two.load(Ordering::Relaxed),
                value,
                "somebody else is inside"
            );
            two.store(value + 1, Ordering::Relaxed);
            self.raw.unlock();
        }

        fn value(&self) -> u32 {
            self.words[1].load(Ordering::Relaxed)
        }
    }

    /// The owner is at it while another takes the bias away.
    #[test]
    fn the_owner_and_another_are_never_both_inside() {
        loom::model(|| {
            let pair = Pair::leaning();
            let owner = {
                let pair = pair.clone();
                loom::thread::spawn(move || {
                    pair.add(1);
                    pair.add(1);
                })
            };
            pair.add(2);
            owner.join().unwrap();
            assert_eq!(pair.value(), 3);
        });
    }

    /// One that was the owner a moment ago meets another that keeps using the lock.
    #[test]
    fn a_former_owner_and_the_next_are_never_both_inside() {
        loom::model(|| {
            let pair = Pair::leaning();
            let former = {
                let pair = pair.clone();
                loom::thread::spawn(move || pair.add(1))
            };
            for _ in 0..3 {
                pair.raw.patience.store(0, Ordering::Relaxed);
                pair.add(2);
            }
            former.join().unwrap();
            assert_eq!(pair.value(), 4);
        });
    }

    /// It leans to a thread again, while another is at it.
    #[test]
    fn a_new_owner_and_another_are_never_both_inside() {
        loom::model(|| {
            let pair = Pair::leaning();
            pair.raw.owner.store(0, Ordering::Relaxed);
            pair.raw.patience.store(0, Ordering::Relaxed);
            let other = {
                let pair = pair.clone();
                loom::thread::spawn(move || pair.add(2))
            };
            // The second time in a row makes it the owner, if nobody comes between.
            for _ in 0..3 {
                pair.add(1);
            }
            other.join().unwrap();
            assert_eq!(pair.value(), 4);
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;

    const EAGER: u32 = 1 << FIRST_STREAK;

    #[test]
    fn it_leans_to_who_keeps_using_it_and_away_when_others_come() {
        barrier::prepare();
        let mutex = Arc::new(BiasedMutex::new(0));
        let leans = |mutex: &BiasedMutex<u32>| mutex.raw.owner.load(Ordering::Relaxed) != 0;
        for _ in 0..EAGER {
            *mutex.lock() += 1;
        }
        assert!(!leans(&mutex));
        *mutex.lock() += 1;
        assert_eq!(leans(&mutex), barrier::is_there());
        *mutex.lock() += 1;
        let other = mutex.clone();
        std::thread::spawn(move || *other.lock() += 1)
            .join()
            .unwrap();
        assert!(!leans(&mutex));
        for _ in 0..2 * EAGER {
            *mutex.lock() += 1;
        }
        assert!(!leans(&mutex), "it takes longer after each time");
        assert_eq!(*mutex.lock(), 3 * EAGER + 3);
    }

    #[test]
    fn a_thread_that_would_wait_for_itself_is_told() {
        barrier::prepare();
        if !barrier::is_there() {
            return;
        }
        let mutex = BiasedMutex::new(0);
        (0..=EAGER).for_each(|_| drop(mutex.lock()));
        let guard = mutex.lock();
        let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| *mutex.lock()));
        assert!(again.is_err());
        drop(guard);
        assert_eq!(*mutex.lock(), 0);
    }

    #[test]
    fn excludes_others_whoever_it_leans_to() {
        const ROUNDS: u64 = if cfg!(miri) { 100 } else { 20_000 };
        barrier::prepare();
        let count = Arc::new(BiasedMutex::new((0_u64, 0_u64)));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let count = count.clone();
                std::thread::spawn(move || {
                    for round in 0..ROUNDS {
                        // So that it comes to lean, and is taken away, again and again.
                        count.raw.patience.store(2, Ordering::Relaxed);
                        let mut both = count.lock();
                        assert_eq!(both.1, 2 * both.0);
                        both.0 += 1;
                        both.1 = both.0 * 2;
                        drop(both);
                        if round % 64 == 0 {
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*count.lock(), (4 * ROUNDS, 8 * ROUNDS));
    }
}
