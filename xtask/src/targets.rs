//! Whether the runtime compiles for systems other than this one, which nobody of us runs every day.
//!
//! Checking needs the target's standard library, but no linker and no machine. What is the same everywhere is tested here;
//! so is what stands on the crate `notify` elsewhere.

use std::process::Command;

use anyhow::Result;

use crate::section::Outcome;
use crate::shell;

/// One that has kqueue, and one that has FSEvents, too.
const TARGETS: &[&str] = &["x86_64-unknown-freebsd", "aarch64-apple-darwin"];

pub(crate) fn run() -> Result<Outcome> {
    let installed = shell::output(Command::new("rustup").args(["target", "list", "--installed"]));
    let installed = installed.unwrap_or_default();
    let (here, missing): (Vec<&str>, Vec<&str>) = TARGETS
        .iter()
        .partition(|target| installed.lines().any(|line| line.trim() == **target));
    for target in &here {
        shell::run(&mut shell::cargo(&[
            "check",
            "-p",
            "grapeshot",
            "--target",
            target,
        ]))?;
    }
    if missing.is_empty() {
        return Ok(Outcome::Done(None));
    }
    Ok(Outcome::Skipped(format!(
        "without a standard library for {}: rustup target add {}",
        missing.join(" and "),
        missing.join(" ")
    )))
}
