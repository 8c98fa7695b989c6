//! The console answers though every worker of the application is held: that is when it is needed.

mod console_support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use console_support::{Folder, PATIENCE, Peer, Terminal, console, ended};
use grapeshot_backdoor::protocol::{ClientMessage, ServerMessage};
use grapeshot_backdoor::render;
use serde_json::Value;

/// `src/bin/held.rs` in a process of its own.
struct Held {
    child: Child,
    path: PathBuf,
    output: BufReader<std::process::ChildStdout>,
    folder: Folder,
}

impl Held {
    fn start(how: &str) -> Self {
        let folder = Folder::new();
        let path = folder.file("held");
        let mut child = Command::new(env!("CARGO_BIN_EXE_held"))
            .arg(&path)
            .arg(how)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut held = Self {
            child,
            path,
            output,
            folder,
        };
        assert!(held.line().starts_with("listening at "));
        held
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    fn attach(&self) -> Asker {
        Asker {
            peer: Peer::attach(&self.path),
            times: BTreeMap::new(),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A console that remembers how long each answer took. Its reads end after `PATIENCE`.
struct Asker {
    peer: Peer,
    times: BTreeMap<String, Vec<Duration>>,
}

impl Asker {
    fn ask(&mut self, statement: &str) -> Result<Value, (String, Option<String>)> {
        let start = Instant::now();
        self.peer.eval(1, statement);
        let answer = self.answer();
        let name = statement.split('(').next().unwrap().to_owned();
        self.times.entry(name).or_default().push(start.elapsed());
        answer
    }

    fn answer(&mut self) -> Result<Value, (String, Option<String>)> {
        let mut rows = Vec::new();
        loop {
            match self.peer.receive().expect("an answer") {
                ServerMessage::Rows { rows: more, .. } => rows.extend(more),
                ServerMessage::Result { value, total, .. } => {
                    let all = total.map(|_| Value::Array(rows));
                    return Ok(render::plain(all.unwrap_or(value)));
                }
                ServerMessage::Error { message, hint, .. } => return Err((message, hint)),
                _ => {}
            }
        }
    }

    fn told(&mut self, statement: &str) -> Value {
        self.ask(statement)
            .unwrap_or_else(|error| panic!("{statement}: {error:?}"))
    }

    fn until(&mut self, statement: &str, right: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let answer = self.told(statement);
            if right(&answer) {
                return answer;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{statement} still gives {answer}"
            );
        }
    }

    /// Asks where a coroutine is that runs, and may be between two frames at that moment, until it is there.
    fn finds(&mut self, id: &Value, is_there: impl Fn(&str) -> bool) {
        let (start, place) = (Instant::now(), format!("where({id})"));
        loop {
            match self.ask(&place) {
                Ok(frames) if is_there(&functions(&frames)) => return,
                other => assert!(start.elapsed() < PATIENCE, "{place}: {other:?}"),
            }
        }
    }

    /// The worst round trip of each question.
    fn report(&self, what: &str) {
        for (name, times) in &self.times {
            let (median, worst) = (times[times.len() / 2], times.iter().max().unwrap());
            eprintln!(
                "{what}: {name}: {} asked, a middle one {median:.1?}, worst {worst:.1?}",
                times.len()
            );
        }
    }
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn functions(frames: &Value) -> String {
    let names = rows(frames).iter().filter_map(|it| it["function"].as_str());
    names.collect::<Vec<_>>().join("\n")
}

/// All that an operator needs to find and name the culprit.
fn everything_is_answered(how: &str, holders_are_in: &[&str]) {
    let server = Held::start(how);
    let mut console = server.attach();
    let is_told = |functions: &str| {
        functions.contains("held::hold") && holders_are_in.iter().all(|it| functions.contains(it))
    };
    let holding = "ps(\"holder-\").filter(|c| c.state == \"running\")";
    let holders = console.until(holding, |all| rows(all).len() == 2);
    for holder in rows(&holders) {
        let id = &holder["id"];
        console.finds(id, is_told);
        console.until("ps(\"holder-\")", |all| {
            rows(all)[0]["since"].as_f64() > Some(0.2)
        });
        let said = console.told(&format!("kill({id})"));
        assert!(
            said.as_str().unwrap().contains("has held its worker for"),
            "{said}"
        );
    }
    for victim in rows(&console.told("ps(\"victim-\")")) {
        let frames = console.told(&format!("where({})", victim["id"]));
        assert!(functions(&frames).contains("wait_in_vain"), "{frames}");
    }
    let crowds = console.told("where_all()");
    let victims = rows(&crowds).iter().find(|it| it["name"] == "victim-*");
    let victims = victims.unwrap_or_else(|| panic!("{crowds}"));
    assert_eq!(
        (&victims["coroutines"], &victims["state"]),
        (&2.into(), &"sleep".into())
    );
    assert!(
        victims["stack"].as_str().unwrap().contains("wait_in_vain"),
        "{victims}"
    );
    let workers = console.told("workers()");
    assert!(
        rows(&workers)
            .iter()
            .all(|it| it["runs_for"].as_f64() > Some(0.0)),
        "{workers}"
    );
    let stalls = console.until("stalls()", |all| {
        rows(all).iter().filter(|it| it["place"] != "").count() == 2
    });
    let columns: Vec<_> = rows(&stalls)[0].as_object().unwrap().keys().collect();
    assert_eq!(
        columns,
        [
            "id", "name", "worker", "lasted", "over", "ran", "lock", "held_by", "place"
        ]
    );
    for stall in rows(&stalls) {
        let is_locked = how == "locked" && stall["worker"] == 0;
        assert!(
            stall["name"].as_str().unwrap().starts_with("holder-"),
            "{stall}"
        );
        assert!(!is_locked || stall["lock"] == "std::sync::Mutex", "{stall}");
        assert!(
            stall["over"] == false && stall["lasted"].as_f64() > Some(0.1),
            "{stall}"
        );
        let frames = console.told(&format!("stall({})", stall["id"]));
        assert!(functions(&frames).contains("hold"), "{frames}");
    }
    assert_eq!(console.told("speed()"), 7);
    console.told("speed(8)");
    assert_eq!(console.told("speed()"), 8);
    let child = console.told("sprout()");
    let seen = console.told(&format!("info({child})"));
    assert_eq!(
        (&seen["name"], &seen["state"]),
        (&"child".into(), &"unstarted".into())
    );
    console.report(how);

    let mut terminal = Terminal::run(
        self::console()
            .arg(&server.path)
            .env("XDG_STATE_HOME", server.folder.file("state")),
        100,
    );
    terminal.wait_for("held>");
    terminal.enter("stalls()");
    terminal.wait_for("holder-1");
}

#[test]
fn workers_that_compute_do_not_hold_up_the_console() {
    everything_is_answered("computing", &["compute"]);
}

#[test]
fn workers_in_a_foreign_lock_do_not_hold_up_the_console() {
    everything_is_answered("locked", &["Mutex::lock"]);
}

#[test]
fn workers_in_a_system_call_do_not_hold_up_the_console() {
    everything_is_answered("blocked", &["read_for_ever"]);
}

#[test]
fn workers_that_sleep_as_threads_do_not_hold_up_the_console() {
    everything_is_answered("napping", &["nanosleep"]);
}

#[test]
fn a_function_that_does_not_end_is_left_behind() {
    let server = Held::start("free");
    let (mut caller, mut other) = (server.attach(), server.attach());
    caller.peer.eval(1, "compute()");
    let calls = format!("ps(\"console-call-{}\")", caller.peer.session);
    let call = other.until(&calls, |all| {
        rows(all).first().is_some_and(|it| it["state"] == "running")
    })[0]
        .clone();
    assert_eq!(call["worker"], "backdoor-call");
    caller.peer.send(&ClientMessage::Interrupt { id: 1 });
    let (message, hint) = caller.answer().unwrap_err();
    assert_eq!(message, "interrupted");
    let (hint, id) = (hint.unwrap(), &call["id"]);
    assert!(
        hint.contains(&format!("compute does not end: where({id})")),
        "{hint}"
    );
    // Its session goes on, and other calls do not run into it.
    assert_eq!(caller.told("speed()"), 7);
    other.finds(id, |functions| functions.contains("compute"));
    // It holds a worker of nobody.
    assert_eq!(rows(&other.told("stalls()")).len(), 0);
}

#[test]
fn a_value_whose_lock_is_held_says_by_whom() {
    let server = Held::start("free");
    let mut console = server.attach();
    let rich = console.until("ps(\"rich\")", |all| rows(all)[0]["waits_for"] == "sleep");
    let (message, _) = console.ask("purse()").unwrap_err();
    let holder = format!("coroutine {} has it", rich[0]["id"]);
    assert!(
        message.starts_with("purse: its lock was not free for 2 s; ") && message.contains(&holder),
        "{message}"
    );
    console.told(&format!("kill({})", rich[0]["id"]));
    assert_eq!(console.told("purse()"), 100);
}

#[test]
fn what_a_function_spawns_runs_in_the_application() {
    let server = Held::start("free");
    let mut console = server.attach();
    let threads = console.told("whereabouts()");
    assert_eq!(threads[0], "backdoor-call");
    assert!(
        threads[1].as_str().unwrap().starts_with("grapeshot-"),
        "{threads}"
    );
    let child = console.told("sprout()");
    let seen = console.until(&format!("info({child})"), |it| it["state"] == "waiting");
    assert!(seen["worker"].is_u64(), "{seen}");
}

#[test]
fn a_server_that_does_not_come_to_its_end_still_answers() {
    let mut server = Held::start("free");
    let mut console = server.attach();
    console.told("end()");
    assert_eq!(server.line(), "main has returned\n");
    // All the others are interrupted, and one does not mind.
    let left = console.until("ps().filter(|c| c.worker != \"backdoor\")", |all| {
        rows(all).len() == 1
    });
    let waits_for = left[0]["waits_for"].as_str().unwrap();
    assert!(
        left[0]["name"] == "last" && waits_for.starts_with("event "),
        "{left}"
    );
    let frames = console.told(&format!("where({})", left[0]["id"]));
    assert!(functions(&frames).contains("shield"), "{frames}");
    console.peer.eval(1, "release(); loop {}");
    // An open console, with a statement that runs, does not hold up the end.
    assert!(ended(&mut server.child, PATIENCE).success());
    assert!(!server.path.exists(), "the socket was left behind");
}

/// Voluntary switches of the threads whose names begin so: how often they went to sleep.
fn sleeps(process: u32, name: &str) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let count = |task: std::fs::DirEntry| {
        let status = std::fs::read_to_string(task.path().join("status")).ok()?;
        let field = |field: &str| {
            let line = status.lines().find(|line| line.starts_with(field))?;
            line.split_whitespace().nth(1)
        };
        field("Name:")?.starts_with(name).then_some(())?;
        field("voluntary_ctxt_switches:")?.parse::<u64>().ok()
    };
    tasks.filter_map(|task| count(task.unwrap())).sum()
}

#[test]
fn an_idle_console_wakes_nobody() {
    let server = console_support::Server::start();
    let mut console = Peer::attach(&server.path);
    console.eval(1, "pause()");
    assert!(matches!(
        console.receive(),
        Some(ServerMessage::Result { .. })
    ));
    let process = server.child.id();
    let start = Instant::now();
    loop {
        let before = (sleeps(process, "backdoor"), sleeps(process, "grapeshot-"));
        // The players of that server move 20 times a second: the clock of this test.
        while sleeps(process, "grapeshot-") < before.1 + 30 {
            std::thread::yield_now();
        }
        if sleeps(process, "backdoor") == before.0 {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "it wakes up without a reason");
    }
}
