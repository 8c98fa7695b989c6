//! Real programs, and their ends.

mod ends;
mod groups;
mod streams;

use std::time::Duration;

use super::{Command, Stdio};

/// Runs `f` in a runtime of its own, for a minute at most.
fn bounded<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    crate::run(|| within_a_minute(f))
}

fn within_a_minute<T>(f: impl FnOnce() -> T) -> T {
    crate::with_timeout(Duration::from_secs(60), f).expect("it takes no minute")
}

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// Waits until something is so.
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let since = std::time::Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(60), "no {what}");
        std::thread::yield_now();
        crate::yield_now();
    }
}
