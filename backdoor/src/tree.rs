//! `tree()`: the coroutines, each under the one that spawned it or whose scope it is in.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use grapeshot::CoroutineId;
use grapeshot::registry::CoroutineInfo;

/// Levels that are drawn. A chain of spawns has no end, and a terminal has: what is deeper stands at the last one.
const LEVELS: usize = 10;

/// A coroutine that is still to be drawn.
struct Open {
    coroutine: CoroutineInfo,
    level: usize,
    /// The lines of those above it.
    lead: String,
    /// Another child of the same parent comes after it.
    follows: bool,
}

/// Puts `coroutines` in the order of the tree, each with its name and what leads to it: of all, or of `root` and what is
/// below it. One whose parent has ended begins a tree of its own.
pub(crate) fn lines(
    coroutines: Vec<CoroutineInfo>,
    root: Option<CoroutineId>,
) -> Vec<(CoroutineInfo, String)> {
    let known: BTreeSet<CoroutineId> = coroutines.iter().map(|it| it.id).collect();
    let mut children: BTreeMap<CoroutineId, Vec<CoroutineInfo>> = BTreeMap::new();
    let mut roots = Vec::new();
    for coroutine in coroutines {
        match coroutine.parent.filter(|parent| known.contains(parent)) {
            _ if root == Some(coroutine.id) => roots.push(coroutine),
            Some(parent) => children.entry(parent).or_default().push(coroutine),
            None if root.is_none() => roots.push(coroutine),
            None => {}
        }
    }
    // From the end: what is pushed last is drawn first.
    roots.sort_by_key(|it| Reverse(it.id));
    let mut open: Vec<Open> = roots
        .into_iter()
        .map(|coroutine| Open {
            coroutine,
            level: 0,
            lead: String::new(),
            follows: false,
        })
        .collect();
    let mut lines = Vec::new();
    while let Some(next) = open.pop() {
        let mut below = children.remove(&next.coroutine.id).unwrap_or_default();
        below.sort_by_key(|it| Reverse(it.id));
        let lead = next.lead_below();
        open.extend(
            below
                .into_iter()
                .enumerate()
                .map(|(after, coroutine)| Open {
                    coroutine,
                    level: next.level + 1,
                    lead: lead.clone(),
                    follows: after > 0,
                }),
        );
        let text = next.draw();
        lines.push((next.coroutine, text));
    }
    lines
}

impl Open {
    fn lead_below(&self) -> String {
        match (self.level, self.follows) {
            (0 | LEVELS.., _) => self.lead.clone(),
            (_, true) => format!("{}│  ", self.lead),
            (_, false) => format!("{}   ", self.lead),
        }
    }

    fn draw(&self) -> String {
        let (lead, name) = (&self.lead, &self.coroutine.name);
        // A whole line: the parent's end is its end. A broken one: it goes on.
        let branch = match (self.follows, self.coroutine.scoped) {
            _ if self.level == 0 => "",
            (true, true) => "├─ ",
            (false, true) => "└─ ",
            (true, false) => "├╌ ",
            (false, false) => "└╌ ",
        };
        format!("{lead}{branch}{name}")
    }
}
