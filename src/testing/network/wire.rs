//! The simulated network itself: hosts, sockets, and what is under way between them. Reads no clock: `now` is told.
//!
//! ```text
//!   send ─▶ the other end's `transit` ─ a delivery, when its time has come ─▶ its `received` ─▶ recv
//! ```
//!
//! A delivery takes what is first in transit, so nothing overtakes within a connection, however long it was held up.
//! What crosses a partition is kept until that is healed, as TCP would send it again and again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use super::config::NetworkConfig;
use super::trace::{Kind, Trace};
use crate::io::{Slot, Way};
use crate::testing::chance::Chance;

/// Of a socket; never used again.
pub(super) type Id = u64;
/// Of a host: its place in the list.
pub(super) type HostId = usize;

/// Nanoseconds.
type Time = u64;

const SECOND: Time = 1_000_000_000;
/// Before a connection attempt gives up, after 63 s: the pauses double from 1 s, as on Linux, which waits for another 64 s.
const SYN_ATTEMPTS: u32 = 7;
/// How long what was sent may stay without an answer, before the connection is dead; as on Linux.
const PATIENCE: Time = 924_600_000_000;
/// The first port that is given to whoever asks for none in particular.
const FIRST_PORT: u16 = 32_768;
/// Within a host, in nanoseconds.
const LOOPBACK: RangeInclusive<Time> = 5_000..=50_000;

/// All of it.
pub(super) struct State {
    pub(super) config: NetworkConfig,
    pub(super) now: Time,
    pub(super) trace: Trace,
    pub(super) hosts: Vec<HostState>,
    chance: Chance,
    /// In a simulation the order must not depend on a hasher's keys, so these are trees.
    ends: BTreeMap<Id, End>,
    listeners: BTreeMap<Id, Listener>,
    next_id: Id,
    cuts: BTreeSet<(HostId, HostId)>,
    latencies: BTreeMap<(HostId, HostId), RangeInclusive<Time>>,
    deliveries: BinaryHeap<Reverse<(Time, u64, What)>>,
    /// Kept back by partitions, each with a number.
    held: BTreeMap<u64, Held>,
    count: u64,
    /// What happens once nobody looks at this: events, and times to look for deliveries again.
    pub(super) events: Vec<(Arc<Slot>, Way)>,
    pub(super) alarms: Vec<Time>,
}

pub(super) struct HostState {
    pub(super) name: String,
    pub(super) ip: Ipv4Addr,
    pub(super) up: bool,
    next_port: u16,
}

struct Held {
    between: (HostId, HostId),
    what: What,
}

/// Something that happens at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// An attempt to connect arrives.
    Syn { from: Id, attempt: u32 },
    /// It is refused.
    Refused { to: Id },
    /// The first of what is in transit arrives.
    Item { to: Id },
    /// The peer is gone.
    Reset { to: Id },
    /// The connection breaks, by chance.
    Breaks { end: Id },
    /// Enough of waiting for something that was held.
    GivesUp { held: u64 },
}

/// What is sent over a connection.
enum Item {
    Accepted,
    Data(Vec<u8>),
    Fin,
    /// So many bytes have been read.
    Window(usize),
}

/// One end of a connection.
struct End {
    host: HostId,
    peer_host: HostId,
    local: SocketAddr,
    remote: SocketAddr,
    peer: Option<Id>,
    connected: bool,
    slots: Vec<Arc<Slot>>,
    /// Nobody has a handle any more.
    closed: bool,
    /// Told once.
    error: Option<Errno>,
    /// There is no connection any more.
    dead: bool,
    transit: VecDeque<Item>,
    /// When the last of `transit` arrives.
    arrives: Time,
    received: VecDeque<u8>,
    fin_received: bool,
    fin_sent: bool,
    read_shut: bool,
    /// Bytes sent of which this end does not know that they were read.
    outstanding: usize,
    /// Bytes read which the peer has not been told of.
    untold: usize,
}

struct Listener {
    host: HostId,
    addr: SocketAddr,
    slots: Vec<Arc<Slot>>,
    queue: VecDeque<Id>,
    backlog: usize,
    shares_port: bool,
}

impl State {
    pub(super) fn new(config: NetworkConfig, seed: u64) -> Self {
        Self {
            trace: Trace::new(config.trace),
            config,
            now: 0,
            hosts: Vec::new(),
            chance: Chance::new(seed),
            ends: BTreeMap::new(),
            listeners: BTreeMap::new(),
            next_id: 1,
            cuts: BTreeSet::new(),
            latencies: BTreeMap::new(),
            deliveries: BinaryHeap::new(),
            held: BTreeMap::new(),
            count: 0,
            events: Vec::new(),
            alarms: Vec::new(),
        }
    }

    // ---- hosts and links ----

    pub(super) fn add_host(&mut self, name: &str) -> HostId {
        let number = self.hosts.len() as u32 + 1;
        let ip = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + number);
        self.hosts.push(HostState {
            name: name.to_owned(),
            ip,
            up: true,
            next_port: FIRST_PORT,
        });
        self.hosts.len() - 1
    }

    pub(super) fn host_named(&self, name: &str) -> Option<HostId> {
        self.hosts.iter().position(|host| host.name == name)
    }

    pub(super) fn cut(&mut self, one: HostId, other: HostId) {
        if one != other && self.cuts.insert(ordered(one, other)) {
            self.trace_hosts(Kind::Cut, one, other);
        }
    }

    pub(super) fn heal(&mut self, one: HostId, other: HostId) {
        let link = ordered(one, other);
        if !self.cuts.remove(&link) {
            return;
        }
        self.trace_hosts(Kind::Healed, one, other);
        let freed: Vec<u64> = self
            .held
            .iter()
            .filter(|(_, held)| held.between == link)
            .map(|(&number, _)| number)
            .collect();
        for number in freed {
            if let Some(held) = self.held.remove(&number) {
                self.travel(link.0, link.1, held.what);
            }
        }
    }

    pub(super) fn heal_all(&mut self) {
        for (one, other) in self.cuts.clone() {
            self.heal(one, other);
        }
    }

    pub(super) fn set_latency(
        &mut self,
        one: HostId,
        other: HostId,
        latency: RangeInclusive<Duration>,
    ) {
        self.latencies.insert(ordered(one, other), nanos(&latency));
    }

    /// The program on it is killed: its connections are reset, nobody listens any more.
    pub(super) fn take_down(&mut self, host: HostId) {
        self.hosts[host].up = false;
        self.trace_hosts(Kind::Killed, host, host);
        let listeners: Vec<Id> = self
            .listeners
            .iter()
            .filter(|(_, it)| it.host == host)
            .map(|(&id, _)| id)
            .collect();
        for id in listeners {
            self.close_listener(id);
        }
        let ends: Vec<Id> = self
            .ends
            .iter()
            .filter(|(_, end)| end.host == host)
            .map(|(&id, _)| id)
            .collect();
        for id in ends {
            self.reset_peer(id);
            self.fail(id, Errno::CONNRESET);
        }
    }

    pub(super) fn bring_up(&mut self, host: HostId) {
        self.hosts[host].up = true;
        self.trace_hosts(Kind::Restarted, host, host);
    }

    fn is_cut(&self, one: HostId, other: HostId) -> bool {
        self.cuts.contains(&ordered(one, other))
    }

    /// The host at `ip`, seen from `from`.
    fn find(&self, from: HostId, ip: IpAddr) -> Option<HostId> {
        let ip = ip.to_canonical();
        if ip.is_loopback() || ip.is_unspecified() {
            return Some(from);
        }
        self.hosts.iter().position(|host| IpAddr::V4(host.ip) == ip)
    }

    fn port(&mut self, host: HostId) -> u16 {
        loop {
            let port = self.hosts[host].next_port;
            self.hosts[host].next_port = port.checked_add(1).unwrap_or(FIRST_PORT);
            let listens = self
                .listeners
                .values()
                .any(|it| it.host == host && it.addr.port() == port);
            let connected = self
                .ends
                .values()
                .any(|it| it.host == host && it.local.port() == port);
            if !listens && !connected {
                return port;
            }
        }
    }

    // ---- deliveries ----

    fn schedule(&mut self, at: Time, what: What) {
        self.count += 1;
        self.deliveries.push(Reverse((at, self.count, what)));
        self.alarms.push(at);
    }

    fn latency(&mut self, one: HostId, other: HostId) -> Time {
        let range = if one == other {
            LOOPBACK
        } else {
            let link = self.latencies.get(&ordered(one, other)).cloned();
            link.unwrap_or_else(|| nanos(&self.config.latency))
        };
        self.chance.within(range)
    }

    /// Sends `what` over the link; what belongs to a connection arrives in the order in which it was sent.
    fn travel(&mut self, from: HostId, to: HostId, what: What) {
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
    fn transmit(&mut self, id: Id, item: Item) {
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
    pub(super) fn deliver(&mut self) {
        while let Some(&Reverse((at, _, what))) = self.deliveries.peek() {
            if at > self.now {
                break;
            }
            self.deliveries.pop();
            self.happen(what);
        }
    }

    fn happen(&mut self, what: What) {
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
    fn hold(&mut self, to: Id, what: What) -> bool {
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

    fn arrive(&mut self, to: Id) {
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
    fn fail(&mut self, id: Id, error: Errno) {
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

    fn reset_peer(&mut self, id: Id) {
        let Some(end) = self.ends.get(&id) else {
            return;
        };
        if let (from, to, Some(peer), false) = (end.host, end.peer_host, end.peer, end.dead) {
            self.travel(from, to, What::Reset { to: peer });
        }
    }

    /// Drops an end that nobody will ask for any more: it is closed, and its connection is over or the peer's too.
    fn forget(&mut self, id: Id) {
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

    fn ready(&mut self, id: Id, way: Way) {
        let end = self.ends.get(&id).map(|end| &end.slots);
        let slots = end.or_else(|| self.listeners.get(&id).map(|listener| &listener.slots));
        let slots = slots.into_iter().flatten();
        self.events.extend(slots.map(|slot| (slot.clone(), way)));
    }

    // ---- connecting ----

    /// Begins to connect.
    pub(super) fn connect(&mut self, host: HostId, remote: SocketAddr) -> io::Result<Id> {
        self.must_be_up(host)?;
        let peer_host = self.find(host, remote.ip()).ok_or(Errno::HOSTUNREACH)?;
        let ip = if peer_host == host {
            remote.ip()
        } else {
            IpAddr::V4(self.hosts[host].ip)
        };
        let local = SocketAddr::new(ip, self.port(host));
        let id = self.add_end(End::new(host, peer_host, local, remote));
        self.trace_end(Kind::Connect, id, 0);
        self.travel(
            host,
            peer_host,
            What::Syn {
                from: id,
                attempt: 1,
            },
        );
        Ok(id)
    }

    fn add_end(&mut self, end: End) -> Id {
        let id = self.next_id;
        self.next_id += 1;
        self.ends.insert(id, end);
        id
    }

    fn syn(&mut self, from: Id, attempt: u32) {
        let Some(client) = self.ends.get(&from).filter(|end| !end.dead && !end.closed) else {
            return;
        };
        let (host, server, local, remote) =
            (client.host, client.peer_host, client.local, client.remote);
        let listener = self.listening(server, remote);
        let full = listener.is_some_and(|id| {
            let listener = &self.listeners[&id];
            listener.queue.len() >= listener.backlog
        });
        if self.is_cut(host, server) || full {
            // It is lost, and sent again.
            if attempt == SYN_ATTEMPTS {
                self.trace_end(Kind::TimedOut, from, 0);
                return self.fail(from, Errno::TIMEDOUT);
            }
            let pause = SECOND << (attempt - 1);
            return self.schedule(
                self.now + pause,
                What::Syn {
                    from,
                    attempt: attempt + 1,
                },
            );
        }
        let refused = self.chance.happens(self.config.refusals);
        let Some(listener) = listener.filter(|_| !refused) else {
            return self.travel(server, host, What::Refused { to: from });
        };
        let accepted = self.add_end(End {
            peer: Some(from),
            connected: true,
            ..End::new(server, host, remote, local)
        });
        self.ends.get_mut(&from).expect("looked at above").peer = Some(accepted);
        self.transmit(accepted, Item::Accepted);
        self.listeners
            .get_mut(&listener)
            .expect("found above")
            .queue
            .push_back(accepted);
        self.ready(listener, Way::Read);
    }

    /// Who listens at `addr` of `host`; one of those that share the port, by chance.
    fn listening(&mut self, host: HostId, addr: SocketAddr) -> Option<Id> {
        let matches = |listener: &Listener| {
            let ip = listener.addr.ip();
            listener.host == host
                && listener.addr.port() == addr.port()
                && (ip.is_unspecified() || ip.to_canonical() == addr.ip().to_canonical())
        };
        let found: Vec<Id> = self
            .listeners
            .iter()
            .filter(|(_, it)| matches(it))
            .map(|(&id, _)| id)
            .collect();
        match found[..] {
            [] => None,
            [one] => Some(one),
            _ => Some(found[self.chance.below(found.len())]),
        }
    }

    pub(super) fn outcome(&mut self, id: Id) -> io::Result<()> {
        let end = self.end(id)?;
        match end.error.take() {
            Some(error) => Err(error.into()),
            None if end.connected || end.dead => Ok(()),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    // ---- listening ----

    pub(super) fn listen(
        &mut self,
        host: HostId,
        mut addr: SocketAddr,
        backlog: usize,
        shares_port: bool,
    ) -> io::Result<Id> {
        self.must_be_up(host)?;
        if self.find(host, addr.ip()) != Some(host) {
            return Err(Errno::ADDRNOTAVAIL.into());
        }
        if addr.port() == 0 {
            addr.set_port(self.port(host));
        }
        let taken = self.listeners.values().any(|it| {
            let (one, other) = (it.addr.ip(), addr.ip());
            it.host == host
                && it.addr.port() == addr.port()
                && (one == other || one.is_unspecified() || other.is_unspecified())
                && !(it.shares_port && shares_port)
        });
        if taken {
            return Err(Errno::ADDRINUSE.into());
        }
        let id = self.next_id;
        self.next_id += 1;
        self.listeners.insert(
            id,
            Listener {
                host,
                addr,
                slots: Vec::new(),
                queue: VecDeque::new(),
                backlog: backlog.max(1),
                shares_port,
            },
        );
        Ok(id)
    }

    pub(super) fn accept(&mut self, id: Id) -> io::Result<(Id, SocketAddr)> {
        let listener = self.listeners.get_mut(&id).ok_or(Errno::INVAL)?;
        loop {
            let accepted = listener
                .queue
                .pop_front()
                .ok_or(io::ErrorKind::WouldBlock)?;
            if let Some(end) = self.ends.get(&accepted) {
                return Ok((accepted, end.remote));
            }
        }
    }

    fn close_listener(&mut self, id: Id) {
        self.ready(id, Way::Read);
        let Some(listener) = self.listeners.remove(&id) else {
            return;
        };
        for accepted in listener.queue {
            self.close(accepted, true);
        }
    }

    fn must_be_up(&self, host: HostId) -> io::Result<()> {
        match self.hosts[host].up {
            true => Ok(()),
            false => Err(Errno::NETDOWN.into()),
        }
    }

    // ---- handles ----

    pub(super) fn attach(&mut self, id: Id, slot: Arc<Slot>) {
        if let Some(end) = self.ends.get_mut(&id) {
            end.slots.push(slot);
        } else if let Some(listener) = self.listeners.get_mut(&id) {
            listener.slots.push(slot);
        }
    }

    /// # Errors
    /// The handle was closed, or its host was killed.
    pub(super) fn check(&self, id: Id, slot: &Arc<Slot>) -> io::Result<()> {
        let end = self.ends.get(&id).map(|end| &end.slots);
        let slots = end.or_else(|| self.listeners.get(&id).map(|it| &it.slots));
        match slots
            .ok_or(Errno::NETDOWN)?
            .iter()
            .any(|it| Arc::ptr_eq(it, slot))
        {
            true => Ok(()),
            false => Err(Errno::BADF.into()),
        }
    }

    pub(super) fn detach(&mut self, id: Id, slot: &Arc<Slot>, resets: bool) {
        let end = self.ends.get_mut(&id).map(|end| &mut end.slots);
        let Some(slots) = end.or_else(|| self.listeners.get_mut(&id).map(|it| &mut it.slots))
        else {
            return;
        };
        let before = slots.len();
        slots.retain(|it| !Arc::ptr_eq(it, slot));
        if before == 0 || !slots.is_empty() || slots.len() == before {
            return;
        }
        if self.listeners.contains_key(&id) {
            self.close_listener(id);
        } else {
            self.close(id, resets);
        }
    }

    /// The last handle of an end is gone.
    fn close(&mut self, id: Id, resets: bool) {
        let Some(end) = self.ends.get_mut(&id) else {
            return;
        };
        end.closed = true;
        // Whoever does not read what came is impolite, and so is answered: as on Linux.
        let resets = resets || !end.received.is_empty();
        let (dead, fin_sent) = (end.dead, mem::replace(&mut end.fin_sent, true));
        if !dead && resets {
            self.reset_peer(id);
            if let Some(end) = self.ends.get_mut(&id) {
                end.dead = true;
            }
        } else if !dead && !fin_sent {
            self.transmit(id, Item::Fin);
        }
        self.forget(id);
    }

    pub(super) fn local_addr(&mut self, id: Id) -> io::Result<SocketAddr> {
        match self.listeners.get(&id) {
            Some(listener) => Ok(listener.addr),
            None => Ok(self.end(id)?.local),
        }
    }

    pub(super) fn peer_addr(&mut self, id: Id) -> io::Result<SocketAddr> {
        let end = self.end(id)?;
        if !end.connected || end.dead {
            return Err(Errno::NOTCONN.into());
        }
        Ok(end.remote)
    }

    pub(super) fn take_error(&mut self, id: Id) -> Option<io::Error> {
        Some(self.ends.get_mut(&id)?.error.take()?.into())
    }

    fn end(&mut self, id: Id) -> io::Result<&mut End> {
        Ok(self.ends.get_mut(&id).ok_or(Errno::NOTCONN)?)
    }

    pub(super) fn is_ready(&self, id: Id, way: Way) -> bool {
        if let Some(listener) = self.listeners.get(&id) {
            return way == Way::Read && !listener.queue.is_empty();
        }
        let Some(end) = self.ends.get(&id) else {
            return true;
        };
        match way {
            Way::Read => !end.received.is_empty() || end.dead || end.fin_received || end.read_shut,
            Way::Write => {
                end.dead || end.fin_sent || (end.connected && end.outstanding < self.config.buffer)
            }
        }
    }

    // ---- bytes ----

    pub(super) fn recv(
        &mut self,
        id: Id,
        bufs: &mut [IoSliceMut<'_>],
        peek: bool,
    ) -> io::Result<usize> {
        let end = self.ends.get_mut(&id).ok_or(Errno::NOTCONN)?;
        let room: usize = bufs.iter().map(|buf| buf.len()).sum();
        if room == 0 {
            return Ok(0);
        }
        let there = end.received.len().min(room);
        if there == 0 {
            return match end.error.take() {
                Some(error) => Err(error.into()),
                None if end.dead || end.fin_received || end.read_shut => Ok(0),
                None => Err(io::ErrorKind::WouldBlock.into()),
            };
        }
        let count = if self.config.chop {
            self.chance.part(there)
        } else {
            there
        };
        let mut bytes = end.received.iter().copied();
        let mut left = count;
        for buf in bufs {
            let part = left.min(buf.len());
            buf[..part]
                .iter_mut()
                .zip(&mut bytes)
                .for_each(|(to, from)| *to = from);
            left -= part;
        }
        if !peek {
            end.received.drain(..count);
            end.untold += count;
            self.tell(id);
        }
        Ok(count)
    }

    /// Tells the peer how much was read here, if it is about to run out of room.
    fn tell(&mut self, id: Id) {
        let half = self.config.buffer / 2;
        let Some(end) = self.ends.get(&id) else {
            return;
        };
        let peer = end.peer.and_then(|peer| self.ends.get(&peer));
        if end.dead || peer.is_none_or(|peer| peer.outstanding <= half) {
            return;
        }
        let count = mem::take(&mut self.ends.get_mut(&id).expect("looked at above").untold);
        self.transmit(id, Item::Window(count));
    }

    pub(super) fn send(&mut self, id: Id, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let end = self.ends.get_mut(&id).ok_or(Errno::NOTCONN)?;
        if let Some(error) = end.error.take() {
            return Err(error.into());
        }
        if end.dead || end.fin_sent {
            return Err(Errno::PIPE.into());
        }
        let len: usize = bufs.iter().map(|buf| buf.len()).sum();
        if len == 0 {
            return Ok(0);
        }
        let room = self.config.buffer.saturating_sub(end.outstanding);
        if !end.connected || room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = len.min(room);
        let count = if self.config.chop {
            self.chance.part(count)
        } else {
            count
        };
        end.outstanding += count;
        let bytes: Vec<u8> = bufs
            .iter()
            .flat_map(|buf| buf.iter().copied())
            .take(count)
            .collect();
        self.transmit(id, Item::Data(bytes));
        if self.chance.happens(self.config.resets) {
            self.lose(id);
        }
        Ok(count)
    }

    /// The connection will break, soon: before, while or after what was just sent arrives. Each end learns it by itself.
    fn lose(&mut self, id: Id) {
        let Some(end) = self.ends.get(&id) else {
            return;
        };
        let (one, other, peer) = (end.host, end.peer_host, end.peer);
        for end in [Some(id), peer].into_iter().flatten() {
            let at = self.now + self.latency(one, other) + self.latency(one, other) / 2;
            self.schedule(at, What::Breaks { end });
        }
    }

    pub(super) fn shutdown(&mut self, id: Id, how: Shutdown) -> io::Result<()> {
        let end = self.end(id)?;
        if end.dead || !end.connected {
            return Err(Errno::NOTCONN.into());
        }
        if how != Shutdown::Write {
            end.read_shut = true;
            self.ready(id, Way::Read);
        }
        if how != Shutdown::Read && !mem::replace(&mut self.end(id)?.fin_sent, true) {
            self.transmit(id, Item::Fin);
            self.ready(id, Way::Write);
        }
        Ok(())
    }

    // ---- the trace ----

    fn trace_end(&mut self, kind: Kind, id: Id, count: usize) {
        if let Some(end) = self.ends.get(&id) {
            self.trace
                .push(self.now, kind, end.local, end.remote, count);
        }
    }

    fn trace_hosts(&mut self, kind: Kind, one: HostId, other: HostId) {
        let addr = |host: HostId| SocketAddr::new(self.hosts[host].ip.into(), 0);
        let (one, other) = (addr(one), addr(other));
        self.trace.push(self.now, kind, one, other, 0);
    }
}

impl End {
    fn new(host: HostId, peer_host: HostId, local: SocketAddr, remote: SocketAddr) -> Self {
        Self {
            host,
            peer_host,
            local,
            remote,
            peer: None,
            connected: false,
            slots: Vec::new(),
            closed: false,
            error: None,
            dead: false,
            transit: VecDeque::new(),
            arrives: 0,
            received: VecDeque::new(),
            fin_received: false,
            fin_sent: false,
            read_shut: false,
            outstanding: 0,
            untold: 0,
        }
    }
}

fn ordered(one: HostId, other: HostId) -> (HostId, HostId) {
    (one.min(other), one.max(other))
}

fn nanos(range: &RangeInclusive<Duration>) -> RangeInclusive<Time> {
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4);
    nanos(*range.start())..=nanos(*range.end())
}
