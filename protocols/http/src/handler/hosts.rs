//! Requests by the host that they are for.

use std::collections::HashMap;
use std::fmt;

use super::Handler;
use crate::{HandlerError, Rejection, Request, Response, Status};

/// Hands each request to the handler of its host, as the `Host` header names it; the port does not matter, nor does the
/// case. A request for another host goes to the [`default`](VirtualHosts::default_host), or is answered with 421.
///
/// ```
/// use grapeshot_http::{Router, VirtualHosts};
///
/// let sites = VirtualHosts::new()
///     .host("example.org", Router::new().get("/", |_| "the site"))
///     .host("*.example.org", Router::new().get("/", |_| "one of many below it"));
/// ```
#[derive(Default)]
pub struct VirtualHosts {
    exact: HashMap<String, Box<dyn Handler>>,
    /// By what follows the first label, with its dot.
    below: HashMap<String, Box<dyn Handler>>,
    default: Option<Box<dyn Handler>>,
}

impl VirtualHosts {
    /// Without hosts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a host, or all names that have one label more than what follows `*.`; one that was there is replaced.
    #[must_use]
    pub fn host(mut self, name: &str, handler: impl Handler) -> Self {
        let name = name.to_ascii_lowercase();
        let handler = Box::new(handler);
        match name.strip_prefix('*') {
            Some(below) => self.below.insert(below.to_owned(), handler),
            None => self.exact.insert(name, handler),
        };
        self
    }

    /// What answers for all other hosts.
    #[must_use]
    pub fn default_host(mut self, handler: impl Handler) -> Self {
        self.default = Some(Box::new(handler));
        self
    }

    fn find(&self, host: &str) -> Option<&dyn Handler> {
        let name = without_port(host)
            .trim_end_matches('.')
            .to_ascii_lowercase();
        let below = || self.below.get(&name[name.find('.')?..]);
        let found = self.exact.get(&name).or_else(below);
        found.or(self.default.as_ref()).map(|handler| &**handler)
    }
}

fn without_port(host: &str) -> &str {
    // An IPv6 address has its colons in brackets.
    let port = host.rfind(':').filter(|&at| !host[at..].contains(']'));
    port.map_or(host, |at| &host[..at])
}

impl Handler for VirtualHosts {
    fn handle(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
    ) -> Result<(), HandlerError> {
        match self.find(request.host()) {
            Some(handler) => handler.handle(request, response),
            None => Err(Rejection::new(
                Status::MISDIRECTED_REQUEST,
                "this host is not served here",
            )
            .into()),
        }
    }

    fn matches(&self, request: &Request<'_>) -> bool {
        self.find(request.host())
            .is_some_and(|handler| handler.matches(request))
    }
}

impl fmt::Debug for VirtualHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualHosts").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_taken_off() {
        for (host, name) in [
            ("h", "h"),
            ("h:80", "h"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(without_port(host), name);
        }
    }
}
