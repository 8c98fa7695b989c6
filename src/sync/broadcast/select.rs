//! A receiver's arm in a [`select!`](crate::select!).

use super::{Receiver, RecvError, TryRecvError};
use crate::sched::wait::Waiter;
use crate::select::sealed::Arm;
use crate::sync::wait_queue::Ticket;
use std::sync::Arc;

/// Receiving.
pub struct RecvArm<'a, T> {
    receiver: &'a mut Receiver<T>,
    ticket: Option<Ticket>,
    output: Option<Result<Arc<T>, RecvError>>,
}

impl<T> Receiver<T> {
    /// For `select!`.
    #[doc(hidden)]
    pub fn __select_recv(&mut self) -> RecvArm<'_, T> {
        RecvArm {
            receiver: self,
            ticket: None,
            output: None,
        }
    }
}

impl<T: Clone> RecvArm<'_, T> {
    /// What came of it; `None` if it was not chosen.
    pub fn into_output(self) -> Option<Result<T, RecvError>> {
        // Only now: `clone` is the caller's code, and may suspend.
        Some(self.output?.map(Arc::unwrap_or_clone))
    }
}

impl<T> Arm for RecvArm<'_, T> {
    fn attempt(&mut self) -> bool {
        let Receiver { ring, position } = &mut *self.receiver;
        self.output = match ring.lock().read(position) {
            Ok(message) => Some(Ok(message)),
            Err(TryRecvError::Lagged(missed)) => Some(Err(RecvError::Lagged(missed))),
            Err(TryRecvError::Disconnected) => Some(Err(RecvError::Disconnected)),
            Err(TryRecvError::Empty) => None,
        };
        self.output.is_some()
    }

    fn enlist(&mut self, waiter: Waiter) -> bool {
        let mut ring = self.receiver.ring.lock();
        if ring.unread(self.receiver.position) > 0 || ring.senders == 0 {
            return false;
        }
        self.ticket = Some(ring.queue.push(waiter, ()));
        true
    }

    fn complete(&mut self) -> bool {
        self.ticket = None;
        // A message or the end has come, and nobody else reads at this receiver's position.
        self.attempt()
    }

    fn withdraw(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.receiver.ring.lock().queue.collect(ticket);
        }
    }
}
