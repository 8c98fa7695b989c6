//! The address of a WebSocket (RFC 6455, section 3). Performs no I/O.

/// `ws://host:port/path?query`, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address<'a> {
    pub(crate) is_secure: bool,
    /// What to connect to; IPv6 without its brackets.
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    /// What the header `Host` says.
    pub(crate) authority: &'a str,
    /// Path and query; `/` for an empty path.
    pub(crate) target: String,
}

impl<'a> Address<'a> {
    /// Takes an address apart, or says what is wrong with it.
    pub(crate) fn parse(text: &'a str) -> Result<Self, &'static str> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or("an address begins with ws:// or wss://")?;
        let (is_secure, usual) = match scheme.to_ascii_lowercase().as_str() {
            "ws" => (false, 80),
            "wss" => (true, 443),
            _ => return Err("an address begins with ws:// or wss://"),
        };
        if rest.contains('#') {
            return Err("the address of a WebSocket has no fragment");
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err("a name and password belong into the header Authorization");
        }
        let (host, port) = split_port(authority)?;
        if host.is_empty() {
            return Err("the address names no host");
        }
        Ok(Self {
            is_secure,
            host,
            port: port.unwrap_or(usual),
            authority,
            target: if target.starts_with('/') {
                target.to_owned()
            } else {
                format!("/{target}")
            },
        })
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = if let Some(inner) = authority.strip_prefix('[') {
        let (host, rest) = inner
            .split_once(']')
            .ok_or("an IPv6 address lacks its closing bracket")?;
        (host, rest)
    } else {
        authority.split_at(authority.find(':').unwrap_or(authority.len()))
    };
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok((host, None)),
        Some("") => Ok((host, None)),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
            .parse()
            .map(|port| (host, Some(port)))
            .map_err(|_| "a port is at most 65535"),
        _ => Err("the port is no number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (text, is_secure, host, port, authority, target) in [
            ("ws://h", false, "h", 80, "h", "/"),
            (
                "WSS://Example.com/chat?x=1",
                true,
                "Example.com",
                443,
                "Example.com",
                "/chat?x=1",
            ),
            ("ws://h:9001?q", false, "h", 9001, "h:9001", "/?q"),
            ("ws://[::1]:80/a/b", false, "::1", 80, "[::1]:80", "/a/b"),
            ("ws://h:/", false, "h", 80, "h:", "/"),
        ] {
            let want = Address {
                is_secure,
                host,
                port,
                authority,
                target: target.into(),
            };
            assert_eq!(Address::parse(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "h",
            "http://h/",
            "ws:/h",
            "ws://",
            "ws:///x",
            "ws://:80/",
            "ws://h:x/",
            "ws://h:65536/",
            "ws://[::1/",
            "ws://[::1]x/",
            "ws://user:word@h/",
            "ws://h/#there",
            "ws://h:+80/",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}
