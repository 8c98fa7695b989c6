use anyhow::{Result, bail};
#[derive(clap::Args)]
pub(crate) struct Options {}
pub(crate) fn run(_: &Options) -> Result<()> {
    bail!("not yet")
}
