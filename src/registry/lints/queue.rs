//! Unbounded channels that take more than they give.

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use super::{Hint, LintKind, Place};
use crate::context::cycles;
use crate::sched::current;
use crate::sched::record::CoroRef;

/// Messages that are many.
const MANY: usize = 1 << 14;
/// A burst is over by then.
const LONG: Duration = Duration::from_millis(250);

/// Since when a channel has held many messages: looked at when its buffer grows, which is once in a doubling.
pub(crate) struct QueueGrowth {
    /// Cycles; 0: they are not many.
    since: u64,
}

impl QueueGrowth {
    /// It has been emptied.
    pub(crate) const fn none() -> Self {
        Self { since: 0 }
    }

    /// There is no room for one more than these messages. The caller sends it, with the channel locked.
    pub(crate) fn grew(&mut self, messages: usize) {
        if messages < MANY {
            return;
        }
        let now = cycles::now();
        if self.since == 0 {
            self.since = now;
        }
        let lasts = Duration::from_nanos(cycles::scale().nanos(now.saturating_sub(self.since)));
        if lasts >= LONG {
            current::with(|sender| {
                let Some(sender) = sender else { return };
                sender.head.runtime.lints.hint(Hint {
                    kind: LintKind::QueueGrows,
                    coroutine: sender.clone(),
                    at: SystemTime::now(),
                    place: Place::Stack(own_stack(sender)),
                    what: format!(
                        "it sends the message after {messages} that wait in an unbounded channel, which has not been empty \
                         for {lasts:.1?} and grows"
                    ),
                });
            });
        }
    }
}

/// Where the caller is: its own thread says, with a signal to itself, and resolves nothing yet.
fn own_stack(caller: &CoroRef) -> Vec<usize> {
    let home = caller.head.home.load(Ordering::Relaxed) as usize;
    let worker = caller.head.runtime.workers.get(home);
    let thread = worker.and_then(|worker| worker.thread.get());
    let sampled = thread.and_then(|thread| thread.sample(caller.head.stack()));
    sampled.unwrap_or_default()
}
