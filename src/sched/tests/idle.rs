//! Who has nothing to do sleeps, and is not woken for nothing: counted by the system, in a process of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::MS;
use crate::net::UnixStream;
use crate::sync::{Mutex, channel};
use crate::{Runtime, sleep, spawn, with_timeout, yield_now};

/// What the process is to do before it idles.
const PART: &str = "GRAPESHOT_IDLE_AFTER";
const READY: &str = "it idles";
/// Longer than the test, in case nobody ends it.
const LIFE: Duration = Duration::from_secs(120);
/// Periods that are tried. What was busy gives its stacks back first, a part each second.
const PERIODS: u32 = 30;

/// The process, with whom nothing outlives the test.
struct Idler(Child);

impl Idler {
    fn after(part: &str) -> Self {
        let program = std::env::current_exe().expect("this program has a path");
        let mut child = Command::new(program)
            .args(["--ignored", "--exact", "--nocapture"])
            .arg("sched::tests::idle::a_process_that_idles")
            .env(PART, part)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut lines = lines.lines().map_while(Result::ok);
        assert!(lines.any(|line| line.ends_with(READY)), "it ended before");
        Self(child)
    }

    /// How often each of its threads went to sleep.
    fn sleeps(&self) -> BTreeMap<String, u64> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0.id())).expect("it lives");
        tasks
            .map(|task| {
                let path = task.expect("a thread").path().join("status");
                let status = fs::read_to_string(&path).expect("its status");
                let field = |name| status.lines().find_map(|line| line.strip_prefix(name));
                let count = field("voluntary_ctxt_switches:").expect("a count");
                let name = field("Name:").expect("a name").trim();
                let id = path.display();
                (
                    format!("{name} {id}"),
                    count.trim().parse().expect("a number"),
                )
            })
            .collect()
    }
}

impl Drop for Idler {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Time passes, for a runtime with something to do: more than a second of it, so that what comes once a second shows.
fn live() {
    let runtime = Runtime::builder().workers(1).build().expect("it starts");
    runtime.run(|| (0..130).for_each(|_| sleep(10 * MS)));
}

/// Not one thread of the process wakes while this one lives for a while.
#[track_caller]
fn sleeps_soundly_after(part: &str) {
    let idler = Idler::after(part);
    let mut before = idler.sleeps();
    assert!(before.len() > 2, "its workers are among them: {before:?}");
    for _ in 0..PERIODS {
        live();
        let after = idler.sleeps();
        if after == before {
            return;
        }
        before.retain(|thread, count| after.get(thread) != Some(count));
        eprintln!("restless: {before:?}");
        before = after;
    }
    panic!("after {part} some thread never sleeps for more than a second");
}

#[test]
fn a_runtime_that_has_done_nothing_is_never_woken() {
    sleeps_soundly_after("nothing");
}

#[test]
fn a_runtime_that_has_been_busy_is_never_woken_either() {
    sleeps_soundly_after("work");
}

#[test]
#[ignore = "the tests above run it, in a process of its own"]
fn a_process_that_idles() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    let runtime = Runtime::builder().workers(2).build().expect("it starts");
    runtime.run(move || {
        if part == "work" {
            work();
        }
        println!("{READY}");
        // A timer far away, and a coroutine that waits for a socket, keep nobody awake.
        let (near, _far) = UnixStream::pair().expect("a pair");
        drop(spawn(move || (&near).read_exact(&mut [0])));
        sleep(LIFE);
    });
}

/// Something of everything, on both workers.
fn work() {
    let log = Arc::new(Mutex::new(0));
    let crew: Vec<_> = (0..2_000)
        .map(|number| {
            let log = log.clone();
            spawn(move || {
                for _ in 0..3 {
                    *log.lock() += 1;
                    yield_now();
                    sleep(MS);
                }
                if number % 10 == 0 {
                    let (mut near, mut far) = UnixStream::pair().expect("a pair");
                    let writer = spawn(move || near.write_all(b"x"));
                    far.read_exact(&mut [0]).expect("a byte");
                    writer.join().expect("it ends well").expect("it writes");
                    let (_open, silent) = channel::bounded::<()>(0);
                    assert!(with_timeout(MS, || silent.recv()).is_err());
                }
            })
        })
        .collect();
    for sailor in crew {
        sailor.join().expect("it ends well");
    }
    assert_eq!(*log.lock(), 6_000);
}
