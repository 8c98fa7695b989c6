//! Where coroutines are, and who holds whom up.

use rhai::{Array, Dynamic, INT};

use super::fields::{count, id_value};
use super::{Answer, Console, Entry, coroutine_id};
use crate::backtrace;
use crate::crowds;
use crate::language::failed;
use crate::rights::Right;
use crate::value::{duration, record};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "where",
        call: "where(id)",
        about: "backtrace of a coroutine; see help(\"where\")",
        more: "The innermost frame comes first; where(id, true) has the runtime's own frames too.\n\
               One that runs is interrupted for a moment by a signal; so is one that holds its worker, for those behind it.",
        right: Right::Observe,
        bind: |to| {
            to.add(place);
            to.add(place_in_full);
        },
    },
    Entry {
        name: "where_all",
        call: "where_all()",
        about: "coroutines summed up by where they are",
        more: "first: one of them, for where(id). stack: the application's functions, the innermost first. Those whose stacks\n\
               differ only in the runtime's own frames, and that wait for the same kind of thing, are one row.",
        right: Right::Observe,
        bind: |to| to.add(where_all),
    },
    Entry {
        name: "stalls",
        call: "stalls()",
        about: "coroutines that held their worker for too long",
        more: "The latest come last. ran: how long the thread had a processor, of the time that was looked at.\n\
               lock: a lock of std's or another library's that it sleeps in, and held_by the coroutine of the same worker\n\
               that seems to have it, so that neither goes on.\n\
               place: what the application was in; stall(id) has the backtrace.",
        right: Right::Observe,
        bind: |to| to.add(stalls),
    },
    Entry {
        name: "stall",
        call: "stall(id)",
        about: "where that coroutine was when it held its worker",
        more: "",
        right: Right::Observe,
        bind: |to| to.add(stall),
    },
    Entry {
        name: "deadlocks",
        call: "deadlocks()",
        about: "coroutines that wait for each other in a circle",
        more: "circle: rows with the same number belong together; each waits for the one in held_by, which is the next row.\n\
               place: what the application is in; where(id) has the backtrace. kill(id) of one of them breaks the circle.",
        right: Right::Observe,
        bind: |to| to.add(deadlocks),
    },
];

fn place(console: &Console, id: INT) -> Answer {
    place_in_full(console, id, false)
}

fn place_in_full(console: &Console, id: INT, full: bool) -> Answer {
    backtrace::of(coroutine_id(id)?, full, &console.shared, &console.pace)
}

fn where_all(console: &Console) -> Answer {
    crowds::rows(&console.shared, &console.pace, &*console.printer)
}

fn stalls(console: &Console) -> Answer {
    let tag = console.columns([
        "id", "name", "worker", "lasted", "over", "ran", "lock", "held_by", "place",
    ]);
    let stalls = console.shared.runtimes.application.stalls();
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
    Ok(Dynamic::from_array(lines.collect()))
}

fn stall(console: &Console, id: INT) -> Answer {
    let wanted = coroutine_id(id)?;
    let mut kept = console
        .shared
        .runtimes
        .application
        .stalls()
        .into_iter()
        .rev();
    match kept.find(|stall| stall.id == wanted) {
        Some(stall) => Ok(backtrace::rows(
            &stall.backtrace,
            false,
            &console.shared.shapes,
        )),
        None => Err(failed(&format!(
            "coroutine {id} has not held its worker for too long; stalls() lists those that have"
        ))),
    }
}

fn deadlocks(console: &Console) -> Answer {
    let tag = console.columns(["circle", "id", "name", "waits_for", "held_by", "place"]);
    let mut lines = Array::new();
    let application = console.shared.runtimes.application;
    let found = console.elsewhere("deadlocks", move || application.deadlocks())?;
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
