//! Why a coroutine does not go on now.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::event::{Actor, Wait, What};
use super::recording::Recording;
use super::why::{Doing, Hop, Link, Why};
use crate::registry::stalls;
use crate::registry::{self, CoroutineInfo, State};
use crate::sched::handle::RuntimeHandle;
use crate::sched::record::CoroRef;
use crate::sched::spawn::CoroutineId;
use crate::sched::wait::WaitKind;
use crate::sched::{Shared, worker};

/// Coroutines that are asked at most.
const DEPTH: usize = 16;

/// Why a coroutine does not go on at this moment: what it waits for, who has that, where, what that one waits for, and so on to
/// whoever is to blame. `None`: there is no such coroutine. **May suspend**, for a few seconds at most.
///
/// Locks and joins are known for sure. If events are [recorded](super::start), what ended such waits before is named for the
/// others, such as who sent to the same channel. It reads one coroutine after the other, so one that has gone on meanwhile is
/// shown as it is then.
pub fn why(id: CoroutineId) -> Option<Why> {
    RuntimeHandle::current()?.why(id)
}

impl RuntimeHandle {
    /// Why a coroutine of this runtime does not go on; see [`trace::why`](why).
    pub fn why(self, id: CoroutineId) -> Option<Why> {
        let shared = self.shared;
        let mut next = Some(id);
        let mut hops: Vec<Hop> = Vec::new();
        let stream = shared.stream.current();
        let recording = stream.map(|stream| Recording::of(&stream));
        while let Some(id) = next
            && hops.len() < DEPTH
        {
            let is_circle = hops.iter().any(|hop| hop.id == id);
            let Some((hop, on)) = look(shared, id, recording.as_ref(), hops.is_empty()) else {
                break;
            };
            hops.push(hop);
            next = on.filter(|_| !is_circle);
        }
        if let Some(last) = hops.last_mut() {
            last.link = None;
        }
        let lasted = hops.first()?.lasted;
        Some(Why {
            live: true,
            lasted,
            hops,
            parts: Vec::new(),
        })
    }
}

/// What one coroutine does, and whom it waits for.
fn look(
    shared: &'static Shared,
    id: CoroutineId,
    recording: Option<&Recording>,
    is_first: bool,
) -> Option<(Hop, Option<CoroutineId>)> {
    let coroutine = worker::find(shared, id.0)?;
    let info = registry::info(&coroutine);
    let mut hop = Hop {
        id,
        name: info.name.clone(),
        doing: Doing::Unknown,
        lasted: Duration::ZERO,
        // The one that is asked about is known to whoever asks.
        place: (!is_first).then(|| place(&coroutine)).flatten(),
        link: None,
    };
    let on = match info.state {
        State::Ended => {
            hop.doing = Doing::Ended;
            None
        }
        State::Running => {
            hop.doing = Doing::Ran {
                worker: info.worker,
            };
            hop.lasted = info.runs_for.unwrap_or_default();
            if is_first {
                hop.place = place(&coroutine);
            }
            None
        }
        State::Ready | State::Unstarted => {
            hop.doing = Doing::Queued {
                worker: info.worker,
            };
            hop.lasted = ready_for(&info, recording);
            hop.link = Some(Link::Behind);
            let home = info.worker.and_then(|worker| shared.workers.get(worker));
            let running = home.map_or(0, |worker| worker.figures.running.load(Ordering::Relaxed));
            (running != 0 && running != id.0).then_some(CoroutineId(running))
        }
        State::Waiting => {
            let wait = info.waits_for?;
            let kind = WaitKind::from_u8(coroutine.head.waits_for.load(Ordering::Relaxed));
            let asked = Wait {
                kind: kind as u8,
                object: wait.object,
                owner: None,
            };
            hop.doing = Doing::Waited {
                what: asked.named(),
            };
            hop.lasted = wait.since;
            let (link, on) = holder(shared, coroutine, asked, recording);
            hop.link = link;
            on
        }
    };
    if on.is_none() {
        hop.link = None;
    }
    Some((hop, on))
}

/// Whoever has what a coroutine waits for.
fn holder(
    shared: &'static Shared,
    coroutine: CoroRef,
    wait: Wait,
    recording: Option<&Recording>,
) -> (Option<Link>, Option<CoroutineId>) {
    match wait.kind() {
        WaitKind::Join => (Some(Link::EndOf), Some(CoroutineId(wait.object))),
        WaitKind::Mutex | WaitKind::RwLockRead | WaitKind::RwLockWrite => {
            let owner = registry::owner_awaited(shared, coroutine);
            (Some(Link::HeldBy), owner)
        }
        _ => {
            let waker = recording.and_then(|recording| last_waker(recording, wait));
            (Some(Link::LastWokenBy), waker)
        }
    }
}

/// Who ended such a wait last.
fn last_waker(recording: &Recording, wait: Wait) -> Option<CoroutineId> {
    if wait.object == 0 {
        return None;
    }
    let is_same = |other: &Wait| other.kind == wait.kind && other.object == wait.object;
    let mut waiting = std::collections::HashSet::new();
    let mut last = None;
    for event in &recording.events {
        match event.what {
            What::Suspended(other) if is_same(&other) => _ = waiting.insert(event.coroutine),
            What::Woken { by } => {
                let by = match by {
                    Actor::Coroutine(by) => Some(by),
                    _ => None,
                };
                if waiting.remove(&event.coroutine) {
                    last = by.or(last);
                }
            }
            _ => {}
        }
    }
    last
}

/// How long one has been ready: since it was woken, as far as that is recorded.
fn ready_for(info: &CoroutineInfo, recording: Option<&Recording>) -> Duration {
    let since = recording.and_then(|recording| {
        let is_ready = |what: &What| {
            matches!(
                what,
                What::Woken { .. } | What::Yielded | What::Spawned { .. }
            )
        };
        let last = recording.events_of(info.id).last()?;
        is_ready(&last.what).then(|| recording.until.saturating_sub(last.at))
    });
    since.unwrap_or_default()
}

/// The innermost place of the application's own where a coroutine is.
fn place(coroutine: &CoroRef) -> Option<String> {
    let frames = registry::backtrace::backtrace_of(coroutine.clone()).ok()?;
    stalls::place(&frames)
}
