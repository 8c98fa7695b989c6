//! Which coroutines `ps` shows, and in what order.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::time::Duration;

use grapeshot::CoroutineId;
use grapeshot::registry::CoroutineInfo;
use rhai::{Dynamic, EvalAltResult, Map};

use crate::language::failed;
use crate::limits;
use crate::runtimes::Seen;

/// What `ps(#{..})` takes.
const OPTIONS: &str = "name, state, waits_for, worker, longer, sort, reverse and limit";

/// What it sorts by.
const COLUMNS: &str = "id, name, state, waits_for, since, cpu, switches and worker";

/// Fewer are not worth a look at what is kept.
const SOME: usize = 256;

/// What is wanted of all coroutines.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    name: String,
    state: Option<String>,
    waits_for: Option<String>,
    worker: Option<String>,
    longer: Duration,
    sort: Sort,
    reverse: bool,
    pub(super) limit: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Id,
    Name,
    State,
    WaitsFor,
    Since,
    Cpu,
    Switches,
    Worker,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            name: String::new(),
            state: None,
            waits_for: None,
            worker: None,
            longer: Duration::ZERO,
            sort: Sort::Id,
            reverse: false,
            limit: limits::PS_ROWS,
        }
    }
}

impl Filter {
    pub(super) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    pub(super) fn of(options: &Map) -> Result<Self, Box<EvalAltResult>> {
        let mut filter = Self::default();
        for (option, value) in options {
            filter.set(option, value).map_err(|error| failed(&error))?;
        }
        Ok(filter)
    }

    fn set(&mut self, option: &str, value: &Dynamic) -> Result<(), String> {
        let known = self.try_set(option, value);
        let known = known.map_err(|wanted| format!("ps: {option}: {wanted}, not {value:?}"))?;
        known.ok_or_else(|| format!("ps has no option `{option}`: there are {OPTIONS}"))
    }

    /// None, if there is no such option; an error says what is wanted for it.
    fn try_set(&mut self, option: &str, value: &Dynamic) -> Result<Option<()>, String> {
        let text = || {
            let text = value.clone().into_string();
            text.map_err(|_| "text wanted".to_owned())
        };
        match option {
            "name" => self.name = text()?,
            "state" => self.state = Some(text()?),
            "waits_for" => self.waits_for = Some(text()?),
            "worker" => self.worker = Some(value.to_string()),
            "longer" => {
                let seconds = value
                    .as_float()
                    .or_else(|_| value.as_int().map(|it| it as f64));
                let longer = seconds.ok().map(Duration::try_from_secs_f64);
                self.longer = longer
                    .and_then(Result::ok)
                    .ok_or("a number of seconds wanted")?;
            }
            "sort" => {
                self.sort = match text()?.as_str() {
                    "id" => Sort::Id,
                    "name" => Sort::Name,
                    "state" => Sort::State,
                    "waits_for" => Sort::WaitsFor,
                    "since" => Sort::Since,
                    "cpu" => Sort::Cpu,
                    "switches" => Sort::Switches,
                    "worker" => Sort::Worker,
                    _ => return Err(format!("one of the columns {COLUMNS} wanted")),
                };
            }
            "reverse" => {
                self.reverse = value
                    .as_bool()
                    .map_err(|_| "true or false wanted".to_owned())?;
            }
            "limit" => {
                let limit = value.as_int().ok().and_then(|it| usize::try_from(it).ok());
                self.limit = limit.ok_or("a number wanted")?.min(limits::PS_ROWS);
            }
            _ => return Ok(None),
        }
        Ok(Some(()))
    }

    /// Whether it is wanted.
    pub(super) fn takes(&self, seen: &Seen) -> bool {
        let info = &seen.info;
        let worker = || match (seen.thread, info.worker) {
            (Some(thread), _) => thread.to_owned(),
            (None, Some(worker)) => worker.to_string(),
            (None, None) => String::new(),
        };
        let waits = |wanted: &String| {
            let wait = info.waits_for.as_ref();
            wait.is_some_and(|wait| wait.to_string().contains(wanted))
        };
        (self.name.is_empty() || info.name.contains(&self.name))
            && self
                .state
                .as_ref()
                .is_none_or(|it| *it == info.state.to_string())
            && self.waits_for.as_ref().is_none_or(waits)
            && self.worker.as_ref().is_none_or(|it| *it == worker())
            && (self.longer.is_zero() || lasts(info) >= self.longer)
    }

    /// The first in order, `limit` at most, of all that are taken; and how many were.
    pub(super) fn pick(&self) -> Pick<'_> {
        Pick {
            filter: self,
            kept: Vec::new(),
            bound: None,
            taken: 0,
        }
    }

    fn key(&self, info: &CoroutineInfo) -> Key {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        // Numbers that tell what is large have the largest first.
        let most = |number: u64| (u64::MAX - number, String::new());
        let text = |text: String| (0, text);
        let (number, text) = match self.sort {
            Sort::Id => (info.id.0, String::new()),
            Sort::Name => text(info.name.clone()),
            Sort::State => text(info.state.to_string()),
            Sort::WaitsFor => {
                let wait = info.waits_for.as_ref();
                text(wait.map_or_else(String::new, ToString::to_string))
            }
            Sort::Since => most(nanos(lasts(info))),
            Sort::Cpu => most(nanos(info.cpu)),
            Sort::Switches => most(info.switches),
            Sort::Worker => (info.worker.map_or(u64::MAX, |it| it as u64), String::new()),
        };
        Key {
            number,
            text,
            id: info.id,
            reverse: self.reverse,
        }
    }
}

/// For how long it has waited, or has run without suspending.
fn lasts(info: &CoroutineInfo) -> Duration {
    let waited = info.waits_for.as_ref().map(|wait| wait.since);
    waited.or(info.runs_for).unwrap_or_default()
}

/// Keeps the first in order of those that it is given.
pub(super) struct Pick<'a> {
    filter: &'a Filter,
    /// In no order, at most twice as many as are wanted.
    kept: Vec<(Key, Box<Seen>)>,
    /// Among so many seen before, this was the last that was wanted.
    bound: Option<Key>,
    taken: usize,
}

impl Pick<'_> {
    pub(super) fn put(&mut self, seen: Seen) {
        if !self.filter.takes(&seen) {
            return;
        }
        self.taken += 1;
        let key = self.filter.key(&seen.info);
        if self.bound.as_ref().is_some_and(|bound| key > *bound) {
            return;
        }
        self.kept.push((key, Box::new(seen)));
        if self.kept.len() >= 2 * self.filter.limit.max(SOME) {
            self.prune();
        }
    }

    fn prune(&mut self) {
        let limit = self.filter.limit;
        if limit == 0 {
            self.kept.clear();
        } else if limit < self.kept.len() {
            let (_, (last, _), _) = self
                .kept
                .select_nth_unstable_by(limit - 1, |(a, _), (b, _)| a.cmp(b));
            self.bound = Some(last.clone());
            self.kept.truncate(limit);
        }
    }

    /// They, in order, and how many there were.
    pub(super) fn end(mut self) -> (Vec<Seen>, usize) {
        self.prune();
        self.kept.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        // One that moved while it was looked at may have come twice, and is one.
        let mut ids = HashSet::with_capacity(self.kept.len());
        let all = self.kept.len();
        self.kept.retain(|(_, seen)| ids.insert(seen.info.id));
        self.taken -= all - self.kept.len();
        let seen = self.kept.into_iter().map(|(_, seen)| *seen);
        (seen.collect(), self.taken)
    }
}

/// Where one stands in the order.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    number: u64,
    text: String,
    id: CoroutineId,
    reverse: bool,
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = (self.number, &self.text, self.id).cmp(&(other.number, &other.text, other.id));
        if self.reverse { order.reverse() } else { order }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_seen_twice_is_one() {
        let info = grapeshot::run(|| grapeshot::registry::coroutines().pop().expect("this one"));
        for sort in [Sort::Id, Sort::Cpu] {
            let filter = Filter {
                sort,
                ..Filter::default()
            };
            let mut pick = filter.pick();
            for milliseconds in [1, 2, 1] {
                let mut info = info.clone();
                info.cpu = Duration::from_millis(milliseconds);
                pick.put(Seen { info, thread: None });
            }
            let (found, taken) = pick.end();
            assert_eq!((found.len(), taken), (1, 1));
        }
    }
}
