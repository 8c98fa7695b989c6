//! The best rows of very many, in order: no more than a page and what comes before it are kept at a time.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashSet};
use std::time::Duration;

use grapeshot::registry::CoroutineInfo;

use super::view::{Column, Search};
use crate::builtin::without_numbers;
use crate::runtimes::Seen;

/// A page of coroutines in the making.
pub(crate) struct Pick<'a> {
    search: &'a Search,
    /// The worst of those that are kept is on top.
    kept: BinaryHeap<Ranked>,
    looked_at: u64,
    matching: u64,
}

/// What a coroutine is sorted by; nothing comes behind everything, whichever way round it goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(u64),
    Text(String),
}

struct Ranked {
    key: Option<Key>,
    descending: bool,
    seen: Seen,
}

impl Ranked {
    fn compare(&self, other: &Self) -> Ordering {
        let keys = match (&self.key, &other.key) {
            (Some(a), Some(b)) if self.descending => b.cmp(a),
            (Some(a), Some(b)) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        };
        keys.then(self.seen.info.id.cmp(&other.seen.info.id))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compare(other)
    }
}

/// A page of them.
pub(crate) struct Picked {
    pub(crate) rows: Vec<Seen>,
    pub(crate) looked_at: u64,
    pub(crate) matching: u64,
}

impl<'a> Pick<'a> {
    pub(crate) fn new(search: &'a Search) -> Self {
        Self {
            search,
            kept: BinaryHeap::new(),
            looked_at: 0,
            matching: 0,
        }
    }

    pub(crate) fn offer(&mut self, seen: Seen) {
        self.looked_at += 1;
        if !matches(self.search, &seen.info) {
            return;
        }
        self.matching += 1;
        let (from, count) = (self.search.from as usize, self.search.count as usize);
        let ranked = Ranked {
            key: key(self.search.sort, &seen),
            descending: self.search.descending,
            seen,
        };
        if self.kept.len() < from + count {
            self.kept.push(ranked);
        } else if let Some(mut worst) = self.kept.peek_mut()
            && ranked < *worst
        {
            *worst = ranked;
        }
    }

    pub(crate) fn finish(self) -> Picked {
        let sorted = self.kept.into_sorted_vec().into_iter();
        let mut ids = HashSet::new();
        let once = sorted.filter(|ranked| ids.insert(ranked.seen.info.id));
        let rows = once
            .skip(self.search.from as usize)
            .map(|ranked| ranked.seen);
        Picked {
            rows: rows.collect(),
            looked_at: self.looked_at,
            matching: self.matching,
        }
    }
}

fn key(column: Column, seen: &Seen) -> Option<Key> {
    let info = &seen.info;
    let number =
        |duration: Duration| Key::Number(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    Some(match column {
        Column::Id => Key::Number(info.id.0),
        Column::Name => Key::Text(info.name.clone()),
        Column::State => Key::Text(info.state.to_string()),
        Column::WaitsFor => Key::Text(info.waits_for.as_ref()?.to_string()),
        Column::Since => number(since(info)?),
        Column::Cpu => number(info.cpu),
        Column::Switches => Key::Number(info.switches),
        Column::Worker => match seen.thread {
            Some(thread) => Key::Text(thread.to_owned()),
            None => Key::Number(info.worker? as u64),
        },
        Column::Age => number(info.age),
    })
}

/// For how long it has waited, or has run without suspending.
pub(crate) fn since(info: &CoroutineInfo) -> Option<Duration> {
    let waited = info.waits_for.as_ref().map(|wait| wait.since);
    waited.or(info.runs_for)
}

fn matches(search: &Search, info: &CoroutineInfo) -> bool {
    if let Some(group) = &search.group
        && without_numbers(&info.name) != *group
    {
        return false;
    }
    if let Some(state) = &search.state
        && info.state.to_string() != *state
    {
        return false;
    }
    let text = search.text.trim();
    text.is_empty()
        || contains(&info.name, text)
        || text.parse() == Ok(info.id.0)
        || contains(info.site.file(), text)
        || info
            .waits_for
            .as_ref()
            .is_some_and(|wait| contains(&wait.to_string(), text))
}

/// Whatever the case of ASCII letters.
fn contains(text: &str, part: &str) -> bool {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    text.windows(part.len())
        .any(|window| window.eq_ignore_ascii_case(part))
}

#[cfg(test)]
mod tests {
    use grapeshot::{Builder, RuntimeHandle};

    use super::*;

    fn search(sort: Column, descending: bool, from: u32, count: u32) -> Search {
        Search {
            text: String::new(),
            group: None,
            state: None,
            sort,
            descending,
            from,
            count,
        }
    }

    /// Real coroutines, in an order that the seed makes.
    fn some() -> Vec<Seen> {
        let runtime = RuntimeHandle::of_spawns();
        let all = runtime.walk();
        all.map(|info| Seen { info, thread: None }).collect()
    }

    fn pick(search: &Search, all: Vec<Seen>) -> Picked {
        let mut pick = Pick::new(search);
        all.into_iter().for_each(|seen| pick.offer(seen));
        pick.finish()
    }

    #[test]
    fn a_page_is_the_same_slice_that_sorting_all_would_give() {
        grapeshot::testing::run(3, || {
            let sleepers: Vec<_> = (0..60)
                .map(|n| {
                    let builder = Builder::new().name(format!("npc-{:02}", n * 7 % 60));
                    builder.spawn(|| grapeshot::sleep(Duration::from_secs(9)))
                })
                .collect();
            grapeshot::sleep(Duration::from_secs(1));
            for descending in [false, true] {
                for from in [0, 1, 25, 59, 70] {
                    let wanted = Search {
                        text: "NPC-".into(),
                        ..search(Column::Name, descending, from, 10)
                    };
                    let page = pick(&wanted, some());
                    let mut names: Vec<_> = (0..60).map(|n| format!("npc-{n:02}")).collect();
                    if descending {
                        names.reverse();
                    }
                    let right: Vec<_> = names.into_iter().skip(from as usize).take(10).collect();
                    let got: Vec<_> = page.rows.into_iter().map(|seen| seen.info.name).collect();
                    assert_eq!(got, right, "from {from}, descending: {descending}");
                    assert_eq!(page.matching, 60);
                    assert!(page.looked_at > 60, "this coroutine is one, too");
                }
            }
            sleepers.iter().for_each(|sleeper| sleeper.interrupt());
        });
    }

    #[test]
    fn what_waits_for_nothing_comes_last_whichever_way_round() {
        grapeshot::testing::run(3, || {
            let sleeper = Builder::new().name("sleeper");
            let sleeper = sleeper.spawn(|| grapeshot::sleep(Duration::from_secs(9)));
            grapeshot::sleep(Duration::from_secs(1));
            for descending in [false, true] {
                let page = pick(&search(Column::WaitsFor, descending, 0, 10), some());
                assert_eq!(page.rows[0].info.name, "sleeper");
                assert!(page.rows.last().unwrap().info.waits_for.is_none());
            }
            sleeper.interrupt();
        });
    }

    #[test]
    fn one_that_was_met_twice_is_shown_once() {
        grapeshot::testing::run(3, || {
            let twice: Vec<_> = some().into_iter().chain(some()).collect();
            assert_eq!(
                pick(&search(Column::Id, false, 0, 10), twice).rows.len(),
                some().len()
            );
        });
    }

    #[test]
    fn groups_states_and_ids_narrow_it() {
        grapeshot::testing::run(3, || {
            let named = |name: &str| Builder::new().name(name.to_owned());
            let nap = || grapeshot::sleep(Duration::from_secs(9));
            let all = [
                named("npc-1").spawn(nap),
                named("npc-2").spawn(nap),
                named("npc").spawn(nap),
            ];
            grapeshot::sleep(Duration::from_secs(1));
            let found = |change: fn(&mut Search)| {
                let mut wanted = search(Column::Id, false, 0, 10);
                change(&mut wanted);
                pick(&wanted, some()).matching
            };
            assert_eq!(found(|it| it.group = Some("npc-*".into())), 2);
            assert_eq!(found(|it| it.state = Some("waiting".into())), 3);
            assert_eq!(found(|it| it.state = Some("running".into())), 1);
            assert_eq!(found(|it| it.text = "Sleep".into()), 3);
            let id = all[2].id();
            let mut wanted = search(Column::Id, false, 0, 10);
            wanted.text = id.to_string();
            assert_eq!(pick(&wanted, some()).rows[0].info.id, id);
            all.iter().for_each(|one| one.interrupt());
        });
    }
}
