//! What a connection works with while there is something to do, lent from one to the next.
//!
//! A connection has it only from a request's first byte to the end of its answer. So those that are idle need none, and
//! those that are not use the few that the processor has at hand.

use std::cell::RefCell;

use crate::head::Span;

/// The bytes of an input buffer. A request's head nearly always fits.
pub(crate) const SIZE: usize = 4 << 10;
/// Buffers that a thread keeps for the next, at most.
const KEPT: usize = 64;
/// The longest output buffer that is kept.
const MOST: usize = 64 << 10;

thread_local! {
    static FREE: RefCell<Vec<Buffers>> = const { RefCell::new(Vec::new()) };
}

/// The memory of an exchange.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// [`SIZE`] bytes to begin with: zeroes, or what somebody else received.
    pub(crate) input: Vec<u8>,
    /// Empty to begin with, as what follows.
    pub(crate) output: Vec<u8>,
    pub(crate) headers: Vec<(Span, Span)>,
}

/// Buffers for a request. Does not suspend.
pub(crate) fn take() -> Buffers {
    let free = FREE.with(|free| free.borrow_mut().pop());
    free.unwrap_or_else(|| Buffers {
        input: vec![0; SIZE],
        ..Buffers::default()
    })
}

/// Gives buffers to whoever takes the next; what has grown is freed. Does not suspend.
pub(crate) fn give_back(mut buffers: Buffers) {
    if buffers.input.len() != SIZE {
        return;
    }
    if buffers.output.capacity() > MOST {
        buffers.output = Vec::new();
    }
    buffers.output.clear();
    buffers.headers.clear();
    FREE.with(|free| {
        let mut free = free.borrow_mut();
        if free.len() < KEPT {
            free.push(buffers);
        }
    });
}
