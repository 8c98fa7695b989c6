//! What happens, event by event, and why something does not.

use std::collections::HashMap;
use std::time::Duration;

use grapeshot::CoroutineId;
use grapeshot::trace::{Event, Follow, What, Why};
use rhai::{Array, Dynamic, INT, ImmutableString};

use super::fields::id_value;
use super::{Answer, Console, Entry, coroutine_id, gone};
use crate::language::failed;
use crate::render;
use crate::rights::Right;
use crate::value::{duration, record};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "why",
        call: "why(id)",
        about: "why a coroutine does not go on: what it waits for, who has that, and so on; see help(\"why\")",
        more: "One sentence a hop. Locks and joins are known for sure; such waits were ended before by somebody: while events\n\
               are recorded (by trace, or a black box), that one is looked at next.",
        right: Right::Observe,
        bind: |to| to.add(why),
    },
    // It records, so whoever may only look may not.
    Entry {
        name: "why",
        call: "why(id, seconds)",
        about: "watches for so long, and says what it and those it waited for did with all of that time",
        more: "",
        right: Right::Trace,
        bind: |to| to.add(why_meanwhile),
    },
    Entry {
        name: "trace",
        call: "trace(id)",
        about: "each suspension, wake and resumption of a coroutine as it happens, until Ctrl-C; trace(\"name\"): of all called so",
        more: "trace(id, n) ends after n lines. after: since the line before of the same coroutine.\n\
               A busy coroutine does more than a console can show: what is left out is counted.",
        right: Right::Trace,
        bind: |to| {
            to.add(trace);
            to.add(trace_some);
            to.add(trace_named);
            to.add(trace_named_some);
        },
    },
];

/// Events of each worker that are kept meanwhile.
const EVENTS: usize = 1 << 16;
/// How often a trace is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Lines that are shown of one look.
const LINES: usize = 200;
/// Coroutines of which the latest event is remembered.
const KNOWN: usize = 10_000;

fn why(console: &Console, id: INT) -> Answer {
    let why = console.shared.runtimes.application.why(coroutine_id(id)?);
    let why = why.ok_or_else(|| failed(&gone(id)))?;
    Ok(why.to_string().into())
}

/// What [`why_meanwhile`] may last: an hour.
const LONGEST: Duration = Duration::from_secs(3600);

fn why_meanwhile(console: &Console, id: INT, seconds: Dynamic) -> Answer {
    let coroutine = coroutine_id(id)?;
    let seconds = seconds
        .as_float()
        .or_else(|_| seconds.as_int().map(|seconds| seconds as f64))
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|seconds| *seconds <= LONGEST)
        .ok_or_else(|| failed("why(id, seconds) wants a number of seconds, at most 3600"))?;
    let application = console.shared.runtimes.application;
    if application.coroutine(coroutine).is_none() {
        return Err(failed(&gone(id)));
    }
    let tracing = application
        .trace(EVENTS)
        .map_err(|error| failed(&error.to_string()))?;
    let from = tracing.snapshot().until;
    let end = grapeshot::time::now() + seconds;
    while grapeshot::time::now() < end {
        console.rest(LOOK)?;
    }
    let recording = tracing.stop();
    let why = recording.why(coroutine, from, recording.until);
    // Of a wait that was on all the time the events say nothing.
    let now = application.why(coroutine);
    let now = now.filter(|now| now.hops.len() > why.hops.len());
    console.print(&now.as_ref().unwrap_or(&why).to_string());
    if recording.losses.overwritten > 0 {
        console.print(&format!("({})", recording.losses));
    }
    parts(console, &why)
}

/// The parts of a time, a row each.
fn parts(console: &Console, why: &Why) -> Answer {
    let tag = console.columns(["id", "name", "doing", "behind", "time", "share"]);
    let mut rows = Array::with_capacity(why.parts.len());
    for part in &why.parts {
        console.step()?;
        let share = part.lasted.as_secs_f64() / why.lasted.as_secs_f64().max(f64::MIN_POSITIVE);
        rows.push(record(
            tag,
            [
                ("id", id_value(part.id)),
                ("name", part.name.as_str().into()),
                ("doing", part.doing.to_string().into()),
                ("behind", part.behind.map_or(Dynamic::UNIT, id_value)),
                ("time", duration(part.lasted)),
                ("share", format!("{:.1} %", 100.0 * share).into()),
            ],
        ));
    }
    Ok(Dynamic::from_array(rows))
}

fn trace(console: &Console, id: INT) -> Answer {
    trace_some(console, id, INT::MAX)
}

fn trace_some(console: &Console, id: INT, lines: INT) -> Answer {
    let id = coroutine_id(id)?;
    if console.shared.runtimes.application.coroutine(id).is_none() {
        return Err(failed(&gone(id.0 as INT)));
    }
    let mut show = Show::new(console, lines, move |other, _| other == id);
    show.until_end(|event| event.coroutine == id && matches!(event.what, What::Ended(_)))
}

fn trace_named(console: &Console, name: ImmutableString) -> Answer {
    trace_named_some(console, name, INT::MAX)
}

fn trace_named_some(console: &Console, name: ImmutableString, lines: INT) -> Answer {
    let mut lives = false;
    for info in console.shared.runtimes.application.walk() {
        console.step()?;
        lives |= info.name == name.as_str();
        if lives {
            break;
        }
    }
    if !lives {
        console.print(&format!(
            "nobody is called {name:?} now: this waits for one, and Ctrl-C ends it"
        ));
    }
    let mut show = Show::new(console, lines, move |_, called| called == name.as_str());
    show.until_end(|_| false)
}

/// A trace that is shown.
struct Show<'a, M> {
    console: &'a Console,
    /// Whether one with this number and name is meant.
    is_meant: M,
    left: INT,
    /// Of those whose events have come: the name, if they are meant, and when the latest was.
    known: HashMap<CoroutineId, Option<(String, Duration)>>,
    /// When the first line was.
    first: Option<Duration>,
    skipped: u64,
}

impl<'a, M: Fn(CoroutineId, &str) -> bool> Show<'a, M> {
    fn new(console: &'a Console, lines: INT, is_meant: M) -> Self {
        Self {
            console,
            is_meant,
            left: lines,
            known: HashMap::new(),
            first: None,
            skipped: 0,
        }
    }

    /// Prints lines until there were enough, `is_last` says so, or the evaluation has to stop.
    fn until_end(&mut self, is_last: impl Fn(&Event) -> bool) -> Answer {
        let application = self.console.shared.runtimes.application;
        let tracing = application
            .trace(EVENTS)
            .map_err(|error| failed(&error.to_string()))?;
        let mut follow = tracing.follow();
        let mut ended = false;
        while self.left > 0 && !ended {
            if let Err(stop) = self.console.rest(LOOK) {
                self.say_what_is_missing(&follow);
                return Err(stop);
            }
            let mut shown = 0;
            for event in follow.next_events() {
                self.console.step()?;
                ended |= is_last(&event);
                if self.left == 0 || !self.knows(&event, &mut follow) {
                    continue;
                }
                if shown == LINES {
                    self.skipped += 1;
                    continue;
                }
                shown += 1;
                self.left -= 1;
                self.line(&event);
            }
        }
        self.say_what_is_missing(&follow);
        Ok(Dynamic::UNIT)
    }

    /// Is the event about one that is meant?
    fn knows(&mut self, event: &Event, follow: &mut Follow) -> bool {
        let id = event.coroutine;
        if let Some(known) = self.known.get(&id) {
            return known.is_some();
        }
        if self.known.len() >= KNOWN {
            self.known.clear();
        }
        let application = self.console.shared.runtimes.application;
        let name = follow.name(id).map(str::to_owned);
        let name = name.or_else(|| application.coroutine(id).map(|info| info.name));
        let meant = name.filter(|name| (self.is_meant)(id, name));
        let is_meant = meant.is_some();
        self.known.insert(id, meant.map(|name| (name, event.at)));
        is_meant
    }

    fn line(&mut self, event: &Event) {
        let first = *self.first.get_or_insert(event.at);
        let Some(Some((name, latest))) = self.known.get_mut(&event.coroutine) else {
            return;
        };
        let after = event.at.saturating_sub(std::mem::replace(latest, event.at));
        let what = match event.what {
            What::Suspended(wait) => format!("waits for {}", wait.named()),
            other => other.to_string(),
        };
        let at = event.at.saturating_sub(first).as_secs_f64();
        let worker = event
            .worker
            .map_or("-".to_owned(), |worker| worker.to_string());
        let after = format!("after {}", render::duration(after.as_secs_f64()));
        let text = format!(
            "{at:>12.6} s  {after:<16}  worker {worker}  {name} ({}) {what}",
            event.coroutine
        );
        self.console.print(&text);
    }

    fn say_what_is_missing(&self, follow: &Follow) {
        let losses = follow.losses();
        if self.skipped > 0 {
            self.console.print(&format!(
                "{} lines were left out: there were too many",
                self.skipped
            ));
        }
        if losses.overwritten > 0 {
            self.console.print(&losses.to_string());
        }
    }
}
