//! What the command line says.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use super::world::Settings;
use crate::inside::Doors;

/// A world of wandering coroutines, watched from browsers.
#[derive(Debug, Clone, Parser)]
#[command(name = "mmo", version)]
pub struct Options {
    /// NPCs, each a coroutine of its own
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=super::npc::MOST as i64))]
    pub npcs: u32,
    /// Rectangles in the background
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub rects: u32,
    /// Width and height of the field, in units
    #[arg(long, default_value_t = 20_480, value_parser = clap::value_parser!(u32).range(512..=1_000_000))]
    pub field: u32,
    /// Time between two steps of an NPC, such as 100ms or 1s
    #[arg(long, default_value = "100ms", value_parser = duration)]
    pub step: Duration,
    /// Address and port of the page; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:9001")]
    pub listen: SocketAddr,
    /// OS threads that run coroutines; 0 means one a core
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1024))]
    pub workers: u16,
    /// Unix socket of the console
    #[arg(long, default_value_os_t = default_backdoor())]
    pub backdoor: PathBuf,
    /// Address and port of the live page that looks inside the server, such as 127.0.0.1:9002; none without this
    #[arg(long)]
    pub page: Option<SocketAddr>,
    /// File of a profile from the start to the end; .html is a report for the browser
    #[arg(long, value_name = "FILE")]
    pub profile: Option<PathBuf>,
    /// What chance begins with; the same seed makes the same field
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The most players at once
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub players: u32,
    /// How long a browser may leave what it is sent untaken before it is dropped
    #[arg(long, default_value = "5s", value_parser = duration)]
    pub patience: Duration,
    /// Plants a fault, for the chapters of the book that find it
    #[arg(long, value_enum)]
    pub fault: Option<Fault>,
    /// Consoles for those who log in
    #[command(flatten)]
    pub doors: Doors,
}

/// What may be wrong with the demo, if that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// A selfish coroutine, which holds its worker for long from some 10,000 NPCs on: docs/book/src/selfish.md
    Census,
    /// A lock that is held across I/O, by each NPC at each step: docs/book/src/profiler.md
    Ledger,
}

impl Fault {
    /// The book's chapter about it.
    pub fn chapter(self) -> &'static str {
        match self {
            Fault::Census => "docs/book/src/selfish.md",
            Fault::Ledger => "docs/book/src/profiler.md",
        }
    }
}

impl Options {
    /// As many as asked for, or one a core.
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => usize::from(n),
        }
    }

    /// What the world is made of.
    pub fn settings(&self) -> Settings {
        Settings {
            field: self.field as f32,
            rects: self.rects,
            step: self.step,
            shards: self.worker_count(),
            seed: self.seed,
            players: self.players as usize,
        }
    }
}

/// In the user's own folder for sockets, or in the temporary one.
fn default_backdoor() -> PathBuf {
    std::env::var_os("XDG_RUNTIME_DIR")
        .map_or_else(std::env::temp_dir, PathBuf::from)
        .join("mmo.sock")
}

/// A number with `ms` or `s`; between a millisecond and an hour.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(
        text.find(|c: char| c.is_ascii_alphabetic())
            .unwrap_or(text.len()),
    );
    let number: f64 = number
        .trim()
        .parse()
        .map_err(|_| format!("{text:?} is no duration; say 100ms or 1s"))?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "s" => number,
        _ => return Err(format!("{text:?} has no unit; say 100ms or 1s")),
    };
    if !(0.001..=3600.0).contains(&seconds) {
        return Err(format!("{text:?} is not between 1ms and 3600s"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_originals() {
        let options = Options::try_parse_from(["mmo"]).expect("the defaults are sound");
        assert_eq!(
            (options.npcs, options.rects, options.field),
            (1000, 5000, 20_480)
        );
        assert_eq!(options.step, Duration::from_millis(100));
    }

    #[test]
    fn durations_have_units_and_bounds() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        for wrong in ["", "5", "ms", "-1s", "0ms", "inf s", "NaNs", "2h", "3601s"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
        assert!(Options::try_parse_from(["mmo", "--field", "0"]).is_err());
    }
}
