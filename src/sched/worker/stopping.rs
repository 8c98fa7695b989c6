//! The end of a worker.

use std::sync::atomic::Ordering;

use super::super::join::JoinError;
use super::super::record::{self, CoroRef};
use super::Worker;

impl Worker {
    /// Interrupts every coroutine of this worker.
    pub(super) fn stop(&self) {
        self.stopping.set(true);
        // From now on new coroutines are interrupted before they start: their closures are dropped on their own stacks,
        // where destructors may block.
        while self.mine.unstarted.load(Ordering::Relaxed) > 0 {
            self.admit_unstarted();
        }
        let live: Vec<CoroRef> = {
            let table = self.mine.table.lock();
            table.live.iter().map(|(_, it)| it.clone()).collect()
        };
        for coroutine in live {
            coroutine.head.interrupted.store(true, Ordering::Relaxed);
            self.interrupt_wait(&coroutine);
        }
    }

    pub(super) fn has_stopped(&self) -> bool {
        if self.shared.abandoned.load(Ordering::Relaxed) {
            self.abandon();
            return true;
        }
        self.mine.live.load(Ordering::Relaxed) == 0
            && self.mine.unstarted.load(Ordering::Relaxed) == 0
            && !self.mine.has_mail()
    }

    /// Leaves what did not stop in time: its stack and what is on it are leaked, whoever joins it is told.
    fn abandon(&self) {
        let left: Vec<CoroRef> = {
            let table = self.mine.table.lock();
            table.live.iter().map(|(_, it)| it.clone()).collect()
        };
        for coroutine in left {
            // Suspended for ever: dropping it leaves the stack as it is.
            coroutine.head.own.get().context.replace(None);
            coroutine.discard(JoinError::Interrupted);
            record::publish(coroutine.clone(), coroutine);
        }
    }
}
