//! The request as it goes to the server behind.

use std::cell::RefCell;
use std::io::{self, Read};
use std::sync::atomic::Ordering;

use grapeshot::net::Peer;
use url::{Position, Url};

use super::super::intermediary::{is_forwarding, is_own};
use super::ReverseProxy;
use crate::body::is_token;
use crate::client::{self, Redirects, RequestBuilder};
use crate::head::has_token;
use crate::{Request, Version};

/// A server to pass requests on to.
#[derive(Debug)]
pub(super) struct Behind {
    /// Scheme, host and port.
    origin: String,
    /// In front of that of requests, with no slash at its end.
    path: String,
    has_credentials: bool,
}

impl Behind {
    pub(super) fn new(server: &str) -> Self {
        let Ok(url) = Url::parse(server) else {
            // Each request fails then, and the log says why.
            return Self {
                origin: server.to_owned(),
                path: String::new(),
                has_credentials: false,
            };
        };
        Self {
            origin: url[..Position::BeforePath].to_owned(),
            path: url.path().trim_end_matches('/').to_owned(),
            has_credentials: !url.username().is_empty() || url.password().is_some(),
        }
    }
}

impl ReverseProxy {
    /// The request for the server whose turn it is, without content.
    pub(super) fn asking<'b>(
        &self,
        request: &Request<'_>,
        forwards: Option<u64>,
    ) -> RequestBuilder<'b> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let behind = &self.servers[turn % self.servers.len()];
        let target = target(request, &behind.path);
        let url = format!("{}{target}", behind.origin);
        let asking = self.client.request(request.method(), url);
        let mut asking = if is_asterisk(request) {
            asking.asterisk()
        } else {
            asking.exact_target(target)
        };
        for (name, value) in self.headers(request) {
            // A name and a password in the server's address are for it, and not the client's.
            if !behind.has_credentials || !name.eq_ignore_ascii_case("authorization") {
                asking = asking.header(&name, value);
            }
        }
        if let Some(forwards) = forwards {
            asking = asking.header("Max-Forwards", (forwards - 1).to_string());
        }
        let wants_trailers = |list| has_token(list, "trailers");
        if request.values("TE").any(wants_trailers) {
            asking = asking.accept_trailers();
        }
        asking
            .verbatim()
            .decompress(false)
            .redirects(Redirects::none())
    }

    /// The headers that are passed on, and those that say who asked.
    fn headers(&self, request: &Request<'_>) -> Vec<(String, Vec<u8>)> {
        let named: Vec<&[u8]> = request.values("Connection").collect();
        let counts = matches!(request.method(), "OPTIONS" | "TRACE");
        let ours = |name: &str| {
            name.eq_ignore_ascii_case("x-forwarded-for")
                || name.eq_ignore_ascii_case("forwarded")
                || (counts && name.eq_ignore_ascii_case("max-forwards"))
                || name.eq_ignore_ascii_case("via")
        };
        let mut headers: Vec<(String, Vec<u8>)> = request
            .headers()
            .filter(|(name, _)| {
                // What the proxies before this one said is not the client's to take away by `Connection`.
                let passes = if is_forwarding(name) {
                    self.trusting
                } else {
                    !is_own(name, &named)
                };
                passes && !ours(name)
            })
            .map(|(name, value)| (name.to_owned(), value.to_vec()))
            .collect();
        let version = request.head().version();
        if let Some(value) = self.via_of(request.values("Via"), version) {
            headers.push(("Via".to_owned(), value));
        }
        let before = |name: &str| -> String {
            let said = request.values(name).filter(|_| self.trusting);
            let texts = said.filter_map(|value| std::str::from_utf8(value).ok());
            texts.map(|text| format!("{text}, ")).collect()
        };
        let (plain, quoted) = match request.peer() {
            Peer::Tcp(address) if address.is_ipv6() => {
                (address.ip().to_string(), format!("\"[{}]\"", address.ip()))
            }
            Peer::Tcp(address) => {
                let text = address.ip().to_string();
                (text.clone(), text)
            }
            _ => ("unknown".to_owned(), "unknown".to_owned()),
        };
        let (host, scheme) = (request.host(), self.scheme);
        let mut add =
            |name: &str, value: String| headers.push((name.to_owned(), value.into_bytes()));
        add("X-Forwarded-For", before("X-Forwarded-For") + &plain);
        add(
            "Forwarded",
            format!(
                "{}for={quoted};host=\"{host}\";proto={scheme}",
                before("Forwarded")
            ),
        );
        if !self.trusting || request.header("X-Forwarded-Host").is_none() {
            add("X-Forwarded-Host", host.to_owned());
        }
        if !self.trusting || request.header("X-Forwarded-Proto").is_none() {
            add("X-Forwarded-Proto", scheme.to_owned());
        }
        headers
    }
}

/// Path and query, behind `path`.
fn target(request: &Request<'_>, path: &str) -> String {
    let (subpath, query) = (request.subpath(), request.query());
    let mut target = String::with_capacity(request.target().len() + path.len() + 1);
    target.push_str(path);
    target.push_str(if is_asterisk(request) { "/" } else { subpath });
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    target
}

/// Whether the server as a whole is asked about: also by an absolute target without a path (RFC 9112, section 3.2.4).
fn is_asterisk(request: &Request<'_>) -> bool {
    let target = request.target();
    let is_bare = request.query().is_none() && !target.starts_with('/') && !target.ends_with('/');
    request.method() == "OPTIONS"
        && (request.subpath() == "*" || (is_bare && request.path() == "/"))
}

/// The protocol that the client would rather speak, if it names one that can be passed through. Else its wish is overlooked, as
/// every server may do (RFC 9110, section 7.8).
pub(super) fn other_protocol(request: &Request<'_>) -> Option<String> {
    let mut named = request.values("Upgrade");
    let (protocol, None) = (named.next()?, named.next()) else {
        return None;
    };
    let is_name = |byte: &u8| is_token(*byte) || *byte == b'/';
    let can_be = request.head().version() == Version::Http11
        && !request.head().is_connect()
        && request.content_length() == Some(0);
    let wants = |list| has_token(list, "upgrade");
    // Requests within HTTP/2 would go past whatever stands around this handler.
    (can_be
        && request.values("Connection").any(wants)
        && !protocol.is_empty()
        && protocol.iter().all(is_name)
        && !protocol.eq_ignore_ascii_case(b"h2c"))
    .then(|| String::from_utf8_lossy(protocol).into_owned())
}

/// Passes content on as it comes, and the trailers behind it. **May suspend.**
pub(super) fn send_content<'b>(
    request: &'b mut Request<'_>,
    asking: RequestBuilder<'b>,
    length: Option<u64>,
) -> Result<client::Response, client::Error> {
    // The server says whether it wants the content; reading it asks the client for it.
    let asking = if request.head().expect_continue() {
        asking.expect_continue()
    } else {
        asking
    };
    let request = RefCell::new(request);
    let trailers = || {
        let request = request.borrow();
        let named: Vec<&[u8]> = request.values("Connection").collect();
        let fits = |name: &str| {
            !is_own(name, &named)
                && !is_forwarding(name)
                && !name.eq_ignore_ascii_case("via")
                && !name.eq_ignore_ascii_case("max-forwards")
        };
        let trailers = request.trailers().filter(|(name, _)| fits(name));
        trailers
            .map(|(name, value)| (name.to_owned(), value.to_vec()))
            .collect()
    };
    asking
        .body_from(Content(&request), length)
        .trailers(trailers)
        .send()
}

/// The content of a request whose trailers are asked for later.
struct Content<'a, 'b, 'c>(&'a RefCell<&'b mut Request<'c>>);

impl Read for Content<'_, '_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(out)
    }
}
