//! What a cache holds, in the order of use. Never waits: it lives under the cache's lock.

use super::{LruCache, State};
use slab::Slab;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::ops::Deref;
use std::sync::Arc;

/// No slot: the end of the line.
const NONE: usize = usize::MAX;

pub(super) struct Entries<K, V> {
    index: HashMap<K, usize>,
    slots: Slab<Entry<K, V>>,
    /// The ends of the line of those that are not pinned, by use.
    newest: usize,
    oldest: usize,
    in_line: usize,
    capacity: usize,
}

pub(super) struct Entry<K, V> {
    key: K,
    value: Arc<V>,
    /// Neighbours in the line, while it is not pinned.
    newer: usize,
    older: usize,
    /// Pins that somebody holds, so that the slot stays what it is.
    held: usize,
    /// Pins that were forgotten.
    forgotten: usize,
}

pub(super) struct Inserted<K, V> {
    /// With the key that was not needed.
    pub(super) replaced: Option<(K, Arc<V>)>,
    pub(super) evicted: Option<(K, Entry<K, V>)>,
}

impl<K, V> Entry<K, V> {
    pub(super) fn into_value(self) -> Arc<V> {
        self.value
    }

    fn is_pinned(&self) -> bool {
        self.held + self.forgotten > 0
    }
}

impl<K, V> Entries<K, V> {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn pinned(&self) -> usize {
        self.slots.len() - self.in_line
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }
}

impl<K: Clone + Eq + Hash, V> Entries<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            index: HashMap::new(),
            slots: Slab::new(),
            newest: NONE,
            oldest: NONE,
            in_line: 0,
            capacity,
        }
    }

    pub(super) fn get<Q>(&mut self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let &slot = self.index.get(key)?;
        if !self.slots[slot].is_pinned() {
            self.unlink(slot);
            self.link_newest(slot);
        }
        Some(Arc::clone(&self.slots[slot].value))
    }

    pub(super) fn is_pinned<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.index
            .get(key)
            .is_some_and(|&slot| self.slots[slot].is_pinned())
    }

    /// For a key that is not pinned. With no capacity, what is evicted is what was put in.
    pub(super) fn insert(&mut self, key: K, value: Arc<V>) -> Inserted<K, V> {
        let (slot, replaced) = self.put(key, value);
        self.link_newest(slot);
        Inserted {
            replaced,
            evicted: self.evict(),
        }
    }

    /// For a key that is not pinned: its slot, and what it replaces.
    pub(super) fn insert_pinned(&mut self, key: K, value: Arc<V>) -> (usize, Option<(K, Arc<V>)>) {
        let (slot, replaced) = self.put(key, value);
        self.slots[slot].held = 1;
        (slot, replaced)
    }

    /// An entry that is not in line yet.
    fn put(&mut self, key: K, value: Arc<V>) -> (usize, Option<(K, Arc<V>)>) {
        if let Some(&slot) = self.index.get(&key) {
            self.unlink(slot);
            let replaced = std::mem::replace(&mut self.slots[slot].value, value);
            return (slot, Some((key, replaced)));
        }
        let slot = self.slots.insert(Entry {
            key: key.clone(),
            value,
            newer: NONE,
            older: NONE,
            held: 0,
            forgotten: 0,
        });
        self.index.insert(key, slot);
        (slot, None)
    }

    pub(super) fn remove<Q>(&mut self, key: &Q) -> Option<(K, Entry<K, V>)>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let &slot = self.index.get(key)?;
        (!self.slots[slot].is_pinned()).then(|| self.take(slot))
    }

    pub(super) fn remove_oldest(&mut self) -> Option<(K, Entry<K, V>)> {
        (self.oldest != NONE).then(|| self.take(self.oldest))
    }

    pub(super) fn pin<Q>(&mut self, key: &Q) -> Option<(usize, Arc<V>)>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let &slot = self.index.get(key)?;
        if !self.slots[slot].is_pinned() {
            self.unlink(slot);
        }
        let entry = &mut self.slots[slot];
        entry.held += 1;
        Some((slot, Arc::clone(&entry.value)))
    }

    /// Takes a held pin away; what had to go for the entry that is pinned no more.
    pub(super) fn unpin(&mut self, slot: usize) -> Option<(K, Entry<K, V>)> {
        let entry = &mut self.slots[slot];
        entry.held -= 1;
        if entry.is_pinned() {
            return None;
        }
        self.link_newest(slot);
        self.evict()
    }

    pub(super) fn forget(&mut self, slot: usize) {
        let entry = &mut self.slots[slot];
        entry.held -= 1;
        entry.forgotten += 1;
    }

    /// Turns a forgotten pin into a held one: its slot.
    pub(super) fn forgotten<Q>(&mut self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let &slot = self.index.get(key)?;
        let entry = &mut self.slots[slot];
        entry.forgotten = entry.forgotten.checked_sub(1)?;
        entry.held += 1;
        Some(slot)
    }

    /// Each call adds one at most, so one is enough.
    fn evict(&mut self) -> Option<(K, Entry<K, V>)> {
        (self.in_line > self.capacity).then(|| self.take(self.oldest))
    }

    /// Takes an entry out that is in line.
    fn take(&mut self, slot: usize) -> (K, Entry<K, V>) {
        self.unlink(slot);
        let entry = self.slots.remove(slot);
        let key = self.index.remove_entry(&entry.key);
        (key.expect("each entry is in the index").0, entry)
    }

    fn link_newest(&mut self, slot: usize) {
        let older = std::mem::replace(&mut self.newest, slot);
        match self.slots.get_mut(older) {
            Some(older) => older.newer = slot,
            None => self.oldest = slot,
        }
        let entry = &mut self.slots[slot];
        entry.older = older;
        entry.newer = NONE;
        self.in_line += 1;
    }

    fn unlink(&mut self, slot: usize) {
        let Entry { newer, older, .. } = self.slots[slot];
        match self.slots.get_mut(newer) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        self.in_line -= 1;
    }
}

/// A value that stays in its [`LruCache`] as it is until this is dropped.
#[must_use = "the entry is pinned until this is dropped"]
pub struct Pinned<'a, K: Clone + Eq + Hash, V> {
    cache: &'a LruCache<K, V>,
    /// `None` once the pin was forgotten.
    slot: Option<usize>,
    value: Arc<V>,
}

impl<'a, K: Clone + Eq + Hash, V> Pinned<'a, K, V> {
    pub(super) fn new(cache: &'a LruCache<K, V>, slot: usize, value: Arc<V>) -> Self {
        Self {
            cache,
            slot: Some(slot),
            value,
        }
    }

    /// The value, to be used for longer than it is pinned.
    pub fn value(&self) -> Arc<V> {
        Arc::clone(&self.value)
    }

    /// Leaves the entry pinned. [`LruCache::unpin`] can make up for it.
    pub fn forget(mut self) {
        if let Some(slot) = self.slot.take() {
            self.cache.state.lock().entries.forget(slot);
        }
    }
}

impl<K: Clone + Eq + Hash, V> State<K, V> {
    pub(super) fn unpin(&mut self, slot: usize) -> Option<(K, Entry<K, V>)> {
        let evicted = self.entries.unpin(slot);
        self.counts.evictions += u64::from(evicted.is_some());
        evicted
    }
}

impl<K: Clone + Eq + Hash, V> Drop for Pinned<'_, K, V> {
    fn drop(&mut self) {
        let Some(slot) = self.slot else { return };
        let evicted = self.cache.state.lock().unpin(slot);
        // With the cache unlocked: destructors of keys and values are the caller's code.
        drop(evicted);
    }
}

impl<K: Clone + Eq + Hash, V> Deref for Pinned<'_, K, V> {
    type Target = V;
    fn deref(&self) -> &V {
        &self.value
    }
}

impl<K: Clone + Eq + Hash, V: fmt::Debug> fmt::Debug for Pinned<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
