//! `cargo xtask bench disk`: files read and written by threads and by io_uring. The program prints its own table.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::programs;
use crate::shell;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// On whose disk a file of 512 MiB is made, and removed in the end; that for temporary files if not given.
    #[arg(long)]
    folder: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let program = programs::build_package("bench-disk")?;
    shell::run(Command::new(program).args(&options.folder))
}
