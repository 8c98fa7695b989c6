//! Fuzz targets, each for a while, from the seeds that are kept in `fuzz/seeds`.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::section::{Outcome, Tally};
use crate::{place, shell};

/// It ends by itself when its time is up, or so long after, if its last input is slow.
const OVERTIME: Duration = Duration::from_secs(120);

fn folder() -> PathBuf {
    place::root().join("fuzz")
}

/// Their names, from the files in `fuzz/fuzz_targets`.
pub(crate) fn targets() -> Result<Vec<String>> {
    let files = std::fs::read_dir(folder().join("fuzz_targets")).context("fuzz/fuzz_targets")?;
    let mut names = Vec::new();
    for file in files {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(stem) = path.file_stem()
        {
            names.push(stem.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Runs one for so long. What it finds beside the seeds goes to the target folder, a crash to `fuzz/artifacts`.
pub(crate) fn run(target: &str, seconds: u32) -> Result<Outcome> {
    if place::in_path("cargo-fuzz").is_none() {
        return Ok(Outcome::Skipped(
            "cargo-fuzz is not installed (cargo install cargo-fuzz)".into(),
        ));
    }
    let nightly = Command::new("rustup")
        .args(["run", "nightly", "rustc", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !nightly.is_ok_and(|status| status.success()) {
        return Ok(Outcome::Skipped("there is no nightly toolchain".into()));
    }
    let in_fuzz = |command: &mut Command| {
        command
            .current_dir(folder())
            .env("CARGO_TARGET_DIR", place::target().join("fuzz"));
    };
    // By itself, so that what does not build is told from what is found.
    let mut build = shell::nightly_cargo(&["fuzz", "build", target]);
    in_fuzz(&mut build);
    shell::run(&mut build)?;
    let corpus = place::target().join("fuzz-corpus").join(target);
    std::fs::create_dir_all(&corpus).context("a folder for the corpus")?;
    let mut command = shell::nightly_cargo(&["fuzz", "run", target]);
    command.arg(&corpus);
    let seeds = folder().join("seeds").join(target);
    if seeds.is_dir() {
        command.arg(&seeds);
    }
    command
        .args([
            "--",
            &format!("-max_total_time={seconds}"),
            "-print_final_stats=1",
        ])
        // One input that takes longer than this is a finding, too.
        .args(["-timeout=20", "-rss_limit_mb=2048"]);
    in_fuzz(&mut command);
    let limit = Duration::from_secs(seconds.into()) + OVERTIME;
    let status = shell::run_inspected(&mut command, limit, |_| {})?;
    ensure!(
        status.success(),
        "{target} found something: see above, and fuzz/artifacts/{target}"
    );
    Ok(Outcome::Done(Some(Tally {
        passed: 1,
        ..Tally::default()
    })))
}
