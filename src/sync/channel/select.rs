//! A channel's arms in a [`select!`](crate::select!).

use super::{Receiver, RecvError, SendError, Sender, Shared, TryRecvError, TrySendError};
use crate::sched::wait::Waiter;
use crate::select::sealed::Arm;
use crate::sync::wait_queue::Ticket;

/// Receiving.
pub struct RecvArm<'a, T> {
    shared: &'a Shared<T>,
    ticket: Option<Ticket>,
    output: Option<Result<T, RecvError>>,
}

/// Sending.
pub struct SendArm<'a, T> {
    shared: &'a Shared<T>,
    /// Ours while it is not in line.
    message: Option<T>,
    ticket: Option<Ticket>,
    output: Option<Result<(), SendError<T>>>,
}

impl<T> Receiver<T> {
    /// For `select!`.
    #[doc(hidden)]
    pub fn __select_recv(&self) -> RecvArm<'_, T> {
        RecvArm {
            shared: &self.0,
            ticket: None,
            output: None,
        }
    }
}

impl<T> Sender<T> {
    /// For `select!`.
    #[doc(hidden)]
    pub fn __select_send(&self, message: T) -> SendArm<'_, T> {
        SendArm {
            shared: &self.0,
            message: Some(message),
            ticket: None,
            output: None,
        }
    }
}

impl<T> RecvArm<'_, T> {
    /// What came of it; `None` if it was not chosen.
    pub fn into_output(self) -> Option<Result<T, RecvError>> {
        self.output
    }
}

impl<T> SendArm<'_, T> {
    /// What came of it; `None` if it was not chosen.
    pub fn into_output(self) -> Option<Result<(), SendError<T>>> {
        self.output
    }
}

impl<T> Arm for RecvArm<'_, T> {
    fn attempt(&mut self) -> bool {
        self.output = match self.shared.state.lock().try_recv() {
            Ok(message) => Some(Ok(message)),
            Err(TryRecvError::Disconnected) => Some(Err(RecvError::Disconnected)),
            Err(TryRecvError::Empty) => None,
        };
        self.output.is_some()
    }

    fn enlist(&mut self, waiter: Waiter) -> bool {
        let mut state = self.shared.state.lock();
        if state.can_recv() {
            return false;
        }
        self.ticket = Some(state.recv_queue.push(waiter, ()));
        true
    }

    fn complete(&mut self) -> bool {
        self.ticket = None;
        let message = self.shared.state.lock().take_promised();
        self.output = Some(message.ok_or(RecvError::Disconnected));
        true
    }

    fn withdraw(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.shared.state.lock().recv_queue.collect(ticket);
        }
    }
}

impl<T> Arm for SendArm<'_, T> {
    fn attempt(&mut self) -> bool {
        let Some(message) = self.message.take() else {
            return false;
        };
        match self.shared.state.lock().try_send(message) {
            Ok(()) => self.output = Some(Ok(())),
            Err(TrySendError::Disconnected(message)) => {
                self.output = Some(Err(SendError::Disconnected(message)));
            }
            Err(TrySendError::Full(message)) => self.message = Some(message),
        }
        self.output.is_some()
    }

    fn enlist(&mut self, waiter: Waiter) -> bool {
        let mut state = self.shared.state.lock();
        if state.can_send() {
            return false;
        }
        if let Some(message) = self.message.take() {
            self.ticket = Some(state.send_queue.push(waiter, message));
        }
        true
    }

    fn complete(&mut self) -> bool {
        let ticket = self.ticket.take().expect("granted, so it was in line");
        self.output = Some(match self.shared.state.lock().take_unsent(ticket) {
            None => Ok(()),
            Some(message) => Err(SendError::Disconnected(message)),
        });
        true
    }

    fn withdraw(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.message = self.shared.state.lock().send_queue.collect(ticket);
        }
    }
}
