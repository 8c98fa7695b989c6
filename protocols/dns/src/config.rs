//! Whom a stub resolver asks, and how: what `resolv.conf` says. Performs no I/O.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use hickory_proto::rr::Name;
use resolv_conf::ScopedIp;

use crate::carrier::Carrier;
use crate::message::{EDNS_UDP, parse_name};

/// As many servers are asked at most; of further lines the rest is ignored. The system's resolver has 3.
const MAX_SERVERS: usize = 8;
/// As many suffixes are tried at most.
const MAX_SEARCH: usize = 32;
/// What the system's resolver allows.
const MAX_NDOTS: u32 = 15;
const MAX_TIMEOUT: u32 = 30;
const MAX_ATTEMPTS: u32 = 5;

/// The port of DNS.
pub(crate) const PORT: u16 = 53;

/// How a stub resolver works.
///
/// ```
/// use grapeshot_dns::Config;
/// use std::time::Duration;
///
/// let mut config = Config::parse("nameserver 192.0.2.53\nsearch example.org\noptions rotate attempts:3");
/// config.timeout = Duration::from_millis(800);
/// assert_eq!(config.servers, ["192.0.2.53:53".parse().unwrap()]);
/// assert!(config.rotate);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The name servers, in the order in which they are asked. They do the whole work: they resolve recursively.
    pub servers: Vec<SocketAddr>,
    /// Suffixes that a name with few dots is tried with.
    pub search: Vec<Name>,
    /// A name with at least so many dots is tried as it is first, and with the suffixes after that. Default 1.
    pub ndots: usize,
    /// How long an answer is waited for, each time. Default 5 s.
    pub timeout: Duration,
    /// How often each of the servers is asked. Default 2.
    pub attempts: usize,
    /// Begin with another server each time. Default false.
    pub rotate: bool,
    /// Bytes of an answer that is taken over UDP (EDNS); `None` asks without EDNS, and gets 512 at most. A server that does
    /// not know EDNS is asked again without. Default 1,232.
    pub edns: Option<u16>,
    /// Ask over TCP only. Default false.
    pub tcp: bool,
    /// How servers are reached, in place of UDP and TCP: over TLS, say. Questions are padded then, so that their length tells
    /// little (RFC 8467). Default `None`.
    pub carrier: Option<Carrier>,
    /// Ask for IPv4 addresses only. Default false.
    pub no_aaaa: bool,
    /// Ask for IPv4 addresses, and for IPv6 addresses after that, rather than for both at once. Default false.
    pub single_request: bool,
    /// Spell names in random upper and lower case, and insist on the same in the answer (0x20): one who guesses has to guess
    /// that too. An answer in another case has the question asked again over TCP. Default false.
    pub random_case: bool,
}

impl Default for Config {
    /// That of an empty `resolv.conf`: a name server on this host.
    fn default() -> Self {
        Self {
            servers: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))],
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotate: false,
            edns: Some(EDNS_UDP),
            tcp: false,
            carrier: None,
            no_aaaa: false,
            single_request: false,
            random_case: false,
        }
    }
}

impl Config {
    /// One with these servers, and the defaults otherwise.
    pub fn with_servers(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self {
            servers: servers.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Reads what a `resolv.conf` says. A line that cannot be understood is logged and passed over; without a `nameserver`
    /// it is `127.0.0.1`. IPv6 addresses with the name of an interface are passed over too; see
    /// [`parse_with`](Self::parse_with).
    pub fn parse(text: &str) -> Self {
        Self::parse_with(text, |_| None)
    }

    /// As [`parse`](Self::parse), with the number of an interface by its name, for addresses such as `fe80::1%eth0`.
    pub fn parse_with(text: &str, interface: impl Fn(&str) -> Option<u32>) -> Self {
        let (file, errors) = resolv_conf::Config::parse_with_errors(text.as_bytes());
        for error in errors {
            log::warn!("resolv.conf: {error}; the line is ignored");
        }
        let mut config = Self::default();
        let servers: Vec<SocketAddr> = file
            .nameservers
            .iter()
            .filter_map(|ip| {
                let addr = server(ip, &interface);
                if addr.is_none() {
                    log::warn!("resolv.conf: no interface for name server {ip}; it is ignored");
                }
                addr
            })
            .take(MAX_SERVERS)
            .collect();
        if !servers.is_empty() {
            config.servers = servers;
        }
        config.search = file
            .get_last_search_or_domain()
            .filter(|suffix| *suffix != ".")
            .filter_map(|suffix| parse_name(suffix).ok())
            .take(MAX_SEARCH)
            .collect();
        config.ndots = file.ndots.min(MAX_NDOTS) as usize;
        config.timeout = Duration::from_secs(file.timeout.clamp(1, MAX_TIMEOUT).into());
        config.attempts = file.attempts.clamp(1, MAX_ATTEMPTS) as usize;
        config.rotate = file.rotate;
        config.tcp = file.use_vc;
        config.no_aaaa = file.no_aaaa;
        config.single_request = file.single_request;
        config
    }

    /// The names that `name` may stand for, in the order in which they are tried.
    pub(crate) fn candidates(&self, name: &str, parsed: &Name) -> Vec<Name> {
        if name.ends_with('.') {
            return vec![parsed.clone()];
        }
        let with_suffixes = self.search.iter().filter_map(|suffix| {
            let mut relative = parsed.clone();
            relative.set_fqdn(false);
            relative.append_domain(suffix).ok()
        });
        let mut candidates: Vec<Name> = with_suffixes.collect();
        let dots = parsed.iter().count().saturating_sub(1);
        if dots >= self.ndots {
            candidates.insert(0, parsed.clone());
        } else {
            candidates.push(parsed.clone());
        }
        candidates
    }
}

fn server(ip: &ScopedIp, interface: impl Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
    match ip {
        ScopedIp::V4(ip) => Some(SocketAddr::from((*ip, PORT))),
        ScopedIp::V6(ip, None) => Some(SocketAddr::from((IpAddr::from(*ip), PORT))),
        ScopedIp::V6(ip, Some(scope)) => {
            let scope = scope.parse().ok().or_else(|| interface(scope))?;
            Some(SocketAddrV6::new(*ip, PORT, 0, scope).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(config: &Config, name: &str) -> Vec<String> {
        let parsed = parse_name(name).unwrap();
        let names = config.candidates(name, &parsed);
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_the_file_says() {
        let config = Config::parse(
            "# comment\nnameserver 192.0.2.1\nnameserver 2001:db8::1 ; another\nnameserver fe80::1%eth0\n\
             nameserver nonsense\ndomain old.example\nsearch a.example b.example\n\
             options ndots:2 timeout:99 attempts:0 rotate use-vc no-aaaa single-request unheard-of\n",
        );
        let servers: Vec<String> = config.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.1:53", "[2001:db8::1]:53"]);
        assert_eq!(
            config
                .search
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            ["a.example.", "b.example."]
        );
        assert_eq!((config.ndots, config.attempts), (2, 1));
        assert_eq!(config.timeout, Duration::from_secs(30));
        assert!(config.rotate && config.tcp && config.no_aaaa && config.single_request);

        let config = Config::parse_with("nameserver fe80::1%eth0", |name| {
            (name == "eth0").then_some(7)
        });
        assert_eq!(config.servers[0].to_string(), "[fe80::1%7]:53");
        assert_eq!(Config::parse(""), Config::default());
    }

    #[test]
    fn few_dots_try_the_suffixes_first() {
        let mut config = Config::parse("search a.example b.example");
        assert_eq!(
            candidates(&config, "www"),
            ["www.a.example.", "www.b.example.", "www."]
        );
        assert_eq!(
            candidates(&config, "www.x"),
            ["www.x.", "www.x.a.example.", "www.x.b.example."]
        );
        assert_eq!(candidates(&config, "www."), ["www."]);
        config.ndots = 2;
        assert_eq!(
            candidates(&config, "www.x"),
            ["www.x.a.example.", "www.x.b.example.", "www.x."]
        );
        // A suffix that makes the name too long is none.
        config.search = vec![parse_name(&"a.".repeat(120)).unwrap()];
        assert_eq!(
            candidates(&config, "abcdefghijklmno.x"),
            ["abcdefghijklmno.x."]
        );
    }
}
