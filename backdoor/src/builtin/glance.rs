//! `glance(..)`: what a live view shows, by one walk over the registry. It gives the first rows only, and what was used since
//! the same session looked last, so a server with a million coroutines sends as little as one with a hundred.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use grapeshot::registry::{CoroutineInfo, State, WorkerInfo};
use rhai::{Array, Dynamic, EvalAltResult, Map};

use super::fields::{count, id_value, optional_count};
use super::{Answer, Console, Entry, without_numbers};
use crate::language::failed;
use crate::limits;
use crate::rights::Right;
use crate::runtimes::Seen;
use crate::value::{bytes, duration};

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "glance",
    call: "glance()",
    about: "what `console top` shows; glance(#{by: \"since\", rows: 20}) asks for others",
    more: "by: load, cpu, since, rate, switches, id, name or, of groups, coroutines. reverse: the smallest first. rows: how many.\n\
           text: in the name, the state or what it waits for, or #id. groups: rows of groups() instead.\n\
           load: of one processor, since this session looked last; rate: switches a second; backdoor: what all consoles cost.",
    right: Right::Observe,
    bind: |to| {
        to.add(glance_now);
        to.add(glance_with);
    },
}];

/// Seconds over which loads are measured at least: a look that follows sooner is compared with the one before the last.
const LEAST: f64 = 0.25;

/// What a session saw when it looked last.
#[derive(Default)]
pub(crate) struct Looked(Mutex<Arc<Before>>);

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Load,
    Cpu,
    Since,
    Rate,
    Switches,
    Coroutines,
    Id,
    Name,
}

impl By {
    const ALL: [(&str, By); 8] = [
        ("load", By::Load),
        ("cpu", By::Cpu),
        ("since", By::Since),
        ("rate", By::Rate),
        ("switches", By::Switches),
        ("coroutines", By::Coroutines),
        ("id", By::Id),
        ("name", By::Name),
    ];
}

struct Wanted {
    by: By,
    reverse: bool,
    rows: usize,
    text: String,
    groups: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            by: By::Load,
            reverse: false,
            rows: 20,
            text: String::new(),
            groups: false,
        }
    }
}

impl Wanted {
    fn read(options: &Map) -> Result<Self, Box<EvalAltResult>> {
        let mut wanted = Self::default();
        for (name, value) in options {
            let wrong = |what: &str| failed(&format!("glance: `{name}` must be {what}"));
            match name.as_str() {
                "by" => {
                    let by = value.clone().into_immutable_string();
                    let known = By::ALL
                        .iter()
                        .find(|(known, _)| by.as_ref().is_ok_and(|by| by == known));
                    let names: Vec<_> = By::ALL.iter().map(|(name, _)| *name).collect();
                    let by = known.ok_or_else(|| wrong(&format!("one of {}", names.join(", "))))?;
                    wanted.by = by.1;
                }
                "rows" => {
                    let rows = value.as_int().map_err(|_| wrong("a number"))?;
                    wanted.rows = usize::try_from(rows).unwrap_or(0).min(limits::GLANCE_ROWS);
                }
                "text" => {
                    let text = value.clone().into_string();
                    wanted.text = text.map_err(|_| wrong("text"))?;
                }
                "reverse" => {
                    wanted.reverse = value.as_bool().map_err(|_| wrong("true or false"))?
                }
                "groups" => wanted.groups = value.as_bool().map_err(|_| wrong("true or false"))?,
                other => return Err(failed(&format!("glance: there is no option `{other}`"))),
            }
        }
        Ok(wanted)
    }

    fn takes(&self, coroutine: &CoroutineInfo) -> bool {
        if let Some(id) = self.text.strip_prefix('#') {
            return id.parse() == Ok(coroutine.id.0);
        }
        let waits_for = coroutine.waits_for.as_ref();
        self.text.is_empty()
            || coroutine.name.contains(&self.text)
            || waits_for.is_some_and(|wait| wait.operation.contains(&self.text))
            || coroutine.state.to_string() == self.text
    }
}

#[derive(Default)]
struct Before {
    at: Option<Instant>,
    /// Of each coroutine, by id: nanoseconds of processor time, switches.
    used: Vec<(u64, u64, u64)>,
    /// There were more.
    is_part: bool,
    /// Of each worker: its busy time, its resumes.
    workers: Vec<(Duration, u64)>,
    backdoor: Duration,
}

impl Before {
    /// What this coroutine had used. One that was not there had used nothing; if not all are remembered, nobody knows.
    fn used(&self, id: u64) -> Option<(u64, u64)> {
        let found = self.used.binary_search_by_key(&id, |(id, ..)| *id);
        match found {
            Ok(at) => Some((self.used[at].1, self.used[at].2)),
            Err(_) if self.is_part => None,
            Err(_) => Some((0, 0)),
        }
    }
}

/// A coroutine, or a group of them.
struct Line {
    name: String,
    coroutines: u64,
    waiting: u64,
    cpu: Duration,
    switches: u64,
    /// Processors; nothing at the first look.
    load: Option<f64>,
    /// Switches a second.
    rate: Option<f64>,
    since: Duration,
    /// Of a coroutine.
    seen: Option<Seen>,
}

impl Line {
    /// How the lines are ordered: the one that comes first is less.
    fn compare(&self, other: &Self, by: By) -> Ordering {
        let float = |a: Option<f64>, b: Option<f64>| {
            let at_first = f64::NEG_INFINITY;
            b.unwrap_or(at_first).total_cmp(&a.unwrap_or(at_first))
        };
        let id = |line: &Self| line.seen.as_ref().map(|seen| seen.info.id);
        let order = match by {
            By::Load => float(self.load, other.load).then(other.cpu.cmp(&self.cpu)),
            By::Rate => float(self.rate, other.rate).then(other.switches.cmp(&self.switches)),
            By::Cpu => other.cpu.cmp(&self.cpu),
            By::Since => other.since.cmp(&self.since),
            By::Switches => other.switches.cmp(&self.switches),
            By::Coroutines => other.coroutines.cmp(&self.coroutines),
            By::Name => self.name.cmp(&other.name),
            By::Id => Ordering::Equal,
        };
        // Rows that are equal must not change places from look to look.
        order.then_with(|| id(self).cmp(&id(other)).then(self.name.cmp(&other.name)))
    }

    fn add(&mut self, other: Self) {
        let sum = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
        self.coroutines += other.coroutines;
        self.waiting += other.waiting;
        self.cpu += other.cpu;
        self.switches += other.switches;
        self.load = sum(self.load, other.load);
        self.rate = sum(self.rate, other.rate);
        self.since = self.since.max(other.since);
    }
}

fn glance_now(console: &Console) -> Answer {
    glance(console, &Wanted::default())
}

fn glance_with(console: &Console, options: Map) -> Answer {
    glance(console, &Wanted::read(&options)?)
}

fn glance(console: &Console, wanted: &Wanted) -> Answer {
    let now = Instant::now();
    let runtimes = &console.shared.runtimes;
    let looked = || {
        console
            .looked
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    };
    let last = Arc::clone(&looked());
    let past = last.at.map(|at| now.duration_since(at).as_secs_f64());
    let per_second = |amount: f64| past.map(|past| amount / past.max(1e-6));
    let mut next = Before {
        at: Some(now),
        backdoor: runtimes.busy(),
        ..Before::default()
    };
    let mut lines = Vec::new();
    let mut groups: HashMap<String, Line> = HashMap::new();
    let (mut total, mut matching) = (0, 0);
    // The one that looks is in what `backdoor` costs, and gone before anybody could open it.
    let own = grapeshot::registry::current();
    for seen in runtimes.walk() {
        console.step()?;
        let info = &seen.info;
        if own == Some(info.id) {
            continue;
        }
        total += 1;
        let nanos = u64::try_from(info.cpu.as_nanos()).unwrap_or(u64::MAX);
        if next.used.len() < limits::GLANCE_REMEMBERED {
            next.used.push((info.id.0, nanos, info.switches));
        } else {
            next.is_part = true;
        }
        if !wanted.takes(info) {
            continue;
        }
        matching += 1;
        let used = last.used(info.id.0);
        let waits = info.waits_for.as_ref().map(|wait| wait.since);
        let line = Line {
            name: String::new(),
            coroutines: 1,
            waiting: u64::from(info.state == State::Waiting),
            cpu: info.cpu,
            switches: info.switches,
            load: used.and_then(|(cpu, _)| per_second(nanos.saturating_sub(cpu) as f64 / 1e9)),
            rate: used
                .and_then(|(_, times)| per_second(info.switches.saturating_sub(times) as f64)),
            since: waits.or(info.runs_for).unwrap_or_default(),
            seen: None,
        };
        if wanted.groups {
            let name = without_numbers(&info.name);
            match groups.get_mut(&name) {
                Some(group) => group.add(line),
                None => {
                    let named = Line {
                        name: name.clone(),
                        ..line
                    };
                    groups.insert(name, named);
                }
            }
        } else {
            let name = info.name.clone();
            lines.push(Line {
                name,
                seen: Some(seen),
                ..line
            });
            if lines.len() >= 4 * limits::GLANCE_ROWS {
                keep_first(&mut lines, wanted);
            }
        }
    }
    // One that starts meanwhile may come twice.
    next.used.sort_unstable_by_key(|(id, ..)| *id);
    next.used.dedup_by_key(|(id, ..)| *id);
    lines.extend(groups.into_values());
    let groups = lines.len();
    keep_first(&mut lines, wanted);
    let workers = runtimes.application.workers();
    next.workers = workers.iter().map(|it| (it.busy, it.resumes)).collect();
    let cost = next.backdoor.saturating_sub(last.backdoor).as_secs_f64();
    let mut rows = Array::with_capacity(lines.len());
    for line in &lines {
        rows.push(row(line, console));
    }
    let fields = [
        ("total", count(total)),
        ("matching", count(matching)),
        (
            "groups",
            if wanted.groups {
                count(groups as u64)
            } else {
                Dynamic::UNIT
            },
        ),
        (
            "since",
            past.map_or(Dynamic::UNIT, |past| {
                duration(Duration::from_secs_f64(past))
            }),
        ),
        ("backdoor", optional(per_second(cost))),
        ("stats", stats(console)),
        ("workers", workers_now(&workers, &last, past, console)),
        ("rows", Dynamic::from_array(rows)),
    ];
    if past.is_none_or(|past| past >= LEAST) {
        *looked() = Arc::new(next);
    }
    Ok(console.record(fields))
}

/// Leaves the first rows, in their order.
fn keep_first(lines: &mut Vec<Line>, wanted: &Wanted) {
    let order = |a: &Line, b: &Line| {
        let order = a.compare(b, wanted.by);
        if wanted.reverse {
            order.reverse()
        } else {
            order
        }
    };
    if wanted.rows < lines.len() {
        lines.select_nth_unstable_by(wanted.rows, order);
        lines.truncate(wanted.rows);
    }
    lines.sort_unstable_by(order);
}

fn row(line: &Line, console: &Console) -> Dynamic {
    let Some(seen) = &line.seen else {
        let fields = [
            ("name", line.name.as_str().into()),
            ("coroutines", count(line.coroutines)),
            ("waiting", count(line.waiting)),
            ("since", duration(line.since)),
            ("load", optional(line.load)),
            ("cpu", duration(line.cpu)),
            ("switches", count(line.switches)),
            ("rate", optional(line.rate)),
        ];
        return console.record(fields);
    };
    let info = &seen.info;
    let doing = match &info.waits_for {
        Some(wait) => wait.to_string(),
        None => info.state.to_string(),
    };
    let fields = [
        ("id", id_value(info.id)),
        ("name", line.name.as_str().into()),
        ("waits", (info.state == State::Waiting).into()),
        ("doing", doing.into()),
        ("since", duration(line.since)),
        ("load", optional(line.load)),
        ("cpu", duration(line.cpu)),
        ("switches", count(line.switches)),
        ("rate", optional(line.rate)),
        ("worker", optional_count(info.worker)),
        ("thread", seen.thread.map_or(Dynamic::UNIT, Into::into)),
    ];
    console.record(fields)
}

fn stats(console: &Console) -> Dynamic {
    let stats = console.shared.runtimes.application.stats();
    let fields = [
        ("uptime", duration(stats.uptime)),
        ("spawned", count(stats.spawned)),
        ("ended", count(stats.ended)),
        ("panicked", count(stats.panicked)),
        (
            "resident_bytes",
            stats.resident_bytes.map_or(Dynamic::UNIT, bytes),
        ),
    ];
    console.record(fields)
}

fn workers_now(
    workers: &[WorkerInfo],
    last: &Before,
    past: Option<f64>,
    console: &Console,
) -> Dynamic {
    let line = |worker: &WorkerInfo| {
        let before = last.workers.get(worker.index).zip(past);
        let load = before.map(|((busy, _), past)| {
            let busy = worker.busy.saturating_sub(*busy).as_secs_f64();
            (busy / past.max(1e-6)).clamp(0.0, 1.0)
        });
        let rate = before.map(|((_, resumes), past)| {
            worker.resumes.saturating_sub(*resumes) as f64 / past.max(1e-6)
        });
        let fields = [
            ("worker", count(worker.index as u64)),
            ("load", optional(load)),
            ("rate", optional(rate)),
            ("coroutines", count(worker.coroutines as u64)),
            ("ready", count(worker.ready as u64)),
            ("timers", count(worker.timers as u64)),
            ("running", worker.running.map_or(Dynamic::UNIT, id_value)),
            ("runs_for", worker.runs_for.map_or(Dynamic::UNIT, duration)),
        ];
        console.record(fields)
    };
    Dynamic::from_array(workers.iter().map(line).collect())
}

fn optional(number: Option<f64>) -> Dynamic {
    number.map_or(Dynamic::UNIT, Into::into)
}
