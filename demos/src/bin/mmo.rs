//! `cargo run --release --bin mmo`: a living world made of coroutines.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use grapeshot_demos::mmo::{options::Options, program};

/// So that `profile.start(1000, 524288)` in the console sees who allocates. It costs nothing until then.
#[global_allocator]
static ALLOCATOR: grapeshot_profiler::Allocator = grapeshot_profiler::Allocator::system();

/// Warnings go to the standard error, and where a profile went; the demo needs no more of a log than that.
struct Warnings;

impl log::Log for Warnings {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn || metadata.target().starts_with("grapeshot_profiler")
    }
    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            // `eprintln` would panic where nobody can read it.
            let _ = writeln!(std::io::stderr(), "mmo: {}", record.args());
        }
    }
    fn flush(&self) {}
}

fn main() -> ExitCode {
    let options = Options::parse();
    if log::set_logger(&Warnings).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
    program::run(options)
}
