//! The level of the application's log.

use rhai::ImmutableString;

use super::{Answer, Console, Entry};
use crate::language::failed;
use crate::log_filter;
use crate::rights::Right;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "log_level",
        call: "log_level()",
        about: "which lines are logged",
        more: "",
        right: Right::Observe,
        bind: |to| to.add(shown),
    },
    Entry {
        name: "log_level",
        call: "log_level(text)",
        about: "changes that: log_level(\"debug\"), log_level(\"info,grapeshot_http=debug\")",
        more: "The levels are off, error, warn, info, debug and trace. A level alone is for everything that the program's logger\n\
               takes. One for a part, by the path of its module, needs the program to have installed grapeshot_backdoor::LogFilter.",
        right: Right::Trace,
        bind: |to| to.add(set),
    },
];

fn shown(_: &Console) -> Answer {
    Ok(log_filter::levels().into())
}

fn set(console: &Console, levels: ImmutableString) -> Answer {
    log_filter::set_levels(&levels).map_err(|error| failed(&format!("log_level: {error}")))?;
    crate::journal::warn(format!(
        "console session {}: {} set the log's level to {}",
        console.pace.session(),
        console.visitor,
        log_filter::levels()
    ));
    shown(console)
}
