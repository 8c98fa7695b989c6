//! `console postmortem FILE`: what a black box says of a process that is gone.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use grapeshot::CoroutineId;
use grapeshot::trace::{Event, Recording, Wait, What, Why};
use grapeshot_backdoor::render::printable;

use crate::FAILED;

/// Waits and runs that are shown.
const LONGEST: usize = 10;

/// Read the black box of a process that has ended, in whatever way, or that still runs.
///
/// Says what each worker ran when it ended, what was noticed of coroutines, which of them waited and ran longest and why, and
/// what happened last.
#[derive(Args)]
pub(crate) struct Options {
    /// The file that was named to `RuntimeBuilder::black_box`; that of the run before has `.previous` behind its name.
    file: PathBuf,

    /// Say what this coroutine, a number or a name, did with its time, and whom it waited for.
    #[arg(long, value_name = "COROUTINE")]
    why: Option<String>,

    /// With --why: only of the last so many seconds.
    #[arg(long, value_name = "SECONDS", requires = "why")]
    seconds: Option<f64>,

    /// Show at most this many of the latest events of each worker.
    #[arg(long, value_name = "EVENTS", default_value_t = 12)]
    last: usize,

    /// Write it as a trace that https://ui.perfetto.dev opens.
    #[arg(long, value_name = "TRACE")]
    perfetto: Option<PathBuf>,
}

/// Prints what there is to say, or why the file cannot be read.
pub(crate) fn run(options: &Options) -> ExitCode {
    match read(options) {
        Ok(text) => {
            // Whoever reads may have gone: `| head`.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("console: {error}");
            ExitCode::from(FAILED)
        }
    }
}

/// What there is to say. Names come from a file, and shall not command the terminal.
fn read(arguments: &Options) -> Result<String, String> {
    let text = read_as_it_is(arguments)?;
    Ok(text.lines().map(|line| printable(line) + "\n").collect())
}

fn read_as_it_is(arguments: &Options) -> Result<String, String> {
    let recording = Recording::open(&arguments.file).map_err(|error| error.to_string())?;
    if let Some(path) = &arguments.perfetto {
        let written = File::create(path).and_then(|file| {
            let mut out = BufWriter::new(file);
            recording.write_perfetto(&mut out)?;
            out.flush()
        });
        written.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    match &arguments.why {
        Some(who) => explain(&recording, who, arguments.seconds),
        None => Ok(report(&recording, arguments.last)),
    }
}

fn report(recording: &Recording, last: usize) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_report(&mut text, recording, last);
    text
}

fn write_report(text: &mut String, recording: &Recording, last: usize) -> std::fmt::Result {
    let Recording {
        program, process, ..
    } = recording;
    writeln!(
        text,
        "{program} (process {process}), started {}, recorded for {}",
        httpdate::fmt_http_date(recording.started),
        time(recording.until)
    )?;
    writeln!(
        text,
        "{}; {} events, {}",
        if recording.ended {
            "its runtime ended in peace"
        } else {
            "its runtime did not end: the process was killed, or still runs"
        },
        recording.events.len(),
        recording.losses
    )?;
    writeln!(text, "\nWhen it ended:")?;
    let running = recording.running();
    for worker in 0..recording.workers {
        match running.iter().find(|(on, ..)| *on == worker) {
            Some((_, id, since)) => {
                let lasted = time(recording.until.saturating_sub(*since));
                writeln!(
                    text,
                    "  worker {worker} had run {} for {lasted}, and nobody else",
                    name(recording, *id)
                )?;
            }
            None => writeln!(text, "  worker {worker} ran nobody")?,
        }
    }
    write_notes(text, recording)?;
    write_longest(text, recording)?;
    writeln!(text, "\nWhat happened last, before the end:")?;
    for worker in (0..recording.workers).map(Some).chain([None]) {
        let of = |event: &&Event| event.worker == worker;
        let mut events: Vec<_> = recording
            .events
            .iter()
            .rev()
            .filter(of)
            .take(last)
            .collect();
        if events.is_empty() {
            continue;
        }
        match worker {
            Some(worker) => writeln!(text, "  worker {worker}")?,
            None => writeln!(text, "  others")?,
        }
        events.reverse();
        for event in events {
            writeln!(text, "    {}", line(recording, event))?;
        }
    }
    Ok(())
}

fn write_notes(text: &mut String, recording: &Recording) -> std::fmt::Result {
    if recording.notes.is_empty() {
        return Ok(());
    }
    writeln!(text, "\nWhat was noticed:")?;
    for note in &recording.notes {
        let ago = time(recording.until.saturating_sub(note.at));
        writeln!(
            text,
            "  {ago} before the end: {}",
            note.text.replace('\n', "\n    ")
        )?;
    }
    Ok(())
}

fn write_longest(text: &mut String, recording: &Recording) -> std::fmt::Result {
    writeln!(text, "\nWho ran longest without suspending:")?;
    for (id, worker, from, to) in recording.longest_runs(LONGEST) {
        let (lasted, name) = (time(to - from), name(recording, id));
        let ago = time(recording.until.saturating_sub(to));
        writeln!(
            text,
            "  {lasted:>10}  {name} on worker {worker}, until {ago} before the end"
        )?;
    }
    writeln!(text, "\nWho waited longest:")?;
    let waits = recording.longest_waits(LONGEST);
    for (id, wait, from, to) in &waits {
        let (lasted, name) = (time(*to - *from), name(recording, *id));
        let until = if *to == recording.until {
            "until the end".to_owned()
        } else {
            format!("until {} before", time(recording.until - *to))
        };
        writeln!(
            text,
            "  {lasted:>10}  {name} for {}, {until}",
            recording.show(*wait)
        )?;
    }
    if let Some(why) = blamed(recording, &waits) {
        writeln!(text, "\nWhy:\n  {}", why.to_string().replace('\n', "\n  "))?;
    }
    Ok(())
}

/// Of the longest waits that somebody is to blame for, the one that leads furthest.
fn blamed(
    recording: &Recording,
    longest: &[(CoroutineId, Wait, Duration, Duration)],
) -> Option<Why> {
    // A server has many that wait long for nothing but their clients: whoever waits for a lock may not be among the longest.
    let all = recording.longest_waits(usize::MAX).into_iter();
    let for_locks = all.filter(|(_, wait, ..)| wait.owner.is_some());
    let mut waits: Vec<_> = for_locks
        .take(LONGEST)
        .chain(longest.iter().copied())
        .collect();
    waits.sort_by_key(|(id, _, from, to)| (Reverse(*to - *from), *id));
    waits.dedup();
    let reasons = waits
        .iter()
        .map(|(id, _, from, to)| recording.why(*id, *from, *to));
    let reasons: Vec<Why> = reasons.filter(|why| why.hops.len() > 1).collect();
    // Under load everybody waits for somebody, for a moment: what matters lasted.
    let least = reasons.first()?.lasted / 2;
    let lasted = reasons.into_iter().filter(|why| why.lasted >= least);
    // Of several it would take the last.
    lasted.rev().max_by_key(|why| why.hops.len())
}

/// What one coroutine did with its time.
fn explain(recording: &Recording, who: &str, seconds: Option<f64>) -> Result<String, String> {
    let ids = match who.parse() {
        Ok(number) => vec![CoroutineId(number)],
        Err(_) => recording.named(who),
    };
    let [id] = ids[..] else {
        return Err(match ids.len() {
            0 => format!("no coroutine is called '{who}' in this black box"),
            some => format!(
                "{some} coroutines are called '{who}': give a number, such as {}",
                ids[0]
            ),
        });
    };
    // One that waits all along has no event that was not overwritten; its wait is known all the same.
    let waits = recording.longest_waits(usize::MAX);
    let waits = waits.into_iter().filter(|(waiter, ..)| *waiter == id);
    let began = waits.map(|(_, _, from, _)| from).min();
    let first = recording.events_of(id).map(|event| event.at).next();
    let Some(first) = first.into_iter().chain(began).min() else {
        return Err(format!("nothing is recorded of coroutine #{id}"));
    };
    let seconds = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let from = seconds.map_or(first, |it| recording.until.saturating_sub(it).max(first));
    let last = recording.events_of(id).last();
    let to = match last {
        Some(event) if matches!(event.what, What::Ended(_)) => event.at,
        _ => recording.until,
    };
    let why = recording.why(id, from, to);
    let mut text = format!("{why}\n\nAll of the {}:\n", time(why.lasted));
    for part in &why.parts {
        let behind = part
            .behind
            .map(|id| format!(", behind {}", name(recording, id)));
        let share =
            100.0 * part.lasted.as_secs_f64() / why.lasted.as_secs_f64().max(f64::MIN_POSITIVE);
        let _ = writeln!(
            text,
            "  {:>10}  {share:5.1} %  {} {}{}",
            time(part.lasted),
            name(recording, part.id),
            part.doing,
            behind.unwrap_or_default()
        );
    }
    Ok(text)
}

fn name(recording: &Recording, id: CoroutineId) -> String {
    let site = recording.site(id);
    let named = format!("'{}' (#{id})", printable(&recording.name(id)));
    match site {
        Some((file, line)) if !named.contains(".rs:") => {
            let file = file.rsplit('/').next().unwrap_or_default();
            format!("{named} of {file}:{line}")
        }
        _ => named,
    }
}

fn line(recording: &Recording, event: &Event) -> String {
    let ago = time(recording.until.saturating_sub(event.at));
    let what = match event.what {
        What::Suspended(wait) => format!("waits for {}", recording.show(wait)),
        other => other.to_string(),
    };
    format!(
        "{ago:>10}  '{}' (#{}) {what}",
        printable(&recording.name(event.coroutine)),
        event.coroutine
    )
}

/// A time in the unit that suits it.
fn time(time: Duration) -> String {
    format!("{time:.1?}")
}
