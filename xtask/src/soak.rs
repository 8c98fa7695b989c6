//! `cargo xtask soak`: random programs over every primitive, with timeouts, kills and panics anywhere, for as long as one
//! wishes. After each, nothing may be lost, held or waited for (`src/sync/tests/everything`).

use anyhow::{Context, Result, ensure};

use crate::{section, shell};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// For how long, in minutes.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// The seed of the first program: a failure names its own.
    #[arg(long, default_value_t = 1_000)]
    seed: u64,
}

/// So long runs one process, in seconds: a runtime that ends leaves its two kibibytes behind, and each program is one.
const SLICE: u64 = 600;
/// Further than the programs of a slice reach.
const SEEDS: u64 = 1 << 32;

pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(options.minutes > 0, "no time, no soak");
    let mut left = options.minutes.checked_mul(60).context("so many minutes")?;
    let mut seed = options.seed;
    while left > 0 {
        let slice = left.min(SLICE);
        soak(slice, seed)?;
        left -= slice;
        seed = seed.wrapping_add(SEEDS);
    }
    Ok(())
}

fn soak(seconds: u64, seed: u64) -> Result<()> {
    // Not in release: the debug assertions shall look, too.
    let mut command = shell::cargo(&["test", "-p", "grapeshot", "--lib", "--"]);
    command
        .args(["--ignored", "--exact", "--nocapture"])
        .arg("sync::tests::everything::soak::programs_until_the_time_is_up")
        .env("GRAPESHOT_SOAK_SECONDS", seconds.to_string())
        .env("GRAPESHOT_SOAK_SEED", seed.to_string());
    let tally = section::run_tests_inspected(&mut command, |_| {})?;
    ensure!(tally.passed == 1, "the soak did not run: was it renamed?");
    Ok(())
}
