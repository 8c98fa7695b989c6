//! The result of a value's work, and the one reference with which it is taken.

use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr;

use super::claims::{self, Abandoned};
use super::counted::Counted;

/// A place in a body for the result of its work. The thread that the value is bound to leaves it there
/// ([`Counted::leave`]) and publishes it ([`Counted::publish`]); from then on it is the [`Heir`]'s.
pub(crate) struct Bequest<T>(UnsafeCell<Option<T>>);

// SAFETY: at any time one party gets at the result: its maker's thread before it is published or if nobody wants it, and
// else the heir, or the one of those who share it that `Claims::may_take` lets.
unsafe impl<T: Send> Sync for Bequest<T> {}

impl<T> Bequest<T> {
    pub(crate) const fn none() -> Self {
        Self(UnsafeCell::new(None))
    }

    /// # Safety
    /// The caller is the party that the result is with, and nobody else becomes it meanwhile.
    unsafe fn take(&self) -> Option<T> {
        // SAFETY: by the caller's promise nobody else is here, and what is moved runs no code.
        unsafe { (*self.0.get()).take() }
    }
}

/// The reference that gets the result. There is one for each value.
pub(crate) struct Heir<H, B: ?Sized>(Counted<H, B>);

/// What is left to do for whoever published.
pub(crate) enum Published<H, B: ?Sized> {
    /// Nothing.
    Left,
    /// The heir asked to be told.
    Awaited(Counted<H, B>),
    /// There is no heir: what was left is to be taken with [`Counted::take_back`] and dropped, if it is not `None`. Both
    /// references.
    Unwanted(Counted<H, B>, Counted<H, B>),
}

impl<H, B: ?Sized> Counted<H, B> {
    /// # Panics
    /// If `place` is in another value.
    #[inline]
    fn assert_has<T>(&self, place: &Bequest<T>) {
        assert!(
            self.addresses().contains(&ptr::from_ref(place).addr()),
            "the bequest of another value"
        );
    }

    /// Leaves `result` for the heir, in a place in the body, unpublished. Gives it back if there is no heir any more.
    ///
    /// # Panics
    /// On a thread that the value is not bound to, or if a result was published, or was left and not taken back.
    // Always, as for `Heir::abandon`: a result is made in place then, and not in pieces that are copied as a whole, for which
    // the processor waits until it has written them.
    #[inline(always)]
    pub(crate) fn leave<T>(&self, place: &Bequest<T>, result: T) -> Result<(), T> {
        self.assert_has(place);
        self.assert_is_makers();
        if self.claims().is_unwanted() {
            return Err(result);
        }
        // SAFETY: it is not published, and nobody else publishes: only this thread does. So it is with its maker's thread,
        // which is this one, and has no other reference to it: nothing runs while one exists here, or in `take`.
        let place = unsafe { &mut *place.0.get() };
        assert!(place.is_none(), "a result is left once");
        *place = Some(result);
        Ok(())
    }

    /// Takes back what was left and nobody wants.
    ///
    /// # Panics
    /// On a thread that the value is not bound to.
    pub(crate) fn take_back<T>(&self, place: &Bequest<T>) -> Option<T> {
        self.assert_has(place);
        self.assert_is_makers();
        if !self.claims().is_unwanted() {
            return None;
        }
        // SAFETY: there is no heir, and never will be, so what is not published stays with its maker's thread: this one.
        unsafe { place.take() }
    }

    /// Hands what was left to the heir, or that nothing was, and gives up two references, in one step if possible.
    ///
    /// # Panics
    /// On a thread that the value is not bound to, if a result was published before, or if these are not references to the
    /// same value.
    #[inline]
    pub(crate) fn publish(one: Self, other: Self) -> Published<H, B> {
        assert!(one.is_same(&other), "two references to one value");
        one.assert_is_makers();
        match one.claims().publish() {
            claims::Published::Left => {
                // They are given up.
                let _both = (ManuallyDrop::new(one), ManuallyDrop::new(other));
                Published::Left
            }
            claims::Published::Awaited => {
                let _given_up = ManuallyDrop::new(other);
                Published::Awaited(one)
            }
            claims::Published::Unwanted => Published::Unwanted(one, other),
        }
    }

    /// This thread may leave and publish.
    #[inline]
    fn assert_is_makers(&self) {
        assert!(
            self.is_bound_here() && !self.claims().is_ready(),
            "a result is published once, by the thread of its maker"
        );
    }
}

impl<H, B: ?Sized> Heir<H, B> {
    /// Made once for each value.
    #[inline]
    pub(super) fn new(reference: Counted<H, B>) -> Self {
        Self(reference)
    }

    /// Was the result published?
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.0.claims().is_ready()
    }

    /// Asks to be told when the result is published: see [`Published::Awaited`]. False: it is.
    pub(crate) fn ask(&self) -> bool {
        self.0.claims().ask()
    }

    /// The result, if one was published and not taken.
    #[inline(always)]
    pub(crate) fn take<T>(
        &mut self,
        of: impl for<'a> FnOnce(&'a B) -> &'a Bequest<T>,
    ) -> Option<T> {
        let place = self.place(of);
        if !self.0.claims().is_ready() {
            return None;
        }
        // SAFETY: it was published, so it is with the heir, which is borrowed alone.
        unsafe { place.take() }
    }

    /// As [`Heir::take`], for one of several that share the heir.
    pub(crate) fn take_shared<T>(
        &self,
        of: impl for<'a> FnOnce(&'a B) -> &'a Bequest<T>,
    ) -> Option<T> {
        let place = self.place(of);
        if !self.0.claims().may_take() {
            return None;
        }
        // SAFETY: it was published, so it is with the heir, and of those who share that only this one comes here.
        unsafe { place.take() }
    }

    #[inline]
    fn place<T>(&self, of: impl for<'a> FnOnce(&'a B) -> &'a Bequest<T>) -> &Bequest<T> {
        let place = of(self.0.body());
        self.0.assert_has(place);
        place
    }

    /// Gives the heir up, and the result if it is there: otherwise its maker is to dispose of it.
    #[inline(always)]
    pub(crate) fn abandon<T>(self, of: impl for<'a> FnOnce(&'a B) -> &'a Bequest<T>) -> Option<T> {
        let mut this = ManuallyDrop::new(self);
        if this.0.claims().abandon() == Abandoned::Left {
            // The reference is given up.
            return None;
        }
        let result = this.take(of);
        // SAFETY: `this` is neither used again nor dropped.
        drop(unsafe { ptr::read(&this.0) });
        result
    }

    /// Gives the heir up but keeps its reference; and the result, as [`Heir::abandon`].
    pub(crate) fn resign<T>(
        self,
        of: impl for<'a> FnOnce(&'a B) -> &'a Bequest<T>,
    ) -> (Counted<H, B>, Option<T>) {
        let mut this = ManuallyDrop::new(self);
        let is_ready = this.0.claims().resign();
        let result = is_ready.then(|| this.take(of)).flatten();
        // SAFETY: `this` is neither used again nor dropped.
        (unsafe { ptr::read(&this.0) }, result)
    }
}

impl<H, B: ?Sized> Drop for Heir<H, B> {
    /// What is published, or will be, goes with the last reference.
    fn drop(&mut self) {
        self.0.claims().resign();
    }
}

impl<H, B: ?Sized> Deref for Heir<H, B> {
    type Target = Counted<H, B>;

    #[inline]
    fn deref(&self) -> &Counted<H, B> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::First;
    use std::any::Any;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicU32, Ordering};

    type Body = dyn Any + Send + Sync;
    type Work = Counted<AtomicU32, Body>;
    type Parcel = Box<u32>;

    fn place(body: &Body) -> &Bequest<Parcel> {
        body.downcast_ref().unwrap()
    }

    fn work() -> (First<AtomicU32, Body>, Heir<AtomicU32, Body>) {
        let head = || AtomicU32::new(0);
        Counted::create(head, Bequest::<Parcel>::none, |body| body)
    }

    fn started() -> ([Work; 2], Heir<AtomicU32, Body>) {
        let (first, heir) = work();
        (first.bind(|_, _| ()), heir)
    }

    fn leave(work: &Work, value: u32) -> Result<(), Parcel> {
        work.leave(place(work.body()), Box::new(value))
    }

    fn refuses(call: impl FnOnce()) -> bool {
        catch_unwind(AssertUnwindSafe(call)).is_err()
    }

    #[test]
    fn the_heir_gets_what_was_left_once_it_is_published() {
        let ([one, two], mut heir) = started();
        leave(&one, 7).unwrap();
        assert!(!heir.is_ready() && heir.take(place).is_none());
        assert!(matches!(Work::publish(one, two), Published::Left));
        assert!(heir.is_ready());
        assert_eq!(heir.take(place).as_deref(), Some(&7));
        assert!(heir.is_ready() && heir.take_shared(place).is_none());
        assert_eq!(heir.abandon(place), None);
    }

    #[test]
    fn an_heir_that_asked_is_to_be_told() {
        let ([one, two], heir) = started();
        leave(&one, 7).unwrap();
        assert!(heir.ask());
        let Published::Awaited(work) = Work::publish(one, two) else {
            panic!("it asked");
        };
        work.store(1, Ordering::Relaxed);
        assert!(!heir.ask());
        assert_eq!(heir.take_shared(place).as_deref(), Some(&7));
        assert_eq!(heir.take_shared(place), None);
        drop(work);
        assert_eq!(heir.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_nobody_inherits_comes_back_to_its_maker() {
        // Before it is left, after that, and after it was published.
        let ([one, two], heir) = started();
        assert_eq!(heir.abandon(place), None);
        assert_eq!(leave(&one, 7), Err(Box::new(7)));
        assert!(matches!(Work::publish(one, two), Published::Unwanted(..)));

        let ([one, two], heir) = started();
        leave(&one, 8).unwrap();
        assert_eq!(one.take_back(place(one.body())), None, "somebody will");
        drop(heir);
        let Published::Unwanted(work, _) = Work::publish(one, two) else {
            panic!("nobody inherits");
        };
        assert_eq!(work.take_back(place(work.body())).as_deref(), Some(&8));

        let ([one, two], heir) = started();
        leave(&one, 9).unwrap();
        drop(Work::publish(one, two));
        assert_eq!(heir.abandon(place).as_deref(), Some(&9));
    }

    #[test]
    fn an_heir_that_resigns_refers_to_it_still() {
        let ([one, two], heir) = started();
        let (work, result) = heir.resign(place);
        assert_eq!(result, None);
        work.store(3, Ordering::Relaxed);
        drop(work);
        assert_eq!(one.load(Ordering::Relaxed), 3);
        assert!(matches!(Work::publish(one, two), Published::Unwanted(..)));

        let ([one, two], heir) = started();
        leave(&one, 7).unwrap();
        drop(Work::publish(one, two));
        assert_eq!(heir.resign(place).1.as_deref(), Some(&7));
    }

    #[test]
    fn only_its_makers_thread_leaves_and_publishes_and_once() {
        let ([one, two], mut heir) = started();
        leave(&one, 7).unwrap();
        assert!(refuses(|| drop(leave(&one, 8))), "a second one");
        let (more, third) = (one.clone(), one.clone());
        std::thread::spawn(move || {
            assert!(refuses(|| drop(leave(&more, 9))));
            assert!(refuses(|| drop(more.take_back(place(more.body())))));
            assert!(refuses(|| drop(Work::publish(more, third))));
        })
        .join()
        .unwrap();
        let ([stranger, other], _heir) = started();
        assert!(refuses(|| drop(
            stranger.leave(place(one.body()), Box::new(1))
        )));
        assert!(refuses(|| drop(Work::publish(stranger, one.clone()))));
        drop(other);
        let late = one.clone();
        drop(Work::publish(one, two));
        assert!(refuses(|| drop(leave(&late, 9))));
        assert!(refuses(|| drop(Work::publish(late.clone(), late))));
        assert_eq!(heir.take(place).as_deref(), Some(&7));
    }

    #[test]
    fn an_unbound_value_has_no_maker() {
        let (first, _heir) = work();
        assert!(refuses(|| drop(leave(&first.reference(), 7))));
    }

    #[test]
    fn it_passes_between_threads_whoever_comes_first() {
        for _ in 0..if cfg!(miri) { 20 } else { 2_000 } {
            let (first, heir) = work();
            let maker = std::thread::spawn(move || {
                let [one, two] = first.bind(|_, _| ());
                drop(leave(&one, 7));
                match Work::publish(one, two) {
                    Published::Left => None,
                    Published::Awaited(_) => panic!("nobody asks"),
                    Published::Unwanted(work, _) => work.take_back(place(work.body())),
                }
            });
            let taken = heir.abandon(place);
            let back = maker.join().unwrap();
            assert!(taken.is_none() || back.is_none());
        }
    }
}
