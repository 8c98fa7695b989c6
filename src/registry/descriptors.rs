//! The descriptors that workers watch.

use std::collections::HashMap;
use std::time::Duration;

use super::{WaitFor, Walk};
use crate::context::cycles;
use crate::sched::handle::RuntimeHandle;
use crate::sched::spawn::CoroutineId;

/// Descriptors that are looked at under one hold of a poller's table: at three system calls each, some tens of microseconds.
const CHUNK: usize = 16;

/// A descriptor that a worker watches, at a moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DescriptorInfo {
    /// Its number.
    pub fd: i32,
    /// `tcp`, `tcp listener`, `udp`, `unix`, `unix listener`, `unix datagram`, `pipe`, `device`, or `other`.
    pub kind: &'static str,
    /// Its own address, or path.
    pub local: Option<String>,
    /// The peer's.
    pub peer: Option<String>,
    /// The worker that watches it.
    pub worker: usize,
    /// Who waits to read, or to accept.
    pub reader: Option<CoroutineId>,
    /// Who waits to write, or for a connection.
    pub writer: Option<CoroutineId>,
    /// How many wait behind another call of theirs.
    pub queued: usize,
    /// For how long it has been watched: since somebody first had to wait for it.
    pub since: Duration,
}

impl RuntimeHandle {
    /// Every descriptor that the workers of this runtime watch: those that somebody had to wait for at least once, by number.
    /// Looks at all coroutines for who waits. Never suspends.
    pub fn descriptors(self) -> Vec<DescriptorInfo> {
        let (mut found, scale) = (Vec::new(), cycles::scale());
        for worker in &self.shared.workers {
            let mut position = Some(0);
            while let Some(from) = position {
                let now = cycles::now();
                position = worker.reactor.show(from, CHUNK, &mut |fd, nature, since| {
                    found.push(DescriptorInfo {
                        fd,
                        kind: nature.kind,
                        local: nature.local,
                        peer: nature.peer,
                        worker: worker.index,
                        reader: None,
                        writer: None,
                        queued: 0,
                        since: Duration::from_nanos(scale.nanos(now.saturating_sub(since))),
                    });
                });
            }
        }
        find_waiters(self.walk(), &mut found);
        found.sort_by_key(|it| it.fd);
        found
    }
}

fn find_waiters(walk: Walk, found: &mut [DescriptorInfo]) {
    let by_number: HashMap<u64, usize> = found
        .iter()
        .enumerate()
        .map(|(index, it)| (it.fd as u64, index))
        .collect();
    for coroutine in walk {
        let Some(WaitFor {
            operation, object, ..
        }) = coroutine.waits_for
        else {
            continue;
        };
        let waiter = Some(coroutine.id);
        let place = |found: &mut [DescriptorInfo], put: fn(&mut DescriptorInfo, _)| {
            if let Some(index) = by_number.get(&object) {
                put(&mut found[*index], waiter);
            }
        };
        match operation {
            "read" | "accept" => place(found, |it, waiter| it.reader = waiter),
            "write" | "connect" => place(found, |it, waiter| it.writer = waiter),
            "turn" => place(found, |it, _| it.queued += 1),
            _ => {}
        }
    }
}
