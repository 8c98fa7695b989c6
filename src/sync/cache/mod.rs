//! A cache that forgets what was not used for longest, keeps what is pinned, and loads what is missing once.

mod entries;
mod flight;

pub use entries::Pinned;

use crate::sched::wait::{self, WaitKind};
use crate::sync::address;
use crate::sync::once::gate::{Call, Entered};
use entries::{Entries, Inserted};
use flight::{Boarding, Flight};
use std::borrow::Borrow;
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

/// A cache of at most `capacity` entries, without those that are pinned. What was not used for longest goes first.
///
/// Values are handed out as `Arc`s: one that has gone from the cache lives as long as somebody uses it. Keys are hashed,
/// compared and cloned with the cache locked, so that must not use the cache, nor block.
///
/// **Loading.** [`get_or_load`](Self::get_or_load) asks for a missing value once, however many want it at the time: the
/// first loads it, the others wait and get what it got, be it an error. Only if the one that loads panics or is
/// interrupted, which is not the others' fault, the next in line tries. What is inserted or removed while it is being
/// loaded stays so: the load's outcome goes to those who wait for it, but not into the cache.
///
/// **Pinning.** What is [pinned](Self::pin) is not counted, and is neither evicted, replaced nor removed until it is
/// pinned no more. So it is for the program to see that not too much is pinned, and that no peer can make it.
///
/// ```
/// use grapeshot::sync::LruCache;
/// use std::sync::Arc;
///
/// grapeshot::run(|| {
///     let addresses = Arc::new(LruCache::new(1_000));
///     let lookups: Vec<_> = (0..10)
///         .map(|_| {
///             let addresses = Arc::clone(&addresses);
///             grapeshot::spawn(move || {
///                 // A lookup that takes its time, and may fail.
///                 let load = |_: &&str| {
///                     grapeshot::yield_now();
///                     "192.0.2.7".parse::<std::net::IpAddr>()
///                 };
///                 addresses.get_or_load("example.org", load).unwrap()
///             })
///         })
///         .collect();
///     for lookup in lookups {
///         assert!(lookup.join().unwrap().is_ipv4());
///     }
///     assert_eq!(addresses.statistics().loads, 1);
/// });
/// ```
pub struct LruCache<K, V> {
    state: parking_lot::Mutex<State<K, V>>,
}

/// Between two calls: what is in flight has no entry.
struct State<K, V> {
    entries: Entries<K, V>,
    /// What is being loaded, until that has ended or what it brings is not wanted any more.
    flights: HashMap<K, Arc<Flight<V>>>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    hits: u64,
    misses: u64,
    loads: u64,
    shared: u64,
    evictions: u64,
}

/// What a [`LruCache`] says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LruCacheStatistics {
    /// Entries, with those that are pinned.
    pub len: usize,
    /// Those of `len` which are pinned.
    pub pinned: usize,
    /// How many entries that are not pinned there may be.
    pub capacity: usize,
    /// Calls that found what they wanted.
    pub hits: u64,
    /// Calls that did not.
    pub misses: u64,
    /// Loads that were begun.
    pub loads: u64,
    /// Those of `misses` which got what another loaded.
    pub shared: u64,
    /// Entries that had to go because others came.
    pub evictions: u64,
    /// Keys that are being loaded now.
    pub loading: usize,
    /// Coroutines and threads that wait now for what others load.
    pub waiting: usize,
}

/// The key is pinned: its value stays as it is, and the new one comes back.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key is pinned in the cache; unpin it first")]
pub struct KeyPinned<V>(pub V);

impl<K: Clone + Eq + Hash, V> LruCache<K, V> {
    /// An empty cache. With a capacity of 0 it holds nothing but what is pinned, and still loads once for all who wait.
    pub fn new(capacity: usize) -> Self {
        let state = State {
            entries: Entries::new(capacity),
            flights: HashMap::new(),
            counts: Counts::default(),
        };
        Self {
            state: parking_lot::Mutex::new(state),
        }
    }

    /// The value, if it is there; that counts as a use. Never suspends.
    pub fn get<Q>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.state.lock().look(key)
    }

    /// The value, loaded with `load` if it is missing, or by whoever is loading it already. **May suspend.**
    ///
    /// # Errors
    /// That of the load. Those who waited for it get the same one, if it is of the type that they expect; if not, they
    /// try themselves. It is not kept: the next call loads again.
    ///
    /// # Panics
    /// If `load` does. If `load` comes back to the same key: it would wait for itself. If it would have to wait and the
    /// caller is unwinding; see [`Mutex::lock`](crate::sync::Mutex::lock).
    #[track_caller]
    pub fn get_or_load<E>(
        &self,
        key: K,
        load: impl FnOnce(&K) -> Result<V, E>,
    ) -> Result<Arc<V>, Arc<E>>
    where
        E: Send + Sync + 'static,
    {
        wait::check_interrupt();
        loop {
            let boarding = match self.board(&key) {
                Ok(value) => return Ok(value),
                Err(boarding) => boarding,
            };
            match boarding.flight().gate.enter(&self.call()) {
                Entered::Turn(turn) => {
                    self.state.lock().counts.loads += 1;
                    let loaded = load(&key).map(Arc::new).map_err(Arc::new);
                    boarding.land(&loaded);
                    turn.done();
                    return loaded;
                }
                Entered::Done => {
                    if let Some(loaded) = boarding.flight().outcome() {
                        self.state.lock().counts.shared += 1;
                        return loaded;
                    }
                }
            }
        }
    }

    /// As [`get_or_load`](Self::get_or_load), for what cannot fail. **May suspend.**
    ///
    /// # Panics
    /// As [`get_or_load`](Self::get_or_load).
    #[track_caller]
    pub fn get_or_insert_with(&self, key: K, make: impl FnOnce(&K) -> V) -> Arc<V> {
        match self.get_or_load(key, |key| Ok::<V, Infallible>(make(key))) {
            Ok(value) => value,
            Err(never) => match *never {},
        }
    }

    /// Puts a value in, and returns the one that was there. What is being loaded for the key is not put in any more.
    /// Never suspends.
    ///
    /// # Errors
    /// The key is pinned.
    pub fn insert(&self, key: K, value: V) -> Result<Option<Arc<V>>, KeyPinned<V>> {
        let mut state = self.state.lock();
        if state.entries.is_pinned(&key) {
            return Err(KeyPinned(value));
        }
        let flight = state.flights.remove_entry(&key);
        let inserted = state.insert(key, Arc::new(value));
        drop(state);
        // With the cache unlocked: destructors of keys and values are the caller's code.
        drop((flight, inserted.evicted));
        Ok(inserted.replaced.map(|(_, value)| value))
    }

    /// Puts a value in and pins it, as [`insert`](Self::insert) and [`pin`](Self::pin) in one. Never suspends.
    ///
    /// # Errors
    /// The key is pinned.
    pub fn insert_pinned(&self, key: K, value: V) -> Result<Pinned<'_, K, V>, KeyPinned<V>> {
        let mut state = self.state.lock();
        if state.entries.is_pinned(&key) {
            return Err(KeyPinned(value));
        }
        let flight = state.flights.remove_entry(&key);
        let value = Arc::new(value);
        let (slot, replaced) = state.entries.insert_pinned(key, Arc::clone(&value));
        drop(state);
        drop((flight, replaced));
        Ok(Pinned::new(self, slot, value))
    }

    /// Removes an entry and returns its value; what is pinned stays. What is being loaded for the key is not put in any
    /// more. Never suspends.
    pub fn remove<Q>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let mut state = self.state.lock();
        let flight = state.flights.remove_entry(key);
        let removed = state.entries.remove(key);
        drop(state);
        drop(flight);
        removed.map(|(_, entry)| entry.into_value())
    }

    /// Removes all entries but those that are pinned. What is being loaded is not put in any more. Never suspends.
    pub fn clear(&self) {
        let mut state = self.state.lock();
        let flights = std::mem::take(&mut state.flights);
        let mut removed = Vec::new();
        while let Some(entry) = state.entries.remove_oldest() {
            removed.push(entry);
        }
        drop(state);
        drop((flights, removed));
    }

    /// Pins an entry for as long as what this returns lives; `None` if there is none. Counts as a use. Never suspends.
    pub fn pin<Q>(&self, key: &Q) -> Option<Pinned<'_, K, V>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let mut state = self.state.lock();
        let (slot, value) = state.entries.pin(key)?;
        drop(state);
        Some(Pinned::new(self, slot, value))
    }

    /// Takes back a pin that was [forgotten](Pinned::forget); false if there is none. Never suspends.
    pub fn unpin<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let mut state = self.state.lock();
        let Some(slot) = state.entries.forgotten(key) else {
            return false;
        };
        let evicted = state.unpin(slot);
        drop(state);
        drop(evicted);
        true
    }

    /// What is there, and how useful that was.
    pub fn statistics(&self) -> LruCacheStatistics {
        let state = self.state.lock();
        let Counts {
            hits,
            misses,
            loads,
            shared,
            evictions,
        } = state.counts;
        let waiting = |flight: &Arc<Flight<V>>| flight.gate.statistics().wait.waiting;
        LruCacheStatistics {
            len: state.entries.len(),
            pinned: state.entries.pinned(),
            capacity: state.entries.capacity(),
            hits,
            misses,
            loads,
            shared,
            evictions,
            loading: state.flights.len(),
            waiting: state.flights.values().map(waiting).sum(),
        }
    }

    /// The value, or a place with those who wait for it.
    fn board<'a>(&'a self, key: &'a K) -> Result<Arc<V>, Boarding<'a, K, V>> {
        let mut state = self.state.lock();
        if let Some(value) = state.look(key) {
            return Ok(value);
        }
        let flight = match state.flights.get(key) {
            Some(flight) => Arc::clone(flight),
            None => {
                let flight = Arc::new(Flight::new());
                state.flights.insert(key.clone(), Arc::clone(&flight));
                flight
            }
        };
        Err(Boarding::new(self, key, flight))
    }

    fn call(&self) -> Call {
        Call {
            kind: WaitKind::Cache,
            object: address(self),
            name: "LruCache::get_or_load",
            instead: "get",
        }
    }
}

impl<K: Clone + Eq + Hash, V> State<K, V> {
    fn insert(&mut self, key: K, value: Arc<V>) -> Inserted<K, V> {
        let inserted = self.entries.insert(key, value);
        self.counts.evictions += u64::from(inserted.evicted.is_some());
        inserted
    }

    fn look<Q>(&mut self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let value = self.entries.get(key);
        match value {
            Some(_) => self.counts.hits += 1,
            None => self.counts.misses += 1,
        }
        value
    }
}

impl<K, V> fmt::Debug for LruCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("LruCache")
            .field("len", &state.entries.len())
            .field("capacity", &state.entries.capacity())
            .field("loading", &state.flights.len())
            .finish_non_exhaustive()
    }
}

// Without asking that values be `Debug`.
impl<V> fmt::Debug for KeyPinned<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPinned(..)")
    }
}
