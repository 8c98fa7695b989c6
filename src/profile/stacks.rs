//! Stacks, each kept once, with what was spent there. Bounded: what does not fit is charged to no stack at all.

/// Entries with a stack, at most.
const MOST: usize = 1 << 14;
/// Places in the index at first.
const PLACES: usize = 1 << 10;

/// What was spent, and how often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Spent {
    pub(super) time: u64,
    pub(super) times: u64,
}

impl Spent {
    pub(super) fn add(&mut self, time: u64) {
        self.time += time;
        self.times += 1;
    }
}

/// What tells entries apart, but for the stack.
pub(super) type Key = (u32, u8);

pub(super) struct Entry {
    hash: u64,
    pub(super) key: Key,
    first: usize,
    len: usize,
    /// It waited.
    pub(super) waited: Spent,
    /// It was queued to run after that.
    pub(super) queued: Spent,
}

/// The entries.
pub(super) struct Stacks {
    /// One more than an entry's place, or 0. At most half full.
    index: Vec<u32>,
    entries: Vec<Entry>,
    frames: Vec<usize>,
    /// Stacks that there was no room for.
    pub(super) lost: u64,
}

impl Stacks {
    pub(super) fn new() -> Self {
        Self {
            index: vec![0; PLACES],
            entries: Vec::new(),
            frames: Vec::new(),
            lost: 0,
        }
    }

    /// The entry of that stack, made if need be.
    pub(super) fn entry(&mut self, key: Key, frames: &[usize]) -> &mut Entry {
        let at = match self.find(key, frames) {
            Ok(at) => at,
            Err(hash) if frames.is_empty() || self.entries.len() < MOST => {
                self.insert(hash, key, frames)
            }
            Err(_) => {
                self.lost += 1;
                let known = self.find(key, &[]);
                known.unwrap_or_else(|hash| self.insert(hash, key, &[]))
            }
        };
        &mut self.entries[at]
    }

    /// Where the entry is, or the hash that it has.
    fn find(&self, key: Key, frames: &[usize]) -> Result<usize, u64> {
        let hash = hash(key, frames);
        for place in places(hash, self.index.len()) {
            let Some(at) = (self.index[place] as usize).checked_sub(1) else {
                break;
            };
            let entry = &self.entries[at];
            if entry.hash == hash && entry.key == key && self.frames_of(entry) == frames {
                return Ok(at);
            }
        }
        Err(hash)
    }

    fn insert(&mut self, hash: u64, key: Key, frames: &[usize]) -> usize {
        let at = self.entries.len();
        self.entries.push(Entry {
            hash,
            key,
            first: self.frames.len(),
            len: frames.len(),
            waited: Spent::default(),
            queued: Spent::default(),
        });
        self.frames.extend(frames);
        if self.entries.len() * 2 > self.index.len() {
            self.index = vec![0; self.index.len() * 2];
            (0..=at).for_each(|at| self.note(at));
        } else {
            self.note(at);
        }
        at
    }

    /// Puts an entry into the index.
    fn note(&mut self, at: usize) {
        let mut places = places(self.entries[at].hash, self.index.len());
        let free = places.find(|&place| self.index[place] == 0);
        self.index[free.expect("it is half empty")] = at as u32 + 1;
    }

    pub(super) fn frames_of(&self, entry: &Entry) -> &[usize] {
        &self.frames[entry.first..entry.first + entry.len]
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// The places in an index of so many (a power of two) in which to look, in order.
fn places(hash: u64, count: usize) -> impl Iterator<Item = usize> {
    let first = hash as usize;
    (0..count).map(move |step| first.wrapping_add(step) & (count - 1))
}

fn hash(key: Key, frames: &[usize]) -> u64 {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    let first = mix(u64::from(key.0), u64::from(key.1));
    let frames = frames.iter().map(|&frame| frame as u64);
    let hash = frames.fold(first, mix);
    // The low bits of a product depend on low bits alone.
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stack_is_kept_once() {
        let mut stacks = Stacks::new();
        for round in 1..=3 {
            for group in 0..4 {
                for last in 0..100 {
                    let entry = stacks.entry((group, 7), &[1, 2, last]);
                    entry.waited.add(10);
                    assert_eq!(entry.waited.times, round);
                }
            }
        }
        assert_eq!(stacks.entries().len(), 400);
        assert_eq!(stacks.lost, 0);
    }

    #[test]
    fn what_does_not_fit_is_charged_without_a_stack() {
        let mut stacks = Stacks::new();
        for last in 0..MOST + 500 {
            stacks.entry((1, 2), &[last]).waited.add(1);
        }
        assert_eq!(stacks.lost, 500);
        let none = stacks.entry((1, 2), &[]).waited;
        assert_eq!(none.times, 500);
        let sum: u64 = stacks.entries().iter().map(|it| it.waited.time).sum();
        assert_eq!(sum, (MOST + 500) as u64);
    }
}
