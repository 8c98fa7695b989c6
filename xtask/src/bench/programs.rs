//! The programs that are measured, and how each is built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};
use grapeshot_tls::demo::Authority;

use super::rows::{self, Kind, Row};
use super::{go, nginx};
use crate::{place, shell};

/// One column of the table: a program with its variant.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    binary: Binary,
    variant: &'static [&'static str],
    rows: Rows,
    /// What it can do besides serving.
    also: &'static [Also],
    /// How many processors it can use.
    width: Width,
}

/// Kinds of rows that few programs have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Also {
    Tls,
    Proxy,
    Client,
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
    /// Of this folder in `benches/peers`.
    Go(&'static str),
    /// Of this file in `benches/peers/c`.
    C(&'static str),
    Node,
    Nginx,
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
    /// Those that ask for one of these.
    Paths(&'static [&'static str]),
}

impl Program {
    pub(crate) fn has(&self, row: &Row) -> bool {
        let memory = row.name.starts_with("memory");
        match row.kind {
            Kind::Tls { .. } => return self.also.contains(&Also::Tls),
            Kind::Proxy { .. } => return self.also.contains(&Also::Proxy),
            Kind::Client { .. } => return self.also.contains(&Also::Client),
            _ => {}
        }
        match self.rows {
            Rows::All => true,
            Rows::Switching => !memory && row.name != "sleepers",
            Rows::Parallel => !memory && row.name != "timeout",
            Rows::Echo => matches!(row.kind, Kind::Echo { .. }),
            Rows::Paths(paths) => match row.kind {
                Kind::Http { path, .. } | Kind::WebSocket { path, .. } => paths.contains(&path),
                _ => false,
            },
        }
    }

    /// `back` is the port of what a proxy or a client asks.
    pub(crate) fn command(&self, row: &Row, back: Option<u16>) -> Command {
        let mut command = Command::new(match self.binary {
            Binary::Rust(name) => benches_target().join("release").join(name),
            Binary::Go(name) | Binary::C(name) => built(name),
            Binary::Node => "node".into(),
            Binary::Nginx => "/usr/sbin/nginx".into(),
        });
        match (row.kind, self.binary) {
            (_, Binary::Nginx) => command
                .args(["-e", "stderr", "-p"])
                .arg(served_folder())
                .arg("-c")
                .arg(nginx::configuration()),
            (_, Binary::Node) => command
                .arg(place::root().join("benches/peers/node/server.js"))
                .arg(served_folder()),
            (Kind::Http { .. } | Kind::WebSocket { .. } | Kind::Client { .. }, _) => {
                command.args(self.variant).arg(served_folder())
            }
            (Kind::Tls { .. }, _) => command
                .args(self.variant)
                .arg(served_folder())
                .arg("tls")
                .arg(keys_folder()),
            (Kind::Proxy { .. }, _) => command
                .args(self.variant)
                .arg(served_folder())
                .args(["proxy", &back.unwrap_or_default().to_string()]),
            _ => command.arg(row.argument()).args(self.variant),
        };
        command
    }

    /// Where it will listen, if it cannot say so itself.
    pub(crate) fn settle(&self, row: &Row, back: Option<u16>) -> Result<Option<u16>> {
        let job = match (row.kind, back) {
            (Kind::Tls { .. }, _) => nginx::Job::Tls(keys_folder()),
            (Kind::Proxy { .. }, Some(back)) => nginx::Job::Proxy(back),
            _ => nginx::Job::Serve,
        };
        match self.binary {
            Binary::Nginx => nginx::configure(&served_folder(), &job).map(Some),
            _ => Ok(None),
        }
    }

    /// As [`Program::command`], for a server that a load is put on: on the first processor, if it cannot use more. Where
    /// the kernel puts both on one, or moves them, decides more about the figures than the programs do.
    pub(crate) fn server(&self, row: &Row, back: Option<u16>) -> Command {
        on_processor(self.command(row, back), self.processors().0)
    }

    /// What a proxy passes on to and a client asks: beside the load.
    pub(crate) fn back(&self) -> Command {
        let mut canned = Command::new(built("canned"));
        canned.arg("http");
        on_processor(canned, self.processors().1)
    }

    /// The load for [`Program::server`]: on the second processor then.
    pub(crate) fn load(&self, row: &Row) -> Command {
        let load = match row.kind {
            Kind::Http { .. } | Kind::Proxy { .. } => built("http_load"),
            Kind::WebSocket { .. } => built("ws_load"),
            Kind::Tls { .. } => benches_target().join("release/tls-load"),
            _ => built("echo_load"),
        };
        on_processor(Command::new(load), self.processors().1)
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
const GO: Binary = Binary::Go("go");
const OURS_WEB: Binary = Binary::Rust("bench-http");
const PEERS_WEB: Binary = Binary::Rust("peer-http");
/// Without files and WebSockets.
const ANSWERS: Rows = Rows::Paths(&[rows::PLAINTEXT, rows::JSON]);
/// Without WebSockets.
const FILES: Rows = Rows::Paths(&[rows::PLAINTEXT, rows::JSON, rows::FILE]);

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
        also: &[],
        width: Width::One,
    }
}

impl Program {
    const fn and(mut self, also: &'static [Also]) -> Self {
        self.also = also;
        self
    }

    const fn wide(mut self) -> Self {
        self.width = Width::Several;
        self
    }
}

pub(crate) const RUNTIME: &[Program] = &[
    program("ours", "Grapeshot, one worker", OURS, &["1"], Rows::All),
    program(
        "ours-bare",
        "Grapeshot, one worker, accounting off",
        OURS,
        &["1", "bare"],
        Rows::Switching,
    ),
    program(
        "ours-traced",
        "Grapeshot, one worker, events recorded",
        OURS,
        &["1", "traced"],
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
    program("go-1", "Go, GOMAXPROCS=1", GO, &["1"], Rows::All),
    program("go-2", "Go, GOMAXPROCS=2", GO, &["2"], Rows::All).wide(),
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
    program(
        "c",
        "a bare epoll loop in C",
        Binary::C("echo"),
        &[],
        Rows::Echo,
    ),
    program(
        "c-page",
        "the same with a page of its own for each connection",
        Binary::C("echo"),
        &["page"],
        Rows::Echo,
    ),
];

pub(crate) const WEB: &[Program] = &[
    program("ours", "Grapeshot, one worker", OURS_WEB, &["1"], Rows::All).and(&[
        Also::Tls,
        Also::Proxy,
        Also::Client,
    ]),
    program(
        "c",
        "a canned answer from a bare epoll loop in C",
        Binary::C("canned"),
        &["http"],
        Rows::Paths(&[rows::PLAINTEXT]),
    ),
    program("hyper", "hyper, one thread", PEERS_WEB, &["hyper"], ANSWERS).and(&[Also::Client]),
    program("axum", "axum, one thread", PEERS_WEB, &["axum"], Rows::All),
    program(
        "actix",
        "actix-web, one worker",
        PEERS_WEB,
        &["actix"],
        FILES,
    ),
    program(
        "minihttp",
        "may_minihttp, one worker",
        PEERS_WEB,
        &["may"],
        ANSWERS,
    ),
    program(
        "nginx",
        "nginx, one process",
        Binary::Nginx,
        &[],
        Rows::Paths(&[rows::PLAINTEXT, rows::FILE]),
    )
    .and(&[Also::Tls, Also::Proxy]),
    program(
        "go",
        "Go's net/http, GOMAXPROCS=1",
        Binary::Go("go-http"),
        &["1"],
        FILES,
    )
    .and(&[Also::Tls, Also::Proxy, Also::Client]),
    program("node", "Node's http", Binary::Node, &[], FILES),
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

/// Builds what `programs` need for these rows, and the load generators.
pub(crate) fn build(programs: &[&Program], rows: &[&Row]) -> Result<()> {
    let benches = place::root().join("benches");
    fs::create_dir_all(place::target().join("peers/bin")).context("making target/peers/bin")?;
    let mut packages: Vec<&str> = programs
        .iter()
        .filter_map(|program| rust_package(program.binary))
        .collect();
    if rows.iter().any(|row| matches!(row.kind, Kind::Tls { .. })) {
        packages.push("tls-load");
        keys()?;
    }
    if !packages.is_empty() {
        build_packages(&packages)?;
    }
    for program in programs {
        match program.binary {
            Binary::Go(name) => go::build(&benches.join("peers").join(name), &built(name))?,
            Binary::C(name) => {
                compile_c(&benches.join(format!("peers/c/{name}.c")), &built(name))?;
            }
            Binary::Rust(_) | Binary::Node | Binary::Nginx => {}
        }
    }
    compile_c(&benches.join("peers/c/canned.c"), &built("canned"))?;
    for load in ["echo_load", "http_load", "ws_load"] {
        compile_c(&benches.join(format!("load/{load}.c")), &built(load))?;
    }
    files()
}

/// What the servers serve under the paths of files.
fn served_folder() -> PathBuf {
    place::target().join("bench/files")
}

/// Where the servers' certificate is, and whose authority the load trusts.
pub(crate) fn keys_folder() -> PathBuf {
    place::target().join("bench/keys")
}

fn keys() -> Result<()> {
    let folder = keys_folder();
    fs::create_dir_all(&folder).context("making target/bench/keys")?;
    let authority = Authority::new()?;
    let site = authority.host(["localhost"]).issue()?;
    for (name, pem) in [
        ("ca.pem", authority.certificate_pem()),
        ("site.pem", &site.chain_pem),
        ("site.key", &site.key_pem),
    ] {
        fs::write(folder.join(name), pem).with_context(|| format!("writing {name}"))?;
    }
    Ok(())
}

fn files() -> Result<()> {
    let folder = served_folder();
    fs::create_dir_all(&folder).context("making target/bench/files")?;
    let file = folder.join(rows::FILE.trim_start_matches('/'));
    let bytes: Vec<u8> = (0..1_u32 << 20).map(|i| (i % 251) as u8).collect();
    fs::write(&file, bytes).with_context(|| format!("writing {}", file.display()))
}

/// Builds one program of the workspace `benches`: where it is.
pub(crate) fn build_package(name: &str) -> Result<PathBuf> {
    build_packages(&[name])?;
    Ok(benches_target().join("release").join(name))
}

/// Builds one and runs it. It prints its own table, and fails if an aim is missed.
pub(crate) fn run_package(name: &str) -> Result<()> {
    shell::run(&mut Command::new(build_package(name)?))
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
        Binary::Go(_) | Binary::C(_) | Binary::Node | Binary::Nginx => None,
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
