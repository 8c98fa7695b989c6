//! What a person names as the server: a socket's path, an address, a process.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::connection::Lost;

/// Where a backdoor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A Unix socket.
    Path(PathBuf),
    /// An address, of which the user may be a part.
    Network(Address),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) tls: bool,
    pub(crate) user: Option<String>,
    /// A name or an IP address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Target {
    /// `tcp://HOST:PORT`, `tls://USER@HOST:PORT`, `HOST:PORT` if there is no such file, else a path.
    pub(crate) fn parse(named: &OsStr) -> Result<Self, Lost> {
        let path = || Ok(Self::Path(PathBuf::from(named)));
        let Some(text) = named.to_str() else {
            return path();
        };
        let tls = match text.split_once("://") {
            Some(("tcp", _)) => false,
            Some(("tls", _)) => true,
            Some((scheme, _)) => {
                return Err(Lost::new(format!(
                    "{scheme}:// is nothing that a console speaks: there are tcp://HOST:PORT and tls://HOST:PORT, or give a \
                     socket's path (./ before it, if that is what this is)"
                )));
            }
            None if text.contains('/') || Path::new(text).exists() => return path(),
            // A plain word is a socket in this folder, `word:7` would be an odd name for one.
            None => {
                return match Address::parse(text, false) {
                    Some(address) => Ok(Self::Network(address)),
                    None => path(),
                };
            }
        };
        let rest = &text["tcp://".len()..];
        match Address::parse(rest.trim_end_matches('/'), tls) {
            Some(address) => Ok(Self::Network(address)),
            None => Err(Lost::new(format!(
                "{text} is no address with a port: it must be like tcp://127.0.0.1:7777, tcp://[::1]:7777 or tls://ann@example.org:7778"
            ))),
        }
    }
}

impl Address {
    fn parse(text: &str, tls: bool) -> Option<Self> {
        let (user, place) = match text.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, text),
        };
        let (host, port) = place.rsplit_once(':')?;
        let host = match host.strip_prefix('[') {
            Some(host) => host.strip_suffix(']')?,
            // An IPv6 address without brackets could end anywhere.
            None if host.contains(':') => return None,
            None => host,
        };
        let port = port.parse().ok()?;
        (!host.is_empty() && user != Some("")).then(|| Self {
            tls,
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Network(address) => address.fmt(f),
        }
    }
}

/// As it is typed, without the user.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "tls" } else { "tcp" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Target {
        Target::parse(OsStr::new(text)).unwrap()
    }

    fn address(tls: bool, user: Option<&str>, host: &str, port: u16) -> Target {
        Target::Network(Address {
            tls,
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
        })
    }

    #[test]
    fn addresses_are_told_from_paths() {
        assert_eq!(
            parsed("tcp://127.0.0.1:7777"),
            address(false, None, "127.0.0.1", 7777)
        );
        assert_eq!(
            parsed("127.0.0.1:7777"),
            address(false, None, "127.0.0.1", 7777)
        );
        assert_eq!(parsed("ann@[::1]:7"), address(false, Some("ann"), "::1", 7));
        assert_eq!(
            parsed("tls://a@b@example.org:7/"),
            address(true, Some("a@b"), "example.org", 7)
        );
        for path in [
            "/run/ship.sock",
            "ship.sock",
            "./a:7",
            "a:b",
            "::1:7",
            ":7",
            "@h:7",
            "h:70000",
        ] {
            assert_eq!(parsed(path), Target::Path(path.into()), "{path}");
        }
    }

    #[test]
    fn what_is_neither_is_told_so() {
        for bad in ["tcp://host", "tls://:7", "tcp://[::1:7", "http://host:7"] {
            let error = Target::parse(OsStr::new(bad)).unwrap_err().to_string();
            assert!(error.contains("tcp://"), "{bad}: {error}");
        }
    }

    #[test]
    fn an_address_is_shown_as_it_is_typed() {
        for text in ["tcp://[::1]:7", "tls://example.org:7778"] {
            match parsed(text) {
                Target::Network(address) => assert_eq!(address.to_string(), text),
                path => panic!("{path:?}"),
            }
        }
    }
}
