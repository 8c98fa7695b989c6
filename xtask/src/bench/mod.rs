//! `cargo xtask bench`: ours beside the peers, in one run, on this machine.

mod claims;
mod disk;
pub(crate) mod go;
mod machine;
mod mmo;
mod nginx;
mod programs;
mod rows;
mod runtime;
mod table;

use anyhow::Result;

#[derive(clap::Subcommand)]
pub(crate) enum Which {
    /// Switches, spawns, channels, memory, sleepers, TCP echo; beside tokio, Go, may, threads and C.
    Runtime(runtime::Options),
    /// HTTP servers: plaintext, pipelined, JSON, files, TLS, WebSockets; reverse proxies; clients. Beside a canned answer in C, hyper,
    /// axum, actix, may_minihttp, nginx, Go and Node.
    Http(runtime::Options),
    /// The demo with 1,000 to 100,000 NPCs and 1 to 200 viewports.
    Mmo(mmo::Options),
    /// Files read and written by plain calls, by threads, by `fs` and by io_uring.
    Disk(disk::Options),
    /// What a profile costs while it is taken: on a switch, on HTTP, on the steps of a world.
    Profiler,
    /// What the console's questions cost a server with a million coroutines.
    Console,
}

pub(crate) fn run(which: &Which) -> Result<()> {
    match which {
        Which::Runtime(options) => runtime::run(&runtime::RUNTIME, options),
        Which::Http(options) => runtime::run(&runtime::WEB, options),
        Which::Mmo(options) => mmo::run(options),
        Which::Disk(options) => disk::run(options),
        Which::Profiler => programs::run_package("bench-profiler"),
        Which::Console => programs::run_package("bench-console"),
    }
}
