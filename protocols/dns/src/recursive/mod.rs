//! Finding answers from the root down, without anybody's help.
//!
//! ```text
//!   the closest zone that is known (the root, at first)
//!        │
//!        ▼
//!   ask one of its servers ──▶ referral: a zone below, kept ──┐
//!        ▲ │                                                  │
//!        │ ├─▶ alias: begin again with its target             │
//!        │ ├─▶ answer, no such record, no such name: done     │
//!        │ └─▶ nothing of use: the next server                │
//!        └────────────────────────────────────────────────────┘
//! ```
//!
//! A look-up, with everything that it leads to, sends [`Limits::upstream_queries`] messages at most.

mod step;
mod zones;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use grapeshot::time;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, Record, RecordType};

use crate::answer::{Answer, Kind};
use crate::cache::Cache;
use crate::error::{Attempt, Error, Failure, Transport};
use crate::exchange::{Exchanged, Exchanger, How, random_below};
use crate::limits::Limits;
use crate::message::{EDNS_UDP, Question};
use step::{Delegation, Step, gather, interpret};
use zones::Zones;

/// Name servers of one zone whose addresses are looked up, before it is given up: a zone that names many of them makes
/// others pay.
const MAX_SOUGHT: usize = 4;
/// As many labels are shown one by one (RFC 9156, section 2.3, has a similar one); then the whole name is.
const MAX_MINIMISED: usize = 6;

/// How a recursive resolver works.
///
/// ```
/// use grapeshot_dns::{Limits, Recursion, Resolver};
///
/// let resolver = Resolver::recursive(Recursion::default(), Limits::default());
/// # drop(resolver);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Recursion {
    /// Servers of the root, to begin with; they are asked for the others. Default: those of the internet.
    pub roots: Vec<IpAddr>,
    /// The port of all name servers. Default 53.
    pub port: u16,
    /// Whether name servers at loopback addresses are asked. Default false: nobody out there may send us to ourselves.
    pub loopback: bool,
    /// How long a server's answer is waited for, in a first round through the servers of a zone, and in a second. Default 1.5 s
    /// and 4 s.
    pub timeouts: [Duration; 2],
    /// Spell names in random upper and lower case, see [`Config::random_case`](crate::Config::random_case). Default true.
    pub random_case: bool,
    /// Show each server no more of a name than it needs (RFC 9156). Default true.
    pub minimise: bool,
}

impl Default for Recursion {
    fn default() -> Self {
        let v4 = ROOTS.iter().map(|(v4, _)| IpAddr::from(*v4));
        let v6 = ROOTS.iter().map(|(_, v6)| IpAddr::from(*v6));
        Self {
            roots: v4.chain(v6).collect(),
            port: crate::config::PORT,
            loopback: false,
            timeouts: [Duration::from_millis(1_500), Duration::from_secs(4)],
            random_case: true,
            minimise: true,
        }
    }
}

/// a.root-servers.net to m.root-servers.net.
const ROOTS: [(Ipv4Addr, Ipv6Addr); 13] = [
    root(198, 41, 0, 4, [0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30]),
    root(170, 247, 170, 2, [0x2801, 0x1b8, 0x10, 0, 0, 0, 0, 0xb]),
    root(192, 33, 4, 12, [0x2001, 0x500, 2, 0, 0, 0, 0, 0xc]),
    root(199, 7, 91, 13, [0x2001, 0x500, 0x2d, 0, 0, 0, 0, 0xd]),
    root(192, 203, 230, 10, [0x2001, 0x500, 0xa8, 0, 0, 0, 0, 0xe]),
    root(192, 5, 5, 241, [0x2001, 0x500, 0x2f, 0, 0, 0, 0, 0xf]),
    root(192, 112, 36, 4, [0x2001, 0x500, 0x12, 0, 0, 0, 0, 0xd0d]),
    root(198, 97, 190, 53, [0x2001, 0x500, 1, 0, 0, 0, 0, 0x53]),
    root(192, 36, 148, 17, [0x2001, 0x7fe, 0, 0, 0, 0, 0, 0x53]),
    root(192, 58, 128, 30, [0x2001, 0x503, 0xc27, 0, 0, 0, 2, 0x30]),
    root(193, 0, 14, 129, [0x2001, 0x7fd, 0, 0, 0, 0, 0, 1]),
    root(199, 7, 83, 42, [0x2001, 0x500, 0x9f, 0, 0, 0, 0, 0x42]),
    root(202, 12, 27, 33, [0x2001, 0xdc3, 0, 0, 0, 0, 0, 0x35]),
];

const fn root(a: u8, b: u8, c: u8, d: u8, v6: [u16; 8]) -> (Ipv4Addr, Ipv6Addr) {
    let [s, t, u, v, w, x, y, z] = v6;
    (
        Ipv4Addr::new(a, b, c, d),
        Ipv6Addr::new(s, t, u, v, w, x, y, z),
    )
}

#[derive(Debug)]
pub(crate) struct Recursive {
    recursion: Recursion,
    zones: Zones,
}

impl Recursive {
    pub(crate) fn new(recursion: Recursion, limits: &Limits) -> Self {
        Self {
            recursion,
            zones: Zones::new(limits),
        }
    }

    pub(crate) fn clear(&self) {
        self.zones.clear();
    }

    /// Finds the answer. **May suspend.**
    pub(crate) fn resolve(
        &self,
        exchanger: &Exchanger,
        cache: &Cache,
        limits: &Limits,
        question: &Question,
    ) -> Result<Answer, Error> {
        let mut walk = Walk {
            recursive: self,
            exchanger,
            cache,
            limits,
            sent: 0,
            without_v6: false,
            asked: question.to_string(),
            attempts: Vec::new(),
        };
        walk.resolve(question, 0)
    }
}

/// One look-up, with those that it leads to.
struct Walk<'a> {
    recursive: &'a Recursive,
    exchanger: &'a Exchanger,
    cache: &'a Cache,
    limits: &'a Limits,
    /// Messages so far.
    sent: usize,
    /// This host has no way there.
    without_v6: bool,
    /// What it is all about.
    asked: String,
    /// What came to nothing.
    attempts: Vec<Attempt>,
}

impl Walk<'_> {
    /// Follows aliases to their end.
    fn resolve(&mut self, question: &Question, depth: usize) -> Result<Answer, Error> {
        let mut aliases: Vec<Record> = Vec::new();
        let mut current = question.clone();
        loop {
            let mut answer = match self.cache.get(&current, time::now()) {
                Some(answer) => answer,
                None => match self.find(&current, depth)? {
                    Found::Answer(answer) => {
                        self.cache.keep(&answer, time::now(), self.limits);
                        *answer
                    }
                    Found::Alias { records, target } => {
                        aliases.extend(records);
                        if aliases.len() > self.limits.aliases {
                            return Err(self.given_up(Failure::TooManyAliases(self.limits.aliases)));
                        }
                        current = Question::new(target, question.record_type());
                        continue;
                    }
                },
            };
            answer.records.splice(0..0, aliases);
            answer.question = question.clone();
            return Ok(answer);
        }
    }

    /// Walks down from the closest zone that is known.
    fn find(&mut self, question: &Question, depth: usize) -> Result<Found, Error> {
        let known = self.recursive.zones.closest(question.name(), time::now());
        let mut zone = match known {
            Some(zone) => zone,
            None => self.prime()?,
        };
        let all = question.name().iter().count();
        // Labels of the name that the servers of the zone have been shown.
        let mut shown = zone.zone.iter().count();
        let mut minimised = 0;
        loop {
            shown = match self.recursive.recursion.minimise && minimised < MAX_MINIMISED {
                true => (shown + 1).min(all),
                false => all,
            };
            let whole = shown == all;
            let part = match whole {
                true => question.clone(),
                false => Question::new(question.name().trim_to(shown), RecordType::A),
            };
            minimised += 1;
            let (server, step) = self.ask(&zone, &part, depth)?;
            match step {
                Step::Referral(delegation) => {
                    let delegation = Arc::new(delegation);
                    self.recursive
                        .zones
                        .keep(&delegation, time::now(), self.limits);
                    shown = delegation.zone.iter().count();
                    zone = delegation;
                }
                // The zone goes on below; or some servers say of a name that only others are below that it does not exist:
                // then the whole name tells.
                Step::Nothing { kind, .. } if !whole => {
                    if kind == Kind::NoSuchName {
                        minimised = MAX_MINIMISED;
                    }
                }
                Step::Found(_) | Step::Alias { .. } if !whole => {}
                Step::Found(records) => {
                    let answer = self.answer(question, Kind::Found, records, None, server);
                    return Ok(Found::Answer(Box::new(answer)));
                }
                Step::Nothing { kind, authority } => {
                    let answer = self.answer(question, kind, Vec::new(), authority, server);
                    return Ok(Found::Answer(Box::new(answer)));
                }
                Step::Alias { records, target } => return Ok(Found::Alias { records, target }),
            }
        }
    }

    fn answer(
        &self,
        question: &Question,
        kind: Kind,
        records: Vec<Record>,
        authority: Option<Record>,
        server: SocketAddr,
    ) -> Answer {
        Answer {
            question: question.clone(),
            kind,
            records,
            authority,
            server: Some(server),
        }
    }

    /// Asks servers that we were given for those that the root has now (RFC 8109).
    fn prime(&mut self) -> Result<Arc<Delegation>, Error> {
        let root = Name::root();
        let question = Question::new(root.clone(), RecordType::NS);
        let mut hints = self.recursive.recursion.roots.clone();
        shuffle(&mut hints)?;
        for server in self.in_order(hints) {
            let Some((transport, message)) = self.send(server, &question, 0)? else {
                continue;
            };
            let set: Vec<&Record> = message
                .answers
                .iter()
                .filter(|record| record.record_type() == RecordType::NS && record.name == root)
                .collect();
            if set.is_empty() {
                let failure = match message.metadata.response_code {
                    ResponseCode::NoError => Failure::Lame,
                    code => Failure::Said(code),
                };
                let server = SocketAddr::new(server, self.recursive.recursion.port);
                self.attempts.push(Attempt {
                    server,
                    transport,
                    failure,
                });
                continue;
            }
            let mut delegation = gather(&root, &root, &set, &message.additionals);
            if delegation.glue.is_empty() {
                // It told names alone; those that we began with are as good.
                let addresses = self.recursive.recursion.roots.iter();
                delegation.glue = addresses.map(|ip| (root.clone(), *ip)).collect();
            }
            let delegation = Arc::new(delegation);
            self.recursive
                .zones
                .keep(&delegation, time::now(), self.limits);
            return Ok(delegation);
        }
        Err(self.no_answer())
    }

    /// What a server of the zone says that is of use, and who it was.
    fn ask(
        &mut self,
        zone: &Delegation,
        question: &Question,
        depth: usize,
    ) -> Result<(SocketAddr, Step), Error> {
        let mut known: Vec<IpAddr> = zone.glue.iter().map(|(_, ip)| *ip).collect();
        shuffle(&mut known)?;
        for round in 0..self.recursive.recursion.timeouts.len() {
            for server in self.in_order(known.clone()) {
                if let Some(found) = self.ask_one(zone, server, question, round)? {
                    return Ok(found);
                }
            }
            if round > 0 {
                break;
            }
            // Those that came without an address, which is somewhere else to be found.
            let mut sought: Vec<&Name> = zone
                .servers
                .iter()
                .filter(|host| !zone.glue.iter().any(|(known, _)| known == *host))
                .collect();
            shuffle(&mut sought)?;
            for host in sought.into_iter().take(MAX_SOUGHT) {
                let addresses = self.addresses_of(host, zone, depth)?;
                for ip in self.in_order(addresses) {
                    known.push(ip);
                    if let Some(found) = self.ask_one(zone, ip, question, round)? {
                        return Ok(found);
                    }
                }
            }
        }
        match known.is_empty() {
            true => Err(self.given_up(Failure::NoServers)),
            false => Err(self.no_answer()),
        }
    }

    fn ask_one(
        &mut self,
        zone: &Delegation,
        server: IpAddr,
        question: &Question,
        round: usize,
    ) -> Result<Option<(SocketAddr, Step)>, Error> {
        let Some((transport, message)) = self.send(server, question, round)? else {
            return Ok(None);
        };
        let addr = SocketAddr::new(server, self.recursive.recursion.port);
        match interpret(question, &zone.zone, &message, self.limits.aliases) {
            Ok(step) => Ok(Some((addr, step))),
            Err(Failure::TooManyAliases(most)) => Err(self.given_up(Failure::TooManyAliases(most))),
            Err(failure) => {
                self.recursive.zones.failed(server, time::now());
                self.attempts.push(Attempt {
                    server: addr,
                    transport,
                    failure,
                });
                Ok(None)
            }
        }
    }

    /// The addresses of a name server, if they can be found: another look-up, inside of this one.
    fn addresses_of(
        &mut self,
        host: &Name,
        zone: &Delegation,
        depth: usize,
    ) -> Result<Vec<IpAddr>, Error> {
        // A host inside of the zone without an address could only be found through itself.
        if depth >= self.limits.glueless || zone.zone.zone_of(host) {
            return Ok(Vec::new());
        }
        for record_type in [RecordType::A, RecordType::AAAA] {
            match self.resolve(&Question::new(host.clone(), record_type), depth + 1) {
                Ok(answer) if answer.kind == Kind::Found => {
                    return Ok(answer.addresses().collect());
                }
                Ok(_) => {}
                // There is an end to all things.
                Err(
                    error @ Error::GivenUp {
                        failure: Failure::Runaway(_),
                        ..
                    },
                ) => return Err(error),
                Err(error @ (Error::System { .. } | Error::BadName { .. })) => return Err(error),
                // That this one has no answer need not be the end of the zone.
                Err(_) => break,
            }
        }
        Ok(Vec::new())
    }

    /// Sends one message; `None` if there is no answer to it.
    fn send(
        &mut self,
        server: IpAddr,
        question: &Question,
        round: usize,
    ) -> Result<Option<(Transport, Box<Message>)>, Error> {
        if server.is_ipv6() && self.without_v6 {
            return Ok(None);
        }
        if self.sent >= self.limits.upstream_queries {
            return Err(self.given_up(Failure::Runaway(self.limits.upstream_queries)));
        }
        let before = self.sent;
        let recursion = &self.recursive.recursion;
        let how = How {
            timeout: recursion.timeouts[round],
            recursion: false,
            edns: Some(EDNS_UDP),
            random_case: recursion.random_case,
            tcp: false,
            carrier: None,
            strangers: self.limits.strangers,
        };
        let addr = SocketAddr::new(server, recursion.port);
        match self
            .exchanger
            .exchange(addr, question, how, &mut self.sent)?
        {
            Exchanged::Answer(transport, message) => {
                self.recursive.zones.answered(server);
                Ok(Some((transport, message)))
            }
            Exchanged::Failed(attempt) => {
                let unreachable = Failure::Io(
                    io::ErrorKind::NetworkUnreachable,
                    attempt.failure.to_string(),
                );
                if server.is_ipv6() && attempt.failure == unreachable {
                    self.without_v6 = true;
                    self.sent = before;
                } else {
                    self.recursive.zones.failed(server, time::now());
                }
                self.attempts.push(attempt);
                Ok(None)
            }
        }
    }

    /// Those that may be asked, the ones that failed lately last.
    fn in_order(&self, mut servers: Vec<IpAddr>) -> Vec<IpAddr> {
        let now = time::now();
        servers.retain(|server| self.may_ask(*server));
        servers.sort_by_key(|server| self.recursive.zones.has_failed(*server, now));
        servers
    }

    fn may_ask(&self, server: IpAddr) -> bool {
        let server = server.to_canonical();
        let nobody = match server {
            IpAddr::V4(ip) => ip.octets()[0] == 0 || ip.is_broadcast(),
            IpAddr::V6(ip) => ip.is_unspecified(),
        };
        let ours = server.is_loopback() && !self.recursive.recursion.loopback;
        !nobody && !ours && !server.is_multicast()
    }

    fn no_answer(&mut self) -> Error {
        Error::NoAnswer {
            question: self.asked.clone(),
            attempts: std::mem::take(&mut self.attempts).into(),
        }
    }

    fn given_up(&self, failure: Failure) -> Error {
        Error::GivenUp {
            question: self.asked.clone(),
            failure,
        }
    }
}

/// What a walk through the zones found.
enum Found {
    Answer(Box<Answer>),
    Alias { records: Vec<Record>, target: Name },
}

/// Any order is as good as another, and none can be foretold.
fn shuffle<T>(items: &mut [T]) -> Result<(), Error> {
    for end in (1..items.len()).rev() {
        items.swap(end, random_below(end + 1)?);
    }
    Ok(())
}
