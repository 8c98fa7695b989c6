//! A queue that can be looked into, jumped and emptied at once.

use super::wait_queue::{WaitQueue, WaitStatistics};
use super::{address, refuse};
use crate::sched::wait::{self, Outcome, WaitKind};
use std::collections::VecDeque;
use std::fmt;

/// An empty queue with room for more than this many items gives it back.
const KEEP: usize = 4096;

/// An unbounded queue. Beyond what a channel does: something can be put in front, all of it can be taken at once,
/// the next can be looked at; and it has no sides, so it never ends.
///
/// Those who wait are served in order of arrival, whether they want one or all. There is no cap: put in what
/// something else bounds, or use a [bounded channel](super::channel::bounded).
///
/// ```
/// use grapeshot::sync::Fifo;
/// use std::sync::Arc;
///
/// grapeshot::run(|| {
///     let orders = Arc::new(Fifo::new());
///     orders.push("east");
///     orders.push("south");
///     orders.push_front("stop");
///     let helm = grapeshot::spawn({
///         let orders = Arc::clone(&orders);
///         move || (orders.pop(), orders.pop_all())
///     });
///     let (first, rest) = helm.join().unwrap();
///     assert_eq!(first, "stop");
///     assert_eq!(rest, ["east", "south"]);
/// });
/// ```
pub struct Fifo<T> {
    state: parking_lot::Mutex<State<T>>,
}

/// Between two calls: while somebody waits, everything in `items` is promised.
struct State<T> {
    items: VecDeque<T>,
    /// How many of `items` are for those who were granted one and have yet to take it. They take whichever is
    /// first as they run.
    promised: usize,
    pushed: u64,
    queue: WaitQueue<()>,
}

/// What a [`Fifo`] says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FifoStatistics {
    /// Items that are there for anyone.
    pub len: usize,
    /// Items that were ever put in.
    pub pushed: u64,
    /// How much items have been waited for.
    pub wait: WaitStatistics,
}

impl<T> Fifo<T> {
    /// An empty queue.
    pub const fn new() -> Self {
        let state = State {
            items: VecDeque::new(),
            promised: 0,
            pushed: 0,
            queue: WaitQueue::new(),
        };
        Self {
            state: parking_lot::Mutex::new(state),
        }
    }

    /// Puts an item at the end. Never suspends.
    pub fn push(&self, item: T) {
        let mut state = self.state.lock();
        state.items.push_back(item);
        state.promise();
    }

    /// Puts an item before all others. Never suspends.
    pub fn push_front(&self, item: T) {
        let mut state = self.state.lock();
        state.items.push_front(item);
        state.promise();
    }

    /// Takes the first item; waits until there is one. **May suspend.**
    ///
    /// # Panics
    /// If it would have to wait and the caller is unwinding; see [`Mutex::lock`](super::Mutex::lock).
    #[track_caller]
    pub fn pop(&self) -> T {
        self.take("Fifo::pop", "try_pop", State::take_one)
    }

    /// Takes all that is there; waits until there is at least one item. **May suspend.**
    ///
    /// # Panics
    /// As [`pop`](Self::pop).
    #[track_caller]
    pub fn pop_all(&self) -> VecDeque<T> {
        self.take("Fifo::pop_all", "try_pop_all", State::take_all)
    }

    /// Takes the first item, if there is one.
    pub fn try_pop(&self) -> Option<T> {
        let mut state = self.state.lock();
        (state.len() > 0).then(|| state.take_one())
    }

    /// Takes all that is there, which may be nothing.
    pub fn try_pop_all(&self) -> VecDeque<T> {
        let mut state = self.state.lock();
        if state.len() == 0 {
            return VecDeque::new();
        }
        state.take_all()
    }

    /// The first item, which stays. Its `clone` runs with the queue locked: it must not use the queue, nor block.
    pub fn top(&self) -> Option<T>
    where
        T: Clone,
    {
        let state = self.state.lock();
        (state.len() > 0)
            .then(|| state.items.front().cloned())
            .flatten()
    }

    /// Items that are there for anyone: what was granted to those who waited does not count.
    pub fn len(&self) -> usize {
        self.state.lock().len()
    }

    /// Whether there is nothing for a newcomer.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is there, and how much it has been waited for.
    pub fn statistics(&self) -> FifoStatistics {
        let state = self.state.lock();
        FifoStatistics {
            len: state.len(),
            pushed: state.pushed,
            wait: state.queue.statistics(),
        }
    }

    /// Calls `take` when there is something for the caller.
    #[track_caller]
    fn take<R>(
        &self,
        call: &'static str,
        instead: &'static str,
        take: impl FnOnce(&mut State<T>) -> R,
    ) -> R {
        wait::check_interrupt();
        let mut state = self.state.lock();
        if state.len() > 0 {
            return take(&mut state);
        }
        let Ok((wait, waiter)) = wait::prepare(WaitKind::Fifo, address(self)) else {
            drop(state);
            refuse(call, instead);
        };
        let ticket = state.queue.push(waiter, ());
        drop(state);
        match wait.suspend() {
            Outcome::Granted => {
                let mut state = self.state.lock();
                state.promised -= 1;
                take(&mut state)
            }
            Outcome::Interrupted(interrupt) => {
                self.state.lock().queue.withdraw(ticket);
                interrupt.raise()
            }
        }
    }
}

impl<T> State<T> {
    fn len(&self) -> usize {
        self.items.len() - self.promised
    }

    /// An item has come: promises it to the first who waits.
    fn promise(&mut self) {
        self.pushed += 1;
        if self.queue.grant_first().is_some() {
            self.promised += 1;
        }
    }

    /// For those for whom there is one.
    fn take_one(&mut self) -> T {
        let item = self.items.pop_front().expect("there is an item");
        if self.items.is_empty() && self.items.capacity() > KEEP {
            self.items = VecDeque::new();
        }
        item
    }

    /// All but what is promised to others.
    fn take_all(&mut self) -> VecDeque<T> {
        let left = self.items.split_off(self.len());
        std::mem::replace(&mut self.items, left)
    }
}

impl<T> Default for Fifo<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Fifo<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statistics = self.statistics();
        f.debug_struct("Fifo")
            .field("len", &statistics.len)
            .field("waiting", &statistics.wait.waiting)
            .finish()
    }
}
