//! The allocator through which the profiler sees allocations: one byte in so many has its allocation's stack kept.
//!
//! ```text
//!   who allocates                                        who collects
//!   ─────────────                                        ────────────
//!   Allocator::alloc: counts bytes down, a thread each
//!     at 0: who allocates, the frames of its stack
//!     ──▶ Queue (or, if that is full, counted as lost) ──▶ drain
//! ```
//!
//! What samples allocates nothing, takes no lock and makes no system calls, but once a thread to ask where its stack is. So
//! it may run wherever an allocator may: under foreign locks, in a worker's loop, at the end of a thread. What a signal
//! handler may interrupt of it is plain loads and stores of the thread's own, and steps in the queue that nobody waits for.
//!
//! The byte to be sampled next is so far away as decays of atoms are from each other: whatever the pattern of a program's
//! allocations is, each byte is as likely as any other to be the one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

mod queue;

use super::backtrace;
use super::cycles;
use super::ticker::{Locate, distance, own_stack};
pub(crate) use queue::Sample;
use queue::{FRAMES, Queue};

/// The global allocator of programs whose allocations shall be profiled. It hands all calls on to another one, [`System`] if
/// none is named, and while the profiler [asks for it](crate::profile::Settings::allocations) notes some of them.
///
/// ```
/// use grapeshot::profile::Allocator;
///
/// #[global_allocator]
/// static ALLOCATOR: Allocator = Allocator::system();
/// # drop(vec![1, 2, 3]);
/// ```
///
/// While nobody asks, that costs a load and a branch an allocation, and nothing when memory is given back. It never suspends.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allocator<A = System>(A);

impl Allocator {
    /// In front of the system's allocator, which is the default of Rust programs.
    pub const fn system() -> Self {
        Self(System)
    }

    /// Whether the program's global allocator is one of these, whichever it hands calls on to: else allocations cannot be
    /// profiled. Allocates a byte to find out. Never suspends.
    pub fn is_installed() -> bool {
        is_installed()
    }
}

impl<A> Allocator<A> {
    /// In front of any other one, such as `Jemalloc`.
    pub const fn new(inner: A) -> Self {
        Self(inner)
    }
}

// SAFETY: all memory is the inner allocator's, which gets each call as it came; `note` neither allocates nor unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Allocator<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: by the caller's promise.
        unsafe { self.0.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: by the caller's promise.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // What it had was noted before.
        note(new_size.saturating_sub(layout.size()));
        // SAFETY: by the caller's promise.
        unsafe { self.0.realloc(block, layout, new_size) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: by the caller's promise.
        unsafe { self.0.dealloc(block, layout) }
    }
}

/// The number of the session that samples; 0: none does.
static SESSION: AtomicU32 = AtomicU32::new(0);
/// In place of a session's number while somebody finds out whether this is the program's allocator.
const PROBE: u32 = u32::MAX;
/// Never freed, as a thread may be about to write to it at any time.
static QUEUE: OnceLock<Queue> = OnceLock::new();
/// Bytes between samples, on average.
static EVERY: AtomicU64 = AtomicU64::new(0);
/// Cycles spent on samples.
static COST: AtomicU64 = AtomicU64::new(0);

/// What a thread keeps. Without a destructor, so that it is there until the thread is gone.
struct Thread {
    /// The session that `left` is of.
    session: Cell<u32>,
    /// The byte to be sampled next is that many away; never 0.
    left: Cell<usize>,
    /// Of the random numbers: never 0, once it is set.
    chance: Cell<u64>,
    /// The addresses of its own stack, once they are known.
    stack: Cell<(usize, usize)>,
    /// It takes a sample, or its allocations shall not be seen.
    unseen: Cell<bool>,
    /// It is asked whether it comes here.
    probed: Cell<bool>,
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            session: Cell::new(0),
            left: Cell::new(1),
            chance: Cell::new(0),
            stack: Cell::new((0, 0)),
            unseen: Cell::new(false),
            probed: Cell::new(false),
        }
    };
}

/// So many bytes are allocated.
#[inline(always)]
fn note(size: usize) {
    let session = SESSION.load(Ordering::Relaxed);
    if session != 0 {
        count(session, size);
    }
}

#[cold]
#[inline(never)]
fn count(session: u32, size: usize) {
    THREAD.with(|thread| {
        let left = thread.left.get();
        if size < left && thread.session.get() == session {
            thread.left.set(left - size);
        } else {
            thread.meet(session, size);
        }
    });
}

impl Thread {
    /// The sampled byte is among these, or the session is new.
    #[cold]
    #[inline(never)]
    fn meet(&self, session: u32, size: usize) {
        if session == PROBE {
            return self.probed.set(true);
        }
        let Some(queue) = QUEUE.get().filter(|_| !self.unseen.replace(true)) else {
            return;
        };
        // How far the byte was away in another session, with other distances, means nothing in this one.
        if self.session.replace(session) != session {
            self.draw();
        }
        match self.left.get() {
            left if size < left => self.left.set(left - size),
            _ => {
                self.sample(queue, session, size);
                self.draw();
            }
        }
        self.unseen.set(false);
    }

    /// How far away is the next one?
    fn draw(&self) {
        let chance = match self.chance.get() {
            0 => cycles::now() ^ std::ptr::from_ref(self) as u64 | 1,
            chance => chance,
        };
        let (chance, distance) = distance(chance, EVERY.load(Ordering::Relaxed));
        self.chance.set(chance);
        // The byte in which it ends.
        self.left.set(distance as usize + 1);
    }

    #[inline(never)]
    fn sample(&self, queue: &Queue, session: u32, size: usize) {
        let start = cycles::now();
        let frame = own_frame();
        let place = queue.locate();
        let end = match place.stack.contains(&frame) {
            true => place.stack.end,
            false => self.stack_end(frame),
        };
        let mut frames = [0; FRAMES];
        let mut len = 0;
        // SAFETY: this thread runs on the stack that has its frame, from there to the end.
        unsafe {
            backtrace::follow(frame, frame..end, |address| {
                frames[len] = address as u64;
                len += 1;
                len < FRAMES
            });
        }
        queue.put(session, &place, size, &frames[..len]);
        let spent = cycles::now().wrapping_sub(start);
        COST.fetch_add(spent, Ordering::Relaxed);
    }

    /// The end of the thread's own stack; 0 if that is not where `frame` is, as in a signal handler.
    fn stack_end(&self, frame: usize) -> usize {
        if self.stack.get() == (0, 0) {
            let stack = own_stack();
            // What is not known is not asked again.
            self.stack.set((stack.start.max(1), stack.end));
        }
        let (start, end) = self.stack.get();
        if (start..end).contains(&frame) {
            end
        } else {
            0
        }
    }
}

/// The frame of the function that this stands in.
#[inline(always)]
fn own_frame() -> usize {
    let frame: usize;
    #[cfg(miri)]
    {
        frame = 0;
    }
    // SAFETY: reads a register.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    unsafe {
        std::arch::asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags));
    }
    // SAFETY: as above.
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    unsafe {
        std::arch::asm!("mov {}, x29", out(reg) frame, options(nomem, nostack, preserves_flags));
    }
    frame
}

/// Is this the program's allocator?
pub(crate) fn is_installed() -> bool {
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    *INSTALLED.get_or_init(|| {
        SESSION.store(PROBE, Ordering::Relaxed);
        drop(black_box(Box::new(black_box(0_u8))));
        SESSION.store(0, Ordering::Relaxed);
        THREAD.with(|thread| thread.probed.get())
    })
}

/// Begins to sample, one byte in so many; `locate` says who allocates. By one at a time.
pub(crate) fn turn_on(every: u64, locate: Locate) {
    static LATEST: AtomicU32 = AtomicU32::new(0);
    let latest = LATEST.load(Ordering::Relaxed);
    let session = (latest % (PROBE - 1)) + 1;
    LATEST.store(session, Ordering::Relaxed);
    let queue = QUEUE.get_or_init(|| Queue::new(locate));
    queue.begin(session);
    EVERY.store(every, Ordering::Relaxed);
    COST.store(0, Ordering::Relaxed);
    SESSION.store(session, Ordering::Release);
}

/// Samples no more.
pub(crate) fn turn_off() {
    SESSION.store(0, Ordering::Relaxed);
}

/// Calls with each sample of the latest session that has come. By one thread at a time.
pub(crate) fn drain(visit: impl FnMut(Sample<'_>)) {
    if let Some(queue) = QUEUE.get() {
        queue.drain(visit);
    }
}

/// Is a thread about to leave another sample?
pub(crate) fn is_written() -> bool {
    QUEUE.get().is_some_and(Queue::is_written)
}

/// Samples of the latest session for which there was no room, and nanoseconds that taking samples took.
pub(crate) fn figures() -> (u64, u64) {
    let lost = QUEUE.get().map_or(0, Queue::lost);
    (lost, cycles::scale().nanos(COST.load(Ordering::Relaxed)))
}

/// Runs `body`, whose allocations on this thread nobody shall see.
pub(crate) fn unseen<R>(body: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            THREAD.with(|thread| thread.unseen.set(self.0));
        }
    }
    let _restore = Restore(THREAD.with(|thread| thread.unseen.replace(true)));
    body()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::context::ticker::Place;

    /// Notes what comes to it.
    struct Spy;

    thread_local! {
        static CALLS: RefCell<Vec<(&'static str, usize)>> = const { RefCell::new(Vec::new()) };
    }

    fn called(what: &'static str, size: usize) {
        CALLS.with_borrow_mut(|calls| calls.push((what, size)));
    }

    // SAFETY: all memory is the system's.
    unsafe impl GlobalAlloc for Spy {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            called("alloc", layout.size());
            // SAFETY: by the caller's promise.
            unsafe { System.alloc(layout) }
        }
        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            called("alloc_zeroed", layout.size());
            // SAFETY: by the caller's promise.
            unsafe { System.alloc_zeroed(layout) }
        }
        unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
            called("realloc", new_size);
            // SAFETY: by the caller's promise.
            unsafe { System.realloc(block, layout, new_size) }
        }
        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            called("dealloc", layout.size());
            // SAFETY: by the caller's promise.
            unsafe { System.dealloc(block, layout) }
        }
    }

    /// A life of a block.
    fn live(allocator: &impl GlobalAlloc, size: usize) {
        let layout = |size| Layout::from_size_align(size, 8).unwrap();
        // SAFETY: each block is given back once, with the layout that it has by then.
        unsafe {
            let first = allocator.alloc(layout(size));
            let grown = allocator.realloc(first, layout(size), 3 * size);
            let shrunk = allocator.realloc(grown, layout(3 * size), 8);
            allocator.dealloc(shrunk, layout(8));
            let zeroed = allocator.alloc_zeroed(layout(size));
            assert!((0..size).all(|at| *zeroed.add(at) == 0));
            allocator.dealloc(zeroed, layout(size));
        }
    }

    #[test]
    fn every_call_is_handed_on_and_what_is_wanted_is_noted() {
        const SIZE: usize = 4_000;
        let here = || Place {
            coroutine: 77,
            tag: 5,
            stack: 0..0,
        };
        let allocator = Allocator::new(Spy);
        let expected = [
            ("alloc", SIZE),
            ("realloc", 3 * SIZE),
            ("realloc", 8),
            ("dealloc", 8),
            ("alloc_zeroed", SIZE),
            ("dealloc", SIZE),
        ];
        let calls = || CALLS.take();
        live(&allocator, SIZE);
        assert_eq!(calls(), expected);
        // Nearly every byte: one of so many is missed once in more years than there are.
        turn_on(1, here);
        live(&allocator, SIZE);
        unseen(|| live(&allocator, SIZE));
        turn_off();
        live(&allocator, SIZE);
        assert_eq!(calls(), [expected; 3].concat());
        let mut sizes = Vec::new();
        drain(|sample| {
            assert_eq!((sample.coroutine, sample.tag), (77, 5));
            assert!(cfg!(miri) || !sample.frames.is_empty());
            sizes.push(sample.size as usize);
        });
        assert_eq!(sizes, [SIZE, 2 * SIZE, SIZE]);
        assert!(!is_written());
        assert_eq!(figures().0, 0);
        // This is not the allocator of the tests.
        assert!(!is_installed());
    }
}
