//! How much memory a session's variables take, so that a script cannot make the server hold more than a console may.
//!
//! The language bounds each value, but not how many there are. So whenever a statement touches a variable, and enough has
//! happened since the last look, all variables of the call that runs are weighed, and all that closures have captured. A call
//! below it in the stack had its own weighed when it ran. What one step of the language adds between two looks is bounded by the
//! bounds of a value.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rhai::{Dynamic, FnPtr, Scope};

use crate::captured::Captured;
use crate::limits;

/// Time after which the variables are weighed again, if that took less.
const PAUSE: Duration = Duration::from_millis(1);

/// What a captured variable takes beside its value, in bytes: the counts, the lock, and its entry in the table.
const CAPTURED: usize = 96;

/// Why an evaluation must not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unbearable {
    /// The variables take too much memory.
    TooHeavy,
    /// One of them is nested too deep.
    TooDeep,
}

/// What the variables of an evaluation weighed when they were last looked at.
#[derive(Debug, Default)]
pub(crate) struct Weights(Mutex<Weighed>);

#[derive(Debug, Default)]
struct Weighed {
    /// Bytes, of the variables of each call: the statement's own first.
    levels: Vec<usize>,
    /// Variables touched since.
    touched: usize,
    /// After so many it is time.
    wait: usize,
    next: Option<Instant>,
}

impl Weights {
    /// A new evaluation begins.
    pub(crate) fn start(&self) {
        *self.lock() = Weighed::default();
    }

    /// A variable is touched, in the call at this level, which has these variables.
    pub(crate) fn touch(
        &self,
        level: usize,
        scope: &Scope<'_>,
        captured: &Captured,
    ) -> Result<(), Unbearable> {
        let mut weighed = self.lock();
        weighed.touched += 1;
        if weighed.touched <= weighed.wait {
            // Large values take their time to come about: the clock sees what the count does not.
            let is_time = weighed.next.is_none_or(|next| Instant::now() >= next);
            if !is_time {
                return Ok(());
            }
        }
        let before = Instant::now();
        let mut scale = Scale::default();
        for (_, _, value) in scope.iter_raw() {
            scale.put(value, 0);
        }
        // Those that nobody has any more are kept to the statement's end, each by itself.
        let mut kept = Scale {
            is_alone: true,
            ..Scale::default()
        };
        captured.each(|value| {
            kept.bytes += CAPTURED;
            kept.put(value, 0);
        });
        let took = before.elapsed();
        weighed.levels.resize(level + 1, 0);
        weighed.levels[level] = scale.bytes;
        weighed.touched = 0;
        weighed.wait = scale.values + kept.values;
        weighed.next = Some(Instant::now() + PAUSE.max(took * 4));
        if weighed.levels.iter().sum::<usize>() + kept.bytes > limits::VARIABLE_BYTES {
            return Err(Unbearable::TooHeavy);
        }
        if scale.is_too_deep {
            return Err(Unbearable::TooDeep);
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Weighed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Scale {
    /// What is shared with others is weighed elsewhere.
    is_alone: bool,
    bytes: usize,
    values: usize,
    is_too_deep: bool,
}

impl Scale {
    fn put(&mut self, value: &Dynamic, depth: usize) {
        self.values += 1;
        self.bytes += size_of::<Dynamic>();
        if depth > limits::VARIABLE_LEVELS {
            self.is_too_deep = true;
        }
        // Closures that have each other are weighed for ever otherwise.
        if self.is_too_deep || self.bytes > limits::VARIABLE_BYTES {
            return;
        }
        if value.is_shared() {
            if self.is_alone {
                return;
            }
            return self.put(&value.flatten_clone(), depth + 1);
        }
        if let Ok(text) = value.as_immutable_string_ref() {
            self.bytes += text.len();
        } else if let Ok(blob) = value.as_blob_ref() {
            self.bytes += blob.capacity();
        } else if let Ok(items) = value.as_array_ref() {
            items.iter().for_each(|item| self.put(item, depth + 1));
        } else if let Ok(map) = value.as_map_ref() {
            for (name, field) in map.iter() {
                // The name, and its share of the tree's node.
                self.bytes += name.len() + 40;
                self.put(field, depth + 1);
            }
        } else if let Some(function) = value.read_lock::<FnPtr>() {
            function.iter_curry().for_each(|it| self.put(it, depth + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_a_variable_holds_is_weighed() {
        let mib = 1 << 20;
        let text: Dynamic = "x".repeat(mib).into();
        let weigh = |value: Dynamic| {
            let mut scale = Scale::default();
            scale.put(&value, 0);
            scale.bytes
        };
        assert!(weigh(5.into()) < 100);
        assert!(weigh(text.clone()) >= mib);
        assert!(weigh(vec![text.clone(), text.clone()].into()) >= 2 * mib);
        let map: rhai::Map = [("a".into(), text.clone()), ("b".into(), 1.into())].into();
        assert!(weigh(map.into()) >= mib);
        assert!(weigh(Dynamic::from_blob(vec![0; mib])) >= mib);
        assert!(weigh(text.clone().into_shared()) >= mib);
        let mut function = FnPtr::new("f").unwrap();
        function.add_curry(text);
        assert!(weigh(function.into()) >= mib);
    }
}
