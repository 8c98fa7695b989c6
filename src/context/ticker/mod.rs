//! A signal every so many nanoseconds while a thread runs; what it ran then goes into a ring.
//!
//! ```text
//!   the thread that is sampled                            who collects
//!   ──────────────────────────                            ────────────
//!   its timer fires: SIGPROF ▶ handler:
//!     processor time since the sample before, whose it is,
//!     the frames of the stack that it interrupted
//!     ──▶ ring (or, if that is full, counted as lost) ──▶ Ring::drain
//! ```
//!
//! The handler allocates nothing, takes no lock and makes no system calls but to read the thread's clock and, seldom, to set
//! its timer, so it may interrupt the allocator or a foreign library. It runs on the thread's signal stack, with `SA_RESTART`.
//!
//! A timer on the thread's processor time would be looked at by most kernels only at their tick, 250 times a second, and while
//! others want the processor less often. So the timer counts real time, and a sample stands for the processor time since the
//! one before, by the thread's own clock.
//!
//! A thread that sleeps is not sampled: what it used before belongs to the next sample of what runs. For that to be right on
//! average, what runs must be as likely to be met at its end as at its beginning, however the program's own timers go. So
//! ticks come at random, as decays of atoms do: when the next one comes has nothing to do with when the timer was set. Left
//! out is what it costs to fall asleep and to be woken, which is spread over the rest.
//!
//! One that hardly runs is asked less and less often, until it runs again.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::cycles;

#[cfg(target_os = "linux")]
mod chain;
#[cfg(target_os = "linux")]
mod system;
#[cfg(target_os = "linux")]
mod walk;

#[cfg(target_os = "linux")]
pub(crate) use chain::regain;
pub(super) use system::own_stack;
#[cfg(not(target_os = "linux"))]
pub(crate) use system::regain;
pub(crate) use system::{Timer, enlist, used};

/// Frames of a sample, at most: the innermost.
const FRAMES: usize = 192;
/// Words of a ring: at 1,000 samples a second and 60 frames each, those of a second.
const WORDS: usize = 1 << 16;
/// Words of a sample before its frames.
const HEAD: usize = 4;
/// How often the time between samples is doubled at most, of a thread that hardly runs.
const LAZY: u32 = 6;
/// It hardly runs if it uses less than this part of the time.
const HARDLY: u64 = 16;
/// Nanoseconds to the next tick, at least: the handler needs a few thousand itself.
const SOONEST: u64 = 1_000;

/// What a thread's handler writes and one other thread reads.
pub(crate) struct Ring {
    words: Box<[AtomicU64]>,
    /// Words written so far; the handler's.
    written: AtomicUsize,
    /// Words read so far; the reader's.
    read: AtomicUsize,
    lost: AtomicU64,
    /// Nanoseconds of processor time that the thread had used at its latest sample.
    used: AtomicU64,
    /// The same at its latest tick, of which those in its sleep are no samples.
    looked: AtomicU64,
    /// Nanoseconds of processor time spent in the handler.
    cost: AtomicU64,
    /// One more than the timer's number; 0: there is none.
    timer: AtomicUsize,
    /// Those that use that number at this moment: the handler, and maybe what it interrupted.
    users: AtomicU32,
    /// Nanoseconds between samples, on average.
    every: AtomicU64,
    /// How often that is doubled now.
    laziness: AtomicU32,
    /// Nanoseconds from the latest tick, or from when the thread was stirred, to the next tick.
    awaited: AtomicU64,
    /// Of the random numbers: never 0.
    chance: AtomicU64,
}

/// What ran when the signal came.
pub(crate) struct Sample<'a> {
    /// The coroutine's number; 0: none, but the worker's loop.
    pub(crate) coroutine: u64,
    /// What [`Place::tag`] was.
    pub(crate) tag: u64,
    /// Nanoseconds of processor time since the sample before.
    pub(crate) nanos: u64,
    /// Innermost first. Each but the first is where a call returns to, and so is the first plus 1.
    pub(crate) frames: &'a [u64],
}

/// What the handler asks of whoever schedules.
pub(crate) struct Place {
    /// The coroutine that runs on this thread, or 0.
    pub(crate) coroutine: u64,
    /// Whatever shall be kept with the sample.
    pub(crate) tag: u64,
    /// The coroutine's stack.
    pub(crate) stack: Range<usize>,
}

/// Tells what runs on the calling thread. It must be safe in a signal handler.
pub(crate) type Locate = fn() -> Place;

/// How far it is to the next of things that come at random, so far from each other on average: however far it was since the
/// one before, that says nothing. `chance` is never 0; the first of what this returns is for the next time. Safe in a signal
/// handler.
pub(super) fn distance(mut chance: u64, average: u64) -> (u64, u64) {
    // Marsaglia's xorshift.
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    // Above 0, at most 1.
    let uniform = ((chance >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    (chance, (-uniform.ln() * average as f64) as u64)
}

impl Ring {
    pub(crate) fn new() -> Self {
        Self {
            words: (0..WORDS).map(|_| AtomicU64::new(0)).collect(),
            written: AtomicUsize::new(0),
            read: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            used: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            cost: AtomicU64::new(0),
            timer: AtomicUsize::new(0),
            users: AtomicU32::new(0),
            every: AtomicU64::new(0),
            laziness: AtomicU32::new(0),
            awaited: AtomicU64::new(0),
            chance: AtomicU64::new(cycles::now() | 1),
        }
    }

    /// The thread, which calls this, has something to do again.
    #[inline]
    pub(crate) fn stir(&self) {
        if self.laziness.load(Ordering::Relaxed) > 0 {
            self.pace(0);
        }
    }

    /// A tick, at which the thread has used so much: when shall the next one come?
    fn look(&self, used: u64) {
        let ran = used.saturating_sub(self.looked.swap(used, Ordering::Relaxed));
        let hardly = ran < self.awaited.load(Ordering::Relaxed) / HARDLY;
        self.pace(match hardly {
            true => (self.laziness.load(Ordering::Relaxed) + 1).min(LAZY),
            false => 0,
        });
    }

    /// Sets the timer anew, for as often as is wanted or, if nothing runs, less often. On the thread itself. Safe in a signal
    /// handler.
    #[cold]
    fn pace(&self, laziness: u32) {
        self.users.fetch_add(1, Ordering::SeqCst);
        // Whoever takes the timer away does so before it looks for users.
        if let Some(timer) = self.timer.load(Ordering::SeqCst).checked_sub(1) {
            self.laziness.store(laziness, Ordering::Relaxed);
            let every = self.every.load(Ordering::Relaxed) << laziness;
            // If it fails, the timer goes on by itself.
            let _ = system::set(timer, self.draw(every), every);
        }
        self.users.fetch_sub(1, Ordering::SeqCst);
    }

    /// Nanoseconds to the next tick: so many on average, and as many more however long none has come.
    fn draw(&self, average: u64) -> u64 {
        // If a tick comes in between, the two draw the same.
        let (chance, nanos) = distance(self.chance.load(Ordering::Relaxed), average);
        self.chance.store(chance, Ordering::Relaxed);
        let nanos = nanos.max(SOONEST);
        self.awaited.store(nanos, Ordering::Relaxed);
        nanos
    }

    /// Begins anew: the thread has used so many nanoseconds. Nothing samples meanwhile.
    pub(crate) fn reset(&self, used: u64) {
        self.read
            .store(self.written.load(Ordering::Acquire), Ordering::Release);
        self.lost.store(0, Ordering::Relaxed);
        self.cost.store(0, Ordering::Relaxed);
        self.looked.store(used, Ordering::Relaxed);
        self.used.store(used, Ordering::Release);
    }

    /// Samples for which there was no room.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Nanoseconds of processor time spent in the handler.
    pub(crate) fn cost(&self) -> u64 {
        self.cost.load(Ordering::Relaxed)
    }

    /// For the handler.
    fn put(&self, place: &Place, nanos: u64, frames: &[u64]) {
        let (start, len) = (self.written.load(Ordering::Relaxed), HEAD + frames.len());
        let taken = start.wrapping_sub(self.read.load(Ordering::Acquire));
        if taken + len > self.words.len() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let head = [frames.len() as u64, place.coroutine, place.tag, nanos];
        for (offset, &word) in head.iter().chain(frames).enumerate() {
            let at = start.wrapping_add(offset) % self.words.len();
            self.words[at].store(word, Ordering::Relaxed);
        }
        self.written
            .store(start.wrapping_add(len), Ordering::Release);
    }

    /// Calls with each sample that has come, in order. By one thread at a time.
    pub(crate) fn drain(&self, mut visit: impl FnMut(Sample<'_>)) {
        let mut frames = Vec::with_capacity(FRAMES);
        let word = |at: usize| self.words[at % self.words.len()].load(Ordering::Relaxed);
        let end = self.written.load(Ordering::Acquire);
        let mut at = self.read.load(Ordering::Relaxed);
        while at != end {
            let [len, coroutine, tag, nanos] =
                std::array::from_fn(|offset| word(at.wrapping_add(offset)));
            let first = at.wrapping_add(HEAD);
            frames.clear();
            frames.extend((0..len as usize).map(|offset| word(first.wrapping_add(offset))));
            at = first.wrapping_add(len as usize);
            // Room for the handler at once.
            self.read.store(at, Ordering::Release);
            visit(Sample {
                coroutine,
                tag,
                nanos,
                frames: &frames,
            });
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::ops::Range;
    use std::sync::OnceLock;
    use std::sync::atomic::AtomicU64;

    use super::super::sample::Thread;
    use super::{Locate, Ring};

    pub(crate) struct Timer;

    impl Timer {
        pub(crate) fn start(
            _thread: Thread,
            _ring: &'static Ring,
            _every: u64,
        ) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    pub(crate) fn enlist(
        _ring: &'static OnceLock<Ring>,
        _asleep: &'static AtomicU64,
        _locate: Locate,
        body: impl FnOnce(),
    ) {
        body();
    }

    pub(crate) fn regain() -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn used(_thread: Thread) -> u64 {
        0
    }

    /// Not known.
    pub(in super::super) fn own_stack() -> Range<usize> {
        0..0
    }

    pub(super) fn set(_timer: usize, _delay: u64, _every: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
