//! The latest messages, numbered, and how many receivers have yet to read each. Never waits: it lives under the
//! channel's lock.
//!
//! ```text
//!   number:   oldest            next - 1    next
//!             ├───┬───┬───┬───┬───┤
//!   unread:   │ 1 │ 1 │ 2 │ 2 │ 3 │           never falls from left to right: who has not read one has not
//!             └───┴───┴───┴───┴───┘           read those after it; so what all have read is a prefix
//! ```

use super::error::TryRecvError;
use crate::sync::wait_queue::{WaitQueue, WaitStatistics};
use std::collections::VecDeque;
use std::sync::Arc;

pub(super) struct Ring<T> {
    /// At most `capacity`, the last with the number `next - 1`. None has been read by all.
    slots: VecDeque<Slot<T>>,
    next: u64,
    capacity: usize,
    pub(super) senders: usize,
    receivers: usize,
    missed: u64,
    /// Receivers whose position is `next`.
    pub(super) queue: WaitQueue<()>,
}

pub(super) struct Slot<T> {
    message: Arc<T>,
    /// Receivers whose position is not beyond this slot. Never 0.
    unread: usize,
}

/// What a broadcast channel says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BroadcastStatistics {
    /// Messages that some receiver has yet to receive.
    pub len: usize,
    /// How many it can hold.
    pub capacity: usize,
    /// Live senders.
    pub senders: usize,
    /// Live receivers.
    pub receivers: usize,
    /// Messages that were ever sent.
    pub sent: u64,
    /// Messages that receivers were told that they missed, added up over all receivers.
    pub missed: u64,
    /// How much `recv` had to wait.
    pub recv: WaitStatistics,
}

impl<T> Ring<T> {
    /// A ring with one sender and one receiver.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            slots: VecDeque::new(),
            next: 0,
            capacity,
            senders: 1,
            receivers: 1,
            missed: 0,
            queue: WaitQueue::new(),
        }
    }

    pub(super) fn statistics(&self) -> BroadcastStatistics {
        BroadcastStatistics {
            len: self.slots.len(),
            capacity: self.capacity,
            senders: self.senders,
            receivers: self.receivers,
            sent: self.next,
            missed: self.missed,
            recv: self.queue.statistics(),
        }
    }

    /// How many receivers the message is for, and the one that it overwrites. Err: none; the message.
    pub(super) fn push(&mut self, message: Arc<T>) -> Result<(usize, Option<Arc<T>>), Arc<T>> {
        if self.receivers == 0 {
            return Err(message);
        }
        let full = self.slots.len() == self.capacity;
        let overwritten = if full { self.slots.pop_front() } else { None };
        self.slots.push_back(Slot {
            message,
            unread: self.receivers,
        });
        self.next += 1;
        self.queue.grant_all();
        Ok((self.receivers, overwritten.map(|slot| slot.message)))
    }

    /// Reads the message at `position` and moves that on. The last to read a message gets the only reference.
    pub(super) fn read(&mut self, position: &mut u64) -> Result<Arc<T>, TryRecvError> {
        let missed = self.oldest().saturating_sub(*position);
        if missed > 0 {
            *position += missed;
            self.missed += missed;
            return Err(TryRecvError::Lagged(missed));
        }
        let index = self.index(*position);
        let Some(slot) = self.slots.get_mut(index) else {
            return Err(if self.senders == 0 {
                TryRecvError::Disconnected
            } else {
                TryRecvError::Empty
            });
        };
        *position += 1;
        slot.unread -= 1;
        if slot.unread > 0 {
            return Ok(Arc::clone(&slot.message));
        }
        debug_assert_eq!(index, 0, "what all have read is a prefix");
        Ok(self.slots.pop_front().expect("it was just read").message)
    }

    /// Messages at and after `position` that are still there.
    pub(super) fn unread(&self, position: u64) -> usize {
        self.slots.len() - self.index(position)
    }

    /// One receiver more, of what is sent from now on: its position.
    pub(super) fn join(&mut self) -> u64 {
        self.receivers += 1;
        self.next
    }

    /// One receiver more, at the position of another.
    pub(super) fn join_at(&mut self, position: u64) {
        self.receivers += 1;
        let index = self.index(position);
        for slot in self.slots.range_mut(index..) {
            slot.unread += 1;
        }
    }

    /// One receiver fewer. What only it had yet to read comes back, to be dropped with the channel unlocked.
    pub(super) fn leave(&mut self, position: u64) -> Vec<Slot<T>> {
        self.receivers -= 1;
        let index = self.index(position);
        for slot in self.slots.range_mut(index..) {
            slot.unread -= 1;
        }
        let read_by_all = self.slots.partition_point(|slot| slot.unread == 0);
        self.slots.drain(..read_by_all).collect()
    }

    fn oldest(&self) -> u64 {
        self.next - self.slots.len() as u64
    }

    /// Where the message with this number is, or the first that is still there.
    fn index(&self, position: u64) -> usize {
        usize::try_from(position.saturating_sub(self.oldest())).expect("at most the capacity")
    }
}
