//! Datagrams: each travels by itself, and nobody sends it again.
//!
//! ```text
//!   send ─▶ in the air ─ its time has come ─▶ the queue of whoever receives there ─▶ recv
//!       └─▶ lost, now or there: by chance, by a partition, by a full queue       or nobody: the sender may be told
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustix::io::Errno;

use super::{HostId, Id, State, Time, What, clash};
use crate::io::{Slot, Way};
use crate::testing::network::trace::Kind;

/// What fits into one, with the headers of IPv4.
const LONGEST: usize = 65_507;
/// What Linux counts for one besides its bytes.
const OVERHEAD: usize = 768;
/// As many bytes of one socket may be in the air; what is sent beyond that is lost, as in a router that is too slow.
const IN_THE_AIR: usize = 1 << 24;
/// Of so many peers a socket remembers without looking when the latest datagram to each arrives.
const FEW: usize = 64;

/// A socket for datagrams.
pub(super) struct Mailbox {
    pub(super) host: HostId,
    pub(super) local: SocketAddr,
    /// All it receives from, once that is fixed.
    peer: Option<SocketAddr>,
    shares_port: bool,
    pub(super) slots: Vec<Arc<Slot>>,
    queue: VecDeque<Letter>,
    /// What `queue` counts for.
    queued: usize,
    /// Told once: nobody receives at the peer's address.
    pub(super) error: Option<Errno>,
    in_the_air: usize,
    /// When the latest that overtakes nothing arrives at each peer's.
    arrivals: BTreeMap<SocketAddr, Time>,
}

struct Letter {
    from: SocketAddr,
    bytes: Arc<[u8]>,
}

/// A datagram that has been sent and has not arrived.
pub(super) struct Flight {
    sender: Id,
    hosts: (HostId, HostId),
    from: SocketAddr,
    to: SocketAddr,
    bytes: Arc<[u8]>,
}

/// What was received: how much of it, how long it was, and where from.
pub(crate) struct Received {
    pub(crate) count: usize,
    pub(crate) len: usize,
    pub(crate) from: SocketAddr,
}

impl Mailbox {
    /// Does it receive from `from` at `to`? The best of several has the most points.
    fn points(&self, host: HostId, to: SocketAddr, from: SocketAddr) -> Option<u32> {
        let ip = self.local.ip();
        let exact = ip.to_canonical() == to.ip();
        let any = ip.is_unspecified() && (ip.is_ipv6() || to.is_ipv4());
        let is_peer = self.peer.map(|peer| canonical(peer) == from);
        let receives = self.host == host
            && self.local.port() == to.port()
            && (exact || any)
            && is_peer.unwrap_or(true);
        receives.then(|| 2 * u32::from(is_peer.is_some()) + u32::from(exact))
    }

    /// An address as its owner wants it.
    fn show(&self, addr: SocketAddr) -> SocketAddr {
        match (self.local.ip(), addr.ip()) {
            (IpAddr::V6(_), IpAddr::V4(ip)) => {
                SocketAddr::new(ip.to_ipv6_mapped().into(), addr.port())
            }
            _ => addr,
        }
    }
}

impl State {
    pub(in super::super) fn bind(
        &mut self,
        host: HostId,
        local: SocketAddr,
        shares_port: bool,
    ) -> io::Result<Id> {
        let local = self.own_address(host, local)?;
        let mut boxes = self.mailboxes.values();
        if boxes
            .any(|it| it.host == host && clash(it.local, local) && !(it.shares_port && shares_port))
        {
            return Err(Errno::ADDRINUSE.into());
        }
        let id = self.next_id;
        self.next_id += 1;
        let mailbox = Mailbox {
            host,
            local,
            peer: None,
            shares_port,
            slots: Vec::new(),
            queue: VecDeque::new(),
            queued: 0,
            error: None,
            in_the_air: 0,
            arrivals: BTreeMap::new(),
        };
        self.mailboxes.insert(id, mailbox);
        Ok(id)
    }

    /// Fixes the peer.
    pub(in super::super) fn fix_peer(&mut self, id: Id, peer: SocketAddr) -> io::Result<()> {
        let from = self.source(id, peer)?;
        let mailbox = self.mailbox(id)?;
        let local = SocketAddr::new(from.ip(), mailbox.local.port());
        mailbox.local = mailbox.show(local);
        mailbox.peer = Some(peer);
        Ok(())
    }

    pub(in super::super) fn fixed_peer(&mut self, id: Id) -> io::Result<SocketAddr> {
        Ok(self.mailbox(id)?.peer.ok_or(Errno::NOTCONN)?)
    }

    /// Sends a datagram, to the peer if nobody is named.
    pub(in super::super) fn send_datagram(
        &mut self,
        id: Id,
        bytes: &[u8],
        to: Option<SocketAddr>,
    ) -> io::Result<usize> {
        let mailbox = self.mailbox(id)?;
        if let Some(error) = mailbox.error.take() {
            return Err(error.into());
        }
        let to = to.or(mailbox.peer).ok_or(Errno::DESTADDRREQ)?;
        if bytes.len() > LONGEST {
            return Err(Errno::MSGSIZE.into());
        }
        let from = self.source(id, to)?;
        let to = reachable(canonical(to));
        let host = self.mailbox(id)?.host;
        let len = bytes.len();
        let loss = self.config.loss;
        // An address that nobody has swallows what is sent there.
        let there = self.find(host, to.ip());
        let passes = there.filter(|&there| !self.is_cut(host, there));
        let passes = passes.filter(|&there| there == host || !self.chance.happens(loss));
        let Some(there) = passes else {
            self.trace.push(self.now, Kind::Lost, from, to, len);
            return Ok(len);
        };
        let times = match there != host && self.chance.happens(self.config.duplicates) {
            true => 2,
            false => 1,
        };
        let bytes: Arc<[u8]> = bytes.into();
        for _ in 0..times {
            let flight = Flight {
                sender: id,
                hosts: (host, there),
                from,
                to,
                bytes: bytes.clone(),
            };
            self.send_off(flight);
        }
        Ok(len)
    }

    fn send_off(&mut self, flight: Flight) {
        let (host, there) = flight.hosts;
        let now = self.now;
        let overtaken = host != there && self.chance.happens(self.config.reorder);
        let mut at = now + self.latency(host, there);
        if overtaken {
            // Until others that were sent later have arrived.
            for _ in 0..4 {
                at += self.latency(host, there);
            }
        }
        let Some(mailbox) = self.mailboxes.get_mut(&flight.sender) else {
            return;
        };
        let weight = flight.bytes.len() + OVERHEAD;
        if mailbox.in_the_air + weight > IN_THE_AIR {
            let (from, to, len) = (flight.from, flight.to, flight.bytes.len());
            return self.trace.push(now, Kind::Lost, from, to, len);
        }
        mailbox.in_the_air += weight;
        if !overtaken {
            if mailbox.arrivals.len() >= FEW {
                mailbox.arrivals.retain(|_, latest| *latest > now);
            }
            let latest = mailbox.arrivals.entry(flight.to).or_default();
            *latest = at.max(*latest);
            at = *latest;
        }
        self.count += 1;
        let number = self.count;
        self.flights.insert(number, flight);
        self.schedule(at, What::Datagram { flight: number });
    }

    /// A datagram is where it should be, unless a partition has come in between.
    pub(super) fn land(&mut self, number: u64) {
        let Some(flight) = self.flights.remove(&number) else {
            return;
        };
        let (from, to, len) = (flight.from, flight.to, flight.bytes.len());
        if let Some(sender) = self.mailboxes.get_mut(&flight.sender) {
            sender.in_the_air -= len + OVERHEAD;
        }
        let (host, there) = flight.hosts;
        if self.is_cut(host, there) {
            return self.trace.push(self.now, Kind::Lost, from, to, len);
        }
        let Some(receiver) = self.receiver(there, to, from) else {
            return self.turn_back(flight);
        };
        let limit = self.config.datagram_buffer;
        let mailbox = self.mailboxes.get_mut(&receiver).expect("it was found");
        // One goes in, whatever its size: as on Linux.
        if mailbox.queued > 0 && mailbox.queued + len + OVERHEAD > limit {
            return self.trace.push(self.now, Kind::Full, to, from, len);
        }
        mailbox.queued += len + OVERHEAD;
        let bytes = flight.bytes;
        mailbox.queue.push_back(Letter { from, bytes });
        self.trace.push(self.now, Kind::Datagram, to, from, len);
        self.ready(receiver, Way::Read);
    }

    /// Who receives what comes from `from` at `to`. Of several as good, a sender always has the same.
    fn receiver(&self, host: HostId, to: SocketAddr, from: SocketAddr) -> Option<Id> {
        let points = |it: &Mailbox| it.points(host, to, from);
        let most = self.mailboxes.values().filter_map(points).max()?;
        let mut best = self
            .mailboxes
            .iter()
            .filter(|(_, it)| points(it) == Some(most))
            .map(|(&id, _)| id);
        let count = best.clone().count();
        best.nth(usize::from(from.port()) % count)
    }

    /// Nobody receives there: its host says so, and that may get lost too.
    fn turn_back(&mut self, flight: Flight) {
        let (host, there) = flight.hosts;
        if host != there && self.chance.happens(self.config.loss) {
            return;
        }
        let at = self.now + self.latency(there, host);
        self.count += 1;
        let number = self.count;
        self.flights.insert(number, flight);
        self.schedule(at, What::Unreachable { flight: number });
    }

    /// A sender hears that nobody received what it sent, if that was to its peer.
    pub(super) fn unreachable(&mut self, number: u64) {
        let Some(flight) = self.flights.remove(&number) else {
            return;
        };
        if self.is_cut(flight.hosts.0, flight.hosts.1) {
            return;
        }
        let Some(mailbox) = self.mailboxes.get_mut(&flight.sender) else {
            return;
        };
        let peer = mailbox.peer.map(|peer| reachable(canonical(peer)));
        if peer == Some(flight.to) {
            mailbox.error = Some(Errno::CONNREFUSED);
            self.trace
                .push(self.now, Kind::Unreachable, flight.from, flight.to, 0);
            self.ready(flight.sender, Way::Read);
            self.ready(flight.sender, Way::Write);
        }
    }

    /// Takes the next datagram, or looks at it.
    pub(in super::super) fn recv_datagram(
        &mut self,
        id: Id,
        buf: &mut [u8],
        peek: bool,
    ) -> io::Result<Received> {
        let mailbox = self.mailbox(id)?;
        if let Some(error) = mailbox.error.take() {
            return Err(error.into());
        }
        let letter = mailbox.queue.front().ok_or(io::ErrorKind::WouldBlock)?;
        let len = letter.bytes.len();
        let count = len.min(buf.len());
        buf[..count].copy_from_slice(&letter.bytes[..count]);
        let from = mailbox.show(letter.from);
        if !peek {
            mailbox.queue.pop_front();
            mailbox.queued -= len + OVERHEAD;
        }
        Ok(Received { count, len, from })
    }

    pub(super) fn is_mailbox_ready(&self, id: Id, way: Way) -> Option<bool> {
        let mailbox = self.mailboxes.get(&id)?;
        Some(way == Way::Write || !mailbox.queue.is_empty() || mailbox.error.is_some())
    }

    /// Nobody receives there any more.
    pub(super) fn close_mailbox(&mut self, id: Id) {
        self.ready(id, Way::Read);
        self.ready(id, Way::Write);
        self.mailboxes.remove(&id);
    }

    fn mailbox(&mut self, id: Id) -> io::Result<&mut Mailbox> {
        Ok(self.mailboxes.get_mut(&id).ok_or(Errno::NETDOWN)?)
    }

    /// Where what `id` sends to `to` comes from.
    fn source(&self, id: Id, to: SocketAddr) -> io::Result<SocketAddr> {
        let mailbox = self.mailboxes.get(&id).ok_or(Errno::NETDOWN)?;
        let (local, host) = (mailbox.local, mailbox.host);
        if local.is_ipv4() && to.is_ipv6() {
            return Err(Errno::AFNOSUPPORT.into());
        }
        if to.port() == 0 {
            return Err(Errno::INVAL.into());
        }
        let to = reachable(canonical(to));
        let own = local.ip().to_canonical();
        if own.is_loopback() && self.find(host, to.ip()) != Some(host) {
            // It does not leave this host.
            return Err(Errno::INVAL.into());
        }
        let ip = match own.is_unspecified() {
            false => own,
            true if to.ip().is_loopback() => to.ip(),
            true => self.hosts[host].ip.into(),
        };
        Ok(SocketAddr::new(ip, local.port()))
    }
}

/// Without the form that IPv6 gives to an address of IPv4.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// What is sent to no address in particular goes to the own host, says Linux.
fn reachable(addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, addr.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => {
            (std::net::Ipv6Addr::LOCALHOST, addr.port()).into()
        }
        _ => addr,
    }
}
