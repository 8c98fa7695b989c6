//! A `Set-Cookie` line, and which hosts and paths a cookie is for (RFC 6265, sections 5.1 to 5.3). Performs no I/O.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use url::Url;

use super::Cookie;
use crate::client::cookie_date;

/// Bytes of a cookie's name and value together; a longer one is not kept.
const COOKIE: usize = 4096;

/// Section 5.2 and 5.3.
pub(super) fn parse(
    line: &str,
    url: &Url,
    now: SystemTime,
    is_suffix: &dyn Fn(&str) -> bool,
) -> Option<Cookie> {
    let host = url.host_str()?;
    let is_https = url.scheme() == "https";
    let mut parts = line.split(';');
    let (name, value) = parts.next()?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || name.len() + value.len() > COOKIE || line.bytes().any(is_control) {
        return None;
    }
    let mut cookie = Cookie {
        name: name.to_owned(),
        value: value.to_owned(),
        domain: host.to_owned(),
        host_only: true,
        path: default_path(url.path()).to_owned(),
        secure: false,
        expires: None,
        created: 0,
    };
    let mut max_age = None;
    let mut has_path = false;
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        match key.as_str() {
            "expires" => cookie.expires = cookie_date::parse(value).or(cookie.expires),
            "max-age" => max_age = value.parse::<i64>().ok().or(max_age),
            "secure" => cookie.secure = true,
            "path" if value.starts_with('/') => {
                cookie.path = value.to_owned();
                has_path = true;
            }
            "path" => cookie.path = default_path(url.path()).to_owned(),
            "domain" => {
                let domain = value.trim_start_matches('.').to_ascii_lowercase();
                if !domain.is_empty() && domain != host {
                    let below = !is_address(host) && domains_of(host).any(|above| above == domain);
                    if !below || is_suffix(&domain) {
                        return None;
                    }
                    cookie.domain = domain;
                    cookie.host_only = false;
                } else if domain == host {
                    cookie.host_only = is_address(host) || is_suffix(host);
                }
            }
            _ => {}
        }
    }
    if let Some(age) = max_age {
        // What lies beyond the clock's end does not expire.
        cookie.expires = match u64::try_from(age) {
            Ok(age) if age > 0 => now.checked_add(Duration::from_secs(age)),
            _ => Some(SystemTime::UNIX_EPOCH),
        };
    }
    let lower = name.to_ascii_lowercase();
    let is_bound = cookie.secure && cookie.host_only && has_path && cookie.path == "/";
    let breaks_its_name = (lower.starts_with("__secure-") && !cookie.secure)
        || (lower.starts_with("__host-") && !is_bound);
    let from_plain = cookie.secure && !is_https;
    (!breaks_its_name && !from_plain).then_some(cookie)
}

/// Section 5.1.4.
pub(super) fn path_matches(path: &str, wanted: &str) -> bool {
    path.strip_prefix(wanted)
        .is_some_and(|rest| rest.is_empty() || wanted.ends_with('/') || rest.starts_with('/'))
}

/// The host and the domains above it.
pub(super) fn domains_of(host: &str) -> impl Iterator<Item = &str> {
    let above = |domain: &&'_ str| -> Option<usize> { domain.find('.').map(|at| at + 1) };
    let is_address = is_address(host);
    std::iter::successors(Some(host), move |domain| {
        above(domain)
            .filter(|_| !is_address)
            .map(|at| &domain[at..])
    })
}

fn is_address(host: &str) -> bool {
    host.starts_with('[') || host.parse::<IpAddr>().is_ok()
}

fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}

/// Section 5.1.4: up to the last slash, without it.
fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(at) => &path[..at],
    }
}
