//! Cells whose safety rests on who may touch them: one thread, one taker, one scope.

use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::thread::LocalKey;

thread_local! {
    static TOKEN: Cell<usize> = const { Cell::new(0) };
}

/// Tells threads apart, dead ones included; never 0.
#[inline]
pub(super) fn thread_token() -> usize {
    match TOKEN.get() {
        0 => new_token(),
        token => token,
    }
}

#[cold]
fn new_token() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let token = NEXT.fetch_add(1, Ordering::Relaxed);
    TOKEN.set(token);
    token
}

/// What a value is at first: a constant, and so without a part in anything that others have.
pub(crate) trait Fresh {
    const FRESH: Self;
}

/// A value that only one thread may touch, though anybody may hold it. A [`Binder`] binds it to that thread.
///
/// Touching it from another thread panics. Dropped by another thread, a bound value is leaked rather than dropped
/// where it does not belong.
pub(crate) struct PinnedCell<T> {
    /// The owner's token; 0 until bound.
    owner: AtomicUsize,
    value: ManuallyDrop<T>,
}

// SAFETY: the value is reachable only on the thread whose token is in `owner` (checked at each access and at drop),
// so it is neither sent nor shared, whatever the holder of the cell does. What crosses to the thread that binds it
// is a constant (`unbound`) or may be sent (`sent`).
unsafe impl<T> Send for PinnedCell<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for PinnedCell<T> {}

impl<T> PinnedCell<T> {
    /// Holds a fresh value for whichever thread binds first.
    #[inline]
    pub(crate) fn unbound() -> Self
    where
        T: Fresh,
    {
        Self {
            owner: AtomicUsize::new(0),
            value: ManuallyDrop::new(T::FRESH),
        }
    }

    /// Holds `value` for whichever thread binds first.
    #[inline]
    pub(crate) fn sent(value: T) -> Self
    where
        T: Send,
    {
        Self {
            owner: AtomicUsize::new(0),
            value: ManuallyDrop::new(value),
        }
    }

    /// Holds `value` for the calling thread.
    pub(crate) fn bound(value: T) -> Self {
        Self {
            owner: AtomicUsize::new(thread_token()),
            value: ManuallyDrop::new(value),
        }
    }

    /// The value, if the calling thread owns it.
    #[inline]
    pub(crate) fn try_get(&self) -> Option<&T> {
        (self.owner.load(Ordering::Relaxed) == thread_token()).then(|| &*self.value)
    }

    /// The value.
    ///
    /// # Panics
    /// On any thread but the owner.
    #[inline]
    pub(crate) fn get(&self) -> &T {
        self.try_get()
            .expect("touched by a thread that does not own it")
    }
}

/// The right to bind the [`PinnedCell`]s in a certain value to the calling thread. Only one is ever made for a value, so
/// no locked instruction is needed: see [`First`](super::First).
pub(crate) struct Binder {
    value: Range<usize>,
    /// Stays on its thread.
    _here: PhantomData<*const ()>,
}

impl Binder {
    /// For what is at these addresses.
    #[inline]
    pub(super) fn new(value: Range<usize>) -> Self {
        Self {
            value,
            _here: PhantomData,
        }
    }

    /// Makes the calling thread the owner, for good.
    ///
    /// # Panics
    /// If the cell is not part of the value, or is bound already.
    #[inline]
    pub(crate) fn bind<'a, T>(&self, cell: &'a PinnedCell<T>) -> &'a T {
        let address = ptr::from_ref(cell) as usize;
        assert!(
            self.value.contains(&address) && cell.owner.load(Ordering::Relaxed) == 0,
            "a coroutine never changes its thread"
        );
        cell.owner.store(thread_token(), Ordering::Relaxed);
        &cell.value
    }
}

impl<T> Drop for PinnedCell<T> {
    fn drop(&mut self) {
        let owner = *self.owner.get_mut();
        if owner == 0 || owner == thread_token() {
            // SAFETY: dropped once, here; by its owner, or unbound and so not yet tied to any thread.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}

const EMPTY: u8 = 0;
/// Empty, and the taker wants to be told.
const AWAITED: u8 = 1;
const BUSY: u8 = 2;
const FULL: u8 = 3;
const TAKEN: u8 = 4;

/// A value that passes once from one thread to another, with one locked instruction at each side.
pub(crate) struct HandOver<T> {
    state: AtomicU8,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: `state` lets exactly one party touch the value at a time, so sharing the cell only ever moves the value.
unsafe impl<T: Send> Sync for HandOver<T> {}
// SAFETY: moving the cell moves the value.
unsafe impl<T: Send> Send for HandOver<T> {}

impl<T> HandOver<T> {
    pub(crate) const fn empty() -> Self {
        Self {
            state: AtomicU8::new(EMPTY),
            value: UnsafeCell::new(None),
        }
    }

    /// Leaves `value` for the taker. True: the taker asked to be told. Gives the value back if there was one before.
    #[inline]
    pub(crate) fn put(&self, value: T) -> Result<bool, T> {
        let mut before = EMPTY;
        while let Err(now) =
            self.state
                .compare_exchange(before, BUSY, Ordering::Acquire, Ordering::Relaxed)
        {
            if now != AWAITED {
                return Err(value);
            }
            before = AWAITED;
        }
        // SAFETY: BUSY keeps everybody else out.
        unsafe { *self.value.get() = Some(value) };
        self.state.store(FULL, Ordering::Release);
        Ok(before == AWAITED)
    }

    /// Asks to be told by whoever puts the value. False: it is there, or was.
    pub(crate) fn ask(&self) -> bool {
        loop {
            match self
                .state
                .compare_exchange(EMPTY, AWAITED, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) | Err(AWAITED) => return true,
                // The other side is between two instructions.
                Err(BUSY) => std::hint::spin_loop(),
                Err(_) => return false,
            }
        }
    }

    /// Is the value there, or was it?
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.state.load(Ordering::Acquire) >= FULL
    }

    /// Says that nobody will take the value: a later `put` gives it back. Returns it if it is there already.
    #[inline]
    pub(crate) fn abandon(&self) -> Option<T> {
        loop {
            let now = self.state.load(Ordering::Acquire);
            match now {
                TAKEN => return None,
                FULL => return self.take(),
                BUSY => std::hint::spin_loop(),
                _ => {
                    let gone = self.state.compare_exchange(
                        now,
                        TAKEN,
                        Ordering::AcqRel,
                        Ordering::Relaxed,
                    );
                    if gone.is_ok() {
                        return None;
                    }
                }
            }
        }
    }

    /// Takes the value, if it is there.
    #[inline]
    pub(crate) fn take(&self) -> Option<T> {
        self.state
            .compare_exchange(FULL, TAKEN, Ordering::Acquire, Ordering::Relaxed)
            .ok()?;
        // SAFETY: a value is put once and only one taker gets from FULL to TAKEN; after that nobody touches it.
        unsafe { (*self.value.get()).take() }
    }
}

/// A reference that a thread lends to what it calls, such as "the coroutine that runs now".
///
/// Put it into a `thread_local!`. [`Scoped::set`] lends for the length of a call; [`Scoped::with`] borrows.
pub(crate) struct Scoped<T> {
    value: Cell<*const T>,
    borrowed: Cell<bool>,
}

impl<T> Scoped<T> {
    pub(crate) const fn new() -> Self {
        Self {
            value: Cell::new(ptr::null()),
            borrowed: Cell::new(false),
        }
    }
}

// The functions take the thread-local itself, so that what they run is not part of a closure that is given to it: those
// are not always inlined.
impl<T: 'static> Scoped<T> {
    /// Lends `value` while `call` runs.
    #[inline]
    pub(crate) fn set<R>(key: &'static LocalKey<Self>, value: &T, call: impl FnOnce() -> R) -> R {
        struct Restore<T: 'static>(&'static LocalKey<Scoped<T>>, *const T);
        impl<T> Drop for Restore<T> {
            #[inline]
            fn drop(&mut self) {
                self.0.with(|scoped| scoped.value.set(self.1));
            }
        }
        let outer = key.with(|scoped| scoped.value.replace(ptr::from_ref(value)));
        let _restore = Restore(key, outer);
        call()
    }

    /// Borrows what was lent, `None` if nothing is. The borrower must not suspend: [`Scoped::suspend`] refuses.
    #[inline(always)]
    pub(crate) fn with<R>(key: &'static LocalKey<Self>, borrow: impl FnOnce(Option<&T>) -> R) -> R {
        struct Release<T: 'static>(&'static LocalKey<Scoped<T>>, bool);
        impl<T> Drop for Release<T> {
            #[inline(always)]
            fn drop(&mut self) {
                // A branch, which is predicted, and no sum, which would have to wait for the one before.
                if !self.1 {
                    self.0.with(|scoped| scoped.borrowed.set(false));
                }
            }
        }
        let (value, outer) = key.with(|scoped| (scoped.value.get(), scoped.borrowed.replace(true)));
        let _release = Release(key, outer);
        // SAFETY: null, or set by a `set` whose call is still running below us on this thread. A borrower that
        // suspended could outlive it: `Scoped::suspend` refuses while anything is borrowed.
        borrow(unsafe { value.as_ref() })
    }

    /// Leaves the running coroutine, as [`super::suspend`].
    ///
    /// # Panics
    /// While something is borrowed: the lender's frame could be gone when the borrower is resumed.
    #[inline]
    pub(crate) fn suspend(key: &'static LocalKey<Self>, lent: Option<&AtomicU64>) {
        assert!(
            !key.with(|scoped| scoped.borrowed.get()),
            "suspended while borrowing the current coroutine"
        );
        super::suspend(lent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_pinned_cell_is_its_owners_alone() {
        let cell = Arc::new(PinnedCell::bound(Cell::new(7)));
        assert_eq!(cell.get().get(), 7);
        let other = cell.clone();
        std::thread::spawn(move || assert!(other.try_get().is_none()))
            .join()
            .unwrap();
    }

    #[test]
    fn only_what_is_part_of_the_value_can_be_bound() {
        let cell = PinnedCell::sent(Cell::new(1));
        let stranger = PinnedCell::sent(Cell::new(2));
        let start = ptr::from_ref(&cell) as usize;
        let binder = Binder::new(start..start + size_of_val(&cell));
        assert!(cell.try_get().is_none());
        assert_eq!(binder.bind(&cell).get(), 1);
        assert_eq!(cell.get().get(), 1);
        for other in [&stranger, &cell] {
            let bound =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| binder.bind(other).get()));
            assert!(bound.is_err());
        }
    }

    #[test]
    fn a_hand_over_gives_once() {
        let cell = HandOver::empty();
        assert_eq!(cell.put(String::from("once")), Ok(false));
        assert_eq!(cell.take().as_deref(), Some("once"));
        assert_eq!(cell.take(), None);
        assert_eq!(cell.put(String::from("again")), Err(String::from("again")));
    }

    #[test]
    fn a_taker_that_asked_is_told() {
        let cell = HandOver::empty();
        assert!(cell.ask() && !cell.is_done());
        assert_eq!(cell.put(1), Ok(true));
        assert!(!cell.ask() && cell.is_done());
        assert_eq!(cell.take(), Some(1));
        assert!(cell.is_done());
    }

    #[test]
    fn what_nobody_will_take_is_given_back() {
        let cell = HandOver::empty();
        assert_eq!(cell.abandon(), None);
        assert_eq!(cell.put(1), Err(1));
        let cell = HandOver::empty();
        assert_eq!(cell.put(2), Ok(false));
        assert_eq!(cell.abandon(), Some(2));
    }

    #[test]
    fn hand_over_across_threads_loses_nothing() {
        let cell = Arc::new(HandOver::empty());
        assert_eq!(cell.put(Box::new(1)), Ok(false));
        let takers: Vec<_> = (0..4)
            .map(|_| {
                let cell = cell.clone();
                std::thread::spawn(move || cell.take().is_some())
            })
            .collect();
        assert_eq!(
            takers
                .into_iter()
                .map(|t| t.join().unwrap())
                .filter(|&took| took)
                .count(),
            1
        );
    }
}
