//! A counted reference, as `Arc` without weak ones: several can be made, and given up, in one step.

use std::alloc::Layout;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use super::blocks;

/// A value and how many references to it there are. Nobody outside can name it.
#[repr(C)]
pub(crate) struct Inner<T: ?Sized> {
    references: AtomicUsize,
    value: T,
}

/// A reference to a value that lives as long as one of them does.
pub(crate) struct Counted<T: ?Sized> {
    inner: NonNull<Inner<T>>,
    /// Dropping the last one drops a `T`.
    _owns: PhantomData<T>,
}

/// Two references in the space of one.
pub(crate) struct Twice<T: ?Sized>(Counted<T>);

// SAFETY: as for `Arc`: a reference gives access to `&T` on any thread, and the last one drops the value there.
unsafe impl<T: ?Sized + Send + Sync> Send for Counted<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync> Sync for Counted<T> {}

impl<T> Counted<T> {
    /// `N` references to a new value, which `make` makes in its place: it is large.
    #[inline]
    pub(crate) fn new<const N: usize>(make: impl FnOnce() -> T) -> [Self; N] {
        const { assert!(N > 0, "somebody must drop it") };
        let inner = blocks::allocate(Layout::new::<Inner<T>>()).cast::<Inner<T>>();
        // SAFETY: fresh memory of the right layout. If `make` panics it is leaked.
        unsafe {
            inner.write(Inner {
                references: AtomicUsize::new(N),
                value: make(),
            });
        }
        std::array::from_fn(|_| Self {
            inner,
            _owns: PhantomData,
        })
    }

    /// Forgets the type: call it with `|inner| inner`.
    #[inline]
    pub(crate) fn erase<U: ?Sized>(self, unsize: fn(*mut Inner<T>) -> *mut Inner<U>) -> Counted<U> {
        let this = ManuallyDrop::new(self);
        let erased = unsize(this.inner.as_ptr());
        assert!(
            ptr::addr_eq(erased, this.inner.as_ptr()),
            "erasing a type changes no address"
        );
        Counted {
            // SAFETY: it is the same address. `unsize` cannot have made it of another type's pointer, since nobody
            // outside can name `Inner`: an unsizing coercion is all that it can do. The reference moves to the result.
            inner: unsafe { NonNull::new_unchecked(erased) },
            _owns: PhantomData,
        }
    }
}

impl<T: ?Sized> Counted<T> {
    /// Drops two references, in one step if they are to the same value.
    #[inline]
    pub(crate) fn drop_both(one: Self, other: Self) {
        if ptr::addr_eq(one.inner.as_ptr(), other.inner.as_ptr()) {
            let one = ManuallyDrop::new(one);
            let _other = ManuallyDrop::new(other);
            // SAFETY: two references that are not used again.
            unsafe { one.give_up(2) };
        }
    }

    /// Puts two references to the same value together; `None`, and both dropped, if they are to two.
    #[inline]
    pub(crate) fn pair(one: Self, other: Self) -> Option<Twice<T>> {
        ptr::addr_eq(one.inner.as_ptr(), other.inner.as_ptr()).then(|| {
            std::mem::forget(other);
            Twice(one)
        })
    }

    /// Counts `references` fewer, and drops the value if none is left.
    ///
    /// # Safety
    /// The caller has as many, this one among them, and neither uses nor drops them again.
    #[inline]
    unsafe fn give_up(&self, references: usize) {
        // SAFETY: the caller's references keep it alive up to here.
        let count = unsafe { &(*self.inner.as_ptr()).references };
        // Release, so that whoever drops the value finds everything done that others did with it.
        if count.fetch_sub(references, Ordering::Release) == references {
            fence(Ordering::Acquire);
            // SAFETY: there is no other reference, so nobody can make one.
            unsafe { self.destroy() };
        }
    }

    /// # Safety
    /// This was the last reference.
    #[inline(never)]
    unsafe fn destroy(&self) {
        /// Frees the memory even if the value's destructor panics.
        struct Memory(NonNull<u8>, Layout);
        impl Drop for Memory {
            fn drop(&mut self) {
                // SAFETY: `new` took it with this layout: erasing a type does not change its size.
                unsafe { blocks::free(self.0, self.1) };
            }
        }
        // SAFETY: the value is still there, and ours alone.
        unsafe {
            let _memory = Memory(self.inner.cast(), Layout::for_value(self.inner.as_ref()));
            ptr::drop_in_place(&raw mut (*self.inner.as_ptr()).value);
        }
    }
}

impl<T: ?Sized> Twice<T> {
    /// A third one.
    pub(crate) fn one(&self) -> Counted<T> {
        self.0.clone()
    }

    #[inline]
    pub(crate) fn split(self) -> [Counted<T>; 2] {
        let this = ManuallyDrop::new(self);
        // SAFETY: `pair` forgot the second reference, and `this` is not dropped, so there are two to be had.
        unsafe { [ptr::read(&this.0), ptr::read(&this.0)] }
    }
}

impl<T: ?Sized> Drop for Twice<T> {
    fn drop(&mut self) {
        // SAFETY: the one that `pair` forgot; the other is dropped after this.
        drop(unsafe { ptr::read(&self.0) });
    }
}

impl<T: ?Sized> Deref for Twice<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> Clone for Counted<T> {
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: this reference keeps it alive. Relaxed will do: nothing is learnt from the count.
        let count = unsafe { &(*self.inner.as_ptr()).references };
        if count.fetch_add(1, Ordering::Relaxed) > usize::MAX / 2 {
            // References were leaked in a loop; before the count can overflow there is no way out.
            std::process::abort();
        }
        Self {
            inner: self.inner,
            _owns: PhantomData,
        }
    }
}

impl<T: ?Sized> Drop for Counted<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: one reference, which is not used again.
        unsafe { self.give_up(1) };
    }
}

impl<T: ?Sized> Deref for Counted<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: alive as long as there is a reference, and shared as the type allows.
        unsafe { &(*self.inner.as_ptr()).value }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Counted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    trait Speaks: Send + Sync {
        fn word(&self) -> String;
    }

    struct Parrot(Arc<AtomicUsize>, u64);

    impl Speaks for Parrot {
        fn word(&self) -> String {
            format!("arr {}", self.1)
        }
    }

    impl Drop for Parrot {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_last_reference_drops_it_whatever_its_type_was() {
        let drops = Arc::new(AtomicUsize::new(0));
        let [one, two, three] = Counted::new(|| Parrot(drops.clone(), 7));
        let erased: Counted<dyn Speaks> = one.erase(|inner| inner);
        let more = erased.clone();
        assert_eq!(more.word(), "arr 7");
        Counted::drop_both(erased, more);
        Counted::drop_both(two.clone(), two);
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        drop(three);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn dropping_both_of_two_values_drops_each() {
        let drops = Arc::new(AtomicUsize::new(0));
        let [one] = Counted::new(|| Parrot(drops.clone(), 1));
        let [two] = Counted::new(|| Parrot(drops.clone(), 2));
        Counted::drop_both(one, two);
        assert_eq!(drops.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn two_in_one_count_as_two() {
        let drops = Arc::new(AtomicUsize::new(0));
        let [one, two, three] = Counted::new(|| Parrot(drops.clone(), 1));
        let [other] = Counted::new(|| Parrot(drops.clone(), 2));
        assert!(Counted::pair(one.clone(), other).is_none());
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        let twice = Counted::pair(one, two).unwrap();
        assert_eq!(twice.1, 1);
        drop(three);
        let [one, two] = twice.split();
        drop(one);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        drop(Counted::pair(two.clone(), two));
        assert_eq!(drops.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn threads_share_it() {
        let drops = Arc::new(AtomicUsize::new(0));
        let parrots: [Counted<Parrot>; 4] = Counted::new(|| Parrot(drops.clone(), 3));
        let threads: Vec<_> = parrots
            .into_iter()
            .map(|parrot| {
                std::thread::spawn(move || {
                    for _ in 0..1_000 {
                        assert_eq!(parrot.clone().1, 3);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }
}
