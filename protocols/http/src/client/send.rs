//! The story of a request: a connection, an exchange, another try, a redirect, and again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use grapeshot::time;
use url::Url;

use super::connect::dial;
use super::content::Content;
use super::decode::Decoded;
use super::error::{Error, ErrorKind};
use super::exchange::{Answered, Failure, Outgoing};
use super::head::{Framing, ResponseHead};
use super::lease::Lease;
use super::limits::{Timeouts, Watch};
use super::payload::Payload;
use super::pool::Key;
use super::proxy::ProxyKind;
use super::redirect::{Next, Redirect, Redirects, is_credential};
use super::response::Response;
use super::retry::{self, Retries};
use super::shared::Shared;
use crate::{Status, Upgraded};

/// A request and how it is to be made.
pub(super) struct Order<'b> {
    pub(super) outgoing: Outgoing<'b>,
    pub(super) timeouts: Timeouts,
    pub(super) redirects: Redirects,
    pub(super) retries: Retries,
}

/// The head of the answer that counts, and the connection its content comes on.
pub(super) struct Finished {
    answered: Answered,
    lease: Lease,
    watch: Watch,
    redirects: Vec<Redirect>,
}

/// Makes a request. **May suspend.**
pub(super) fn run(shared: &Arc<Shared>, order: &mut Order<'_>) -> Result<Finished, Error> {
    let watch = Watch::start(order.timeouts);
    let mut redirects = Vec::new();
    loop {
        match step(shared, order, &watch, &mut redirects) {
            Ok(Some((answered, lease))) => {
                return Ok(Finished {
                    answered,
                    lease,
                    watch,
                    redirects,
                });
            }
            Ok(None) => {}
            Err(kind) => {
                if let ErrorKind::Timeout(phase, _) = kind {
                    shared.pool.counters.count_timeout(phase);
                }
                return Err(Error::new(kind).at(&order.outgoing.method, &order.outgoing.url));
            }
        }
    }
}

/// Gets one answer; `None` if it was a redirect, which is prepared then. **May suspend.**
fn step(
    shared: &Shared,
    order: &mut Order<'_>,
    watch: &Watch,
    redirects: &mut Vec<Redirect>,
) -> Result<Option<(Answered, Lease)>, ErrorKind> {
    add_cookies(shared, &mut order.outgoing);
    let (answered, lease) = answer(shared, order, watch)?;
    let head = &answered.head;
    let outgoing = &mut order.outgoing;
    store_cookies(shared, head, &outgoing.url);
    let next = order
        .redirects
        .next(
            head.status(),
            &outgoing.method,
            &outgoing.url,
            head.headers().value("location"),
            redirects.len(),
        )
        .map_err(ErrorKind::Redirect)?;
    let Some(next) = next else {
        return Ok(Some((answered, lease)));
    };
    redirects.push(Redirect {
        status: head.status(),
        from: outgoing.url.clone(),
        to: next.url.clone(),
    });
    shared
        .pool
        .counters
        .redirects
        .fetch_add(1, Ordering::Relaxed);
    follow(outgoing, next)?;
    give_up(shared, answered, lease, watch);
    Ok(None)
}

/// Makes of a request the one that a redirect asks for.
fn follow(outgoing: &mut Outgoing<'_>, next: Next) -> Result<(), ErrorKind> {
    outgoing.url = next.url;
    outgoing.target = None;
    // Name and password in it would be the server's choice.
    let _ = outgoing.url.set_username("");
    let _ = outgoing.url.set_password(None);
    if next.as_get {
        outgoing.method = "GET".to_owned();
        outgoing.payload = Payload::Empty;
        let of_content = |name: &str| {
            name.get(..8)
                .is_some_and(|start| start.eq_ignore_ascii_case("content-"))
        };
        outgoing.headers.retain(|(name, _)| !of_content(name));
    } else if !outgoing.payload.is_there() {
        return Err(ErrorKind::Redirect(super::error::RedirectFault::BodyGone));
    }
    if next.leaves_origin {
        outgoing
            .headers
            .retain(|(name, _)| !is_credential(name) && !name.eq_ignore_ascii_case("host"));
    }
    Ok(())
}

/// Keeps the cookies that came with an answer.
pub(super) fn store_cookies(shared: &Shared, head: &ResponseHead, url: &Url) {
    if let Some(jar) = &shared.cookies {
        let now = time::system_now();
        for line in head.headers().values("set-cookie") {
            jar.store(line, url, now);
        }
    }
}

/// The cookies for this URL, unless the caller wrote some.
pub(super) fn add_cookies(shared: &Shared, outgoing: &mut Outgoing<'_>) {
    let Some(jar) = &shared.cookies else {
        return;
    };
    let headers = &mut outgoing.headers;
    // Those of the hop before are of this spelling, the caller's of any.
    headers.retain(|(name, _)| name != "cookie");
    if headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("cookie"))
    {
        return;
    }
    if let Some(cookies) = jar.header(&outgoing.url, time::system_now()) {
        headers.push(("cookie".to_owned(), cookies.into_bytes()));
    }
}

/// Gets an answer, with as many tries as are safe and allowed. **May suspend.**
fn answer(
    shared: &Shared,
    order: &mut Order<'_>,
    watch: &Watch,
) -> Result<(Answered, Lease), ErrorKind> {
    let retries = order.retries;
    let idempotent = retry::is_idempotent(&order.outgoing.method);
    let counters = &shared.pool.counters;
    let mut tries = 0;
    let mut fresh = false;
    loop {
        let mut reused = false;
        let result = once(shared, &mut order.outgoing, watch, fresh, &mut reused);
        let again = tries < retries.most && order.outgoing.payload.is_there();
        let wait = match result {
            Ok((answered, lease)) => {
                let passing =
                    again && idempotent && retry::is_passing_status(answered.head.status());
                if !passing {
                    return Ok((answered, lease));
                }
                let Some(wait) = pause_after(&answered.head, &retries, tries) else {
                    return Ok((answered, lease));
                };
                give_up(shared, answered, lease, watch);
                wait
            }
            Err(failure) => {
                let stale = failure.unanswered && reused && idempotent;
                if stale && !fresh && order.outgoing.payload.is_there() {
                    // The server closed it just when we wrote; a new connection tells what it really says.
                    counters.stale.fetch_add(1, Ordering::Relaxed);
                    fresh = true;
                    continue;
                }
                let safe = retry::never_left(&failure.kind)
                    || (idempotent && retry::is_passing(&failure.kind));
                if !again || !safe {
                    return Err(failure.kind);
                }
                retry::pause(&retries, tries)
            }
        };
        tries += 1;
        counters.retries.fetch_add(1, Ordering::Relaxed);
        watch.total().bound(|| grapeshot::sleep(wait))?;
    }
}

/// How long to wait after this answer; `None` if the server wants more than we do.
fn pause_after(head: &ResponseHead, retries: &Retries, tries: u32) -> Option<Duration> {
    let wanted = head
        .headers()
        .value("retry-after")
        .and_then(|value| retry::retry_after(value, time::system_now()));
    match wanted {
        Some(wait) => (wait <= retries.longest).then_some(wait),
        None => Some(retry::pause(retries, tries)),
    }
}

/// One try on one connection. **May suspend.**
fn once(
    shared: &Shared,
    outgoing: &mut Outgoing<'_>,
    watch: &Watch,
    fresh: bool,
    reused: &mut bool,
) -> Result<(Answered, Lease), Failure> {
    let counters = &shared.pool.counters;
    let mut lease;
    (lease, *reused) = open(shared, outgoing, watch, fresh)?;
    if *reused {
        counters.reused.fetch_add(1, Ordering::Relaxed);
    }
    counters.requests.fetch_add(1, Ordering::Relaxed);
    let answered = outgoing.exchange(&mut lease, &shared.limits, watch)?;
    Ok((answered, lease))
}

/// A connection to whom this request is for, and whether it has carried others before. **May suspend.**
pub(super) fn open(
    shared: &Shared,
    outgoing: &Outgoing<'_>,
    watch: &Watch,
    fresh: bool,
) -> Result<(Lease, bool), ErrorKind> {
    let key = key_of(shared, outgoing)?;
    let mut lease = shared.pool.lease(key, fresh, watch)?;
    if !lease.is_open() {
        let connection = dial(&*shared.connector, lease.key(), &shared.limits, watch)?;
        shared.pool.counters.opened.fetch_add(1, Ordering::Relaxed);
        lease.set(Box::new(connection));
    }
    let reused = lease.is_reused();
    Ok((lease, reused))
}

pub(super) fn key_of(shared: &Shared, outgoing: &Outgoing<'_>) -> Result<Key, ErrorKind> {
    let url = &outgoing.url;
    let secure = url.scheme() == "https";
    let (host, port) = host_and_port(url)?;
    let proxy = shared.proxies.route(secure, &host, port).cloned();
    let tunnel = secure || outgoing.upgrade.is_some();
    Ok(match proxy {
        // Such a connection carries requests for any host.
        Some(proxy) if proxy.kind == ProxyKind::Http && !tunnel => Key {
            secure,
            host: proxy.host.clone(),
            port: proxy.port,
            proxy: Some(proxy),
            tunnel,
        },
        proxy => Key {
            secure,
            host,
            port,
            tunnel: proxy.is_some() && tunnel,
            proxy,
        },
    })
}

fn host_and_port(url: &Url) -> Result<(String, u16), ErrorKind> {
    let Some(host) = url.host_str() else {
        return Err(ErrorKind::Url("it has no host".to_owned()));
    };
    // An address of IPv6 is in brackets there.
    let host = host.trim_matches(['[', ']']);
    match url.port_or_known_default() {
        Some(port) if !host.is_empty() => Ok((host.to_owned(), port)),
        _ => Err(ErrorKind::Url("it has no host or no port".to_owned())),
    }
}

/// Reads away the content of an answer that is not wanted, if it is short. **May suspend.**
fn give_up(shared: &Shared, answered: Answered, lease: Lease, watch: &Watch) {
    let head = &answered.head;
    let keep = head.keep_alive() && answered.sent;
    let mut content = Content::new(lease, head.framing(), keep, *watch, None);
    content.drain(shared.limits.drain);
}

impl Finished {
    /// An answer that no redirect led to.
    pub(super) fn new(answered: Answered, lease: Lease, watch: Watch) -> Self {
        Self {
            answered,
            lease,
            watch,
            redirects: Vec::new(),
        }
    }

    pub(super) fn response(
        self,
        shared: Arc<Shared>,
        order: &Order<'_>,
        decompress: bool,
    ) -> Response {
        let Answered { head, sent } = self.answered;
        let outgoing = &order.outgoing;
        let keep = head.keep_alive() && sent;
        let framing = head.framing();
        let progress = outgoing.progress.clone();
        let content = Content::new(self.lease, framing, keep, self.watch, progress);
        let encoding = head
            .headers()
            .value("content-encoding")
            .filter(|_| decompress && framing != Framing::Length(0));
        let decoded = Decoded::new(content, encoding.unwrap_or_default());
        let (method, url) = (outgoing.method.clone(), outgoing.url.clone());
        Response::new(head, method, url, self.redirects, decoded, shared)
    }

    pub(super) fn is_upgraded(&self) -> bool {
        self.answered.head.status() == Status::SWITCHING_PROTOCOLS
    }

    /// Takes the stream out of the pool.
    pub(super) fn upgraded(self, shared: Arc<Shared>, order: &Order<'_>) -> (Response, Upgraded) {
        let outgoing = &order.outgoing;
        let (method, url) = (outgoing.method.clone(), outgoing.url.clone());
        let mut lease = self.lease;
        let connection = lease.connection();
        let upgraded = Upgraded {
            stream: Arc::clone(&connection.stream),
            received: connection.received().to_vec(),
        };
        let content = Content::of_nothing(lease, self.watch);
        let decoded = Decoded::Plain(content);
        let response = Response::new(
            self.answered.head,
            method,
            url,
            self.redirects,
            decoded,
            shared,
        );
        (response, upgraded)
    }
}
