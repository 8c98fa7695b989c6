//! The model checks: tests in modules called `models`, under `cfg(loom)`, which try the interleavings of a small program
//! on the runtime's cross-thread protocols (wake, steal, sleep).

use std::env;

use anyhow::Result;

use crate::section::{self, Outcome};
use crate::{place, shell};

/// Threads are preempted at most so often in one interleaving. Almost all bugs show with two; one of ours needed three,
/// and five take an hour. `LOOM_MAX_PREEMPTIONS` says otherwise.
const PREEMPTIONS: &str = "3";

pub(crate) fn run() -> Result<Outcome> {
    // A target folder of its own: the flag changes every crate. Not optimised: that would take minutes and save seconds.
    let mut command = shell::cargo(&["test", "-p", "grapeshot", "--lib"]);
    command.env("CARGO_PROFILE_DEV_DEBUG", "none");
    command
        .arg("--target-dir")
        .arg(place::target().join("loom"))
        .args(["--", "models::"]);
    command.env("RUSTFLAGS", "--cfg loom -C force-frame-pointers=yes");
    if env::var_os("LOOM_MAX_PREEMPTIONS").is_none() {
        command.env("LOOM_MAX_PREEMPTIONS", PREEMPTIONS);
    }
    let tally = section::run_tests("loom", &mut command)?;
    println!("{} models ran", tally.passed);
    Ok(Outcome::Done(Some(tally)))
}
