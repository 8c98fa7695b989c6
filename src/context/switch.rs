//! The switch: leaves the code on one stack and goes on with the code on another.
//!
//! It jumps both ways. A switch made of `call` and `ret` looks tidier, but the processor predicts returns from a stack of
//! its own, and suspended code that is some calls deep makes it guess wrongly at every one of them: measured, 22 ns for
//! a resume and a suspension instead of 4.
//!
//! ```text
//!   suspended stack (x86-64)          fresh stack
//!   ┌──────────────────────┐          ┌──────────────────────┐ base
//!   │ …                    │          │ 0: nobody called     │
//!   │ frame pointer        │          │ 0                    │
//!   │ rbx                  │          │ `start`              │
//!   │ where to go on       │ ◀ Left   │ `enter`              │ ◀ Left
//!   └──────────────────────┘          └──────────────────────┘
//! ```
//!
//! All other registers are declared as clobbered, so the compiler saves just those that it needs.

use std::arch::asm;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("grapeshot's context switch is written for x86-64 and AArch64");

/// Code that was left: the address of what it saved on its stack. 0 is nobody.
pub(super) type Left = usize;

/// Leaves the running code for that at `to`, handing over `word`. Returns when somebody switches back: who, and with
/// which word.
///
/// # Safety
/// `to` was left by a `switch` on this thread, or is [`fresh`], and nobody went on with it since; its stack is mapped.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn switch(to: Left, mut word: usize) -> (Left, usize) {
    let from;
    // SAFETY: by the caller's promise there is code to go on with at `to`. What the compiler may expect to find
    // unchanged afterwards is saved here or declared as clobbered.
    unsafe {
        asm!(
            "push rbp",
            "push rbx",
            "lea rax, [rip + 2f]",
            "push rax",
            "mov rsi, rsp",
            "mov rsp, rdx",
            "pop rax",
            "jmp rax",
            "2:",
            "pop rbx",
            "pop rbp",
            inlateout("rdi") word,
            lateout("rsi") from,
            in("rdx") to,
            lateout("r12") _, lateout("r13") _, lateout("r14") _, lateout("r15") _,
            clobber_abi("sysv64"),
        );
    }
    (from, word)
}

/// As on x86-64; `x19` and `x29` cannot be declared as clobbered.
///
/// # Safety
/// As on x86-64.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(super) unsafe fn switch(to: Left, mut word: usize) -> (Left, usize) {
    let from;
    // SAFETY: as on x86-64.
    unsafe {
        asm!(
            "adr x9, 2f",
            "stp x9, x19, [sp, #-32]!",
            "str x29, [sp, #16]",
            "mov x1, sp",
            "mov sp, x2",
            "ldr x9, [sp]",
            "br x9",
            "2:",
            "ldr x19, [sp, #8]",
            "ldr x29, [sp, #16]",
            "add sp, sp, #32",
            inlateout("x0") word,
            lateout("x1") from,
            in("x2") to,
            lateout("x20") _, lateout("x21") _, lateout("x22") _, lateout("x23") _, lateout("x24") _,
            lateout("x25") _, lateout("x26") _, lateout("x27") _, lateout("x28") _, lateout("x30") _,
            lateout("d8") _, lateout("d9") _, lateout("d10") _, lateout("d11") _,
            lateout("d12") _, lateout("d13") _, lateout("d14") _, lateout("d15") _,
            clobber_abi("C"),
        );
    }
    (from, word)
}

/// What a stack's first code is: it gets the word of the first switch, and who switched. It never returns.
pub(super) type Start = extern "C" fn(word: usize, from: Left) -> !;

/// Prepares the stack that ends at `base` for its first switch, which enters [`enter`] and so `start`.
///
/// # Safety
/// `base` is aligned to 16 bytes, and the 32 below it are writable and not in use.
pub(super) unsafe fn fresh(base: usize, start: Start) -> Left {
    let words = base as *mut usize;
    // SAFETY: all inside the 32 bytes that the caller vouches for.
    unsafe {
        // Backtraces end at a return address of 0.
        words.sub(1).write(0);
        words.sub(2).write(0);
        words.sub(3).write(start as *const () as usize);
        words.sub(4).write(enter as *const () as usize);
        words.sub(4) as Left
    }
}

/// The first instructions on a stack: they end the chain of frame pointers and enter the function that `fresh` left, with
/// the stack as after a call.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
extern "C" fn enter() {
    std::arch::naked_asm!("xor ebp, ebp", "pop rax", "add rsp, 8", "jmp rax")
}

/// As on x86-64, where the return address of 0 is on the stack and not in a register.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
extern "C" fn enter() {
    std::arch::naked_asm!("mov x29, #0", "mov x30, #0", "ldr x9, [sp, #8]", "br x9")
}

/// The innermost place in suspended code, and its frame pointer.
///
/// # Safety
/// `left` was left by a [`switch`], nobody went on with it since, and its stack is mapped.
pub(super) unsafe fn place(left: Left) -> (usize, usize) {
    let saved = left as *const usize;
    // SAFETY: these are words that `switch` saved.
    unsafe { (*saved, *saved.add(2)) }
}
