//! The connections of a client, by origin: who may open one, who waits, and which of them are idle.
//!
//! Each origin has a semaphore with one permit for each connection that may be in use. Who has a permit takes the idle
//! connection that was used last, or opens one; so there are never more connections in use and idle than permits, and who
//! waits is served in the order of arrival. A connection comes back with its [`Lease`]: it is kept if its last answer was
//! read to the end, and closed otherwise, also when the lease is dropped by unwinding.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use grapeshot::sync::Semaphore;
use grapeshot::{Refused, time};

use super::connection::Connection;
use super::error::{ErrorKind, Phase};
use super::lease::Lease;
use super::limits::Watch;
use super::proxy::Proxy;
use super::statistics::{Counters, Statistics};

/// How many connections a client keeps, and for how long.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PoolLimits {
    /// Connections of one origin in use at once; who wants more waits in line ([`Phase::Queue`]). Default 64.
    pub per_origin: usize,
    /// Idle connections of one origin. Default 8.
    pub idle_per_origin: usize,
    /// Idle connections altogether; above, the one that is idle for longest is closed. Default 128.
    pub idle: usize,
    /// How long a connection may be idle and be used again. Default 50 s: most servers wait for 60 or more. Nothing
    /// wakes up to close it then; that is done by the next request, whatever its origin, or by
    /// [`Client::close_idle`](super::Client::close_idle).
    pub idle_time: Duration,
    /// How old a connection may grow and still get another request. Default: no limit. With one, a client notices
    /// sooner or later that a name leads to another address.
    pub age: Option<Duration>,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            per_origin: 64,
            idle_per_origin: 8,
            idle: 128,
            idle_time: Duration::from_secs(50),
            age: None,
        }
    }
}

/// What connections must have in common to be exchanged for each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(super) secure: bool,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) proxy: Option<Arc<Proxy>>,
    /// An HTTP proxy is asked for a way through to the host, and not for what the host has.
    pub(super) tunnel: bool,
}

pub(crate) struct Pool {
    limits: PoolLimits,
    table: Mutex<Table>,
    pub(super) counters: Counters,
}

#[derive(Default)]
struct Table {
    origins: HashMap<Arc<Key>, Origin>,
    /// Idle connections altogether.
    idle: usize,
    /// When those that were idle for too long were last looked for.
    swept: Option<Instant>,
}

/// How often that is done, at most.
const SWEEP: Duration = Duration::from_secs(1);

impl Table {
    /// Takes out the connection that has been idle for longest.
    fn take_oldest(&mut self) -> Option<Idle> {
        let with_idle = self
            .origins
            .iter_mut()
            .filter(|(_, origin)| !origin.idle.is_empty());
        let (key, origin) = with_idle.min_by_key(|(_, origin)| origin.idle[0].0)?;
        let oldest = origin.idle.pop_front();
        if origin.users == 0 && origin.idle.is_empty() {
            let key = Arc::clone(key);
            self.origins.remove(&key);
        }
        self.idle -= 1;
        oldest
    }
}

/// Since when, and which.
type Idle = (Instant, Box<Connection>);

struct Origin {
    permits: Arc<Semaphore>,
    /// Who uses this entry or waits for a permit; it is forgotten with the last of them and the last idle connection.
    users: usize,
    /// The one that was used last is at the back.
    idle: VecDeque<Idle>,
}

impl Pool {
    pub(super) fn new(limits: PoolLimits) -> Self {
        Self {
            limits,
            table: Mutex::default(),
            counters: Counters::default(),
        }
    }

    /// Locked for moments, never across a suspension.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the right to use a connection of this origin; gives an idle one along if there is one and it is not
    /// `fresh` that is wanted. **May suspend.**
    pub(super) fn lease(
        self: &Arc<Self>,
        key: Key,
        fresh: bool,
        watch: &Watch,
    ) -> Result<Lease, ErrorKind> {
        let (user, permits) = self.enter(Arc::new(key));
        let permit = match permits.try_acquire_owned() {
            Some(permit) => permit,
            None if std::thread::panicking() => {
                return Err(ErrorKind::Io(Phase::Queue, Refused.into()));
            }
            None => watch.within(Phase::Queue, || permits.acquire_owned())?,
        };
        let mut lease = Lease::new(user, permit);
        if !fresh && let Some(connection) = self.take_idle(lease.key()) {
            lease.set(connection);
        }
        Ok(lease)
    }

    fn enter(self: &Arc<Self>, key: Arc<Key>) -> (User, Arc<Semaphore>) {
        let mut table = self.table();
        let most = self.limits.per_origin.max(1);
        let origin = table
            .origins
            .entry(Arc::clone(&key))
            .or_insert_with(|| Origin {
                permits: Arc::new(Semaphore::new(most)),
                users: 0,
                idle: VecDeque::new(),
            });
        origin.users += 1;
        let permits = Arc::clone(&origin.permits);
        drop(table);
        let pool = Arc::clone(self);
        (User { pool, key }, permits)
    }

    /// The idle connection that was used last and is still good.
    fn take_idle(&self, key: &Arc<Key>) -> Option<Box<Connection>> {
        let now = time::now();
        // Closing is a system call, and nothing to do under the lock.
        let _late = self.take_late(now);
        loop {
            let idle = {
                let mut table = self.table();
                let idle = table.origins.get_mut(key)?.idle.pop_back()?;
                table.idle -= 1;
                idle
            };
            if self.is_late(now, &idle) {
                continue;
            }
            if idle.1.is_quiet() {
                return Some(idle.1);
            }
            self.counters.stale.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes out what has been idle for too long, or has grown too old.
    fn take_late(&self, now: Instant) -> Vec<Idle> {
        let mut late = Vec::new();
        let mut table = self.table();
        let is_soon = |last| now.saturating_duration_since(last) < SWEEP;
        if table.idle == 0 || table.swept.is_some_and(is_soon) {
            return late;
        }
        table.swept = Some(now);
        table.origins.retain(|_, origin| {
            // They are in the order in which they came; the young and the old are mixed.
            let mut at = 0;
            while at < origin.idle.len() {
                if self.is_late(now, &origin.idle[at])
                    && let Some(idle) = origin.idle.remove(at)
                {
                    late.push(idle);
                } else {
                    at += 1;
                }
            }
            origin.users > 0 || !origin.idle.is_empty()
        });
        table.idle -= late.len();
        late
    }

    fn is_late(&self, now: Instant, (since, connection): &Idle) -> bool {
        now.saturating_duration_since(*since) >= self.limits.idle_time
            || self.is_old(now, connection)
    }

    fn is_old(&self, now: Instant, connection: &Connection) -> bool {
        let age = now.saturating_duration_since(connection.opened());
        self.limits.age.is_some_and(|most| age >= most)
    }

    /// Keeps a connection for the next request, if there is room for it.
    pub(super) fn put_idle(&self, key: &Arc<Key>, mut connection: Box<Connection>) {
        let now = time::now();
        if self.limits.idle == 0
            || self.limits.idle_per_origin == 0
            || self.is_old(now, &connection)
        {
            return;
        }
        connection.rest();
        let mut surplus = None;
        let mut table = self.table();
        if let Some(origin) = table.origins.get_mut(key) {
            origin.idle.push_back((now, connection));
            if origin.idle.len() > self.limits.idle_per_origin {
                surplus = origin.idle.pop_front();
            } else {
                table.idle += 1;
            }
        }
        if table.idle > self.limits.idle {
            surplus = table.take_oldest();
        }
        drop(table);
        drop(surplus);
    }

    /// Closes all idle connections.
    pub(super) fn close_idle(&self) {
        let mut closed = VecDeque::new();
        let mut table = self.table();
        table.idle = 0;
        table.origins.retain(|_, origin| {
            closed.append(&mut origin.idle);
            origin.users > 0
        });
        drop(table);
    }

    pub(super) fn statistics(&self) -> Statistics {
        let table = self.table();
        Statistics {
            idle: table.idle,
            in_use: table.origins.values().map(|origin| origin.users).sum(),
            origins: table.origins.len(),
            ..self.counters.statistics()
        }
    }
}

/// A use of an origin's entry in the table.
pub(super) struct User {
    pub(super) pool: Arc<Pool>,
    pub(super) key: Arc<Key>,
}

impl Drop for User {
    fn drop(&mut self) {
        let mut table = self.pool.table();
        if let Some(origin) = table.origins.get_mut(&self.key) {
            origin.users -= 1;
            if origin.users == 0 && origin.idle.is_empty() {
                table.origins.remove(&self.key);
            }
        }
    }
}
