//! Coroutines: lists of them, one of them, and its end.

use std::collections::BTreeMap;
use std::time::Duration;

use grapeshot::registry::State;
use rhai::{Array, Dynamic, INT, ImmutableString, Map};

use super::fields::{
    count, id_value, optional_bytes, since, state, waits_for, without_numbers, worker,
};
use super::filter::Filter;
use super::{Answer, Console, Entry, coroutine_id, gone};
use crate::backtrace;
use crate::journal;
use crate::language::failed;
use crate::limits;
use crate::render;
use crate::rights::Right;
use crate::runtimes::Seen;
use crate::session::for_log;
use crate::tree;
use crate::value::{bytes, duration, record};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "ps",
        call: "ps()",
        about: "all coroutines; ps(\"text\"): those with that in the name; ps(#{..}): see help(\"ps\")",
        more: "since: how long it has waited, or has run without suspending. cpu: processor time used. switches: how often it\n\
               was resumed. worker: a number, or a thread of the backdoor's own.\n\
               ps(#{name: \"npc\", state: \"waiting\", waits_for: \"read\", worker: 0, longer: 5, sort: \"cpu\", limit: 20}): any of these.\n\
               longer: since is at least so many seconds. sort: a column, what is a quantity from the largest on; reverse: true\n\
               turns that round.\n\
               It is an array: ps().filter(|c| c.state == \"waiting\"), ps().top(\"cpu\", 10), ps().count_by(\"state\")",
        right: Right::Observe,
        bind: |to| {
            to.add(ps);
            to.add(ps_named);
            to.add(ps_filtered);
        },
    },
    Entry {
        name: "tree",
        call: "tree()",
        about: "each coroutine under its parent; tree(id): that one and those below it",
        more: "├─ a whole line: it is in a scope of its parent, and ends when that is ended: see kill.\n\
               ├╌ a broken line: its parent spawned it, and it goes on without.\n\
               One whose parent has ended begins a tree of its own.",
        right: Right::Observe,
        bind: |to| {
            to.add(whole_tree);
            to.add(tree_of);
        },
    },
    Entry {
        name: "groups",
        call: "groups()",
        about: "coroutines summed up; npc-1 and npc-2 are one group",
        more: "",
        right: Right::Observe,
        bind: |to| to.add(groups),
    },
    Entry {
        name: "sites",
        call: "sites()",
        about: "coroutines summed up by the place that spawned them",
        more: "stack_max: the most memory that the stack of one of them takes, of the first 64 of each site.",
        right: Right::Observe,
        bind: |to| to.add(sites),
    },
    Entry {
        name: "info",
        call: "info(id)",
        about: "all that is known about one coroutine",
        more: "",
        right: Right::Observe,
        bind: |to| to.add(info),
    },
    Entry {
        name: "kill",
        call: "kill(id)",
        about: "ask a coroutine to end, at its next blocking call",
        more: "It is what interrupt() of its JoinHandle does. Its destructors run. It is gone from ps() once it has unwound.\n\
               One that computes, or blocks its thread in a call that is none of the runtime's, does not hear of it until\n\
               it makes a blocking call. kill(id, \"why\") has the log say why.",
        right: Right::Operate,
        bind: |to| {
            to.add(kill);
            to.add(kill_because);
        },
    },
    Entry {
        name: "interrupt",
        call: "interrupt(id)",
        about: "another name of kill(id): that is all there is to a kill",
        more: "",
        right: Right::Operate,
        bind: |to| {
            to.add(kill);
            to.add(kill_because);
        },
    },
];

/// A coroutine that has not suspended for so long holds its worker.
const HELD: Duration = Duration::from_millis(200);

fn ps(console: &Console) -> Answer {
    list(console, &Filter::default(), "")
}

fn ps_named(console: &Console, text: ImmutableString) -> Answer {
    list(console, &Filter::named(&text), "")
}

fn ps_filtered(console: &Console, options: Map) -> Answer {
    let filter = Filter::of(&options)?;
    let limited = if options.contains_key("limit") {
        "limit"
    } else {
        ""
    };
    list(console, &filter, limited)
}

/// Says what is left out, unless that was asked for.
fn list(console: &Console, filter: &Filter, asked: &str) -> Answer {
    let tag = console.columns([
        "id",
        "name",
        "state",
        "waits_for",
        "since",
        "cpu",
        "switches",
        "worker",
    ]);
    let mut pick = filter.pick();
    for seen in console.shared.runtimes.walk() {
        console.step()?;
        pick.put(seen);
    }
    let (found, taken) = pick.end();
    let left_out = taken.saturating_sub(found.len());
    console.lose(left_out);
    if left_out > 0 && asked.is_empty() {
        console.print(&format!(
            "{taken} coroutines, of which these are the first {}: groups() counts them all, ps(\"name\") shows some",
            found.len(),
        ));
    }
    let mut lines = Array::with_capacity(found.len());
    for seen in found {
        console.step()?;
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

fn whole_tree(console: &Console) -> Answer {
    tree(console, None)
}

fn tree_of(console: &Console, id: INT) -> Answer {
    tree(console, Some(id))
}

fn tree(console: &Console, id: Option<INT>) -> Answer {
    let tag = console.columns(["id", "name", "state", "waits_for", "since"]);
    let root = id.map(coroutine_id).transpose()?;
    let all = console.shared.runtimes.coroutines().into_iter();
    let mut lines = tree::lines(all.map(|seen| seen.info).collect(), root);
    if let (Some(id), true) = (id, lines.is_empty()) {
        return Err(failed(&gone(id)));
    }
    if lines.len() > limits::PS_ROWS {
        console.print(&format!(
            "{} coroutines, of which these are the first {}: tree(id) shows those below one",
            lines.len(),
            limits::PS_ROWS
        ));
        lines.truncate(limits::PS_ROWS);
    }
    let mut rows = Array::with_capacity(lines.len());
    for (coroutine, text) in lines {
        console.step()?;
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

fn groups(console: &Console) -> Answer {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for Seen {
        info: coroutine, ..
    } in console.shared.runtimes.walk()
    {
        console.step()?;
        let group = groups.entry(without_numbers(&coroutine.name)).or_default();
        group.coroutines += 1;
        group.waiting += u64::from(coroutine.state == State::Waiting);
        group.cpu += coroutine.cpu;
        group.switches += coroutine.switches;
    }
    let tag = console.columns(["name", "coroutines", "waiting", "cpu", "switches"]);
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

fn sites(console: &Console) -> Answer {
    let tag = console.columns([
        "site",
        "coroutines",
        "ready",
        "waiting",
        "cpu",
        "switches",
        "stack_max",
    ]);
    let mut lines = Array::new();
    for site in console.shared.runtimes.application.sites() {
        console.step()?;
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

fn info(console: &Console, id: INT) -> Answer {
    match console.shared.runtimes.coroutine(coroutine_id(id)?) {
        Some(seen) => Ok(details(console, &seen)),
        None => Err(failed(&gone(id))),
    }
}

fn details(console: &Console, seen: &Seen) -> Dynamic {
    let coroutine = &seen.info;
    console.record([
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
    ])
}

fn kill(console: &Console, id: INT) -> Answer {
    end(console, id, None)
}

fn kill_because(console: &Console, id: INT, why: ImmutableString) -> Answer {
    end(console, id, Some(&why))
}

fn end(console: &Console, id: INT, why: Option<&str>) -> Answer {
    let runtimes = &console.shared.runtimes;
    let coroutine = coroutine_id(id)?;
    // Read before it is asked: it may be gone at once.
    let Some(Seen { info, .. }) = runtimes.coroutine(coroutine) else {
        return Err(failed(&gone(id)));
    };
    if !runtimes.interrupt(coroutine) {
        return Err(failed(&gone(id)));
    }
    let name = &info.name;
    let because = why.map_or(String::new(), |why| format!(", because {}", for_log(why)));
    journal::info(format!(
        "console session {}: {} asked coroutine {id} ({name}) to end{because}",
        console.pace.session(),
        console.visitor
    ));
    let mut said = format!("asked {name} ({id}) to end");
    if let Some(runs_for) = info.runs_for.filter(|it| *it >= HELD) {
        said += &format!(
            "; it has held its worker for {} and ends at its next blocking call, if it makes one",
            render::duration(runs_for.as_secs_f64())
        );
    }
    Ok(said.into())
}
