//! Tests that need a process of their own, and what they look at there.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its share")]

use std::env;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Names the test whose body is to run, to the process made for it.
const ALONE: &str = "GRAPESHOT_ALONE";

/// How long a process of ours may take before it counts as hung.
pub const LIMIT: Duration = Duration::from_secs(60);

/// How a process ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Starts this test program again, to run the test `name` alone: nobody else's descriptors, limits and signals are there,
/// and it may die.
///
/// `None` in that process: the caller then does what is to be done there, else it looks at what becomes of the child.
pub fn alone(name: &str) -> Option<Child> {
    start_alone(name, &mut Command::new(env::current_exe().unwrap()))
}

/// As [`alone`], as a user without rights if this is root, to whom many a limit is none.
pub fn alone_without_rights(name: &str) -> Option<Child> {
    use std::os::unix::process::CommandExt;
    // Nobody else's threads count for that user. By its path the program may be out of reach for it.
    const NOBODYS: u32 = 747_000;
    let mut program = Command::new("/proc/self/exe");
    if rustix::process::getuid().is_root() {
        program.uid(NOBODYS).gid(NOBODYS);
    }
    start_alone(name, &mut program)
}

fn start_alone(name: &str, program: &mut Command) -> Option<Child> {
    if env::var_os(ALONE).is_some_and(|alone| alone == name) {
        return None;
    }
    let child = program
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ALONE, name)
        // Naming the functions of a backtrace takes seconds on a busy machine, and nobody reads it.
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    Some(child)
}

/// The child's end; a child that does not end is killed, and the test fails.
#[track_caller]
pub fn end_of(mut child: Child) -> Ended {
    use std::os::unix::process::ExitStatusExt;
    let mut pipes = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let stderr = std::thread::spawn(move || {
        let mut text = Vec::new();
        pipes.1.read_to_end(&mut text).unwrap();
        text
    });
    let stdout = std::thread::spawn(move || {
        let mut text = Vec::new();
        pipes.0.read_to_end(&mut text).unwrap();
        text
    });
    let end = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(2));
    };
    let text = |thread: std::thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&thread.join().unwrap()).into_owned()
    };
    let (stdout, stderr) = (text(stdout), text(stderr));
    let Some(status) = status else {
        panic!("it hangs\n{stdout}\n{stderr}")
    };
    Ended {
        code: status.code(),
        signal: status.signal(),
        stdout,
        stderr,
    }
}

/// Asserts that the body of the test succeeded in the child.
#[track_caller]
pub fn assert_passed(child: Child) {
    let ended = end_of(child);
    assert!(
        ended.code == Some(0) && ended.stdout.contains("1 passed"),
        "{}\n{}",
        ended.stdout,
        ended.stderr
    );
}

/// The descriptors that this process has open.
pub fn open_descriptors() -> usize {
    // The one that reads the folder is among them, each time.
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Lets others run until `what` holds.
#[track_caller]
pub fn until(mut what: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !what() {
        assert!(Instant::now() < end, "it does not come about");
        grapeshot::yield_now();
    }
}

/// Panics where it is dropped.
pub struct Brittle;

impl Drop for Brittle {
    fn drop(&mut self) {
        if std::hint::black_box(true) {
            panic!("broken in a destructor");
        }
    }
}
