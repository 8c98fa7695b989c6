//! What coroutines wait for outside of the processor: descriptors, timers, locks; and memory.

use rhai::{Dynamic, INT};

use super::fields::{count, id_value};
use super::{Answer, Console, Entry};
use crate::backtrace;
use crate::limits;
use crate::rights::Right;
use crate::value::{bytes, duration, record};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "timers",
        call: "timers()",
        about: "the timers that fire next; timers(n): so many of them",
        more: "due: until it fires. what: sleep for all that waits for a time, timeout for a with_timeout.\n\
               Left out are those of a worker that does not answer, which is said, and some of a crowd that is due at the\n\
               same time. 100 are shown, unless you say how many; 1,000 at most.",
        right: Right::Observe,
        bind: |to| {
            to.add(timers);
            to.add(so_many_timers);
        },
    },
    Entry {
        name: "fds",
        call: "fds()",
        about: "the descriptors that the workers watch, and who waits for them",
        more: "reader, writer: the coroutine that waits to read (or accept) and to write (or connect). queued: how many wait\n\
               behind them. since: when somebody first had to wait for it.\n\
               A descriptor for which nobody has ever had to wait is not in it: no worker watches it.",
        right: Right::Observe,
        bind: |to| to.add(fds),
    },
    Entry {
        name: "locks",
        call: "locks()",
        about: "the locks that coroutines wait for, and who has them",
        more: "lock: its label, or its address. owner: who has a mutex or writes an rwlock; place: what the application is in there. Readers of an rwlock, and who\n\
               has a semaphore's permits, are not known. longest: who has waited longest.\n\
               A lock that nobody waits for is not in it: the runtime keeps no list of locks.",
        right: Right::Observe,
        bind: |to| to.add(locks),
    },
    Entry {
        name: "memory",
        call: "memory()",
        about: "what the process and its coroutines take of the memory",
        more: "stacks: what is behind the stacks of coroutines: measured for up to 256 of them, and multiplied. records: what the\n\
               runtime knows of them, their closures not counted. stack_space: addresses, which cost nothing until touched.",
        right: Right::Observe,
        bind: |to| to.add(memory),
    },
];

/// Timers that are shown unless somebody asks for more.
const TIMERS: INT = 100;

fn timers(console: &Console) -> Answer {
    so_many_timers(console, TIMERS)
}

fn so_many_timers(console: &Console, most: INT) -> Answer {
    let most = usize::try_from(most).unwrap_or(0);
    let application = console.shared.runtimes.application;
    let timers = console.elsewhere("timers", move || application.timers(most))?;
    for worker in &timers.silent {
        console.print(&format!(
            "worker {worker} did not answer, so its timers are missing: stalls() tells what runs there"
        ));
    }
    let left_out = timers.armed.saturating_sub(timers.soonest.len());
    console.lose(left_out);
    if left_out > 0 {
        console.print(&format!(
            "{} timers are armed; these fire first",
            timers.armed
        ));
    }
    let tag = console.columns(["due", "what", "coroutine", "name", "worker"]);
    let row = |timer: grapeshot::registry::TimerInfo| {
        let fields = [
            ("due", duration(timer.due)),
            ("what", timer.what.into()),
            ("coroutine", timer.coroutine.map_or(Dynamic::UNIT, id_value)),
            ("name", timer.name.map_or(Dynamic::UNIT, Dynamic::from)),
            ("worker", count(timer.worker as u64)),
        ];
        record(tag, fields)
    };
    Ok(Dynamic::from_array(
        timers.soonest.into_iter().map(row).collect(),
    ))
}

fn fds(console: &Console) -> Answer {
    let application = console.shared.runtimes.application;
    let mut found = console.elsewhere("fds", move || application.descriptors())?;
    if found.len() > limits::PS_ROWS {
        console.lose(found.len() - limits::PS_ROWS);
        console.print(&format!(
            "{} descriptors, of which these are the first {}",
            found.len(),
            limits::PS_ROWS
        ));
        found.truncate(limits::PS_ROWS);
    }
    let tag = console.columns([
        "fd", "kind", "local", "peer", "reader", "writer", "queued", "since", "worker",
    ]);
    let mut rows = rhai::Array::with_capacity(found.len());
    let text = |text: Option<String>| text.map_or(Dynamic::UNIT, Dynamic::from);
    for fd in found {
        console.step()?;
        let fields = [
            ("fd", INT::from(fd.fd).into()),
            ("kind", fd.kind.into()),
            ("local", text(fd.local)),
            ("peer", text(fd.peer)),
            ("reader", fd.reader.map_or(Dynamic::UNIT, id_value)),
            ("writer", fd.writer.map_or(Dynamic::UNIT, id_value)),
            ("queued", count(fd.queued as u64)),
            ("since", duration(fd.since)),
            ("worker", count(fd.worker as u64)),
        ];
        rows.push(record(tag, fields));
    }
    Ok(Dynamic::from_array(rows))
}

fn locks(console: &Console) -> Answer {
    let application = console.shared.runtimes.application;
    let found = console.elsewhere("locks", move || application.locks())?;
    let tag = console.columns([
        "kind", "lock", "waiters", "longest", "owner", "name", "place", "first",
    ]);
    let row = |lock: grapeshot::registry::LockInfo| {
        let place = backtrace::place(&lock.backtrace);
        let fields = [
            ("kind", lock.kind.into()),
            ("lock", called(&lock).into()),
            ("waiters", count(lock.waiters.len() as u64)),
            ("longest", duration(lock.longest)),
            ("owner", lock.owner.map_or(Dynamic::UNIT, id_value)),
            ("name", lock.owner_name.map_or(Dynamic::UNIT, Dynamic::from)),
            (
                "place",
                if place.is_empty() {
                    Dynamic::UNIT
                } else {
                    place.into()
                },
            ),
            (
                "first",
                lock.waiters
                    .first()
                    .map_or(Dynamic::UNIT, |id| id_value(*id)),
            ),
        ];
        record(tag, fields)
    };
    Ok(Dynamic::from_array(found.into_iter().map(row).collect()))
}

/// A lock's label in quotes, as everywhere, or its address.
fn called(lock: &grapeshot::registry::LockInfo) -> String {
    match &lock.label {
        Some(label) => format!("'{label}'"),
        None => format!("{:#x}", lock.address),
    }
}

fn memory(console: &Console) -> Answer {
    let application = console.shared.runtimes.application;
    let memory = console.elsewhere("memory", move || application.memory())?;
    Ok(console.record([
        ("resident", memory.resident.map_or(Dynamic::UNIT, bytes)),
        ("coroutines", count(memory.coroutines as u64)),
        ("records", bytes(memory.records)),
        ("stacks", bytes(memory.stacks)),
        ("stack_max", bytes(memory.stack_max)),
        ("stacks_measured", count(memory.stacks_measured as u64)),
        ("stack_space", bytes(memory.stack_space)),
        ("stacks_pooled", count(memory.stacks_pooled as u64)),
    ]))
}
