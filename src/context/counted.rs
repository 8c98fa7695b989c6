//! A counted reference, as `Arc` without weak ones, of one word, whatever type is behind it. Several references can be made,
//! and given up, in one step.

use std::alloc::Layout;
use std::any::TypeId;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, Range};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::blocks;
use super::cell::{Binder, thread_token};
use super::claims::Claims;
use super::heir::Heir;
use super::one_of::Pointer;

/// The part of a value whose type everybody knows, and where the rest is. A reference is the address of this.
#[repr(C)]
struct Front<H, B: ?Sized> {
    claims: Claims,
    /// The token of the thread that the value is bound to; 0 until then.
    thread: AtomicUsize,
    head: H,
    /// With what is known of its type.
    body: NonNull<B>,
    /// That type, for those who know it.
    kind: TypeId,
}

/// What is allocated.
#[repr(C)]
struct Whole<H, B: ?Sized, T> {
    front: Front<H, B>,
    body: T,
}

/// A reference to a head and a body that live as long as one of them does. It gives the head; see also [`Counted::body`].
pub(crate) struct Counted<H, B: ?Sized> {
    front: NonNull<Front<H, B>>,
    /// Dropping the last one drops both.
    _owns: PhantomData<(H, Box<B>)>,
}

/// Two references in the space of one. There is one of these for each value, so whoever has it has not yet bound the
/// value's [`PinnedCell`](super::PinnedCell)s to a thread, and nobody else will.
pub(crate) struct First<H, B: ?Sized>(ManuallyDrop<Counted<H, B>>);

// SAFETY: as for `Arc`: a reference gives access to the head and the body on any thread, and the last one drops them there.
unsafe impl<H: Send + Sync, B: ?Sized + Send + Sync> Send for Counted<H, B> {}
// SAFETY: as above.
unsafe impl<H: Send + Sync, B: ?Sized + Send + Sync> Sync for Counted<H, B> {}

impl<H, B: ?Sized> Counted<H, B> {
    /// References to a new value, one of them its heir. Its parts are made in their place: they are large. `erase` forgets the
    /// body's type: write `|body| body`. It is given a reference, for from a mere address it could make a body of any type.
    #[inline]
    pub(crate) fn create<T: 'static>(
        head: impl FnOnce() -> H,
        body: impl FnOnce() -> T,
        erase: for<'a> fn(&'a mut T) -> &'a mut B,
    ) -> (First<H, B>, Heir<H, B>) {
        let memory = blocks::allocate(Layout::new::<Whole<H, B, T>>());
        let whole = memory.cast::<Whole<H, B, T>>().as_ptr();
        // SAFETY: fresh memory with room for it all. If `head` or `body` panics it is leaked.
        let front = unsafe {
            let place = &raw mut (*whole).body;
            place.write(body());
            let erased = NonNull::from(erase(&mut *place));
            assert!(
                ptr::addr_eq(erased.as_ptr(), place)
                    && Layout::for_value(erased.as_ref()) == Layout::new::<T>(),
                "erasing a type changes neither address nor size"
            );
            let front = &raw mut (*whole).front;
            (&raw mut (*front).body).write(erased);
            (&raw mut (*front).kind).write(TypeId::of::<T>());
            (&raw mut (*front).head).write(head());
            (&raw mut (*front).claims).write(Claims::new(3));
            (&raw mut (*front).thread).write(AtomicUsize::new(0));
            NonNull::new_unchecked(front)
        };
        let reference = || Self {
            front,
            _owns: PhantomData,
        };
        (
            First(ManuallyDrop::new(reference())),
            Heir::new(reference()),
        )
    }

    /// The part whose type was erased.
    #[inline]
    pub(crate) fn body(&self) -> &B {
        // SAFETY: both are there as long as there is a reference.
        unsafe { self.front.as_ref().body.as_ref() }
    }

    /// The body, if it is a `T`. It is not asked, as by `dyn Any`: that takes calls that the processor cannot foresee.
    #[inline]
    pub(crate) fn body_as<T: 'static>(&self) -> Option<&T> {
        let front = self.front();
        if front.kind != TypeId::of::<T>() {
            return None;
        }
        // SAFETY: `create` was given a `T`, which is there as long as there is a reference.
        Some(unsafe { front.body.cast().as_ref() })
    }

    #[inline]
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.front == other.front
    }

    #[inline]
    pub(super) fn claims(&self) -> &Claims {
        &self.front().claims
    }

    /// Is the value bound to the calling thread?
    #[inline]
    pub(super) fn is_bound_here(&self) -> bool {
        self.front().thread.load(Ordering::Relaxed) == thread_token()
    }

    /// Where the value is.
    #[inline]
    pub(crate) fn addresses(&self) -> Range<usize> {
        let start = self.front.addr().get();
        start..start + self.layout().size()
    }

    /// Counts `references` fewer, and drops the value if none is left.
    ///
    /// # Safety
    /// The caller has as many, this one among them, and neither uses nor drops them again.
    #[inline]
    unsafe fn give_up(&self, references: usize) {
        if self.claims().give_up(references) {
            // SAFETY: there is no other reference, so nobody can make one.
            unsafe { self.destroy() };
        }
    }

    /// # Safety
    /// This was the last reference.
    #[inline(never)]
    unsafe fn destroy(&self) {
        /// Frees the memory even if a destructor panics.
        struct Memory(NonNull<u8>, Layout);
        impl Drop for Memory {
            fn drop(&mut self) {
                // SAFETY: `new` took it with this layout: erasing a type does not change its size.
                unsafe { blocks::free(self.0, self.1) };
            }
        }
        /// Drops the body even if the head's destructor panics: it may have what somebody waits for.
        struct Body<B: ?Sized>(NonNull<B>);
        impl<B: ?Sized> Drop for Body<B> {
            fn drop(&mut self) {
                // SAFETY: it is still there, and ours alone.
                unsafe { ptr::drop_in_place(self.0.as_ptr()) };
            }
        }
        // SAFETY: the value is still there, and ours alone.
        unsafe {
            let _memory = Memory(self.front.cast::<u8>(), self.layout());
            let front = self.front.as_ptr();
            let _body = Body((*front).body);
            ptr::drop_in_place(&raw mut (*front).head);
        }
    }

    /// That of a [`Whole`].
    #[inline]
    fn layout(&self) -> Layout {
        let (layout, _) = Layout::new::<Front<H, B>>()
            .extend(Layout::for_value(self.body()))
            .expect("the value is in memory");
        layout.pad_to_align()
    }

    #[inline]
    fn front(&self) -> &Front<H, B> {
        // SAFETY: it is there as long as there is a reference.
        unsafe { self.front.as_ref() }
    }
}

impl<H, B: ?Sized> First<H, B> {
    /// Another reference.
    pub(crate) fn reference(&self) -> Counted<H, B> {
        Counted::clone(&self.0)
    }

    /// Binds what is pinned in the value to the calling thread: `bind` names it to the [`Binder`]. Gives both references.
    #[inline]
    pub(crate) fn bind(self, bind: impl FnOnce(&Counted<H, B>, &Binder)) -> [Counted<H, B>; 2] {
        let mut this = ManuallyDrop::new(self);
        let front = this.0.front();
        front.thread.store(thread_token(), Ordering::Relaxed);
        bind(&this.0, &Binder::new(this.0.addresses()));
        // SAFETY: `this` is neither dropped nor used again, and it stands for two.
        unsafe { [ptr::read(&*this.0), ManuallyDrop::take(&mut this.0)] }
    }
}

impl<H, B: ?Sized> Drop for First<H, B> {
    fn drop(&mut self) {
        // SAFETY: both references, neither of which is used again.
        unsafe { self.0.give_up(2) };
    }
}

impl<H, B: ?Sized> Deref for First<H, B> {
    type Target = H;

    #[inline]
    fn deref(&self) -> &H {
        &self.0
    }
}

impl<H, B: ?Sized> Clone for Counted<H, B> {
    #[inline]
    fn clone(&self) -> Self {
        if !self.claims().add() {
            // References were leaked in a loop; before the count can overflow there is no way out.
            std::process::abort();
        }
        Self {
            front: self.front,
            _owns: PhantomData,
        }
    }
}

impl<H, B: ?Sized> Drop for Counted<H, B> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: one reference, which is not used again.
        unsafe { self.give_up(1) };
    }
}

impl<H, B: ?Sized> Deref for Counted<H, B> {
    type Target = H;

    #[inline]
    fn deref(&self) -> &H {
        &self.front().head
    }
}

impl<H: fmt::Debug, B: ?Sized> fmt::Debug for Counted<H, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

// SAFETY: the address of a `Front`, which is aligned for a count.
unsafe impl<H, B: ?Sized> Pointer for Counted<H, B> {
    #[inline]
    fn into_address(self) -> NonNull<()> {
        ManuallyDrop::new(self).front.cast()
    }

    #[inline]
    unsafe fn from_address(address: NonNull<()>) -> Self {
        Self {
            front: address.cast(),
            _owns: PhantomData,
        }
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

    type Bird = Heir<u64, dyn Speaks>;

    fn parrot(drops: &Arc<AtomicUsize>, word: u64) -> (First<u64, dyn Speaks>, Bird) {
        Counted::create(|| word, || Parrot(drops.clone(), word), |parrot| parrot)
    }

    #[test]
    fn the_last_reference_drops_it_whatever_its_type_was() {
        let drops = Arc::new(AtomicUsize::new(0));
        let (first, one) = parrot(&drops, 7);
        let more = one.clone();
        assert_eq!((*more, more.body().word().as_str()), (7, "arr 7"));
        drop((one, more));
        assert_eq!(*first.reference(), *first);
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        drop(first);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn who_knows_the_bodys_type_gets_it_as_that() {
        let (first, one) = parrot(&Arc::default(), 7);
        assert_eq!(one.body_as::<Parrot>().map(|parrot| parrot.1), Some(7));
        assert!(one.body_as::<String>().is_none());
        drop(first);
    }

    #[test]
    fn the_first_is_two() {
        let drops = Arc::new(AtomicUsize::new(0));
        let (first, handle) = parrot(&drops, 1);
        let [one, two] = first.bind(|_, _| ());
        drop(one);
        drop(handle);
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        drop(two);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }

    /// The alignment of a page, or more than one behind the front.
    #[test]
    fn bodies_of_every_alignment_and_size_are_where_they_belong() {
        fn check<T: fmt::Debug + Send + Sync + 'static>(body: fn() -> T) {
            let (first, one) =
                Counted::<u8, dyn fmt::Debug + Send + Sync>::create(|| 5, body, |body| body);
            let place = ptr::from_ref(one.body()).addr();
            assert_eq!(place % align_of::<T>(), 0, "{:?}", Layout::new::<T>());
            assert_eq!(
                (**one, format!("{:?}", one.body())),
                (5, format!("{:?}", body()))
            );
            let [two, three] = first.bind(|_, _| ());
            drop((one, two, three));
        }
        #[derive(Debug)]
        #[repr(align(64))]
        struct Line(#[expect(dead_code, reason = "shown")] Vec<u8>);
        #[derive(Debug)]
        #[repr(align(4096))]
        struct Page(#[expect(dead_code, reason = "shown")] String);
        #[derive(Debug)]
        #[repr(align(256))]
        struct Nothing;
        check(|| ());
        check(|| 1_u8);
        check(|| Line(vec![1, 2]));
        check(|| Page("seven".into()));
        check(|| Nothing);
    }

    #[test]
    fn a_body_is_dropped_though_the_heads_destructor_panics() {
        struct Panics;
        impl Drop for Panics {
            fn drop(&mut self) {
                panic!("on purpose");
            }
        }
        let drops = Arc::new(AtomicUsize::new(0));
        let (first, one) = Counted::<Panics, dyn Speaks>::create(
            || Panics,
            || Parrot(drops.clone(), 1),
            |parrot| parrot,
        );
        drop(first);
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(one)));
        assert!(dropped.is_err());
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn threads_share_it() {
        let drops = Arc::new(AtomicUsize::new(0));
        let (_, heir) = parrot(&drops, 3);
        let parrot = heir.clone();
        drop(heir);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let parrot = parrot.clone();
                std::thread::spawn(move || {
                    for _ in 0..if cfg!(miri) { 50 } else { 1_000 } {
                        assert_eq!(*parrot.clone(), 3);
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
