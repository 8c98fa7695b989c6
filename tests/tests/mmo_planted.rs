//! The faults that `mmo --fault` plants, found by what the book's chapters ask for.

mod mmo_support;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use grapeshot_profiler::{Profile, Stack};
use grapeshot_tests::browser::wait_until;
use mmo_support::Demo;
use serde_json::Value;

/// Enough for the census to hold its worker: unoptimised, a comparison takes longer.
const CROWD: u64 = if cfg!(debug_assertions) {
    10_000
} else {
    30_000
};

fn rows(value: Value) -> Vec<Value> {
    match value {
        Value::Array(rows) => rows,
        other => panic!("no rows: {other}"),
    }
}

fn text<'v>(row: &'v Value, field: &str) -> &'v str {
    row[field].as_str().unwrap_or_default()
}

/// The text of a file of this repository.
fn source(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(path);
    std::fs::read_to_string(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display()))
}

/// The lines of a function, by its number, in the source of the demo.
fn lines_of(file: &str, function: &str) -> Range<u64> {
    let text = source(&format!("demos/src/mmo/{file}"));
    let head = format!("fn {function}(");
    let first = text.lines().position(|line| line.contains(&head));
    let first = first.unwrap_or_else(|| panic!("no {function} in {file}"));
    let indent = text
        .lines()
        .nth(first)
        .map_or(0, |line| line.len() - line.trim_start().len());
    let end = format!("{}}}", " ".repeat(indent));
    let last = text.lines().skip(first).position(|line| line == end);
    first as u64 + 1..(first + last.expect("it ends")) as u64 + 2
}

#[test]
fn the_selfish_census_is_named_with_its_function_and_line() {
    let demo = Demo::start(&["--fault", "census"]);
    assert!(
        demo.greeting
            .contains("a fault is planted: docs/book/src/selfish.md finds it"),
        "{}",
        demo.greeting
    );
    demo.ask(&format!("spawn_npcs({CROWD})"));

    // While it lasts: whose worker is held, by whom.
    wait_until("the census to be seen while it holds its worker", || {
        let held = "let held = workers().filter(|w| w.runs_for > 0.1); if held.len() == 0 { [] } else { ps(#{state: \"running\"}) }";
        rows(demo.ask(held))
            .iter()
            .any(|row| row["name"] == "census")
    });
    // Afterwards: what the watchdog has kept, and what is late for it.
    let mut stall = Value::Null;
    wait_until("the watchdog to have it", || {
        let stalls = rows(demo.ask("stalls()"));
        // The first ones may have had a part of the crowd only.
        let its = |row: &&Value| {
            row["name"] == "census"
                && row["over"] == true
                && row["lasted"].as_f64() > Some(0.2)
                && text(row, "place").contains("mmo::census::")
        };
        stall = stalls.iter().find(its).cloned().unwrap_or_default();
        !stall.is_null()
    });
    assert!(stall["ran"].as_f64() <= stall["lasted"].as_f64(), "{stall}");
    // A look may come where a frame is being made, and miss one; there is another census every few seconds.
    let compares = lines_of("census.rs", "mean_distance");
    wait_until("its function and line to be named", || {
        let frames = rows(demo.ask(&format!("stall({})", stall["id"])));
        frames.iter().any(|row| {
            text(row, "function").ends_with("mmo::census::mean_distance")
                && text(row, "file").ends_with("/census.rs")
                && row["line"]
                    .as_u64()
                    .is_some_and(|line| compares.contains(&line))
        })
    });
    wait_until("steps to be late", || {
        demo.ask("npcs().late_p99_us").as_u64() > Some(100_000)
    });
}

/// The names of a stack's functions, the outermost first.
fn functions<'p>(profile: &'p Profile, stack: &Stack) -> Vec<&'p str> {
    let frames = stack.frames.iter();
    frames.map(|&frame| profile.function(frame)).collect()
}

/// Nanoseconds of those stacks that pass through all of these.
fn through(profile: &Profile, half: &[Stack], kind: Option<&str>, all: &[&str]) -> u64 {
    let passes = |stack: &&Stack| {
        let names = functions(profile, stack);
        let is_in = |part: &&str| names.iter().any(|name| name.contains(part));
        kind == stack.kind.map(|kind| profile.string(kind)) && all.iter().all(is_in)
    };
    half.iter().filter(passes).map(|stack| stack.nanos).sum()
}

#[test]
fn the_ledger_that_is_locked_across_io_is_named_by_both_halves_of_a_profile() {
    let demo = Demo::start(&["--fault", "ledger", "--npcs", "2000"]);
    assert!(
        demo.greeting
            .contains("a fault is planted: docs/book/src/profiler.md finds it"),
        "{}",
        demo.greeting
    );
    let mut lock = Value::Null;
    wait_until("many to wait for the ledger", || {
        lock = rows(demo.ask("locks()"))
            .into_iter()
            .next()
            .unwrap_or_default();
        lock["waiters"].as_u64() > Some(100)
    });
    assert_eq!(
        (text(&lock, "kind"), text(&lock, "lock")),
        ("mutex", "'ledger'")
    );
    // Whoever has the lock waits for the disk most of the time: sooner or later it is seen there.
    let write = lines_of("ledger.rs", "write");
    wait_until(
        "somebody to be seen who has the lock and waits for the disk",
        || {
            let why = demo.ask(&format!("why({})", lock["first"]));
            let holder = why
                .as_str()
                .expect("text")
                .lines()
                .last()
                .expect("a line")
                .to_owned();
            let line = holder.split_once("ledger.rs:").and_then(|(_, rest)| {
                let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
                digits.parse().ok()
            });
            let in_write = line.is_some_and(|line: u64| write.contains(&line));
            in_write
                && why.as_str().expect("text").contains("mutex 'ledger'")
                && holder.ends_with("for unblock")
        },
    );

    demo.ask("profile.take(1)");
    let waits = rows(demo.ask("profile.waits()"));
    assert_eq!(
        (text(&waits[0], "name"), text(&waits[0], "waited_for")),
        ("npc-*", "mutex")
    );
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ledger.json");
    demo.ask(&format!("profile.save({:?})", file.display().to_string()));
    let profile = Profile::load(&file).expect("a profile");
    let (on, off) = (&profile.on, &profile.off);

    // Off the processor: all wait in `note` for the lock, and whoever has it waits in `note` for a thread with a file.
    let note = "mmo::ledger::Ledger::note";
    let all = through(&profile, off, Some("mutex"), &[]);
    let noting = through(&profile, off, Some("mutex"), &[note, "Mutex"]);
    assert!(noting as f64 > 0.99 * all as f64, "{noting} of {all} ns");
    let disk = through(&profile, off, Some("unblock"), &[note, "Page::write"]);
    // On it, `note` computes, with the lock in its hand.
    let computing = through(&profile, on, None, &[note]);
    assert!(through(&profile, on, None, &[note, "ledger::checksum"]) > 0);
    assert!(disk > 0);
    // One coroutine at a time is there, and one is there all the time. How long its thread waits for a processor, on a busy
    // machine, no profile knows.
    let queued = through(&profile, off, Some("ready"), &[note]);
    let held = (disk + computing + queued) as f64 / 1e9;
    assert!(
        held > 0.1 * profile.lasted,
        "{held} of {} s",
        profile.lasted
    );
    assert!(noting as f64 / 1e9 > 50.0 * profile.lasted, "{noting} ns");
}

#[test]
fn the_lines_that_the_chapters_quote_say_what_the_chapters_say() {
    let quoted = [
        (
            "hung.md",
            "bin/term.rs",
            161,
            "let _two = self.forks[second].lock();",
        ),
        (
            "selfish.md",
            "mmo/census.rs",
            23,
            "let apart = mean_distance(&found);",
        ),
        (
            "selfish.md",
            "mmo/census.rs",
            43,
            "let (dx, dy) = (i64::from(one.x - other.x), i64::from(one.y - other.y));",
        ),
        (
            "selfish.md",
            "mmo/census.rs",
            44,
            "nearest = nearest.min(dx * dx + dy * dy);",
        ),
        (
            "selfish.md",
            "mmo/program.rs",
            82,
            ".spawn(move || census::run(&world))",
        ),
        ("profiler.md", "mmo/ledger.rs", 63, "self.file.sync_data()"),
    ];
    for chapter in ["hung.md", "selfish.md", "profiler.md"] {
        let known = quoted.iter().filter(|quote| quote.0 == chapter);
        let known: BTreeSet<(&str, usize)> = known
            .map(|(_, file, line, _)| (file.rsplit('/').next().unwrap_or(file), *line))
            .collect();
        let book = source(&format!("docs/book/src/{chapter}"));
        let mut found = BTreeSet::new();
        for file in ["term.rs", "census.rs", "program.rs", "ledger.rs"] {
            let before = format!("{file}:");
            let after = book.split(&before).skip(1);
            let digits = after.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
            found.extend(digits.filter_map(|line| Some((file, line?.parse().ok()?))));
        }
        assert_eq!(found, known, "{chapter} quotes other lines");
    }
    for (chapter, file, line, says) in quoted {
        let text = source(&format!("demos/src/{file}"));
        let there = text.lines().nth(line - 1).unwrap_or_default().trim();
        assert_eq!(there, says, "{file}:{line}, which {chapter} quotes");
    }
}
