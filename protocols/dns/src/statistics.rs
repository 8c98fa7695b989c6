//! What a resolver counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a [`Resolver`](crate::Resolver) says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Questions that were put to the resolver; a look-up of addresses puts two for each name that it tries.
    pub questions: u64,
    /// Those of `questions` that were answered from the cache.
    pub cached: u64,
    /// Those of `questions` that got the answer which another was waiting for already.
    pub shared: u64,
    /// Those of `questions` that no server gave an answer to.
    pub failed: u64,
    /// Answers in the cache.
    pub kept: usize,
    /// Answers that had to go from the cache because others came.
    pub evictions: u64,
    /// Messages that were sent as datagrams.
    pub sent_udp: u64,
    /// Messages that were sent over connections.
    pub sent_tcp: u64,
    /// Messages that a [`Carrier`](crate::Carrier) took.
    pub carried: u64,
    /// Exchanges that went on over TCP, because an answer was cut short, too long, or not to be trusted.
    pub turned_to_tcp: u64,
    /// Exchanges in which a server said nothing in time.
    pub timeouts: u64,
    /// Messages that were not the answer: from somebody else, with a wrong id or question, or spelled otherwise.
    pub strangers: u64,
    /// Answers that could not be read.
    pub malformed: u64,
    /// Look-ups that wait now, since there are as many exchanges as [`Limits::in_flight`](crate::Limits) allows.
    pub queueing: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) questions: AtomicU64,
    pub(crate) cached: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) udp: AtomicU64,
    pub(crate) tcp: AtomicU64,
    pub(crate) carried: AtomicU64,
    pub(crate) over_tcp: AtomicU64,
    pub(crate) timeouts: AtomicU64,
    pub(crate) strangers: AtomicU64,
    pub(crate) malformed: AtomicU64,
}

impl Counts {
    pub(crate) fn add(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn of(count: &AtomicU64) -> u64 {
        count.load(Ordering::Relaxed)
    }
}
