//! Which zones are known, and which servers are not worth asking. Reads no clock.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use grapeshot::sync::LruCache;
use hickory_proto::rr::Name;

use super::step::Delegation;
use crate::limits::Limits;

/// A delegation is kept so long at least: it is not asked for again in the middle of a look-up.
const LEAST: Duration = Duration::from_secs(60);
/// A server that failed is asked last for so long.
const PENALTY: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Zones {
    known: LruCache<Name, (Arc<Delegation>, Instant)>,
    failed: LruCache<IpAddr, Instant>,
}

impl Zones {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            known: LruCache::new(limits.delegations),
            failed: LruCache::new(limits.delegations),
        }
    }

    /// The lowest zone that is known and has the name; `None` if not even the root is.
    pub(super) fn closest(&self, name: &Name, now: Instant) -> Option<Arc<Delegation>> {
        let labels = name.iter().count();
        (0..=labels).rev().find_map(|labels| {
            let kept = self.known.get(&name.trim_to(labels))?;
            let (delegation, until) = &*kept;
            (*until > now).then(|| Arc::clone(delegation))
        })
    }

    pub(super) fn keep(&self, delegation: &Arc<Delegation>, now: Instant, limits: &Limits) {
        let time_to_live = Duration::from_secs(delegation.time_to_live.into());
        let time_to_live = time_to_live.min(limits.max_ttl).max(LEAST);
        if let Some(until) = now.checked_add(time_to_live) {
            // Nothing is ever pinned.
            let _ = self
                .known
                .insert(delegation.zone.clone(), (Arc::clone(delegation), until));
        }
    }

    pub(super) fn failed(&self, server: IpAddr, now: Instant) {
        if let Some(until) = now.checked_add(PENALTY) {
            let _ = self.failed.insert(server, until);
        }
    }

    pub(super) fn answered(&self, server: IpAddr) {
        self.failed.remove(&server);
    }

    pub(super) fn has_failed(&self, server: IpAddr, now: Instant) -> bool {
        self.failed.get(&server).is_some_and(|until| *until > now)
    }

    pub(super) fn clear(&self) {
        self.known.clear();
        self.failed.clear();
    }
}
