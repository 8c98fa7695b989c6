//! What the server answers to `glance(..)`, `info(id)` and `where(id)`.

use serde::Deserialize;

/// The server at a moment.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Glance {
    /// Coroutines that live.
    pub(super) total: u64,
    /// Those that the filter takes.
    pub(super) matching: u64,
    /// Groups of those, if groups were asked for.
    pub(super) groups: Option<u64>,
    /// Of a processor, that the backdoor takes.
    pub(super) backdoor: Option<f64>,
    pub(super) stats: Stats,
    pub(super) workers: Vec<Worker>,
    /// The first rows.
    pub(super) rows: Vec<Row>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Stats {
    /// Seconds.
    pub(super) uptime: f64,
    pub(super) spawned: u64,
    pub(super) ended: u64,
    pub(super) panicked: u64,
    pub(super) resident_bytes: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Worker {
    pub(super) worker: u64,
    /// From 0 to 1; nothing at the first look.
    pub(super) load: Option<f64>,
    /// Switches a second.
    pub(super) rate: Option<f64>,
    pub(super) coroutines: u64,
    pub(super) ready: u64,
    pub(super) running: Option<u64>,
    /// Seconds.
    pub(super) runs_for: Option<f64>,
}

/// A coroutine, or a group of them.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Row {
    /// Of a coroutine.
    pub(super) id: Option<u64>,
    pub(super) name: String,
    /// Of a coroutine: whether it waits, and what for or what else it does.
    #[serde(default)]
    pub(super) waits: bool,
    #[serde(default)]
    pub(super) doing: String,
    pub(super) worker: Option<u64>,
    pub(super) thread: Option<String>,
    /// Of a group: how many there are, and how many of them wait.
    #[serde(default)]
    pub(super) coroutines: u64,
    #[serde(default)]
    pub(super) waiting: u64,
    /// Seconds that it has waited or run; of a group, the longest.
    pub(super) since: f64,
    /// Processors.
    pub(super) load: Option<f64>,
    /// Seconds of processor time.
    pub(super) cpu: f64,
    pub(super) switches: u64,
    /// Switches a second.
    pub(super) rate: Option<f64>,
}

/// One coroutine.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Info {
    pub(super) name: String,
    pub(super) parent: Option<u64>,
    /// A number, or the name of the backdoor's thread.
    pub(super) worker: serde_json::Value,
    pub(super) state: String,
    pub(super) waits_for: Option<String>,
    /// Seconds, all of these.
    pub(super) since: Option<f64>,
    pub(super) age: f64,
    pub(super) cpu: f64,
    pub(super) switches: u64,
    /// Bytes.
    pub(super) stack_size: u64,
    pub(super) stack_used: Option<u64>,
    pub(super) interrupted: bool,
}

/// One frame of a backtrace.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Frame {
    pub(super) frame: u64,
    pub(super) function: String,
    pub(super) file: Option<String>,
    pub(super) line: Option<u64>,
}
