//! Timers that are armed, the soonest first.

use std::time::Duration;

use super::PATIENCE;
use crate::sched::Shared;
use crate::sched::handle::RuntimeHandle;
use crate::sched::spawn::CoroutineId;
use crate::sched::worker;
use crate::sync::channel;

/// Timers that a worker looks at for one question: some tens of microseconds.
const LOOKED_AT: usize = 1024;

/// A timer at a moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TimerInfo {
    /// The worker that it is armed at.
    pub worker: usize,
    /// Until it fires; zero if it is due.
    pub due: Duration,
    /// What it ends: `sleep` for all that waits for a time, `timeout` for a [`with_timeout`](crate::with_timeout),
    /// `network` for something on a simulated network.
    pub what: &'static str,
    /// Whom it wakes or interrupts; `None` if that is a future.
    pub coroutine: Option<CoroutineId>,
    /// That coroutine's name.
    pub name: Option<String>,
}

/// What [`RuntimeHandle::timers`] found.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Timers {
    /// The soonest first.
    pub soonest: Vec<TimerInfo>,
    /// How many are armed, as each worker counted them after it last fired some.
    pub armed: usize,
    /// Workers that did not answer in time: something runs on them that does not suspend. Their timers are missing.
    pub silent: Vec<usize>,
}

impl RuntimeHandle {
    /// The timers of this runtime that fire next, `most` at most. Each worker is asked, between two resumes, and looks at
    /// no more than 1,024: of a crowd that is due within the same 131 µs (or further away: 8 ms, half a second, …) some may be
    /// missing. **May suspend**, for a second at most.
    pub fn timers(self, most: usize) -> Timers {
        timers_of(self.shared, most.min(LOOKED_AT))
    }
}

fn timers_of(shared: &'static Shared, most: usize) -> Timers {
    let (answer, answers) = channel::unbounded();
    for worker in &shared.workers {
        let (answer, index) = (answer.clone(), worker.index);
        worker.call(Box::new(move || {
            // Whoever asked may have given up.
            let _ = answer.send((index, worker::soonest_timers(LOOKED_AT, most)));
        }));
    }
    drop(answer);
    let mut timers = Timers {
        silent: shared.workers.iter().map(|worker| worker.index).collect(),
        ..Timers::default()
    };
    let next = || crate::with_timeout(PATIENCE, || answers.recv());
    while let Ok(Ok((index, (armed, soonest)))) = next() {
        timers.silent.retain(|silent| *silent != index);
        timers.armed += armed;
        timers.soonest.extend(soonest);
    }
    timers.soonest.sort_by_key(|timer| timer.due);
    timers.soonest.truncate(most);
    timers
}
