//! The model checks: tests under `cfg(loom)`, which try every interleaving of a small program on the runtime's
//! cross-thread protocols (wake, steal, sleep).

use anyhow::{Result, ensure};

use crate::section::{Outcome, Tally};
use crate::{place, shell};

pub(crate) fn run() -> Result<Outcome> {
    // A target folder of its own: the flag changes every crate. Release, because there are many interleavings.
    let mut command = shell::cargo(&["test", "-p", "grapeshot", "--release", "--lib"]);
    command
        .arg("--target-dir")
        .arg(place::target().join("loom"))
        .args(["--", "loom", "--nocapture"]);
    command.env("RUSTFLAGS", "--cfg loom -C force-frame-pointers=yes");
    let mut tally = Tally::default();
    let status = shell::run_inspected(&mut command, |line| tally.count(line))?;
    ensure!(
        status.success(),
        "{} models failed, {} passed ({status})",
        tally.failed,
        tally.passed
    );
    ensure!(tally.passed > 0, "no model ran");
    println!("{} models ran", tally.passed);
    Ok(Outcome::Done(Some(tally)))
}
