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
/// Free blocks of a size that a thread keeps: half a megabyte or so.
const KEEP: usize = 1024;

/// A free block holds the address of the next.
struct Free {
    next: *mut Free,
}

struct List {
    first: Cell<*mut Free>,
    len: Cell<usize>,
}

struct Blocks([List; CLASSES]);

thread_local! {
    static BLOCKS: Blocks = const {
        Blocks([const { List { first: Cell::new(ptr::null_mut()), len: Cell::new(0) } }; CLASSES])
    };
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
    let kept = BLOCKS.try_with(|blocks| {
        let list = &blocks.0[class];
        let first = NonNull::new(list.first.get())?;
        // SAFETY: what is in the list is a free block of this thread's, with the next one's address in it.
        list.first.set(unsafe { first.read() }.next);
        list.len.set(list.len.get() - 1);
        Some(first.cast())
    });
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
            let list = &blocks.0[class];
            if list.len.get() >= KEEP {
                return false;
            }
            let block = block.cast::<Free>();
            // SAFETY: the block is free, large enough and aligned for an address.
            unsafe {
                block.write(Free {
                    next: list.first.get(),
                });
            }
            list.first.set(block.as_ptr());
            list.len.set(list.len.get() + 1);
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
        for (class, list) in self.0.iter().enumerate() {
            let mut next = list.first.replace(ptr::null_mut());
            let layout = Layout::from_size_align(class * GRAIN, ALIGN).expect("as in `class`");
            while let Some(block) = NonNull::new(next) {
                // SAFETY: a free block of this thread's, which the allocator gave with this layout.
                unsafe {
                    next = block.read().next;
                    alloc::dealloc(block.as_ptr().cast(), layout);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
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
                let kept = |class: usize| BLOCKS.with(|blocks| blocks.0[class].len.get());
                assert_eq!(kept(10), KEEP);
                let again = allocate(Layout::new::<[u64; 39]>());
                assert!(blocks.contains(&again), "it fits the same blocks");
                assert_ne!(again, last, "the last in is the first out");
                assert_eq!(kept(10), KEEP - 1);
                // SAFETY: as above.
                unsafe { free(again, Layout::new::<[u64; 39]>()) };
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
