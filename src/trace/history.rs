//! What each coroutine did from when to when, made of events.

use std::collections::HashMap;
use std::time::Duration;

use super::event::{Actor, Event, Wait, What};
use super::recording::Recording;
use crate::sched::spawn::CoroutineId;
use crate::sched::wait::WaitKind;

/// What a coroutine did for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) from: Duration,
    pub(super) to: Duration,
    pub(super) state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Runs {
        worker: Option<usize>,
    },
    /// It could run; `worker` is known once it did.
    Ready {
        worker: Option<usize>,
    },
    Waits {
        wait: Wait,
        /// `None`: it waited still when the recording ended.
        ended_by: Option<Actor>,
    },
}

/// The segments of everybody, and what else can be told of the whole.
pub(super) struct History {
    by_coroutine: HashMap<CoroutineId, Vec<Segment>>,
    /// By worker: who ran from when to when.
    ran: Vec<Vec<(Duration, Duration, CoroutineId)>>,
    /// By the address of a lock: who had it last.
    owners: HashMap<u64, CoroutineId>,
    /// By the kind of a wait and its object: who ended one last.
    wakers: HashMap<(u8, u64), CoroutineId>,
}

/// A coroutine as its events go by.
struct Track {
    since: Duration,
    state: State,
    /// Where it ran last.
    worker: Option<usize>,
    /// It was woken before it was seen to suspend.
    woken: Option<Actor>,
}

impl Track {
    /// Those that wait since before the first of their events that is left.
    fn before(recording: &Recording) -> HashMap<CoroutineId, Self> {
        let mut first: HashMap<CoroutineId, Duration> = HashMap::new();
        for event in &recording.events {
            first.entry(event.coroutine).or_insert(event.at);
        }
        let waiting = recording.waiting.iter();
        let waiting = waiting.filter(|(id, since, _)| first.get(id).is_none_or(|it| since <= it));
        let track = |&(id, since, wait): &(CoroutineId, Duration, Wait)| {
            let state = State::Waits {
                wait,
                ended_by: None,
            };
            let track = Self {
                since,
                state,
                worker: None,
                woken: None,
            };
            (id, track)
        };
        waiting.map(track).collect()
    }
}

impl History {
    pub(super) fn of(recording: &Recording) -> Self {
        let mut history = Self {
            by_coroutine: HashMap::new(),
            ran: vec![Vec::new(); recording.workers],
            owners: HashMap::new(),
            wakers: HashMap::new(),
        };
        let mut tracks = Track::before(recording);
        for event in &recording.events {
            history.follow(&mut tracks, event);
        }
        for (id, track) in tracks {
            if let State::Waits { wait, .. } = track.state
                && let Some(owner) = wait.owner
            {
                history.owners.entry(wait.object).or_insert(owner);
            }
            history.close(id, &track, recording.until);
        }
        history.ran.iter_mut().for_each(|ran| ran.sort_unstable());
        history
    }

    fn follow(&mut self, tracks: &mut HashMap<CoroutineId, Track>, event: &Event) {
        let id = event.coroutine;
        let mut before = tracks.remove(&id);
        let ran_on = before.as_ref().and_then(|track| track.worker);
        let state = match event.what {
            What::InterruptAsked { .. } => {
                tracks.extend(before.map(|track| (id, track)));
                return;
            }
            What::Spawned { .. } => State::Ready { worker: None },
            What::Resumed => {
                if let Some(State::Ready { worker }) = before.as_mut().map(|it| &mut it.state) {
                    *worker = event.worker;
                }
                let worker = event.worker;
                State::Runs { worker }
            }
            What::Yielded => State::Ready {
                worker: event.worker,
            },
            What::Suspended(wait) => {
                if let Some(owner) = wait.owner {
                    self.owners.insert(wait.object, owner);
                }
                match before.as_ref().and_then(|it| it.woken) {
                    Some(by) => {
                        self.woken(id, wait, by);
                        State::Ready {
                            worker: event.worker,
                        }
                    }
                    None => State::Waits {
                        wait,
                        ended_by: None,
                    },
                }
            }
            What::Woken { by } => match before.as_mut() {
                Some(track) if matches!(track.state, State::Runs { .. }) => {
                    track.woken = Some(by);
                    tracks.extend(before.map(|track| (id, track)));
                    return;
                }
                Some(Track {
                    state: State::Waits { wait, ended_by },
                    ..
                }) => {
                    *ended_by = Some(by);
                    let wait = *wait;
                    self.woken(id, wait, by);
                    State::Ready { worker: ran_on }
                }
                _ => State::Ready { worker: ran_on },
            },
            What::Ended(_) => {
                if let Some(track) = before {
                    self.close(id, &track, event.at);
                }
                return;
            }
        };
        if let Some(track) = before {
            self.close(id, &track, event.at);
        }
        let acts = matches!(
            event.what,
            What::Resumed | What::Suspended(_) | What::Yielded
        );
        let track = Track {
            since: event.at,
            state,
            worker: if acts { event.worker } else { ran_on },
            woken: None,
        };
        tracks.insert(id, track);
    }

    /// A wait of `id` ended.
    fn woken(&mut self, id: CoroutineId, wait: Wait, by: Actor) {
        if matches!(wait.kind(), WaitKind::Mutex | WaitKind::RwLockWrite) {
            self.owners.insert(wait.object, id);
        }
        if let Actor::Coroutine(by) = by {
            self.wakers.insert((wait.kind, wait.object), by);
        }
    }

    fn close(&mut self, id: CoroutineId, track: &Track, to: Duration) {
        let to = to.max(track.since);
        self.by_coroutine.entry(id).or_default().push(Segment {
            from: track.since,
            to,
            state: track.state,
        });
        if let State::Runs {
            worker: Some(worker),
        } = track.state
            && let Some(ran) = self.ran.get_mut(worker)
        {
            ran.push((track.since, to, id));
        }
    }

    /// What a coroutine did from `from` to `to`, in order, as far as it is known; cut to that time.
    pub(super) fn segments(
        &self,
        id: CoroutineId,
        from: Duration,
        to: Duration,
    ) -> impl Iterator<Item = Segment> {
        let all = self.by_coroutine.get(&id).map_or(&[][..], Vec::as_slice);
        let first = all.partition_point(|segment| segment.to <= from);
        let some = all[first..]
            .iter()
            .take_while(move |segment| segment.from < to);
        some.map(move |segment| Segment {
            from: segment.from.max(from),
            to: segment.to.min(to),
            state: segment.state,
        })
    }

    /// All that is known of a coroutine.
    pub(super) fn all(&self, id: CoroutineId) -> &[Segment] {
        self.by_coroutine.get(&id).map_or(&[], Vec::as_slice)
    }

    pub(super) fn coroutines(&self) -> impl Iterator<Item = CoroutineId> {
        self.by_coroutine.keys().copied()
    }

    /// Who ran on a worker from `from` to `to`, in order, and for how long of that.
    pub(super) fn ran(
        &self,
        worker: usize,
        from: Duration,
        to: Duration,
    ) -> impl Iterator<Item = (CoroutineId, Duration)> {
        let all = self.ran.get(worker).map_or(&[][..], Vec::as_slice);
        let first = all.partition_point(|(_, ended, _)| *ended <= from);
        let some = all[first..].iter().take_while(move |ran| ran.0 < to);
        some.map(move |ran| (ran.2, ran.1.min(to).saturating_sub(ran.0.max(from))))
    }

    /// Whoever is known to have what a wait that is still on is for.
    pub(super) fn holder(&self, wait: Wait) -> Option<(CoroutineId, bool)> {
        match wait.kind() {
            WaitKind::Join => Some((CoroutineId(wait.object), true)),
            WaitKind::Mutex | WaitKind::RwLockRead | WaitKind::RwLockWrite => self
                .owners
                .get(&wait.object)
                .copied()
                .or(wait.owner)
                .map(|owner| (owner, true)),
            _ => {
                let waker = self.wakers.get(&(wait.kind, wait.object));
                waker.map(|waker| (*waker, false))
            }
        }
    }
}
