//! The runtime itself: its workers and its figures.

use rhai::Dynamic;

use super::fields::{count, id_value};
use super::{Answer, Console, Entry};
use crate::rights::Right;
use crate::value::{bytes, duration};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "workers",
        call: "workers()",
        about: "the application's threads that run coroutines",
        more: "runs_for: how long the coroutine that runs there has not suspended: after 200 ms, stalls() tells more.",
        right: Right::Observe,
        bind: |to| to.add(workers),
    },
    Entry {
        name: "stats",
        call: "stats()",
        about: "the runtime's counters",
        more: "",
        right: Right::Observe,
        bind: |to| to.add(stats),
    },
];

fn workers(console: &Console) -> Answer {
    let lines = console
        .shared
        .runtimes
        .application
        .workers()
        .into_iter()
        .map(|worker| {
            console.record([
                ("worker", count(worker.index as u64)),
                ("running", worker.running.map_or(Dynamic::UNIT, id_value)),
                ("runs_for", worker.runs_for.map_or(Dynamic::UNIT, duration)),
                ("sleeping", worker.sleeping.into()),
                ("coroutines", count(worker.coroutines as u64)),
                ("ready", count(worker.ready as u64)),
                ("timers", count(worker.timers as u64)),
                ("resumes", count(worker.resumes)),
                ("polls", count(worker.polls)),
                ("stolen", count(worker.stolen)),
                ("busy", duration(worker.busy)),
                ("idle", duration(worker.idle)),
                ("stacks_pooled", count(worker.stacks_pooled as u64)),
            ])
        });
    Ok(Dynamic::from_array(lines.collect()))
}

fn stats(console: &Console) -> Answer {
    let stats = console.shared.runtimes.application.stats();
    Ok(console.record([
        ("uptime", duration(stats.uptime)),
        ("workers", count(stats.workers as u64)),
        ("live", count(stats.live as u64)),
        ("spawned", count(stats.spawned)),
        ("ended", count(stats.ended)),
        ("panicked", count(stats.panicked)),
        ("interrupted", count(stats.interrupted)),
        ("timeouts", count(stats.timeouts)),
        (
            "resident_bytes",
            stats.resident_bytes.map_or(Dynamic::UNIT, bytes),
        ),
    ]))
}
