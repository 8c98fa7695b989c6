//! The wait word: who ends a wait.
//!
//! Every wait of a coroutine or thread has a number (its epoch). Whoever wants to end it, by a grant or by an
//! interrupt, takes the step from `Waiting` in one atomic operation; exactly one of them succeeds, and every other
//! learns that it did not. That is what lets a primitive hand over directly and lose nothing: a grant that succeeds
//! is seen by the waiter for sure, one that fails goes to the next in line.
//!
//! ```text
//!            begin(epoch)              grant(epoch)
//!   Idle ───────────────▶ Waiting ───────────────────▶ Granted ──┐
//!    ▲                       │   interrupt(epoch)                │ end
//!    │                       └──────────────────────▶ Interrupted┤
//!    └───────────────────────────────────────────────────────────┘
//! ```

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering};

// epoch (54 bits) | arm (8 bits) | state (2 bits)
const IDLE: u64 = 0;
const WAITING: u64 = 1;
const GRANTED: u64 = 2;
const INTERRUPTED: u64 = 3;
const STATE: u64 = 3;
const ARM: u64 = 0xff << 2;

/// A wait's number, unique within its word, and the arm of it: a wait for several things at once has one for each, so
/// that the grant says which it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch(u64);

impl Epoch {
    /// That of no wait.
    pub(crate) fn none() -> Self {
        Self(0)
    }

    /// The same wait, by another arm.
    pub(crate) fn with_arm(self, arm: u8) -> Self {
        Self(self.0 & !ARM | u64::from(arm) << 2)
    }
}

/// What a wait came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By this arm.
    Granted(u8),
    Interrupted,
}

#[derive(Debug)]
pub(crate) struct WaitWord(AtomicU64);

impl WaitWord {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(IDLE))
    }

    /// Begins a wait. Only the waiter calls this, and only when no wait is on.
    #[inline]
    pub(crate) fn begin(&self) -> Epoch {
        let word = self.0.load(Ordering::Relaxed);
        debug_assert_eq!(word & STATE, IDLE, "a wait within a wait");
        let epoch = (word | ARM | STATE) + 1;
        // Release, so that a waker that finds the epoch also finds what the waiter wrote before.
        self.0.store(epoch | WAITING, Ordering::Release);
        Epoch(epoch)
    }

    /// Ends the wait with a grant; false if it is over already.
    #[inline]
    pub(crate) fn grant(&self, epoch: Epoch) -> bool {
        self.step(epoch, GRANTED)
    }

    /// As [`WaitWord::grant`], by the thread that the waiter belongs to and that alone interrupts it.
    ///
    /// Without arms there is one right to each wait, and the caller has it. So nobody else can change the word now (whoever
    /// has a right to an earlier wait tries and fails), and no locked instruction is needed.
    #[inline]
    pub(crate) fn grant_at_home(&self, epoch: Epoch) -> bool {
        let Epoch(number) = epoch;
        if number & ARM != 0 {
            return self.grant(epoch);
        }
        let is_on = self.0.load(Ordering::Relaxed) == number | WAITING;
        if is_on {
            self.0.store(number | GRANTED, Ordering::Release);
        }
        is_on
    }

    /// Ends the wait with an interrupt; false if it is over already.
    #[inline]
    pub(crate) fn interrupt(&self, epoch: Epoch) -> bool {
        self.step(epoch, INTERRUPTED)
    }

    #[inline]
    fn step(&self, Epoch(epoch): Epoch, to: u64) -> bool {
        self.0
            .compare_exchange(
                epoch & !ARM | WAITING,
                epoch | to,
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// How many waits there have been, the one that is on included.
    pub(crate) fn waits(&self) -> u64 {
        self.0.load(Ordering::Relaxed) >> (ARM | STATE).count_ones()
    }

    /// The wait that is on, if any.
    #[inline]
    pub(crate) fn current(&self) -> Option<Epoch> {
        let word = self.0.load(Ordering::Acquire);
        (word & STATE == WAITING).then_some(Epoch(word & !STATE))
    }

    /// How the wait ended; `None` while it is on. Only the waiter calls this.
    #[inline]
    pub(crate) fn ending(&self) -> Option<Ending> {
        let word = self.0.load(Ordering::Acquire);
        match word & STATE {
            GRANTED => Some(Ending::Granted((word >> 2) as u8)),
            INTERRUPTED => Some(Ending::Interrupted),
            _ => None,
        }
    }

    /// Closes an ended wait, so that the next may begin. Only the waiter calls this.
    #[inline]
    pub(crate) fn end(&self) {
        let word = self.0.load(Ordering::Relaxed);
        debug_assert!(word & STATE == GRANTED || word & STATE == INTERRUPTED);
        self.0.store(word & !(ARM | STATE), Ordering::Relaxed);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicUsize;

    /// Two grants and an interrupt race for one wait: one wins, and the waiter sees which.
    #[test]
    fn one_ending_wins() {
        loom::model(|| {
            let word = Arc::new(WaitWord::new());
            let epoch = word.begin();
            let (granted, interrupted) =
                (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let granter = {
                let (word, granted) = (word.clone(), granted.clone());
                loom::thread::spawn(move || {
                    if word.grant(epoch) {
                        granted.fetch_add(1, Ordering::Relaxed);
                    }
                })
            };
            let interrupter = {
                let (word, interrupted) = (word.clone(), interrupted.clone());
                loom::thread::spawn(move || {
                    if word.interrupt(epoch) {
                        interrupted.fetch_add(1, Ordering::Relaxed);
                    }
                })
            };
            if word.grant(epoch) {
                granted.fetch_add(1, Ordering::Relaxed);
            }
            granter.join().unwrap();
            interrupter.join().unwrap();
            let (granted, interrupted) = (
                granted.load(Ordering::Relaxed),
                interrupted.load(Ordering::Relaxed),
            );
            assert_eq!(granted + interrupted, 1);
            let expected = if granted == 1 {
                Ending::Granted(0)
            } else {
                Ending::Interrupted
            };
            assert_eq!(word.ending(), Some(expected));
        });
    }

    /// Two things that one wait is for are granted at the same time: one grant wins, and the waiter sees which.
    #[test]
    fn one_arm_wins() {
        loom::model(|| {
            let word = Arc::new(WaitWord::new());
            let epoch = word.begin();
            let other = {
                let word = word.clone();
                loom::thread::spawn(move || word.grant(epoch.with_arm(1)))
            };
            let mine = word.grant(epoch.with_arm(2));
            assert_ne!(other.join().unwrap(), mine);
            let arm = if mine { 2 } else { 1 };
            assert_eq!(word.ending(), Some(Ending::Granted(arm)));
            word.end();
            assert!(!word.grant(epoch.with_arm(1)));
            assert_eq!(word.current(), None);
        });
    }

    /// A grant at home needs no locked instruction, whatever late wakers try meanwhile.
    #[test]
    fn a_grant_at_home_is_not_disturbed() {
        loom::model(|| {
            let word = Arc::new(WaitWord::new());
            let first = word.begin();
            let late = {
                let word = word.clone();
                loom::thread::spawn(move || word.grant(first))
            };
            if word.interrupt(first) {
                word.end();
                let second = word.begin();
                assert!(word.grant_at_home(second));
                assert_eq!(word.ending(), Some(Ending::Granted(0)));
                assert!(!late.join().unwrap());
                assert_eq!(word.ending(), Some(Ending::Granted(0)));
            } else {
                assert!(!word.grant_at_home(first));
                assert!(late.join().unwrap());
            }
        });
    }

    /// A grant meant for an earlier wait never ends a later one.
    #[test]
    fn a_late_grant_misses() {
        loom::model(|| {
            let word = Arc::new(WaitWord::new());
            let first = word.begin();
            let late = {
                let word = word.clone();
                loom::thread::spawn(move || word.grant(first))
            };
            if word.interrupt(first) {
                word.end();
                let second = word.begin();
                assert!(!late.join().unwrap());
                assert_eq!(word.current(), Some(second));
            } else {
                assert!(late.join().unwrap());
                assert_eq!(word.ending(), Some(Ending::Granted(0)));
            }
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_first_ending_stays() {
        let word = WaitWord::new();
        let epoch = word.begin();
        assert!(word.interrupt(epoch));
        assert!(!word.grant_at_home(epoch));
        assert_eq!(word.ending(), Some(Ending::Interrupted));
        word.end();
        let epoch = word.begin();
        assert_eq!(word.current(), Some(epoch));
        assert!(word.grant(epoch));
        assert!(!word.interrupt(epoch));
        assert_eq!(word.ending(), Some(Ending::Granted(0)));
        word.end();
        assert!(!word.grant(epoch), "the wait is over");
        assert!(word.begin() != epoch);
    }

    #[test]
    fn a_grant_says_by_which_arm() {
        let word = WaitWord::new();
        for arm in [0, 1, 255] {
            let epoch = word.begin();
            assert_eq!(word.current(), Some(epoch));
            assert!(word.grant(epoch.with_arm(arm)));
            assert!(!word.grant(epoch.with_arm(arm ^ 1)));
            assert_eq!(word.ending(), Some(Ending::Granted(arm)));
            word.end();
        }
    }
}
