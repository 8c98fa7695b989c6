//! What pages are shown: the figures, and the view that each asks for. Durations are seconds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use grapeshot::CoroutineId;
use grapeshot::registry::{CoroutineInfo, Delays, Latency, State};
use serde::Serialize;
use serde_json::{Value, json};

use super::asker::Asker;
use super::logs;
use super::pick::{Pick, since};
use super::view::{Panel, Search};
use super::{profiler, trouble};
use crate::backdoor::Shared;
use crate::backtrace;
use crate::builtin::without_numbers;
use crate::pace::Pace;
use crate::rights::Rights;
use crate::runtimes::Seen;
use crate::value::{self, Units};

/// Coroutines that are looked at before others have their turn.
const STRIDE: u64 = 256;
/// Groups that are told apart; those that come later are one.
const MOST_GROUPS: usize = 1000;
/// What they are called.
const OTHERS: &str = "(others)";
/// Lines of the log in one snapshot.
const MOST_LINES: usize = 400;

/// The figures that every snapshot has.
#[derive(Serialize)]
pub(crate) struct Figures {
    uptime: f64,
    live: usize,
    spawned: u64,
    ended: u64,
    panicked: u64,
    interrupted: u64,
    timeouts: u64,
    resident_bytes: Option<u64>,
    latency: Waits,
    workers: Vec<Worker>,
}

#[derive(Serialize)]
struct Worker {
    worker: usize,
    running: Option<u64>,
    runs_for: Option<f64>,
    sleeping: bool,
    coroutines: usize,
    ready: usize,
    timers: usize,
    resumes: u64,
    polls: u64,
    stolen: u64,
    busy: f64,
    stacks_pooled: usize,
    latency: Waits,
}

/// How long what could run waited for a worker: see `registry::latency`.
#[derive(Serialize)]
struct Waits {
    queued: Lengths,
    unseen: Lengths,
}

#[derive(Serialize)]
struct Lengths {
    count: u64,
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl From<&Latency> for Waits {
    fn from(latency: &Latency) -> Self {
        let lengths = |delays: &Delays| Lengths {
            count: delays.count(),
            p50: delays.p50().as_secs_f64(),
            p90: delays.p90().as_secs_f64(),
            p99: delays.p99().as_secs_f64(),
            max: delays.max().as_secs_f64(),
        };
        Self {
            queued: lengths(&latency.queued),
            unseen: lengths(&latency.unseen),
        }
    }
}

#[derive(Serialize)]
struct Row {
    id: u64,
    name: String,
    state: String,
    waits_for: Option<String>,
    since: Option<f64>,
    cpu: f64,
    switches: u64,
    /// A number, or the name of a thread of the backdoor's own.
    worker: Value,
}

#[derive(Serialize)]
struct Details {
    #[serde(flatten)]
    row: Row,
    site: String,
    parent: Option<u64>,
    scoped: bool,
    age: f64,
    stack_size: usize,
    stack_used: Option<usize>,
    interrupted: bool,
}

/// Of the coroutines of one name.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) coroutines: u64,
    pub(crate) running: u64,
    pub(crate) ready: u64,
    pub(crate) waiting: u64,
    /// The longest wait that is on.
    pub(crate) longest: f64,
    pub(crate) cpu: f64,
    pub(crate) switches: u64,
}

pub(crate) fn figures(shared: &Shared) -> Figures {
    let application = shared.runtimes.application;
    let stats = application.stats();
    let latency = application.latency();
    let worker = |it: grapeshot::registry::WorkerInfo| Worker {
        latency: (&latency[it.index]).into(),
        worker: it.index,
        running: it.running.map(|id| id.0),
        runs_for: it.runs_for.map(|it| it.as_secs_f64()),
        sleeping: it.sleeping,
        coroutines: it.coroutines,
        ready: it.ready,
        timers: it.timers,
        resumes: it.resumes,
        polls: it.polls,
        stolen: it.stolen,
        busy: it.busy.as_secs_f64(),
        stacks_pooled: it.stacks_pooled,
    };
    Figures {
        uptime: stats.uptime.as_secs_f64(),
        live: stats.live,
        spawned: stats.spawned,
        ended: stats.ended,
        panicked: stats.panicked,
        interrupted: stats.interrupted,
        timeouts: stats.timeouts,
        resident_bytes: stats.resident_bytes,
        latency: (&latency.iter().cloned().collect::<Latency>()).into(),
        workers: application.workers().into_iter().map(worker).collect(),
    }
}

/// What a panel shows to whoever has these rights. **May suspend.**
pub(crate) fn panel(
    panel: &Panel,
    shared: &Arc<Shared>,
    rights: Rights,
    asker: &mut Asker,
    pace: &Pace,
) -> Value {
    match panel {
        Panel::Figures => Value::Null,
        Panel::Coroutines(search) => coroutines(search, shared),
        Panel::Groups => {
            // When they are looked at, in seconds: what changed since is a load.
            let at = shared.uptime().as_secs_f64();
            json!({"panel": "groups", "at": at, "rows": groups(shared)})
        }
        Panel::Sites => sites(shared),
        Panel::Trouble => trouble::view(shared, rights, pace),
        Panel::Profiler => profiler::view(),
        Panel::Answers { of } => json!({"panel": "answers", "answers": asker.answers(of, shared)}),
        Panel::Log { after } => {
            let (lines, next, lost) = logs::after(*after, MOST_LINES);
            json!({"panel": "log", "rows": lines, "next": next, "lost": lost, "complete": logs::is_installed()})
        }
    }
}

fn coroutines(search: &Search, shared: &Shared) -> Value {
    let mut pick = Pick::new(search);
    each(shared, |seen| pick.offer(seen));
    let picked = pick.finish();
    let rows: Vec<Row> = picked.rows.into_iter().map(row).collect();
    json!({"panel": "coroutines", "rows": rows, "from": search.from, "matching": picked.matching, "all": picked.looked_at})
}

/// Looks at each coroutine, the backdoor's own too, and lets others run meanwhile.
fn each(shared: &Shared, mut see: impl FnMut(Seen)) {
    let mut count = 0_u64;
    for seen in shared.runtimes.walk() {
        see(seen);
        count += 1;
        if count.is_multiple_of(STRIDE) {
            grapeshot::yield_now();
        }
    }
}

/// Sums up by name. **May suspend.**
pub(crate) fn groups(shared: &Shared) -> Vec<Group> {
    let mut groups: HashMap<String, Group> = HashMap::new();
    each(shared, |Seen { info, .. }| {
        let mut name = without_numbers(&info.name);
        if groups.len() >= MOST_GROUPS && !groups.contains_key(&name) {
            OTHERS.clone_into(&mut name);
        }
        let group = groups.entry(name).or_default();
        group.coroutines += 1;
        match info.state {
            State::Running => group.running += 1,
            State::Waiting => group.waiting += 1,
            State::Ready | State::Unstarted => group.ready += 1,
            _ => {}
        }
        let waited = info
            .waits_for
            .as_ref()
            .map_or(Duration::ZERO, |it| it.since);
        group.longest = group.longest.max(waited.as_secs_f64());
        group.cpu += info.cpu.as_secs_f64();
        group.switches += info.switches;
    });
    let named = |(name, group)| Group { name, ..group };
    let mut all: Vec<Group> = groups.into_iter().map(named).collect();
    all.sort_by(|a, b| {
        b.coroutines
            .cmp(&a.coroutines)
            .then_with(|| a.name.cmp(&b.name))
    });
    all
}

fn sites(shared: &Shared) -> Value {
    let row = |site: grapeshot::registry::SiteInfo| {
        json!({
            "site": backtrace::shorten(site.site), "coroutines": site.coroutines, "ready": site.ready,
            "waiting": site.waiting, "cpu": site.cpu.as_secs_f64(), "switches": site.switches, "stack_max": site.stack_max,
        })
    };
    let rows: Vec<Value> = shared
        .runtimes
        .application
        .sites()
        .into_iter()
        .map(row)
        .collect();
    json!({"panel": "sites", "rows": rows})
}

/// The coroutine that is open, with where it is. **May suspend**, for a second or so.
pub(crate) fn detail(id: u64, shared: &Arc<Shared>, pace: &Pace) -> Value {
    let Some(seen) = shared.runtimes.coroutine(CoroutineId(id)) else {
        return json!({"id": id, "gone": true});
    };
    let found = backtrace::of(CoroutineId(id), false, shared, pace);
    let details = details(seen);
    match found {
        Ok(rows) => json!({"id": id, "info": details, "frames": frames(rows, shared, pace)}),
        Err(error) => json!({"id": id, "info": details, "failed": said(&error)}),
    }
}

pub(crate) fn frames(rows: rhai::Dynamic, shared: &Shared, pace: &Pace) -> Value {
    value::to_json(&rows, Units::Plain, &shared.shapes, pace).unwrap_or(Value::Null)
}

fn details(seen: Seen) -> Details {
    let info = seen.info.clone();
    Details {
        row: row(seen),
        site: backtrace::shorten(info.site),
        parent: info.parent.map(|id| id.0),
        scoped: info.scoped,
        age: info.age.as_secs_f64(),
        stack_size: info.stack_size,
        stack_used: info.stack_used,
        interrupted: info.interrupted,
    }
}

fn row(Seen { info, thread }: Seen) -> Row {
    Row {
        id: info.id.0,
        state: info.state.to_string(),
        waits_for: info.waits_for.as_ref().map(ToString::to_string),
        since: since(&info).map(|it| it.as_secs_f64()),
        cpu: info.cpu.as_secs_f64(),
        switches: info.switches,
        worker: worker(&info, thread),
        name: info.name,
    }
}

fn worker(info: &CoroutineInfo, thread: Option<&str>) -> Value {
    match thread {
        Some(thread) => thread.into(),
        None => info.worker.map_or(Value::Null, Value::from),
    }
}

/// What an error of a function says, without the language's own words before it.
pub(crate) fn said(error: &rhai::EvalAltResult) -> String {
    match error {
        rhai::EvalAltResult::ErrorRuntime(said, _) => said.to_string(),
        other => other.to_string(),
    }
}
