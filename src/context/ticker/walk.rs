//! From interrupted code to whoever called it.

use std::ffi::c_void;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::backtrace;
use super::super::sample::{Registers, innermost};

const WORD: usize = size_of::<usize>();

/// The part of the program that is its own code, not a library's of C.
static TEXT: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// Finds out where the program's own code is.
pub(super) fn note_text() {
    unsafe extern "C" fn visit(
        object: *mut libc::dl_phdr_info,
        _size: libc::size_t,
        _data: *mut c_void,
    ) -> libc::c_int {
        // SAFETY: the linker passes what it has of the first object, which is the program.
        let (object, parts) = unsafe {
            let object = &*object;
            let count = usize::from(object.dlpi_phnum);
            (object, std::slice::from_raw_parts(object.dlpi_phdr, count))
        };
        let code = |part: &&libc::Elf64_Phdr| {
            part.p_type == libc::PT_LOAD && part.p_flags & libc::PF_X != 0
        };
        if let Some(code) = parts.iter().find(code) {
            let start = object.dlpi_addr as usize + code.p_vaddr as usize;
            TEXT[0].store(start, Ordering::Relaxed);
            TEXT[1].store(start + code.p_memsz as usize, Ordering::Relaxed);
        }
        // No further object.
        1
    }
    // SAFETY: `visit` is of the type that is asked for and does not unwind.
    unsafe { libc::dl_iterate_phdr(Some(visit), ptr::null_mut()) };
}

/// Calls `keep` with the return addresses of the interrupted code.
///
/// Functions of C have no frames, so the chain of frame pointers begins at the caller of whoever called one: that one is
/// found by the first word on the stack that is a place in the program behind a call. Neither has a function of ours in its
/// first and last instructions.
///
/// # Safety
/// As for [`backtrace::follow`].
pub(super) unsafe fn walk(
    at: &Registers,
    live: Range<usize>,
    is_coroutine: bool,
    keep: &mut impl FnMut(usize) -> bool,
) {
    // SAFETY: by the caller's promise.
    let frame = unsafe {
        if cfg!(grapeshot_asan) {
            at.frame
        } else if is_program(at.code) {
            if let Some(caller) = caller_without_frame(at, &live) {
                keep(caller);
            }
            match is_coroutine {
                true => innermost(at.frame, &live),
                false => at.frame,
            }
        } else {
            caller_of_foreign(at, &live, is_coroutine, keep)
        }
    };
    // SAFETY: by the caller's promise.
    unsafe { backtrace::follow(frame, live, keep) };
}

/// Who called the function that is interrupted, if it has no frame yet or any more.
///
/// # Safety
/// As for [`backtrace::follow`].
#[cfg(target_arch = "x86_64")]
unsafe fn caller_without_frame(at: &Registers, live: &Range<usize>) -> Option<usize> {
    const PUSH: u8 = 0x55;
    const RETURN: u8 = 0xc3;
    /// mov rbp, rsp
    const SET: [u8; 3] = [0x48, 0x89, 0xe5];
    if !is_program(at.code.wrapping_sub(1)) || !is_program(at.code + SET.len()) {
        return None;
    }
    // SAFETY: the program's code.
    let byte = |offset: usize| unsafe { *((at.code - 1 + offset) as *const u8) };
    let place = match byte(1) {
        PUSH | RETURN => at.stack,
        _ if byte(0) == PUSH && [byte(1), byte(2), byte(3)] == SET => at.stack + WORD,
        _ => return None,
    };
    if !place.is_multiple_of(WORD) || !live.contains(&(place + WORD)) {
        return None;
    }
    // SAFETY: inside the stack, which the caller keeps.
    let caller = unsafe { *(place as *const usize) };
    (is_program(caller) && is_behind_call(caller)).then_some(caller)
}

/// There it is in a register, which may be stale.
#[cfg(target_arch = "aarch64")]
unsafe fn caller_without_frame(_at: &Registers, _live: &Range<usize>) -> Option<usize> {
    None
}

/// Keeps who called foreign code, and returns its frame.
///
/// # Safety
/// As for [`backtrace::follow`].
unsafe fn caller_of_foreign(
    at: &Registers,
    live: &Range<usize>,
    is_coroutine: bool,
    keep: &mut impl FnMut(usize) -> bool,
) -> usize {
    /// Words looked at.
    const WORDS: usize = 512;
    let words = (live.start.next_multiple_of(WORD)..live.end.saturating_sub(WORD))
        .step_by(WORD)
        .take(WORDS);
    // SAFETY: inside the stack, which the caller keeps.
    let word = |place: usize| unsafe { *(place as *const usize) };
    let returns = words
        .clone()
        .find(|&place| is_program(word(place)) && is_behind_call(word(place)));
    let Some(returns) = returns else {
        return match is_coroutine {
            // SAFETY: by the caller's promise.
            true => unsafe { innermost(at.frame, live) },
            false => at.frame,
        };
    };
    keep(word(returns));
    let is_frame = |frame: usize| {
        frame > returns
            && live.contains(&frame)
            // SAFETY: by the caller's promise.
            && (!is_coroutine || unsafe { backtrace::follow(frame, live.clone(), |_| true) })
    };
    // In the register still, or saved by the foreign code.
    let saved = words
        .take_while(|&place| place < returns)
        .map(word)
        .find(|&frame| is_frame(frame));
    match is_frame(at.frame) {
        true => at.frame,
        false => saved.unwrap_or(0),
    }
}

fn is_program(address: usize) -> bool {
    let [start, end] = TEXT.each_ref().map(|it| it.load(Ordering::Relaxed));
    (start..end).contains(&address)
}

/// Is the instruction before this address of the program a call?
#[cfg(target_arch = "x86_64")]
fn is_behind_call(address: usize) -> bool {
    if !is_program(address.wrapping_sub(7)) {
        return false;
    }
    // SAFETY: the program's code, of which 7 bytes before it are there.
    let byte = |back: usize| unsafe { *((address - back) as *const u8) };
    // call rel32; call of a register (ff d0 to ff d7); of memory with a displacement of 8 or 32 bits, or none.
    byte(5) == 0xe8
        || (byte(2) == 0xff && byte(1) & 0xf8 == 0xd0)
        || (byte(2) == 0xff && byte(1) & 0xf8 == 0x10)
        || (byte(3) == 0xff && byte(2) & 0xf8 == 0x50)
        || (byte(6) == 0xff && (byte(5) == 0x15 || byte(5) & 0xf8 == 0x90))
}

/// Is the instruction before this address of the program a call?
#[cfg(target_arch = "aarch64")]
fn is_behind_call(address: usize) -> bool {
    if address % 4 != 0 || !is_program(address.wrapping_sub(4)) {
        return false;
    }
    // SAFETY: the program's code.
    let instruction = unsafe { *((address - 4) as *const u32) };
    // bl; blr.
    instruction >> 26 == 0b10_0101 || instruction & 0xffff_fc1f == 0xd63f_0000
}
