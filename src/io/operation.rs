//! The arm of a [`select!`](crate::select!) for what is more than the readiness of a descriptor, and is tried until it need
//! not wait.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use super::select::ReadinessArm;
use crate::sched::wait::Waiter;
use crate::select::sealed::Arm;
use crate::select::{Timer, after};

/// Between two looks, where nothing tells of what is waited for; it doubles up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(50);

/// What an [`OperationArm`] does.
pub trait Operation {
    /// What comes of it.
    type Output;
    /// Does all that must be done while nothing else is. [`WouldBlock`](io::ErrorKind::WouldBlock): it has done nothing, and
    /// would have to wait. Never suspends.
    fn attempt(&mut self) -> io::Result<()>;
    /// The rest, after an attempt that succeeded, when the choice has been made. **May suspend**, but not for what
    /// `attempt` would.
    fn finish(self) -> io::Result<Self::Output>;
}

/// Something has been done.
pub struct OperationArm<'a, T: AsFd, O> {
    operation: O,
    told_by: Herald<'a, T>,
    done: Option<io::Result<()>>,
}

/// What tells that an attempt may succeed.
enum Herald<'a, T: AsFd> {
    Readiness(ReadinessArm<'a, T>),
    Clock { timer: Timer, pause: Duration },
}

impl<'a, T: AsFd, O: Operation> OperationArm<'a, T, O> {
    /// One that may succeed when `readiness` says so, and not before; without that it is tried now and then.
    pub(crate) fn new(operation: O, readiness: Option<ReadinessArm<'a, T>>) -> Self {
        let told_by = readiness.map_or_else(|| Herald::after(SHORTEST), Herald::Readiness);
        Self {
            operation,
            told_by,
            done: None,
        }
    }

    /// What came of it; `None` if it was not chosen.
    pub fn into_output(self) -> Option<io::Result<O::Output>> {
        Some(self.done?.and_then(|()| self.operation.finish()))
    }
}

impl<T: AsFd> Herald<'_, T> {
    fn after(pause: Duration) -> Self {
        Self::Clock {
            timer: after(pause),
            pause,
        }
    }

    fn arm(&mut self) -> &mut dyn Arm {
        match self {
            Self::Readiness(readiness) => readiness,
            Self::Clock { timer, .. } => timer,
        }
    }
}

impl<T: AsFd, O: Operation> Arm for OperationArm<'_, T, O> {
    fn attempt(&mut self) -> bool {
        if self.done.is_none() {
            self.done = match self.operation.attempt() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                done => Some(done),
            };
        }
        self.done.is_some()
    }

    fn enlist(&mut self, waiter: Waiter) -> bool {
        let left = self.told_by.arm().enlist(waiter);
        match &mut self.told_by {
            _ if left => {}
            // It is to be tried again, unless it cannot be waited for.
            Herald::Readiness(readiness) => self.done = readiness.failure().map(Err),
            Herald::Clock { pause, .. } => {
                self.told_by = Herald::after(LONGEST.min(*pause * 2));
            }
        }
        left
    }

    fn complete(&mut self) -> bool {
        match &mut self.told_by {
            Herald::Readiness(readiness) => readiness.withdraw(),
            Herald::Clock { timer, pause } => {
                timer.complete();
                self.told_by = Herald::after(LONGEST.min(*pause * 2));
            }
        }
        self.attempt()
    }

    fn withdraw(&mut self) {
        self.told_by.arm().withdraw();
    }

    fn alarm(&self) -> Option<u64> {
        match &self.told_by {
            Herald::Readiness(_) => None,
            Herald::Clock { timer, .. } => timer.alarm(),
        }
    }
}
