//! The programs that are measured, and how each is built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::go;
use super::rows::{Kind, Row};
use crate::{place, shell};

/// One column of the table: a program with its variant.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    binary: Binary,
    variant: &'static [&'static str],
    rows: Rows,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Binary {
    /// Built by cargo in the workspace `benches`.
    Rust(&'static str),
    Go,
    C,
}

/// Which rows are worth a column's time.
#[derive(Clone, Copy)]
enum Rows {
    /// All; the program refuses those it does not have.
    All,
    /// All but memory and sleepers, which are the same as in another variant.
    Switching,
    /// Those in which a second worker can matter.
    Parallel,
    Echo,
}

impl Program {
    pub(crate) fn has(&self, row: &Row) -> bool {
        let memory = row.name.starts_with("memory");
        match self.rows {
            Rows::All => true,
            Rows::Switching => !memory && row.name != "sleepers",
            Rows::Parallel => !memory && row.name != "timeout",
            Rows::Echo => matches!(row.kind, Kind::Echo { .. }),
        }
    }

    pub(crate) fn command(&self, row: &Row) -> Command {
        let mut command = Command::new(match self.binary {
            Binary::Rust(name) => benches_target().join("release").join(name),
            Binary::Go => built("peer-go"),
            Binary::C => built("echo"),
        });
        command.arg(row.argument()).args(self.variant);
        command
    }
}

const OURS: Binary = Binary::Rust("bench-ours");
const TOKIO: Binary = Binary::Rust("peer-tokio");

const fn program(
    name: &'static str,
    what: &'static str,
    binary: Binary,
    variant: &'static [&'static str],
    rows: Rows,
) -> Program {
    Program {
        name,
        what,
        binary,
        variant,
        rows,
    }
}

pub(crate) const ALL: &[Program] = &[
    program("ours", "Grapeshot, one worker", OURS, &["1"], Rows::All),
    program(
        "ours-bare",
        "Grapeshot, one worker, accounting off",
        OURS,
        &["1", "bare"],
        Rows::Switching,
    ),
    program(
        "ours-2",
        "Grapeshot, two workers",
        OURS,
        &["2"],
        Rows::Parallel,
    ),
    program(
        "tokio-ct",
        "tokio, current thread",
        TOKIO,
        &["ct"],
        Rows::All,
    ),
    program("tokio-mt", "tokio, two workers", TOKIO, &["mt"], Rows::All),
    program("go-1", "Go, GOMAXPROCS=1", Binary::Go, &["1"], Rows::All),
    program("go-2", "Go, GOMAXPROCS=2", Binary::Go, &["2"], Rows::All),
    program(
        "may",
        "may, one worker",
        Binary::Rust("peer-may"),
        &[],
        Rows::All,
    ),
    program(
        "threads",
        "a thread each",
        Binary::Rust("peer-threads"),
        &[],
        Rows::All,
    ),
    program("c", "a bare epoll loop in C", Binary::C, &[], Rows::Echo),
];

/// The load generator of the echo rows.
pub(crate) fn load_generator() -> PathBuf {
    built("echo_load")
}

fn benches_target() -> PathBuf {
    place::target().join("benches")
}

fn built(name: &str) -> PathBuf {
    place::target().join("peers/bin").join(name)
}

/// Builds what `programs` need, and the load generator.
pub(crate) fn build(programs: &[&Program]) -> Result<()> {
    let benches = place::root().join("benches");
    fs::create_dir_all(place::target().join("peers/bin")).context("making target/peers/bin")?;
    let packages: Vec<&str> = programs
        .iter()
        .filter_map(|program| rust_package(program.binary))
        .collect();
    if !packages.is_empty() {
        let mut cargo = shell::cargo(&[
            "build",
            "--release",
            "--manifest-path",
            "benches/Cargo.toml",
        ]);
        cargo.arg("--target-dir").arg(benches_target());
        for package in packages {
            cargo.args(["--package", package]);
        }
        shell::run(&mut cargo)?;
    }
    if programs.iter().any(|program| program.binary == Binary::Go) {
        go::build(&benches.join("peers/go"), &built("peer-go"))?;
    }
    compile_c(&benches.join("peers/c/echo.c"), &built("echo"))?;
    compile_c(&benches.join("load/echo_load.c"), &load_generator())
}

fn rust_package(binary: Binary) -> Option<&'static str> {
    match binary {
        Binary::Rust(name) => Some(name),
        Binary::Go | Binary::C => None,
    }
}

fn compile_c(source: &Path, output: &Path) -> Result<()> {
    let mut cc = Command::new("cc");
    shell::run(
        cc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(output)
            .arg(source),
    )
}
