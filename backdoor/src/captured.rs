//! The variables that closures have captured, so that those which hold each other in a circle are given back.
//!
//! The language counts the references to a captured variable. A closure that is kept in a variable which it captured has itself:
//! nobody would ever drop the two. So each captured variable is noted when it is first seen. After each statement, whatever the
//! session's variables lead to is marked, and what is noted and not marked is emptied; at the session's end that is all.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rhai::{Dynamic, FnPtr, Scope};

/// What a session's closures have captured, by its address.
///
/// Invariant: each is kept here, so its address is that of no other.
#[derive(Debug, Default)]
pub(crate) struct Captured(Mutex<HashMap<usize, Dynamic>>);

impl Captured {
    /// Notes a variable, if a closure has captured it.
    pub(crate) fn note(&self, variable: &Dynamic) {
        if let Some(address) = address(variable) {
            let mut all = self.lock();
            all.entry(address).or_insert_with(|| variable.clone());
        }
    }

    /// Empties what these variables do not lead to. To be called when no statement runs, where there is an evaluation's stack.
    pub(crate) fn sweep(&self, scope: &Scope<'_>) {
        let mut all = self.lock();
        if all.is_empty() {
            return;
        }
        let mut ahead = Vec::new();
        for (_, _, value) in scope.iter_raw() {
            follow(value, &mut ahead);
        }
        let mut marked = HashSet::new();
        while let Some(shared) = ahead.pop() {
            if address(&shared).is_some_and(|it| marked.insert(it))
                && let Some(value) = shared.read_lock::<Dynamic>()
            {
                follow(&value, &mut ahead);
            }
        }
        let mut lost: Vec<Dynamic> = Vec::new();
        all.retain(|address, shared| {
            let keep = marked.contains(address);
            if !keep && let Some(mut value) = shared.write_lock::<Dynamic>() {
                lost.push(std::mem::take(&mut value));
            }
            keep
        });
        all.shrink_to_fit();
        drop(all);
        // Now no circle is left in them.
        drop(lost);
    }

    /// Calls this with the value of each.
    pub(crate) fn each(&self, mut see: impl FnMut(&Dynamic)) {
        for shared in self.lock().values() {
            if let Some(value) = shared.read_lock::<Dynamic>() {
                see(&value);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Dynamic>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the value of a captured variable is; `None` for any other value.
fn address(value: &Dynamic) -> Option<usize> {
    if !value.is_shared() {
        return None;
    }
    let value = value.read_lock::<Dynamic>()?;
    Some(std::ptr::from_ref::<Dynamic>(&value).addr())
}

/// Collects the captured variables that a value has, and not what those have.
fn follow(value: &Dynamic, found: &mut Vec<Dynamic>) {
    if value.is_shared() {
        found.push(value.clone());
    } else if let Ok(items) = value.as_array_ref() {
        items.iter().for_each(|item| follow(item, found));
    } else if let Ok(map) = value.as_map_ref() {
        map.values().for_each(|field| follow(field, found));
    } else if let Some(function) = value.read_lock::<FnPtr>() {
        function.iter_curry().for_each(|it| follow(it, found));
    }
}
