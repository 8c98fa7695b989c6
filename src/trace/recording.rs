//! What a stream said, as far as it was still there.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, SystemTime};

use super::event::{Event, Reader, Runs, Wait, What, code};
use super::layout::{
    self, LABEL, LABELS, Layout, NOTE, NOTES, SEAT, SEAT_NAME, SITE, SITES, header,
};
use super::ring;
use super::stream::{Stream, WHAT};
use crate::sched::spawn::CoroutineId;

/// The events of a runtime in the order of time, as far as they were still there, and the names of those that they are about.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Recording {
    /// In the order of time over all the workers.
    pub events: Vec<Event>,
    /// What is missing.
    pub losses: Losses,
    /// How many workers the runtime has.
    pub workers: usize,
    /// When the stream was started.
    pub started: SystemTime,
    /// The program's name, as it was called.
    pub program: String,
    /// Its process id.
    pub process: u32,
    /// The latest moment that is known of, since the start.
    pub until: Duration,
    /// The runtime had ended.
    pub ended: bool,
    /// What was noticed of coroutines, such as that one held its worker: the latest last.
    pub notes: Vec<Note>,
    names: HashMap<CoroutineId, Name>,
    /// Address, size and name.
    labels: Vec<(u64, u64, String)>,
    /// The latest event of each worker, and who ran after it.
    pub(super) ends: Vec<(Duration, Runs)>,
    /// Who was suspended, since when, for what: also those whose events are overwritten.
    pub(super) waiting: Vec<(CoroutineId, Duration, Wait)>,
}

/// Events that a recording does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Losses {
    /// The rings are of a fixed size: so many were overwritten by later ones.
    pub overwritten: u64,
    /// So many were not what was written: the file is damaged, or was copied while it was written.
    pub torn: u64,
    /// Of so many it is not known whom they are about, since what came before is overwritten.
    pub adrift: u64,
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} events overwritten, {} torn, {} whose coroutine is not known",
            self.overwritten, self.torn, self.adrift
        )
    }
}

/// Something that was noticed of a coroutine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Note {
    /// When, since the start.
    pub at: Duration,
    /// Of whom.
    pub coroutine: CoroutineId,
    /// What, with a backtrace on further lines if there is one.
    pub text: String,
}

/// What a coroutine is called.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    given: String,
    /// The place that spawned it.
    site: Option<(String, u32)>,
}

impl Name {
    fn show(&self) -> Option<String> {
        if !self.given.is_empty() {
            return Some(self.given.clone());
        }
        let (file, line) = self.site.as_ref()?;
        let file = file.rsplit('/').next().unwrap_or_default();
        Some(format!("{file}:{line}"))
    }
}

/// What a seat says: whose it is, what that is called, and what it does since when, if it waits.
type Seat = (CoroutineId, Name, Option<(Duration, Wait)>);

fn read_seat(
    load: &impl Fn(usize) -> u64,
    layout: Layout,
    at: usize,
    times: &Times,
) -> Option<Seat> {
    let id = load(at);
    fence(Ordering::Acquire);
    let words = entry(load, at, SEAT);
    fence(Ordering::Acquire);
    // It may be given to another one at this moment.
    if id == 0 || load(at) != id {
        return None;
    }
    let (number, len) = (words[1] >> 32, words[1] & u64::from(u32::MAX));
    let name = Name {
        given: layout::unpack(&words[SEAT_NAME..], len),
        site: read_site(load, layout, number),
    };
    let what = (words[2] >> WHAT) as u8;
    let waits = (what < code::KINDS && words[2] != 0).then(|| {
        let since = times.after(words[2] & ((1 << WHAT) - 1));
        let owner = (words[4] != 0).then_some(CoroutineId(words[4]));
        let wait = Wait {
            kind: what,
            object: words[3],
            owner,
        };
        (since, wait)
    });
    Some((CoroutineId(id), name, waits))
}

/// All seats of all workers.
fn seats(load: &impl Fn(usize) -> u64, layout: Layout, times: &Times) -> Vec<Seat> {
    let rings = 0..layout.rings - 1;
    let places = rings.flat_map(|ring| (0..layout.seats).map(move |seat| layout.seat(ring, seat)));
    places
        .filter_map(|at| read_seat(load, layout, at, times))
        .collect()
}

/// What those are called that have a seat.
pub(super) fn names(load: &impl Fn(usize) -> u64, layout: Layout) -> HashMap<CoroutineId, String> {
    let seats = seats(load, layout, &Times::read(load)).into_iter();
    seats
        .filter_map(|(id, name, _)| Some((id, name.show()?)))
        .collect()
}

fn read_site(load: &impl Fn(usize) -> u64, layout: Layout, number: u64) -> Option<(String, u32)> {
    let number = usize::try_from(number).ok().filter(|it| *it <= SITES)?;
    let words = entry(load, layout.site(number.checked_sub(1)?), SITE);
    let file = layout::unpack(&words[1..], words[0] & u64::from(u32::MAX));
    (!file.is_empty()).then_some((file, (words[0] >> 32) as u32))
}

impl Recording {
    /// What is in a stream now.
    pub(super) fn of(stream: &Stream) -> Self {
        let load = |at: usize| stream.words[at].load(Ordering::Relaxed);
        Self::read(&load, stream.layout)
    }

    /// What is in the words of a stream, which are as many as the layout says.
    pub(super) fn read(load: &impl Fn(usize) -> u64, layout: Layout) -> Self {
        let times = Times::read(load);
        let mut stamped = Vec::new();
        let (mut losses, mut ends) = (Losses::default(), Vec::new());
        for number in 0..layout.rings {
            let worker = (number + 1 < layout.rings).then_some(number);
            let (mut reader, mut events) = (Reader::new(worker), Vec::new());
            let copy = ring::copy(load, layout, number, 0);
            if copy.from == 0 && worker.is_some() {
                reader.runs = Runs::Nobody;
            }
            reader.read(&copy, layout.events, &mut events);
            losses.overwritten = losses.overwritten.saturating_add(copy.from);
            losses.torn += reader.torn;
            losses.adrift += reader.adrift;
            if worker.is_some() {
                let latest = events.last().map_or(Duration::ZERO, |it| times.at(it.0));
                ends.push((latest, reader.runs));
            }
            stamped.extend(events.into_iter().map(|(stamp, coroutine, what)| Event {
                at: times.at(stamp),
                worker,
                coroutine,
                what,
            }));
        }
        // Stable: what one worker did keeps its order.
        stamped.sort_by_key(|event| event.at);
        let beat = times.at(load(header::BEAT));
        let text = |at: usize, words: usize, len: u64| {
            let words: Vec<u64> = (at..at + words).map(load).collect();
            layout::unpack(&words, len)
        };
        let program = header::PROGRAM;
        let mut recording = Self {
            until: stamped.last().map_or(beat, |last| last.at.max(beat)),
            events: stamped,
            losses,
            workers: layout.rings - 1,
            started: SystemTime::UNIX_EPOCH + Duration::from_nanos(load(header::STARTED)),
            program: text(program + 1, header::PROGRAM_WORDS - 1, load(program)),
            process: u32::try_from(load(header::PROCESS)).unwrap_or_default(),
            ended: load(header::ENDED) != 0,
            notes: read_notes(load, layout, &times),
            names: HashMap::new(),
            labels: read_labels(load, layout),
            ends,
            waiting: Vec::new(),
        };
        for (id, name, waits) in seats(load, layout, &times) {
            recording.names.insert(id, name);
            let waits = waits.map(|(since, wait)| (id, since.min(recording.until), wait));
            recording.waiting.extend(waits);
        }
        recording
    }

    /// Waits that are on, and for how long, of those that have not suspended since the stream was started.
    pub(super) fn learn_waits(&mut self, waits: Vec<(CoroutineId, Duration, Wait)>) {
        let known: HashSet<_> = self.waiting.iter().map(|(id, ..)| *id).collect();
        let unknown = waits.into_iter().filter(|(id, ..)| !known.contains(id));
        let until = self.until;
        self.waiting
            .extend(unknown.map(|(id, lasted, wait)| (id, until.saturating_sub(lasted), wait)));
    }

    /// A name that is known from elsewhere.
    pub(super) fn learn(&mut self, id: CoroutineId, given: Option<&str>, site: (&str, u32)) {
        self.names.entry(id).or_insert_with(|| Name {
            given: given.unwrap_or_default().to_owned(),
            site: Some((site.0.to_owned(), site.1)),
        });
    }

    /// What a coroutine is called: the name given, or the place that spawned it, or its number.
    pub fn name(&self, id: CoroutineId) -> String {
        let name = self.names.get(&id);
        name.and_then(Name::show)
            .unwrap_or_else(|| format!("#{id}"))
    }

    /// The place that spawned it, if that is known.
    pub fn site(&self, id: CoroutineId) -> Option<(&str, u32)> {
        let (file, line) = self.names.get(&id)?.site.as_ref()?;
        Some((file, *line))
    }

    /// The coroutines that are called so.
    pub fn named(&self, name: &str) -> Vec<CoroutineId> {
        let mut ids: Vec<_> = self.names.keys().copied().collect();
        ids.retain(|id| self.name(*id) == name);
        ids.sort_unstable();
        ids
    }

    /// A wait in words, with the label of what is waited for, if it has one.
    pub fn show(&self, wait: Wait) -> String {
        let is_address = wait.object != 0 && !wait.kind().object_is_number();
        let label = self.labels.iter().filter(|_| is_address);
        let mut label = label.filter(|(start, size, _)| {
            let offset = wait.object.checked_sub(*start);
            offset.is_some_and(|offset| offset < (*size).max(1))
        });
        wait.show(label.next().map(|(.., name)| name.as_str()))
    }

    /// What happened to one coroutine, in the order of time.
    pub fn events_of(&self, id: CoroutineId) -> impl Iterator<Item = &Event> {
        self.events
            .iter()
            .filter(move |event| event.coroutine == id)
    }

    /// Who was on the processor when the recording ended, on which worker, and since when: who held the worker, if that is
    /// long.
    pub fn running(&self) -> Vec<(usize, CoroutineId, Duration)> {
        let running = |(worker, (_, runs)): (usize, &(Duration, Runs))| match runs {
            Runs::Coroutine(id) => {
                let id = CoroutineId(*id);
                let resumed = |event: &&Event| event.coroutine == id && event.what == What::Resumed;
                let since = self.events.iter().rev().find(resumed)?.at;
                Some((worker, id, since))
            }
            Runs::Nobody | Runs::Unknown => None,
        };
        self.ends.iter().enumerate().filter_map(running).collect()
    }
}

fn entry(load: &impl Fn(usize) -> u64, at: usize, words: usize) -> Vec<u64> {
    (at..at + words).map(load).collect()
}

fn read_labels(load: &impl Fn(usize) -> u64, layout: Layout) -> Vec<(u64, u64, String)> {
    let labels = (0..LABELS).filter_map(|slot| {
        let at = layout.label(slot);
        let start = load(at);
        fence(Ordering::Acquire);
        let words = entry(load, at, LABEL);
        fence(Ordering::Acquire);
        let is_whole = start != 0 && load(at) == start;
        is_whole.then(|| (start, words[1], layout::unpack(&words[3..], words[2])))
    });
    labels.collect()
}

fn read_notes(load: &impl Fn(usize) -> u64, layout: Layout, times: &Times) -> Vec<Note> {
    let mut notes: Vec<(u64, Note)> = (0..NOTES)
        .filter_map(|slot| {
            let at = layout.note(slot);
            let number = load(at);
            fence(Ordering::Acquire);
            let words = entry(load, at, NOTE);
            fence(Ordering::Acquire);
            let note = Note {
                at: times.at(words[1]),
                coroutine: CoroutineId(words[2]),
                text: layout::unpack(&words[4..], words[3]),
            };
            (number != 0 && load(at) == number).then_some((number, note))
        })
        .collect();
    notes.sort_by_key(|(number, _)| *number);
    notes.into_iter().map(|(_, note)| note).collect()
}

/// Makes times of stamps.
pub(super) struct Times {
    scale: u64,
    base: u64,
}

impl Times {
    pub(super) fn read(load: &impl Fn(usize) -> u64) -> Self {
        Self {
            scale: load(header::SCALE),
            base: load(header::BASE),
        }
    }

    pub(super) fn at(&self, stamp: u64) -> Duration {
        self.after(stamp.saturating_sub(self.base))
    }

    /// So long after the start.
    fn after(&self, cycles: u64) -> Duration {
        let cycles = u128::from(cycles);
        let nanos = (cycles * u128::from(self.scale)) >> 32;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}
