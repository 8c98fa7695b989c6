//! The timers that fire next, for the registry.

use std::time::Duration;

use super::{Alarm, with};
use crate::registry::TimerInfo;
use crate::sched::record::CoroRef;
use crate::sched::spawn::CoroutineId;

/// How many timers this thread's worker has armed, and the soonest of the first `looked_at`, `most` at most. Between two resumes
/// only.
pub(crate) fn soonest_timers(looked_at: usize, most: usize) -> (usize, Vec<TimerInfo>) {
    with(|worker| {
        let Some(worker) = worker else {
            return (0, Vec::new());
        };
        let (wheel, now) = (worker.wheel.borrow(), worker.clock.now());
        let mut found: Vec<(u64, &'static str, Option<CoroRef>)> = Vec::new();
        wheel.show(looked_at, &mut |deadline, alarm| {
            let (what, coroutine) = match alarm {
                Alarm::Wake(waiter) => ("sleep", waiter.coroutine()),
                Alarm::Scope(coroutine, _) => ("timeout", Some(coroutine.clone())),
                Alarm::Network => ("network", None),
            };
            found.push((deadline, what, coroutine));
        });
        found.sort_by_key(|(deadline, ..)| *deadline);
        found.truncate(most);
        let info = |(deadline, what, coroutine): (u64, _, Option<CoroRef>)| TimerInfo {
            worker: worker.mine.index,
            due: Duration::from_nanos(deadline.saturating_sub(now)),
            what,
            coroutine: coroutine.as_ref().map(|it| CoroutineId(it.head.id)),
            name: coroutine.map(|it| it.head.name.with(str::to_owned)),
        };
        (wheel.len(), found.into_iter().map(info).collect())
    })
}
