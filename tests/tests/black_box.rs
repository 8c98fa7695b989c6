//! A process that is killed leaves its black box, which names the culprit.

mod console_support;
mod net_support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use console_support::{Folder, console};
use grapeshot::net::TcpListener;
use grapeshot::sync::{Event, Mutex, channel};
use grapeshot::trace::{Link, Recording};
use grapeshot::{Builder, CoroutineId, Placement, Runtime, registry, spawn, trace, yield_now};
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
        // Whoever reads what is left of it has a terminal that such names must not command.
        on(0, "consumer\x1b[2J\u{202e}\nworker 9").spawn(move || while receiver.recv().is_ok() {});
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
        text.contains(r"'consumer\u{1b}[2J\u{202e}\nworker 9'"),
        "{text}"
    );
    assert!(!text.contains(['\x1b', '\u{202e}']), "{text}");
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

/// Worker 2 is the culprit's; these serve clients.
const LOADED: [usize; 2] = [0, 1];
const CLIENTS: usize = 4;
/// Answers that each client has while somebody is stuck.
const ANSWERS: u64 = 300;

/// What the culprit does with the lock that the victim wants.
#[derive(Clone, Copy, PartialEq)]
enum Deed {
    /// It computes without end.
    Computes,
    /// It waits for an order that nobody gives.
    Waits,
}

fn on(worker: usize, name: impl Into<String>) -> Builder {
    Builder::new()
        .name(name)
        .placement(Placement::Worker(worker))
}

/// A server of three workers on which much happens: what comes from a client goes over the other worker, tokens go round,
/// coroutines are born and end. And 200 wait for longer than anybody else, as those of idle clients do.
fn doomed_server(deed: Deed) {
    let runtime = Runtime::builder()
        .workers(3)
        .latency_limit(Duration::from_millis(50))
        .black_box(place(), BYTES)
        .build()
        .unwrap();
    runtime.run(move || {
        let never = Arc::new(Event::new());
        for number in 0..200 {
            let never = never.clone();
            on(number % 2, format!("idle-{number}")).spawn(move || never.wait());
        }
        for worker in LOADED {
            let others = 1 - worker;
            let (first, mut here) = channel::bounded::<u64>(1);
            for number in 0..30 {
                let (next, after) = channel::bounded(1);
                on(worker, format!("runner-{worker}-{number}")).spawn(move || {
                    while let Ok(token) = here.recv() {
                        next.send(token).unwrap();
                    }
                });
                here = after;
            }
            first.send(1).unwrap();
            on(others, format!("turn-{worker}")).spawn(move || {
                while let Ok(token) = here.recv() {
                    spawn(yield_now).join().unwrap();
                    first.send(token).unwrap();
                }
            });
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        on(0, "accept").spawn(move || {
            for number in 0.. {
                let (mut stream, _) = listener.accept().unwrap();
                let worker = number % 2;
                on(worker, format!("connection-{number}")).spawn(move || {
                    let (ask, asked) = channel::bounded::<[u8; 8]>(1);
                    let (answer, answered) = channel::bounded(1);
                    on(1 - worker, format!("clerk-{number}")).spawn(move || {
                        while let Ok(question) = asked.recv() {
                            answer.send(question.map(|byte| byte + 1)).unwrap();
                        }
                    });
                    let mut bytes = [0; 8];
                    while stream.read_exact(&mut bytes).is_ok() {
                        ask.send(bytes).unwrap();
                        stream.write_all(&answered.recv().unwrap()).unwrap();
                    }
                });
            }
        });
        let world = Arc::new(Mutex::new(()));
        std::mem::forget(trace::label(&*world, "world"));
        let holds = Arc::new(AtomicBool::new(false));
        {
            let (world, holds) = (world.clone(), holds.clone());
            on(2, "culprit").spawn(move || {
                let (orders, helm) = channel::bounded::<()>(1);
                let _held = world.lock();
                holds.store(true, Ordering::Release);
                match deed {
                    Deed::Computes => compute_without_end(),
                    Deed::Waits => helm.recv().unwrap(),
                }
                drop(orders);
            });
        }
        while !holds.load(Ordering::Acquire) {
            yield_now();
        }
        let victim = on(0, "victim").spawn(move || drop(world.lock()));
        while registry::coroutine(victim.id()).is_none_or(|it| it.waits_for.is_none()) {
            yield_now();
        }
        println!("doomed {port}");
        never.wait();
    });
}

/// Asks as fast as it is answered, until the server is gone; counts the answers.
fn ask_without_end(port: u16, answers: &AtomicU64) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    for number in 0.. {
        let question = [number as u8 / 2; 8];
        let mut answer = [0; 8];
        let answered = stream
            .write_all(&question)
            .and_then(|()| stream.read_exact(&mut answer));
        if answered.is_err() {
            return;
        }
        assert_eq!(answer, question.map(|byte| byte + 1));
        answers.fetch_add(1, Ordering::Relaxed);
    }
}

/// The wait of the only one of this name that was on when the recording ended: who, for what, since when.
fn wait_of(recording: &Recording, name: &str) -> Option<(CoroutineId, trace::Wait, Duration)> {
    let [id] = recording.named(name)[..] else {
        return None;
    };
    let waits = recording.longest_waits(usize::MAX).into_iter();
    let mut its = waits.filter(|(who, _, _, to)| *who == id && *to == recording.until);
    its.next().map(|(id, wait, from, _)| (id, wait, from))
}

/// Are the rings of the loaded workers full of what happened later? Several times over, as far as that can be told.
fn is_overwritten(recording: &Recording, since: Duration) -> bool {
    let oldest = |worker| {
        let mut events = recording.events.iter();
        events.find(|it| it.worker == Some(worker)).map(|it| it.at)
    };
    let wrapped = LOADED.map(oldest).iter().all(|at| *at > Some(since));
    wrapped && recording.losses.overwritten > 4 * recording.events.len() as u64
}

/// Kills the server while clients ask it, and while nothing is left of the events that tell what happened; gives what is
/// recorded.
fn kill_under_load(name: &str, deed: Deed) -> Option<Recording> {
    // Of this process alone: the child has it from here.
    if std::env::var_os("GRAPESHOT_TEST_BOX").is_none() {
        let folder = Folder::new();
        start_again(name, &folder.file("black.box"));
        return None;
    }
    let Some(mut child) = alone(name) else {
        doomed_server(deed);
        return None;
    };
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port = lines.find_map(|line| line.unwrap().split_once("doomed ")?.1.parse().ok());
    let port = port.expect("the server says where it listens");
    let answers: Vec<AtomicU64> = (0..CLIENTS).map(|_| AtomicU64::new(0)).collect();
    thread::scope(|scope| {
        let clients = answers
            .iter()
            .map(|answers| scope.spawn(move || ask_without_end(port, answers)));
        let clients: Vec<_> = clients.collect();
        let begun = Instant::now();
        loop {
            let recording = Recording::open(place()).unwrap();
            let victim = wait_of(&recording, "victim");
            let counts: Vec<u64> = answers
                .iter()
                .map(|it| it.load(Ordering::Relaxed))
                .collect();
            let noticed = |note: &trace::Note| note.text.contains("compute_without_end");
            if victim.is_some_and(|(.., since)| is_overwritten(&recording, since))
                && counts.iter().all(|count| *count > ANSWERS)
                && (deed == Deed::Waits || recording.notes.iter().any(noticed))
            {
                break;
            }
            let (losses, waits) = (recording.losses, victim.is_some());
            assert!(
                begun.elapsed() < LIMIT,
                "{counts:?} answers, {losses}, {waits}"
            );
        }
        assert!(
            clients.iter().all(|client| !client.is_finished()),
            "the load is gone"
        );
        child.kill().unwrap();
        child.wait().unwrap();
    });
    let recording = Recording::open(place()).unwrap();
    assert!(!recording.ended);
    assert_eq!(recording.process, child.id());
    assert_eq!(recording.losses.torn, 0);
    Some(recording)
}

fn postmortem(arguments: &[&str]) -> String {
    let output = console()
        .arg("postmortem")
        .args(arguments)
        .arg(place())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The box says this of the victim, though none of its events are left.
fn the_victim_is_explained(recording: &Recording, deed: Deed) {
    let (victim, wait, since) = wait_of(recording, "victim").expect("it still waits");
    assert!(is_overwritten(recording, since));
    assert_eq!(recording.events_of(victim).count(), 0);
    assert_eq!(recording.show(wait), "mutex 'world'");
    // It was loaded to the end, on all the workers that could be.
    for worker in LOADED {
        let mut events = recording
            .events
            .iter()
            .filter(|it| it.worker == Some(worker));
        let serves = |it: &trace::Event| recording.name(it.coroutine).starts_with("connection-");
        assert!(events.any(serves), "worker {worker} served nobody");
    }
    let running = recording.running();
    let ran = running.iter().find(|it| recording.name(it.1) == "culprit");
    assert_eq!(ran.map(|it| it.0), (deed == Deed::Computes).then_some(2));
    let report = postmortem(&[]);
    match deed {
        Deed::Computes => {
            assert!(report.contains("worker 2 had run 'culprit'"), "{report}");
            assert!(
                report.contains("compute_without_end"),
                "its backtrace: {report}"
            );
        }
        Deed::Waits => {
            let (_, wait, _) = wait_of(recording, "culprit").expect("it waits as well");
            assert_eq!(wait.operation(), "channel recv");
        }
    }
    let chain = [" for mutex 'world', held by\n", "'culprit' (#"];
    let why = report.split_once("\nWhy:\n").expect("a reason").1;
    assert!(why.starts_with("  'victim' (#"), "{report}");
    assert!(chain.iter().all(|part| why.contains(part)), "{report}");
    let asked = postmortem(&["--why", "victim"]);
    assert!(asked.contains(&chain.concat()), "{asked}");
}

#[test]
fn a_server_killed_under_load_names_who_computes() {
    let deed = Deed::Computes;
    if let Some(recording) = kill_under_load("a_server_killed_under_load_names_who_computes", deed)
    {
        the_victim_is_explained(&recording, deed);
    }
}

#[test]
fn a_server_killed_under_load_names_who_keeps_a_lock() {
    let deed = Deed::Waits;
    if let Some(recording) =
        kill_under_load("a_server_killed_under_load_names_who_keeps_a_lock", deed)
    {
        the_victim_is_explained(&recording, deed);
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
