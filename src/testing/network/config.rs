//! What a simulated network does to those who use it.

use std::ops::RangeInclusive;
use std::time::Duration;

/// How a simulated network behaves: given to [`Simulation::network`](crate::testing::Simulation::network).
///
/// By default it delays, and is faithful otherwise.
///
/// ```
/// use grapeshot::testing::NetworkConfig;
/// use std::time::Duration;
///
/// let hostile = NetworkConfig::new()
///     .latency(Duration::from_millis(1)..=Duration::from_millis(80))
///     .chop(true)
///     .resets(0.01)
///     .refusals(0.05);
/// # drop(hostile);
/// ```
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    pub(super) latency: RangeInclusive<Duration>,
    pub(super) chop: bool,
    pub(super) resets: f64,
    pub(super) refusals: f64,
    pub(super) buffer: usize,
    pub(super) trace: bool,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl NetworkConfig {
    /// One that takes between 0.1 and 5 ms from host to host.
    #[must_use]
    pub fn new() -> Self {
        Self {
            latency: Duration::from_micros(100)..=Duration::from_millis(5),
            chop: false,
            resets: 0.0,
            refusals: 0.0,
            buffer: 1 << 16,
            trace: false,
        }
    }

    /// How long anything takes from one host to another, drawn anew each time. Bytes of one connection do not overtake
    /// each other. Within a host it is some microseconds.
    #[must_use]
    pub fn latency(mut self, latency: RangeInclusive<Duration>) -> Self {
        self.latency = latency;
        self
    }

    /// Whether reads and writes are cut short: each takes any number of bytes from 1 to what it could.
    #[must_use]
    pub fn chop(mut self, yes: bool) -> Self {
        self.chop = yes;
        self
    }

    /// How likely a write is to be the last that its connection sees, from 0 to 1: shortly after, it is reset. What was
    /// written may have arrived, in part, or not, and the two ends do not learn it at the same time.
    #[must_use]
    pub fn resets(mut self, probability: f64) -> Self {
        self.resets = probability;
        self
    }

    /// How likely a connection is to be refused though somebody listens, from 0 to 1.
    #[must_use]
    pub fn refusals(mut self, probability: f64) -> Self {
        self.refusals = probability;
        self
    }

    /// How many bytes a connection takes in each direction before they are read; 64 KiB if not given, at least 1. Then
    /// writing waits.
    #[must_use]
    pub fn buffer(mut self, bytes: usize) -> Self {
        self.buffer = bytes.max(1);
        self
    }

    /// Whether [`Network::trace`](super::Network::trace) has something to tell.
    #[must_use]
    pub fn trace(mut self, yes: bool) -> Self {
        self.trace = yes;
        self
    }
}
