//! The latest value of something, for many who look at it and wait for it to change.
//!
//! A receiver that is slow sees the latest value and none of those in between: for what *is*, a configuration or a
//! state, rather than for what *happens*.
//!
//! ```
//! use grapeshot::sync::watch;
//!
//! grapeshot::run(|| {
//!     let (helm, mut course) = watch::channel(90);
//!     let log = grapeshot::spawn(move || {
//!         let mut seen = vec![*course.latest()];
//!         while let Ok(degrees) = course.changed() {
//!             seen.push(*degrees);
//!         }
//!         seen
//!     });
//!     helm.send(180);
//!     helm.update(|degrees| degrees + 90);
//!     drop(helm);
//!     assert_eq!(log.join().unwrap().last(), Some(&270));
//! });
//! ```

mod select;

pub use super::channel::{RecvError, TryRecvError};
#[doc(hidden)]
pub use select::ChangedArm;

use super::wait_queue::{WaitQueue, WaitStatistics};
use crate::sched::wait::{self, Outcome, WaitKind};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;

/// A channel with a first value, which its receiver counts as seen.
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let state = State {
        value: Arc::new(value),
        version: 0,
        senders: 1,
        receivers: 1,
        queue: WaitQueue::new(),
    };
    let state = Arc::new(Mutex::new(state));
    let receiver = Receiver {
        state: Arc::clone(&state),
        seen: 0,
    };
    (Sender(state), receiver)
}

/// The side of a watch channel that sets the value.
pub struct Sender<T>(Arc<Mutex<State<T>>>);

/// The side of a watch channel that looks at it. A clone has seen what its original has.
pub struct Receiver<T> {
    state: Arc<Mutex<State<T>>>,
    /// The version of the value that was returned last.
    seen: u64,
}

struct State<T> {
    value: Arc<T>,
    /// Raised by each change.
    version: u64,
    senders: usize,
    receivers: usize,
    /// Receivers that have seen the latest.
    queue: WaitQueue<()>,
}

/// What a watch channel says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchStatistics {
    /// Live senders.
    pub senders: usize,
    /// Live receivers.
    pub receivers: usize,
    /// How often the value was changed.
    pub changes: u64,
    /// How much changes have been waited for.
    pub wait: WaitStatistics,
}

impl<T> Sender<T> {
    /// Sets the value, whether or not anybody looks at it; returns the one before. Never suspends.
    pub fn send(&self, value: T) -> Arc<T> {
        let value = Arc::new(value);
        self.0.lock().replace(value)
    }

    /// Makes the new value out of the old; returns the old. Never suspends.
    ///
    /// `change` runs with nothing locked. If another sender was faster, it is called again with the newer value.
    pub fn update(&self, mut change: impl FnMut(&T) -> T) -> Arc<T> {
        loop {
            let (old, version) = {
                let state = self.0.lock();
                (Arc::clone(&state.value), state.version)
            };
            let value = Arc::new(change(&old));
            let mut state = self.0.lock();
            if state.version == version {
                return state.replace(value);
            }
        }
    }

    /// The value.
    pub fn latest(&self) -> Arc<T> {
        Arc::clone(&self.0.lock().value)
    }

    /// One more receiver, which counts the present value as seen.
    pub fn subscribe(&self) -> Receiver<T> {
        let mut state = self.0.lock();
        state.receivers += 1;
        Receiver {
            state: Arc::clone(&self.0),
            seen: state.version,
        }
    }

    /// Who is there, and how much changes have been waited for.
    pub fn statistics(&self) -> WatchStatistics {
        self.0.lock().statistics()
    }
}

impl<T> Receiver<T> {
    /// The value, at once. It still counts as unseen if it was.
    pub fn latest(&self) -> Arc<T> {
        Arc::clone(&self.state.lock().value)
    }

    /// Whether there is a value that [`changed`](Self::changed) would return at once.
    pub fn has_changed(&self) -> bool {
        self.state.lock().version != self.seen
    }

    /// The latest value that this receiver has not seen; waits until there is one. **May suspend.**
    ///
    /// # Errors
    /// `Disconnected` if there is none and all senders are gone; `Refused` if it would have to wait while the caller
    /// is unwinding.
    pub fn changed(&mut self) -> Result<Arc<T>, RecvError> {
        wait::check_interrupt();
        let mut state = self.state.lock();
        match state.look(&mut self.seen) {
            Ok(value) => return Ok(value),
            Err(TryRecvError::Disconnected) => return Err(RecvError::Disconnected),
            Err(TryRecvError::Empty) => {}
        }
        let object = Arc::as_ptr(&self.state).addr();
        let Ok((wait, waiter)) = wait::prepare(WaitKind::Watch, object) else {
            return Err(RecvError::Refused);
        };
        let ticket = state.queue.push(waiter, ());
        drop(state);
        match wait.suspend() {
            // Woken by a change or by the end; and what has changed does not change back.
            Outcome::Granted => self.try_changed().map_err(|_| RecvError::Disconnected),
            Outcome::Interrupted(interrupt) => {
                self.state.lock().queue.withdraw(ticket);
                interrupt.raise()
            }
        }
    }

    /// The latest value, if this receiver has not seen it.
    ///
    /// # Errors
    /// `Empty`, or `Disconnected` if all senders are gone besides.
    pub fn try_changed(&mut self) -> Result<Arc<T>, TryRecvError> {
        self.state.lock().look(&mut self.seen)
    }

    /// The first value that `wanted` likes, beginning with the present one, seen or not. **May suspend.**
    ///
    /// # Errors
    /// As [`changed`](Self::changed).
    pub fn wait_for(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Result<Arc<T>, RecvError> {
        wait::check_interrupt();
        let mut value = {
            let state = self.state.lock();
            self.seen = state.version;
            Arc::clone(&state.value)
        };
        while !wanted(&value) {
            value = self.changed()?;
        }
        Ok(value)
    }

    /// Whether all senders are gone, so that the value is the last.
    pub fn is_disconnected(&self) -> bool {
        self.state.lock().senders == 0
    }

    /// Who is there, and how much changes have been waited for.
    pub fn statistics(&self) -> WatchStatistics {
        self.state.lock().statistics()
    }
}

impl<T> State<T> {
    fn replace(&mut self, value: Arc<T>) -> Arc<T> {
        self.version += 1;
        self.queue.grant_all();
        std::mem::replace(&mut self.value, value)
    }

    fn look(&self, seen: &mut u64) -> Result<Arc<T>, TryRecvError> {
        if self.version != *seen {
            *seen = self.version;
            return Ok(Arc::clone(&self.value));
        }
        Err(if self.senders == 0 {
            TryRecvError::Disconnected
        } else {
            TryRecvError::Empty
        })
    }

    fn statistics(&self) -> WatchStatistics {
        WatchStatistics {
            senders: self.senders,
            receivers: self.receivers,
            changes: self.version,
            wait: self.queue.statistics(),
        }
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
        self.state.lock().receivers += 1;
        Self {
            state: Arc::clone(&self.state),
            seen: self.seen,
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.senders -= 1;
        if state.senders == 0 {
            state.queue.grant_all();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.state.lock().receivers -= 1;
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&self.latest()).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receiver").field(&self.latest()).finish()
    }
}
