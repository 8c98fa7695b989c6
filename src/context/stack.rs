//! Stacks: cut from large reservations, guarded, pooled per worker.
//!
//! ```text
//!   slab: one mapping, reserved (MAP_NORESERVE), committed page by page as it is touched
//!   ┌───────┬───────────────┬───────┬───────────────┬───────┬────────── … ┐
//!   │ guard │ stack 0       │ guard │ stack 1       │ guard │             │
//!   └───────┴───────────────┴───────┴───────────────┴───────┴────────── … ┘
//!   low      grows ◀─ base                  ◀─ base                    high
//! ```
//!
//! A guard is a mark in the page tables where the kernel can do that (Linux 6.13), so a slab stays one mapping;
//! elsewhere it is a protected page.

use std::collections::{HashMap, VecDeque};
use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use rustix::param::page_size;

/// Address space of one slab of stacks; a larger stack has a slab of its own.
const SLAB_BYTES: usize = 64 << 20;
/// The smallest stack that runs `println!` and unwinds, with room to spare.
pub(crate) const MIN_STACK: usize = 16 << 10;
/// The largest; a larger one is a mistake in somebody's arithmetic.
pub(crate) const MAX_STACK: usize = 1 << 30;
/// Free stacks of a size without pages that a worker keeps: four slabs of the usual size. Their page tables take half a
/// kilobyte each.
const KEEP_CLEAN: usize = 1024;
/// `madvise` advice that marks pages as a guard; not yet named by rustix.
const MADV_GUARD_INSTALL: i32 = 102;

/// One reservation of address space.
struct Slab {
    start: *mut c_void,
    len: usize,
    /// Address space of each stack, guard included.
    stack: usize,
    /// Stacks that were cut from it and not dropped, and how many of those are free. Only their worker counts.
    cut: AtomicUsize,
    free: AtomicUsize,
}

// SAFETY: the mapping belongs to the process; who may touch which part is decided by the stacks cut from it.
unsafe impl Send for Slab {}
// SAFETY: as above.
unsafe impl Sync for Slab {}

impl Slab {
    fn reserve(stack: usize, count: usize) -> io::Result<Self> {
        let len = stack * count;
        let flags = MapFlags::PRIVATE;
        // The BSDs that have no such flag never set memory aside for what is not touched.
        #[cfg(any(target_os = "linux", target_vendor = "apple", target_os = "netbsd"))]
        let flags = flags | MapFlags::NORESERVE;
        #[cfg(target_os = "linux")]
        let flags = flags | MapFlags::STACK;
        // SAFETY: a fresh anonymous mapping overlaps nothing.
        let start = unsafe {
            rustix::mm::mmap_anonymous(
                ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                flags,
            )
        }?;
        // One touched page must cost one page, not two megabytes. Where there are no huge pages the call fails: fine.
        #[cfg(target_os = "linux")]
        // SAFETY: the range was mapped just now.
        unsafe {
            let _ = rustix::mm::madvise(start, len, rustix::mm::Advice::LinuxNoHugepage);
        }
        Ok(Self {
            start,
            len,
            stack,
            cut: AtomicUsize::new(0),
            free: AtomicUsize::new(0),
        })
    }
}

/// Counts up without a locked instruction: all who count are one thread.
#[inline]
fn add(count: &AtomicUsize, by: usize) {
    count.store(
        count.load(Ordering::Relaxed).wrapping_add(by),
        Ordering::Relaxed,
    );
}

#[inline]
fn subtract(count: &AtomicUsize, by: usize) {
    add(count, by.wrapping_neg());
}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: every stack holds an `Arc` of its slab, so none is left. Failure leaks address space, no more.
        let _ = unsafe { rustix::mm::munmap(self.start, self.len) };
    }
}

/// A guarded stack. Given back to its pool when its coroutine has ended. Two words, so that it travels in registers.
pub(crate) struct Stack {
    limit: usize,
    /// Keeps the mapping.
    slab: Arc<Slab>,
}

impl Stack {
    /// Lowest (guard page) and highest address.
    #[inline]
    pub(crate) fn bounds(&self) -> Range<usize> {
        self.limit..self.limit + self.slab.stack
    }

    /// Gives all its pages back to the system. It must not be in use.
    fn release_pages(&self) {
        let guard = page_size();
        // On Linux the pages are gone at once; elsewhere the system takes them when it needs them.
        #[cfg(target_os = "linux")]
        let advice = libc::MADV_DONTNEED;
        #[cfg(not(target_os = "linux"))]
        let advice = libc::MADV_FREE;
        // SAFETY: nothing runs on a pooled stack; the range is inside its mapping, above the guard.
        let _ = unsafe {
            libc::madvise(
                (self.limit + guard) as *mut c_void,
                self.slab.stack - guard,
                advice,
            )
        };
    }
}

/// Bytes of `bounds` (a stack's, as [`Stack::bounds`] gave them) that are backed by memory now. The mapping must
/// still be there, which holds while its runtime does.
pub(crate) fn resident_bytes(bounds: Range<usize>) -> Option<usize> {
    let page = page_size();
    let pages = (bounds.end - bounds.start) / page;
    let mut residency = vec![0_u8; pages];
    // SAFETY: `residency` has a byte for each page of the range; an unmapped range is an error, not a fault.
    let result = unsafe {
        libc::mincore(
            bounds.start as *mut c_void,
            pages * page,
            residency.as_mut_ptr().cast(),
        )
    };
    (result == 0).then(|| residency.iter().filter(|&&state| state & 1 != 0).count() * page)
}

/// Installs the guard at the low end of a fresh stack.
fn guard(start: usize) -> io::Result<()> {
    /// 0 unknown, 1 by page-table mark, 2 by protection.
    static HOW: AtomicU8 = AtomicU8::new(0);
    let page = page_size();
    if cfg!(target_os = "linux") && HOW.load(Ordering::Relaxed) != 2 {
        // SAFETY: the page is inside a fresh part of a slab and nobody uses it.
        if unsafe { libc::madvise(start as *mut c_void, page, MADV_GUARD_INSTALL) } == 0 {
            HOW.store(1, Ordering::Relaxed);
            return Ok(());
        }
        if HOW.load(Ordering::Relaxed) == 0 {
            HOW.store(2, Ordering::Relaxed);
        }
    }
    // SAFETY: as above.
    unsafe { rustix::mm::mprotect(start as *mut c_void, page, MprotectFlags::empty()) }?;
    Ok(())
}

/// Free stacks of one size, the most recently used last.
#[derive(Default)]
struct SizeClass {
    free: VecDeque<Stack>,
    /// The slab that new stacks are cut from, and where the next one starts.
    slab: Option<(Arc<Slab>, usize)>,
    /// Fewest free since the last trim: these were not needed.
    spare: usize,
    /// So many of the least recently used have no pages any more.
    clean: usize,
    /// So many of the least recently used were not needed for a while.
    unneeded: usize,
    /// So many of those were found to be of a slab that is in use, since the last trim. They are the last of them.
    kept: usize,
}

/// A worker's stacks. Last in, first out, so that the next coroutine runs on warm memory.
pub(crate) struct StackPool {
    classes: HashMap<usize, SizeClass>,
    /// The size that nearly all have; kept out of the map's way.
    usual: SizeClass,
    usual_size: usize,
    pooled: usize,
    /// So many free ones keep their pages, at most.
    max_warm: usize,
}

impl StackPool {
    pub(crate) fn new(usual_size: usize, max_warm: usize) -> Self {
        Self {
            classes: HashMap::new(),
            usual: SizeClass::default(),
            usual_size: whole(usual_size),
            pooled: 0,
            max_warm,
        }
    }

    #[inline]
    fn class(&mut self, size: usize) -> &mut SizeClass {
        if size == self.usual_size {
            &mut self.usual
        } else {
            self.classes.entry(size).or_default()
        }
    }

    /// A stack that takes `size` bytes of address space, guard included.
    ///
    /// # Errors
    /// The system has no address space or no page tables left.
    #[inline]
    pub(crate) fn take(&mut self, size: usize) -> io::Result<Stack> {
        let size = if size == self.usual_size {
            size
        } else {
            whole(size)
        };
        let class = self.class(size);
        let Some(stack) = class.free.pop_back() else {
            return class.cut(size);
        };
        subtract(&stack.slab.free, 1);
        class.spare = class.spare.min(class.free.len());
        class.clean = class.clean.min(class.free.len());
        self.pooled -= 1;
        Ok(stack)
    }

    /// Takes the stack of an ended coroutine back.
    #[inline]
    pub(crate) fn put(&mut self, stack: Stack) {
        self.pooled += 1;
        let class = self.class(stack.slab.stack);
        add(&stack.slab.free, 1);
        class.free.push_back(stack);
        if self.pooled > self.max_warm {
            self.cool();
        }
    }

    /// Takes the pages of one free stack if more than `max_warm` have theirs. Its address space stays in the pool: a slab
    /// cannot give back a part of it.
    #[cold]
    fn cool(&mut self) {
        let classes = || std::iter::once(&self.usual).chain(self.classes.values());
        let warm: usize = classes().map(SizeClass::warm).sum();
        if warm <= self.max_warm {
            return;
        }
        let classes = std::iter::once(&mut self.usual).chain(self.classes.values_mut());
        if let Some(class) = classes.max_by_key(|class| class.warm()) {
            class.free[class.clean].release_pages();
            class.clean += 1;
        }
    }

    /// Marks the stacks that no coroutine needed since the last call for [`StackPool::tidy`]. Returns how many are still to
    /// be looked at by a later call: 0 means that everything which can be given back is marked.
    pub(crate) fn trim(&mut self) -> usize {
        let mut left = 0;
        for class in std::iter::once(&mut self.usual).chain(self.classes.values_mut()) {
            class.unneeded = class.spare;
            class.kept = 0;
            left += class.free.len() - class.spare;
            class.spare = class.free.len();
        }
        left
    }

    /// Gives back what is marked: pages, and beyond [`KEEP_CLEAN`] whole slabs. Does about `most` steps, each of which is a
    /// system call or a part of one. False: nothing is left to do.
    pub(crate) fn tidy(&mut self, most: usize) -> bool {
        let mut more = false;
        for class in std::iter::once(&mut self.usual).chain(self.classes.values_mut()) {
            // What was marked and has been taken since was the most recently used of it.
            class.unneeded = class.unneeded.min(class.spare);
            let end = class.unneeded.min(class.clean.saturating_add(most));
            for stack in class.free.range(class.clean.min(end)..end) {
                stack.release_pages();
            }
            class.clean = class.clean.max(end);
            let dropped = class.drop_slabs(most);
            self.pooled -= dropped;
            more |= class.clean < class.unneeded || class.droppable() > 0;
            if !more && class.free.capacity() > 4 * KEEP_CLEAN + 4 * class.free.len() {
                class.free.shrink_to(2 * class.free.len());
            }
        }
        more
    }

    /// May [`StackPool::trim`] find something, now or after another second?
    pub(crate) fn is_dirty(&self) -> bool {
        std::iter::once(&self.usual)
            .chain(self.classes.values())
            .any(|class| class.warm() > 0)
    }

    /// Free stacks.
    pub(crate) fn pooled(&self) -> usize {
        self.pooled
    }
}

impl SizeClass {
    /// How many without pages [`SizeClass::drop_slabs`] may still look at.
    fn droppable(&self) -> usize {
        let clean = self.clean.min(self.unneeded);
        clean.saturating_sub(self.kept.max(KEEP_CLEAN))
    }

    /// Drops stacks without pages of slabs that are wholly free; looks at no more than `most`. A slab goes with the last of
    /// its stacks, and with it their page tables. Returns how many it dropped.
    fn drop_slabs(&mut self, most: usize) -> usize {
        let mut dropped = 0;
        for _ in 0..self.droppable().min(most) {
            let Some(stack) = self.free.front() else {
                break;
            };
            let slab = &stack.slab;
            let is_free = slab.free.load(Ordering::Relaxed) == slab.cut.load(Ordering::Relaxed);
            if is_free
                && self
                    .slab
                    .as_ref()
                    .is_none_or(|(it, _)| !Arc::ptr_eq(it, slab))
            {
                subtract(&slab.cut, 1);
                subtract(&slab.free, 1);
                self.free.pop_front();
                self.clean -= 1;
                self.unneeded -= 1;
                self.spare -= 1;
                dropped += 1;
            } else {
                // To the others that stay; one that was not looked at comes to the front.
                let last = self.clean.min(self.unneeded) - 1;
                self.free.swap(0, last - self.kept.min(last));
                self.kept += 1;
            }
        }
        dropped
    }

    /// Free stacks that may have pages.
    fn warm(&self) -> usize {
        self.free.len() - self.clean
    }

    /// Cuts a new stack from the slab, or from a new slab.
    fn cut(&mut self, size: usize) -> io::Result<Stack> {
        let room = self
            .slab
            .as_ref()
            .is_some_and(|(slab, used)| used + size <= slab.len);
        if !room {
            let count = (SLAB_BYTES / size).max(1);
            self.slab = Some((Arc::new(Slab::reserve(size, count)?), 0));
        }
        let (slab, used) = self.slab.as_mut().expect("reserved above");
        let limit = slab.start as usize + *used;
        guard(limit)?;
        *used += size;
        add(&slab.cut, 1);
        Ok(Stack {
            limit,
            slab: slab.clone(),
        })
    }
}

/// `size` within the limits and in whole pages.
pub(crate) fn whole(size: usize) -> usize {
    size.clamp(MIN_STACK, MAX_STACK)
        .next_multiple_of(page_size())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_of_a_slab_do_not_overlap() {
        let mut pool = StackPool::new(MIN_STACK, usize::MAX);
        let stacks: Vec<_> = (0..1_000).map(|_| pool.take(MIN_STACK).unwrap()).collect();
        let mut bounds: Vec<_> = stacks.iter().map(Stack::bounds).collect();
        bounds.sort_by_key(|bound| bound.start);
        assert!(bounds.windows(2).all(|pair| pair[0].end <= pair[1].start));
        assert!(
            bounds
                .iter()
                .all(|bound| bound.end - bound.start == MIN_STACK)
        );
    }

    #[test]
    fn reused_last_in_first_out_and_trimmed_when_spare() {
        let mut pool = StackPool::new(64 << 10, usize::MAX);
        let (one, two) = (pool.take(64 << 10).unwrap(), pool.take(64 << 10).unwrap());
        let warm = two.bounds();
        // SAFETY: the stack is ours and this byte is above its guard.
        unsafe { *((warm.end - 8) as *mut u8) = 1 };
        pool.put(one);
        pool.put(two);
        assert!(resident_bytes(warm.clone()).unwrap() >= page_size());
        let again = pool.take(64 << 10).unwrap();
        assert_eq!(again.bounds(), warm);
        pool.put(again);
        assert_eq!(pool.trim(), 2, "both were in use a moment ago");
        assert!(!pool.tidy(usize::MAX));
        assert!(resident_bytes(warm.clone()).unwrap() >= page_size());
        assert_eq!(pool.trim(), 0);
        assert!(!pool.tidy(usize::MAX));
        assert_eq!(resident_bytes(warm), Some(0));
    }

    #[test]
    fn no_more_than_the_limit_keep_their_memory() {
        let mut pool = StackPool::new(64 << 10, 2);
        let stacks: Vec<_> = (0..5).map(|_| pool.take(64 << 10).unwrap()).collect();
        let bounds: Vec<_> = stacks.iter().map(Stack::bounds).collect();
        for (stack, bounds) in stacks.into_iter().zip(&bounds) {
            // SAFETY: the stack is ours and this byte is above its guard.
            unsafe { *((bounds.end - 8) as *mut u8) = 1 };
            pool.put(stack);
        }
        let warm = |bounds: &Range<usize>| resident_bytes(bounds.clone()).unwrap() > 0;
        let now: Vec<_> = bounds.iter().map(warm).collect();
        assert_eq!(now, [false, false, false, true, true]);
        assert_eq!(pool.pooled(), 5, "the address space is used again");
        // The warm ones are taken first, and the count goes on from there.
        let again = pool.take(64 << 10).unwrap();
        assert_eq!(again.bounds(), bounds[4]);
        pool.put(again);
        assert!(warm(&bounds[4]) && warm(&bounds[3]));
    }

    #[test]
    fn what_a_crowd_leaves_is_given_back_with_its_page_tables() {
        const SIZE: usize = 256 << 10;
        let mut pool = StackPool::new(SIZE, usize::MAX);
        let crowd: Vec<_> = (0..3 * KEEP_CLEAN)
            .map(|_| pool.take(SIZE).unwrap())
            .collect();
        crowd.into_iter().for_each(|stack| pool.put(stack));
        assert_eq!(pool.trim(), 3 * KEEP_CLEAN, "they were in use a moment ago");
        assert!(!pool.tidy(100));
        assert_eq!(pool.trim(), 0);
        let mut steps = 1;
        while pool.tidy(100) {
            steps += 1;
            assert!(steps < 100, "it never ends");
        }
        assert!(steps >= 3 * KEEP_CLEAN / 100, "it took more at a time");
        assert_eq!(pool.pooled(), KEEP_CLEAN);
        assert!(!pool.is_dirty());
        assert!(pool.take(SIZE).is_ok());
    }

    #[test]
    fn a_slab_in_use_keeps_its_stacks() {
        let mut pool = StackPool::new(MIN_STACK, usize::MAX);
        let mut crowd: Vec<_> = (0..6 * KEEP_CLEAN)
            .map(|_| pool.take(MIN_STACK).unwrap())
            .collect();
        let a_slab = SLAB_BYTES / MIN_STACK;
        let stays = crowd.remove(crowd.len() - a_slab - 1);
        crowd.into_iter().for_each(|stack| pool.put(stack));
        pool.trim();
        pool.trim();
        while pool.tidy(1_000) {}
        let slabs = pool.pooled().div_ceil(a_slab);
        assert!(slabs <= 3, "{} are kept", pool.pooled());
        // One of those that are kept is of the slab that is in use, and none of its stacks was lost.
        assert_eq!(stays.slab.cut.load(Ordering::Relaxed), a_slab);
        assert_eq!(stays.slab.free.load(Ordering::Relaxed), a_slab - 1);
    }

    #[test]
    fn sizes_are_whole_pages_within_limits() {
        let mut pool = StackPool::new(64 << 10, usize::MAX);
        assert_eq!(pool.take(1).unwrap().bounds().len(), MIN_STACK);
        let odd = pool.take((2 << 20) + 1).unwrap().bounds().len();
        assert!(odd > 2 << 20 && odd.is_multiple_of(page_size()));
    }
}
