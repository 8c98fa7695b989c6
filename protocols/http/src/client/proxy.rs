//! Proxies: which of them a request goes through, and what the environment says about that.

use std::env;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::error::{Error, ErrorKind};

/// A proxy: `http://[user:password@]host[:port]` or `socks5://…`. A SOCKS proxy is given names to resolve itself, which
/// others call `socks5h`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Proxy {
    pub(super) kind: ProxyKind,
    pub(super) host: String,
    pub(super) port: u16,
    /// Name and password.
    pub(super) credentials: Option<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ProxyKind {
    /// Takes requests for http URLs, and `CONNECT` for https.
    Http,
    Socks5,
}

impl Proxy {
    /// Reads the URL of a proxy. Without a scheme it is an HTTP proxy.
    ///
    /// # Errors
    /// [`ErrorKind::Url`].
    pub fn new(url: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Error::new(ErrorKind::Url(format!("the proxy {why}")));
        let text = if url.contains("://") {
            url.to_owned()
        } else {
            format!("http://{url}")
        };
        let url = Url::parse(&text).map_err(|error| wrong(&format!("{text:?}: {error}")))?;
        let (kind, port) = match url.scheme() {
            "http" => (ProxyKind::Http, 80),
            "socks5" | "socks5h" => (ProxyKind::Socks5, 1080),
            other => return Err(wrong(&format!("speaks {other}, and not http or socks5"))),
        };
        let host = match url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(host) => host.to_string(),
            None => return Err(wrong(&format!("{text:?} has no host"))),
        };
        let credentials = credentials(&url);
        if kind == ProxyKind::Socks5
            && let Some((name, password)) = &credentials
            && (name.len() > 255 || password.len() > 255)
        {
            return Err(wrong("takes names and passwords of at most 255 bytes"));
        }
        Ok(Self {
            kind,
            host,
            port: url.port().unwrap_or(port),
            credentials,
        })
    }

    /// The value of `Proxy-Authorization`.
    pub(super) fn authorization(&self) -> Option<String> {
        let (name, password) = self.credentials.as_ref()?;
        Some(basic(name, password))
    }
}

impl fmt::Debug for Proxy {
    /// Keeps the password to itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            ProxyKind::Http => "http",
            ProxyKind::Socks5 => "socks5",
        };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// Name and password in a URL, decoded.
pub(super) fn credentials(url: &Url) -> Option<(String, String)> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    Some((
        decoded(url.username()),
        decoded(url.password().unwrap_or_default()),
    ))
}

/// Basic credentials (RFC 7617).
pub(super) fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// Which proxy a request goes through.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    http: Option<Arc<Proxy>>,
    https: Option<Arc<Proxy>>,
    except: Vec<Exception>,
    /// Local hosts are asked directly.
    spare_local: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Exception {
    All,
    /// The domain and everything below it.
    Domain(String, Option<u16>),
    Address(IpAddr, Option<u16>),
    /// Network and length of its prefix.
    Network(IpAddr, u8),
}

impl Proxies {
    /// No proxy at all.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// This one for every request, except for the hosts that [`except`](Self::except) names.
    #[must_use]
    pub fn all(proxy: Proxy) -> Self {
        let proxy = Arc::new(proxy);
        Self {
            http: Some(Arc::clone(&proxy)),
            https: Some(proxy),
            ..Self::default()
        }
    }

    /// Asks these hosts directly. The list is that of the variable `no_proxy`: separated by commas, each a domain (which
    /// means those below it too), an address, a network (`10.0.0.0/8`) or `*`; domains and addresses may have a port.
    #[must_use]
    pub fn except(mut self, list: &str) -> Self {
        let items = list
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty());
        self.except.extend(items.filter_map(Exception::parse));
        self
    }

    /// What the variables `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` say. Those of capital letters count
    /// too, but not `HTTP_PROXY`, which a CGI program's client could set by a header. `localhost` and loopback addresses
    /// are asked directly. A variable that makes no sense is logged and ignored.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::from_variables(|name| env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&str]| -> Option<Arc<Proxy>> {
            let value = names
                .iter()
                .filter_map(|name| variable(name))
                .find(|value| !value.is_empty())?;
            match Proxy::new(&value) {
                Ok(proxy) => Some(Arc::new(proxy)),
                Err(error) => {
                    log::warn!("http client: {} is ignored: {error}", names[0]);
                    None
                }
            }
        };
        let proxies = Self {
            http: first(&["http_proxy", "all_proxy", "ALL_PROXY"]),
            https: first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            except: Vec::new(),
            spare_local: true,
        };
        let list = variable("no_proxy").or_else(|| variable("NO_PROXY"));
        proxies.except(&list.unwrap_or_default())
    }

    pub(super) fn route(&self, secure: bool, host: &str, port: u16) -> Option<&Arc<Proxy>> {
        let proxy = if secure { &self.https } else { &self.http };
        let proxy = proxy.as_ref()?;
        let address = host.parse::<IpAddr>().ok();
        let is_local = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        let spared = (self.spare_local && is_local)
            || self
                .except
                .iter()
                .any(|exception| exception.covers(host, address, port));
        (!spared).then_some(proxy)
    }
}

impl Exception {
    fn parse(item: &str) -> Option<Self> {
        if item == "*" {
            return Some(Self::All);
        }
        if let Some((network, length)) = item.split_once('/') {
            return Some(Self::Network(network.parse().ok()?, length.parse().ok()?));
        }
        if let Ok(address) = item.parse() {
            return Some(Self::Address(address, None));
        }
        let (name, port) = match item.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (item, None),
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            return Some(Self::Address(address, port));
        }
        let domain = name.trim_start_matches("*.").trim_start_matches('.');
        Some(Self::Domain(domain.to_ascii_lowercase(), port))
    }

    fn covers(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        match self {
            Self::All => true,
            Self::Address(wanted, its) => {
                address == Some(*wanted) && its.is_none_or(|its| its == port)
            }
            Self::Network(network, length) => {
                address.is_some_and(|address| within(address, *network, *length))
            }
            Self::Domain(domain, its) => {
                its.is_none_or(|its| its == port)
                    && host
                        .strip_suffix(domain.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
        }
    }
}

fn within(address: IpAddr, network: IpAddr, length: u8) -> bool {
    let (left, right, bits) = match (address, network) {
        (IpAddr::V4(left), IpAddr::V4(right)) => {
            (u128::from(left.to_bits()), u128::from(right.to_bits()), 32)
        }
        (IpAddr::V6(left), IpAddr::V6(right)) => (left.to_bits(), right.to_bits(), 128u32),
        _ => return false,
    };
    let Some(ignored) = bits.checked_sub(u32::from(length)) else {
        return false;
    };
    (left ^ right).checked_shr(ignored).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        Proxies::from_variables(|name| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_names_proxies_and_exceptions() {
        let all = proxies(&[
            ("http_proxy", "u:p%40@one:3128"),
            ("HTTPS_PROXY", "socks5h://[::2]"),
            ("all_proxy", "three"),
            (
                "no_proxy",
                "example.org, .internal:81,10.0.0.0/8,[fe80::1]:80",
            ),
        ]);
        let through = |secure, host, port| {
            all.route(secure, host, port)
                .map(|proxy| format!("{proxy:?}"))
        };
        let one = Some("http://one:3128".to_owned());
        assert_eq!(through(false, "a.com", 80), one);
        assert_eq!(
            through(true, "a.com", 443),
            Some("socks5://::2:1080".to_owned())
        );
        assert_eq!(
            all.http.as_ref().unwrap().credentials,
            Some(("u".to_owned(), "p@".to_owned()))
        );
        for direct in [
            "localhost",
            "127.0.0.9",
            "::1",
            "example.org",
            "x.example.org",
            "10.9.8.7",
        ] {
            assert_eq!(through(false, direct, 80), None, "{direct}");
        }
        assert_eq!(through(false, "notexample.org", 80), one);
        assert_eq!(through(false, "11.0.0.1", 80), one);
        assert_eq!(through(false, "a.internal", 80), one);
        assert_eq!(through(false, "a.internal", 81), None);
        assert_eq!(through(false, "fe80::1", 80), None);
        assert_eq!(through(false, "fe80::1", 81), one);
    }

    #[test]
    fn what_a_request_can_set_is_not_believed() {
        assert!(proxies(&[("HTTP_PROXY", "evil")]).http.is_none());
        assert!(proxies(&[("http_proxy", "gopher://x")]).http.is_none());
        assert!(proxies(&[]).route(false, "a.com", 80).is_none());
    }
}
