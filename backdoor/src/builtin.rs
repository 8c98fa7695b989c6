//! The functions that every console has: they read the runtime's registry.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use grapeshot::CoroutineId;
use grapeshot::registry::{CoroutineInfo, State};
use rhai::{Array, Dynamic, Engine, EvalAltResult, INT};

use crate::backdoor::Shared;
use crate::backtrace;
use crate::crowds;
use crate::journal;
use crate::language::{Printer, failed, terminated};
use crate::limits;
use crate::pace::Pace;
use crate::render;
use crate::rows;
use crate::runtimes::{Runtimes, Seen};
use crate::tree;
use crate::value::{Shapes, bytes, duration, record};

/// One line of `help()`.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) call: &'static str,
    pub(crate) about: &'static str,
    /// What `help("name")` adds.
    pub(crate) more: &'static str,
}

impl Entry {
    /// Whether it stands behind a point.
    pub(crate) fn is_method(&self) -> bool {
        self.call.contains('.')
    }
}

/// What is built in, in the order of `help()`.
pub(crate) const HELP: &[Entry] = &[
    Entry {
        name: "help",
        call: "help()",
        about: "this list; help(\"ps\") tells more about one name",
        more: "",
    },
    Entry {
        name: "ps",
        call: "ps()",
        about: "all coroutines; ps(\"text\"): those with that in the name",
        more: "since: how long it has waited, or has run without suspending. cpu: processor time used. switches: how often it\n\
               was resumed. worker: a number, or a thread of the backdoor's own.\n\
               It is an array: ps().filter(|c| c.state == \"waiting\"), ps().top(\"cpu\", 10), ps().count_by(\"state\")",
    },
    Entry {
        name: "tree",
        call: "tree()",
        about: "each coroutine under its parent; tree(id): that one and those below it",
        more: "├─ a whole line: it is in a scope of its parent, and ends when that is ended: see kill.\n\
               ├╌ a broken line: its parent spawned it, and it goes on without.\n\
               One whose parent has ended begins a tree of its own.",
    },
    Entry {
        name: "groups",
        call: "groups()",
        about: "coroutines summed up; npc-1 and npc-2 are one group",
        more: "",
    },
    Entry {
        name: "sites",
        call: "sites()",
        about: "coroutines summed up by the place that spawned them",
        more: "stack_max: the most memory that the stack of one of them takes, of the first 64 of each site.",
    },
    Entry {
        name: "info",
        call: "info(id)",
        about: "all that is known about one coroutine",
        more: "",
    },
    Entry {
        name: "where",
        call: "where(id)",
        about: "backtrace of a coroutine; see help(\"where\")",
        more: "The innermost frame comes first; where(id, true) has the runtime's own frames too.\n\
               One that runs is interrupted for a moment by a signal; so is one that holds its worker, for those behind it.",
    },
    Entry {
        name: "where_all",
        call: "where_all()",
        about: "coroutines summed up by where they are",
        more: "first: one of them, for where(id). stack: the application's functions, the innermost first. Those whose stacks\n\
               differ only in the runtime's own frames, and that wait for the same kind of thing, are one row.",
    },
    Entry {
        name: "kill",
        call: "kill(id)",
        about: "ask a coroutine to end, at its next blocking call",
        more: "Its destructors run. It is gone from ps() once it has unwound.\n\
               One that computes, or blocks its thread in a call that is none of the runtime's, does not hear of it until\n\
               it makes a blocking call.",
    },
    Entry {
        name: "workers",
        call: "workers()",
        about: "the application's threads that run coroutines",
        more: "runs_for: how long the coroutine that runs there has not suspended: after 200 ms, stalls() tells more.",
    },
    Entry {
        name: "stalls",
        call: "stalls()",
        about: "coroutines that held their worker for too long",
        more: "The latest come last. ran: how long the thread had a processor, of the time that was looked at.\n\
               lock: a lock of std's or another library's that it sleeps in, and held_by the coroutine of the same worker\n\
               that seems to have it, so that neither goes on.\n\
               place: what the application was in; stall(id) has the backtrace.",
    },
    Entry {
        name: "stall",
        call: "stall(id)",
        about: "where that coroutine was when it held its worker",
        more: "",
    },
    Entry {
        name: "deadlocks",
        call: "deadlocks()",
        about: "coroutines that wait for each other in a circle",
        more: "circle: rows with the same number belong together; each waits for the one in held_by, which is the next row.\n\
               place: what the application is in; where(id) has the backtrace. kill(id) of one of them breaks the circle.",
    },
    Entry {
        name: "stats",
        call: "stats()",
        about: "the runtime's counters",
        more: "",
    },
    Entry {
        name: "sleep",
        call: "sleep(seconds)",
        about: "suspend this evaluation",
        more: "",
    },
    Entry {
        name: "top",
        call: "rows.top(field, n)",
        about: "the n rows with the largest field",
        more: "",
    },
    Entry {
        name: "order",
        call: "rows.order(field)",
        about: "the rows in the order of a field",
        more: "",
    },
    Entry {
        name: "count_by",
        call: "rows.count_by(field)",
        about: "how many rows have each value of a field",
        more: "",
    },
];

/// A coroutine that has not suspended for so long holds its worker.
const HELD: Duration = Duration::from_millis(200);

type Answer = Result<Dynamic, Box<EvalAltResult>>;

/// Makes the built-in functions callable.
pub(crate) fn register(
    engine: &mut Engine,
    shared: &Arc<Shared>,
    pace: &Arc<Pace>,
    printer: &Printer,
) {
    register_help(engine, shared, printer);
    register_lists(engine, shared, pace, printer);
    let all = Arc::clone(shared);
    engine.register_fn("info", move |id: INT| -> Answer { info(id, &all) });
    let (all, steps) = (Arc::clone(shared), Arc::clone(pace));
    engine.register_fn("where", move |id: INT| -> Answer {
        backtrace::of(coroutine_id(id)?, false, &all, &steps)
    });
    let (all, steps) = (Arc::clone(shared), Arc::clone(pace));
    engine.register_fn("where", move |id: INT, full: bool| -> Answer {
        backtrace::of(coroutine_id(id)?, full, &all, &steps)
    });
    let (all, steps, print) = (Arc::clone(shared), Arc::clone(pace), Arc::clone(printer));
    engine.register_fn("where_all", move || -> Answer {
        crowds::rows(&all, &steps, &*print)
    });
    let all = Arc::clone(shared);
    engine.register_fn("kill", move |id: INT| -> Answer { kill(id, &all.runtimes) });
    let all = Arc::clone(shared);
    engine.register_fn("workers", move || workers(&all));
    let all = Arc::clone(shared);
    engine.register_fn("stalls", move || stalls(&all));
    let all = Arc::clone(shared);
    engine.register_fn("stall", move |id: INT| -> Answer { stall(id, &all) });
    let (all, steps) = (Arc::clone(shared), Arc::clone(pace));
    engine.register_fn("deadlocks", move || deadlocks(&all, &steps));
    let all = Arc::clone(shared);
    engine.register_fn("stats", move || stats(&all));
    // The language's own `sleep` would put the worker to sleep.
    engine.register_fn("sleep", |seconds: INT| sleep(seconds as f64));
    engine.register_fn("sleep", sleep);
    rows::register(engine, shared);
}

fn register_help(engine: &mut Engine, shared: &Arc<Shared>, printer: &Printer) {
    let (all, print) = (Arc::clone(shared), Arc::clone(printer));
    engine.register_fn("help", move || {
        let tag = all.shapes.tag(vec!["call".into(), "what it does".into()]);
        let line = |call: &str, about: &str| {
            record(tag, [("call", call.into()), ("what it does", about.into())])
        };
        let own = all
            .functions
            .iter()
            .map(|function| line(&function.signature(), &function.doc));
        let lines: Array = own
            .chain(HELP.iter().map(|entry| line(entry.call, entry.about)))
            .collect();
        print("The language is rhai: let x = 5, [1, 2].map(|n| n * x), if x > 3 { \"big\" }.");
        print("_ is the last result.");
        Dynamic::from_array(lines)
    });
    let shared = Arc::clone(shared);
    engine.register_fn("help", move |name: &str| -> Answer {
        let own = shared
            .functions
            .iter()
            .filter(|f| f.name == name)
            .map(|f| format!("{}: {}", f.signature(), f.doc));
        let built_in = HELP.iter().filter(|entry| entry.name == name).map(|entry| {
            let more = if entry.more.is_empty() {
                String::new()
            } else {
                format!("\n{}", entry.more)
            };
            format!("{}: {}{more}", entry.call, entry.about)
        });
        let text: Vec<String> = own.chain(built_in).collect();
        if text.is_empty() {
            return Err(failed(&format!(
                "there is no help for {name:?}; help() lists what there is"
            )));
        }
        Ok(text.join("\n").into())
    });
}

fn register_lists(engine: &mut Engine, shared: &Arc<Shared>, pace: &Arc<Pace>, printer: &Printer) {
    let (all, steps, print) = (Arc::clone(shared), Arc::clone(pace), Arc::clone(printer));
    engine.register_fn("ps", move || -> Answer { ps("", &all, &steps, &print) });
    let (all, steps, print) = (Arc::clone(shared), Arc::clone(pace), Arc::clone(printer));
    engine.register_fn("ps", move |text: &str| -> Answer {
        ps(text, &all, &steps, &print)
    });
    let (all, steps) = (Arc::clone(shared), Arc::clone(pace));
    engine.register_fn("groups", move || -> Answer { groups(&all, &steps) });
    let (all, steps) = (Arc::clone(shared), Arc::clone(pace));
    engine.register_fn("sites", move || -> Answer { sites(&all, &steps) });
    let (all, steps, print) = (Arc::clone(shared), Arc::clone(pace), Arc::clone(printer));
    engine.register_fn("tree", move || -> Answer {
        tree(None, &all, &steps, &print)
    });
    let (all, steps, print) = (Arc::clone(shared), Arc::clone(pace), Arc::clone(printer));
    engine.register_fn("tree", move |id: INT| -> Answer {
        tree(Some(id), &all, &steps, &print)
    });
}

fn ps(text: &str, shared: &Shared, pace: &Pace, print: &Printer) -> Answer {
    let columns = [
        "id",
        "name",
        "state",
        "waits_for",
        "since",
        "cpu",
        "switches",
        "worker",
    ];
    let tag = shared.shapes.tag(columns.map(str::to_owned).to_vec());
    let mut found = shared.runtimes.coroutines();
    if !text.is_empty() {
        found.retain(|seen| seen.info.name.contains(text));
    }
    if found.len() > limits::PS_ROWS {
        print(&format!(
            "{} coroutines, of which these are the first {}: groups() counts them all, ps(\"name\") shows some",
            found.len(),
            limits::PS_ROWS
        ));
        found.truncate(limits::PS_ROWS);
    }
    let mut lines = Array::with_capacity(found.len());
    for seen in found {
        pace.step().map_err(|stop| terminated(&stop.to_string()))?;
        let (worker, coroutine) = (worker(&seen), seen.info);
        lines.push(record(
            tag,
            [
                ("id", id_value(coroutine.id)),
                ("name", coroutine.name.as_str().into()),
                ("state", state(coroutine.state)),
                ("waits_for", waits_for(&coroutine)),
                ("since", since(&coroutine)),
                ("cpu", duration(coroutine.cpu)),
                ("switches", count(coroutine.switches)),
                ("worker", worker),
            ],
        ));
    }
    Ok(Dynamic::from_array(lines))
}

fn tree(id: Option<INT>, shared: &Shared, pace: &Pace, print: &Printer) -> Answer {
    let columns = ["id", "name", "state", "waits_for", "since"];
    let tag = shared.shapes.tag(columns.map(str::to_owned).to_vec());
    let root = id.map(coroutine_id).transpose()?;
    let all = shared.runtimes.coroutines().into_iter();
    let mut lines = tree::lines(all.map(|seen| seen.info).collect(), root);
    if let (Some(id), true) = (id, lines.is_empty()) {
        return Err(failed(&gone(id)));
    }
    if lines.len() > limits::PS_ROWS {
        print(&format!(
            "{} coroutines, of which these are the first {}: tree(id) shows those below one",
            lines.len(),
            limits::PS_ROWS
        ));
        lines.truncate(limits::PS_ROWS);
    }
    let mut rows = Array::with_capacity(lines.len());
    for (coroutine, text) in lines {
        pace.step().map_err(|stop| terminated(&stop.to_string()))?;
        rows.push(record(
            tag,
            [
                ("id", id_value(coroutine.id)),
                ("name", text.into()),
                ("state", state(coroutine.state)),
                ("waits_for", waits_for(&coroutine)),
                ("since", since(&coroutine)),
            ],
        ));
    }
    Ok(Dynamic::from_array(rows))
}

#[derive(Default)]
struct Group {
    coroutines: u64,
    waiting: u64,
    cpu: Duration,
    switches: u64,
}

fn groups(shared: &Shared, pace: &Pace) -> Answer {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for Seen {
        info: coroutine, ..
    } in shared.runtimes.coroutines()
    {
        pace.step().map_err(|stop| terminated(&stop.to_string()))?;
        let group = groups.entry(without_numbers(&coroutine.name)).or_default();
        group.coroutines += 1;
        group.waiting += u64::from(coroutine.state == State::Waiting);
        group.cpu += coroutine.cpu;
        group.switches += coroutine.switches;
    }
    let columns = ["name", "coroutines", "waiting", "cpu", "switches"];
    let tag = shared.shapes.tag(columns.map(str::to_owned).to_vec());
    let lines = groups.into_iter().map(|(name, group)| {
        let fields = [
            ("name", name.into()),
            ("coroutines", count(group.coroutines)),
            ("waiting", count(group.waiting)),
            ("cpu", duration(group.cpu)),
            ("switches", count(group.switches)),
        ];
        record(tag, fields)
    });
    Ok(Dynamic::from_array(lines.collect()))
}

fn sites(shared: &Shared, pace: &Pace) -> Answer {
    let columns = [
        "site",
        "coroutines",
        "ready",
        "waiting",
        "cpu",
        "switches",
        "stack_max",
    ];
    let tag = shared.shapes.tag(columns.map(str::to_owned).to_vec());
    let mut lines = Array::new();
    for site in shared.runtimes.application.sites() {
        pace.step().map_err(|stop| terminated(&stop.to_string()))?;
        let fields = [
            ("site", backtrace::shorten(site.site).into()),
            ("coroutines", count(site.coroutines as u64)),
            ("ready", count(site.ready as u64)),
            ("waiting", count(site.waiting as u64)),
            ("cpu", duration(site.cpu)),
            ("switches", count(site.switches)),
            ("stack_max", optional_bytes(site.stack_max)),
        ];
        lines.push(record(tag, fields));
    }
    Ok(Dynamic::from_array(lines))
}

/// `npc-17` and `npc-18` are both `npc-*`.
pub(crate) fn without_numbers(name: &str) -> String {
    let mut short = String::with_capacity(name.len());
    for character in name.chars() {
        if !character.is_ascii_digit() {
            short.push(character);
        } else if !short.ends_with('*') {
            short.push('*');
        }
    }
    short
}

fn info(id: INT, shared: &Shared) -> Answer {
    match shared.runtimes.coroutine(coroutine_id(id)?) {
        Some(seen) => Ok(details(&seen, &shared.shapes)),
        None => Err(failed(&gone(id))),
    }
}

fn details(seen: &Seen, shapes: &Shapes) -> Dynamic {
    let coroutine = &seen.info;
    let fields = [
        ("id", id_value(coroutine.id)),
        ("name", coroutine.name.as_str().into()),
        ("parent", coroutine.parent.map_or(Dynamic::UNIT, id_value)),
        ("worker", worker(seen)),
        ("state", state(coroutine.state)),
        ("waits_for", waits_for(coroutine)),
        ("since", since(coroutine)),
        ("age", duration(coroutine.age)),
        ("cpu", duration(coroutine.cpu)),
        ("switches", count(coroutine.switches)),
        ("stack_size", bytes(coroutine.stack_size as u64)),
        ("stack_used", optional_bytes(coroutine.stack_used)),
        ("interrupted", coroutine.interrupted.into()),
    ];
    let names = fields.iter().map(|(name, _)| (*name).to_owned()).collect();
    record(shapes.tag(names), fields)
}

fn kill(id: INT, runtimes: &Runtimes) -> Answer {
    let coroutine = coroutine_id(id)?;
    // Read before it is asked: it may be gone at once.
    let Some(Seen { info, .. }) = runtimes.coroutine(coroutine) else {
        return Err(failed(&gone(id)));
    };
    if !runtimes.interrupt(coroutine) {
        return Err(failed(&gone(id)));
    }
    let name = &info.name;
    journal::info(format!("console: asked coroutine {id} ({name}) to end"));
    let mut said = format!("asked {name} ({id}) to end");
    if let Some(runs_for) = info.runs_for.filter(|it| *it >= HELD) {
        said += &format!(
            "; it has held its worker for {} and ends at its next blocking call, if it makes one",
            render::duration(runs_for.as_secs_f64())
        );
    }
    Ok(said.into())
}

fn workers(shared: &Shared) -> Dynamic {
    let shapes = &shared.shapes;
    let lines = shared
        .runtimes
        .application
        .workers()
        .into_iter()
        .map(|worker| {
            let fields = [
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
            ];
            let names = fields.iter().map(|(name, _)| (*name).to_owned()).collect();
            record(shapes.tag(names), fields)
        });
    Dynamic::from_array(lines.collect())
}

fn stalls(shared: &Shared) -> Dynamic {
    let columns = [
        "id", "name", "worker", "lasted", "over", "ran", "lock", "held_by", "place",
    ];
    let tag = shared.shapes.tag(columns.map(str::to_owned).to_vec());
    let stalls = shared.runtimes.application.stalls();
    let lines = stalls.into_iter().map(|stall| {
        let lock = stall.lock.as_ref();
        let holder = lock.and_then(|lock| lock.holders.first());
        let fields = [
            ("id", id_value(stall.id)),
            ("name", stall.name.as_str().into()),
            ("worker", count(stall.worker as u64)),
            ("lasted", duration(stall.lasted)),
            ("over", stall.over.into()),
            ("ran", stall.ran.map_or(Dynamic::UNIT, duration)),
            ("lock", lock.map_or(Dynamic::UNIT, |lock| lock.kind.into())),
            (
                "held_by",
                holder.map_or(Dynamic::UNIT, |it| id_value(it.id)),
            ),
            ("place", backtrace::place(&stall.backtrace).into()),
        ];
        record(tag, fields)
    });
    Dynamic::from_array(lines.collect())
}

fn stall(id: INT, shared: &Shared) -> Answer {
    let wanted = coroutine_id(id)?;
    let mut kept = shared.runtimes.application.stalls().into_iter().rev();
    match kept.find(|stall| stall.id == wanted) {
        Some(stall) => Ok(backtrace::rows(&stall.backtrace, false, &shared.shapes)),
        None => Err(failed(&format!(
            "coroutine {id} has not held its worker for too long; stalls() lists those that have"
        ))),
    }
}

fn deadlocks(shared: &Shared, pace: &Pace) -> Answer {
    let columns = ["circle", "id", "name", "waits_for", "held_by", "place"];
    let tag = shared.shapes.tag(columns.map(str::to_owned).to_vec());
    let mut lines = Array::new();
    let application = shared.runtimes.application;
    let calls = &shared.runtimes.calls;
    let found = calls.call("deadlocks", pace, move || application.deadlocks())?;
    for (circle, deadlock) in found.into_iter().enumerate() {
        for coroutine in deadlock.coroutines {
            let fields = [
                ("circle", count(circle as u64 + 1)),
                ("id", id_value(coroutine.id)),
                ("name", coroutine.name.as_str().into()),
                ("waits_for", coroutine.waits_for.to_string().into()),
                ("held_by", id_value(coroutine.held_by)),
                ("place", backtrace::place(&coroutine.backtrace).into()),
            ];
            lines.push(record(tag, fields));
        }
    }
    Ok(Dynamic::from_array(lines))
}

fn stats(shared: &Shared) -> Dynamic {
    let stats = shared.runtimes.application.stats();
    let fields = [
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
    ];
    let names = fields.iter().map(|(name, _)| (*name).to_owned()).collect();
    record(shared.shapes.tag(names), fields)
}

fn sleep(seconds: f64) -> Result<(), Box<EvalAltResult>> {
    let duration =
        Duration::try_from_secs_f64(seconds).map_err(|error| failed(&format!("sleep: {error}")))?;
    grapeshot::sleep(duration);
    Ok(())
}

fn gone(id: INT) -> String {
    format!("no coroutine has the id {id}: it may have ended; ps() lists those that live")
}

fn coroutine_id(id: INT) -> Result<CoroutineId, Box<EvalAltResult>> {
    u64::try_from(id)
        .map(CoroutineId)
        .map_err(|_| failed(&gone(id)))
}

fn id_value(id: CoroutineId) -> Dynamic {
    count(id.0)
}

fn count(number: u64) -> Dynamic {
    INT::try_from(number).unwrap_or(INT::MAX).into()
}

fn optional_count(number: Option<usize>) -> Dynamic {
    number.map_or(Dynamic::UNIT, |number| count(number as u64))
}

fn optional_bytes(number: Option<usize>) -> Dynamic {
    number.map_or(Dynamic::UNIT, |number| bytes(number as u64))
}

/// The number of the application's worker, or the name of the backdoor's thread.
fn worker(seen: &Seen) -> Dynamic {
    match seen.thread {
        Some(thread) => thread.into(),
        None => optional_count(seen.info.worker),
    }
}

fn state(state: State) -> Dynamic {
    state.to_string().into()
}

fn waits_for(coroutine: &CoroutineInfo) -> Dynamic {
    let wait = coroutine.waits_for.as_ref();
    wait.map_or(Dynamic::UNIT, |wait| wait.to_string().into())
}

/// For how long it has waited, or has run without suspending.
fn since(coroutine: &CoroutineInfo) -> Dynamic {
    let waited = coroutine.waits_for.as_ref().map(|wait| wait.since);
    let since = waited.or(coroutine.runs_for);
    since.map_or(Dynamic::UNIT, duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_numbers_are_one_group() {
        assert_eq!(without_numbers("npc-17"), "npc-*");
        assert_eq!(without_numbers("conn-127.0.0.1:80"), "conn-*.*.*.*:*");
        assert_eq!(without_numbers("main"), "main");
    }
}
