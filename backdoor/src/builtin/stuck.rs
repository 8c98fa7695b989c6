//! Who does not go on, and what a program had better not do.

use std::time::Duration;

use rhai::{Array, Dynamic, INT};

use super::fields::id_value;
use super::{Answer, Console, Entry};
use crate::backtrace;
use crate::language::failed;
use crate::rights::Right;
use crate::value::duration;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "stuck",
        call: "stuck()",
        about: "coroutines that do not go on: proved, suspected, odd; stuck(seconds) looks at shorter waits, too",
        more: "proved: it waits for a lock, an end or a scope that cannot come, since those in `needs` are stuck too; only kill(id)\n\
           of one of them helps. suspected: it is in a circle that a timeout, or its scope, may still end; or it waits for a channel\n\
           whose other end nobody seems to have but itself, or others that are stuck (`hint` says which). odd: it waits twenty times\n\
           as long as the middle one (`usual`) of those that the same place spawned and that wait for the same kind. Waits for\n\
           channels and odd ones are looked at once they last ten seconds, or as long as you say.",
        right: Right::Observe,
        bind: |to| {
            to.add(|console: &Console| stuck(console, LONG));
            to.add(|console: &Console, seconds: INT| stuck(console, seconds as f64));
            to.add(stuck);
        },
    },
    Entry {
        name: "lints",
        call: "lints()",
        about: "what the program had better not do, with the line and a remedy",
        more: "Selfish coroutines and foreign locks (see stalls()), workers out of balance, calls that wait for a thread of unblock(),\n\
           stacks nearly full, locks held across I/O, long delays (see latency()), coroutines that wait by yielding, groups and\n\
           queues that only grow; locks taken in different orders, if the program watches closely. Of the same kind at the same\n\
           place, the latest.",
        right: Right::Observe,
        bind: |to| to.add(lints),
    },
];

/// Seconds that a wait lasts before anybody wonders.
const LONG: f64 = 10.0;

fn stuck(console: &Console, seconds: f64) -> Answer {
    let least = Duration::try_from_secs_f64(seconds)
        .map_err(|_| failed(&format!("stuck(seconds): from 0, not {seconds:?}")))?;
    let application = console.shared.runtimes.application;
    let found = console.elsewhere("stuck", move || application.stuck_for(least))?;
    let mut rows = Array::with_capacity(found.len());
    for one in found {
        console.step()?;
        let needs: Vec<String> = one.needs.iter().map(|id| format!("#{id}")).collect();
        rows.push(console.record([
            ("certainty", one.certainty.to_string().into()),
            ("id", id_value(one.id)),
            ("name", one.name.as_str().into()),
            ("waits_for", one.waits_for.to_string().into()),
            ("since", duration(one.waits_for.since)),
            ("needs", needs.join(", ").into()),
            ("usual", one.usual.map_or(Dynamic::UNIT, duration)),
            ("place", backtrace::place(&one.backtrace).into()),
            ("hint", one.hint().map_or(Dynamic::UNIT, Dynamic::from)),
        ]));
    }
    Ok(Dynamic::from_array(rows))
}

fn lints(console: &Console) -> Answer {
    let application = console.shared.runtimes.application;
    let found = console.elsewhere("lints", move || application.lints())?;
    let rows = found.into_iter().map(|lint| {
        let ago = lint.at.elapsed().unwrap_or_default();
        console.record([
            ("lint", lint.kind.to_string().into()),
            ("id", id_value(lint.id)),
            ("name", lint.name.into()),
            ("place", lint.place.into()),
            ("ago", duration(ago)),
            ("what", lint.what.into()),
            ("remedy", lint.kind.remedy().into()),
        ])
    });
    Ok(Dynamic::from_array(rows.collect()))
}
