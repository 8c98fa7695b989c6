//! Profiles that are asked for from outside: by the environment, by a signal.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::alone;
use grapeshot::signal::SIGUSR2;
use grapeshot::{Builder, sleep, yield_now};
use grapeshot_profiler::{OnDemand, Options, Profile, VARIABLE, is_running, start, stop};
use rustix::process::{Signal, getpid, kill_process};

/// What a child is to do.
const CHILD: &str = "GRAPESHOT_PROFILER_TEST_CHILD";

/// Exact times alone, so that every system has them.
fn exact() -> Options {
    Options::new().hertz(0)
}

fn until(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(60), "it never comes");
        sleep(Duration::from_millis(1));
    }
}

/// Counts the warnings that there is no profile.
struct Refusals(AtomicU32);

static REFUSALS: Refusals = Refusals(AtomicU32::new(0));

impl Refusals {
    fn so_far() -> u32 {
        REFUSALS.0.load(Ordering::Relaxed)
    }
}

impl log::Log for Refusals {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        if record.args().to_string().starts_with("no profile: ") {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    fn flush(&self) {}
}

fn work() {
    let worker = Builder::new().name("the work").spawn(yield_now);
    worker.join().unwrap();
}

fn has_work(path: &Path) -> bool {
    let profile = Profile::load(path).unwrap();
    let mut groups = profile.groups.iter();
    groups.any(|group| profile.string(group.name) == "the work")
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("grapeshot-on-demand-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The test of that name, in a process with that variable.
fn child(name: &str, variable: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .env(VARIABLE, variable)
        .output()
        .unwrap()
}

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

#[test]
fn the_variable_takes_a_profile_from_the_start_to_the_end() {
    if is_child() {
        return grapeshot::run(|| {
            let _profiles = OnDemand::new().options(exact()).start().unwrap();
            work();
        });
    }
    let folder = Folder::new("whole");
    let file = folder.0.join("whole.json");
    let name = "the_variable_takes_a_profile_from_the_start_to_the_end";
    let output = child(name, file.to_str().unwrap());
    assert!(output.status.success(), "{output:?}");
    assert!(has_work(&file));
}

#[test]
fn the_variable_takes_a_profile_for_some_seconds() {
    if is_child() {
        return grapeshot::run(|| {
            let _profiles = OnDemand::new().options(exact()).start().unwrap();
            until(|| !is_running());
            Builder::new()
                .name("too late")
                .spawn(yield_now)
                .join()
                .unwrap();
        });
    }
    let folder = Folder::new("seconds");
    let file = folder.0.join("seconds.json");
    let name = "the_variable_takes_a_profile_for_some_seconds";
    let output = child(name, &format!("{}:0.3", file.display()));
    assert!(output.status.success(), "{output:?}");
    let profile = Profile::load(&file).unwrap();
    assert!(profile.lasted >= 0.29, "{}", profile.lasted);
    assert!(!profile.strings.contains(&"too late".to_owned()));
}

#[test]
fn a_variable_that_makes_no_sense_is_refused() {
    if is_child() {
        let error = grapeshot::run(|| OnDemand::new().start().unwrap_err());
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        return println!("refused: {error}");
    }
    let name = "a_variable_that_makes_no_sense_is_refused";
    for (variable, says) in [("a.doc", ".firefox.json"), ("a.html:0", "FILE:SECONDS")] {
        let output = child(name, variable);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("refused: ") && said.contains(says), "{said}");
    }
}

#[test]
fn a_signal_begins_a_profile_and_the_next_one_writes_it() {
    let _alone = alone();
    let folder = Folder::new("signal");
    let file = |number| {
        folder
            .0
            .join(format!("world-{}-{number}.json", std::process::id()))
    };
    log::set_logger(&REFUSALS).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let send = || kill_process(getpid(), Signal::USR2).unwrap();
    let by_signal = OnDemand::new()
        .options(exact())
        .toggled_by(SIGUSR2)
        .file(folder.0.join("world.json"));
    let (first, second, third) = (file(1), file(2), file(3));
    grapeshot::run(move || {
        let profiles = by_signal.start().unwrap();
        for file in [&first, &second] {
            send();
            until(is_running);
            work();
            send();
            until(|| !is_running() && Profile::load(file).is_ok());
            assert!(has_work(file));
        }
        // What somebody else began is not ended by it.
        start(exact()).unwrap();
        for times in [1, 2] {
            send();
            until(|| Refusals::so_far() == times);
        }
        drop(profiles);
        assert!(is_running());
        stop().unwrap();
        assert!(!third.exists());
    });
}

#[test]
fn what_is_being_taken_at_the_end_is_written() {
    let _alone = alone();
    let folder = Folder::new("end");
    let file = folder.0.join("end.json");
    let path = file.clone();
    grapeshot::run(move || {
        let profiles = OnDemand::new()
            .options(exact())
            .from_start(&path, None)
            .start()
            .unwrap();
        let second = OnDemand::new().from_start(&path, None).start();
        assert!(
            second
                .unwrap_err()
                .to_string()
                .contains("stop that one first")
        );
        work();
        drop(profiles);
        assert!(!is_running());
    });
    assert!(has_work(&file));
}
