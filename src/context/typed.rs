//! A reference whose type was forgotten, and is found again by whoever knows it.
//!
//! As `&dyn Any`, which asks the value itself by a call of a function that the processor cannot foresee; here the type is
//! compared in place.

use std::any::TypeId;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// A `&'a T` for some `T`.
pub(crate) struct Typed<'a> {
    place: NonNull<()>,
    kind: TypeId,
    _borrows: PhantomData<&'a ()>,
}

impl<'a> Typed<'a> {
    #[inline]
    pub(crate) fn new<T: 'static>(value: &'a T) -> Self {
        Self {
            place: NonNull::from(value).cast(),
            kind: TypeId::of::<T>(),
            _borrows: PhantomData,
        }
    }

    /// The reference, if it is to a `T`.
    #[inline]
    pub(crate) fn get<T: 'static>(self) -> Option<&'a T> {
        if self.kind != TypeId::of::<T>() {
            return None;
        }
        // SAFETY: `new` made it of a reference to a `T`, which is borrowed for `'a`.
        Some(unsafe { self.place.cast().as_ref() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_type_that_it_was_gets_it() {
        let word = String::from("ahoy");
        assert_eq!(Typed::new(&word).get::<String>(), Some(&word));
        assert_eq!(Typed::new(&word).get::<Vec<u8>>(), None);
        assert_eq!(Typed::new(&()).get::<()>(), Some(&()));
    }
}
