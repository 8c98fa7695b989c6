//! The profiler in the page: taking profiles, and serving what came of them.
//!
//! | path | what is there |
//! |---|---|
//! | `/profile/3.html` | the report of the third profile |
//! | `/profile/2-3.html` | what changed from the second to the third |
//! | `/profile/3.json`, `.firefox.json`, `.folded`, `.off.folded`, `.alloc.folded`, `.perf` | the third in other forms |

use std::sync::Arc;
use std::time::Duration;

use grapeshot::sync::Semaphore;
use grapeshot::{Builder, with_timeout};
use grapeshot_http::{HandlerError, Response, Status};
use grapeshot_profiler::{Allocator, Form, report};
use serde_json::{Value, json};

use super::files::{self, HTML, plain};
use crate::backdoor::Shared;
use crate::journal;
use crate::limits;
use crate::profiles::{self, Kept};
use crate::rights::Right;
use crate::transport::Visitor;

/// How long a page may profile, in seconds: a page that is forgotten must not profile on.
pub(crate) const LONGEST: u32 = 300;
/// Samples a second.
pub(crate) const MOST_HERTZ: u32 = 10_000;
/// If allocations are wanted, one byte in so many is sampled: of a gigabyte, to within 5 %, for 2 ms.
const BYTES: u64 = 524_288;
/// Reports that are made and sent at once: each takes some times the profile's memory.
const REPORTS: usize = 2;
/// How long another one waits for its turn.
const TURN: Duration = Duration::from_secs(20);
/// The report's own policy, which stands in it, allows its scripts alone; this adds who may frame it.
const POLICY: &str = "frame-ancestors 'self'";

/// Starts one; gives what the page is told. Never suspends.
pub(crate) fn start(
    shared: &Shared,
    visitor: &Visitor,
    page: u64,
    seconds: u32,
    hertz: u32,
    allocations: bool,
) -> Value {
    if let Err(refused) = may(visitor, page, "take a profile") {
        return refused;
    }
    let time = Duration::from_secs(seconds.into());
    let bytes = if allocations { BYTES } else { 0 };
    let started = match profiles::start(shared, visitor, hertz, bytes, Some(time)) {
        Ok(started) => started,
        Err(error) => return answer(false, &format!("no profile is taken: {error}")),
    };
    let what = if allocations { " and allocations" } else { "" };
    journal::info(format!(
        "page {page}: {visitor} takes a profile of {seconds} s with {hertz} samples a second{what}"
    ));
    // It goes on without its page. Who started it may look away, and come back for it.
    let taking = Builder::new()
        .name(format!("page-profile-{page}"))
        .stack_size(limits::STACK_SIZE);
    drop(taking.spawn(move || {
        if started.wait(time) {
            finish(page);
        }
    }));
    // What is shown from now on says it.
    answer(true, "")
}

/// Ends the one that is being taken, whoever started it; gives what the page is told. Never suspends.
pub(crate) fn stop(visitor: &Visitor, page: u64, keep: bool) -> Value {
    if let Err(refused) = may(visitor, page, "stop a profile") {
        return refused;
    }
    let what = if keep { "stops" } else { "discards" };
    journal::info(format!("page {page}: {visitor} {what} the profile"));
    let stopping = Builder::new()
        .name(format!("page-profile-{page}"))
        .stack_size(limits::STACK_SIZE);
    drop(stopping.spawn(move || {
        if keep {
            finish(page);
        } else if let Err(error) = profiles::discard() {
            journal::warn(format!("page {page}: {error}"));
        }
    }));
    answer(true, if keep { "" } else { "the profile is discarded" })
}

fn finish(page: u64) {
    match profiles::stop() {
        Ok(kept) => journal::info(format!("page {page}: profile {} is there", kept.number)),
        Err(error) => journal::warn(format!("page {page}: {error}")),
    }
}

fn may(visitor: &Visitor, page: u64, what: &str) -> Result<(), Value> {
    if visitor.rights.contains(Right::Trace) {
        return Ok(());
    }
    journal::warn(format!(
        "page {page}: {visitor} may not trace, and asked to {what}"
    ));
    Err(answer(
        false,
        "this page may look at profiles and not take them: its token has no right to trace",
    ))
}

fn answer(done: bool, text: &str) -> Value {
    json!({"done": done, "text": text})
}

/// What a page shows of it.
pub(crate) fn view() -> Value {
    let now = grapeshot::time::now();
    let taking = profiles::taking().map(|it| {
        json!({
            "number": it.number, "by": it.by, "hertz": it.hertz, "reading": it.is_read,
            "elapsed": now.saturating_duration_since(it.since).as_secs_f64(), "lasts": it.lasts.map(|lasts| lasts.as_secs_f64()),
        })
    });
    // The application may profile itself.
    let taking = taking.or_else(|| {
        grapeshot_profiler::is_running().then(
            || json!({"by": "the application", "reading": false, "elapsed": null, "lasts": null}),
        )
    });
    let kept: Value = profiles::kept().iter().map(|it| line(it)).collect();
    json!({
        "panel": "profiler", "taking": taking, "kept": kept, "longest": LONGEST, "allocator": Allocator::is_installed(),
    })
}

fn line(kept: &Kept) -> Value {
    let profile = &kept.profile;
    json!({
        "number": kept.number, "by": kept.by, "application": profile.application, "started": profile.started,
        "lasted": profile.lasted, "bytes": kept.bytes(), "allocations": profile.allocated.every > 0,
    })
}

/// Profiles as files.
pub(crate) struct Reports {
    turns: Semaphore,
}

/// What a file is made of.
enum Wanted {
    One(Arc<Kept>, Form),
    Difference(Arc<Kept>, Arc<Kept>),
}

impl Reports {
    pub(crate) fn new() -> Self {
        Self {
            turns: Semaphore::new(REPORTS),
        }
    }

    /// Answers with the file of this name. **May suspend.**
    pub(crate) fn send(&self, name: &str, response: Response<'_>) -> Result<(), HandlerError> {
        let Some(wanted) = Wanted::of(name) else {
            let text = "there is no such profile: the latest are kept, older ones are dropped";
            return Ok(plain(files::headers(response), Status::NOT_FOUND, text)?);
        };
        let Ok(_turn) = with_timeout(TURN, || self.turns.acquire()) else {
            let text = "other reports are being made; try again in a moment";
            return Ok(plain(
                files::headers(response),
                Status::SERVICE_UNAVAILABLE,
                text,
            )?);
        };
        // It takes long, and others have to be served.
        let made = grapeshot::unblock(move || wanted.make());
        let text = made.map_err(|error| HandlerError::from(std::io::Error::other(error)))?;
        let kind = match name {
            _ if name.ends_with(".html") => HTML,
            _ if name.ends_with(".json") => "application/json",
            _ => "text/plain; charset=utf-8",
        };
        Ok(files::headers_with(POLICY, response)
            .header("Content-Type", kind)
            .send(text)?)
    }
}

impl Wanted {
    /// The name is `3.html` or `2-3.html`.
    fn of(name: &str) -> Option<Self> {
        let (numbers, ending) = name.split_once('.')?;
        let find = |number: &str| profiles::find(number.parse().ok()?);
        match numbers.split_once('-') {
            None => Some(Self::One(find(numbers)?, exactly(ending)?)),
            Some((before, after)) if ending == "html" => {
                Some(Self::Difference(find(before)?, find(after)?))
            }
            Some(_) => None,
        }
    }

    fn make(&self) -> String {
        match self {
            Self::One(kept, form) => form.text(&kept.profile),
            Self::Difference(before, after) => report::difference(&before.profile, &after.profile),
        }
    }
}

/// The form with this ending, and no longer name that ends so.
fn exactly(ending: &str) -> Option<Form> {
    let known = [
        "html",
        "json",
        "firefox.json",
        "folded",
        "off.folded",
        "alloc.folded",
        "perf",
    ];
    known
        .contains(&ending)
        .then(|| Form::of(format!(".{ending}")).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_files_that_there_are_lead_to_one() {
        for name in [
            "",
            "1",
            "1.",
            ".html",
            "x.html",
            "0.html",
            "-1.html",
            "1-.html",
            "99999999999999999999.html",
            "1.html.html",
            "1-2.json",
            "../1.html",
        ] {
            assert!(Wanted::of(name).is_none(), "{name}");
        }
        assert!(exactly("x.html").is_none() && exactly("off.folded").is_some());
        assert!(exactly("alloc.folded").is_some());
    }
}
