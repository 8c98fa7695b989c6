//! The runtime's tests under Miri, which sees each use of memory that the rules of Rust forbid, and each data race, whether
//! or not it does harm here. Controls prove that it was on.
//!
//! Miri knows no assembly, so there is no switch and no coroutine in these tests: they are about what the runtime's own
//! `unsafe` does with memory, and about what passes between threads, which stand for workers.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::section::{self, Outcome, Tally};
use crate::{place, shell};

/// The errors that the control program can commit, and words of the report.
const CONTROLS: &[(&str, &str)] = &[
    ("data-race", "Data race detected"),
    ("use-after-free", "has been freed"),
    ("aliasing", "Undefined Behavior"),
];

/// Tests of one thread, for the most part: once is enough. With the stricter of the two models of references, and no
/// addresses made from numbers.
const ALONE: &[&str] = &[
    "context::blocks::",
    "context::cycles::",
    "context::typed::",
    "registry::stalls::",
    "sched::word::",
    "time::wheel::",
];
/// Tests of several threads: again in other orders, with other values of relaxed loads.
const TOGETHER: &[&str] = &[
    "context::biased::",
    "context::cell::",
    "context::counted::",
    "context::heir::",
    "context::lend::",
    "context::one_of::",
    "context::spin::",
    "sched::tests::refused::",
    "sync::tests::threads::",
];
/// How many orders.
const SEEDS: &str = "-Zmiri-many-seeds=0..4";

/// The download of a component, and the build of a standard library for Miri.
const INSTALLING: Duration = Duration::from_secs(10 * 60);

pub(crate) fn run() -> Result<Outcome> {
    if let Err(why) = install() {
        return Ok(Outcome::Skipped(format!("{why:#}")));
    }
    controls()?;
    let mut tally = Tally::default();
    for (name, flags, tests) in [
        ("miri-alone", "-Zmiri-strict-provenance", ALONE),
        ("miri-together", SEEDS, TOGETHER),
    ] {
        // Without doc tests: they show the interface, not the internals.
        let mut command = miri(&["test", "-p", "grapeshot", "--lib"], flags);
        command.arg("--").args(tests);
        tally.add(section::run_tests(name, &mut command)?);
    }
    println!(
        "{} tests ran, those of several threads once for each seed",
        tally.passed
    );
    Ok(Outcome::Done(Some(tally)))
}

fn install() -> Result<()> {
    let has = |arguments: &[&str]| shell::output(Command::new("rustup").args(arguments));
    has(&["run", "nightly", "rustc", "--version"])
        .context("no nightly toolchain on this machine")?;
    if has(&["run", "nightly", "cargo", "miri", "--version"]).is_err() {
        let mut add = Command::new("rustup");
        add.args([
            "component",
            "add",
            "--toolchain",
            "nightly",
            "miri",
            "rust-src",
        ]);
        let added = shell::run_bounded(&mut add, INSTALLING)?;
        ensure!(
            added.status.success(),
            "the nightly toolchain has no Miri, and it cannot be added: {}",
            added.stderr.trim()
        );
    }
    let setup = shell::run_bounded(&mut miri(&["setup"], ""), INSTALLING)?;
    ensure!(
        setup.status.success(),
        "Miri cannot build its standard library: {}",
        setup.stderr.trim()
    );
    Ok(())
}

fn miri(arguments: &[&str], flags: &str) -> Command {
    let mut command = shell::nightly_cargo(&["miri"]);
    command.args(arguments);
    command
        .env("CARGO_TARGET_DIR", place::target().join("miri"))
        .env("MIRIFLAGS", flags)
        .env("RUST_BACKTRACE", "0");
    command
}

fn controls() -> Result<()> {
    let clean = control("clean")?;
    ensure!(
        clean.status.success(),
        "the control without an error was reported: {}",
        clean.stderr
    );
    for (error, words) in CONTROLS {
        let ended = control(error)?;
        ensure!(
            ended.stderr.contains(words) && !ended.status.success(),
            "Miri missed the planted {error}: {}",
            ended.stderr
        );
        println!("control: the planted {error} was reported");
    }
    Ok(())
}

fn control(error: &str) -> Result<shell::Ended> {
    let manifest = place::root().join("xtask/miri-control/Cargo.toml");
    let mut command = miri(&["run"], "");
    command
        .arg("--manifest-path")
        .arg(manifest)
        .args(["--", error]);
    shell::run_bounded(&mut command, Duration::from_secs(5 * 60))
}
