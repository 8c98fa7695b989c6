//! The runtime's tests under AddressSanitizer, with controls that prove that it was on and sees into coroutines.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::section::{self, Outcome};
use crate::{place, shell};

/// With `--target` given, build scripts and procedural macros are left alone.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The errors that the control program can commit; the report names them so.
const CONTROLS: &[&str] = &["heap-use-after-free", "stack-buffer-overflow"];

pub(crate) fn run() -> Result<Outcome> {
    if let Err(why) = nightly_with_sanitizer() {
        return Ok(Outcome::Skipped(format!("{why:#}")));
    }
    controls()?;
    // Without doc tests: rustdoc would want the flags said twice, and they show the interface, not the internals.
    let mut command = sanitized(&["test", "-p", "grapeshot", "--lib", "--tests"]);
    Ok(Outcome::Done(Some(section::run_tests(
        "asan",
        &mut command,
    )?)))
}

fn nightly_with_sanitizer() -> Result<()> {
    let mut sysroot = Command::new("rustup");
    sysroot.args(["run", "nightly", "rustc", "--print", "sysroot"]);
    let sysroot = shell::output(&mut sysroot).context("no nightly toolchain on this machine")?;
    let libraries = std::path::Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(TARGET)
        .join("lib");
    ensure!(
        libraries.join("librustc-nightly_rt.asan.a").exists(),
        "the nightly toolchain has no AddressSanitizer for {TARGET}"
    );
    Ok(())
}

/// `cargo` with the sanitizer on, in a target folder of its own.
fn sanitized(arguments: &[&str]) -> Command {
    let mut command = shell::nightly_cargo(arguments);
    command
        .args(["--target", TARGET])
        .arg("--target-dir")
        .arg(place::target().join("asan"));
    // The cfg has the runtime tell the sanitizer of every switch.
    command.env(
        "RUSTFLAGS",
        "-Zsanitizer=address -C force-frame-pointers=yes --cfg grapeshot_asan",
    );
    // Some tests panic on purpose, often; resolving each backtrace under the sanitizer takes seconds.
    command.env("RUST_BACKTRACE", "0");
    command.envs(options());
    command
}

/// What the sanitizer leaves out, and why.
///
/// The leak check looks for pointers in registers, globals and threads' stacks, and not in suspended coroutines': what
/// those hold would be called leaked. The check for uses of locals after their function's return maps megabytes of a
/// second stack for each coroutine: minutes a test, for code whose references the compiler has checked.
fn options() -> [(&'static str, &'static str); 1] {
    [(
        "ASAN_OPTIONS",
        "detect_leaks=0:detect_stack_use_after_return=0",
    )]
}

fn controls() -> Result<()> {
    let manifest = place::root().join("xtask/asan-control/Cargo.toml");
    let mut build = sanitized(&["build"]);
    build.arg("--manifest-path").arg(manifest);
    shell::run(&mut build)?;
    let clean = control("clean")?;
    ensure!(
        clean.status.success(),
        "the control without an error was reported: {}",
        clean.stderr
    );
    for error in CONTROLS {
        let ended = control(error)?;
        let report = format!("ERROR: AddressSanitizer: {error}");
        ensure!(
            ended.stderr.contains(&report),
            "the sanitizer missed the planted {error}: {}",
            ended.stderr
        );
        ensure!(
            !ended.status.success(),
            "the planted {error} was reported and went on"
        );
        println!("control: the planted {error} in a coroutine was reported");
    }
    Ok(())
}

fn control(error: &str) -> Result<shell::Ended> {
    let program = place::target()
        .join("asan")
        .join(TARGET)
        .join("debug/asan-control");
    shell::run_bounded(
        Command::new(program).arg(error).envs(options()),
        Duration::from_secs(60),
    )
}
