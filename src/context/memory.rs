//! Reading memory of this process that others may write or unmap meanwhile: the kernel copies it, so nothing can fault, and
//! it is nobody's data race.

use std::ops::Range;

const WORD: usize = size_of::<usize>();

/// Copies what is at `address` until the first page that cannot be read. Returns how many bytes that was; 0 too where the
/// system has no such call, or forbids it.
#[cfg(target_os = "linux")]
pub(crate) fn read(address: usize, into: &mut [u8]) -> usize {
    let local = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    let remote = libc::iovec {
        iov_base: std::ptr::without_provenance_mut(address),
        iov_len: into.len(),
    };
    // SAFETY: the kernel writes into `into` only, and checks what it reads.
    let copied = unsafe {
        libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0)
    };
    usize::try_from(copied).unwrap_or(0)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn read(_address: usize, _into: &mut [u8]) -> usize {
    0
}

/// The word at `address`, if it can be read.
pub(crate) fn word(address: usize) -> Option<usize> {
    let mut bytes = [0; WORD];
    (read(address, &mut bytes) == WORD).then(|| usize::from_ne_bytes(bytes))
}

/// Calls `visit` with each word of `range` and the one behind it (0 behind the last), lowest first, for as long as it
/// returns true.
pub(crate) fn words(range: Range<usize>, mut visit: impl FnMut(usize, usize) -> bool) {
    const CHUNK: usize = 4096;
    let mut at = range.start.next_multiple_of(WORD);
    let mut previous = None;
    let mut bytes = [0; CHUNK];
    while at < range.end {
        let wanted = (range.end - at).min(CHUNK);
        let copied = read(at, &mut bytes[..wanted]) / WORD * WORD;
        for word in bytes[..copied].chunks_exact(WORD) {
            let word = usize::from_ne_bytes(word.try_into().expect("a chunk is a word"));
            if previous.is_some_and(|previous| !visit(previous, word)) {
                return;
            }
            previous = Some(word);
        }
        if copied == 0 {
            break;
        }
        at += copied;
    }
    if let Some(last) = previous {
        visit(last, 0);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_seen_with_its_neighbour() {
        for len in [0, 1, 2, 511, 512, 513, 2_000] {
            let memory: Vec<usize> = (1..=len).collect();
            let start = memory.as_ptr() as usize;
            let mut seen = Vec::new();
            words(start..start + len * WORD, |word, next| {
                seen.push((word, next));
                true
            });
            let expected: Vec<_> = (1..=len)
                .map(|word| (word, if word == len { 0 } else { word + 1 }))
                .collect();
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn what_is_not_mapped_is_no_fault() {
        assert_eq!(word(WORD), None);
        words(WORD..1 << 20, |_, _| panic!("there is nothing"));
        let known = 7_usize;
        assert_eq!(word(&raw const known as usize), Some(7));
    }
}
