//! Asking the processor to fetch memory that is needed soon.

/// Bytes that the processor fetches at once, on all that we run on.
const LINE: usize = 64;

/// Fetches the memory from `start` on, `len` bytes at most. It need not be mapped.
#[inline]
pub(crate) fn prefetch(start: usize, len: usize) {
    let mut line = start & !(LINE - 1);
    while line < start + len {
        fetch(line);
        line += LINE;
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn fetch(line: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a hint that reads nothing and never faults.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line as *const i8) };
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn fetch(line: usize) {
    // SAFETY: a hint that reads nothing and never faults.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) line, options(nostack, preserves_flags, readonly));
    }
}
