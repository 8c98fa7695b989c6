//! A meeting point: nobody goes on before all have come.

use super::wait_queue::{Ticket, WaitQueue, WaitStatistics};
use super::{address, refuse};
use crate::sched::wait::{self, Outcome, WaitKind};
use std::fmt;

/// Lets its parties go on only when all of them have arrived; then it can be used for the next meeting.
///
/// A party that is interrupted while it waits takes its arrival back, and the others go on waiting for it. If all
/// had arrived before, the meeting took place, and its interrupt is raised all the same. One that will never come
/// again says so with [`leave`](Self::leave), best in a destructor; else the others wait for ever.
///
/// ```
/// use grapeshot::sync::Barrier;
/// use std::sync::Arc;
///
/// grapeshot::run(|| {
///     let start = Arc::new(Barrier::new(3));
///     let boats: Vec<_> = (0..3)
///         .map(|_| {
///             let start = Arc::clone(&start);
///             grapeshot::spawn(move || start.wait().is_leader())
///         })
///         .collect();
///     let leads = boats.into_iter().map(|boat| boat.join().unwrap());
///     assert_eq!(leads.filter(|&leads| leads).count(), 1);
/// });
/// ```
pub struct Barrier {
    state: parking_lot::Mutex<State>,
}

/// Between two calls: fewer have arrived than there are parties.
struct State {
    parties: usize,
    /// Arrivals for the coming meeting that were not taken back.
    arrived: usize,
    /// Meetings that took place. Who finds it changed has met.
    meetings: u64,
    /// The number of a meeting that came about by a leaving: its first waiter to run leads.
    leaderless: Option<u64>,
    queue: WaitQueue<()>,
}

/// What [`Barrier::wait`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarrierWaitResult {
    leader: bool,
}

/// What a [`Barrier`] says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BarrierStatistics {
    /// How many must arrive.
    pub parties: usize,
    /// How many have, for the coming meeting.
    pub arrived: usize,
    /// Meetings that took place.
    pub meetings: u64,
    /// How much it has been waited for.
    pub wait: WaitStatistics,
}

impl Barrier {
    /// A barrier for so many parties. With 0 or 1, nobody ever waits.
    pub const fn new(parties: usize) -> Self {
        let state = State {
            parties,
            arrived: 0,
            meetings: 0,
            leaderless: None,
            queue: WaitQueue::new(),
        };
        Self {
            state: parking_lot::Mutex::new(state),
        }
    }

    /// Arrives, and waits until all have. One of those who meet is told that it leads: the last to arrive.
    /// **May suspend.**
    ///
    /// # Panics
    /// If it would have to wait and the caller is unwinding; see [`Mutex::lock`](super::Mutex::lock).
    #[track_caller]
    pub fn wait(&self) -> BarrierWaitResult {
        wait::check_interrupt();
        let mut state = self.state.lock();
        if state.arrived + 1 >= state.parties {
            state.meet();
            return BarrierWaitResult { leader: true };
        }
        let Ok((wait, waiter)) = wait::prepare(WaitKind::Barrier, address(self)) else {
            drop(state);
            refuse("Barrier::wait", "leave");
        };
        state.arrived += 1;
        let meeting = state.meetings;
        let ticket = state.queue.push(waiter, ());
        drop(state);
        match wait.suspend() {
            Outcome::Granted => BarrierWaitResult {
                leader: self.state.lock().take_lead(meeting),
            },
            Outcome::Interrupted(interrupt) => {
                self.state.lock().take_back(ticket, meeting);
                interrupt.raise()
            }
        }
    }

    /// One party fewer, for this meeting and all to come. If the others have arrived, they meet. Never suspends.
    ///
    /// # Panics
    /// If all parties have left already.
    #[track_caller]
    pub fn leave(&self) {
        let mut state = self.state.lock();
        let left = state.parties.checked_sub(1);
        state.parties = left.expect("more left than there were parties");
        if state.arrived > 0 && state.arrived >= state.parties {
            state.leaderless = Some(state.meetings);
            state.meet();
        }
    }

    /// Who is there, and how much it has been waited for.
    pub fn statistics(&self) -> BarrierStatistics {
        let state = self.state.lock();
        BarrierStatistics {
            parties: state.parties,
            arrived: state.arrived,
            meetings: state.meetings,
            wait: state.queue.statistics(),
        }
    }
}

impl BarrierWaitResult {
    /// Whether the caller is the one to do what must be done once a meeting.
    pub fn is_leader(&self) -> bool {
        self.leader
    }
}

impl State {
    /// Those whose wait was interrupted before count as well: they had arrived, and have not taken it back.
    fn meet(&mut self) {
        self.arrived = 0;
        self.meetings += 1;
        self.queue.grant_all();
    }

    fn take_lead(&mut self, meeting: u64) -> bool {
        self.leaderless.take_if(|led| *led == meeting).is_some()
    }

    fn take_back(&mut self, ticket: Ticket, meeting: u64) {
        self.queue.withdraw(ticket);
        if self.meetings == meeting {
            self.arrived -= 1;
        }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statistics = self.statistics();
        f.debug_struct("Barrier")
            .field("parties", &statistics.parties)
            .field("arrived", &statistics.arrived)
            .finish()
    }
}
