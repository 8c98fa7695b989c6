//! LruCache: loading what is missing.

use super::crew::{Crew, WAITERS};
use super::{Count, Random, for_each_seed, yield_until};
use crate::sync::{LruCache, Mutex};
use crate::{JoinError, catch_panic, sleep, spawn, with_timeout, yield_now};
use std::convert::Infallible;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(10);

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
