//! `where_all()`: the coroutines that are at the same place, as Go's dump of goroutines groups them.

use std::collections::HashMap;
use std::sync::Arc;

use grapeshot::CoroutineId;
use rhai::{Array, Dynamic, EvalAltResult, INT};

use crate::backdoor::Shared;
use crate::backtrace;
use crate::builtin::without_numbers;
use crate::limits;
use crate::pace::Pace;
use crate::value::record;

/// Coroutines with the same stack, but for the runtime's frames at its ends.
struct Crowd {
    first: CoroutineId,
    /// Of the first.
    name: String,
    one_name: bool,
    doing: String,
    coroutines: usize,
}

/// The crowds, the largest first, and how many coroutines were left out. On a thread of its own: it takes backtraces.
fn crowds(shared: &Shared) -> (Vec<(Vec<String>, Crowd)>, usize) {
    let mut crowds: HashMap<(Vec<String>, String), Crowd> = HashMap::new();
    let mut all = shared.runtimes.application.backtraces();
    for (info, frames) in all.by_ref().take(limits::WHERE_ALL) {
        let doing = match &info.waits_for {
            Some(wait) => wait.operation.to_owned(),
            None => info.state.to_string(),
        };
        let stack = match frames {
            Ok(frames) => backtrace::chain(&frames),
            Err(error) => vec![error.to_string()],
        };
        let name = without_numbers(&info.name);
        let fresh = || Crowd {
            first: info.id,
            name: name.clone(),
            one_name: true,
            doing: doing.clone(),
            coroutines: 0,
        };
        let crowd = crowds.entry((stack, doing.clone())).or_insert_with(fresh);
        crowd.coroutines += 1;
        crowd.one_name &= crowd.name == name;
    }
    let mut crowds: Vec<_> = crowds
        .into_iter()
        .map(|((stack, _), crowd)| (stack, crowd))
        .collect();
    crowds.sort_by_key(|(_, crowd)| (std::cmp::Reverse(crowd.coroutines), crowd.first));
    (crowds, all.left())
}

/// A row for each crowd. May suspend.
pub(crate) fn rows(
    shared: &Arc<Shared>,
    pace: &Pace,
    print: &dyn Fn(&str),
) -> Result<Dynamic, Box<EvalAltResult>> {
    let theirs = Arc::clone(shared);
    let calls = &shared.runtimes.calls;
    let (crowds, left_out) = calls.call("where_all", pace, move || crowds(&theirs))?;
    if left_out > 0 {
        print(&format!(
            "{left_out} coroutines were not looked at: the first {} are in this",
            limits::WHERE_ALL
        ));
    }
    let columns = ["coroutines", "name", "state", "first", "stack"];
    let tag = shared.shapes.tag(columns.map(str::to_owned).to_vec());
    let row = |(stack, crowd): (Vec<String>, Crowd)| {
        let others = if crowd.one_name { "" } else { ", …" };
        let fields = [
            ("coroutines", (crowd.coroutines as INT).into()),
            ("name", format!("{}{others}", crowd.name).into()),
            ("state", crowd.doing.into()),
            ("first", (crowd.first.0 as INT).into()),
            ("stack", stack.join(" ← ").into()),
        ];
        record(tag, fields)
    };
    let rows: Array = crowds.into_iter().map(row).collect();
    Ok(Dynamic::from_array(rows))
}
