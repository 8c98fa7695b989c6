//! How many sessions there may be at once, whatever they came by.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The seats of a backdoor.
pub(crate) struct Seats {
    most: usize,
    taken: Arc<AtomicUsize>,
    numbers: AtomicU64,
}

impl Seats {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            taken: Arc::default(),
            numbers: AtomicU64::new(0),
        }
    }

    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// A number for whoever has connected, from 1: that of the session, if it becomes one.
    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A seat for as long as it is held; `None` if all are taken.
    pub(crate) fn take(&self) -> Option<Seat> {
        let room = |taken| (taken < self.most).then_some(taken + 1);
        let order = Ordering::Relaxed;
        self.taken.fetch_update(order, order, room).ok()?;
        Some(Seat(Arc::clone(&self.taken)))
    }
}

/// One session's seat.
pub(crate) struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_that_is_left_is_free_again() {
        let seats = Seats::new(2);
        let (first, second) = (seats.take(), seats.take());
        assert!(first.is_some() && second.is_some() && seats.take().is_none());
        drop(first);
        assert!(seats.take().is_some());
        assert_eq!((seats.next_number(), seats.next_number()), (1, 2));
    }
}
