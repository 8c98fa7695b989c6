//! What a client has counted.

use std::sync::atomic::{AtomicU64, Ordering};

use super::error::Phase;

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) opened: AtomicU64,
    pub(super) reused: AtomicU64,
    pub(super) discarded: AtomicU64,
    pub(super) stale: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) redirects: AtomicU64,
    pub(super) timeouts: [AtomicU64; Phase::COUNT],
}

/// A client's figures, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Requests sent, those of redirects and retries included.
    pub requests: u64,
    /// Connections opened.
    pub opened: u64,
    /// Requests that went over a connection which had carried one before.
    pub reused: u64,
    /// Connections closed because their last answer was not read to its end.
    pub discarded: u64,
    /// Connections which their server had ended while they were idle.
    pub stale: u64,
    /// Requests sent again after a failure.
    pub retries: u64,
    /// Redirects followed.
    pub redirects: u64,
    /// Time-outs that fired, by phase; only the phases that occurred.
    pub timeouts: Vec<(Phase, u64)>,
    /// Connections idle now.
    pub idle: usize,
    /// Connections in use now, or being opened, and requests that wait for one.
    pub in_use: usize,
    /// Origins with connections.
    pub origins: usize,
}

impl Counters {
    pub(super) fn count_timeout(&self, phase: Phase) {
        self.timeouts[phase as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted; what is so now is not known here.
    pub(super) fn statistics(&self) -> Statistics {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            requests: count(&self.requests),
            opened: count(&self.opened),
            reused: count(&self.reused),
            discarded: count(&self.discarded),
            stale: count(&self.stale),
            retries: count(&self.retries),
            redirects: count(&self.redirects),
            timeouts: Phase::ALL
                .iter()
                .map(|&phase| (phase, count(&self.timeouts[phase as usize])))
                .filter(|&(_, times)| times > 0)
                .collect(),
            ..Statistics::default()
        }
    }
}
