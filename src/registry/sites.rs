//! Coroutines summed up by the place in the code that spawned them.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::panic::Location;
use std::time::Duration;

use super::{State, describe, records};
use crate::context::{cycles, stack};
use crate::sched::Shared;
use crate::sched::handle::RuntimeHandle;

/// Stacks that are measured for a site.
const MEASURED: usize = 64;

/// The live coroutines that one place spawned, at a moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SiteInfo {
    /// The place.
    pub site: &'static Location<'static>,
    /// How many there are.
    pub coroutines: usize,
    /// How many of them could run: queued, or not started yet.
    pub ready: usize,
    /// How many of them are suspended in a blocking call.
    pub waiting: usize,
    /// Their processor time; zero without accounting.
    pub cpu: Duration,
    /// How often they have been resumed; zero without accounting.
    pub switches: u64,
    /// Bytes of memory that the stack of one of them takes, at most: what it touched, or a former user of the same stack
    /// did. The first 64 that have started are measured.
    pub stack_max: Option<usize>,
}

/// The places that spawned the live coroutines, the one with most of them first.
pub fn sites() -> Vec<SiteInfo> {
    RuntimeHandle::current().map_or_else(Vec::new, RuntimeHandle::sites)
}

impl RuntimeHandle {
    /// The places that spawned the live coroutines of this runtime; see [`sites`](crate::registry::sites).
    pub fn sites(self) -> Vec<SiteInfo> {
        sites_of(self.shared)
    }
}

fn sites_of(shared: &Shared) -> Vec<SiteInfo> {
    let (scale, now) = (cycles::scale(), cycles::now());
    let mut sites: HashMap<Location<'static>, (SiteInfo, usize)> = HashMap::new();
    for coroutine in records(shared) {
        let info = describe(&coroutine, scale, now);
        let fresh = || {
            let site = SiteInfo {
                site: info.site,
                coroutines: 0,
                ready: 0,
                waiting: 0,
                cpu: Duration::ZERO,
                switches: 0,
                stack_max: None,
            };
            (site, 0)
        };
        // Two copies of a generic function may each have a `Location` of their own.
        let (site, measured) = sites.entry(*info.site).or_insert_with(fresh);
        site.coroutines += 1;
        site.ready += usize::from(matches!(info.state, State::Ready | State::Unstarted));
        site.waiting += usize::from(info.state == State::Waiting);
        site.cpu += info.cpu;
        site.switches += info.switches;
        let stack = coroutine.head.stack();
        if *measured < MEASURED && !stack.is_empty() {
            *measured += 1;
            site.stack_max = site.stack_max.max(stack::resident_bytes(stack));
        }
    }
    let mut sites: Vec<_> = sites.into_values().map(|(site, _)| site).collect();
    sites.sort_by_key(|it| (Reverse(it.coroutines), it.site.file(), it.site.line()));
    sites
}
