//! Choices that are left to chance, or to the seed.

use std::cell::Cell;

use super::with;
use crate::context::cycles;

/// A number below `count`, left to chance; in a simulation, to the seed.
pub(crate) fn random(count: usize) -> usize {
    thread_local! {
        static STATE: Cell<u64> = const { Cell::new(0) };
    }
    let step = |state: &Cell<u64>| {
        let x = xorshift(state.get());
        state.set(x);
        (x % count as u64) as usize
    };
    let simulated = with(|worker| worker.and_then(|worker| worker.shuffle.as_ref()).map(step));
    simulated.unwrap_or_else(|| {
        STATE.with(|state| {
            if state.get() == 0 {
                state.set(cycles::now() | 1);
            }
            step(state)
        })
    })
}

/// Enough randomness to visit every order.
pub(super) fn xorshift(mut x: u64) -> u64 {
    x ^= x << 13;
    x ^= x >> 7;
    x ^ x << 17
}
