//! What looking costs.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rhai::Dynamic;

use super::fields::count;
use super::{Answer, Console, Entry};
use crate::rights::Right;
use crate::value::{duration, record};

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "cost",
    call: "cost()",
    about: "what the console's own functions took so far, and what they left out",
    more: "For all sessions since the backdoor was opened. took: from call to answer, waiting included, on threads of the\n\
           backdoor's own; no worker of the application is held for longer than some tens of microseconds by any of it.\n\
           left_out: rows, coroutines or lines that there were, and that were not shown.",
    right: Right::Observe,
    bind: |to| to.add(cost),
}];

/// What the functions of all sessions cost so far.
#[derive(Debug, Default)]
pub(crate) struct Costs(Mutex<BTreeMap<&'static str, Cost>>);

#[derive(Debug, Default, Clone, Copy)]
struct Cost {
    calls: u64,
    took: Duration,
    longest: Duration,
    lost: u64,
}

impl Costs {
    /// Counts one call.
    pub(crate) fn add(&self, call: &'static str, took: Duration, lost: u64) {
        let mut costs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cost = costs.entry(call).or_default();
        cost.calls += 1;
        cost.took += took;
        cost.longest = cost.longest.max(took);
        cost.lost += lost;
    }
}

fn cost(console: &Console) -> Answer {
    let tag = console.columns(["view", "calls", "took", "longest", "left_out"]);
    let costs = console.shared.costs.0.lock();
    let costs = costs.unwrap_or_else(PoisonError::into_inner).clone();
    let mut costs: Vec<_> = costs.into_iter().collect();
    costs.sort_by_key(|(_, cost)| std::cmp::Reverse(cost.took));
    let row = |(view, cost): (&str, Cost)| {
        let fields = [
            ("view", view.into()),
            ("calls", count(cost.calls)),
            ("took", duration(cost.took)),
            ("longest", duration(cost.longest)),
            ("left_out", count(cost.lost)),
        ];
        record(tag, fields)
    };
    Ok(Dynamic::from_array(costs.into_iter().map(row).collect()))
}
