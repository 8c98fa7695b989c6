//! LruCache: what stays in it, and for how long.

use super::{Count, Random};
use crate::sync::{KeyPinned, LruCache};
use std::collections::HashMap;
use std::sync::Arc;

#[test]
fn what_was_not_used_for_longest_goes_first() {
    let cache = LruCache::new(3);
    for (number, name) in ["one", "two", "three"].into_iter().enumerate() {
        assert_eq!(cache.insert(name, number), Ok(None));
    }
    assert_eq!(cache.get("one").as_deref(), Some(&0));
    cache.insert("four", 3).unwrap();
    assert_eq!(cache.get("two"), None);
    assert_eq!(cache.insert("three", 9).unwrap().as_deref(), Some(&2));
    cache.insert("five", 4).unwrap();
    assert_eq!(cache.get("one"), None);
    let statistics = cache.statistics();
    assert_eq!((statistics.len, statistics.evictions), (3, 2));
    assert_eq!((statistics.hits, statistics.misses), (1, 2));
    for (name, value) in [("five", 4), ("three", 9), ("four", 3)] {
        assert_eq!(cache.remove(name).as_deref(), Some(&value));
    }
    assert_eq!(cache.remove("four"), None);
    assert_eq!(cache.statistics().len, 0, "deleted to empty");
    cache.insert("six", 6).unwrap();
    cache.clear();
    assert_eq!(cache.get("six"), None);
}

#[test]
fn what_is_pinned_stays_as_it_is() {
    let cache = LruCache::new(1);
    let local = cache.insert_pinned("localhost".to_owned(), 127).unwrap();
    cache.insert("first".to_owned(), 1).unwrap();
    cache.insert("second".to_owned(), 2).unwrap();
    let pin = |name| cache.pin(name).map(|pinned| *pinned);
    assert_eq!(pin("localhost"), Some(127));
    assert_eq!((pin("first"), pin("second")), (None, Some(2)));
    let bad = cache.insert("localhost".to_owned(), 6);
    assert_eq!(bad, Err(KeyPinned(6)));
    assert!(cache.insert_pinned("localhost".to_owned(), 6).is_err());
    assert_eq!(cache.remove("localhost"), None);
    cache.clear();
    assert_eq!((*local, cache.statistics().pinned), (127, 1));
    let again = cache.pin("localhost").unwrap();
    drop(local);
    assert!(cache.insert("localhost".to_owned(), 6).is_err());
    again.forget();
    assert_eq!(cache.statistics().pinned, 1);
    assert!(cache.unpin("localhost") && !cache.unpin("localhost"));
    let old = cache.insert("localhost".to_owned(), 6).unwrap();
    assert_eq!(old.as_deref(), Some(&127));
    assert!(!cache.unpin("nobody") && cache.pin("nobody").is_none());
}

#[test]
fn a_pin_let_go_makes_room() {
    let cache = LruCache::new(1);
    let first = cache.insert_pinned(1, ()).unwrap();
    cache.insert(2, ()).unwrap();
    drop(first);
    assert!(cache.get(&2).is_none() && cache.get(&1).is_some());
    let none = LruCache::new(0);
    assert_eq!(none.insert(1, "gone"), Ok(None));
    assert!(none.get(&1).is_none());
    assert_eq!(*none.get_or_insert_with(1, |_| "made"), "made");
    assert_eq!(none.statistics().len, 0);
}

#[test]
fn random_calls_agree_with_a_list() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let capacity = random.below(5) as usize;
        let cache = LruCache::new(capacity);
        // The newest last.
        let mut list: Vec<(u64, u64)> = Vec::new();
        let mut pins = Vec::new();
        let mut pinned: HashMap<u64, u64> = HashMap::new();
        for value in 0..200 {
            let key = random.below(8);
            let found = list.iter().position(|&(listed, _)| listed == key);
            let kept = pinned.get(&key).copied();
            match random.below(6) {
                0 => {
                    let expected = kept.or_else(|| {
                        let entry = list.remove(found?);
                        list.push(entry);
                        Some(entry.1)
                    });
                    assert_eq!(cache.get(&key).as_deref().copied(), expected);
                }
                1 | 2 => {
                    let inserted = cache.insert(key, value);
                    assert_eq!(inserted.is_err(), kept.is_some());
                    if let Ok(replaced) = inserted {
                        let old = found.map(|at| list.remove(at).1);
                        assert_eq!(replaced.as_deref().copied(), old);
                        list.push((key, value));
                    }
                }
                3 => {
                    let expected = found.map(|at| list.remove(at).1);
                    assert_eq!(cache.remove(&key).as_deref().copied(), expected);
                }
                4 => {
                    let expected = kept.or(found.map(|at| list.remove(at).1));
                    let pin = cache.pin(&key);
                    assert_eq!(pin.as_deref().copied(), expected);
                    if let (Some(pin), Some(value)) = (pin, expected) {
                        pins.push((key, pin));
                        pinned.insert(key, value);
                    }
                }
                _ if pins.is_empty() => {}
                _ => {
                    let (key, pin) = pins.swap_remove(random.below(pins.len() as u64) as usize);
                    drop(pin);
                    if !pins.iter().any(|&(other, _)| other == key) {
                        list.push((key, pinned.remove(&key).unwrap()));
                    }
                }
            }
            if list.len() > capacity {
                list.remove(0);
            }
            let statistics = cache.statistics();
            assert_eq!(statistics.len, list.len() + pinned.len(), "seed {seed}");
            assert_eq!(statistics.pinned, pinned.len(), "seed {seed}");
        }
    }
}

#[test]
fn destructors_may_use_the_cache() {
    struct Value(std::sync::Weak<LruCache<i32, Value>>, Count);
    impl Drop for Value {
        fn drop(&mut self) {
            if let Some(cache) = self.0.upgrade() {
                cache.statistics();
            }
            self.1.up();
        }
    }
    let cache = Arc::new(LruCache::new(1));
    let dropped = Count::default();
    let value = || Value(Arc::downgrade(&cache), dropped.clone());
    for key in [1, 2, 2] {
        drop(cache.insert(key, value()).ok());
    }
    drop(cache.insert_pinned(2, value()).ok());
    drop(cache.get_or_insert_with(3, |_| value()));
    assert_eq!(dropped.get(), 4);
    cache.clear();
    assert_eq!(dropped.get(), 5);
}
