//! Messages from many senders, each to every receiver.
//!
//! A channel holds the latest `capacity` messages and never makes a sender wait. A receiver that is slower than that
//! misses the oldest, is told how many ([`RecvError::Lagged`]), and goes on with the oldest that is left. So one slow
//! receiver costs neither the senders' time nor unbounded memory.
//!
//! A receiver gets what is sent from its making on. When all senders are gone, it gets what is left and then an error.
//! A message is dropped when its last receiver has had it.
//!
//! ```
//! use grapeshot::sync::broadcast::{self, RecvError};
//!
//! grapeshot::run(|| {
//!     let (signals, mut lookout) = broadcast::channel(2);
//!     let mut other = signals.subscribe();
//!     signals.send("sail").unwrap();
//!     assert_eq!(lookout.recv(), Ok("sail"));
//!     assert_eq!(other.recv(), Ok("sail"));
//!     for signal in ["rocks", "land", "port"] {
//!         signals.send(signal).unwrap();
//!     }
//!     assert_eq!(lookout.recv(), Err(RecvError::Lagged(1)));
//!     assert_eq!(lookout.recv(), Ok("land"));
//! });
//! ```

mod error;
mod ring;
mod select;

pub use error::{RecvError, SendError, TryRecvError};
pub use ring::BroadcastStatistics;
#[doc(hidden)]
pub use select::RecvArm;

use crate::sched::wait::{self, Outcome, WaitKind};
use parking_lot::Mutex;
use ring::Ring;
use std::fmt;
use std::sync::Arc;

/// A channel that holds the latest `capacity` messages. The memory for them is taken as it is needed.
///
/// # Panics
/// If `capacity` is 0.
#[track_caller]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a broadcast channel must hold a message");
    let ring = Arc::new(Mutex::new(Ring::new(capacity)));
    let receiver = Receiver {
        ring: Arc::clone(&ring),
        position: 0,
    };
    (Sender(ring), receiver)
}

/// The side of a broadcast channel that sends.
pub struct Sender<T>(Arc<Mutex<Ring<T>>>);

/// The side of a broadcast channel that receives. A clone goes on from the same message.
pub struct Receiver<T> {
    ring: Arc<Mutex<Ring<T>>>,
    /// The number of the message that it reads next.
    position: u64,
}

impl<T> Sender<T> {
    /// Sends a message to all receivers that there are now; returns how many. Never suspends.
    ///
    /// # Errors
    /// The message, if there is no receiver.
    pub fn send(&self, message: T) -> Result<usize, SendError<T>> {
        let message = Arc::new(message);
        let (receivers, overwritten) = match self.0.lock().push(message) {
            Ok(pushed) => pushed,
            Err(message) => {
                return Err(SendError(Arc::into_inner(message).expect("never shared")));
            }
        };
        // With the channel unlocked: a message's destructor is the caller's code.
        drop(overwritten);
        Ok(receivers)
    }

    /// One more receiver, of what is sent from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        let position = self.0.lock().join();
        Receiver {
            ring: Arc::clone(&self.0),
            position,
        }
    }

    /// What the channel holds, and how much it has been waited for.
    pub fn statistics(&self) -> BroadcastStatistics {
        self.0.lock().statistics()
    }
}

impl<T: Clone> Receiver<T> {
    /// Receives the next message; waits until there is one. **May suspend.**
    ///
    /// # Errors
    /// `Lagged` with the number of messages that were missed; the next call gets the oldest that is left.
    /// `Disconnected` when there is no message left and all senders are gone; `Refused` if it would have to wait
    /// while the caller is unwinding.
    pub fn recv(&mut self) -> Result<T, RecvError> {
        wait::check_interrupt();
        let mut ring = self.ring.lock();
        let read = match ring.read(&mut self.position) {
            Err(TryRecvError::Empty) => {
                let object = Arc::as_ptr(&self.ring).addr();
                let Ok((wait, waiter)) = wait::prepare(WaitKind::Broadcast, object) else {
                    return Err(RecvError::Refused);
                };
                let ticket = ring.queue.push(waiter, ());
                drop(ring);
                match wait.suspend() {
                    Outcome::Granted => self.ring.lock().read(&mut self.position),
                    Outcome::Interrupted(interrupt) => {
                        self.ring.lock().queue.withdraw(ticket);
                        interrupt.raise()
                    }
                }
            }
            read => {
                drop(ring);
                read
            }
        };
        match read {
            // With the channel unlocked: `clone` is the caller's code.
            Ok(message) => Ok(Arc::unwrap_or_clone(message)),
            Err(TryRecvError::Lagged(missed)) => Err(RecvError::Lagged(missed)),
            Err(TryRecvError::Disconnected) => Err(RecvError::Disconnected),
            Err(TryRecvError::Empty) => unreachable!("woken by a message or by the end"),
        }
    }

    /// Receives the next message, if there is one.
    ///
    /// # Errors
    /// `Empty`, else as [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let read = self.ring.lock().read(&mut self.position);
        read.map(Arc::unwrap_or_clone)
    }
}

impl<T> Receiver<T> {
    /// Messages that wait for this receiver, without those that it has missed.
    pub fn len(&self) -> usize {
        self.ring.lock().unread(self.position)
    }

    /// Whether no message waits for this receiver.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all senders are gone. There may still be messages.
    pub fn is_disconnected(&self) -> bool {
        self.ring.lock().senders == 0
    }

    /// What the channel holds, and how much it has been waited for.
    pub fn statistics(&self) -> BroadcastStatistics {
        self.ring.lock().statistics()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.ring.lock().join_at(self.position);
        Self {
            ring: Arc::clone(&self.ring),
            position: self.position,
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut ring = self.0.lock();
        ring.senders -= 1;
        if ring.senders == 0 {
            ring.queue.grant_all();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let unread = self.ring.lock().leave(self.position);
        // With the channel unlocked: a message's destructor is the caller's code.
        drop(unread);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statistics = self.statistics();
        f.debug_struct("Sender")
            .field("len", &statistics.len)
            .field("receivers", &statistics.receivers)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
