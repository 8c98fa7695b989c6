//! A counted reference, as `Arc` without weak ones: several can be made, and given up, in one step.

use std::alloc::Layout;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use super::blocks;
use super::cell::Binder;

/// The value, whose count of references is in the word before it: so the address of what is in it does not depend on the
/// alignment of the type that was erased. Nobody outside can name this type.
#[repr(transparent)]
pub(crate) struct Place<T: ?Sized>(T);

/// A reference to a value that lives as long as one of them does.
pub(crate) struct Counted<T: ?Sized> {
    place: NonNull<Place<T>>,
    /// Dropping the last one drops a `T`.
    _owns: PhantomData<T>,
}

/// Two references in the space of one. There is one of these for each value, so whoever has it has not yet bound the
/// value's [`PinnedCell`](super::PinnedCell)s to a thread, and nobody else will.
pub(crate) struct First<T: ?Sized>(ManuallyDrop<Counted<T>>);

// SAFETY: as for `Arc`: a reference gives access to `&T` on any thread, and the last one drops the value there.
unsafe impl<T: ?Sized + Send + Sync> Send for Counted<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync> Sync for Counted<T> {}

impl<T> Counted<T> {
    /// References to a new value, which `make` makes in its place: it is large.
    #[inline]
    pub(crate) fn new(make: impl FnOnce() -> T) -> (First<T>, Self) {
        let (whole, offset) = layout(Layout::new::<T>());
        let memory = blocks::allocate(whole);
        // SAFETY: fresh memory with room for a count and, `offset` bytes behind its start, for the value. If `make` panics
        // it is leaked.
        let place = unsafe {
            let place = memory.add(offset).cast::<Place<T>>();
            place.write(Place(make()));
            place
                .cast::<AtomicUsize>()
                .sub(1)
                .write(AtomicUsize::new(3));
            place
        };
        let reference = || Self {
            place,
            _owns: PhantomData,
        };
        (First(ManuallyDrop::new(reference())), reference())
    }

    /// Forgets the type: call it with `|place| place`.
    #[inline]
    pub(crate) fn erase<U: ?Sized>(self, unsize: fn(*mut Place<T>) -> *mut Place<U>) -> Counted<U> {
        let this = ManuallyDrop::new(self);
        let erased = unsize(this.place.as_ptr());
        assert!(
            ptr::addr_eq(erased, this.place.as_ptr()),
            "erasing a type changes no address"
        );
        Counted {
            // SAFETY: it is the same address. `unsize` cannot have made it of another type's pointer, since nobody
            // outside can name `Place`: an unsizing coercion is all that it can do. The reference moves to the result.
            place: unsafe { NonNull::new_unchecked(erased) },
            _owns: PhantomData,
        }
    }
}

impl<T: ?Sized> Counted<T> {
    /// Drops two references, in one step if they are to the same value.
    #[inline]
    pub(crate) fn drop_both(one: Self, other: Self) {
        if ptr::addr_eq(one.place.as_ptr(), other.place.as_ptr()) {
            let one = ManuallyDrop::new(one);
            let _other = ManuallyDrop::new(other);
            // SAFETY: two references that are not used again.
            unsafe { one.give_up(2) };
        }
    }

    /// Counts `references` fewer, and drops the value if none is left.
    ///
    /// # Safety
    /// The caller has as many, this one among them, and neither uses nor drops them again.
    #[inline]
    unsafe fn give_up(&self, references: usize) {
        // Release, so that whoever drops the value finds everything done that others did with it.
        if self.count().fetch_sub(references, Ordering::Release) == references {
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
            let (whole, offset) = layout(Layout::for_value(self.place.as_ref()));
            let _memory = Memory(self.place.cast::<u8>().sub(offset), whole);
            ptr::drop_in_place(self.place.as_ptr());
        }
    }

    #[inline]
    fn count(&self) -> &AtomicUsize {
        // SAFETY: the count is in the word before the value, as long as there is a reference.
        unsafe { self.place.cast::<AtomicUsize>().sub(1).as_ref() }
    }
}

/// The layout of a count and a value, and where in it the value starts.
#[inline]
fn layout(value: Layout) -> (Layout, usize) {
    let align = value.align().max(align_of::<AtomicUsize>());
    let offset = align.max(size_of::<AtomicUsize>());
    let layout = Layout::from_size_align(offset + value.size(), align);
    (
        layout.expect("the value is in memory already, or about to be"),
        offset,
    )
}

impl<T> First<T> {
    /// As [`Counted::erase`].
    #[inline]
    pub(crate) fn erase<U: ?Sized>(self, unsize: fn(*mut Place<T>) -> *mut Place<U>) -> First<U> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is neither dropped nor used again; both references move to the result.
        let reference = unsafe { ManuallyDrop::take(&mut this.0) };
        First(ManuallyDrop::new(reference.erase(unsize)))
    }
}

impl<T: ?Sized> First<T> {
    /// Another reference.
    pub(crate) fn reference(&self) -> Counted<T> {
        Counted::clone(&self.0)
    }

    /// Binds what is pinned in the value to the calling thread: `bind` names it to the [`Binder`]. Gives both references.
    #[inline]
    pub(crate) fn bind(self, bind: impl FnOnce(&T, Binder)) -> [Counted<T>; 2] {
        let mut this = ManuallyDrop::new(self);
        let value = ptr::from_ref::<T>(&this);
        let start = value.cast::<u8>() as usize;
        bind(&this, Binder::new(start..start + size_of_val::<T>(&this)));
        // SAFETY: `this` is neither dropped nor used again, and it stands for two.
        unsafe { [ptr::read(&*this.0), ManuallyDrop::take(&mut this.0)] }
    }
}

impl<T: ?Sized> Drop for First<T> {
    fn drop(&mut self) {
        // SAFETY: both references, neither of which is used again.
        unsafe { self.0.give_up(2) };
    }
}

impl<T: ?Sized> Deref for First<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> Clone for Counted<T> {
    #[inline]
    fn clone(&self) -> Self {
        // Relaxed will do: nothing is learnt from the count.
        if self.count().fetch_add(1, Ordering::Relaxed) > usize::MAX / 2 {
            // References were leaked in a loop; before the count can overflow there is no way out.
            std::process::abort();
        }
        Self {
            place: self.place,
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
        unsafe { &(*self.place.as_ptr()).0 }
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
        let (first, one) = Counted::new(|| Parrot(drops.clone(), 7));
        let erased: Counted<dyn Speaks> = one.erase(|place| place);
        let more = erased.clone();
        assert_eq!(more.word(), "arr 7");
        Counted::drop_both(erased, more);
        let first: First<dyn Speaks> = first.erase(|place| place);
        assert_eq!(first.reference().word(), first.word());
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        drop(first);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn the_first_is_two() {
        let drops = Arc::new(AtomicUsize::new(0));
        let (first, handle) = Counted::new(|| Parrot(drops.clone(), 1));
        let [one, two] = first.bind(|_, _| ());
        drop(one);
        drop(handle);
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        drop(two);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn dropping_both_of_two_values_drops_each() {
        let drops = Arc::new(AtomicUsize::new(0));
        let (_, one) = Counted::new(|| Parrot(drops.clone(), 1));
        let (_, two) = Counted::new(|| Parrot(drops.clone(), 2));
        Counted::drop_both(one, two);
        assert_eq!(drops.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn threads_share_it() {
        let drops = Arc::new(AtomicUsize::new(0));
        let (_, parrot) = Counted::new(|| Parrot(drops.clone(), 3));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let parrot = parrot.clone();
                std::thread::spawn(move || {
                    for _ in 0..if cfg!(miri) { 50 } else { 1_000 } {
                        assert_eq!(parrot.clone().1, 3);
                    }
                })
            })
            .collect();
        drop(parrot);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }
}
