//! `cargo xtask bench profiler`: what a profile costs while it is taken. The program prints its own table.

use std::process::Command;

use anyhow::Result;

use super::programs;
use crate::shell;

pub(crate) fn run() -> Result<()> {
    let program = programs::build_package("bench-profiler")?;
    shell::run(&mut Command::new(program))
}
