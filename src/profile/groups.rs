//! The names under which times are summed up: numbers, handed out as they come.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::registry;
use crate::sched::record::Head;

/// A group's number in its session.
pub(super) type GroupId = u32;

/// Groups that no coroutine is in. Samples of a worker's loop, and whatever it wakes by itself.
pub(super) const RUNTIME: GroupId = 0;
/// A timer, or the deadline of a `with_timeout`.
pub(super) const TIMER: GroupId = 1;
/// A descriptor that is ready.
pub(super) const POLLER: GroupId = 2;
/// A thread that is no worker.
pub(super) const THREAD: GroupId = 3;
/// An interrupt.
pub(super) const INTERRUPT: GroupId = 4;
/// Those for whose name there is no room.
pub(super) const OTHERS: GroupId = 5;
const FIRST: [&str; 6] = [
    super::RUNTIME,
    "(timer)",
    "(poller)",
    "(thread)",
    "(interrupt)",
    "(others)",
];
/// Groups, at most.
const MOST: usize = 4096;

/// The groups of a session, for all its workers.
pub(super) struct Groups(Mutex<Known>);

#[derive(Default)]
struct Known {
    ids: HashMap<Box<str>, GroupId>,
    names: Vec<String>,
}

impl Groups {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Known {
            ids: HashMap::new(),
            names: FIRST.map(str::to_owned).to_vec(),
        }))
    }

    /// The group of that name.
    fn id(&self, name: &str) -> GroupId {
        let mut known = self.0.lock();
        if let Some(&id) = known.ids.get(name) {
            return id;
        }
        if known.names.len() >= MOST {
            return OTHERS;
        }
        let id = known.names.len() as GroupId;
        known.names.push(name.to_owned());
        known.ids.insert(name.into(), id);
        id
    }

    /// The names, by number.
    pub(super) fn names(&self) -> Vec<String> {
        self.0.lock().names.clone()
    }
}

/// What one worker knows of the groups, so that it need not ask for each coroutine.
#[derive(Default)]
pub(super) struct Cache {
    /// By given name.
    named: HashMap<Box<str>, GroupId>,
    /// Nameless ones, by the address of the place that spawned them.
    sites: HashMap<usize, GroupId>,
    short: String,
}

impl Cache {
    /// The coroutine's group.
    pub(super) fn group(&mut self, head: &Head, groups: &Groups) -> GroupId {
        let Some(name) = &head.name.given else {
            let site = std::ptr::from_ref(head.name.site) as usize;
            return *(self.sites.entry(site))
                .or_insert_with(|| head.name.with(|name| groups.id(name)));
        };
        self.short.clear();
        registry::shorten_name(name, &mut self.short);
        if let Some(&id) = self.named.get(self.short.as_str()) {
            return id;
        }
        let id = groups.id(&self.short);
        if self.named.len() < MOST {
            self.named.insert(self.short.as_str().into(), id);
        }
        id
    }
}
