//! Channels: any number of senders, any number of receivers, each message received once.
//!
//! [`bounded`] channels hold so many messages, and a sender waits while they are full; with a capacity of 0 each
//! sender waits for its receiver. [`unbounded`] ones grow: for messages whose number something else bounds.
//! Messages are received in the order in which they were sent. Senders that wait, and receivers that wait, are
//! served in order of arrival.
//!
//! When all senders are gone, receivers get what is left and then an error. When all receivers are gone, `send`
//! gives the message back, and what was left is dropped.
//!
//! Senders and receivers can be cloned, shared and sent to any worker or plain thread.
//!
//! ```
//! use grapeshot::sync::channel;
//!
//! grapeshot::run(|| {
//!     let (orders, helm) = channel::bounded(4);
//!     grapeshot::spawn(move || {
//!         for degrees in [10, 20, 30] {
//!             orders.send(degrees).unwrap();
//!         }
//!     });
//!     assert_eq!(helm.iter().sum::<i32>(), 60);
//! });
//! ```

mod error;
mod iter;
mod select;
mod state;

pub use error::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};
pub use iter::{IntoIter, Iter, TryIter};
#[doc(hidden)]
pub use select::{RecvArm, SendArm};
pub use state::ChannelStatistics;

use super::address;
use crate::context::BiasedMutex;
use crate::sched::wait::{self, Outcome, WaitKind};
use state::State;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A channel that holds at most `capacity` messages. With 0, a message goes from hand to hand.
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    pair(Some(capacity))
}

/// A channel that holds any number of messages: `send` never waits.
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    pair(None)
}

fn pair<T>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
    let shared = Shared {
        bounded: capacity.is_some(),
        state: BiasedMutex::new(State::new(capacity)),
    };
    let shared = Arc::new(shared);
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

struct Shared<T> {
    bounded: bool,
    state: BiasedMutex<State<T>>,
}

/// The side of a channel that sends.
pub struct Sender<T>(Arc<Shared<T>>);

/// The side of a channel that receives.
pub struct Receiver<T>(Arc<Shared<T>>);

impl<T> Sender<T> {
    /// Sends a message; waits while a bounded channel is full. **May suspend** if the channel is bounded; on an
    /// unbounded one it never does, nor does it raise interrupts.
    ///
    /// If the wait is interrupted, nobody receives the message: it is dropped in the unwinding.
    ///
    /// # Errors
    /// `Disconnected` once all receivers are gone; `Refused` if it would have to wait while the caller is
    /// unwinding. Both give the message back.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        let shared = &*self.0;
        if shared.bounded {
            wait::check_interrupt();
        }
        let mut state = shared.state.lock();
        let message = match state.try_send(message) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Disconnected(message)) => {
                return Err(SendError::Disconnected(message));
            }
            Err(TrySendError::Full(message)) => message,
        };
        let Ok((wait, waiter)) = wait::prepare(WaitKind::ChannelSend, address(shared)) else {
            return Err(SendError::Refused(message));
        };
        let ticket = state.send_queue.push(waiter, message);
        drop(state);
        match wait.suspend() {
            Outcome::Granted => match shared.state.lock().take_unsent(ticket) {
                None => Ok(()),
                Some(message) => Err(SendError::Disconnected(message)),
            },
            Outcome::Interrupted(interrupt) => {
                let message = shared.state.lock().send_queue.withdraw(ticket);
                // With the channel unlocked: the message's destructor is the caller's code.
                drop(message);
                interrupt.raise()
            }
        }
    }

    /// Sends a message if that needs no wait.
    ///
    /// # Errors
    /// `Full`, or `Disconnected` once all receivers are gone. Both give the message back.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.0.state.lock().try_send(message)
    }

    /// Whether all receivers are gone.
    pub fn is_disconnected(&self) -> bool {
        self.0.state.lock().receivers == 0
    }
}

impl<T> Receiver<T> {
    /// Receives a message; waits until there is one. **May suspend.**
    ///
    /// # Errors
    /// `Disconnected` once the channel is empty and all senders are gone; `Refused` if it would have to wait while
    /// the caller is unwinding.
    pub fn recv(&self) -> Result<T, RecvError> {
        wait::check_interrupt();
        let shared = &*self.0;
        let mut state = shared.state.lock();
        match state.try_recv() {
            Ok(message) => return Ok(message),
            Err(TryRecvError::Disconnected) => return Err(RecvError::Disconnected),
            Err(TryRecvError::Empty) => {}
        }
        let Ok((wait, waiter)) = wait::prepare(WaitKind::ChannelRecv, address(shared)) else {
            return Err(RecvError::Refused);
        };
        let ticket = state.recv_queue.push(waiter, ());
        drop(state);
        match wait.suspend() {
            Outcome::Granted => shared
                .state
                .lock()
                .take_promised()
                .ok_or(RecvError::Disconnected),
            Outcome::Interrupted(interrupt) => {
                shared.state.lock().recv_queue.withdraw(ticket);
                interrupt.raise()
            }
        }
    }

    /// Receives a message; waits for it no longer than `timeout`. A message that is there is received even if
    /// `timeout` is zero. **May suspend.**
    ///
    /// # Errors
    /// `Timeout`, else as [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        wait::check_interrupt();
        match self.try_recv() {
            Ok(message) => return Ok(message),
            Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) => {}
        }
        match crate::with_timeout(timeout, || self.recv()) {
            Ok(received) => received.map_err(RecvTimeoutError::from),
            Err(crate::Elapsed { .. }) => Err(RecvTimeoutError::Timeout),
        }
    }

    /// Receives a message if there is one.
    ///
    /// # Errors
    /// `Empty`, or `Disconnected` once the channel is empty and all senders are gone.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.0.state.lock().try_recv()
    }

    /// Messages until all senders are gone, waiting for each. **May suspend** in `next`.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter(self)
    }

    /// The messages that are there. Never suspends.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter(self)
    }

    /// Whether all senders are gone. There may still be messages.
    pub fn is_disconnected(&self) -> bool {
        self.0.state.lock().senders == 0
    }
}

/// What both sides can ask.
macro_rules! common {
    ($side:ident, $count:ident) => {
        impl<T> $side<T> {
            /// Messages that wait to be received.
            pub fn len(&self) -> usize {
                self.0.state.lock().len()
            }

            /// Whether no message waits to be received.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// How many messages may wait; `None` if that is unbounded.
            pub fn capacity(&self) -> Option<usize> {
                self.0.state.lock().capacity()
            }

            /// What the channel holds, and how much it has been waited for.
            pub fn statistics(&self) -> ChannelStatistics {
                self.0.state.lock().statistics()
            }
        }

        impl<T> Clone for $side<T> {
            fn clone(&self) -> Self {
                self.0.state.lock().$count += 1;
                Self(Arc::clone(&self.0))
            }
        }

        impl<T> fmt::Debug for $side<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let statistics = self.statistics();
                f.debug_struct(stringify!($side))
                    .field("len", &statistics.len)
                    .field("capacity", &statistics.capacity)
                    .finish_non_exhaustive()
            }
        }
    };
}

common!(Sender, senders);
common!(Receiver, receivers);

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.state.lock().leave_sender();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let unreceived = self.0.state.lock().leave_receiver();
        // With the channel unlocked: a message's destructor is the caller's code, and may hold a sender.
        drop(unreceived);
    }
}
