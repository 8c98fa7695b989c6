//! Looking for words in all the memory that this process may write: heaps, statics, stacks of threads and coroutines.
//!
//! The kernel copies what is looked at, so nothing can fault and nobody is stopped. What others move meanwhile may be missed.

#[cfg(target_os = "linux")]
use std::fs::{self, File};
#[cfg(target_os = "linux")]
use std::os::unix::fs::FileExt;

#[cfg(target_os = "linux")]
use parking_lot::Mutex;

#[cfg(target_os = "linux")]
use crate::context::memory;

/// Address space that is looked through, at most: of what is reserved, most is not there.
#[cfg(target_os = "linux")]
const MOST_RESERVED: usize = 64 << 30;
/// Memory that is looked through, at most: it takes about half a second a GiB.
#[cfg(target_os = "linux")]
const MOST: usize = 2 << 30;
/// Places that are told, at most.
#[cfg(target_os = "linux")]
const PLACES: usize = 10_000;

#[cfg(target_os = "linux")]
const WORD: usize = size_of::<usize>();

/// A word that is looked for, with its bits turned, so that the search does not find itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hidden(usize);

impl Hidden {
    /// The word that is so much less than `number`.
    pub(super) fn below(number: usize, less: usize) -> Self {
        Self((!number).wrapping_add(less))
    }
}

/// Where any of those words is: their index, and an address. `None`: there is too much memory, or the system does not tell of
/// it. Blocks the thread for a second at most.
#[cfg(target_os = "linux")]
pub(super) fn search(words: &[Hidden]) -> Option<Vec<(usize, usize)>> {
    /// Pages that are asked about at once.
    const PAGES: usize = 8_192;
    /// Of a page's entry: it is in memory, or swapped out.
    const THERE: u64 = 0b11 << 62;
    /// What one search has read the other must not find.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock();
    let maps = writable(&fs::read_to_string("/proc/self/maps").ok()?);
    if maps.iter().map(|(start, end)| end - start).sum::<usize>() > MOST_RESERVED {
        return None;
    }
    let pagemap = File::open("/proc/self/pagemap").ok()?;
    let page = rustix::param::page_size();
    let mut entries = vec![0; PAGES * 8];
    let mut scan = Scan::new(words);
    for (start, end) in maps {
        let mut at = start;
        while at < end {
            let pages = ((end - at) / page).min(PAGES);
            let entries = &mut entries[..pages * 8];
            pagemap
                .read_exact_at(entries, (at / page * 8) as u64)
                .ok()?;
            let is_there = |entry: &[u8]| {
                u64::from_ne_bytes(entry.try_into().expect("of that size")) & THERE != 0
            };
            let mut run = at..at;
            for entry in entries.chunks_exact(8) {
                if is_there(entry) {
                    run.end += page;
                } else {
                    scan.look(run.start, run.end)?;
                    run = run.end + page..run.end + page;
                }
            }
            scan.look(run.start, run.end)?;
            at += pages * page;
        }
    }
    Some(std::mem::take(&mut scan.found))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn search(_words: &[Hidden]) -> Option<Vec<(usize, usize)>> {
    None
}

/// The parts of memory that nobody else shares and that may be written.
#[cfg(target_os = "linux")]
fn writable(maps: &str) -> Vec<(usize, usize)> {
    let part = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let rights = rest.split_once(' ')?.0;
        let (start, end) = range.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        let wanted = rights.starts_with("rw") && rights.ends_with('p');
        wanted.then_some((address(start)?, address(end)?))
    };
    maps.lines().filter_map(part).collect()
}

/// A search that is on.
#[cfg(target_os = "linux")]
struct Scan<'a> {
    words: &'a [Hidden],
    lowest: usize,
    span: usize,
    buffer: Vec<u8>,
    seen: usize,
    found: Vec<(usize, usize)>,
}

#[cfg(target_os = "linux")]
impl<'a> Scan<'a> {
    fn new(words: &'a [Hidden]) -> Self {
        let lowest = words.iter().map(|it| it.0).min().unwrap_or(0);
        let highest = words.iter().map(|it| it.0).max().unwrap_or(0);
        Self {
            words,
            lowest,
            span: highest - lowest,
            buffer: vec![0; 64 << 10],
            seen: 0,
            found: Vec::new(),
        }
    }

    /// `None`: it is too much.
    fn look(&mut self, start: usize, end: usize) -> Option<()> {
        self.seen += end - start;
        if self.seen > MOST || self.found.len() > PLACES {
            return None;
        }
        let own = self.buffer.as_ptr() as usize;
        let own = own..own + self.buffer.len();
        let mut at = start;
        while at < end {
            let len = (end - at).min(self.buffer.len());
            let copied = memory::read(at, &mut self.buffer[..len]) / WORD * WORD;
            if copied == 0 {
                break;
            }
            for (offset, word) in self.buffer[..copied].chunks_exact(WORD).enumerate() {
                let hidden = !usize::from_ne_bytes(word.try_into().expect("of that size"));
                if hidden.wrapping_sub(self.lowest) > self.span {
                    continue;
                }
                let place = at + offset * WORD;
                // What was just read is there a second time.
                if let Some(index) = self.words.iter().position(|it| it.0 == hidden)
                    && !own.contains(&place)
                {
                    self.found.push((index, place));
                }
            }
            at += copied;
        }
        Some(())
    }
}

#[cfg(target_os = "linux")]
impl Drop for Scan<'_> {
    fn drop(&mut self) {
        // The next search shall not find what this one read.
        self.buffer.fill(0);
        std::hint::black_box(&self.buffer);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    #[cfg(not(grapeshot_asan))]
    use std::hint::black_box;

    // The sanitizer reserves more address space than is searched.
    #[cfg(not(grapeshot_asan))]
    #[test]
    fn words_are_found_wherever_they_are_and_nowhere_else() {
        /// Nobody else has such a number, and neither has the program's text.
        fn number(which: usize) -> usize {
            black_box(0x5EED_0000_1234_5670_usize) ^ black_box(which * 0x0101_0000)
        }
        let words = [1, 2, 3].map(|which| Hidden::below(number(which) + 16, 16));
        let heap = Box::new(black_box(number(1)));
        let many = [black_box(number(2)); 3];
        let address = |it: &usize| std::ptr::from_ref(it) as usize;
        for _ in 0..3 {
            let found = search(&words).unwrap();
            let places = |index| {
                let its = found.iter().filter(move |it| it.0 == index);
                its.map(|it| it.1).collect::<Vec<_>>()
            };
            assert!(places(0).contains(&address(&heap)));
            assert!(many.iter().all(|it| places(1).contains(&address(it))));
            assert_eq!(places(2), [0; 0]);
        }
    }

    #[test]
    fn parts_that_are_shared_or_only_read_are_left_out() {
        let maps = "5500-5600 r-xp 0 fe:00 1 /srv/shop\n\
                    5600-5700 rw-p 0 fe:00 1 /srv/shop\n\
                    7000-7100 rw-s 0 00:05 7 /memfd:ring (deleted)\n\
                    7200-7300 rw-p 0 00:00 0 \n\
                    7300-7400 ---p 0 00:00 0 \n";
        assert_eq!(writable(maps), [(0x5600, 0x5700), (0x7200, 0x7300)]);
    }
}
