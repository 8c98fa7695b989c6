//! Why a coroutine took so long: backwards along wakes, locks and joins.
//!
//! A time of one coroutine is cut into what it did. Where it waited and somebody ended that, the same is asked of whoever did,
//! for just that time; where it was ready, its worker was somebody else's. So the parts that are left fill the time without a
//! gap, and sum to it.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use super::event::{Actor, Wait};
use super::history::{History, State};
use super::recording::Recording;
use crate::sched::record::shown;
use crate::sched::spawn::CoroutineId;
use crate::sched::wait::WaitKind;

/// Hops that are followed at most.
const DEPTH: usize = 16;

/// Why a coroutine did not go on, from it to whoever is to blame. `Display` gives a sentence a hop.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Why {
    /// It is so now, and nothing is over yet.
    pub live: bool,
    /// The time that is explained.
    pub lasted: Duration,
    /// What the coroutine did for most of it, then what whoever it waited for did, and so on.
    pub hops: Vec<Hop>,
    /// All of the time, part by part, the longest first. They sum to `lasted`. Of a live answer, only if events are recorded.
    pub parts: Vec<Part>,
}

/// One coroutine on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hop {
    /// Who.
    pub id: CoroutineId,
    /// Its name.
    pub name: String,
    /// What it did, or does.
    pub doing: Doing,
    /// For how long, of the time in question.
    pub lasted: Duration,
    /// Where it is, if it could be asked.
    pub place: Option<String>,
    /// How it depends on the next one, if there is a next one.
    pub link: Option<Link>,
}

/// What a coroutine did for a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Doing {
    /// It ran.
    Ran {
        /// On this worker.
        worker: Option<usize>,
    },
    /// It could run, but its worker ran others.
    Queued {
        /// The worker.
        worker: Option<usize>,
    },
    /// It was suspended in this blocking call.
    Waited {
        /// The call and its object.
        what: String,
    },
    /// It was over.
    Ended,
    /// The recording does not say.
    Unknown,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = |worker: &Option<usize>| {
            worker.map_or(String::new(), |worker| format!(" on worker {worker}"))
        };
        match self {
            Self::Ran { worker } => write!(f, "ran{}", on(worker)),
            Self::Queued { worker } => write!(f, "waited for a turn{}", on(worker)),
            Self::Waited { what } => write!(f, "waited for {what}"),
            Self::Ended => f.write_str("had ended"),
            Self::Unknown => f.write_str("is not known to have done anything"),
        }
    }
}

/// How one coroutine depends on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Link {
    /// The other has the lock.
    HeldBy,
    /// It waits for the other's end.
    EndOf,
    /// The other ended the wait.
    WokenBy,
    /// The other ended such a wait before. Whether it will again, nobody knows.
    LastWokenBy,
    /// The other is on the processor.
    Behind,
}

/// A part of the time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// Who.
    pub id: CoroutineId,
    /// Its name.
    pub name: String,
    /// What it did.
    pub doing: Doing,
    /// For whom it was queued, if it was.
    pub behind: Option<CoroutineId>,
    /// For how long.
    pub lasted: Duration,
}

impl Recording {
    /// Why a coroutine took from `from` to `to`, both since the start of the recording: what it did for most of that, whom it
    /// waited for then, what that one did meanwhile, and so on.
    pub fn why(&self, id: CoroutineId, from: Duration, to: Duration) -> Why {
        let history = History::of(self);
        let to = to.max(from);
        let mut search = Search {
            recording: self,
            history: &history,
            parts: HashMap::new(),
            under_way: Vec::new(),
        };
        let hops = search.explain(id, from, to);
        let mut parts: Vec<Part> = search
            .parts
            .into_iter()
            .map(|((id, doing, behind), lasted)| Part {
                id,
                name: self.name(id),
                doing,
                behind,
                lasted,
            })
            .collect();
        parts.sort_by(|one, other| other.lasted.cmp(&one.lasted).then(one.id.cmp(&other.id)));
        Why {
            live: false,
            lasted: to - from,
            hops,
            parts,
        }
    }

    /// The longest waits, the longest first, at most `most`: who waited, for what, from when to when. A wait that was on when
    /// the recording ended lasts until then.
    pub fn longest_waits(&self, most: usize) -> Vec<(CoroutineId, Wait, Duration, Duration)> {
        let history = History::of(self);
        let mut waits = Vec::new();
        for id in history.coroutines() {
            for segment in history.all(id) {
                if let State::Waits { wait, .. } = segment.state {
                    waits.push((id, wait, segment.from, segment.to));
                }
            }
        }
        waits.sort_by_key(|(id, _, from, to)| (std::cmp::Reverse(*to - *from), *id));
        waits.truncate(most);
        waits
    }

    /// The longest times for which a coroutine held its worker, the longest first, at most `most`: who, which worker, from when
    /// to when.
    pub fn longest_runs(&self, most: usize) -> Vec<(CoroutineId, usize, Duration, Duration)> {
        let history = History::of(self);
        let mut runs = Vec::new();
        for id in history.coroutines() {
            for segment in history.all(id) {
                if let State::Runs {
                    worker: Some(worker),
                } = segment.state
                {
                    runs.push((id, worker, segment.from, segment.to));
                }
            }
        }
        runs.sort_by_key(|(id, _, from, to)| (std::cmp::Reverse(*to - *from), *id));
        runs.truncate(most);
        runs
    }
}

type Key = (CoroutineId, Doing, Option<CoroutineId>);

struct Search<'a> {
    recording: &'a Recording,
    history: &'a History,
    parts: HashMap<Key, Duration>,
    /// Of whom is being asked.
    under_way: Vec<CoroutineId>,
}

/// What a coroutine did in the same way at several times.
struct Sum {
    doing: Doing,
    lasted: Duration,
    /// Of the longest of them.
    longest: Duration,
    link: Option<Link>,
    next: Vec<Hop>,
}

impl Search<'_> {
    fn explain(&mut self, id: CoroutineId, from: Duration, to: Duration) -> Vec<Hop> {
        self.under_way.push(id);
        let mut sums: Vec<Sum> = Vec::new();
        let mut at = from;
        let history = self.history;
        for segment in history.segments(id, from, to) {
            if segment.from > at {
                self.leaf(&mut sums, id, Doing::Unknown, segment.from - at);
            }
            at = segment.to;
            let lasted = segment.to - segment.from;
            match segment.state {
                State::Runs { worker } => {
                    self.leaf(&mut sums, id, Doing::Ran { worker }, lasted);
                }
                State::Ready { worker } => {
                    let next = self.queued(id, worker, segment.from, segment.to);
                    let link = (!next.is_empty()).then_some(Link::Behind);
                    add(&mut sums, Doing::Queued { worker }, lasted, link, next);
                }
                State::Waits { wait, ended_by } => {
                    let what = self.recording.show(wait);
                    let doing = Doing::Waited { what };
                    let blamed = self.blame(wait, ended_by);
                    let blamed = blamed.filter(|(_, other)| {
                        self.under_way.len() < DEPTH && !self.under_way.contains(other)
                    });
                    match blamed {
                        Some((link, other)) => {
                            let next = self.explain(other, segment.from, segment.to);
                            add(&mut sums, doing, lasted, Some(link), next);
                        }
                        None => self.leaf(&mut sums, id, doing, lasted),
                    }
                }
            }
        }
        if to > at {
            self.leaf(&mut sums, id, Doing::Unknown, to - at);
        }
        self.under_way.pop();
        let Some(sum) = sums.into_iter().max_by_key(|sum| sum.lasted) else {
            return Vec::new();
        };
        let hop = Hop {
            id,
            name: self.recording.name(id),
            doing: sum.doing,
            lasted: sum.lasted,
            place: None,
            link: sum.link,
        };
        std::iter::once(hop).chain(sum.next).collect()
    }

    /// Who is to blame for a wait.
    fn blame(&self, wait: Wait, ended_by: Option<Actor>) -> Option<(Link, CoroutineId)> {
        let is_lock = matches!(
            wait.kind(),
            WaitKind::Mutex | WaitKind::RwLockRead | WaitKind::RwLockWrite
        );
        match ended_by {
            Some(Actor::Coroutine(by)) => {
                let link = match wait.kind() {
                    WaitKind::Join => Link::EndOf,
                    _ if is_lock => Link::HeldBy,
                    _ => Link::WokenBy,
                };
                Some((link, by))
            }
            Some(_) => None,
            None => {
                let (holder, is_sure) = self.history.holder(wait)?;
                let link = match wait.kind() {
                    WaitKind::Join => Link::EndOf,
                    _ if is_lock && is_sure => Link::HeldBy,
                    _ => Link::LastWokenBy,
                };
                Some((link, holder))
            }
        }
    }

    /// A part that nobody else explains.
    fn leaf(&mut self, sums: &mut Vec<Sum>, id: CoroutineId, doing: Doing, lasted: Duration) {
        *self.parts.entry((id, doing.clone(), None)).or_default() += lasted;
        add(sums, doing, lasted, None, Vec::new());
    }

    /// The time in which `id` was ready: others ran on its worker. Gives the one that did longest.
    fn queued(
        &mut self,
        id: CoroutineId,
        worker: Option<usize>,
        from: Duration,
        to: Duration,
    ) -> Vec<Hop> {
        let mut left = to - from;
        let mut others: HashMap<CoroutineId, Duration> = HashMap::new();
        let ran = worker.map(|worker| self.history.ran(worker, from, to));
        for (other, lasted) in ran.into_iter().flatten() {
            let lasted = lasted.min(left);
            *others.entry(other).or_default() += lasted;
            left -= lasted;
        }
        let doing = Doing::Queued { worker };
        let mut longest: Option<(Duration, CoroutineId)> = None;
        for (other, lasted) in others {
            *self
                .parts
                .entry((id, doing.clone(), Some(other)))
                .or_default() += lasted;
            longest = longest.max(Some((lasted, other)));
        }
        if !left.is_zero() {
            *self.parts.entry((id, doing, None)).or_default() += left;
        }
        let hop = longest.map(|(lasted, other)| Hop {
            id: other,
            name: self.recording.name(other),
            doing: Doing::Ran { worker },
            lasted,
            place: None,
            link: None,
        });
        hop.into_iter().collect()
    }
}

fn add(sums: &mut Vec<Sum>, doing: Doing, lasted: Duration, link: Option<Link>, next: Vec<Hop>) {
    match sums.iter_mut().find(|sum| sum.doing == doing) {
        Some(sum) => {
            sum.lasted += lasted;
            if lasted > sum.longest {
                (sum.longest, sum.link, sum.next) = (lasted, link, next);
            }
        }
        None => sums.push(Sum {
            doing,
            lasted,
            longest: lasted,
            link,
            next,
        }),
    }
}

impl Why {
    /// What a hop did, in this answer's tense.
    fn show(&self, f: &mut fmt::Formatter<'_>, doing: &Doing, lasted: Duration) -> fmt::Result {
        let on = |worker: &Option<usize>| {
            worker.map_or(String::new(), |worker| format!(" on worker {worker}"))
        };
        let (waited, ran) = if self.live {
            ("has waited", "has run")
        } else {
            ("waited", "ran")
        };
        match doing {
            Doing::Ran { worker } => write!(f, "{ran} {lasted:.1?}{}", on(worker)),
            Doing::Queued { worker } if self.live && lasted.is_zero() => {
                write!(f, "waits for a turn{}", on(worker))
            }
            Doing::Queued { worker } => {
                write!(f, "{waited} {lasted:.1?} for a turn{}", on(worker))
            }
            Doing::Waited { what } => write!(f, "{waited} {lasted:.1?} for {what}"),
            Doing::Ended => f.write_str("has ended"),
            Doing::Unknown => write!(f, "did something that was not recorded for {lasted:.1?}"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.hops.is_empty() {
            return f.write_str("nothing is known of it");
        }
        for (number, hop) in self.hops.iter().enumerate() {
            write!(f, "'{}' (#{})", shown(&hop.name), hop.id)?;
            if let Some(place) = &hop.place {
                write!(f, " at {place}")?;
            }
            f.write_str(if number == 0 { " " } else { ", which " })?;
            self.show(f, &hop.doing, hop.lasted)?;
            match hop.link {
                None => {}
                Some(Link::HeldBy) => f.write_str(", held by\n")?,
                Some(Link::EndOf) => f.write_str(", the end of\n")?,
                Some(Link::WokenBy) => f.write_str(", ended by\n")?,
                Some(Link::LastWokenBy) => f.write_str(", such waits were ended before by\n")?,
                Some(Link::Behind) => f.write_str(", behind\n")?,
            }
        }
        Ok(())
    }
}
