//! One of three kinds of pointers in the space of one.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;

/// The lowest bits of an address, which say which of the three it is.
const KIND: usize = 3;

/// A pointer that owns something, and nothing but an address.
///
/// # Safety
/// The address is a multiple of four, and stays as it is.
pub(crate) unsafe trait Pointer: Sized {
    fn into_address(self) -> NonNull<()>;

    /// # Safety
    /// The address comes from `into_address`, and is given here once (or what is made of it is neither dropped nor moved).
    unsafe fn from_address(address: NonNull<()>) -> Self;
}

// SAFETY: a reference of an `Arc` is the address of the value.
unsafe impl<T> Pointer for Arc<T> {
    #[inline]
    fn into_address(self) -> NonNull<()> {
        const { assert!(align_of::<T>() > KIND) };
        let address = Arc::into_raw(self).cast_mut().cast();
        // SAFETY: no reference is null.
        unsafe { NonNull::new_unchecked(address) }
    }

    #[inline]
    unsafe fn from_address(address: NonNull<()>) -> Self {
        // SAFETY: by the caller's promise it comes from `into_raw`.
        unsafe { Arc::from_raw(address.as_ptr().cast::<T>()) }
    }
}

/// An `A`, a `B` or a `C`.
pub(crate) struct OneOf<A: Pointer, B: Pointer, C: Pointer> {
    address: NonNull<()>,
    _owns: PhantomData<(A, B, C)>,
}

/// Which of the three.
pub(crate) enum Which<A, B, C> {
    First(A),
    Second(B),
    Third(C),
}

// SAFETY: it is one of the three.
unsafe impl<A: Pointer + Send, B: Pointer + Send, C: Pointer + Send> Send for OneOf<A, B, C> {}
// SAFETY: as above.
unsafe impl<A: Pointer + Sync, B: Pointer + Sync, C: Pointer + Sync> Sync for OneOf<A, B, C> {}

impl<A: Pointer, B: Pointer, C: Pointer> OneOf<A, B, C> {
    #[inline]
    pub(crate) fn new(which: Which<A, B, C>) -> Self {
        let (address, kind) = match which {
            Which::First(first) => (first.into_address(), 0),
            Which::Second(second) => (second.into_address(), 1),
            Which::Third(third) => (third.into_address(), 2),
        };
        Self {
            address: address.map_addr(|address| address | kind),
            _owns: PhantomData,
        }
    }

    #[inline]
    pub(crate) fn take(self) -> Which<A, B, C> {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is neither used again nor dropped.
        unsafe { this.read() }
    }

    /// Calls with a reference to it.
    #[inline]
    pub(crate) fn with<R>(&self, look: impl FnOnce(Which<&A, &B, &C>) -> R) -> R {
        // SAFETY: it is not dropped, since it stays ours.
        let it = ManuallyDrop::new(unsafe { self.read() });
        look(match &*it {
            Which::First(first) => Which::First(first),
            Which::Second(second) => Which::Second(second),
            Which::Third(third) => Which::Third(third),
        })
    }

    /// # Safety
    /// Either `self` is not used any more and not dropped, or the result is not dropped.
    #[inline]
    unsafe fn read(&self) -> Which<A, B, C> {
        // SAFETY: no `Pointer` is in the first page, so without the kind it is not null.
        let address = unsafe {
            NonNull::new_unchecked(self.address.as_ptr().map_addr(|address| address & !KIND))
        };
        // SAFETY: `new` got the address from a pointer of this kind. By the caller's promise it is owned once.
        unsafe {
            match self.address.addr().get() & KIND {
                0 => Which::First(A::from_address(address)),
                1 => Which::Second(B::from_address(address)),
                _ => Which::Third(C::from_address(address)),
            }
        }
    }
}

impl<A: Pointer, B: Pointer, C: Pointer> Drop for OneOf<A, B, C> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `self` is not used any more.
        drop(unsafe { self.read() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Any = OneOf<Arc<u64>, Arc<String>, Arc<Vec<u8>>>;

    fn word(any: &Any) -> String {
        any.with(|which| match which {
            Which::First(number) => number.to_string(),
            Which::Second(text) => text.to_string(),
            Which::Third(bytes) => format!("{bytes:?}"),
        })
    }

    #[test]
    fn it_is_what_was_put_in() {
        let text = Arc::new(String::from("two"));
        let all = [
            Any::new(Which::First(Arc::new(1))),
            Any::new(Which::Second(text.clone())),
            Any::new(Which::Third(Arc::new(vec![3]))),
        ];
        assert_eq!(all.each_ref().map(word), ["1", "two", "[3]"]);
        assert_eq!(Arc::strong_count(&text), 2);
        let [one, two, three] = all;
        assert!(matches!(two.take(), Which::Second(it) if *it == "two"));
        assert_eq!(Arc::strong_count(&text), 1);
        assert!(matches!(three.take(), Which::Third(it) if *it == [3]));
        drop(one);
    }

    #[test]
    fn dropping_it_drops_what_it_is() {
        let text = Arc::new(String::from("two"));
        drop(Any::new(Which::Second(text.clone())));
        assert_eq!(Arc::strong_count(&text), 1);
        assert_eq!(size_of::<Option<Any>>(), size_of::<usize>());
    }
}
