//! The programs that are measured, and how each is built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

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
    /// How many processors it can use.
    width: Width,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Width {
    One,
    Several,
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

    /// As [`Program::command`], for a server that a load is put on: on the first processor, if it cannot use more. Where
    /// the kernel puts both on one, or moves them, decides more about the figures than the programs do.
    pub(crate) fn server(&self, row: &Row) -> Command {
        on_processor(self.command(row), self.processors().0)
    }

    /// The load for [`Program::server`]: on the second processor then.
    pub(crate) fn load(&self) -> Command {
        on_processor(Command::new(built("echo_load")), self.processors().1)
    }

    fn processors(&self) -> (Option<usize>, Option<usize>) {
        let there = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        if self.width == Width::One && there > 1 {
            (Some(0), Some(1))
        } else {
            (None, None)
        }
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
        width: Width::One,
    }
}

impl Program {
    const fn wide(mut self) -> Self {
        self.width = Width::Several;
        self
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
    )
    .wide(),
    program(
        "tokio-ct",
        "tokio, current thread",
        TOKIO,
        &["ct"],
        Rows::All,
    ),
    program("tokio-mt", "tokio, two workers", TOKIO, &["mt"], Rows::All).wide(),
    program("go-1", "Go, GOMAXPROCS=1", Binary::Go, &["1"], Rows::All),
    program("go-2", "Go, GOMAXPROCS=2", Binary::Go, &["2"], Rows::All).wide(),
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
    )
    .wide(),
    program("c", "a bare epoll loop in C", Binary::C, &[], Rows::Echo),
    program(
        "c-page",
        "the same with a page of its own for each connection",
        Binary::C,
        &["page"],
        Rows::Echo,
    ),
];

/// The command, on this processor alone.
fn on_processor(command: Command, processor: Option<usize>) -> Command {
    let Some(processor) = processor else {
        return command;
    };
    // It becomes the program, so the process is the program's.
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", &processor.to_string()]);
    pinned.arg(command.get_program()).args(command.get_args());
    pinned
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
        build_packages(&packages)?;
    }
    if programs.iter().any(|program| program.binary == Binary::Go) {
        go::build(&benches.join("peers/go"), &built("peer-go"))?;
    }
    compile_c(&benches.join("peers/c/echo.c"), &built("echo"))?;
    compile_c(&benches.join("load/echo_load.c"), &built("echo_load"))
}

/// Builds one program of the workspace `benches`: where it is.
pub(crate) fn build_package(name: &str) -> Result<PathBuf> {
    build_packages(&[name])?;
    Ok(benches_target().join("release").join(name))
}

fn build_packages(packages: &[&str]) -> Result<()> {
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
    shell::run(&mut cargo)
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
