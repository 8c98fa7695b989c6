//! Whoever else uses the signal that samples come by.
#![cfg(target_os = "linux")]

mod common;

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

use common::{alone, burner, on_two_workers};
use grapeshot::profile::{self, Settings};
use grapeshot::signal::{SIGPROF, Signals};
use rustix::process::{Signal, getpid, kill_process};

burner!(think);

/// Long enough for a hundred ticks.
const A_WHILE: Duration = Duration::from_millis(30);

fn send() {
    kill_process(getpid(), Signal::PROF).unwrap();
}

/// Begins a profile of many ticks.
fn start() {
    let mut often = Settings::default();
    often.hertz = 5_000;
    profile::start(often).unwrap();
}

/// Ends it; there were samples.
fn stop() {
    let recorded = profile::stop().unwrap();
    assert!(recorded.on.iter().any(|stack| stack.count > 0));
}

fn profiled() {
    start();
    think(A_WHILE);
    stop();
}

#[test]
fn the_signal_of_somebody_else_is_handed_on() {
    let _alone = alone();
    on_two_workers(|| {
        start();
        let mut theirs = Signals::new(&[SIGPROF]).unwrap();
        for _ in 0..3 {
            send();
            assert_eq!(theirs.wait().unwrap(), SIGPROF);
            // The ticks are nobody's but the profiler's.
            think(A_WHILE);
            assert_eq!(theirs.try_wait(), None);
        }
        stop();
    });
}

#[test]
fn one_who_stops_listening_under_a_profile_leaves_the_process_alive() {
    let _alone = alone();
    on_two_workers(|| {
        // The handler is there from now on.
        profiled();
        for _ in 0..3 {
            let theirs = Signals::new(&[SIGPROF]).unwrap();
            start();
            think(A_WHILE);
            drop(theirs);
            think(A_WHILE);
            stop();
        }
    });
}

#[test]
fn profiles_and_listeners_take_turns() {
    let _alone = alone();
    on_two_workers(|| {
        for _ in 0..3 {
            let mut theirs = Signals::new(&[SIGPROF]).unwrap();
            profiled();
            send();
            assert_eq!(theirs.wait().unwrap(), SIGPROF);
            drop(theirs);
            profiled();
        }
    });
}

/// In a process of its own: what one does that nobody waits for is to end.
#[test]
fn the_default_comes_back_to_who_listened_before_any_profile() {
    const CHILD: &str = "GRAPESHOT_PROFILER_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        on_two_workers(|| {
            let mut theirs = Signals::new(&[SIGPROF]).unwrap();
            profiled();
            send();
            assert_eq!(theirs.wait().unwrap(), SIGPROF);
            start();
            drop(theirs);
            think(A_WHILE);
            stop();
            println!("the profiles are taken");
            send();
            think(Duration::from_secs(60));
        });
        return;
    }
    let name = "the_default_comes_back_to_who_listened_before_any_profile";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("the profiles are taken"), "{output:?}");
    assert_eq!(output.status.signal(), Some(SIGPROF), "{output:?}");
}
