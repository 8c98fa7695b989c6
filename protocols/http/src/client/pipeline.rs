//! Pipelining: requests that are sent before the answers to those in front of them have come (RFC 9112, section 9.3.2).
//!
//! ```text
//!   waiting ──▶ sent, while there is room for it ──▶ under way ──▶ answered, in the same order
//!      ▲                                                 │
//!      └── the connection was lost ──────────────────────┘
//! ```

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::error::{Error, ErrorKind, Phase};
use super::exchange::Answered;
use super::lease::{Lease, Slot};
use super::limits::Watch;
use super::payload::flush;
use super::request::RequestBuilder;
use super::response::Response;
use super::retry;
use super::send::{self, Finished, Order};
use super::shared::Shared;

/// Bytes of requests that are sent without waiting for what the server answers to those before. More, and both sides might
/// write and neither read.
const AHEAD: usize = 4 << 10;

/// Answers to requests that are sent one right behind the other: what [`Client::pipeline`](super::Client::pipeline) gives.
///
/// Iterate over it, and read each answer to its end before you take the next; if you do not, its connection is closed, and
/// what was asked on it and is not answered is asked once more on another. So it is when the connection is lost: only what may
/// be repeated is taken into a pipeline.
#[must_use = "requests are sent when their answers are asked for"]
pub struct Pipeline<'b> {
    shared: Arc<Shared>,
    depth: usize,
    /// Not sent yet, or to be sent again.
    waiting: VecDeque<Result<Entry<'b>, Error>>,
    /// Sent on the connection that is in the slot, and not answered.
    under_way: VecDeque<Entry<'b>>,
    /// The connection, once the last answer that was given was read to its end.
    slot: Slot,
    state: State,
}

struct Entry<'b> {
    order: Order<'b>,
    decompress: bool,
    /// How often it was first in line when its connection failed.
    tries: u32,
    /// Bytes that it took on the connection.
    size: usize,
}

/// What is known of the connection.
#[derive(Debug, Default)]
struct State {
    /// It came from the pool, or has answered a request of ours: that it ends is then nothing unusual.
    proven: bool,
    /// The one before failed: one request goes first, alone, which may be the one that the server does not bear.
    alone: bool,
    /// It takes no more requests, but may still answer.
    deaf: bool,
    /// The next one is not to come from the pool.
    fresh: bool,
}

impl<'b> Pipeline<'b> {
    pub(super) fn new(
        shared: &Arc<Shared>,
        requests: impl IntoIterator<Item = RequestBuilder<'b>>,
    ) -> Self {
        let prepared = requests.into_iter().map(|request| {
            let (order, decompress) = request.repeatable()?;
            Ok(Entry {
                order,
                decompress,
                tries: 0,
                size: 0,
            })
        });
        Self {
            shared: Arc::clone(shared),
            depth: 8,
            waiting: prepared.collect(),
            under_way: VecDeque::new(),
            slot: Arc::default(),
            state: State::default(),
        }
    }

    /// So many requests are under way at once, as long as they are short. Default 8.
    pub fn depth(mut self, requests: usize) -> Self {
        self.depth = requests.max(1);
        self
    }

    /// Gets the answer to the request that is first in line. `None`: it must be tried again. **May suspend.**
    fn step(&mut self) -> Option<Result<Response, Error>> {
        let lease = take(&self.slot);
        if lease.is_none() {
            self.recall();
        }
        if self.under_way.is_empty()
            && let Some(Err(_)) = self.waiting.front()
        {
            // Keeps the connection for those behind it.
            *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = lease;
            return self.waiting.pop_front()?.err().map(Err);
        }
        let first = match self.under_way.front() {
            Some(first) => first,
            None => self.waiting.front()?.as_ref().ok()?,
        };
        let watch = Watch::start(first.order.timeouts);
        match self.ask(lease, &watch) {
            Ok((lease, answered)) => Some(Ok(self.answer(lease, answered, watch)?)),
            Err(kind) => self.judge(kind, &watch).map(Err),
        }
    }

    /// Sends what there is room for, and waits for the head of the next answer. **May suspend.**
    fn ask(&mut self, lease: Option<Lease>, watch: &Watch) -> Result<(Lease, Answered), ErrorKind> {
        let mut lease = self.connection(lease, watch)?;
        let sending = self.send(&mut lease, watch);
        let alone = self.under_way.len() == 1;
        let Some(first) = self.under_way.front_mut() else {
            return Err(sending.err().unwrap_or(ErrorKind::Truncated));
        };
        self.state.deaf |= sending.is_err();
        let limits = &self.shared.limits;
        let head = first.order.outgoing.answer(&mut lease, limits, watch);
        let head = head.map_err(|failure| match sending {
            // Why it could not be sent says more than that nothing came then.
            Err(kind) if failure.unanswered && alone => kind,
            _ => failure.kind,
        })?;
        Ok((lease, Answered { head, sent: true }))
    }

    /// The connection that there is, or else another one for who is first in line. **May suspend.**
    fn connection(&mut self, lease: Option<Lease>, watch: &Watch) -> Result<Lease, ErrorKind> {
        if let Some(lease) = lease {
            if !self.under_way.is_empty() {
                return Ok(lease);
            }
            if self.key_of_next().is_some_and(|key| key == **lease.key()) && !self.state.deaf {
                return Ok(lease);
            }
            lease.give_back(!self.state.deaf);
        }
        let alone = self.state.alone;
        let fresh = std::mem::take(&mut self.state.fresh);
        self.state = State {
            alone,
            ..State::default()
        };
        let Some(Ok(next)) = self.waiting.front() else {
            return Err(ErrorKind::Truncated);
        };
        let (lease, reused) = send::open(&self.shared, &next.order.outgoing, watch, fresh)?;
        self.state.proven = reused;
        Ok(lease)
    }

    fn key_of_next(&self) -> Option<super::pool::Key> {
        let next = self.waiting.front()?.as_ref().ok()?;
        send::key_of(&self.shared, &next.order.outgoing).ok()
    }

    /// Sends as many as may be under way. **May suspend.**
    fn send(&mut self, lease: &mut Lease, watch: &Watch) -> Result<(), ErrorKind> {
        let counters = &self.shared.pool.counters;
        let depth = if self.state.alone { 1 } else { self.depth };
        while !self.state.deaf
            && self.under_way.len() < depth
            && self.key_of_next().is_some_and(|key| key == **lease.key())
        {
            let ahead: usize = self.under_way.iter().map(|entry| entry.size).sum();
            let Some(Ok(mut entry)) = self.waiting.pop_front() else {
                break;
            };
            send::add_cookies(&self.shared, &mut entry.order.outgoing);
            entry.size = entry.order.outgoing.size();
            if !self.under_way.is_empty() && ahead + entry.size > AHEAD {
                self.waiting.push_front(Ok(entry));
                break;
            }
            if self.state.proven || !self.under_way.is_empty() {
                counters.reused.fetch_add(1, Ordering::Relaxed);
            }
            counters.requests.fetch_add(1, Ordering::Relaxed);
            // It is under way from here on, however the sending is left.
            self.under_way.push_back(entry);
            if let Some(entry) = self.under_way.back_mut() {
                entry.order.outgoing.send_ahead(lease, watch)?;
            }
        }
        flush(lease.connection(), watch)
    }

    fn answer(&mut self, mut lease: Lease, answered: Answered, watch: Watch) -> Option<Response> {
        let Entry {
            order, decompress, ..
        } = self.under_way.pop_front()?;
        self.state.proven = true;
        self.state.alone = false;
        send::store_cookies(&self.shared, &answered.head, &order.outgoing.url);
        // After the last answer it goes back to the pool by itself.
        if !self.waiting.is_empty() || !self.under_way.is_empty() || self.state.deaf {
            lease.come_back_to(Arc::clone(&self.slot));
        }
        let finished = Finished::new(answered, lease, watch);
        Some(finished.response(Arc::clone(&self.shared), &order, decompress))
    }

    /// What a failure of the first in line means: its error, or that everything is tried again. **May suspend.**
    fn judge(&mut self, kind: ErrorKind, watch: &Watch) -> Option<Error> {
        let proven = self.state.proven;
        self.recall();
        let counters = &self.shared.pool.counters;
        let Some(Ok(first)) = self.waiting.front_mut() else {
            return Some(Error::new(kind));
        };
        let ended = matches!(
            kind,
            ErrorKind::Io(Phase::Send | Phase::Answer, _) | ErrorKind::Truncated
        );
        if proven && ended {
            // Servers end connections when they like. On a new one it is seen whether this one is to blame.
            counters.stale.fetch_add(1, Ordering::Relaxed);
            self.state.fresh = true;
            return None;
        }
        let retries = first.order.retries;
        if first.tries < retries.most && retry::is_passing(&kind) {
            let pause = retry::pause(&retries, first.tries);
            first.tries += 1;
            counters.retries.fetch_add(1, Ordering::Relaxed);
            match watch.total().bound(|| grapeshot::sleep(pause)) {
                Ok(()) => return None,
                Err(late) => return self.give_up(late),
            }
        }
        self.give_up(kind)
    }

    fn give_up(&mut self, kind: ErrorKind) -> Option<Error> {
        if let ErrorKind::Timeout(phase, _) = kind {
            self.shared.pool.counters.count_timeout(phase);
        }
        let error = Error::new(kind);
        Some(match self.waiting.pop_front() {
            Some(Ok(Entry { order, .. })) => error.at(&order.outgoing.method, &order.outgoing.url),
            _ => error,
        })
    }

    /// The connection is gone: what is not answered is to be sent again.
    fn recall(&mut self) {
        self.state.alone |= !self.under_way.is_empty();
        // An answer that is still read comes to its end on a connection that is none of ours any more.
        self.slot = Slot::default();
        while let Some(entry) = self.under_way.pop_back() {
            self.waiting.push_front(Ok(entry));
        }
    }
}

fn take(slot: &Slot) -> Option<Lease> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl Iterator for Pipeline<'_> {
    type Item = Result<Response, Error>;

    /// The answer to the next request. Its time-outs count from here. **May suspend.**
    fn next(&mut self) -> Option<Self::Item> {
        while !self.waiting.is_empty() || !self.under_way.is_empty() {
            if let Some(answer) = self.step() {
                return Some(answer);
            }
        }
        None
    }
}

impl Drop for Pipeline<'_> {
    /// Gives the connection back, if nothing is under way on it.
    fn drop(&mut self) {
        if let Some(lease) = take(&self.slot)
            && self.under_way.is_empty()
        {
            lease.give_back(!self.state.deaf);
        }
    }
}

impl std::fmt::Debug for Pipeline<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline")
            .field("waiting", &self.waiting.len())
            .field("under_way", &self.under_way.len())
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
