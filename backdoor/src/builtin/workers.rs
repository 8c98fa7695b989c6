//! The runtime itself: its workers and its figures.

use grapeshot::registry::{Delays, Latency};
use rhai::Dynamic;

use super::fields::{count, id_value};
use super::{Answer, Console, Entry};
use crate::journal;
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
    Entry {
        name: "accounting",
        call: "accounting()",
        about: "is processor time counted?",
        more: "",
        right: Right::Observe,
        bind: |to| to.add(accounting),
    },
    Entry {
        name: "accounting",
        call: "accounting(on)",
        about: "has it counted, or not: accounting(false) saves a reading of the clock a switch",
        more: "Without it ps() has no times. Waits and lives that begin meanwhile seem to have begun when it is turned on again.",
        right: Right::Operate,
        bind: |to| to.add(set_accounting),
    },
    Entry {
        name: "latency",
        call: "latency()",
        about: "how long what could run waited for its worker",
        more: "queued: from ready to resumed, by samples, each standing for all that were queued with it. unseen: between two looks at\n\
           the poller, as share of the time; so long may an event of a descriptor wait before it makes anyone ready. Since the\n\
           start; half (p50), nine of ten (p90), 99 of a hundred (p99) took no longer. The row without a worker is all of them.",
        right: Right::Observe,
        bind: |to| to.add(latency),
    },
];

fn accounting(console: &Console) -> Answer {
    Ok(console.shared.runtimes.application.accounting().into())
}

fn set_accounting(console: &Console, on: bool) -> Answer {
    console.shared.runtimes.application.set_accounting(on);
    journal::warn(format!(
        "console session {}: {} turned accounting {}",
        console.pace.session(),
        console.visitor,
        if on { "on" } else { "off" }
    ));
    accounting(console)
}

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

fn latency(console: &Console) -> Answer {
    let workers = console.shared.runtimes.application.latency();
    let all: Latency = workers.iter().cloned().collect();
    let line = |worker: Dynamic, what: &str, delays: &Delays| {
        console.record([
            ("worker", worker),
            ("what", what.into()),
            ("count", count(delays.count())),
            ("p50", duration(delays.p50())),
            ("p90", duration(delays.p90())),
            ("p99", duration(delays.p99())),
            ("max", duration(delays.max())),
        ])
    };
    let mut rows = Vec::with_capacity(2 * workers.len() + 2);
    let mut add = |worker: Dynamic, latency: &Latency| {
        rows.push(line(worker.clone(), "queued", &latency.queued));
        rows.push(line(worker, "unseen", &latency.unseen));
    };
    for (index, latency) in workers.iter().enumerate() {
        add(count(index as u64), latency);
    }
    add(Dynamic::UNIT, &all);
    Ok(Dynamic::from_array(rows))
}
