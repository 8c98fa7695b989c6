//! Who sits at the backdoor, whatever they came by: how many there may be at once, and what the log says of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::journal;
use crate::transport::Visitor;

/// The seats of a backdoor.
pub(crate) struct Seats {
    most: usize,
    sitting: Sitting,
    numbers: AtomicU64,
}

/// The numbers of the sessions, and who they are.
type Sitting = Arc<Mutex<BTreeMap<u64, Visitor>>>;

impl Seats {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            sitting: Arc::default(),
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

    /// A seat for as long as it is held; `None` if all are taken. The log tells of its beginning and its end.
    pub(crate) fn take(&self, number: u64, visitor: &Visitor) -> Option<Seat> {
        let mut sitting = lock(&self.sitting);
        if sitting.len() >= self.most {
            return None;
        }
        // Told while nobody else can: whoever has left came before.
        journal::info(format!(
            "console session {number}: attached: {visitor}, may {}",
            visitor.rights
        ));
        sitting.insert(number, visitor.clone());
        Some(Seat {
            number,
            sitting: Arc::clone(&self.sitting),
        })
    }

    /// The backdoor closes. Its sessions end some time later, when nobody may be there any more to tell of it.
    pub(crate) fn close(&self) {
        for (number, visitor) in std::mem::take(&mut *lock(&self.sitting)) {
            journal::info(format!(
                "console session {number}: closed with the backdoor: {visitor}"
            ));
        }
    }
}

fn lock(sitting: &Sitting) -> MutexGuard<'_, BTreeMap<u64, Visitor>> {
    sitting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One session's seat.
pub(crate) struct Seat {
    number: u64,
    sitting: Sitting,
}

impl Drop for Seat {
    /// Also runs when the session is killed.
    fn drop(&mut self) {
        let number = self.number;
        if let Some(visitor) = lock(&self.sitting).remove(&number) {
            journal::info(format!("console session {number}: left: {visitor}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rights::Rights;

    #[test]
    fn a_seat_that_is_left_is_free_again() {
        let visitor = Visitor {
            name: "ann".to_owned(),
            from: "tcp".to_owned(),
            rights: Rights::observe(),
        };
        let seats = Seats::new(2);
        let take = || seats.take(seats.next_number(), &visitor);
        let (first, second) = (take(), take());
        assert!(first.is_some() && second.is_some() && take().is_none());
        drop(first);
        let third = take();
        assert!(third.is_some() && take().is_none());
        assert_eq!(seats.next_number(), 6);
        // Who is told of already is not told of again.
        seats.close();
        assert!(lock(&seats.sitting).is_empty());
        drop((second, third));
    }
}
