//! Help, and what has to do with the console itself.

use std::time::Duration;

use rhai::{Array, Dynamic, INT, ImmutableString};

use super::{Answer, Console, Entry, entries};
use crate::complaint::nearest;
use crate::language::{failed, terminated};
use crate::pace::Stop;
use crate::rights::Right;
use crate::value::record;

/// What stands first in `help()`.
pub(super) const FIRST: &[Entry] = &[Entry {
    name: "help",
    call: "help()",
    about: "this list; help(\"ps\") tells more about one name",
    more: "needs: the right that a session must have for it.",
    right: Right::Observe,
    bind: |to| {
        to.add(help);
        to.add(help_for);
    },
}];

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "sleep",
    call: "sleep(seconds)",
    about: "suspend this evaluation",
    more: "The time limit of the console goes on meanwhile and ends a longer one. watch(x, seconds) and profile.take(seconds) may\n\
           take longer, and Ctrl-C ends each of them.",
    right: Right::Observe,
    bind: |to| {
        // The language's own `sleep` would put the worker to sleep.
        to.add(sleep_whole);
        to.add(sleep);
    },
}];

fn help(console: &Console) -> Answer {
    let tag = console.columns(["call", "what it does", "needs"]);
    let line = |call: &str, about: &str, right: Right| {
        let fields = [
            ("call", call.into()),
            ("what it does", about.into()),
            ("needs", right.name().into()),
        ];
        record(tag, fields)
    };
    let functions = &console.shared.functions;
    let own = functions
        .iter()
        .map(|function| line(&function.signature(), &function.doc, function.right));
    let lines: Array = own
        .chain(entries().map(|entry| line(entry.call, entry.about, entry.right)))
        .collect();
    if console.rights().contains(Right::Evaluate) {
        console
            .print("The language is rhai: let x = 5, [1, 2].map(|n| n * x), if x > 3 { \"big\" }.");
    } else {
        console.print(&format!(
            "A line is one expression. This session may: {}.",
            console.rights()
        ));
    }
    console.print("_ is the last result.");
    Ok(Dynamic::from_array(lines))
}

fn help_for(console: &Console, name: ImmutableString) -> Answer {
    let own = console
        .shared
        .functions
        .iter()
        .filter(|f| f.name == name.as_str())
        .map(|f| format!("{}: {}", f.signature(), f.doc));
    let built_in = entries()
        .filter(|entry| entry.is_called(&name))
        .map(|entry| {
            let more = if entry.more.is_empty() {
                String::new()
            } else {
                format!("\n{}", entry.more)
            };
            format!("{}: {}{more}", entry.call, entry.about)
        });
    let text: Vec<String> = own.chain(built_in).collect();
    if text.is_empty() {
        let own = console.shared.functions.iter().map(|it| it.name.as_str());
        let known = entries().map(|entry| entry.name).chain(own);
        if let Some(near) = nearest(&name, known) {
            return Err(failed(&format!(
                "there is no help for {name:?}; did you mean help({near:?})?"
            )));
        }
        return Err(failed(&format!(
            "there is no help for {name:?}; help() lists what there is"
        )));
    }
    Ok(text.join("\n").into())
}

fn sleep_whole(console: &Console, seconds: INT) -> Answer {
    sleep(console, seconds as f64)
}

fn sleep(console: &Console, seconds: f64) -> Answer {
    let duration =
        Duration::try_from_secs_f64(seconds).map_err(|error| failed(&format!("sleep: {error}")))?;
    let pace = &console.pace;
    grapeshot::with_timeout(pace.left(), || grapeshot::sleep(duration))
        .map_err(|_| terminated(&Stop::TimeLimit(pace.limit()).to_string()))?;
    Ok(Dynamic::UNIT)
}
