//! A receiver's arm in a [`select!`](crate::select!).

use super::{Receiver, RecvError, TryRecvError};
use crate::sched::wait::Waiter;
use crate::select::sealed::Arm;
use crate::sync::wait_queue::Ticket;
use std::sync::Arc;

/// The value has changed.
pub struct ChangedArm<'a, T> {
    receiver: &'a mut Receiver<T>,
    ticket: Option<Ticket>,
    output: Option<Result<Arc<T>, RecvError>>,
}

impl<T> Receiver<T> {
    /// For `select!`.
    #[doc(hidden)]
    pub fn __select_changed(&mut self) -> ChangedArm<'_, T> {
        ChangedArm {
            receiver: self,
            ticket: None,
            output: None,
        }
    }
}

impl<T> ChangedArm<'_, T> {
    /// What came of it; `None` if it was not chosen.
    pub fn into_output(self) -> Option<Result<Arc<T>, RecvError>> {
        self.output
    }
}

impl<T> Arm for ChangedArm<'_, T> {
    fn attempt(&mut self) -> bool {
        self.output = match self.receiver.try_changed() {
            Ok(value) => Some(Ok(value)),
            Err(TryRecvError::Disconnected) => Some(Err(RecvError::Disconnected)),
            Err(TryRecvError::Empty) => None,
        };
        self.output.is_some()
    }

    fn enlist(&mut self, waiter: Waiter) -> bool {
        let mut state = self.receiver.state.lock();
        if state.version != self.receiver.seen || state.senders == 0 {
            return false;
        }
        self.ticket = Some(state.queue.push(waiter, ()));
        true
    }

    fn complete(&mut self) -> bool {
        self.ticket = None;
        // What has changed does not change back, and no sender comes again.
        self.attempt()
    }

    fn withdraw(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.receiver.state.lock().queue.collect(ticket);
        }
    }
}
