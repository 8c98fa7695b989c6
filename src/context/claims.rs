//! Who refers to a value, and what became of its result, in one word: so whoever has made the result says so and gives up
//! its references in one step.
//!
//! ```text
//!             ask                        publish
//!   OPEN ───────────▶ OPEN, AWAITED ───────────────▶ READY: who asked is told
//!     │ publish                                        ▲
//!     ├────────────────────────────────────────────────┘
//!     │ abandon
//!     └───────────────────▶ UNWANTED: the maker disposes of the result
//! ```

#[cfg(loom)]
use loom::sync::atomic::{AtomicUsize, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicUsize, Ordering, fence};

/// The result is there, or was.
const READY: usize = 1;
/// The heir wants to be told.
const AWAITED: usize = 2;
/// There is no heir any more.
const UNWANTED: usize = 4;
/// One of those who share the heir has taken the result.
const TAKEN: usize = 8;
/// One reference.
const ONE: usize = 16;

/// See the module.
pub(super) struct Claims(AtomicUsize);

/// What whoever published must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Published {
    /// Nothing: two of its references are given up.
    Left,
    /// Tell the heir. One of its references is given up.
    Awaited,
    /// Dispose of the result, which is its own again. No reference is given up.
    Unwanted,
}

/// What whoever abandoned finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abandoned {
    /// The result is there, and so is its reference.
    Ready,
    /// Nothing: its reference is given up.
    Left,
    /// Nothing, and it had the last reference.
    Last,
}

impl Claims {
    pub(super) fn new(references: usize) -> Self {
        Self(AtomicUsize::new(references * ONE))
    }

    /// One reference more. False: there are too many to be counted.
    #[inline]
    pub(super) fn add(&self) -> bool {
        // Relaxed will do: nothing is learnt from the count.
        self.0.fetch_add(ONE, Ordering::Relaxed) <= usize::MAX / 2
    }

    /// Counts `references` fewer. True: these were the last.
    #[inline]
    pub(super) fn give_up(&self, references: usize) -> bool {
        // If there are no others, nobody can make one, and nothing is left to be counted. Acquire, so that whoever drops the
        // value finds everything done that others did with it before they released theirs.
        if self.0.load(Ordering::Acquire) / ONE == references {
            return true;
        }
        let is_last = self.0.fetch_sub(references * ONE, Ordering::Release) / ONE == references;
        if is_last {
            fence(Ordering::Acquire);
        }
        is_last
    }

    // ---- the maker ----

    /// Will nobody take the result? For the maker, before it leaves one.
    #[inline]
    pub(super) fn is_unwanted(&self) -> bool {
        self.0.load(Ordering::Acquire) & UNWANTED != 0
    }

    /// Says that the result is there, and gives up references, of which the maker has two or more.
    #[inline]
    pub(super) fn publish(&self) -> Published {
        let mut now = self.0.load(Ordering::Relaxed);
        loop {
            let (published, fewer) = match now {
                _ if now & UNWANTED != 0 => return Published::Unwanted,
                _ if now & AWAITED != 0 => (Published::Awaited, 1),
                _ => (Published::Left, 2),
            };
            // Release: the result is there. Acquire: what the heir did before it asked is done.
            match self.0.compare_exchange_weak(
                now,
                (now | READY) - fewer * ONE,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return published,
                Err(other) => now = other,
            }
        }
    }

    // ---- the heir ----

    /// Is the result there, or was it? If so, all that its maker did is done.
    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire) & READY != 0
    }

    /// Asks to be told when the result is there. False: it is.
    pub(super) fn ask(&self) -> bool {
        self.0.fetch_or(AWAITED, Ordering::AcqRel) & READY == 0
    }

    /// Of those who share the heir, may this one take the result? Once.
    pub(super) fn may_take(&self) -> bool {
        self.is_ready() && self.0.fetch_or(TAKEN, Ordering::AcqRel) & TAKEN == 0
    }

    /// Goes, unless the result is there already.
    #[inline]
    pub(super) fn abandon(&self) -> Abandoned {
        let mut now = self.0.load(Ordering::Acquire);
        loop {
            if now & READY != 0 {
                return Abandoned::Ready;
            }
            if now / ONE == 1 {
                return Abandoned::Last;
            }
            match self.0.compare_exchange_weak(
                now,
                (now | UNWANTED) - ONE,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Abandoned::Left,
                Err(other) => now = other,
            }
        }
    }

    /// As [`Claims::abandon`], but keeps its reference. True: the result is there.
    #[inline]
    pub(super) fn resign(&self) -> bool {
        self.0.fetch_or(UNWANTED, Ordering::AcqRel) & READY != 0
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicBool;

    /// A value with its claims. What loom finds touched by two at once, or after it was freed, it reports.
    struct Value {
        claims: Claims,
        result: UnsafeCell<Option<u32>>,
        told: AtomicBool,
        freed: UnsafeCell<bool>,
    }

    impl Value {
        /// Two references for the maker, one for the heir, and so many more.
        fn new(more: usize) -> Arc<Self> {
            Arc::new(Self {
                claims: Claims::new(3 + more),
                result: UnsafeCell::new(None),
                told: AtomicBool::new(false),
                freed: UnsafeCell::new(false),
            })
        }

        fn give_up(&self, references: usize) {
            if self.claims.give_up(references) {
                self.free();
            }
        }

        fn free(&self) {
            // SAFETY: the last reference was given up, so nobody else is here; loom checks that.
            self.freed.with_mut(|freed| unsafe {
                assert!(!*freed, "freed twice");
                *freed = true;
            });
            // SAFETY: as above.
            self.result.with_mut(|result| unsafe { *result = None });
        }

        /// The maker's part. True: it had to dispose of the result itself.
        fn make(&self) -> bool {
            if self.claims.is_unwanted() {
                self.give_up(2);
                return true;
            }
            // SAFETY: nobody else touches the result before it is published; loom checks that.
            self.result.with_mut(|result| unsafe { *result = Some(7) });
            let published = self.claims.publish();
            match published {
                Published::Left => {}
                Published::Awaited => {
                    self.told.store(true, Ordering::Release);
                    self.give_up(1);
                }
                Published::Unwanted => {
                    assert_eq!(self.take(), Some(7));
                    self.give_up(2);
                }
            }
            published == Published::Unwanted
        }

        fn take(&self) -> Option<u32> {
            // SAFETY: by one only, which loom checks.
            self.result.with_mut(|result| unsafe { (*result).take() })
        }

        fn is_freed(&self) -> bool {
            // SAFETY: at the end there is one thread.
            self.freed.with(|freed| unsafe { *freed })
        }
    }

    fn with_maker(value: &Arc<Value>, rest: impl FnOnce(&Arc<Value>)) -> bool {
        let maker = {
            let value = value.clone();
            loom::thread::spawn(move || value.make())
        };
        rest(value);
        maker.join().unwrap()
    }

    /// The heir asks while the result is made: it is told, or finds it there; it takes it, and all is freed once.
    #[test]
    fn an_heir_that_asks_is_told_or_finds_it() {
        loom::model(|| {
            let value = Value::new(0);
            let disposed = with_maker(&value, |value| {
                if value.claims.ask() {
                    while !value.told.load(Ordering::Acquire) {
                        loom::thread::yield_now();
                    }
                }
                assert!(value.claims.is_ready());
                assert_eq!(value.take(), Some(7));
                value.give_up(1);
            });
            assert!(!disposed && value.is_freed());
        });
    }

    /// The heir goes while the result is made: one of the two disposes of it, and all is freed once.
    #[test]
    fn what_an_heir_abandons_is_disposed_of_once() {
        loom::model(|| {
            let value = Value::new(0);
            let mut taken = false;
            let disposed = with_maker(&value, |value| match value.claims.abandon() {
                Abandoned::Ready => {
                    taken = value.take().is_some();
                    value.give_up(1);
                }
                Abandoned::Left => {}
                Abandoned::Last => value.free(),
            });
            assert!(taken != disposed && value.is_freed());
        });
    }

    /// The heir stays as one of many, who refer to it still.
    #[test]
    fn what_an_heir_resigns_from_is_disposed_of_once() {
        loom::model(|| {
            let value = Value::new(0);
            let mut taken = false;
            let disposed = with_maker(&value, |value| {
                if value.claims.resign() {
                    taken = value.take().is_some();
                }
                value.give_up(1);
            });
            assert!(taken != disposed && value.is_freed());
        });
    }

    /// Others come and go meanwhile, and two who share the heir want the result.
    #[test]
    fn of_two_who_share_the_heir_one_takes() {
        loom::model(|| {
            let value = Value::new(1);
            let other = {
                let value = value.clone();
                loom::thread::spawn(move || {
                    let took = value.claims.may_take() && value.take() == Some(7);
                    assert!(value.claims.add());
                    value.give_up(1);
                    value.give_up(1);
                    took
                })
            };
            let mut took = false;
            with_maker(&value, |value| {
                took = value.claims.may_take() && value.take() == Some(7);
            });
            let other = other.join().unwrap();
            assert!(!(took && other));
            let late = value.claims.may_take() && value.take() == Some(7);
            assert!(took || other || late);
            value.give_up(1);
            assert!(value.is_freed());
        });
    }
}
