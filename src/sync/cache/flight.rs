//! One load, and those who wait for what it brings.

use super::LruCache;
use crate::sync::once::gate::Gate;
use std::any::Any;
use std::hash::Hash;
use std::sync::{Arc, OnceLock};

pub(super) struct Flight<V> {
    pub(super) gate: Gate,
    /// Filled before the gate opens.
    outcome: OnceLock<Result<Arc<V>, AnyError>>,
}

/// Callers for one key may expect errors of different types.
type AnyError = Arc<dyn Any + Send + Sync>;

impl<V> Flight<V> {
    pub(super) fn new() -> Self {
        Self {
            gate: Gate::new(),
            outcome: OnceLock::new(),
        }
    }

    /// What it brought; `None` if that is an error of another type.
    pub(super) fn outcome<E: Send + Sync + 'static>(&self) -> Option<Result<Arc<V>, Arc<E>>> {
        match self.outcome.get().expect("asked when the gate is open") {
            Ok(value) => Some(Ok(Arc::clone(value))),
            Err(error) => Arc::clone(error).downcast().ok().map(Err),
        }
    }
}

/// A caller's place on a flight. The last to leave one that never came to an end takes it off the board.
pub(super) struct Boarding<'a, K: Clone + Eq + Hash, V> {
    cache: &'a LruCache<K, V>,
    key: &'a K,
    /// Taken when it is dropped.
    flight: Option<Arc<Flight<V>>>,
}

impl<'a, K: Clone + Eq + Hash, V> Boarding<'a, K, V> {
    pub(super) fn new(cache: &'a LruCache<K, V>, key: &'a K, flight: Arc<Flight<V>>) -> Self {
        Self {
            cache,
            key,
            flight: Some(flight),
        }
    }

    pub(super) fn flight(&self) -> &Flight<V> {
        self.flight.as_ref().expect("taken when it is dropped")
    }

    /// Leaves word of what came of the load, and puts a value into the cache, if it is still wanted there.
    pub(super) fn land<E: Send + Sync + 'static>(&self, loaded: &Result<Arc<V>, Arc<E>>) {
        let outcome = match loaded {
            Ok(value) => Ok(Arc::clone(value)),
            Err(error) => Err(Arc::clone(error) as AnyError),
        };
        let left = self.flight().outcome.set(outcome);
        assert!(left.is_ok(), "only who has the turn loads");
        let mut state = self.cache.state.lock();
        if !self.is_on_board(&state) {
            return;
        }
        let flight = state.flights.remove_entry(self.key);
        let inserted = match loaded {
            Ok(value) => Some(state.insert(self.key.clone(), Arc::clone(value))),
            Err(_) => None,
        };
        drop(state);
        // With the cache unlocked: destructors of keys and values are the caller's code.
        drop((flight, inserted));
    }

    /// Whether newcomers would still find the flight.
    fn is_on_board(&self, state: &super::State<K, V>) -> bool {
        let known = state.flights.get(self.key);
        known
            .zip(self.flight.as_ref())
            .is_some_and(|(known, ours)| Arc::ptr_eq(known, ours))
    }
}

impl<K: Clone + Eq + Hash, V> Drop for Boarding<'_, K, V> {
    fn drop(&mut self) {
        let mut state = self.cache.state.lock();
        let on_board = self.is_on_board(&state);
        let ours = self.flight.take();
        // Places are taken and given up with the cache locked, so two are the board's reference and ours.
        let last = on_board
            && ours
                .as_ref()
                .is_some_and(|ours| Arc::strong_count(ours) == 2);
        if last {
            let removed = state.flights.remove_entry(self.key);
            drop(state);
            drop((removed, ours));
        } else if on_board {
            // Not the last reference: no value is dropped here.
            drop(ours);
            drop(state);
        } else {
            drop(state);
            drop(ours);
        }
    }
}
