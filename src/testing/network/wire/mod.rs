//! The simulated network itself: hosts, sockets, and what is under way between them. Reads no clock: `now` is told.
//!
//! ```text
//!   send ─▶ the other end's `transit` ─ a delivery, when its time has come ─▶ its `received` ─▶ recv
//! ```
//!
//! A delivery takes what is first in transit, so nothing overtakes within a connection, however long it was held up.
//! What crosses a partition is kept until that is healed, as TCP would send it again and again.

mod connecting;
mod datagrams;
mod delivery;
mod ends;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use super::config::NetworkConfig;
use super::trace::{Kind, Trace};
use crate::io::{Slot, Way};
use crate::testing::chance::Chance;
pub(super) use datagrams::Received;
use datagrams::{Flight, Mailbox};

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
    mailboxes: BTreeMap<Id, Mailbox>,
    /// Datagrams in the air, each with a number.
    flights: BTreeMap<u64, Flight>,
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
    /// A datagram arrives.
    Datagram { flight: u64 },
    /// Its sender hears that nobody receives it.
    Unreachable { flight: u64 },
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
            mailboxes: BTreeMap::new(),
            flights: BTreeMap::new(),
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

    /// The program on it is killed: its connections are reset, nobody listens or receives any more.
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
        let mailboxes: Vec<Id> = self
            .mailboxes
            .iter()
            .filter(|(_, it)| it.host == host)
            .map(|(&id, _)| id)
            .collect();
        for id in mailboxes {
            self.close_mailbox(id);
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

    /// Where a socket of `host`'s that is bound to `address` is: with a port of its own if none was chosen.
    fn own_address(&mut self, host: HostId, mut address: SocketAddr) -> io::Result<SocketAddr> {
        self.must_be_up(host)?;
        if self.find(host, address.ip()) != Some(host) {
            return Err(Errno::ADDRNOTAVAIL.into());
        }
        if address.port() == 0 {
            address.set_port(self.port(host));
        }
        Ok(address)
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
            let receives = self
                .mailboxes
                .values()
                .any(|it| it.host == host && it.local.port() == port);
            if !listens && !connected && !receives {
                return port;
            }
        }
    }

    /// The handles of a socket.
    fn slots(&mut self, id: Id) -> Option<&mut Vec<Arc<Slot>>> {
        if let Some(end) = self.ends.get_mut(&id) {
            return Some(&mut end.slots);
        }
        if let Some(listener) = self.listeners.get_mut(&id) {
            return Some(&mut listener.slots);
        }
        self.mailboxes.get_mut(&id).map(|it| &mut it.slots)
    }

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

/// Would two sockets of a host get what is sent to the same address?
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let (ip, others) = (one.ip(), other.ip());
    one.port() == other.port() && (ip == others || ip.is_unspecified() || others.is_unspecified())
}
