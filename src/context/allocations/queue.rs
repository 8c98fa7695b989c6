//! Samples on their way from the threads that allocate to the one that collects.
//!
//! Slots in a ring, each with the number of its next turn (Vyukov's bounded queue). A writer claims a slot with one step, fills
//! it, and then says that it is full; so whoever is interrupted in between, for however long, keeps no other writer.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::super::ticker::{Locate, Place};

/// Words of a slot, with its turn: some of the processor's lines.
const WORDS: usize = 128;
/// Words of a sample before its frames.
const HEAD: usize = 4;
/// Frames of a sample, at most: the innermost.
pub(super) const FRAMES: usize = WORDS - HEAD - 1;
/// Samples that there is room for, 8 MiB of them: collected 50 times a second, those of 400,000 a second.
const SLOTS: usize = 8_192;

struct Slot {
    /// `n`: to be filled as the nth of all samples; `n + 1`: that one is in it.
    turn: AtomicUsize,
    words: [AtomicU64; WORDS - 1],
}

pub(super) struct Queue {
    slots: Box<[Slot]>,
    /// Samples claimed so far.
    claimed: AtomicUsize,
    /// Samples read so far; the reader's.
    read: AtomicUsize,
    lost: AtomicU64,
    /// The latest session.
    session: AtomicU32,
    locate: Locate,
}

/// An allocation that had the sampled byte in it.
pub(crate) struct Sample<'a> {
    /// The coroutine's number; 0: none.
    pub(crate) coroutine: u64,
    /// What [`Place::tag`] was.
    pub(crate) tag: u64,
    /// Bytes of the allocation, or by how many one grew.
    pub(crate) size: u64,
    /// Where calls return to, innermost first: the first few are the allocator's.
    pub(crate) frames: &'a [u64],
}

impl Queue {
    pub(super) fn new(locate: Locate) -> Self {
        let slot = |turn| Slot {
            turn: AtomicUsize::new(turn),
            words: [const { AtomicU64::new(0) }; WORDS - 1],
        };
        Self {
            slots: (0..SLOTS).map(slot).collect(),
            claimed: AtomicUsize::new(0),
            read: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            session: AtomicU32::new(0),
            locate,
        }
    }

    /// Forgets all that is in it; what is of another session than this one is not told from now on.
    pub(super) fn begin(&self, session: u32) {
        self.session.store(session, Ordering::Relaxed);
        self.lost.store(0, Ordering::Relaxed);
        self.drain(|_| {});
    }

    pub(super) fn locate(&self) -> Place {
        (self.locate)()
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Safe wherever an allocator is.
    pub(super) fn put(&self, session: u32, place: &Place, size: usize, frames: &[u64]) {
        let Some((slot, turn)) = self.claim() else {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        // Two small numbers share a word.
        let first = u64::from(session) << 32 | frames.len() as u64;
        let head = [first, place.coroutine, place.tag, size as u64];
        for (to, &word) in slot.words.iter().zip(head.iter().chain(frames)) {
            to.store(word, Ordering::Relaxed);
        }
        slot.turn.store(turn.wrapping_add(1), Ordering::Release);
    }

    /// A slot to fill, and its turn; `None` if all are full.
    fn claim(&self) -> Option<(&Slot, usize)> {
        let mut turn = self.claimed.load(Ordering::Relaxed);
        loop {
            let slot = &self.slots[turn % SLOTS];
            let now = slot.turn.load(Ordering::Acquire);
            if now == turn {
                let next = turn.wrapping_add(1);
                match self.claimed.compare_exchange_weak(
                    turn,
                    next,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => return Some((slot, turn)),
                    Err(other) => turn = other,
                }
            } else if now.wrapping_sub(turn) as isize <= 0 {
                return None;
            } else {
                turn = self.claimed.load(Ordering::Relaxed);
            }
        }
    }

    /// Calls with each sample of the session that has come. By one thread at a time.
    pub(super) fn drain(&self, mut visit: impl FnMut(Sample<'_>)) {
        let mut frames = Vec::with_capacity(FRAMES);
        let mut turn = self.read.load(Ordering::Relaxed);
        loop {
            let slot = &self.slots[turn % SLOTS];
            if slot.turn.load(Ordering::Acquire) != turn.wrapping_add(1) {
                break;
            }
            let word = |at: usize| slot.words[at].load(Ordering::Relaxed);
            let (first, coroutine, tag, size) = (word(0), word(1), word(2), word(3));
            frames.clear();
            frames.extend((0..first as u32 as usize).map(|offset| word(HEAD + offset)));
            // Room for a writer at once.
            slot.turn.store(turn.wrapping_add(SLOTS), Ordering::Release);
            turn = turn.wrapping_add(1);
            self.read.store(turn, Ordering::Relaxed);
            if (first >> 32) as u32 == self.session.load(Ordering::Relaxed) {
                visit(Sample {
                    coroutine,
                    tag,
                    size,
                    frames: &frames,
                });
            }
        }
    }

    /// Is some writer not done with the next one to be read?
    pub(super) fn is_written(&self) -> bool {
        self.read.load(Ordering::Relaxed) != self.claimed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn nowhere() -> Place {
        Place {
            coroutine: 0,
            tag: 0,
            stack: 0..0,
        }
    }

    fn of(coroutine: u64) -> Place {
        Place {
            coroutine,
            tag: coroutine * 3,
            stack: 0..0,
        }
    }

    #[test]
    fn what_is_put_comes_out_in_order_and_once() {
        let queue = Queue::new(nowhere);
        queue.begin(1);
        let rounds = if cfg!(miri) { 2 } else { 3 * SLOTS / 100 + 1 };
        for _ in 0..rounds {
            for number in 0..100 {
                queue.put(1, &of(number), 16, &[number, 1, 2]);
            }
            let mut expected = 0;
            queue.drain(|sample| {
                assert_eq!(
                    (sample.coroutine, sample.tag, sample.size),
                    (expected, expected * 3, 16)
                );
                assert_eq!(sample.frames, [expected, 1, 2]);
                expected += 1;
            });
            assert_eq!(expected, 100);
        }
        assert_eq!(queue.lost(), 0);
    }

    #[test]
    fn what_does_not_fit_is_counted_and_there_is_room_afterwards() {
        let queue = Queue::new(nowhere);
        queue.begin(1);
        for _ in 0..SLOTS + 7 {
            queue.put(1, &nowhere(), 1, &[]);
        }
        assert_eq!(queue.lost(), 7);
        let mut seen = 0;
        queue.drain(|_| seen += 1);
        assert_eq!(seen, SLOTS);
        assert!(!queue.is_written());
        queue.put(1, &nowhere(), 1, &[0; FRAMES]);
        queue.drain(|sample| assert_eq!(sample.frames.len(), FRAMES));
        assert_eq!(queue.lost(), 7);
    }

    #[test]
    fn what_is_left_of_a_session_is_not_of_the_next() {
        let queue = Queue::new(nowhere);
        queue.begin(1);
        queue.put(1, &of(1), 1, &[]);
        queue.begin(2);
        queue.put(1, &of(2), 1, &[]);
        queue.put(2, &of(3), 1, &[]);
        let mut seen = Vec::new();
        queue.drain(|sample| seen.push(sample.coroutine));
        assert_eq!(seen, [3]);
    }

    #[test]
    fn many_writers_and_a_reader_lose_nothing_but_what_they_count() {
        const EACH: u64 = if cfg!(miri) { 50 } else { 20_000 };
        let queue = Queue::new(nowhere);
        queue.begin(1);
        let (mut seen, mut latest) = (0, [0; 4]);
        let mut look = || {
            queue.drain(|sample| {
                seen += 1;
                let latest = &mut latest[sample.coroutine as usize];
                assert!(*latest < sample.size, "a writer's own come in order");
                *latest = sample.size;
                assert_eq!(sample.frames, [sample.size; 5]);
            });
        };
        thread::scope(|scope| {
            let write = |number: u64| {
                let queue = &queue;
                scope.spawn(move || {
                    for count in 1..=EACH {
                        queue.put(1, &of(number), count as usize, &[count; 5]);
                    }
                })
            };
            let writers = [0, 1, 2, 3].map(write);
            while !writers.iter().all(|it| it.is_finished()) {
                look();
            }
        });
        look();
        assert_eq!(seen + queue.lost(), 4 * EACH);
        assert!(seen >= SLOTS.min(EACH as usize) as u64);
    }
}
