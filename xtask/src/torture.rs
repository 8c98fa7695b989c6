//! `cargo xtask torture`: what SQLite and curl do to themselves. One run counts the system calls that can fail; then the
//! program (`tests/src/bin/torture.rs`, or the demo) runs again for each of them, and that one fails.
//!
//! A run must end by itself, and soon. Either everything came back although a call failed, or the program says what failed,
//! with the system's error. A hang, a crash, a panic, and a failure without a reason are defects.

mod demo;
mod faults;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::section::{self, Outcome};
use crate::{place, shell};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// At most so many calls of each kind, spread over the run; 0: all.
    #[arg(long, default_value_t = 0)]
    sample: u64,
    /// Only these system calls, by comma.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Of the demo with its visitors, not of the small server with its clients.
    #[arg(long)]
    demo: bool,
}

/// A run takes some hundred milliseconds, and gives itself ten seconds; a loaded machine gets more.
const LIMIT: Duration = Duration::from_secs(60);
/// In CI: some two hundred runs, in ten seconds.
const SAMPLE: u64 = 6;

/// In CI, of the demo: each of its runs takes a second or two.
const SAMPLE_OF_DEMO: u64 = 1;

/// Runs what is tortured once, under strace with these arguments.
type Once<'a> = &'a dyn Fn(&[&str]) -> Result<Run>;

pub(crate) fn run(options: &Options) -> Result<()> {
    let tally = if options.demo {
        torture_demo(options)?
    } else {
        let program = build()?;
        torture(&|it| once(&program, it), &[faults::COMMON], options)?
    };
    println!("{tally}");
    tally.verdict()
}

fn torture_demo(options: &Options) -> Result<Tally> {
    let demo = demo::Demo::build()?;
    let faults = [faults::COMMON, faults::OF_DEMO];
    torture(&|it| demo.once(it), &faults, options)
}

/// The part that runs with the tests.
pub(crate) fn sample(demo: bool) -> Result<Outcome> {
    if place::in_path("strace").is_none() {
        return Ok(Outcome::Skipped("strace is not installed".into()));
    }
    let program = build()?;
    // Containers may forbid to trace.
    let plain = once(&program, &["-e", "trace=none"])?;
    if let How::NotTraced(why) = &plain.how {
        return Ok(Outcome::Skipped(format!("strace cannot attach: {why}")));
    }
    let options = Options {
        sample: if demo { SAMPLE_OF_DEMO } else { SAMPLE },
        only: Vec::new(),
        demo,
    };
    let tally = if demo {
        torture_demo(&options)?
    } else {
        torture(&|it| once(&program, it), &[faults::COMMON], &options)?
    };
    println!("{tally}");
    tally.verdict()?;
    Ok(Outcome::Done(None))
}

/// The tests that go through every call of a simulated network, again and with their figures.
pub(crate) fn simulated() -> Result<Outcome> {
    let mut command = shell::cargo(&["test", "--lib", "--test", "torture"]);
    for package in ["grapeshot", "grapeshot-http", "grapeshot-websocket"] {
        command.args(["-p", package]);
    }
    command.args(["--", "tortur", "--nocapture", "--test-threads=1"]);
    // Programs with planted defects panic here.
    command.env("RUST_BACKTRACE", "0");
    let mut runs = 0;
    let count = |line: &str| {
        // It comes behind the test's name, on the same line.
        let figures = line.split_once("tortured: ");
        let first = figures.and_then(|(_, it)| it.split(' ').next());
        runs += first.and_then(|it| it.parse::<u64>().ok()).unwrap_or(0);
    };
    let tally = section::run_tests_inspected(&mut command, count)?;
    println!("{runs} runs, in each of which another call failed");
    ensure!(runs > 0, "no call was made to fail");
    Ok(Outcome::Done(Some(tally)))
}

fn build() -> Result<PathBuf> {
    shell::run(&mut shell::cargo(&[
        "build",
        "-p",
        "grapeshot-tests",
        "--bin",
        "torture",
    ]))?;
    Ok(place::target().join("debug/torture"))
}

#[derive(Default)]
struct Tally {
    went_on: u64,
    said_why: u64,
    not_reached: u64,
    defects: Vec<String>,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} runs: {} went on, {} said what failed, {} were not reached, {} defects",
            self.went_on + self.said_why + self.not_reached + self.defects.len() as u64,
            self.went_on,
            self.said_why,
            self.not_reached,
            self.defects.len()
        )
    }
}

impl Tally {
    fn verdict(&self) -> Result<()> {
        ensure!(
            self.defects.is_empty(),
            "{} defects:\n{}",
            self.defects.len(),
            self.defects.join("\n")
        );
        // Both kinds of end prove that calls did fail, and that it was noticed.
        ensure!(
            self.went_on > 0 && self.said_why > 0,
            "no call was made to fail"
        );
        Ok(())
    }
}

fn torture(once: Once<'_>, faults: &[&[(&str, &[&str])]], options: &Options) -> Result<Tally> {
    let counts = count(once)?;
    let mut tally = Tally::default();
    println!("{:<14} {:<13} {:>4}  outcome", "call", "error", "N");
    for (call, errors) in faults.iter().copied().flatten() {
        if !options.only.is_empty() && !options.only.iter().any(|only| only == call) {
            continue;
        }
        let (skipped, count) = counts.get(*call).copied().unwrap_or_default();
        for error in *errors {
            for number in chosen(count - skipped, options.sample) {
                let number = skipped + number;
                let inject = format!("inject={call}:error={error}:when={number}");
                let ended = once(&["-e", &format!("trace={call}"), "-e", &inject])?;
                let outcome = match ended.how {
                    How::NotTraced(why) => bail!("strace cannot attach: {why}"),
                    _ if !ended.injected => {
                        tally.not_reached += 1;
                        "not reached".to_owned()
                    }
                    How::WentOn => {
                        tally.went_on += 1;
                        "goes on".to_owned()
                    }
                    How::SaidWhy(why) => {
                        tally.said_why += 1;
                        why
                    }
                    How::Defect(what) => {
                        let line = format!("DEFECT: {what}");
                        tally
                            .defects
                            .push(format!("{call} {error} {number}: {what}"));
                        line
                    }
                };
                println!("{call:<14} {error:<13} {number:>4}  {outcome}");
            }
        }
    }
    Ok(tally)
}

/// Which of `count` calls fail: all, or `sample` of them, evenly spread, the first among them.
fn chosen(count: u64, sample: u64) -> Vec<u64> {
    if sample == 0 || count <= sample {
        return (1..=count).collect();
    }
    (0..sample).map(|at| 1 + at * count / sample).collect()
}

/// How often a thread makes each call at most, since strace counts by thread; and how many of these are the loader's and
/// std's, before `main`, which end the process as they like.
fn count(once: Once<'_>) -> Result<BTreeMap<String, (u64, u64)>> {
    let ended = once(&["-e", "trace=all"])?;
    ensure!(
        matches!(ended.how, How::WentOn),
        "the program fails with nothing done to it: {:?}",
        ended.how
    );
    Ok(counted(&ended.log))
}

fn counted(log: &str) -> BTreeMap<String, (u64, u64)> {
    // What is traced from its start begins so; std's last call before `main` gives its thread a stack for signals.
    let mut early = log.lines().next().is_some_and(|it| it.contains("execve("));
    let mut of_threads: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut counts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for line in log.lines() {
        let Some((thread, call)) = line.split_once(char::is_whitespace) else {
            continue;
        };
        let Some((name, arguments)) = call.trim_start().split_once('(') else {
            continue;
        };
        if name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            let of_thread = of_threads.entry((thread, name)).or_default();
            *of_thread += 1;
            let (skipped, most) = counts.entry(name.to_owned()).or_default();
            *most = (*most).max(*of_thread);
            if early {
                *skipped = *of_thread;
            }
        }
        early &= !(name == "sigaltstack" && arguments.starts_with('{'));
    }
    counts
}

struct Run {
    how: How,
    injected: bool,
    log: String,
}

#[derive(Debug, PartialEq, Eq)]
enum How {
    WentOn,
    /// The program's first word about it.
    SaidWhy(String),
    Defect(String),
    NotTraced(String),
}

/// What strace writes. It is removed with this.
struct Log(PathBuf);

impl Log {
    fn new() -> Self {
        let name = format!("grapeshot-torture-{}.log", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Runs the program once under strace with `arguments`.
fn once(program: &Path, arguments: &[&str]) -> Result<Run> {
    let log = Log::new();
    let mut tortured = shell::Server::start(
        Command::new(program)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    )?;
    let child = tortured.child();
    let mut stdin = child.stdin.take().expect("it is piped");
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    let stderr = shell::drain(child.stderr.take().expect("it is piped"));
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    ensure!(line == "ready\n", "the program did not start: {line:?}");

    let mut strace = shell::Server::start(
        Command::new("strace")
            .args(["-f", "-o"])
            .arg(&log.0)
            .args(arguments)
            .args(["-p", &child.id().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped()),
    )?;
    let mut said = BufReader::new(strace.child().stderr.take().expect("it is piped"));
    let mut first = String::new();
    said.read_line(&mut first).context("what strace says")?;
    if !first.contains("attached") {
        return Ok(Run {
            how: How::NotTraced(first.trim().to_owned()),
            injected: false,
            log: String::new(),
        });
    }
    let rest = thread::spawn(move || said.read_to_end(&mut Vec::new()));
    let stdout = shell::drain(stdout);
    stdin.write_all(b"go\n")?;
    let ended = end_of(&mut tortured)?;
    if ended.is_none() {
        let _ = tortured.child().kill();
    }
    // It ends with the last of those it traces.
    let _ = end_of(&mut strace)?;
    drop(strace);
    let _ = rest.join();
    let text = |reader: thread::JoinHandle<String>| reader.join().unwrap_or_default();
    let (stdout, stderr) = (text(stdout), text(stderr));
    let log = fs::read_to_string(&log.0).context("the log of strace")?;
    Ok(Run {
        how: judge(ended, &stdout, &stderr),
        injected: log.contains("(INJECTED)"),
        log,
    })
}

/// `None`: it had not ended in time.
fn end_of(server: &mut shell::Server) -> Result<Option<ExitStatus>> {
    let give_up = Instant::now() + LIMIT;
    loop {
        if let Some(status) = server.child().try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > give_up {
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// What std and the allocator do when a thread or a value finds no memory: they end the process, with these words. That is
/// Rust's rule, and not ours to change.
const NO_MEMORY_FOR_STD: &[&str] = &[
    "memory allocation of ",
    "failed to allocate an alternative stack",
    "failed to set up alternative stack guard page",
];

fn judge(ended: Option<ExitStatus>, stdout: &str, stderr: &str) -> How {
    let Some(status) = ended else {
        return How::Defect(format!("it hangs. {}", stderr.trim()));
    };
    if let Some(words) = NO_MEMORY_FOR_STD
        .iter()
        .find(|words| stderr.contains(*words))
    {
        return How::SaidWhy(format!("std ends the process: {}", words.trim()));
    }
    if let Some(signal) = status.signal() {
        return How::Defect(format!("signal {signal}. {}", stderr.trim()));
    }
    if stderr.contains("panicked at") || stderr.contains("HANGS") {
        return How::Defect(stderr.trim().to_owned());
    }
    if status.success() && stdout.contains("all came back") {
        return How::WentOn;
    }
    let reason =
        |line: &&str| line.contains("(os error ") || line.starts_with("torture: the child: ");
    match stderr.lines().find(reason) {
        Some(line) => How::SaidWhy(line.trim_start_matches("torture: ").to_owned()),
        None => How::Defect(format!("{status}, and no reason. {}", stderr.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_thread() {
        let log = "7  read(0, \"go\\n\", 8) = 3\n7  mmap(NULL, 1) = 0\n8  read(3, 0) = 0\n8  read(3, 0) = 0\n\
                   8  <... read resumed>) = 1\n7  +++ exited with 0 +++\n";
        let counts = counted(log);
        assert_eq!(counts["read"], (0, 2));
        assert_eq!(counts["mmap"], (0, 1));
        assert_eq!(counts.len(), 2);
    }

    #[test]
    fn what_comes_before_main_is_skipped() {
        let log = "7 execve(\"mmo\") = 0\n7 mmap(NULL, 1) = 0\n7 sigaltstack(NULL, {}) = 0\n7 mmap(NULL, 1) = 0\n\
                   7 sigaltstack({ss_sp=1}, NULL) = 0\n7 mmap(NULL, 1) = 0\n8 mmap(NULL, 1) = 0\n8 read(0) = 0\n";
        let counts = counted(log);
        assert_eq!(counts["mmap"], (2, 3));
        assert_eq!(counts["read"], (0, 1));
    }

    #[test]
    fn a_sample_is_spread_and_has_the_first() {
        assert_eq!(chosen(3, 0), [1, 2, 3]);
        assert_eq!(chosen(3, 5), [1, 2, 3]);
        assert_eq!(chosen(100, 4), [1, 26, 51, 76]);
        assert!(chosen(0, 4).is_empty());
    }

    #[test]
    fn only_success_and_a_reason_will_do() {
        let code = |code: i32| Some(ExitStatus::from_raw(code << 8));
        let is_defect = |how: How| matches!(how, How::Defect(_));
        assert_eq!(judge(code(0), "all came back\n", ""), How::WentOn);
        assert!(matches!(
            judge(code(1), "", "torture: listening: No (os error 24)\n"),
            How::SaidWhy(_)
        ));
        assert!(is_defect(judge(None, "", "")));
        assert!(is_defect(judge(Some(ExitStatus::from_raw(6)), "", "")));
        assert!(is_defect(judge(code(0), "", "")));
        assert!(is_defect(judge(code(1), "", "torture: it failed\n")));
        assert!(is_defect(judge(code(1), "", "panicked at (os error 24)\n")));
    }
}
