//! Lending: code that borrows from a frame runs on other stacks, and the frame stays until all of it is gone.

use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop, MaybeUninit};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::sched::scope::Family;

/// Spawns coroutines that may borrow from the caller of [`scope`](crate::scope).
pub struct Scope<'scope, 'env: 'scope> {
    loans: Arc<Loans>,
    // Both invariant, so that neither can be stretched or shrunk to fit what is borrowed.
    _scope: PhantomData<&'scope mut &'scope ()>,
    _env: PhantomData<&'env mut &'env ()>,
}

/// What a scope has lent out. It outlives the scope for as long as somebody gives a loan back.
pub(crate) struct Loans {
    out: AtomicUsize,
    pub(crate) family: Family,
}

impl Loans {
    /// Is nothing lent out?
    #[inline]
    pub(crate) fn are_returned(&self) -> bool {
        // Acquire: what the borrowers did is done before the lender goes on.
        self.out.load(Ordering::Acquire) == 0
    }
}

/// As long as it exists, the scope waits.
struct Loan {
    loans: Arc<Loans>,
    key: usize,
}

impl Drop for Loan {
    fn drop(&mut self) {
        // Release, so that all that the borrower did comes before. The frame may be gone from here on.
        let last = self.loans.out.fetch_sub(1, Ordering::AcqRel) == 1;
        self.loans.family.returned(self.key, last);
    }
}

/// What a lent closure gives back, and with it, once dropped, its loan.
pub(crate) struct Returned<R> {
    pub(crate) value: R,
    _loan: Loan,
}

/// A closure and the loan that keeps alive what it borrows. Dropped in this order.
struct Lent<F> {
    call: Untouched<F>,
    loan: Loan,
}

/// A value that may be moved about while what it borrows is gone or in use. A reference must be good for as long as a call
/// lasts that it was given to, even if the call does not use it, and so must one in a closure that is called or moved:
/// but the last call of a closure that was lent goes on after its loan was given back.
struct Untouched<F>(MaybeUninit<F>);

impl<F> Untouched<F> {
    fn new(value: F) -> Self {
        Self(MaybeUninit::new(value))
    }

    fn into_inner(self) -> F {
        let this = ManuallyDrop::new(self);
        // SAFETY: it was initialised by `new`, and `this` is neither dropped nor used again.
        unsafe { this.0.assume_init_read() }
    }
}

impl<F> Drop for Untouched<F> {
    fn drop(&mut self) {
        // SAFETY: it was initialised by `new`, and not taken: `into_inner` prevents this drop.
        unsafe { self.0.assume_init_drop() };
    }
}

impl<F> Lent<F> {
    fn run<R>(self) -> Returned<R>
    where
        F: FnOnce() -> R,
    {
        let Self { call, loan } = self;
        Returned {
            value: call.into_inner()(),
            _loan: loan,
        }
    }
}

/// A closure of which nobody need know any more what it borrows.
pub(crate) type Erased<R> = Box<dyn FnOnce() -> Returned<R> + Send>;

impl<'scope> Scope<'scope, '_> {
    #[inline]
    pub(crate) fn family(&self) -> &Family {
        &self.loans.family
    }

    /// Makes a closure that may go anywhere, and be run, dropped or leaked there. `key` is for [`Family::returned`].
    pub(crate) fn lend<F, R>(&'scope self, key: usize, call: F) -> Erased<R>
    where
        F: FnOnce() -> R + Send + 'scope,
        R: Send + 'static,
    {
        self.loans.out.fetch_add(1, Ordering::Relaxed);
        let loan = Loan {
            loans: self.loans.clone(),
            key,
        };
        let lent = Lent {
            call: Untouched::new(call),
            loan,
        };
        let lent: Box<dyn FnOnce() -> Returned<R> + Send + 'scope> = Box::new(move || lent.run());
        // SAFETY: only the lifetime changes, so this must hold: whatever the closure borrows for `'scope` lives until
        // nobody can reach it through the closure any more. What it borrows lives at least until `lending` ends, since
        // whoever has a `&'scope Scope<'scope, '_>` got it from a closure that must take any `'scope`, and so can have put
        // into `call` only what outlives the call of `lending`, or what is reached through such closures. And `lending`
        // ends, by return or by unwinding, only when every loan is back, or never. A loan is given back by its drop, which
        // comes after the closure's end on each way that there is:
        //
        // - It returns, or unwinds by a panic or an interrupt: `call` was moved into the call, which drops all that it
        //   captured before `run` goes on or unwinds further; only then `loan` is dropped, here or with `Returned`. The
        //   result is `'static`: it borrows nothing. Neither does a panic's payload, nor a coroutine's `local!`s, which are
        //   dropped later.
        // - It is dropped without having run (interrupted before its start, refused by a runtime that stops, no memory for
        //   its stack), on whichever thread, for it is `Send`: fields are dropped in their order, `call` first, also if
        //   its destructor unwinds.
        // - It is leaked, or left in the middle: a runtime that gives up at its shutdown leaks stacks that do not end,
        //   and whatever is on them, with the loan. Then the loan never comes back, and the lender waits for ever; if it
        //   is itself a coroutine of that runtime it is never resumed, and its stack is leaked as well (`Context`), with
        //   what was lent. A child that still runs on another worker then finds all of that in its place. So it does with
        //   thread-locals that the lender borrowed: its thread does not end (`sched::scope::keeps_thread`).
        //
        // Values that a child sent elsewhere (a channel, a lock, another child) have `'scope` in their types, and so has
        // the place that they were sent to: it is borrowed from outside, or itself part of a closure as above, or leaked.
        // Wait queues and timers hold references to records, which hold of the closure no more than this box.
        unsafe {
            mem::transmute::<Box<dyn FnOnce() -> Returned<R> + Send + 'scope>, Erased<R>>(lent)
        }
    }
}

/// Calls `body` with a scope, then `settle`, which waits until everything that was lent is back.
/// `settle` is told whether `body` unwound.
pub(crate) fn lending<'env, T, R>(
    family: Family,
    body: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
    settle: impl FnOnce(&Loans, bool) -> R,
) -> (thread::Result<T>, R) {
    /// There is no way on from here that would keep the frames of those who lent.
    struct MustNotEnd;
    impl Drop for MustNotEnd {
        fn drop(&mut self) {
            eprintln!(
                "grapeshot: a scope would end before its children; this is a bug in grapeshot"
            );
            process::abort();
        }
    }
    let scope = Scope {
        loans: Arc::new(Loans {
            out: AtomicUsize::new(0),
            family,
        }),
        _scope: PhantomData,
        _env: PhantomData,
    };
    let result = catch_unwind(AssertUnwindSafe(|| body(&scope)));
    let guard = MustNotEnd;
    let settled = settle(&scope.loans, result.is_err());
    if scope.loans.are_returned() {
        mem::forget(guard);
    }
    (result, settled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Threads stand for the coroutines, so that Miri can look on.
    #[test]
    fn what_was_lent_is_back_before_lending_ends() {
        let mut words: Vec<String> = (0..6).map(|n| format!("word {n}")).collect();
        let changed = Mutex::new(0);
        let mut threads = Vec::new();
        let (result, unwound) = lending(
            Family::new(0),
            |scope| {
                for (n, word) in words.iter_mut().enumerate() {
                    let changed = &changed;
                    let lent = scope.lend(scope.family().expect(), move || {
                        assert_ne!(n, 4, "the one that panics");
                        word.push('!');
                        *changed.lock().unwrap() += 1;
                    });
                    threads.push(thread::spawn(move || match n {
                        // It is given up without having run.
                        3 => drop(lent),
                        _ => {
                            let returned = catch_unwind(AssertUnwindSafe(lent));
                            assert_eq!(returned.is_err(), n == 4);
                        }
                    }));
                }
                panic!("and so does the scope's closure");
            },
            |loans, unwound| {
                while !loans.are_returned() {
                    thread::yield_now();
                }
                unwound
            },
        );
        let _: Box<dyn std::any::Any + Send> = match result {
            Err(payload) => payload,
            Ok(()) => unreachable!("it panicked"),
        };
        assert!(unwound);
        let ended: Vec<_> = words.iter().map(|word| word.ends_with('!')).collect();
        drop(words);
        assert_eq!(ended, [true, true, true, false, false, true]);
        assert_eq!(changed.into_inner().unwrap(), 4);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    }
}
