//! The resolver: what users ask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use grapeshot::net::UdpSocket;
use grapeshot::sync::{Event, LruCache};
use grapeshot::{registry, scope, time, with_timeout};
use hickory_proto::rr::{Name, RData, RecordType};

use crate::answer::{Answer, Kind};
use crate::cache::Cache;
use crate::config::Config;
use crate::error::Error;
use crate::exchange::Exchanger;
use crate::files::{Files, Settings};
use crate::hosts::Hosts;
use crate::limits::Limits;
use crate::message::{Question, parse_name};
use crate::recursive::{Recursion, Recursive};
use crate::statistics::{Counts, Statistics};
use crate::stub::Stub;

/// How long IPv6 addresses are waited for when the others are there (RFC 8305, section 3).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// Finds what names stand for, and keeps it for as long as it may be kept. Cheap to clone; clones share the cache.
///
/// ```no_run
/// use grapeshot_dns::{RecordType, Resolver};
///
/// # fn main() -> Result<(), grapeshot_dns::Error> {
/// let resolver = Resolver::system();
/// for address in resolver.addresses("example.org")? {
///     println!("{address}");
/// }
/// for server in resolver.lookup("example.org", RecordType::MX)?.data() {
///     println!("{server}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// What is asked for by many at once is asked for once. Each question goes out with a random id, from a socket and a random
/// port of its own; what is not its answer is passed over.
#[derive(Debug, Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    source: Source,
    way: Way,
    exchanger: Exchanger,
    cache: Cache,
    /// Holds nothing: it sees to it that each question is asked once at a time.
    flights: LruCache<Question, Answer>,
    limits: Limits,
}

/// How answers are found.
#[derive(Debug)]
enum Way {
    Stub(Stub),
    Recursive(Box<Recursive>),
}

/// Where settings come from.
#[derive(Debug)]
enum Source {
    Files(Box<Files>),
    Fixed(Arc<Settings>),
}

impl Resolver {
    /// One that goes by `/etc/resolv.conf` and `/etc/hosts`, as the system's does. They are read with the first look-up, and
    /// again when they have changed.
    pub fn system() -> Self {
        Self::with_files("/etc/resolv.conf", "/etc/hosts", Limits::default())
    }

    /// As [`system`](Self::system), with other files. One that does not exist counts as empty.
    pub fn with_files(
        resolv_conf: impl Into<PathBuf>,
        hosts: impl Into<PathBuf>,
        limits: Limits,
    ) -> Self {
        let files = Files::new(resolv_conf.into(), hosts.into());
        Self::from_parts(
            Source::Files(Box::new(files)),
            Way::Stub(Stub::default()),
            limits,
        )
    }

    /// One that asks the servers of `config`.
    ///
    /// ```
    /// use grapeshot_dns::{Config, Hosts, Limits, Resolver};
    ///
    /// let config = Config::with_servers(["192.0.2.53:53".parse().unwrap()]);
    /// let resolver = Resolver::new(config, Hosts::parse("192.0.2.7 printer"), Limits::default());
    /// assert_eq!(resolver.addresses("printer")?.len(), 1);
    /// # Ok::<(), grapeshot_dns::Error>(())
    /// ```
    pub fn new(config: Config, hosts: Hosts, limits: Limits) -> Self {
        let source = Source::Fixed(Arc::new(Settings { config, hosts }));
        Self::from_parts(source, Way::Stub(Stub::default()), limits)
    }

    /// One that finds answers by itself, beginning with the servers of the root. It has neither hosts nor a search list.
    ///
    /// Servers are believed about their own zones only; those without an address are looked up, within
    /// [limits](Limits::glueless), as is everything that a look-up may cost ([`Limits::upstream_queries`]).
    pub fn recursive(recursion: Recursion, limits: Limits) -> Self {
        let source = Source::Fixed(Arc::new(Settings::default()));
        let recursive = Recursive::new(recursion, &limits);
        Self::from_parts(source, Way::Recursive(Box::new(recursive)), limits)
    }

    fn from_parts(source: Source, way: Way, limits: Limits) -> Self {
        let shared = Shared {
            source,
            way,
            exchanger: Exchanger::new(limits.in_flight),
            cache: Cache::new(&limits),
            flights: LruCache::new(0),
            limits,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The records of a type at a name, which is taken as it is: neither the hosts file nor the search list is looked at. If
    /// the name exists without such records, there are none in the answer. **May suspend.**
    ///
    /// # Errors
    /// [`Error::NoSuchName`]; [`Error::NoAnswer`], which says what each server did; [`Error::BadName`].
    pub fn lookup(&self, name: &str, record_type: RecordType) -> Result<Answer, Error> {
        let answer = self.resolve(&Question::parse(name, record_type)?)?;
        match answer.kind {
            Kind::Found | Kind::NoData => Ok(answer),
            Kind::NoSuchName => Err(Error::NoSuchName {
                name: answer.canonical_name().to_string(),
                server: answer.server,
            }),
        }
    }

    /// The addresses of a host, in the order in which they should be tried: from the hosts file, or else its A and AAAA
    /// records, asked for at the same time, under the name itself and those that the search list makes of it. An address is
    /// its own. **May suspend.**
    ///
    /// # Errors
    /// [`Error::NoSuchName`] or [`Error::NoAddress`], if that is the answer for all names that were tried; else that of the
    /// first which got none, since what comes after it in the search list might be another host.
    pub fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Error> {
        self.addresses_within(host, Duration::MAX)
    }

    /// As [`addresses`](Self::addresses), without IPv6 if that takes much longer than IPv4.
    pub(crate) fn addresses_soon(&self, host: &str) -> Result<Vec<IpAddr>, Error> {
        self.addresses_within(host, RESOLUTION_DELAY)
    }

    fn addresses_within(&self, host: &str, delay: Duration) -> Result<Vec<IpAddr>, Error> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let name = parse_name(host)?;
        if is_localhost(&name) {
            return Ok(vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]);
        }
        let settings = self.settings()?;
        let known = settings.hosts.of(&name);
        if !known.is_empty() {
            return Ok(known.to_vec());
        }
        let mut negative = None;
        for candidate in settings.config.candidates(host, &name) {
            match self.addresses_of(&candidate, &settings.config, delay) {
                Err(error) if error.is_negative() => match (&negative, &error) {
                    // That one of them exists is worth more to know than that the last one does not.
                    (Some(Error::NoAddress { .. }), Error::NoSuchName { .. }) => {}
                    _ => negative = Some(error),
                },
                result => return result,
            }
        }
        Err(negative.unwrap_or(Error::NoSuchName {
            name: host.to_owned(),
            server: None,
        }))
    }

    /// The names of an address: from the hosts file, or else its PTR records. **May suspend.**
    ///
    /// # Errors
    /// As for [`lookup`](Self::lookup).
    pub fn names(&self, address: IpAddr) -> Result<Vec<Name>, Error> {
        let settings = self.settings()?;
        let known = settings.hosts.names(address);
        if !known.is_empty() {
            return Ok(known.to_vec());
        }
        let answer = self.lookup(&Name::from(address).to_string(), RecordType::PTR)?;
        let names = answer.data().filter_map(|data| match data {
            RData::PTR(name) => Some(name.0.clone()),
            _ => None,
        });
        Ok(names.collect())
    }

    /// The answer to a question, whatever it is, from the cache if it is there. **May suspend.**
    ///
    /// # Errors
    /// [`Error::NoAnswer`]; or what the system lacks.
    pub fn resolve(&self, question: &Question) -> Result<Answer, Error> {
        let shared = &*self.shared;
        let counts = &shared.exchanger.counts;
        Counts::add(&counts.questions);
        // Before the cache is looked at: news may have emptied it.
        let settings = self.settings()?;
        if let Some(answer) = shared.cache.get(question, time::now()) {
            Counts::add(&counts.cached);
            return Ok(answer);
        }
        let flown = shared.flights.get_or_load(question.clone(), |question| {
            // Between our look and our turn it may have come.
            if let Some(answer) = shared.cache.get(question, time::now()) {
                return Ok(answer);
            }
            let (exchanger, limits) = (&shared.exchanger, &shared.limits);
            let answer = match &shared.way {
                Way::Stub(stub) => stub.resolve(exchanger, &settings.config, limits, question)?,
                Way::Recursive(recursive) => {
                    recursive.resolve(exchanger, &shared.cache, limits, question)?
                }
            };
            shared.cache.keep(&answer, time::now(), &shared.limits);
            Ok(answer)
        });
        match flown {
            Ok(answer) => Ok(Arc::unwrap_or_clone(answer)),
            Err(error) => {
                Counts::add(&counts.failed);
                Err(Arc::unwrap_or_clone(error))
            }
        }
    }

    /// As [`resolve`](Self::resolve), if the cache has the answer. Never suspends.
    pub(crate) fn cached(&self, question: &Question) -> Option<Answer> {
        let answer = self.shared.cache.get(question, time::now())?;
        let counts = &self.shared.exchanger.counts;
        Counts::add(&counts.questions);
        Counts::add(&counts.cached);
        Some(answer)
    }

    /// Forgets all answers, and who serves which zone. Does not suspend.
    pub fn clear_cache(&self) {
        self.shared.cache.clear();
        if let Way::Recursive(recursive) = &self.shared.way {
            recursive.clear();
        }
    }

    /// What it has done, and what is in its cache.
    pub fn statistics(&self) -> Statistics {
        let shared = &*self.shared;
        let counts = &shared.exchanger.counts;
        Statistics {
            questions: Counts::of(&counts.questions),
            cached: Counts::of(&counts.cached),
            shared: shared.flights.statistics().shared,
            failed: Counts::of(&counts.failed),
            kept: shared.cache.len(),
            evictions: shared.cache.evictions(),
            sent_udp: Counts::of(&counts.udp),
            sent_tcp: Counts::of(&counts.tcp),
            carried: Counts::of(&counts.carried),
            turned_to_tcp: Counts::of(&counts.over_tcp),
            timeouts: Counts::of(&counts.timeouts),
            strangers: Counts::of(&counts.strangers),
            malformed: Counts::of(&counts.malformed),
            queueing: shared.exchanger.waiting(),
        }
    }

    fn settings(&self) -> Result<Arc<Settings>, Error> {
        match &self.shared.source {
            Source::Fixed(settings) => Ok(Arc::clone(settings)),
            Source::Files(files) => {
                let (settings, news) = files.settings()?;
                if news {
                    // Other servers may say otherwise: this may be another network.
                    self.shared.cache.clear();
                }
                Ok(settings)
            }
        }
    }

    /// The addresses of one name.
    fn addresses_of(
        &self,
        name: &Name,
        config: &Config,
        delay: Duration,
    ) -> Result<Vec<IpAddr>, Error> {
        let ask = |record_type| self.resolve(&Question::new(name.clone(), record_type));
        let (v4, v6) = if config.no_aaaa {
            (ask(RecordType::A), None)
        } else if config.single_request || registry::current().is_none() {
            // A plain thread has no children.
            (ask(RecordType::A), Some(ask(RecordType::AAAA)))
        } else {
            let arrived = Event::new();
            scope(|s| {
                let v6 = s.spawn(|| {
                    let answer = ask(RecordType::AAAA);
                    arrived.set();
                    answer
                });
                let v4 = ask(RecordType::A);
                if v4.as_ref().is_ok_and(|v4| v4.addresses().next().is_some())
                    && with_timeout(delay, || arrived.wait()).is_err()
                {
                    v6.interrupt();
                }
                // One that was interrupted has no answer.
                (v4, v6.join().ok())
            })
        };
        let of = |answer: &Result<Answer, Error>| match answer {
            Ok(answer) => answer.addresses().collect(),
            Err(_) => Vec::new(),
        };
        let ours = of(&v4);
        let mut addresses = v6.as_ref().map(of).unwrap_or_default();
        match addresses.first() {
            Some(first) if !ours.is_empty() && !has_route(*first) => {
                addresses.splice(0..0, ours);
            }
            _ => addresses.extend(ours),
        }
        if !addresses.is_empty() {
            return Ok(addresses);
        }
        // Both must say that there is nothing; if one is not known, neither is the whole.
        let v4 = v4?;
        let v6 = v6.transpose()?;
        let nowhere =
            v4.kind == Kind::NoSuchName || v6.is_some_and(|v6| v6.kind == Kind::NoSuchName);
        let (name, server) = (name.to_string(), v4.server);
        Err(match nowhere {
            true => Error::NoSuchName { name, server },
            false => Error::NoAddress { name, server },
        })
    }
}

/// `localhost`, and what is below it, is this host; no server is asked (RFC 6761, section 6.3).
fn is_localhost(name: &Name) -> bool {
    name.iter()
        .next_back()
        .is_some_and(|label| label.eq_ignore_ascii_case(b"localhost"))
}

/// Could packets go there? Connecting a socket for datagrams sends none.
fn has_route(address: IpAddr) -> bool {
    let probe = || -> std::io::Result<()> {
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        UdpSocket::bind(any)?.connect(SocketAddr::from((address, 53)))
    };
    probe().is_ok()
}
