//! What a channel holds and who gets it. Never waits: it lives under the channel's lock.
//!
//! A message for a receiver that waits is *promised*: it goes into the buffer, and the receiver, as it runs, takes
//! whichever promised message is first. Promised messages do not count: not as full, not as there for others. So
//! a rendezvous channel is one of capacity 0, and no newcomer takes what was granted to somebody else.

use super::error::{TryRecvError, TrySendError};
use crate::registry::lints::QueueGrowth;
use crate::sync::wait_queue::{Ticket, WaitQueue, WaitStatistics};
use std::collections::VecDeque;

/// An empty buffer with room for more than this many messages is given back.
const KEEP: usize = 4096;

/// Between two calls: if receivers wait, every message in the buffer is promised; if senders wait, the channel is
/// full.
pub(super) struct State<T> {
    buffer: VecDeque<T>,
    /// How many in `buffer` are for receivers that were granted them and have yet to take them.
    promised: usize,
    /// `usize::MAX` if unbounded.
    capacity: usize,
    pub(super) senders: usize,
    pub(super) receivers: usize,
    /// Each with the message it wants to send.
    pub(super) send_queue: WaitQueue<T>,
    pub(super) recv_queue: WaitQueue<()>,
    sent: u64,
    /// Whether it only grows.
    growth: QueueGrowth,
}

/// What a channel says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelStatistics {
    /// Messages that wait to be received.
    pub len: usize,
    /// How many may; `None` if that is unbounded.
    pub capacity: Option<usize>,
    /// Live senders.
    pub senders: usize,
    /// Live receivers.
    pub receivers: usize,
    /// Messages that were ever sent.
    pub sent: u64,
    /// How much `send` had to wait.
    pub send: WaitStatistics,
    /// How much `recv` had to wait.
    pub recv: WaitStatistics,
}

impl<T> State<T> {
    /// A channel with one sender and one receiver.
    pub(super) fn new(capacity: Option<usize>) -> Self {
        Self {
            buffer: VecDeque::new(),
            promised: 0,
            capacity: capacity.unwrap_or(usize::MAX),
            senders: 1,
            receivers: 1,
            send_queue: WaitQueue::new(),
            recv_queue: WaitQueue::new(),
            sent: 0,
            growth: QueueGrowth::none(),
        }
    }

    /// Messages that are there for anyone.
    pub(super) fn len(&self) -> usize {
        self.buffer.len() - self.promised
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        (self.capacity != usize::MAX).then_some(self.capacity)
    }

    pub(super) fn statistics(&self) -> ChannelStatistics {
        ChannelStatistics {
            len: self.len(),
            capacity: self.capacity(),
            senders: self.senders,
            receivers: self.receivers,
            sent: self.sent,
            send: self.send_queue.statistics(),
            recv: self.recv_queue.statistics(),
        }
    }

    pub(super) fn try_send(&mut self, message: T) -> Result<(), TrySendError<T>> {
        if self.receivers == 0 {
            return Err(TrySendError::Disconnected(message));
        }
        if self.recv_queue.grant_first().is_some() {
            self.promised += 1;
        } else if self.len() >= self.capacity {
            return Err(TrySendError::Full(message));
        }
        self.accept(message);
        Ok(())
    }

    pub(super) fn try_recv(&mut self) -> Result<T, TryRecvError> {
        if self.len() > 0
            && let Some(message) = self.pop()
        {
            if self.len() < self.capacity
                && let Some(next) = self.send_queue.grant_first()
            {
                self.accept(next);
            }
            return Ok(message);
        }
        // Nothing is there and yet somebody waits to send: a rendezvous. By way of the buffer, because messages that
        // are promised but not yet taken were sent before this one, and any of them will do for those who wait.
        if let Some(next) = self.send_queue.grant_first() {
            self.accept(next);
            return self.pop().ok_or(TryRecvError::Empty);
        }
        Err(if self.senders == 0 {
            TryRecvError::Disconnected
        } else {
            TryRecvError::Empty
        })
    }

    /// Would [`try_recv`](Self::try_recv) give something? What the caller itself waits to send does not count.
    pub(super) fn can_recv(&self) -> bool {
        self.len() > 0 || self.senders == 0 || self.send_queue.has_others()
    }

    /// Would [`try_send`](Self::try_send) not have to wait? That the caller itself waits to receive does not count.
    pub(super) fn can_send(&self) -> bool {
        self.receivers == 0 || self.len() < self.capacity || self.recv_queue.has_others()
    }

    /// For a receiver whose wait was granted: a message, or `None` if it was granted because the senders are gone.
    /// Messages are promised to as many receivers, not each to a certain one; so one that was woken by the end may
    /// take what woke another, which then finds the end.
    pub(super) fn take_promised(&mut self) -> Option<T> {
        self.promised = self.promised.checked_sub(1)?;
        self.pop()
    }

    /// For a sender whose wait was granted: the message that nobody took, if it was granted because the receivers
    /// are gone.
    pub(super) fn take_unsent(&mut self, ticket: Ticket) -> Option<T> {
        self.send_queue.collect(ticket)
    }

    /// One sender fewer; the last one ends every `recv`.
    pub(super) fn leave_sender(&mut self) {
        self.senders -= 1;
        if self.senders == 0 {
            self.recv_queue.grant_all();
        }
    }

    /// One receiver fewer; the last one ends every `send` and leaves what nobody will receive, to be dropped with
    /// the channel unlocked.
    pub(super) fn leave_receiver(&mut self) -> VecDeque<T> {
        self.receivers -= 1;
        if self.receivers > 0 {
            return VecDeque::new();
        }
        debug_assert_eq!(
            self.promised, 0,
            "a receiver that was granted a message is still alive"
        );
        self.send_queue.dismiss_all();
        std::mem::take(&mut self.buffer)
    }

    fn accept(&mut self, message: T) {
        self.sent += 1;
        if self.buffer.len() == self.buffer.capacity() {
            self.grow();
        }
        self.buffer.push_back(message);
    }

    #[cold]
    fn grow(&mut self) {
        self.buffer.reserve(1);
        if self.capacity == usize::MAX {
            self.growth.grew(self.buffer.len());
        }
    }

    fn pop(&mut self) -> Option<T> {
        let message = self.buffer.pop_front();
        if self.buffer.is_empty() && self.buffer.capacity() > KEEP {
            self.buffer = VecDeque::new();
            self.growth = QueueGrowth::none();
        }
        message
    }
}
