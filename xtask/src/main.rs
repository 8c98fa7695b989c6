//! `cargo xtask`: what a newcomer and CI both run.
//!
//! | command | what it does |
//! |---|---|
//! | `cargo xtask test` | format, lints, tests, model checks, Miri, AddressSanitizer, the demo in a browser |
//! | `cargo xtask test --quick` | the part of it that is done in a minute or two |
//! | `cargo xtask bench runtime` | the runtime beside tokio, Go, may, threads and C |
//! | `cargo xtask bench mmo` | the demo under its load |
//! | `cargo xtask bench disk` | files by threads and by io_uring |
//! | `cargo xtask bench profiler` | what accounting, the event stream and a profile cost |
//! | `cargo xtask bench console` | what the console's questions cost a server with a million coroutines |
//! | `cargo xtask soak` | random programs over every primitive, for an hour or `--minutes` |
//! | `cargo xtask torture` | a server and its clients, again and again, each time with another system call that fails |
//! | `cargo xtask long` | what takes minutes: the Autobahn testsuite, testssl.sh, slowhttptest, dnsperf, each fuzz target for a while |
//! | `cargo xtask cert` | a certificate authority of one's own, and certificates of it, for trying TLS out |
//! | `cargo xtask peers` | only installs what the others need |
//! | `cargo xtask docs-media` | makes the pictures and the recorded session in `docs/` |
#![forbid(unsafe_code)]

mod asan;
mod autobahn;
mod bench;
mod cert;
mod clean;
mod demo;
mod digest;
mod dnsperf;
mod fuzz;
mod long;
mod media;
mod miri;
mod models;
mod packages;
mod place;
mod section;
mod shell;
mod slowhttp;
mod soak;
mod targets;
mod test;
mod testssl;
mod torture;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Tests, measures and documents Grapeshot"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything that must pass.
    Test(test::Options),
    /// Measure ours beside the peers.
    #[command(subcommand)]
    Bench(bench::Which),
    /// Run random programs over every primitive for as long as wished.
    Soak(soak::Options),
    /// Make system calls fail, one a run: nothing may hang, crash or be lost silently.
    Torture(torture::Options),
    /// Run what takes minutes: foreign testsuites, fuzz targets.
    Long(long::Options),
    /// Make a certificate authority and certificates for trying TLS out.
    Cert(cert::Options),
    /// Install the foreign programs that the tests and the benchmarks need.
    Peers,
    /// Make the screenshots and the recorded console session in docs/.
    DocsMedia(media::Options),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Test(options) => test::run(&options),
        Command::Bench(which) => bench::run(&which),
        Command::Soak(options) => soak::run(&options),
        Command::Torture(options) => torture::run(&options),
        Command::Long(options) => long::run(&options),
        Command::Cert(options) => cert::run(&options),
        Command::Peers => install_peers(),
        Command::DocsMedia(options) => media::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn install_peers() -> anyhow::Result<()> {
    let missing = packages::install(packages::ALL)?;
    let go = bench::go::find_or_install()?;
    println!("Go: {}", go.display());
    anyhow::ensure!(missing.is_empty(), "could not get: {}", missing.join(", "));
    Ok(())
}
