//! Where things are in the words of a stream, which are the same in memory and in a black box's file.
//!
//! ```text
//!   header │ sites │ labels │ notes │ ring of worker 0 │ … │ ring of worker n-1 │ ring of everybody else
//!                                     ring: head, high bits of the latest stamp │ events, 2 words each │ seats
//! ```
//!
//! A seat is of one coroutine: what it is called, and what it does, which is known so even when the events of a long wait
//! have been overwritten. The place in its worker's table of live coroutines says which one. Whoever came first keeps it until it
//! ends; with more coroutines than seats, some have none.
//!
//! ```text
//!   id │ site, length │ what, stamp │ object │ owner │ name
//! ```
//!
//! All words are in the machine's own order; the magic number tells whether that is the reader's too.

/// `GRAPEBOX`, and the version below it: other numbers are other formats.
pub(super) const MAGIC: u64 = u64::from_be_bytes(*b"GRAPEBOX");
pub(super) const VERSION: u64 = 1;

pub(super) const HEADER: usize = 64;
/// Words of the header.
pub(super) mod header {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const VERSION: usize = 1;
    pub(crate) const RINGS: usize = 2;
    pub(crate) const EVENTS: usize = 3;
    pub(crate) const SEATS: usize = 4;
    /// Nanoseconds a cycle, as a 32.32 fixed-point number.
    pub(crate) const SCALE: usize = 5;
    /// The stamp at the start.
    pub(crate) const BASE: usize = 6;
    /// Nanoseconds since 1970 at the start.
    pub(crate) const STARTED: usize = 7;
    pub(crate) const PROCESS: usize = 8;
    /// 1: the stamps are a simulation's nanoseconds.
    pub(crate) const VIRTUAL: usize = 9;
    /// Of all the words before; written last.
    pub(crate) const CHECK: usize = 10;
    /// The latest stamp at which somebody looked after the workers.
    pub(crate) const BEAT: usize = 11;
    /// 1: the runtime ended in peace.
    pub(crate) const ENDED: usize = 12;
    /// Notes written so far.
    pub(crate) const NOTES: usize = 13;
    /// Bytes of the program's name, and the name.
    pub(crate) const PROGRAM: usize = 16;
    pub(crate) const PROGRAM_WORDS: usize = 32;
}

/// A place in the source: its line, the length of the file's name, that name.
pub(super) const SITE: usize = 16;
pub(super) const SITES: usize = 1024;
/// A named thing: its address, its size, the length of its name, that name.
pub(super) const LABEL: usize = 16;
pub(super) const LABELS: usize = 256;
/// What was noticed of a coroutine: number, stamp, coroutine, length, text.
pub(super) const NOTE: usize = 512;
pub(super) const NOTES: usize = 16;
/// Words of a seat.
pub(super) const SEAT: usize = 16;
/// Which of them begins the name.
pub(super) const SEAT_NAME: usize = 5;
/// What a ring has before its events.
pub(super) const RING: usize = 8;

/// The sizes that are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// One a worker, and one more.
    pub(super) rings: usize,
    /// Events of each: a power of two.
    pub(super) events: usize,
    /// Seats of each: a power of two.
    pub(super) seats: usize,
}

pub(super) const FEWEST_EVENTS: usize = 256;
pub(super) const MOST_EVENTS: usize = 1 << 24;
const MOST_RINGS: usize = 1 << 12;

impl Layout {
    /// With room for `events` of each of `workers`.
    pub(super) fn of_events(workers: usize, events: usize) -> Self {
        let events = events.clamp(FEWEST_EVENTS, MOST_EVENTS).next_power_of_two();
        Self {
            rings: workers + 1,
            events,
            seats: (events / 16).clamp(64, 1 << 16),
        }
    }

    /// As large as fits into so many bytes; `None` if that is too little.
    pub(super) fn of_bytes(workers: usize, bytes: usize) -> Option<Self> {
        let fits = |layout: &Self| layout.words() * size_of::<u64>() <= bytes;
        let sizes = std::iter::successors(Some(MOST_EVENTS), |events| Some(events / 2));
        sizes
            .take_while(|events| *events >= FEWEST_EVENTS)
            .map(|events| Self::of_events(workers, events))
            .find(fits)
    }

    /// The smallest that there is, in bytes.
    pub(super) fn least_bytes(workers: usize) -> usize {
        Self::of_events(workers, 0).words() * size_of::<u64>()
    }

    /// What a file says, if it may be so.
    pub(super) fn read(words: &[u64]) -> Option<Self> {
        let size = |at: usize| usize::try_from(*words.get(at)?).ok();
        let layout = Self {
            rings: size(header::RINGS)?,
            events: size(header::EVENTS)?,
            seats: size(header::SEATS)?,
        };
        let is_sane = (2..=MOST_RINGS).contains(&layout.rings)
            && (FEWEST_EVENTS..=MOST_EVENTS).contains(&layout.events)
            && layout.events.is_power_of_two()
            && (64..=1 << 16).contains(&layout.seats)
            && layout.seats.is_power_of_two();
        (is_sane && layout.words() <= words.len()).then_some(layout)
    }

    fn ring_words(&self) -> usize {
        RING + 2 * self.events + SEAT * self.seats
    }

    pub(super) fn words(&self) -> usize {
        self.ring(self.rings)
    }

    pub(super) fn site(&self, number: usize) -> usize {
        HEADER + SITE * number
    }

    pub(super) fn label(&self, number: usize) -> usize {
        self.site(SITES) + LABEL * number
    }

    pub(super) fn note(&self, number: usize) -> usize {
        self.label(LABELS) + NOTE * number
    }

    pub(super) fn ring(&self, number: usize) -> usize {
        self.note(NOTES) + self.ring_words() * number
    }

    pub(super) fn events_of(&self, ring: usize) -> usize {
        self.ring(ring) + RING
    }

    pub(super) fn seat(&self, ring: usize, number: usize) -> usize {
        self.events_of(ring) + 2 * self.events + SEAT * number
    }
}

/// A number that another header has not.
pub(super) fn check(header: &[u64]) -> u64 {
    header[..header::CHECK]
        .iter()
        .fold(0xCBF2_9CE4_8422_2325, |sum: u64, word| {
            (sum ^ word)
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .rotate_left(29)
        })
}

/// Text as words, eight bytes each; it is cut where it does not fit, between two characters.
pub(super) fn pack(text: &str, into: &mut [u64]) -> usize {
    let mut len = text.len().min(into.len() * 8);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    let bytes = &text.as_bytes()[..len];
    for (word, chunk) in into.iter_mut().zip(bytes.chunks(8)) {
        let mut eight = [0; 8];
        eight[..chunk.len()].copy_from_slice(chunk);
        *word = u64::from_ne_bytes(eight);
    }
    len
}

/// What [`pack`] packed; of what is no text, as much as is.
pub(super) fn unpack(words: &[u64], len: u64) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let len = usize::try_from(len).unwrap_or(usize::MAX).min(bytes.len());
    String::from_utf8_lossy(&bytes[..len]).into_owned()
}
