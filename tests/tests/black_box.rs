//! A process that is killed leaves its black box, which names the culprit.

mod console_support;
mod net_support;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use console_support::{Folder, console};
use grapeshot::sync::{Mutex, channel};
use grapeshot::trace::{Link, Recording};
use grapeshot::{Builder, Placement, Runtime, spawn, trace, yield_now};
use net_support::alone;

/// Longer than anything takes on a machine with much to do.
const LIMIT: Duration = Duration::from_secs(60);
const BYTES: usize = 1 << 20;

/// Where the process that is killed keeps its box; both sides of a test know it.
fn place() -> PathBuf {
    PathBuf::from(std::env::var_os("GRAPESHOT_TEST_BOX").expect("given by the test"))
}

/// Two workers with much to do, one of which is taken by somebody who has the lock that a third one wants.
fn doomed() {
    let runtime = Runtime::builder()
        .workers(2)
        .latency_limit(Duration::from_millis(50))
        .black_box(place(), BYTES)
        .build()
        .unwrap();
    runtime.run(|| {
        let on = |worker, name: &str| {
            let place = Placement::Worker(worker);
            Builder::new().name(name).placement(place)
        };
        let (sender, receiver) = channel::bounded(16);
        on(0, "producer").spawn(move || while sender.send(7).is_ok() {});
        on(0, "consumer").spawn(move || while receiver.recv().is_ok() {});
        let world = Arc::new(Mutex::new(()));
        let label = trace::label(&*world, "world");
        std::mem::forget(label);
        let holds = Arc::new(AtomicBool::new(false));
        {
            let (world, holds) = (world.clone(), holds.clone());
            on(1, "culprit").spawn(move || {
                let _held = world.lock();
                holds.store(true, Ordering::Release);
                compute_without_end();
            });
        }
        while !holds.load(Ordering::Acquire) {
            yield_now();
        }
        on(0, "victim").spawn(move || drop(world.lock()));
        println!("doomed");
        loop {
            spawn(yield_now).join().unwrap();
        }
    });
}

#[inline(never)]
fn compute_without_end() {
    while std::hint::black_box(true) {
        std::hint::spin_loop();
    }
}

#[test]
fn a_killed_process_leaves_a_box_that_names_the_culprit() {
    const NAME: &str = "a_killed_process_leaves_a_box_that_names_the_culprit";
    let folder = Folder::new();
    let path = folder.file("black.box");
    // Of this process alone: the child has it from here.
    if std::env::var_os("GRAPESHOT_TEST_BOX").is_none() {
        return start_again(NAME, &path);
    }
    let Some(mut child) = alone(NAME) else {
        return doomed();
    };
    let stdout = child.stdout.take().unwrap();
    let mut lines = BufReader::new(stdout).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("doomed")));
    let noticed = until_noticed();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(noticed.contains("'culprit'"), "{noticed}");

    let recording = Recording::open(place()).unwrap();
    assert!(!recording.ended);
    assert_eq!(recording.process, child.id());
    assert_eq!(recording.losses.torn, 0);
    let running = recording.running();
    let culprit = running.iter().find(|(worker, ..)| *worker == 1).unwrap();
    assert_eq!(recording.name(culprit.1), "culprit");
    let victim = recording.named("victim");
    let waits = recording.longest_waits(usize::MAX);
    let (id, wait, from, to) = waits.into_iter().find(|it| victim.contains(&it.0)).unwrap();
    assert_eq!(recording.show(wait), "mutex 'world'");
    assert_eq!(to, recording.until);
    let why = recording.why(id, from, to);
    let names: Vec<_> = why.hops.iter().map(|hop| hop.name.as_str()).collect();
    assert_eq!(names, ["victim", "culprit"], "{why}");
    assert_eq!(why.hops[0].link, Some(Link::HeldBy));
    let sum: Duration = why.parts.iter().map(|part| part.lasted).sum();
    assert_eq!(sum, why.lasted);

    let trace = folder.file("trace.json");
    let output = console()
        .arg("postmortem")
        .arg(place())
        .arg("--perfetto")
        .arg(&trace)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{:?}: {text}{errors}",
        output.status
    );
    assert!(text.contains("worker 1 had run 'culprit'"), "{text}");
    assert!(
        text.contains("compute_without_end"),
        "its backtrace: {text}"
    );
    let trace: serde_json::Value = serde_json::from_slice(&std::fs::read(trace).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let ran = |event: &&serde_json::Value| {
        event["ph"] == "X" && event["name"] == "culprit" && event["tid"] == 1
    };
    assert_eq!(events.iter().filter(ran).count(), 1);
    let asked = console()
        .args(["postmortem", "--why", "victim"])
        .arg(place())
        .output()
        .unwrap();
    let text = String::from_utf8(asked.stdout).unwrap();
    assert!(
        text.contains("for mutex 'world', held by\n'culprit'"),
        "{text}"
    );
}

/// Runs the test once more with a place for the box.
fn start_again(name: &str, path: &std::path::Path) {
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("GRAPESHOT_TEST_BOX", path)
        .status()
        .unwrap();
    assert!(status.success());
}

/// What the watchdog of the other process wrote of its culprit.
fn until_noticed() -> String {
    let end = Instant::now() + LIMIT;
    loop {
        let recording = Recording::open(place()).unwrap();
        let with_place = |note: &&trace::Note| note.text.contains("compute_without_end");
        if let Some(note) = recording.notes.iter().rev().find(with_place)
            && !recording.named("victim").is_empty()
        {
            return note.text.clone();
        }
        assert!(
            Instant::now() < end,
            "it was not noticed: {:?}",
            recording.notes
        );
        std::thread::yield_now();
    }
}

#[test]
fn what_is_no_black_box_is_refused_in_words() {
    let folder = Folder::new();
    let letter = folder.file("letter");
    std::fs::write(&letter, "Dear Captain,").unwrap();
    let asked = |path: &std::path::Path| {
        let output = console().arg("postmortem").arg(path).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(asked(&letter).contains("is no black box"));
    assert!(asked(&folder.file("nothing")).contains("cannot read"));
}
