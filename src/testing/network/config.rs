//! What a simulated network does to those who use it.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::faults::Faults;

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
///     .refusals(0.05)
///     .loss(0.1)
///     .duplicates(0.02)
///     .reorder(0.05);
/// # drop(hostile);
/// ```
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    pub(super) latency: RangeInclusive<Duration>,
    pub(super) chop: bool,
    pub(super) resets: f64,
    pub(super) refusals: f64,
    pub(super) buffer: usize,
    pub(super) loss: f64,
    pub(super) duplicates: f64,
    pub(super) reorder: f64,
    pub(super) datagram_buffer: usize,
    pub(super) trace: bool,
    /// Counts calls, and makes one fail.
    pub(super) faults: Option<Arc<Faults>>,
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
            loss: 0.0,
            duplicates: 0.0,
            reorder: 0.0,
            datagram_buffer: 212_992,
            trace: false,
            faults: None,
        }
    }

    /// How long anything takes from one host to another, drawn anew each time. Bytes of one connection do not overtake
    /// each other, and datagrams only where they [may](Self::reorder). Within a host it is some microseconds.
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

    /// How likely a datagram is to get lost between two hosts, from 0 to 1; so is the news that nobody receives it. Within a
    /// host none is.
    #[must_use]
    pub fn loss(mut self, probability: f64) -> Self {
        self.loss = probability;
        self
    }

    /// How likely a datagram is to arrive twice, from 0 to 1; each of the two takes its own time.
    #[must_use]
    pub fn duplicates(mut self, probability: f64) -> Self {
        self.duplicates = probability;
        self
    }

    /// How likely a datagram is to take five times as long, so that others that were sent later overtake it, from 0 to 1.
    #[must_use]
    pub fn reorder(mut self, probability: f64) -> Self {
        self.reorder = probability;
        self
    }

    /// How many bytes a UDP socket keeps until they are received, where each datagram counts for 768 more than it carries;
    /// 212,992 if not given, both as on Linux. What comes then is lost. One is kept in any case.
    #[must_use]
    pub fn datagram_buffer(mut self, bytes: usize) -> Self {
        self.datagram_buffer = bytes;
        self
    }

    /// Whether [`Network::trace`](super::Network::trace) has something to tell.
    #[must_use]
    pub fn trace(mut self, yes: bool) -> Self {
        self.trace = yes;
        self
    }

    pub(in super::super) fn with_faults(mut self, faults: Arc<Faults>) -> Self {
        self.faults = Some(faults);
        self
    }
}
