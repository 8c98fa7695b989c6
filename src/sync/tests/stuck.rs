//! What `stuck()` calls proved never goes on, and what never goes on is found.

use super::{Random, for_each_seed, naming, yield_until};
use crate::registry::{self, Certainty};
use crate::sync::{Event, Mutex, RwLock};
use crate::{
    Builder, CoroutineId, JoinHandle, catch_panic, scope, sleep, spawn, testing, with_timeout,
    yield_now,
};
use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

fn moment(random: &mut Random) -> Duration {
    Duration::from_micros(random.below(100))
}

/// What the coroutines of a program quarrel about.
#[derive(Default)]
struct Quarrel {
    mutexes: [Mutex<()>; 3],
    lock: RwLock<()>,
    /// Whether anybody reads: circles through readers are not found.
    reads: bool,
    /// How often each was seen to go on. Held for an instant only.
    progress: parking_lot::Mutex<HashMap<CoroutineId, u64>>,
}

impl Quarrel {
    /// The caller goes on.
    fn tick(&self) {
        let id = registry::current().unwrap();
        *self.progress.lock().entry(id).or_default() += 1;
    }

    fn progress_of(&self, id: CoroutineId) -> u64 {
        self.progress.lock().get(&id).copied().unwrap_or(0)
    }

    fn step(self: &Arc<Self>, random: &mut Random, depth: u32) {
        self.tick();
        if depth == 4 {
            return yield_now();
        }
        let limit = moment(random);
        let mut more = Random(random.below(u64::MAX));
        match random.below(12) {
            0..4 => {
                let _guard = self.mutexes[random.below(3) as usize].lock();
                self.tick();
                yield_now();
                self.step(random, depth + 1);
            }
            4 => {
                let _guard = self.lock.write();
                self.tick();
                self.step(random, depth + 1);
            }
            5 if self.reads => {
                let _guard = self.lock.read();
                self.tick();
                self.step(random, depth + 1);
            }
            6 => {
                let quarrel = Arc::clone(self);
                let other = spawn(move || quarrel.step(&mut more, depth + 1));
                self.step(random, depth + 1);
                let _ = other.join();
            }
            7 => {
                let mut third = Random(random.below(u64::MAX));
                scope(|scope| {
                    scope.spawn(|| self.step(&mut more, depth + 1));
                    scope.spawn(|| self.step(&mut third, depth + 1));
                    self.step(random, depth + 1);
                });
            }
            8 | 9 => drop(with_timeout(limit, || self.step(random, depth + 1))),
            10 => resume_unwind(Box::new("planned")),
            _ => sleep(limit),
        }
        self.tick();
    }
}

/// A program in which some get stuck: gives how many were said to be. None of them is seen to go on; in the end, all who are
/// left are said to be.
fn program(seed: u64) -> usize {
    let mut random = Random(seed);
    let quarrel = Arc::new(Quarrel {
        reads: seed.is_multiple_of(4),
        ..Quarrel::default()
    });
    let crew: Vec<JoinHandle<()>> = (0..6)
        .map(|number| {
            let (quarrel, mut random) = (Arc::clone(&quarrel), Random(seed << 8 | number));
            spawn(move || {
                for _ in 0..3 {
                    // A panic of the program's own.
                    drop(catch_panic(|| quarrel.step(&mut random, 0)));
                }
            })
        })
        .collect();
    let mut said: HashMap<CoroutineId, u64> = HashMap::new();
    let mut look = || {
        for found in registry::stuck() {
            if found.certainty == Certainty::Proved {
                let id = found.id;
                said.entry(id).or_insert_with(|| quarrel.progress_of(id));
            }
        }
        for (id, progress) in &said {
            let now = quarrel.progress_of(*id);
            assert_eq!(now, *progress, "#{id} went on");
        }
        said.clone()
    };
    for _ in 0..6 {
        sleep(moment(&mut random));
        let said = look();
        let unlucky = &crew[random.below(6) as usize];
        // An interrupt is what ends it.
        if said.is_empty() && random.below(4) == 0 {
            unlucky.interrupt();
        }
    }
    // Every timeout is over by now.
    sleep(Duration::from_secs(1));
    let said = look();
    let here = registry::current().unwrap();
    let left = registry::coroutines();
    let left: Vec<_> = left.iter().filter(|it| it.id != here).collect();
    if !quarrel.reads {
        let missed = left.iter().find(|it| !said.contains_key(&it.id));
        assert!(missed.is_none(), "not found: {missed:?} of {left:#?}");
    }
    for one in &left {
        registry::interrupt(one.id);
    }
    crew.into_iter().for_each(|one| drop(one.join()));
    // What is granted to one that ends may let it spawn one more, which then locks twice.
    let all_have_ended = || {
        let all = registry::coroutines();
        let others = all.iter().filter(|it| it.id != here);
        for other in others {
            registry::interrupt(other.id);
        }
        all.len() == 1
    };
    yield_until("all have ended", all_have_ended);
    assert!(registry::stuck().is_empty());
    said.len()
}

/// `GRAPESHOT_STUCK_SEEDS=10000` tries more.
#[test]
fn what_is_proved_never_goes_on_and_what_never_goes_on_is_proved() {
    let seeds = std::env::var("GRAPESHOT_STUCK_SEEDS").ok();
    let seeds = seeds.and_then(|it| it.parse().ok()).unwrap_or(100);
    let said = (0..seeds).map(|seed| naming(seed, || testing::run(seed, move || program(seed))));
    let said: Vec<usize> = said.collect();
    let verdicts: usize = said.iter().sum();
    let programs = said.iter().filter(|verdicts| **verdicts > 0).count();
    println!("{verdicts} verdicts in {programs} of {seeds} programs, all of them right");
    // Else nothing was tried.
    assert!(verdicts as u64 > seeds, "{verdicts} in {seeds} programs");
}

fn named(name: &str, body: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    Builder::new().name(name).spawn(body)
}

/// Certainty, name and the names of those who are needed.
fn told() -> Vec<(Certainty, String, Vec<String>)> {
    let found = registry::stuck();
    let name = |id: CoroutineId| registry::coroutine(id).map_or_else(String::new, |it| it.name);
    let line = |it: &registry::Stuck| {
        let needs = it.needs.iter().copied().map(name).collect();
        (it.certainty, it.name.clone(), needs)
    };
    found.iter().map(line).collect()
}

fn line(certainty: Certainty, name: &str, needs: &[&str]) -> (Certainty, String, Vec<String>) {
    let needs = needs.iter().map(|&it| it.to_owned()).collect();
    (certainty, name.to_owned(), needs)
}

/// Two take two mutexes in different orders; a third waits for one of the two, and is lost with them.
fn quarrel(limit: Option<Duration>) -> Vec<JoinHandle<()>> {
    let locks = [Arc::new(Mutex::new(())), Arc::new(Mutex::new(()))];
    let both = Arc::new(Event::new());
    let one = |name: &str, first: usize| {
        let (locks, both) = (locks.clone(), Arc::clone(&both));
        named(name, move || {
            let _own = locks[first].lock();
            both.wait();
            let take = || drop(locks[1 - first].lock());
            match limit {
                Some(limit) => drop(with_timeout(limit, take)),
                None => take(),
            }
        })
    };
    let (left, right) = (one("left", 0), one("right", 1));
    yield_until("both hold", || locks.iter().all(|it| it.is_locked()));
    let lock = Arc::clone(&locks[0]);
    let behind = named("behind", move || drop(lock.lock()));
    both.set();
    sleep(Duration::from_micros(1));
    vec![left, right, behind]
}

fn end(coroutines: Vec<JoinHandle<()>>) {
    coroutines.iter().for_each(JoinHandle::interrupt);
    coroutines.into_iter().for_each(|it| drop(it.join()));
    assert!(told().is_empty(), "it is over");
}

#[test]
fn a_circle_and_who_waits_for_it_are_proved() {
    for_each_seed(|_| {
        let all = quarrel(None);
        let expected = [
            line(Certainty::Proved, "left", &["right"]),
            line(Certainty::Proved, "right", &["left"]),
            line(Certainty::Proved, "behind", &["left"]),
        ];
        assert_eq!(told(), expected);
        let text = registry::stuck()[0].to_string();
        assert!(
            text.starts_with("proved: #") && text.contains("waits for mutex 0x"),
            "{text}"
        );
        assert!(text.contains(", which needs #"), "{text}");
        end(all);
    });
}

/// One reads and wants a mutex, another has that and wants to write.
fn reader_and_writer(limit: Option<Duration>) -> Vec<JoinHandle<()>> {
    let (map, file, both) = (
        Arc::new(RwLock::new(())),
        Arc::new(Mutex::new(())),
        Arc::new(Event::new()),
    );
    let (own_map, own_file, own_both) = (map.clone(), file.clone(), both.clone());
    let reader = named("reader", move || {
        let _map = own_map.read();
        own_both.wait();
        drop(own_file.lock());
    });
    let (own_map, own_file, own_both) = (map.clone(), file.clone(), both.clone());
    let writer = named("writer", move || {
        let _file = own_file.lock();
        own_both.wait();
        let write = || drop(own_map.write());
        match limit {
            Some(limit) => drop(with_timeout(limit, write)),
            None => write(),
        }
    });
    let both_hold = || map.statistics().readers == 1 && file.is_locked();
    yield_until("both hold", both_hold);
    both.set();
    sleep(Duration::from_micros(1));
    let late = named("late", move || drop(map.read()));
    sleep(Duration::from_micros(1));
    vec![reader, writer, late]
}

#[test]
fn who_waits_to_write_needs_who_reads() {
    for_each_seed(|_| {
        let all = reader_and_writer(None);
        // Who waits to read behind the writer goes on if that gives up, so nothing is said of it.
        let expected = [
            line(Certainty::Proved, "reader", &["writer"]),
            line(Certainty::Proved, "writer", &["reader"]),
        ];
        assert_eq!(told(), expected);
        assert_eq!(registry::deadlocks()[0].coroutines.len(), 2);
        end(all);
        let all = reader_and_writer(Some(Duration::from_secs(1)));
        let sure = told().iter().any(|it| it.0 == Certainty::Proved);
        assert!(!sure, "{:?}", told());
        end(all);
    });
}

#[test]
fn what_a_timeout_ends_is_not_proved() {
    for_each_seed(|_| {
        let all = quarrel(Some(Duration::from_secs(5)));
        let expected = [
            line(Certainty::Suspected, "left", &["right"]),
            line(Certainty::Suspected, "right", &["left"]),
        ];
        assert_eq!(told(), expected);
        sleep(Duration::from_secs(6));
        assert!(told().is_empty());
        end(all);
    });
}

/// The owner of a scope holds what its child wants.
#[test]
fn a_scope_that_waits_for_its_child_is_seen_through() {
    for_each_seed(|_| {
        let lock = Arc::new(Mutex::new(()));
        let parent = named("parent", move || {
            let _held = lock.lock();
            scope(|scope| {
                let child = Builder::new().name("child");
                child.spawn_scoped(scope, || drop(lock.lock()));
            });
        });
        sleep(Duration::from_micros(1));
        let expected = [
            line(Certainty::Proved, "parent", &["child"]),
            line(Certainty::Proved, "child", &["parent"]),
        ];
        assert_eq!(told(), expected);
        end(vec![parent]);
    });
}

#[test]
fn on_several_workers_too() {
    crate::run(|| {
        let found = |name: &str, all: &[registry::Stuck]| {
            all.iter()
                .any(|it| it.name == name && it.certainty == Certainty::Proved)
        };
        let all = quarrel(None);
        yield_until("all three are found", || {
            let stuck = registry::stuck();
            ["left", "right", "behind"]
                .iter()
                .all(|name| found(name, &stuck))
        });
        end(all);
    });
}
