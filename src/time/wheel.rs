//! The timers of one worker: a hierarchical timer wheel. Performs no I/O, reads no clock: `now` is an argument.
//!
//! Times are nanoseconds since a base that the owner chooses. They are filed by their *tick* (131 µs), written as
//! eight digits of six bits each. An entry lies in the level of the highest digit in which its tick differs from
//! the wheel's present tick, in the slot which that digit names:
//!
//! ```text
//!             digit 7                     digit 2     digit 1     digit 0
//!   present   000000  ...                 000000      000101      001100
//!   A         000000  ...                 000000      000101      010001   level 0, slot 17
//!   B         000000  ...                 000000      001000      000011   level 1, slot  8
//!   C         000000  ...                 000001      000000      000000   level 2, slot  1
//! ```
//!
//! Three things follow, and everything below rests on them:
//!
//! 1. All of level 0 comes before all of level 1, and so on up: the earliest entries are in the lowest level that
//!    is occupied, in its first slot that is. Bitmaps find both at once, so a jump over years costs no more than
//!    one over a tick.
//! 2. When the present reaches the start of a slot above level 0, each of its entries belongs to a lower level.
//!    An entry moves down at most seven times.
//! 3. Eight digits hold every tick of a 64-bit time: nothing is ever too far away to be filed.
//!
//! A tick decides only where an entry is filed; whether it fires is decided by its exact deadline, never early.

/// log2 of a tick's nanoseconds: fine enough that one slot stays short, coarse enough that level 1 is rarely
/// touched by sleeps of a few milliseconds.
const TICK_BITS: u32 = 17;
const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
/// Enough digits for the 47 bits that a tick of a `u64` time has.
const LEVELS: usize = (u64::BITS - TICK_BITS).div_ceil(DIGIT_BITS) as usize;
/// No entry: the end of a list.
const NONE: u32 = u32::MAX;
/// Below this many entries the memory of a past burst is not worth giving back.
const TRIM_FROM: usize = 1024;

/// Names one armed timer. A key is never used twice, so a late one does no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimerKey {
    index: u32,
    sequence: u64,
}

/// Timers of one worker; `T` is what to do when one fires.
pub(crate) struct Wheel<T> {
    /// Everything filed in a tick before this one has fired; of this tick, what was due.
    present: u64,
    /// Bit `l`: level `l` holds something.
    levels: u8,
    /// Bit `s` of word `l`: slot `s` of level `l` holds something.
    occupied: [u64; LEVELS],
    /// First entry of each slot's list.
    heads: [[u32; SLOTS]; LEVELS],
    entries: Vec<Entry<T>>,
    /// First of the free entries, linked by `next`.
    free: u32,
    len: usize,
    /// The sequence number last given out. Orders equal deadlines and makes keys unique.
    sequence: u64,
    /// The earliest deadline in level 0 and how many have it; a count of 0 means "look for it".
    nearest: (u64, u32),
    /// What is about to fire, for sorting. Empty between calls.
    due: Vec<Due>,
    /// Entries freed since the last look at how much memory is idle.
    freed: usize,
}

struct Entry<T> {
    deadline: u64,
    /// 0 while the entry is free.
    sequence: u64,
    prev: u32,
    next: u32,
    level: u8,
    slot: u8,
    item: Option<T>,
}

/// Sorts by deadline, then by order of insertion.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    deadline: u64,
    sequence: u64,
    index: u32,
}

impl<T> Wheel<T> {
    /// An empty wheel whose present is `now`.
    pub(crate) fn new(now: u64) -> Self {
        Self {
            present: now >> TICK_BITS,
            levels: 0,
            occupied: [0; LEVELS],
            heads: [[NONE; SLOTS]; LEVELS],
            entries: Vec::new(),
            free: NONE,
            len: 0,
            sequence: 0,
            nearest: (0, 0),
            due: Vec::new(),
            freed: 0,
        }
    }

    /// Armed timers.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Arms a timer. A deadline in the past fires at the next [`advance`](Self::advance).
    pub(crate) fn insert(&mut self, deadline: u64, item: T) -> TimerKey {
        self.sequence += 1;
        let sequence = self.sequence;
        let index = self.free;
        let index = if let Some(entry) = self.entries.get_mut(index as usize) {
            self.free = entry.next;
            entry.deadline = deadline;
            entry.sequence = sequence;
            entry.item = Some(item);
            index
        } else {
            self.push_entry(deadline, sequence, item)
        };
        self.len += 1;
        self.file(index, deadline);
        TimerKey { index, sequence }
    }

    /// Disarms a timer and gives its item back; `None` if it has fired or was disarmed before.
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let entry = self.entries.get(key.index as usize)?;
        if entry.sequence != key.sequence {
            return None;
        }
        if entry.level == 0 && entry.deadline == self.nearest.0 {
            self.nearest.1 = self.nearest.1.saturating_sub(1);
        }
        self.unlink(key.index);
        self.release(key.index)
    }

    /// Fires, in order of deadline and then of insertion, every timer whose deadline is `now` or earlier.
    /// `fire` must not panic. A `now` that goes back counts as no progress.
    pub(crate) fn advance(&mut self, now: u64, fire: &mut impl FnMut(T)) {
        let target = (now >> TICK_BITS).max(self.present);
        while let Some((level, slot, start)) = self.first_slot() {
            if start > target {
                break;
            }
            // Shifted so because the top level's slot may end beyond the last tick there is.
            let wholly_past =
                start >> (DIGIT_BITS * level as u32) < target >> (DIGIT_BITS * level as u32);
            self.present = self.present.max(start);
            let list = self.take_slot(level, slot);
            if wholly_past {
                self.fire_all(list, fire);
            } else if level > 0 {
                self.refile(list);
            } else {
                // The tick we are in: what is not due yet goes back where it was.
                self.fire_due(list, now, fire);
                break;
            }
        }
        self.present = target;
        if self.freed >= (self.entries.len() / 2).max(TRIM_FROM) {
            self.trim();
        }
    }

    /// Shows timers with their deadlines, those of earlier slots first, `most` at most; within a slot they have no order.
    pub(crate) fn show(&self, most: usize, show: &mut impl FnMut(u64, &T)) {
        let bits = |mask: u64| (0..u64::BITS as usize).filter(move |bit| mask >> bit & 1 == 1);
        let levels = bits(u64::from(self.levels));
        let slots =
            levels.flat_map(|level| bits(self.occupied[level]).map(move |slot| (level, slot)));
        let entries = slots.flat_map(|(level, slot)| {
            let entry = |index: u32| self.entries.get(index as usize);
            std::iter::successors(entry(self.heads[level][slot]), move |it| entry(it.next))
        });
        for entry in entries.take(most) {
            if let Some(item) = &entry.item {
                show(entry.deadline, item);
            }
        }
    }

    /// The earliest time at which `advance` has something to do: exact if that is in level 0 (within 8 ms),
    /// else a time not later than the earliest deadline and later than the last advance.
    pub(crate) fn next_deadline(&mut self) -> Option<u64> {
        let (level, slot, start) = self.first_slot()?;
        if level > 0 {
            return Some(start << TICK_BITS);
        }
        if self.nearest.1 == 0 {
            self.nearest = self.find_nearest(slot);
        }
        Some(self.nearest.0)
    }

    /// The earliest occupied slot: level, slot and the tick at which it starts.
    fn first_slot(&self) -> Option<(usize, usize, u64)> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros() as usize;
        let slot = self.occupied[level].trailing_zeros() as usize;
        let shift = DIGIT_BITS * level as u32;
        let above = self.present >> (shift + DIGIT_BITS) << DIGIT_BITS;
        Some((level, slot, (above | slot as u64) << shift))
    }

    /// The earliest deadline in a slot of level 0, and how many entries have it.
    fn find_nearest(&self, slot: usize) -> (u64, u32) {
        let mut nearest = (u64::MAX, 0);
        let mut index = self.heads[0][slot];
        while let Some(entry) = self.entries.get(index as usize) {
            if entry.deadline < nearest.0 {
                nearest = (entry.deadline, 1);
            } else if entry.deadline == nearest.0 {
                nearest.1 += 1;
            }
            index = entry.next;
        }
        nearest
    }

    /// Puts an entry into the slot where its deadline belongs at present.
    fn file(&mut self, index: u32, deadline: u64) {
        let tick = (deadline >> TICK_BITS).max(self.present);
        let differing = self.present ^ tick;
        let level = (differing | 1).ilog2() / DIGIT_BITS;
        let slot = (tick >> (level * DIGIT_BITS)) as usize % SLOTS;
        let level = level as usize;
        if level == 0 {
            self.note_nearest(deadline);
        }
        let next = std::mem::replace(&mut self.heads[level][slot], index);
        self.occupied[level] |= 1 << slot;
        self.levels |= 1 << level;
        if let Some(next) = self.entries.get_mut(next as usize) {
            next.prev = index;
        }
        let entry = &mut self.entries[index as usize];
        entry.prev = NONE;
        entry.next = next;
        entry.level = level as u8;
        entry.slot = slot as u8;
    }

    /// Keeps `nearest` right as an entry enters level 0.
    fn note_nearest(&mut self, deadline: u64) {
        let (nearest, count) = self.nearest;
        if self.levels & 1 == 0 || (count > 0 && deadline < nearest) {
            self.nearest = (deadline, 1);
        } else if count > 0 && deadline == nearest {
            self.nearest.1 = count + 1;
        }
    }

    /// Takes an entry out of its slot's list.
    fn unlink(&mut self, index: u32) {
        let Entry {
            prev,
            next,
            level,
            slot,
            ..
        } = self.entries[index as usize];
        if let Some(next) = self.entries.get_mut(next as usize) {
            next.prev = prev;
        }
        if let Some(prev) = self.entries.get_mut(prev as usize) {
            prev.next = next;
            return;
        }
        let (level, slot) = (usize::from(level), usize::from(slot));
        self.heads[level][slot] = next;
        if next == NONE {
            self.mark_empty(level, slot);
        }
    }

    /// Takes a whole slot's list, linked by `next`.
    fn take_slot(&mut self, level: usize, slot: usize) -> u32 {
        self.mark_empty(level, slot);
        if level == 0 {
            self.nearest.1 = 0;
        }
        std::mem::replace(&mut self.heads[level][slot], NONE)
    }

    fn mark_empty(&mut self, level: usize, slot: usize) {
        self.occupied[level] &= !(1 << slot);
        if self.occupied[level] == 0 {
            self.levels &= !(1 << level);
        }
    }

    /// Files a list of entries anew, after the present has reached the start of their slot.
    fn refile(&mut self, list: u32) {
        let mut index = list;
        while index != NONE {
            let Entry { next, deadline, .. } = self.entries[index as usize];
            self.file(index, deadline);
            index = next;
        }
    }

    fn fire_all(&mut self, list: u32, fire: &mut impl FnMut(T)) {
        let mut index = list;
        while index != NONE {
            index = self.collect(index);
        }
        self.fire_collected(fire);
    }

    fn fire_due(&mut self, list: u32, now: u64, fire: &mut impl FnMut(T)) {
        let mut index = list;
        while index != NONE {
            let Entry { next, deadline, .. } = self.entries[index as usize];
            if deadline <= now {
                self.collect(index);
            } else {
                self.file(index, deadline);
            }
            index = next;
        }
        self.fire_collected(fire);
    }

    /// Adds an unlinked entry to `due`; its successor in the list.
    fn collect(&mut self, index: u32) -> u32 {
        let Entry {
            deadline,
            sequence,
            next,
            ..
        } = self.entries[index as usize];
        self.due.push(Due {
            deadline,
            sequence,
            index,
        });
        next
    }

    fn fire_collected(&mut self, fire: &mut impl FnMut(T)) {
        let mut due = std::mem::take(&mut self.due);
        due.sort_unstable();
        for Due { index, .. } in due.drain(..) {
            if let Some(item) = self.release(index) {
                fire(item);
            }
        }
        self.due = due;
    }

    #[cold]
    fn push_entry(&mut self, deadline: u64, sequence: u64, item: T) -> u32 {
        let index = u32::try_from(self.entries.len())
            .ok()
            .filter(|&index| index != NONE);
        let index = index.expect("fewer than 2^32 - 1 timers of one worker");
        self.entries.push(Entry {
            deadline,
            sequence,
            prev: NONE,
            next: NONE,
            level: 0,
            slot: 0,
            item: Some(item),
        });
        index
    }

    /// Frees an unlinked entry.
    fn release(&mut self, index: u32) -> Option<T> {
        let entry = &mut self.entries[index as usize];
        entry.sequence = 0;
        entry.next = self.free;
        self.free = index;
        self.len -= 1;
        self.freed += 1;
        entry.item.take()
    }

    /// Gives the memory of a past burst back. Entries cannot move (keys name them), so what can go is the free
    /// tail; the free list is rebuilt with the lowest first, so that the tail frees itself as timers end. Runs
    /// only after half as many entries were freed as it has to look at: constant time for each of them.
    #[cold]
    fn trim(&mut self) {
        self.freed = 0;
        if self.entries.len() < TRIM_FROM || self.len > self.entries.len() / 8 {
            return;
        }
        let used = self
            .entries
            .iter()
            .rposition(|entry| entry.sequence != 0)
            .map_or(0, |last| last + 1);
        self.entries.truncate(used);
        self.entries.shrink_to(TRIM_FROM);
        self.due.shrink_to(TRIM_FROM);
        self.free = NONE;
        for index in (0..used).rev() {
            if self.entries[index].sequence == 0 {
                self.entries[index].next = self.free;
                self.free = index as u32;
            }
        }
    }
}

impl<T> std::fmt::Debug for Wheel<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wheel")
            .field("len", &self.len)
            .field("present_ns", &(self.present << TICK_BITS))
            .field("capacity", &self.entries.capacity())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const TICK: u64 = 1 << TICK_BITS;
    const YEAR: u64 = 365 * 24 * 3600 * 1_000_000_000;

    fn advance<T>(wheel: &mut Wheel<T>, now: u64) -> Vec<T> {
        let mut fired = Vec::new();
        wheel.advance(now, &mut |item| fired.push(item));
        fired
    }

    /// What the wheel must do, done slowly.
    #[derive(Default)]
    struct Model {
        timers: BTreeMap<(u64, usize), TimerKey>,
    }

    impl Model {
        fn advance(&mut self, now: u64) -> Vec<usize> {
            let later = self.timers.split_off(&(now, usize::MAX));
            std::mem::replace(&mut self.timers, later)
                .into_keys()
                .map(|(_, item)| item)
                .collect()
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// Arm this long after the present (or, half of the time, before it).
        Insert {
            after: u64,
            past: bool,
        },
        /// Arm with a deadline that was used before.
        InsertEqual(prop::sample::Index),
        /// Cancel one of all keys ever given out.
        Cancel(prop::sample::Index),
        Advance(u64),
        /// Advance to exactly what the wheel says, or to the instant before it.
        AdvanceToNext {
            minus: u64,
        },
    }

    /// Spans of every magnitude, so that each level sees entries.
    fn span() -> impl Strategy<Value = u64> {
        (0..63u32, any::<u64>()).prop_map(|(bits, noise)| noise & ((1 << bits) - 1))
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (span(), prop::bool::weighted(0.1)).prop_map(|(after, past)| Step::Insert { after, past }),
            2 => any::<prop::sample::Index>().prop_map(Step::InsertEqual),
            3 => any::<prop::sample::Index>().prop_map(Step::Cancel),
            2 => (0..10 * TICK).prop_map(Step::Advance),
            1 => span().prop_map(Step::Advance),
            4 => (0..2u64).prop_map(|minus| Step::AdvanceToNext { minus }),
        ]
    }

    const MOST_STEPS: usize = if cfg!(miri) { 30 } else { 200 };

    fn config() -> ProptestConfig {
        match cfg!(miri) {
            // Without a file of failures: Miri has no folders.
            true => ProptestConfig {
                cases: 2,
                failure_persistence: None,
                ..ProptestConfig::default()
            },
            false => ProptestConfig::with_cases(1_000),
        }
    }

    proptest! {
        #![proptest_config(config())]
        #[test]
        fn behaves_like_the_model(start in span(), steps in prop::collection::vec(step(), 1..MOST_STEPS)) {
            let mut now = start;
            let mut wheel = Wheel::new(now);
            let mut model = Model::default();
            let mut given: Vec<(u64, usize, TimerKey)> = Vec::new();
            let insert = |wheel: &mut Wheel<usize>, model: &mut Model, given: &mut Vec<_>, deadline| {
                let item = given.len();
                let key = wheel.insert(deadline, item);
                model.timers.insert((deadline, item), key);
                given.push((deadline, item, key));
            };
            for step in steps {
                match step {
                    Step::Insert { after, past: false } => {
                        insert(&mut wheel, &mut model, &mut given, now.saturating_add(after));
                    }
                    Step::Insert { after, past: true } => {
                        insert(&mut wheel, &mut model, &mut given, now.saturating_sub(after));
                    }
                    Step::InsertEqual(which) if !given.is_empty() => {
                        let deadline = given[which.index(given.len())].0;
                        insert(&mut wheel, &mut model, &mut given, deadline);
                    }
                    Step::Cancel(which) if !given.is_empty() => {
                        let (deadline, item, key) = given[which.index(given.len())];
                        let expected = model.timers.remove(&(deadline, item)).map(|_| item);
                        prop_assert_eq!(wheel.cancel(key), expected);
                    }
                    Step::Advance(by) => {
                        now = now.saturating_add(by);
                        prop_assert_eq!(advance(&mut wheel, now), model.advance(now));
                    }
                    Step::AdvanceToNext { minus } => {
                        if let Some(next) = wheel.next_deadline() {
                            now = now.max(next.saturating_sub(minus));
                            prop_assert_eq!(advance(&mut wheel, now), model.advance(now));
                        }
                    }
                    _ => {}
                }
                prop_assert_eq!(wheel.len(), model.timers.len());
                let earliest = model.timers.keys().next().map(|&(deadline, _)| deadline);
                let next = wheel.next_deadline();
                prop_assert_eq!(next.is_some(), earliest.is_some());
                if let (Some(next), Some(earliest)) = (next, earliest) {
                    prop_assert!(next <= earliest, "would sleep through {} until {}", earliest, next);
                    let same_block = earliest >> (TICK_BITS + DIGIT_BITS) <= now >> (TICK_BITS + DIGIT_BITS);
                    prop_assert!(!same_block || next == earliest, "level 0 is exact");
                    prop_assert!(next > now || earliest <= now, "an advance to `next` must make progress");
                }
            }
            prop_assert_eq!(advance(&mut wheel, u64::MAX), model.advance(u64::MAX));
            prop_assert_eq!(wheel.len(), 0);
        }
    }

    #[test]
    fn never_fires_early_within_a_tick() {
        let mut wheel = Wheel::new(0);
        wheel.insert(5 * TICK + 100, "late");
        wheel.insert(5 * TICK + 7, "early");
        assert!(advance(&mut wheel, 5 * TICK + 6).is_empty());
        assert_eq!(wheel.next_deadline(), Some(5 * TICK + 7));
        assert_eq!(advance(&mut wheel, 5 * TICK + 7), ["early"]);
        assert_eq!(wheel.next_deadline(), Some(5 * TICK + 100));
        assert!(advance(&mut wheel, 5 * TICK + 99).is_empty());
        assert_eq!(advance(&mut wheel, 5 * TICK + 100), ["late"]);
    }

    #[test]
    fn equal_deadlines_fire_in_order_of_insertion_through_every_level() {
        for exponent in 0..64 {
            let deadline = 1 << exponent;
            let mut wheel = Wheel::new(0);
            for item in 0..5 {
                wheel.insert(deadline, item);
            }
            // Walk down through the levels as a worker would, instead of one jump.
            let mut fired = Vec::new();
            while let Some(next) = wheel.next_deadline() {
                wheel.advance(next, &mut |item| fired.push(item));
            }
            assert_eq!(fired, [0, 1, 2, 3, 4], "deadline 2^{exponent}");
        }
    }

    #[test]
    fn a_jump_over_years_costs_no_more_than_its_timers() {
        const YEARS: u64 = if cfg!(miri) { 20 } else { 500 };
        let mut wheel = Wheel::new(0);
        for year in (1..=YEARS).rev() {
            wheel.insert(year * YEAR, year);
        }
        let mut steps = 0;
        let mut fired = Vec::new();
        while let Some(next) = wheel.next_deadline() {
            steps += 1;
            wheel.advance(next, &mut |year| fired.push(year));
        }
        assert_eq!(fired, (1..=YEARS).collect::<Vec<_>>());
        assert!(steps <= YEARS as usize * LEVELS, "{steps} advances");
    }

    #[test]
    fn a_stale_key_cancels_nothing() {
        let mut wheel = Wheel::new(0);
        let first = wheel.insert(10, 'a');
        assert_eq!(wheel.cancel(first), Some('a'));
        let second = wheel.insert(10, 'b');
        assert_eq!(first.index, second.index, "the entry is used again");
        assert_eq!(wheel.cancel(first), None);
        assert_eq!(advance(&mut wheel, 10), ['b']);
        assert_eq!(wheel.cancel(second), None);
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes there")]
    fn memory_of_a_burst_is_given_back() {
        const BURST: u64 = 100_000;
        let mut wheel = Wheel::new(0);
        let keys: Vec<_> = (0..BURST)
            .map(|n| wheel.insert(1_000_000_000 + n, n))
            .collect();
        // One in the middle stays: entries below it cannot go, those above can.
        for (n, &key) in keys.iter().enumerate().filter(|&(n, _)| n != 2_000) {
            assert_eq!(wheel.cancel(key), Some(n as u64));
        }
        advance(&mut wheel, 1);
        assert_eq!(wheel.len(), 1);
        assert!(
            wheel.entries.capacity() <= 2_001,
            "{} left",
            wheel.entries.capacity()
        );
        assert_eq!(
            wheel.cancel(keys[99_999]),
            None,
            "a key beyond the end is stale, not a panic"
        );
        assert_eq!(advance(&mut wheel, YEAR), [2_000]);
    }
}
