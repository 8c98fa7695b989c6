//! What is wrong: deadlocks, stalls and lints, as they are now; and those that do not go on, when somebody asks.
//!
//! Each has a key, which stays while it is there: by those the page counts them, and knows what it has shown already. They are
//! counted for all pages at once, and seldom, because that looks at every coroutine.
//!
//! The search for those costs more than all else that a page is shown: it looks at every coroutine, and may read the memory of
//! the process. So it is made once for each time that a person asks, and never by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use grapeshot::registry::{Deadlock, Deadlocked, Lint, Stall, Stuck};
use serde_json::{Value, json};

use super::snapshot::{frames, said};
use crate::backdoor::Shared;
use crate::backtrace;
use crate::builtin::{self, without_numbers};
use crate::journal;
use crate::pace::Pace;
use crate::rights::Rights;
use crate::transport::Visitor;

/// How long a search may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Those that do not go on and are shown, the surest of them.
const MOST_STUCK: usize = 200;

/// How often what is wrong is counted.
pub(crate) const COUNT_EVERY: Duration = Duration::from_secs(2);
/// Counting takes less than this part of the time, however long it takes.
const COUNT_SHARE: u32 = 100;

/// What is wrong, for all pages: by their keys.
#[derive(Default)]
pub(crate) struct Watch(grapeshot::sync::Mutex<Option<Counted>>);

struct Counted {
    at: Instant,
    took: Duration,
    deadlocks: Vec<String>,
    lints: Vec<String>,
    stalls: Vec<String>,
}

impl Watch {
    /// The keys of all that somebody with these rights may see. **May suspend**, for a second or so.
    pub(crate) fn count(&self, shared: &Shared, rights: Rights, pace: &Pace) -> Option<Value> {
        let mut latest = self.0.lock();
        let now = grapeshot::time::now();
        let is_fresh = |it: &Counted| {
            let pause = COUNT_EVERY.max(it.took * COUNT_SHARE);
            now.saturating_duration_since(it.at) < pause
        };
        if !latest.as_ref().is_some_and(is_fresh) {
            let application = shared.runtimes.application;
            // It takes backtraces, which may wait for a worker that is held.
            let call = shared.runtimes.calls.call("trouble", pace, move || {
                (application.deadlocks(), application.lints())
            });
            let (deadlocks, lints) = call.ok()?;
            let end = grapeshot::time::now();
            *latest = Some(Counted {
                at: end,
                took: end.saturating_duration_since(now),
                deadlocks: deadlocks.iter().map(circle_key).collect(),
                lints: by_place(lints)
                    .keys()
                    .map(|(kind, place)| lint_key(kind, place))
                    .collect(),
                stalls: application.stalls().iter().map(stall_key).collect(),
            });
        }
        let counted = latest.as_ref()?;
        let seen = |name: &str, keys: &[String]| may(rights, name).then(|| keys.to_vec());
        Some(json!({
            "deadlocks": seen("deadlocks", &counted.deadlocks), "lints": seen("lints", &counted.lints),
            "stalls": seen("stalls", &counted.stalls),
        }))
    }
}

/// Of all stalls of the like coroutines in the same function: who stalls again and again does nothing new.
fn stall_key(stall: &Stall) -> String {
    let (name, place) = (
        without_numbers(&stall.name),
        backtrace::place(&stall.backtrace),
    );
    format!("stall {name} {place}")
}

fn lint_key(kind: &str, place: &str) -> String {
    format!("lint {kind} {place}")
}

fn circle_key(deadlock: &Deadlock) -> String {
    let mut ids: Vec<u64> = deadlock.coroutines.iter().map(|it| it.id.0).collect();
    ids.sort_unstable();
    format!("deadlock {ids:?}")
}

/// Whether these rights are enough for what the console calls `name()`.
fn may(rights: Rights, name: &str) -> bool {
    builtin::entries().any(|entry| entry.name == name && rights.contains(entry.right))
}

/// Stalls, deadlocks and lints; what somebody has no right to see is null. **May suspend.**
pub(crate) fn view(shared: &Arc<Shared>, rights: Rights, pace: &Pace) -> Value {
    let application = shared.runtimes.application;
    let stalls = may(rights, "stalls").then(|| {
        let stalls = application.stalls();
        let shown = stalls.iter().rev().map(|it| stall(it, shared, pace));
        shown.collect::<Vec<Value>>()
    });
    let (deadlocks, lints) = (may(rights, "deadlocks"), may(rights, "lints"));
    // It takes backtraces, which may wait for a worker that is held.
    let found = shared.runtimes.calls.call("trouble", pace, move || {
        (
            deadlocks.then(|| application.deadlocks()),
            lints.then(|| application.lints()),
        )
    });
    let mut view = json!({"panel": "trouble", "stalls": stalls, "searches": may(rights, "stuck")});
    match found {
        Ok((deadlocks, lints)) => {
            let circles = |found: Vec<Deadlock>| found.iter().map(circle).collect::<Vec<Value>>();
            view["deadlocks"] = json!(deadlocks.map(circles));
            view["lints"] = json!(lints.map(places));
        }
        Err(error) => view["failed"] = said(&error).into(),
    }
    view
}

fn stall(stall: &Stall, shared: &Shared, pace: &Pace) -> Value {
    let lock = stall.lock.as_ref();
    let holder = lock.and_then(|lock| lock.holders.first());
    let since = stall.since.duration_since(UNIX_EPOCH).unwrap_or_default();
    json!({
        "key": stall_key(stall), "since": since.as_millis() as u64, "id": stall.id.0, "at": backtrace::spot(&stall.backtrace), "name": stall.name, "worker": stall.worker, "lasted": stall.lasted.as_secs_f64(),
        "over": stall.over, "ran": stall.ran.map(|it| it.as_secs_f64()), "lock": lock.map(|it| it.kind),
        "held_by": holder.map(|it| it.id.0), "place": backtrace::place(&stall.backtrace),
        "frames": frames(backtrace::rows(&stall.backtrace, false, &shared.shapes), shared, pace),
    })
}

fn circle(deadlock: &Deadlock) -> Value {
    let member = |it: &Deadlocked| {
        json!({
            "id": it.id.0, "name": it.name, "waits_for": it.waits_for.to_string(), "held_by": it.held_by.0,
            "place": backtrace::place(&it.backtrace), "at": backtrace::spot(&it.backtrace),
        })
    };
    let steps: Vec<Value> = deadlock.coroutines.iter().map(member).collect();
    json!({"key": circle_key(deadlock), "steps": steps})
}

/// One for each kind and place, the latest, with how many there were; in an order that stays when one is raised again.
fn by_place(lints: Vec<Lint>) -> BTreeMap<(String, String), (usize, Lint)> {
    let mut places: BTreeMap<(String, String), (usize, Lint)> = BTreeMap::new();
    for lint in lints {
        let key = (lint.kind.to_string(), lint.place.clone());
        let times = places.get(&key).map_or(0, |(times, _)| *times);
        places.insert(key, (times + 1, lint));
    }
    places
}

fn places(lints: Vec<Lint>) -> Vec<Value> {
    let shown = by_place(lints).into_iter().map(|((kind, place), (times, lint))| {
        json!({
            "key": lint_key(&kind, &place), "lint": lint.kind.to_string(), "id": lint.id.0, "name": lint.name, "place": lint.place, "what": lint.what,
            "remedy": lint.kind.remedy(), "ago": lint.at.elapsed().unwrap_or_default().as_secs_f64(), "times": times,
        })
    });
    shown.collect()
}

/// What the page is answered that asked for those that are stuck. **May suspend**, for seconds if there are many coroutines.
pub(crate) fn search(shared: &Arc<Shared>, visitor: &Visitor, page: u64, seconds: u32) -> Value {
    if !may(visitor.rights, "stuck") {
        journal::warn(format!(
            "page {page}: {visitor} asked for stuck(), and has not the right"
        ));
        return json!({"stuck": {"failed": "this page has not the right to ask for that"}});
    }
    journal::info(format!("page {page}: {visitor} asked for stuck({seconds})"));
    let application = shared.runtimes.application;
    let least = Duration::from_secs(u64::from(seconds));
    let pace = Pace::new(PATIENCE, page);
    pace.start();
    let began = grapeshot::time::now();
    let found = shared
        .runtimes
        .calls
        .call("stuck", &pace, move || application.stuck_for(least));
    let found = match found {
        Ok(found) => found,
        Err(error) => return json!({"stuck": {"failed": said(&error)}}),
    };
    let took = grapeshot::time::now().saturating_duration_since(began);
    let rows: Vec<Value> = found.iter().take(MOST_STUCK).map(stuck).collect();
    json!({"stuck": {"rows": rows, "total": found.len(), "took": took.as_secs_f64()}})
}

fn stuck(one: &Stuck) -> Value {
    let needs: Vec<u64> = one.needs.iter().map(|id| id.0).collect();
    json!({
        "certainty": one.certainty.to_string(), "id": one.id.0, "name": one.name, "waits_for": one.waits_for.to_string(),
        "since": one.waits_for.since.as_secs_f64(), "needs": needs, "usual": one.usual.map(|it| it.as_secs_f64()),
        "place": backtrace::place(&one.backtrace), "at": backtrace::spot(&one.backtrace), "hint": one.hint(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rights::Right;

    #[test]
    fn each_part_needs_the_right_that_its_command_names() {
        for name in ["stalls", "deadlocks", "lints", "stuck"] {
            let entry = builtin::entries().find(|entry| entry.name == name);
            let right = entry.expect("a command of the console").right;
            for rights in Right::ALL.map(|right| Rights::of([right])) {
                assert_eq!(
                    may(rights, name),
                    rights.contains(right),
                    "{name}: {rights}"
                );
            }
        }
        assert!(!may(Rights::all(), "nobody"));
    }
}
