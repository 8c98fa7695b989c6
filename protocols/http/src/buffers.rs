//! Buffers that connections read into, lent from one to the next.
//!
//! A connection has one only from a request's first byte to the end of its answer. So those that are idle need none, and
//! those that are not use the few that the processor has at hand.

use std::cell::RefCell;

/// The bytes of a buffer. A request's head nearly always fits.
pub(crate) const SIZE: usize = 4 << 10;
/// Buffers that a thread keeps for the next, at most.
const KEPT: usize = 64;

thread_local! {
    static FREE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of [`SIZE`] bytes: zeroes, or what somebody else received. Does not suspend.
pub(crate) fn take() -> Vec<u8> {
    let free = FREE.with(|free| free.borrow_mut().pop());
    free.unwrap_or_else(|| vec![0; SIZE])
}

/// Gives a buffer to whoever takes the next; one that has grown is freed. Does not suspend.
pub(crate) fn give_back(buffer: Vec<u8>) {
    if buffer.len() != SIZE {
        return;
    }
    FREE.with(|free| {
        let mut free = free.borrow_mut();
        if free.len() < KEPT {
            free.push(buffer);
        }
    });
}
