//! Workers that are out of balance.

use std::collections::HashMap;
use std::panic::Location;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::super::{State, describe};
use super::{Lint, LintKind, lint, spawned_at};
use crate::context::cycles;
use crate::sched::record::CoroRef;
use crate::sched::{Shared, WorkerShared};

/// Checks in a row at which the workers must be out of balance.
const STREAK: u32 = 3;
/// A worker that is busy for so much of the time is full, and one for so little is free.
const FULL: f64 = 0.95;
const FREE: f64 = 0.2;

/// How busy the workers were.
#[derive(Default)]
pub(super) struct Load {
    /// Since when, and how long each worker had slept by then.
    window: Option<(Instant, Vec<u64>)>,
    streak: u32,
}

impl Load {
    pub(super) fn look(&mut self, shared: &'static Shared, now: Instant) -> Option<Lint> {
        let loads = self.loads(shared, now);
        let queued = |worker: &WorkerShared| worker.figures.ready.load(Ordering::Relaxed);
        let ready: Vec<usize> = shared.workers.iter().map(queued).collect();
        let Some((full, free)) = loads
            .as_deref()
            .and_then(|loads| out_of_balance(loads, &ready))
        else {
            self.streak = 0;
            return None;
        };
        self.streak += 1;
        if self.streak < STREAK {
            return None;
        }
        unbalanced(shared, full, free, ready[full], &loads.unwrap_or_default())
    }

    /// How busy each worker was since the latest check.
    fn loads(&mut self, shared: &Shared, now: Instant) -> Option<Vec<f64>> {
        let cycles = cycles::now();
        let idle = |worker: &WorkerShared| worker.figures.idle_until(cycles);
        let idle: Vec<u64> = shared.workers.iter().map(idle).collect();
        let (since, before) = self.window.replace((now, idle.clone()))?;
        let past = now.saturating_duration_since(since).as_secs_f64();
        let load = |(now, before): (&u64, &u64)| {
            let slept = now.saturating_sub(*before) as f64 / 1e9;
            (1.0 - slept / past.max(1e-3)).clamp(0.0, 1.0)
        };
        Some(idle.iter().zip(&before).map(load).collect())
    }
}

/// A worker that cannot keep up, and one that has nothing to do.
fn out_of_balance(loads: &[f64], ready: &[usize]) -> Option<(usize, usize)> {
    let full = (0..loads.len()).filter(|&it| loads[it] >= FULL && ready[it] >= 2);
    let full = full.max_by_key(|&it| ready[it])?;
    let free = (0..loads.len()).find(|&it| loads[it] <= FREE)?;
    Some((full, free))
}

fn unbalanced(
    shared: &'static Shared,
    full: usize,
    free: usize,
    ready: usize,
    loads: &[f64],
) -> Option<Lint> {
    /// Coroutines that are looked at.
    const LOOKED_AT: usize = 4096;
    let mut all = Vec::new();
    shared.workers[full].coroutines(0, LOOKED_AT, &mut all);
    let (scale, now) = (cycles::scale(), cycles::now());
    let mut sites: HashMap<Location<'static>, (usize, CoroRef)> = HashMap::new();
    for coroutine in all {
        let state = describe(&coroutine, scale, now).state;
        if matches!(state, State::Ready | State::Running) {
            let site = *coroutine.head.name.site;
            sites.entry(site).or_insert((0, coroutine)).0 += 1;
        }
    }
    let (many, coroutine) = sites.into_values().max_by_key(|(many, _)| *many)?;
    let what = format!(
        "worker {full} is busy for {:.0} % of the time with {ready} ready, {many} of those that the same place spawned; \
         worker {free} is busy for {:.0} %",
        loads[full] * 100.0,
        loads[free] * 100.0,
    );
    let place = spawned_at(coroutine.head.name.site);
    Some(lint(LintKind::Unbalanced, &coroutine, place, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_full_worker_beside_a_free_one_is_out_of_balance() {
        assert_eq!(out_of_balance(&[1.0, 0.05], &[7, 0]), Some((0, 1)));
        assert_eq!(out_of_balance(&[0.1, 0.99, 1.0], &[0, 3, 9]), Some((2, 0)));
        assert_eq!(
            out_of_balance(&[1.0, 0.05], &[1, 0]),
            None,
            "nobody waits for long"
        );
        assert_eq!(out_of_balance(&[0.9, 0.05], &[7, 0]), None, "it keeps up");
        assert_eq!(out_of_balance(&[1.0, 0.5], &[7, 2]), None, "nobody is free");
        assert_eq!(out_of_balance(&[1.0], &[7]), None, "there is but one");
    }
}
