//! `profile`: taking a profile of the server, and looking at it.

use std::sync::Arc;
use std::time::Duration;

use grapeshot_profiler::{Form, Half, Profile, QUEUED};
use rhai::{Array, Dynamic, INT, ImmutableString};

use super::fields::count;
use super::{Answer, Binder, Console, Entry};
use crate::language::failed;
use crate::limits;
use crate::profiles::{self, Kept, Started};
use crate::rights::Right;
use crate::value::duration;

/// Rows of `top()`, unless somebody wants others.
const ROWS: INT = 20;
/// The wildest that may be asked for.
const MAX_ROWS: INT = 10_000;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "start",
        call: "profile.start()",
        about: "starts to take a profile of the whole server; start(hz) samples so often a second, start(0) not at all; \
                start(hz, bytes) samples one in so many bytes that are allocated, too",
        more: "1,000 samples a second of each worker, unless another number is given. Processor and wait times of groups are \
               exact, and there in any case. 524288 is a good number of bytes; the server needs the profiler's allocator for \
               it. One profile is taken at a time; profile.stop() ends it.",
        right: Right::Trace,
        bind: |to| {
            bind(to, |console, _: &mut Profiler| start(console, 1_000, 0));
            to.add(|console: &Console, _: &mut Profiler, hertz: INT| start(console, hertz, 0));
            to.add(
                |console: &Console, _: &mut Profiler, hertz: INT, bytes: INT| {
                    start(console, hertz, bytes)
                },
            );
        },
    },
    Entry {
        name: "stop",
        call: "profile.stop()",
        about: "ends the profile and keeps it, to be looked at; says what is lost and what it cost",
        more: "The latest profile is kept until the next one ends.",
        right: Right::Trace,
        bind: |to| bind(to, |console, _: &mut Profiler| stop(console)),
    },
    Entry {
        name: "take",
        call: "profile.take(seconds)",
        about: "takes a profile for so long: profile.start(), then profile.stop(); take(seconds, bytes) has one in so many \
                bytes that are allocated, too",
        more: "An hour at most. Ctrl-C ends it without one.",
        right: Right::Trace,
        bind: |to| {
            bind(to, |console, _: &mut Profiler| take(console, 10.0, 0));
            to.add(|console: &Console, _: &mut Profiler, seconds: INT| {
                take(console, seconds as f64, 0)
            });
            to.add(|console: &Console, _: &mut Profiler, seconds: f64| take(console, seconds, 0));
            to.add(
                |console: &Console, _: &mut Profiler, seconds: INT, bytes: INT| {
                    take(console, seconds as f64, bytes)
                },
            );
            to.add(
                |console: &Console, _: &mut Profiler, seconds: f64, bytes: INT| {
                    take(console, seconds, bytes)
                },
            );
        },
    },
    Entry {
        name: "top",
        call: "profile.top()",
        about: "the functions that used the processor most, of the profile that was ended last; top(n) shows n of them",
        more: "self: in the function; total: in what it called, too. own: the application's code, not a library's.",
        right: Right::Observe,
        bind: |to| {
            bind(to, |console, _: &mut Profiler| top(console, ROWS));
            to.add(|console: &Console, _: &mut Profiler, rows: INT| top(console, rows));
        },
    },
    Entry {
        name: "allocations",
        call: "profile.allocations()",
        about: "the functions that allocated most, of the profile that was ended last; allocations(n) shows n of them",
        more: "Of a profile that was told to sample them: profile.start(1000, 524288). self: by the function; total: by what it \
               called, too. Both are estimates; what was given back since is in it.",
        right: Right::Observe,
        bind: |to| {
            bind(to, |console, _: &mut Profiler| allocations(console, ROWS));
            to.add(|console: &Console, _: &mut Profiler, rows: INT| allocations(console, rows));
        },
    },
    Entry {
        name: "groups",
        call: "profile.groups()",
        about: "what coroutines of each name did in that profile: processor time, time in the queue, waits",
        more: "Exact: counted at each switch.",
        right: Right::Observe,
        bind: |to| bind(to, |console, _: &mut Profiler| groups(console)),
    },
    Entry {
        name: "waits",
        call: "profile.waits()",
        about: "what they waited for in that profile, the longest first",
        more: "ready: queued to run, while others ran.",
        right: Right::Observe,
        bind: |to| bind(to, |console, _: &mut Profiler| waits(console)),
    },
    Entry {
        name: "text",
        call: "profile.text()",
        about: "that profile itself, as JSON in pieces: what console --profile writes to a file of its own",
        more: "32 MiB at most.",
        right: Right::Trace,
        bind: |to| bind(to, |console, _: &mut Profiler| text(console)),
    },
    Entry {
        name: "save",
        call: "profile.save(path)",
        about: "writes that profile to a file on the server; the end of its name says in which form",
        more: ".html: a report for the browser. .json: as it is, for another look. .firefox.json: for profiler.firefox.com. \
               .folded: folded stacks on the processor. .off.folded: of waits. .alloc.folded: of allocations, in bytes. .perf: as \
               perf script prints samples.",
        right: Right::Operate,
        bind: |to| {
            bind(to, |_, _: &mut Profiler| {
                Err(failed(
                    "profile.save(path): give a path on the server, such as \"profile.html\"",
                ))
            });
            to.add(
                |console: &Console, _: &mut Profiler, path: ImmutableString| save(console, &path),
            );
        },
    },
];

/// Seconds that `take` may take.
const LONGEST: Duration = Duration::from_secs(3_600);
/// How often `take` begins its time limit anew.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes in a row of `text()`.
const PIECE: usize = 64 << 10;

/// What the methods are called on.
#[derive(Clone)]
struct Profiler;

/// Adds a method without arguments.
fn bind(
    to: &mut Binder<'_>,
    call: impl Fn(&Console, &mut Profiler) -> Answer + Send + Sync + 'static,
) {
    to.receiver("profile", Profiler);
    to.add(call);
}

/// The one that was ended last.
fn latest() -> Result<Arc<Kept>, Box<rhai::EvalAltResult>> {
    profiles::latest().ok_or_else(|| {
        failed(match grapeshot_profiler::is_running() {
            true => "the profile is being taken still: profile.stop() ends it",
            false => "there is no profile: profile.start() takes one, and profile.stop() ends it",
        })
    })
}

fn begin(
    console: &Console,
    hertz: INT,
    allocations: INT,
    lasts: Option<Duration>,
) -> Result<Started, Box<rhai::EvalAltResult>> {
    let hertz = u32::try_from(hertz).map_err(|_| failed("profile.start(hz): from 0 to 10000"))?;
    let bytes =
        u64::try_from(allocations).map_err(|_| failed("profile.start(hz, bytes): bytes from 0"))?;
    profiles::start(&console.shared, &console.visitor, hertz, bytes, lasts)
        .map_err(|error| failed(&error.to_string()))
}

fn start(console: &Console, hertz: INT, allocations: INT) -> Answer {
    begin(console, hertz, allocations, None)?.leave();
    Ok(Dynamic::UNIT)
}

fn stop(console: &Console) -> Answer {
    // Symbols are read from the disk.
    let kept = console.elsewhere("profile.stop", profiles::stop)?;
    let kept = kept.map_err(|error| failed(&error.to_string()))?;
    let profile = &kept.profile;
    profile.notes.iter().for_each(|note| console.print(note));
    let samples = profile.on.iter().map(|stack| stack.count).sum();
    Ok(console.record([
        (
            "lasted",
            duration(Duration::try_from_secs_f64(profile.lasted).unwrap_or_default()),
        ),
        ("cpu", nanos(profile.cpu())),
        ("samples", count(samples)),
        ("groups", count(profile.groups.len() as u64)),
        ("allocated", crate::value::bytes(profile.allocated.bytes())),
        ("lost_samples", count(profile.lost.samples)),
        ("lost_allocations", count(profile.lost.allocations)),
        ("lost_events", count(profile.lost.events)),
        ("cost", nanos(profile.cost.nanos)),
    ]))
}

fn take(console: &Console, seconds: f64, allocations: INT) -> Answer {
    let time = Duration::try_from_secs_f64(seconds).ok();
    let time = time.filter(|time| *time <= LONGEST).ok_or_else(|| {
        let most = LONGEST.as_secs();
        failed(&format!(
            "profile.take(seconds): from 0 to {most}, not {seconds:?}"
        ))
    })?;
    // Dropped with the evaluation, if that is ended meanwhile.
    let started = begin(console, 1_000, allocations, Some(time))?;
    let until = grapeshot::time::now() + time;
    loop {
        // The time limit is for what computes, not for what was asked to last.
        console.pace.renew();
        console.step()?;
        let left = until.saturating_duration_since(grapeshot::time::now());
        if left.is_zero() {
            return stop(console);
        }
        if !started.wait(left.min(LOOK)) {
            return Err(failed("somebody else ended the profile meanwhile"));
        }
    }
}

fn nanos(nanos: u64) -> Dynamic {
    duration(Duration::from_nanos(nanos))
}

fn top(console: &Console, rows: INT) -> Answer {
    let kept = latest()?;
    most(console, &kept.profile, Half::On, rows)
}

fn allocations(console: &Console, rows: INT) -> Answer {
    let kept = latest()?;
    if kept.profile.allocated.every == 0 {
        return Err(failed(
            "the profile has no allocations: profile.start(1000, 524288) takes one that samples them",
        ));
    }
    most(console, &kept.profile, Half::Allocated, rows)
}

/// The functions with the most of a half.
fn most(console: &Console, profile: &Profile, half: Half, rows: INT) -> Answer {
    let functions = profile.functions(profile.half(half));
    let all: u64 = profile.half(half).iter().map(|stack| stack.nanos).sum();
    let figure = |value: u64| match half {
        Half::Allocated => crate::value::bytes(value),
        Half::On | Half::Off => nanos(value),
    };
    let mut lines = Array::new();
    for function in functions.iter().take(rows.clamp(1, MAX_ROWS) as usize) {
        console.step()?;
        let frame = &profile.frames[function.frame as usize];
        let share = |nanos: u64| {
            let tenths = (nanos as f64 * 1_000.0 / all.max(1) as f64).round();
            Dynamic::from(tenths / 10.0)
        };
        let file = frame.file.map_or("", |file| profile.string(file));
        lines.push(console.record([
            ("percent", share(function.itself.nanos)),
            ("self", figure(function.itself.nanos)),
            ("total", figure(function.total.nanos)),
            ("function", profile.string(function.name).into()),
            ("own", frame.own.into()),
            ("file", file.rsplit('/').next().unwrap_or_default().into()),
        ]));
    }
    Ok(Dynamic::from_array(lines))
}

fn groups(console: &Console) -> Answer {
    let kept = latest()?;
    let profile = &kept.profile;
    let mut groups: Vec<_> = profile
        .groups
        .iter()
        .filter(|it| it.coroutines > 0)
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.cpu));
    let mut lines = Array::new();
    for group in groups {
        console.step()?;
        let time = |queued: bool| {
            let its = group.waits.iter();
            let its = its.filter(|it| (profile.string(it.0) == QUEUED) == queued);
            nanos(its.map(|it| it.1).sum())
        };
        lines.push(console.record([
            ("name", profile.string(group.name).into()),
            ("coroutines", count(group.coroutines)),
            ("cpu", nanos(group.cpu)),
            ("queued", time(true)),
            ("waited", time(false)),
            ("switches", count(group.switches)),
        ]));
    }
    Ok(Dynamic::from_array(lines))
}

fn waits(console: &Console) -> Answer {
    let kept = latest()?;
    let profile = &kept.profile;
    let groups = profile.groups.iter();
    let mut waits: Vec<_> = groups
        .flat_map(|group| group.waits.iter().map(move |wait| (group, wait)))
        .collect();
    waits.sort_by_key(|(_, wait)| std::cmp::Reverse(wait.1));
    let mut lines = Array::new();
    for (group, &(kind, time, times)) in waits {
        console.step()?;
        lines.push(console.record([
            ("name", profile.string(group.name).into()),
            ("waited_for", profile.string(kind).into()),
            ("time", nanos(time)),
            ("times", count(times)),
        ]));
    }
    Ok(Dynamic::from_array(lines))
}

fn text(console: &Console) -> Answer {
    let kept = latest()?;
    let text = console.elsewhere("profile.text", move || kept.profile.to_json())?;
    if text.len() > limits::STRING_BYTES {
        return Err(failed(&format!(
            "the profile has {} MiB, more than a console takes: profile.save(path) writes it on the server",
            text.len() >> 20
        )));
    }
    let (mut pieces, mut rest) = (Array::new(), text.as_str());
    while !rest.is_empty() {
        console.step()?;
        let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE));
        pieces.push(piece.into());
        rest = after;
    }
    Ok(Dynamic::from_array(pieces))
}

fn save(console: &Console, path: &str) -> Answer {
    let form = Form::of(path).map_err(|error| failed(&format!("profile.save: {error}")))?;
    let (kept, path) = (latest()?, path.to_owned());
    let written = console.elsewhere("profile.save", move || {
        let text = form.text(&kept.profile);
        std::fs::write(&path, &text).map(|()| text.len())
    })?;
    let bytes = written.map_err(|error| failed(&format!("profile.save: {error}")))?;
    Ok(crate::value::bytes(bytes as u64))
}
