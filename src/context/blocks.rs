//! Memory for records: blocks that their thread keeps to be used again, since coroutines come and go.

use std::alloc::{self, Layout};
use std::cell::Cell;
use std::ptr::{self, NonNull};

/// Sizes are whole multiples of this.
const GRAIN: usize = 32;
/// Larger ones come from the allocator each time.
const CLASSES: usize = 32;
/// Aligned so at least.
const ALIGN: usize = 16;
/// Free blocks of a size that a thread keeps which never trims: half a megabyte or so.
const KEEP: usize = 1024;
/// Those that a worker keeps until it trims.
const KEEP_TRIMMED: usize = 1 << 16;

/// After so many bytes the allocator is asked to give the system what it has free.
const MUCH: usize = 16 << 20;

/// A free block holds the address of the next.
struct Free {
    next: *mut Free,
}

struct List {
    first: Cell<*mut Free>,
    len: Cell<usize>,
    /// Fewest since the latest trim: these were not needed.
    spare: Cell<usize>,
}

impl List {
    const fn empty() -> Self {
        Self {
            first: Cell::new(ptr::null_mut()),
            len: Cell::new(0),
            spare: Cell::new(0),
        }
    }

    #[inline]
    fn pop(&self) -> Option<NonNull<u8>> {
        let first = NonNull::new(self.first.get())?;
        // SAFETY: what is in the list is a free block of this thread's, with the next one's address in it.
        self.first.set(unsafe { first.read() }.next);
        let len = self.len.get() - 1;
        self.len.set(len);
        self.spare.set(self.spare.get().min(len));
        Some(first.cast())
    }

    /// # Safety
    /// The block is free, and large enough and aligned for an address.
    #[inline]
    unsafe fn push(&self, block: NonNull<u8>) {
        let block = block.cast::<Free>();
        // SAFETY: by the caller's promise.
        unsafe {
            block.write(Free {
                next: self.first.get(),
            });
        }
        self.first.set(block.as_ptr());
        self.len.set(self.len.get() + 1);
    }

    /// Gives `count` of the blocks, which are of class `class`, to the allocator.
    fn give_back(&self, class: usize, count: usize) {
        let layout = Layout::from_size_align(class * GRAIN, ALIGN).expect("as in `class`");
        for block in std::iter::from_fn(|| self.pop()).take(count) {
            // SAFETY: a free block of this thread's, which the allocator gave with this layout.
            unsafe { alloc::dealloc(block.as_ptr(), layout) };
        }
    }
}

struct Blocks {
    lists: [List; CLASSES],
    keep: Cell<usize>,
    /// Bytes that the allocator got back since it was last asked to give the system theirs.
    returned: Cell<usize>,
}

thread_local! {
    static BLOCKS: Blocks = const {
        Blocks {
            lists: [const { List::empty() }; CLASSES],
            keep: Cell::new(KEEP),
            returned: Cell::new(0),
        }
    };
}

/// Gives the blocks to the allocator that the calling thread has not needed since the last call. Whoever calls this now
/// and then may keep many.
pub(crate) fn trim() {
    BLOCKS.with(|blocks| {
        blocks.keep.set(KEEP_TRIMMED);
        for (class, list) in blocks.lists.iter().enumerate() {
            let count = list.spare.get();
            list.give_back(class, count);
            list.spare.set(list.len.get());
            blocks.count_returned(count * class * GRAIN);
        }
        if blocks.returned.get() >= MUCH {
            blocks.returned.set(0);
            give_to_system();
        }
    });
}

impl Blocks {
    fn count_returned(&self, bytes: usize) {
        self.returned.set(self.returned.get() + bytes);
    }
}

/// Has the allocator give the system what it has free: glibc's keeps all below the last block in use, which of a crowd's
/// memory may be everything.
#[cold]
fn give_to_system() {
    #[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
    // SAFETY: it takes the allocator's own locks, and what is in use stays where it is.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The list for `layout`, and the layout of its blocks.
#[inline]
fn class(layout: Layout) -> Option<(usize, Layout)> {
    let class = layout.size().div_ceil(GRAIN);
    // The sanitizer shall see each use of what was freed.
    if cfg!(any(grapeshot_asan, miri)) || class == 0 || class >= CLASSES || layout.align() > ALIGN {
        return None;
    }
    let whole = Layout::from_size_align(class * GRAIN, ALIGN).ok()?;
    Some((class, whole))
}

/// Memory for `layout`, which is not of size 0; ends the process if there is none, as `Box::new` does.
#[inline]
pub(super) fn allocate(layout: Layout) -> NonNull<u8> {
    let Some((class, whole)) = class(layout) else {
        return from_allocator(layout);
    };
    let kept = BLOCKS.try_with(|blocks| blocks.lists[class].pop());
    kept.ok().flatten().unwrap_or_else(|| from_allocator(whole))
}

#[cold]
fn from_allocator(layout: Layout) -> NonNull<u8> {
    assert_ne!(layout.size(), 0, "a record has a size");
    // SAFETY: the size is not 0.
    NonNull::new(unsafe { alloc::alloc(layout) })
        .unwrap_or_else(|| alloc::handle_alloc_error(layout))
}

/// Gives memory back.
///
/// # Safety
/// `block` came from [`allocate`] with the same `layout`, and nobody uses it any more.
#[inline]
pub(super) unsafe fn free(block: NonNull<u8>, layout: Layout) {
    let whole = class(layout);
    if let Some((class, _)) = whole {
        let kept = BLOCKS.try_with(|blocks| {
            let list = &blocks.lists[class];
            if list.len.get() >= blocks.keep.get() {
                blocks.count_returned(class * GRAIN);
                return false;
            }
            // SAFETY: by the caller's promise, and this is what blocks are like.
            unsafe { list.push(block) };
            true
        });
        if kept == Ok(true) {
            return;
        }
    }
    let layout = whole.map_or(layout, |(_, whole)| whole);
    // SAFETY: by the caller's promise, and this is the layout that `allocate` asked the allocator for.
    unsafe { alloc::dealloc(block.as_ptr(), layout) };
}

impl Drop for Blocks {
    fn drop(&mut self) {
        for (class, list) in self.lists.iter().enumerate() {
            list.give_back(class, usize::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_what_was_put_into_it_and_gives_it_back() {
        let (class, layout) = (3, Layout::from_size_align(3 * GRAIN, ALIGN).unwrap());
        let list = List::empty();
        let blocks = [(); 4].map(|()| from_allocator(layout));
        for block in blocks {
            // SAFETY: allocated above, with room for an address, and not used otherwise.
            unsafe { list.push(block) };
        }
        assert_eq!(list.pop(), Some(blocks[3]));
        list.give_back(class, 1);
        assert_eq!((list.len.get(), list.spare.get()), (2, 0));
        // SAFETY: as above; it was popped.
        unsafe { list.push(blocks[3]) };
        list.give_back(class, usize::MAX);
        assert_eq!((list.len.get(), list.pop()), (0, None));
    }

    #[test]
    #[cfg_attr(miri, ignore = "there each block comes from the allocator")]
    fn a_freed_block_is_used_again_and_a_crowd_is_given_back() {
        std::thread::spawn(|| {
            let layout = Layout::new::<[u64; 40]>();
            let blocks: Vec<_> = (0..2 * KEEP).map(|_| allocate(layout)).collect();
            let last = *blocks.last().unwrap();
            for &block in blocks.iter().rev() {
                // SAFETY: allocated above, with this layout.
                unsafe { free(block, layout) };
            }
            if class(layout).is_some() {
                let kept = |class: usize| BLOCKS.with(|blocks| blocks.lists[class].len.get());
                assert_eq!(kept(10), KEEP);
                let again = allocate(Layout::new::<[u64; 39]>());
                assert!(blocks.contains(&again), "it fits the same blocks");
                assert_ne!(again, last, "the last in is the first out");
                assert_eq!(kept(10), KEEP - 1);
                // SAFETY: as above.
                unsafe { free(again, Layout::new::<[u64; 39]>()) };
                trim();
                assert_eq!(kept(10), KEEP, "they were in use a moment ago");
                trim();
                assert_eq!(kept(10), 0);
            }
        })
        .join()
        .unwrap();
    }

    #[test]
    fn large_and_oddly_aligned_ones_come_from_the_allocator() {
        #[repr(align(64))]
        struct Aligned(#[expect(dead_code, reason = "only its layout matters")] [u8; 64]);
        for layout in [Layout::new::<[u64; 1000]>(), Layout::new::<Aligned>()] {
            assert!(class(layout).is_none());
            let block = allocate(layout);
            assert_eq!(block.as_ptr() as usize % layout.align(), 0);
            // SAFETY: allocated above, with this layout.
            unsafe { free(block, layout) };
        }
    }
}
