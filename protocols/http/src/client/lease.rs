//! The right to use one connection, and where the connection goes after that.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use grapeshot::sync::OwnedPermit;

use super::connection::Connection;
use super::pool::{Key, Pool, User};

/// Where a [`Lease`] goes after an answer, if not back to the pool.
pub(super) type Slot = Arc<Mutex<Option<Lease>>>;

/// The right to use one connection of an origin. Dropped, it gives the connection back, or closes it.
pub(crate) struct Lease {
    // It goes from hand to hand, and is large.
    connection: Option<Box<Connection>>,
    /// Both sides want to use the connection again.
    keep: bool,
    back: Option<Slot>,
    // In this order: the connection is back before the next in line looks for it.
    user: User,
    _permit: OwnedPermit,
}

impl Lease {
    pub(super) fn new(user: User, permit: OwnedPermit) -> Self {
        Self {
            connection: None,
            keep: false,
            back: None,
            user,
            _permit: permit,
        }
    }

    pub(super) fn key(&self) -> &Arc<Key> {
        &self.user.key
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.user.pool
    }

    /// Whether it came with a connection that has carried a request before.
    pub(super) fn is_reused(&self) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|connection| connection.answers > 0)
    }

    pub(super) fn is_open(&self) -> bool {
        self.connection.is_some()
    }

    pub(super) fn set(&mut self, connection: Box<Connection>) {
        self.connection = Some(connection);
    }

    /// # Panics
    /// If no connection was set.
    pub(super) fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("a connection was opened")
    }

    /// The answer was read to its end; `keep` says whether both sides want to go on.
    pub(super) fn finish(mut self, keep: bool) {
        let connection = self.connection();
        connection.busy = false;
        connection.answers += 1;
        match self.back.take() {
            Some(slot) if keep => {
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(self);
            }
            _ => self.keep = keep,
        }
    }

    /// After the answer whose content is read next it goes there, if the connection can be used further.
    pub(super) fn come_back_to(&mut self, slot: Slot) {
        self.back = Some(slot);
    }

    /// Nothing is under way on the connection; `keep` says whether it can be used again.
    pub(super) fn give_back(mut self, keep: bool) {
        self.keep = keep;
    }

    /// Takes the connection away for good: it speaks another protocol from now on.
    pub(super) fn take(mut self) -> Option<Box<Connection>> {
        self.connection.take()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if self.keep && connection.is_reusable() {
            self.user.pool.put_idle(&self.user.key, connection);
        } else if connection.busy || !connection.is_reusable() {
            let counters = &self.user.pool.counters;
            counters.discarded.fetch_add(1, Ordering::Relaxed);
        }
    }
}
