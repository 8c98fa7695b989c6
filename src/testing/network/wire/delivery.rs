//! What is on its way, and what happens when it arrives.

use std::cmp::Reverse;

use rustix::io::Errno;

use super::{Held, HostId, Id, Item, LOOPBACK, PATIENCE, State, Time, What, nanos, ordered};
use crate::io::Way;
use crate::testing::network::trace::Kind;

impl State {
    pub(super) fn schedule(&mut self, at: Time, what: What) {
        self.count += 1;
        self.deliveries.push(Reverse((at, self.count, what)));
        self.alarms.push(at);
    }

    pub(super) fn latency(&mut self, one: HostId, other: HostId) -> Time {
        let range = if one == other {
            LOOPBACK
        } else {
            let link = self.latencies.get(&ordered(one, other)).cloned();
            link.unwrap_or_else(|| nanos(&self.config.latency))
        };
        self.chance.within(range)
    }

    /// Sends `what` over the link; what belongs to a connection arrives in the order in which it was sent.
    pub(super) fn travel(&mut self, from: HostId, to: HostId, what: What) {
        let mut at = self.now + self.latency(from, to);
        if let What::Item { to } | What::Reset { to } = what
            && let Some(end) = self.ends.get_mut(&to)
        {
            at = at.max(end.arrives);
            end.arrives = at;
        }
        self.schedule(at, what);
    }

    /// Sends over a connection, from `id`.
    pub(super) fn transmit(&mut self, id: Id, item: Item) {
        let Some(end) = self.ends.get(&id) else {
            return;
        };
        let (from, to, Some(peer)) = (end.host, end.peer_host, end.peer) else {
            return;
        };
        if let Some(peer_end) = self.ends.get_mut(&peer) {
            peer_end.transit.push_back(item);
            self.travel(from, to, What::Item { to: peer });
        } else if !matches!(item, Item::Window(_)) {
            self.travel(to, from, What::Reset { to: id });
        }
    }

    /// Does everything that is due.
    pub(in super::super) fn deliver(&mut self) {
        while let Some(&Reverse((at, _, what))) = self.deliveries.peek() {
            if at > self.now {
                break;
            }
            self.deliveries.pop();
            self.happen(what);
        }
    }

    pub(super) fn happen(&mut self, what: What) {
        match what {
            What::Syn { from, attempt } => self.syn(from, attempt),
            What::Refused { to } => {
                self.trace_end(Kind::Refused, to, 0);
                self.fail(to, Errno::CONNREFUSED);
            }
            What::Item { to } => {
                if !self.hold(to, what) {
                    self.arrive(to);
                }
            }
            What::Reset { to } => {
                if !self.hold(to, what) && self.ends.get(&to).is_some_and(|end| !end.dead) {
                    self.trace_end(Kind::Reset, to, 0);
                    self.fail(to, Errno::CONNRESET);
                }
            }
            What::Breaks { end } => {
                if self.ends.get(&end).is_some_and(|end| !end.dead) {
                    self.trace_end(Kind::Broken, end, 0);
                    if let Some(end) = self.ends.get_mut(&end) {
                        end.transit.clear();
                    }
                    self.fail(end, Errno::CONNRESET);
                }
            }
            What::Datagram { flight } => self.land(flight),
            What::Unreachable { flight } => self.unreachable(flight),
            What::GivesUp { held } => {
                let Some(Held {
                    what: What::Item { to } | What::Reset { to },
                    ..
                }) = self.held.remove(&held)
                else {
                    return;
                };
                if let Some(sender) = self.ends.get(&to).and_then(|end| end.peer) {
                    self.trace_end(Kind::TimedOut, sender, 0);
                    self.fail(sender, Errno::TIMEDOUT);
                }
            }
        }
    }

    /// Keeps what would arrive at `to`, if a partition is in between.
    pub(super) fn hold(&mut self, to: Id, what: What) -> bool {
        let Some(end) = self.ends.get(&to) else {
            return false;
        };
        let between = ordered(end.host, end.peer_host);
        if !self.cuts.contains(&between) {
            return false;
        }
        self.count += 1;
        let number = self.count;
        self.held.insert(number, Held { between, what });
        self.schedule(self.now + PATIENCE, What::GivesUp { held: number });
        true
    }

    pub(super) fn arrive(&mut self, to: Id) {
        let Some(end) = self.ends.get_mut(&to) else {
            return;
        };
        let Some(item) = end.transit.pop_front() else {
            return;
        };
        if end.dead {
            return;
        }
        match item {
            Item::Accepted => {
                end.connected = true;
                let closed = end.closed;
                self.trace_end(Kind::Connected, to, 0);
                self.ready(to, Way::Write);
                if closed {
                    self.reset_peer(to);
                    self.forget(to);
                }
            }
            Item::Data(bytes) => {
                if end.closed {
                    self.reset_peer(to);
                    return self.forget(to);
                }
                if end.read_shut {
                    return;
                }
                let count = bytes.len();
                end.received.extend(bytes);
                self.trace_end(Kind::Data, to, count);
                self.ready(to, Way::Read);
            }
            Item::Fin => {
                end.fin_received = true;
                self.trace_end(Kind::Fin, to, 0);
                self.ready(to, Way::Read);
            }
            Item::Window(count) => {
                end.outstanding = end.outstanding.saturating_sub(count);
                self.ready(to, Way::Write);
            }
        }
    }

    /// The end's connection is over, with an error.
    pub(super) fn fail(&mut self, id: Id, error: Errno) {
        let Some(end) = self.ends.get_mut(&id) else {
            return;
        };
        if end.dead {
            return;
        }
        end.dead = true;
        end.error = Some(error);
        end.transit.clear();
        self.ready(id, Way::Read);
        self.ready(id, Way::Write);
        self.forget(id);
    }

    pub(super) fn reset_peer(&mut self, id: Id) {
        let Some(end) = self.ends.get(&id) else {
            return;
        };
        if let (from, to, Some(peer), false) = (end.host, end.peer_host, end.peer, end.dead) {
            self.travel(from, to, What::Reset { to: peer });
        }
    }

    /// Drops an end that nobody will ask for any more: it is closed, and its connection is over or the peer's too.
    pub(super) fn forget(&mut self, id: Id) {
        let Some(end) = self.ends.get(&id) else {
            return;
        };
        if !end.closed {
            return;
        }
        let peer = end
            .peer
            .and_then(|peer| Some((peer, self.ends.get(&peer)?)));
        match peer {
            Some((peer, other)) if other.closed => {
                self.ends.remove(&peer);
                self.ends.remove(&id);
            }
            Some(_) if !end.dead => {}
            _ => drop(self.ends.remove(&id)),
        }
    }

    pub(super) fn ready(&mut self, id: Id, way: Way) {
        let slots = self.slots(id).cloned().unwrap_or_default();
        self.events
            .extend(slots.into_iter().map(|slot| (slot, way)));
    }
}
