//! Workers whose coroutines wait long to be resumed.

use std::collections::HashMap;
use std::panic::Location;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::latency::{Delays, latency_of};
use super::{Lint, LintKind, lint, spawned_at};
use crate::context::cycles;
use crate::context::sample::Usage;
use crate::sched::record::CoroRef;
use crate::sched::{Shared, WorkerShared};

/// Half of them waited longer: that is long.
const LONG: Duration = Duration::from_millis(100);
/// Checks in a row at which it must be.
const STREAK: u32 = 2;
/// Coroutines of a worker that are looked at.
const LOOKED_AT: usize = 4096;

/// What each worker came to at the latest check.
#[derive(Default)]
pub(super) struct Delayed(Vec<Track>);

#[derive(Default)]
struct Track {
    queued: Option<Delays>,
    /// What its thread had got.
    usage: Option<Usage>,
    streak: u32,
    /// Cycles that the coroutines of each place had used when the streak began.
    used: HashMap<Location<'static>, u64>,
}

impl Delayed {
    pub(super) fn look(&mut self, shared: &'static Shared) {
        self.0.resize_with(shared.workers.len(), Track::default);
        let latency = latency_of(shared);
        for ((worker, track), latency) in shared.workers.iter().zip(&mut self.0).zip(latency) {
            shared.lints.raise(track.look(worker, latency.queued));
        }
    }
}

impl Track {
    fn look(&mut self, worker: &WorkerShared, queued: Delays) -> Option<Lint> {
        let usage = worker.thread.get().and_then(|thread| thread.usage());
        let before = std::mem::replace(&mut self.usage, usage);
        let latest = self.queued.as_ref().map(|earlier| queued.since(earlier));
        self.queued = Some(queued);
        // It may be that the one that was drawn waits still.
        let latest = latest.filter(|latest| latest.count() > 0)?;
        // What its thread waited for a processor is not the program's fault.
        let lacked = usage
            .zip(before)
            .map(|(now, before)| now.queued.saturating_sub(before.queued));
        let half = latest.p50().saturating_sub(lacked.unwrap_or_default());
        if half < LONG {
            self.streak = 0;
            return None;
        }
        self.streak += 1;
        let sites = by_site(worker);
        if self.streak < STREAK {
            self.used = sites
                .into_iter()
                .map(|(site, it)| (site, it.used))
                .collect();
            return None;
        }
        let used = |it: &BySite| {
            let before = self.used.get(it.one.head.name.site);
            it.used.saturating_sub(before.copied().unwrap_or_default())
        };
        let sum: u64 = sites.values().map(used).sum();
        let culprit = sites.values().max_by_key(|it| used(it))?;
        let what = format!(
            "half of those that were ready on worker {} waited {half:.0?} or longer; {} that the same place spawned took {} % \
             of the time",
            worker.index,
            culprit.count,
            used(culprit) * 100 / sum.max(1),
        );
        let place = spawned_at(culprit.one.head.name.site);
        Some(lint(LintKind::LongDelay, &culprit.one, place, what))
    }
}

/// The coroutines of a worker that one place spawned.
struct BySite {
    /// Cycles.
    used: u64,
    count: usize,
    one: CoroRef,
}

fn by_site(worker: &WorkerShared) -> HashMap<Location<'static>, BySite> {
    let mut all = Vec::new();
    worker.coroutines(0, LOOKED_AT, &mut all);
    let running = worker.figures.running.load(Ordering::Relaxed);
    let resumed = worker.figures.resumed.load(Ordering::Relaxed);
    let runs_for = cycles::now().saturating_sub(resumed);
    let mut sites = HashMap::new();
    for coroutine in all {
        let head = &coroutine.head;
        let mut used = head.cpu.load(Ordering::Relaxed);
        if head.id == running {
            used += runs_for;
        }
        let site = sites.entry(*head.name.site).or_insert_with(|| BySite {
            used: 0,
            count: 0,
            one: coroutine.clone(),
        });
        site.used += used;
        site.count += 1;
    }
    sites
}
