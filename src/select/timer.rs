//! The arm for a time.

use std::time::{Duration, Instant};

use super::sealed::Arm;
use crate::sched::wait::Waiter;
use crate::sched::worker;
use crate::time::wheel::TimerKey;

/// The time has come.
pub struct Timer {
    /// By [`worker::now`].
    deadline: u64,
    armed: Option<TimerKey>,
    chosen: bool,
}

/// In so long a time.
pub fn after(duration: Duration) -> Timer {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Timer {
        deadline: worker::now().saturating_add(nanos),
        armed: None,
        chosen: false,
    }
}

/// At a time; at once if it has passed.
pub fn at(time: Instant) -> Timer {
    after(time.saturating_duration_since(crate::time::now()))
}

impl Timer {
    /// Nothing comes of it but that; `None` if it was not chosen.
    pub fn into_output(self) -> Option<()> {
        self.chosen.then_some(())
    }
}

impl Arm for Timer {
    fn attempt(&mut self) -> bool {
        self.chosen = worker::now() >= self.deadline;
        self.chosen
    }

    fn enlist(&mut self, waiter: Waiter) -> bool {
        let now = worker::now();
        if now >= self.deadline {
            return false;
        }
        self.armed = crate::context::is_coroutine().then(|| {
            worker::with(|worker| {
                let worker = worker.expect("a coroutine has a worker");
                worker.arm_wake(self.deadline - now, waiter)
            })
        });
        true
    }

    fn complete(&mut self) -> bool {
        self.armed = None;
        self.chosen = true;
        true
    }

    fn withdraw(&mut self) {
        if let Some(timer) = self.armed.take() {
            worker::with(|worker| worker.map(|worker| worker.disarm(timer)));
        }
    }

    fn alarm(&self) -> Option<u64> {
        Some(self.deadline)
    }
}
