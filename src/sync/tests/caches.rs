//! LruCache.

use super::crew::{Crew, WAITERS};
use super::{Count, Random, for_each_seed, yield_until};
use crate::sync::{KeyPinned, LruCache, Mutex};
use crate::{JoinError, catch_panic, sleep, spawn, with_timeout, yield_now};
use std::collections::HashMap;
use std::convert::Infallible;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(10);

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
fn one_loads_while_the_others_wait() {
    for_each_seed(|seed| {
        // Even with no room in the cache.
        let cache = Arc::new(LruCache::new(seed as usize % 2));
        let crew: Vec<_> = (0..5)
            .map(|number| {
                let cache = Arc::clone(&cache);
                spawn(move || {
                    *cache.get_or_insert_with("key", |_| {
                        sleep(TICK);
                        number
                    })
                })
            })
            .collect();
        yield_until("four", || cache.statistics().waiting == 4);
        assert_eq!(cache.statistics().loading, 1);
        let got: Vec<_> = crew.into_iter().map(|one| one.join().unwrap()).collect();
        assert!(got.iter().all(|&number| number == got[0]), "{got:?}");
        let statistics = cache.statistics();
        assert_eq!((statistics.loads, statistics.shared), (1, 4));
        assert_eq!((statistics.loading, statistics.waiting), (0, 0));
        assert_eq!(statistics.len, seed as usize % 2);
    });
}

#[test]
fn a_failure_is_everybodys_who_waited_and_is_not_kept() {
    for_each_seed(|_| {
        let cache = Arc::new(LruCache::<_, i32>::new(9));
        let crew: Vec<_> = (0..3)
            .map(|_| {
                let cache = Arc::clone(&cache);
                spawn(move || {
                    cache.get_or_load("key", |_| {
                        sleep(TICK);
                        Err("no such key".to_owned())
                    })
                })
            })
            .collect();
        // One that expects another error tries itself.
        let other = spawn({
            let cache = Arc::clone(&cache);
            move || {
                yield_until("a load", || cache.statistics().loading == 1);
                cache.get_or_load("key", |_| Ok::<_, Infallible>(7))
            }
        });
        let errors: Vec<_> = crew
            .into_iter()
            .filter_map(|one| one.join().unwrap().err())
            .collect();
        assert_eq!(other.join().unwrap().as_deref(), Ok(&7));
        // All of them, but one who came back after the other's success.
        assert!(errors.len() >= 2 && errors.iter().all(|error| **error == "no such key"));
        assert!(cache.statistics().loads >= 2);
        assert_eq!(cache.get("key").as_deref(), Some(&7));
    });
}

#[test]
fn the_next_loads_if_the_first_panics_or_is_interrupted() {
    for_each_seed(|seed| {
        let cache = Arc::new(LruCache::new(9));
        let load = |then: fn()| {
            let cache = Arc::clone(&cache);
            move || {
                *cache.get_or_insert_with("key", |_| {
                    sleep(TICK);
                    then();
                    1
                })
            }
        };
        let fail: fn() = if seed % 2 == 0 {
            || resume_unwind(Box::new("as planned"))
        } else {
            || sleep(TICK * 1_000)
        };
        let first = spawn(load(fail));
        yield_until("the first", || cache.statistics().loads == 1);
        let second = spawn(load(|| {}));
        yield_until("the second", || cache.statistics().waiting == 1);
        sleep(TICK);
        first.interrupt();
        assert_eq!(second.join().unwrap(), 1);
        assert!(first.join().is_err());
        assert_eq!(cache.statistics().loads, 2);
        assert_eq!(cache.statistics().loading, 0);
    });
}

#[test]
fn a_load_that_nobody_waits_for_any_more_leaves_nothing_behind() {
    crate::testing::run(0, || {
        let cache = LruCache::<_, i32>::new(9);
        for key in 0..100 {
            let _ = with_timeout(TICK, || {
                cache.get_or_insert_with(key, |_| {
                    loop {
                        sleep(TICK);
                    }
                })
            })
            .unwrap_err();
        }
        assert_eq!(cache.statistics().loading, 0);
        assert_eq!(cache.statistics().loads, 100);
    });
}

#[test]
fn what_changes_during_a_load_is_not_overwritten_by_it() {
    for_each_seed(|seed| {
        let cache = Arc::new(LruCache::new(9));
        let load = |value| {
            let cache = Arc::clone(&cache);
            spawn(move || {
                *cache.get_or_insert_with("key", |_| {
                    sleep(TICK);
                    value
                })
            })
        };
        let early = load(1);
        yield_until("the load", || cache.statistics().loads == 1);
        let expected = match seed % 4 {
            0 => {
                assert_eq!(cache.remove("key"), None);
                None
            }
            1 => {
                cache.clear();
                None
            }
            2 => {
                cache.insert("key", 2).unwrap();
                Some(2)
            }
            _ => {
                cache.insert_pinned("key", 2).unwrap().forget();
                Some(2)
            }
        };
        assert_eq!(cache.statistics().loading, 0, "a newcomer loads anew");
        assert_eq!(early.join().unwrap(), 1, "it asked before the change");
        assert_eq!(cache.get("key").as_deref().copied(), expected);
        let late = load(3);
        assert_eq!(late.join().unwrap(), expected.unwrap_or(3));
    });
}

#[test]
fn a_load_that_needs_its_own_key_is_told() {
    crate::testing::run(0, || {
        let cache = LruCache::new(9);
        let other = |_: &i32| *cache.get_or_insert_with(2, |_| 20) + 1;
        assert_eq!(*cache.get_or_insert_with(1, other), 21);
        let itself = |_: &i32| *cache.get_or_insert_with(3, |_| 1);
        let payload = catch_panic(|| cache.get_or_insert_with(3, itself)).unwrap_err();
        let message = payload.downcast::<String>().expect("a message");
        assert!(message.contains("LruCache::get_or_load"), "{message}");
        assert_eq!(*cache.get_or_insert_with(3, |_| 30), 30);
    });
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

#[test]
fn cache_before_the_wake() {
    for_each_seed(|seed| {
        let cache = Arc::new(LruCache::new(9));
        let crew = cache_crew(&cache, seed % 2 == 0, Crew::interrupt_five);
        yield_until("the sixth", || crew.done.get() == 1);
        assert_eq!(crew.through.get(), 1);
        crew.assert_only_the_sixth_is_done();
        assert_eq!(cache.statistics().loading, 0);
    });
}

#[test]
fn cache_after_the_wake() {
    for_each_seed(|seed| {
        let cache = Arc::new(LruCache::new(9));
        let well = seed % 2 == 0;
        let crew = cache_crew(&cache, well, |_| {});
        crew.interrupt_five();
        yield_until("the sixth", || crew.done.get() == 1);
        let through = if well { WAITERS } else { 1 };
        yield_until("the others", || crew.through.get() == through);
        crew.assert_only_the_sixth_is_done();
        assert_eq!(cache.statistics().loading, 0);
    });
}

/// Six who wait for what the caller loads, which ends well or badly.
fn cache_crew(cache: &Arc<LruCache<i32, i32>>, well: bool, before: impl FnOnce(&Crew)) -> Crew {
    let mut crew = None;
    let load = catch_panic(|| {
        cache.get_or_insert_with(1, |_| {
            let ours = Arc::clone(cache);
            let wait = move |then: &dyn Fn()| {
                ours.get_or_insert_with(1, |_| {
                    yield_now();
                    2
                });
                then();
            };
            let six = crew.insert(Crew::muster(wait, || cache.statistics().waiting));
            before(six);
            if !well {
                resume_unwind(Box::new("as planned"));
            }
            2
        })
    });
    assert_eq!(load.is_ok(), well);
    crew.expect("mustered")
}

#[test]
fn random_loads_are_single_and_true_whatever_happens() {
    const KEYS: u64 = 4;
    for_each_seed(|seed| {
        let capacity = seed as usize % 4;
        let cache = Arc::new(LruCache::<u64, (u64, u64)>::new(capacity));
        let loading: Arc<[Count]> = (0..KEYS).map(|_| Count::default()).collect();
        let versions = Arc::new(Mutex::new([0_u64; KEYS as usize]));
        let crew: Vec<_> = (0..8)
            .map(|number| {
                let (cache, loading) = (Arc::clone(&cache), Arc::clone(&loading));
                let versions = Arc::clone(&versions);
                let mut random = Random(seed << 8 | number);
                spawn(move || {
                    for _ in 0..12 {
                        let key = random.below(KEYS);
                        let limit = Duration::from_micros(random.below(200));
                        let (time, ends) = (random.below(100), random.below(5));
                        let version = versions.try_lock().expect("free")[key as usize];
                        let load = |&key: &u64| {
                            struct Down<'a>(&'a Count);
                            impl Drop for Down<'_> {
                                fn drop(&mut self) {
                                    self.0.down();
                                }
                            }
                            // What is removed while it is loaded may be loaded again beside that.
                            loading[key as usize].up();
                            let _down = Down(&loading[key as usize]);
                            let version = versions.try_lock().expect("free")[key as usize];
                            sleep(Duration::from_micros(time));
                            match ends {
                                0 => Err(()),
                                1 => resume_unwind(Box::new("as planned")),
                                _ => Ok((key, version)),
                            }
                        };
                        let get = || with_timeout(limit, || cache.get_or_load(key, load));
                        match random.below(4) {
                            0 => {
                                versions.try_lock().expect("free")[key as usize] += 1;
                                cache.remove(&key);
                            }
                            1 => drop(cache.pin(&key)),
                            _ => {
                                if let Ok(Ok(Ok(value))) = catch_panic(get) {
                                    assert_eq!(value.0, key);
                                    assert!(value.1 >= version, "older than the last removal");
                                }
                            }
                        }
                    }
                })
            })
            .collect();
        let mut random = Random(seed);
        for _ in 0..2 {
            sleep(Duration::from_micros(random.below(300)));
            crew[random.below(8) as usize].interrupt();
        }
        for sailor in crew {
            assert!(!matches!(sailor.join(), Err(JoinError::Panicked(_))));
        }
        let statistics = cache.statistics();
        assert_eq!((statistics.loading, statistics.waiting), (0, 0));
        assert_eq!(statistics.pinned, 0);
        assert!(statistics.len <= capacity);
        assert!(loading.iter().all(|count| count.get() == 0));
    });
}
