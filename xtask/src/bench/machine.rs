//! What a result was measured on.

use std::fs;
use std::process::Command;
use std::thread;

use serde_json::{Value, json};

use crate::{place, shell};

/// Above this load, somebody else is at work and the figures mean little.
const BUSY: f64 = 0.7;

pub(crate) fn describe() -> Value {
    let line = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        shell::output(command.args(arguments).current_dir(place::root()))
            .map(|text| text.trim().to_owned())
            .ok()
    };
    let cpu = fs::read_to_string("/proc/cpuinfo").ok().and_then(|info| {
        let model = info.lines().find(|line| line.starts_with("model name"))?;
        Some(model.split_once(':')?.1.trim().to_owned())
    });
    json!({
        "cpu": cpu,
        "cores": thread::available_parallelism().map(std::num::NonZero::get).ok(),
        "kernel": line("uname", &["-r"]),
        "rustc": line("rustc", &["--version"]),
        "cc": line("cc", &["--version"]).and_then(|text| text.lines().next().map(str::to_owned)),
        "commit": line("git", &["rev-parse", "--short", "HEAD"]),
        "date": line("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
        "load_at_start": load(),
    })
}

/// Says so if the machine is not idle.
pub(crate) fn warn_if_busy() {
    if let Some(load) = load().filter(|load| *load > BUSY) {
        println!("note: the machine is busy (load {load}); these figures are noisy");
    }
}

fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg")
        .ok()?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}
