//! A watcher's arm in a [`select!`](crate::select!).

use std::io;
use std::os::fd::OwnedFd;

use super::{Change, News, Queue, Watcher};
use crate::io::{Operation, OperationArm};

/// The next change.
pub struct Next<'a> {
    queue: &'a Queue,
    news: &'a mut News,
}

impl Watcher {
    /// For `select!`.
    #[doc(hidden)]
    pub fn __select_next(&mut self) -> OperationArm<'_, OwnedFd, Next<'_>> {
        let (queue, news) = (&self.queue, &mut self.news);
        OperationArm::new(Next { queue, news }, Some(queue.readiness()))
    }
}

impl Operation for Next<'_> {
    type Output = Change;

    fn attempt(&mut self) -> io::Result<()> {
        while self.news.is_empty() {
            let events = self.queue.try_take()?;
            self.news.note(self.queue, events);
        }
        Ok(())
    }

    fn finish(self) -> io::Result<Change> {
        self.news.next(self.queue)
    }
}
