//! Hearing of events as they come.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::event::{Event, Reader, Runs};
use super::recording::{Losses, Times, names};
use super::ring;
use super::stream::Stream;
use crate::sched::spawn::CoroutineId;

/// What happens from the moment on when this was made; see [`Tracing::follow`](super::Tracing::follow).
pub struct Follow {
    stream: Arc<Stream>,
    rings: Vec<(u64, Reader)>,
    losses: Losses,
    /// As they were when somebody asked since the latest events.
    names: Option<HashMap<CoroutineId, String>>,
}

impl Follow {
    pub(super) fn new(stream: Arc<Stream>) -> Self {
        let load = |at: usize| stream.words[at].load(Ordering::Relaxed);
        let rings = (0..stream.layout.rings).map(|ring| {
            let worker = (ring + 1 < stream.layout.rings).then_some(ring);
            let mut reader = Reader::new(worker);
            // Who runs now is in what there is so far.
            let copy = ring::copy(load, stream.layout, ring, 0);
            if copy.from == 0 {
                reader.runs = Runs::Nobody;
            }
            let next = copy.from + copy.words.len() as u64;
            reader.read(&copy, stream.layout.events, &mut Vec::new());
            (
                next,
                Reader {
                    torn: 0,
                    adrift: 0,
                    ..reader
                },
            )
        });
        Self {
            rings: rings.collect(),
            stream,
            losses: Losses::default(),
            names: None,
        }
    }

    /// What has happened since the latest call, in the order of time. Never waits.
    pub fn next_events(&mut self) -> Vec<Event> {
        let (stream, layout) = (&self.stream, self.stream.layout);
        let load = |at: usize| stream.words[at].load(Ordering::Relaxed);
        let times = Times::read(&load);
        self.names = None;
        let mut events = Vec::new();
        for (ring, (next, reader)) in self.rings.iter_mut().enumerate() {
            let copy = ring::copy(load, layout, ring, *next);
            if copy.from > *next {
                self.losses.overwritten += copy.from - *next;
                reader.runs = Runs::Unknown;
            }
            *next = copy.from + copy.words.len() as u64;
            let mut stamped = Vec::new();
            reader.read(&copy, layout.events, &mut stamped);
            events.extend(stamped.into_iter().map(|(stamp, coroutine, what)| Event {
                at: times.at(stamp),
                worker: reader.worker,
                coroutine,
                what,
            }));
        }
        events.sort_by_key(|event| event.at);
        events
    }

    /// What a coroutine is called, if it has run meanwhile and there are not too many.
    pub fn name(&mut self, id: CoroutineId) -> Option<&str> {
        let (stream, layout) = (&self.stream, self.stream.layout);
        let load = |at: usize| stream.words[at].load(Ordering::Relaxed);
        let names = self.names.get_or_insert_with(|| names(&load, layout));
        names.get(&id).map(String::as_str)
    }

    /// What was missed so far.
    pub fn losses(&self) -> Losses {
        let sum = |figure: fn(&Reader) -> u64| self.rings.iter().map(|(_, it)| figure(it)).sum();
        Losses {
            overwritten: self.losses.overwritten,
            torn: sum(|reader| reader.torn),
            adrift: sum(|reader| reader.adrift),
        }
    }
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow")
            .field("losses", &self.losses())
            .finish_non_exhaustive()
    }
}
