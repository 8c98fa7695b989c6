//! Locks that are taken in different orders.
//!
//! ```text
//!   one coroutine has A and takes B        A ──▶ B ─┐
//!   another one has B and takes A          ▲        │     a circle: some day both have one and wait for the other
//!                                          └────────┘
//! ```
//!
//! A circle is nothing if one coroutine made all of it, if a further lock is always held around it, or if everybody only reads
//! one of its locks.

use std::collections::{HashMap, HashSet};
use std::panic::Location;
use std::sync::atomic::{AtomicU32, Ordering};

use super::spawned_at;

/// Orders that are known. Beyond that all are forgotten.
const KNOWN: usize = 8192;
/// Locks that are followed in the search for a circle.
const FOLLOWED: usize = 512;

/// The number of a lock that was watched; 0: it never was.
pub(crate) struct LockId(AtomicU32);

impl LockId {
    pub(crate) const fn none() -> Self {
        Self(AtomicU32::new(0))
    }

    /// It gets one when it is first asked for.
    pub(super) fn number(&self) -> u32 {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = self.0.load(Ordering::Relaxed);
        if number != 0 {
            return number;
        }
        let fresh = NEXT.fetch_add(1, Ordering::Relaxed);
        let (now, before) = (Ordering::Relaxed, Ordering::Relaxed);
        match self.0.compare_exchange(0, fresh, now, before) {
            Ok(_) => fresh,
            Err(number) => number,
        }
    }
}

/// A lock that a coroutine has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) lock: u32,
    /// Together with others.
    pub(super) reads: bool,
    /// Where it was taken.
    pub(super) site: &'static Location<'static>,
}

/// Which lock was taken while which other one was held, by the coroutines of one runtime.
#[derive(Default)]
pub(super) struct Graph {
    orders: HashMap<(u32, u32), Order>,
    after: HashMap<u32, Vec<u32>>,
    /// Pairs of which it was said, the smaller number first.
    told: HashSet<(u32, u32)>,
}

#[derive(Clone)]
struct Order {
    first: Held,
    second: Held,
    /// The coroutine that did it, and whether others have since.
    by: u64,
    by_others: bool,
    /// What else was held each time.
    under: Vec<u32>,
}

impl Graph {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// `coroutine`, which has `held`, has taken `next` too. What is wrong with that, if it is news.
    pub(super) fn take(&mut self, coroutine: u64, held: &[Held], next: Held) -> Option<String> {
        if held.iter().any(|it| it.lock == next.lock) {
            return None;
        }
        let mut wrong = None;
        for first in held {
            let under = held.iter().map(|it| it.lock);
            let under = under.filter(|lock| *lock != first.lock).collect();
            let order = Order {
                first: *first,
                second: next,
                by: coroutine,
                by_others: false,
                under,
            };
            if self.note(order) {
                wrong = wrong.or_else(|| self.circle(first.lock, next.lock));
            }
        }
        wrong
    }

    /// True: there is something new in it.
    fn note(&mut self, order: Order) -> bool {
        let key = (order.first.lock, order.second.lock);
        let Some(known) = self.orders.get_mut(&key) else {
            if self.orders.len() == KNOWN {
                self.clear();
            }
            self.after.entry(key.0).or_default().push(key.1);
            self.orders.insert(key, order);
            return true;
        };
        let before = (
            known.by_others,
            known.under.len(),
            known.first.reads,
            known.second.reads,
        );
        known.by_others |= known.by != order.by;
        known.under.retain(|lock| order.under.contains(lock));
        // Where it was taken to write says more.
        for (known, now) in [
            (&mut known.first, order.first),
            (&mut known.second, order.second),
        ] {
            if known.reads && !now.reads {
                *known = now;
            }
        }
        before
            != (
                known.by_others,
                known.under.len(),
                known.first.reads,
                known.second.reads,
            )
    }

    /// The way back from `second` to `first`, in words, if there is one and it may bite.
    fn circle(&mut self, first: u32, second: u32) -> Option<String> {
        let back = self.way(second, first)?;
        let mut orders = vec![&self.orders[&(first, second)]];
        orders.extend(
            back.windows(2)
                .map(|step| &self.orders[&(step[0], step[1])]),
        );
        let alone = orders
            .iter()
            .all(|it| !it.by_others && it.by == orders[0].by);
        let guarded = |lock: &u32| orders.iter().all(|it| it.under.contains(lock));
        let next = orders.iter().cycle().skip(1);
        let shared = |(one, next): (&&Order, &&Order)| one.second.reads && next.first.reads;
        if alone
            || orders[0].under.iter().any(guarded)
            || orders.iter().zip(next).any(shared)
            || self.told.contains(&(first.min(second), first.max(second)))
        {
            return None;
        }
        let place = |held: &Held| spawned_at(held.site);
        let mut what = format!(
            "it has a lock that was taken at {} and takes another one here",
            place(&orders[0].first)
        );
        for (number, order) in orders[1..].iter().enumerate() {
            let before = if number == 0 { "; but #" } else { ", and #" };
            what += &format!(
                "{before}{} took {} at {}, and then {} at {}",
                order.by,
                if number == 0 { "that one" } else { "that" },
                place(&order.first),
                if number + 2 == orders.len() {
                    "the first"
                } else {
                    "one more"
                },
                place(&order.second)
            );
        }
        self.told.insert((first.min(second), first.max(second)));
        Some(what)
    }

    /// The locks on a way along known orders, both ends included.
    fn way(&self, from: u32, to: u32) -> Option<Vec<u32>> {
        let mut met: HashMap<u32, u32> = HashMap::from([(from, from)]);
        let mut queue = vec![from];
        let mut at = 0;
        while let Some(&lock) = queue.get(at).filter(|_| at < FOLLOWED) {
            at += 1;
            if lock == to {
                let mut way = vec![to];
                while way[way.len() - 1] != from {
                    way.push(met[&way[way.len() - 1]]);
                }
                way.reverse();
                return Some(way);
            }
            for next in self.after.get(&lock).into_iter().flatten() {
                if !met.contains_key(next) {
                    met.insert(*next, lock);
                    queue.push(*next);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(lock: u32) -> Held {
        Held {
            lock,
            reads: false,
            site: Location::caller(),
        }
    }

    fn reads(lock: u32) -> Held {
        Held {
            reads: true,
            ..held(lock)
        }
    }

    /// Each coroutine takes its locks one after the other; the last of them says what is wrong.
    fn wrong(programs: &[(u64, &[Held])]) -> Option<String> {
        let mut graph = Graph::default();
        let mut said = None;
        for (coroutine, locks) in programs {
            for taken in 0..locks.len() {
                said = graph.take(*coroutine, &locks[..taken], locks[taken]);
            }
        }
        said
    }

    #[test]
    fn two_orders_of_two_locks() {
        let (a, b) = (held(1), held(2));
        let said = wrong(&[(7, &[a, b]), (8, &[b, a])]).unwrap();
        assert!(
            said.starts_with("it has a lock that was taken at order.rs:"),
            "{said}"
        );
        assert!(said.contains("but #7 took that one at order.rs:"), "{said}");
        assert_eq!(wrong(&[(7, &[a, b]), (8, &[a, b])]), None);
        assert_eq!(wrong(&[(7, &[a, b]), (7, &[b, a])]), None, "alone");
        let later = [(7, &[a, b][..]), (7, &[b, a]), (8, &[a, b])];
        assert!(wrong(&later).is_some(), "not alone any more");
        let twice = [(7, &[a, b][..]), (8, &[b, a]), (9, &[b, a])];
        assert_eq!(wrong(&twice), None, "told once");
    }

    #[test]
    fn a_circle_of_three() {
        let [a, b, c] = [1, 2, 3].map(held);
        assert_eq!(wrong(&[(7, &[a, b]), (8, &[b, c]), (9, &[a, c])]), None);
        let said = wrong(&[(7, &[a, b]), (8, &[b, c]), (9, &[c, a])]).unwrap();
        assert!(said.contains("#7") && said.contains("#8"), "{said}");
    }

    #[test]
    fn a_lock_around_both_makes_it_safe() {
        let [a, b, gate] = [1, 2, 3].map(held);
        assert_eq!(wrong(&[(7, &[gate, a, b]), (8, &[gate, b, a])]), None);
        let once = [(7, &[gate, a, b][..]), (8, &[gate, b, a]), (8, &[b, a])];
        assert!(wrong(&once).is_some(), "but not if it is not always there");
    }

    #[test]
    fn readers_do_not_wait_for_each_other() {
        let (a, b) = (held(1), held(2));
        assert_eq!(wrong(&[(7, &[reads(1), b]), (8, &[b, reads(1)])]), None);
        assert!(wrong(&[(7, &[reads(1), b]), (8, &[b, a])]).is_some());
    }

    #[test]
    fn what_is_too_much_is_forgotten() {
        let mut graph = Graph::default();
        for lock in 0..3 * KNOWN as u32 {
            graph.take(7, &[held(lock)], held(lock + 1));
        }
        assert!(graph.orders.len() <= KNOWN && graph.after.len() <= KNOWN);
    }
}
