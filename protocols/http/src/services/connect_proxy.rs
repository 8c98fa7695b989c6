//! CONNECT: a way through to other servers, for who may have it.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use grapeshot::net::{Peer, Stream, TcpStream, ToSocketAddrs};
use grapeshot::with_timeout;

use super::public::is_public;
use super::relay;
use crate::{Handler, HandlerError, Phase, Rejection, Request, Response, Status, target};

type Rule = dyn Fn(&Request<'_>, &Destination) -> bool + Send + Sync;

/// Answers `CONNECT` (RFC 9110, section 9.3.6): connects to where the client wants, if a rule allows that, and carries bytes
/// both ways until both sides have ended. A server takes such requests if it is [told to](crate::ServerBuilder::connect):
///
/// ```
/// use grapeshot_http::{ConnectProxy, Server, Status, answer};
///
/// let proxy = ConnectProxy::new(|_request, to| to.port() == 443 && to.host().ends_with(".example.org"));
/// let server = Server::builder().connect(proxy).build(answer(|_| Status::NOT_FOUND));
/// ```
///
/// Without a rule there is no proxy, and whatever the rule says, the way to this machine and to private networks is closed: a
/// name that leads there is refused too. [`allow_private_networks`](ConnectProxy::allow_private_networks) opens it. Who asks is
/// the rule's business, or that of [`Basic::proxy`](crate::auth::Basic::proxy) around this handler.
///
/// What is refused is a 403, no room is a 503, a server that cannot be reached a 502, and one that does not answer in time a 504.
/// A clone is the same proxy.
#[derive(Clone)]
pub struct ConnectProxy {
    rule: Arc<Rule>,
    limits: TunnelLimits,
    private_networks: bool,
    shared: Arc<Shared>,
}

/// What the clients of a [`ConnectProxy`] may cost.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TunnelLimits {
    /// Tunnels at once; above: 503. Default 1,024.
    pub tunnels: usize,
    /// Tunnels at once of one client's address; above: 503. Default 64.
    pub tunnels_per_client: usize,
    /// How long looking a name up and connecting may take together; then 504. Default 10 s.
    pub connect: Duration,
    /// How long a tunnel may be without a byte in either direction, also when one of them has ended; then both are. Default
    /// 5 min.
    pub idle: Duration,
}

impl Default for TunnelLimits {
    fn default() -> Self {
        Self {
            tunnels: 1_024,
            tunnels_per_client: 64,
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(300),
        }
    }
}

/// Where a client wants to go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    host: String,
    port: u16,
}

impl Destination {
    /// A name in lower case, or an IP address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The host's address, if it is one and no name.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    fn of(request: &Request<'_>) -> Option<Self> {
        let (host, port) = target::host_and_port(request.target())?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some(Self {
            host: host.to_ascii_lowercase(),
            port,
        })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[derive(Default)]
struct Shared {
    open: Mutex<Open>,
    total: AtomicU64,
    refused: AtomicU64,
    full: AtomicU64,
    failed: AtomicU64,
    expired: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

#[derive(Default)]
struct Open {
    all: usize,
    by_client: HashMap<Option<IpAddr>, usize>,
}

/// The figures of a [`ConnectProxy`], at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TunnelStatistics {
    /// Tunnels now, those that are being connected included.
    pub open: usize,
    /// Tunnels so far.
    pub total: u64,
    /// Requests that the rule refused, or that led to a private network.
    pub refused: u64,
    /// Requests for which there was no room.
    pub full: u64,
    /// Requests whose server could not be reached.
    pub failed: u64,
    /// Tunnels that ended because nothing moved in them.
    pub expired: u64,
    /// Bytes from clients to servers, of tunnels that have ended.
    pub sent: u64,
    /// Bytes from servers to clients, of tunnels that have ended.
    pub received: u64,
}

impl ConnectProxy {
    /// Lets through what `rule` allows; it may block.
    pub fn new(rule: impl Fn(&Request<'_>, &Destination) -> bool + Send + Sync + 'static) -> Self {
        Self {
            rule: Arc::new(rule),
            limits: TunnelLimits::default(),
            private_networks: false,
            shared: Arc::default(),
        }
    }

    /// What clients may cost.
    #[must_use]
    pub fn limits(mut self, limits: TunnelLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Lets through to this machine, to private networks and to whatever else is not out on the Internet, as far as the rule
    /// allows it. The rule hears of names, not of the addresses that they lead to.
    #[must_use]
    pub fn allow_private_networks(mut self) -> Self {
        self.private_networks = true;
        self
    }

    /// The proxy's figures.
    #[must_use]
    pub fn statistics(&self) -> TunnelStatistics {
        let shared = &*self.shared;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TunnelStatistics {
            open: shared.open().all,
            total: count(&shared.total),
            refused: count(&shared.refused),
            full: count(&shared.full),
            failed: count(&shared.failed),
            expired: count(&shared.expired),
            sent: count(&shared.sent),
            received: count(&shared.received),
        }
    }

    fn refuse(&self, request: &Request<'_>, to: &Destination, why: &str) -> Rejection {
        count(&self.shared.refused, 1);
        log::info!("http {}: no way to {to}: {why}", request.peer());
        Rejection::new(Status::FORBIDDEN, "this proxy does not lead there")
    }

    /// Takes a place among the open tunnels.
    fn enter(&self, request: &Request<'_>) -> Result<Place, Rejection> {
        let client = match request.peer() {
            Peer::Tcp(address) => Some(address.ip().to_canonical()),
            _ => None,
        };
        let mut open = self.shared.open();
        let of_client = open.by_client.get(&client).copied().unwrap_or(0);
        if open.all >= self.limits.tunnels || of_client >= self.limits.tunnels_per_client {
            drop(open);
            count(&self.shared.full, 1);
            let text = "too many tunnels are open; try again later";
            return Err(Rejection::new(Status::SERVICE_UNAVAILABLE, text));
        }
        open.all += 1;
        *open.by_client.entry(client).or_default() += 1;
        drop(open);
        Ok(Place {
            shared: Arc::clone(&self.shared),
            client,
        })
    }

    /// Connects to an address that the client may reach. **May suspend.**
    fn dial(&self, request: &Request<'_>, to: &Destination) -> Result<TcpStream, Rejection> {
        let result = with_timeout(self.limits.connect, || {
            let found = (to.host.as_str(), to.port).to_socket_addrs();
            let mut addresses: Vec<SocketAddr> = found.map_err(failed(to))?.collect();
            if !self.private_networks {
                addresses.retain(|address| is_public(address.ip()));
                if addresses.is_empty() {
                    return Err(self.refuse(request, to, "it is no public address"));
                }
            }
            TcpStream::connect_any(&addresses[..]).map_err(failed(to))
        });
        let result = result.unwrap_or_else(|_| {
            let text = "the server does not answer in time";
            Err(Rejection::new(Status::GATEWAY_TIMEOUT, text))
        });
        if result
            .as_ref()
            .is_err_and(|no| no.status() != Status::FORBIDDEN)
        {
            count(&self.shared.failed, 1);
        }
        result
    }
}

fn failed(to: &Destination) -> impl Fn(io::Error) -> Rejection {
    move |error| {
        log::debug!("http: {to} cannot be reached: {error}");
        Rejection::new(Status::BAD_GATEWAY, "the server cannot be reached")
    }
}

fn count(counter: &AtomicU64, times: u64) {
    counter.fetch_add(times, Ordering::Relaxed);
}

impl Handler for ConnectProxy {
    fn handle(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
    ) -> Result<(), HandlerError> {
        let to = Destination::of(request).filter(|_| request.content_length() == Some(0));
        let Some(to) = to else {
            let text = "CONNECT takes host:port, and no content";
            return Err(Rejection::new(Status::BAD_REQUEST, text).into());
        };
        if !(self.rule)(request, &to) {
            return Err(self.refuse(request, &to, "the rule forbids it").into());
        }
        let _place = self.enter(request)?;
        let theirs = self.dial(request, &to)?;
        let _ = theirs.set_nodelay(true);
        let ours = response.tunnel(request)?;
        count(&self.shared.total, 1);
        // What the client said at once; the buffer for heads bounds it.
        io::Write::write_all(&mut &theirs, &ours.received)?;
        let carried = relay::carry(
            &*ours.stream,
            &theirs as &dyn Stream,
            Some(self.limits.idle),
        );
        let early = ours.received.len() as u64;
        count(&self.shared.sent, early + carried.there);
        count(&self.shared.received, carried.back);
        request.note_sent(carried.back);
        if carried.expired {
            count(&self.shared.expired, 1);
            let (peer, phase) = (request.peer(), Phase::Idle);
            log::debug!("http {peer}: the tunnel to {to} is closed, out of time: {phase}");
        }
        Ok(())
    }
}

impl Shared {
    /// Locked for moments, never across a suspension.
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the open tunnels. It is given back however the tunnel ends.
struct Place {
    shared: Arc<Shared>,
    client: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.shared.open();
        open.all -= 1;
        if let Some(of_client) = open.by_client.get_mut(&self.client) {
            *of_client -= 1;
            if *of_client == 0 {
                open.by_client.remove(&self.client);
            }
        }
    }
}

impl fmt::Debug for ConnectProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectProxy")
            .field("limits", &self.limits)
            .field("statistics", &self.statistics())
            .finish_non_exhaustive()
    }
}

/// A server's handler, beside one that takes CONNECT.
pub(crate) struct Besides {
    pub(crate) connect: Box<dyn Handler>,
    pub(crate) handler: Box<dyn Handler>,
}

impl Handler for Besides {
    fn handle(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
    ) -> Result<(), HandlerError> {
        if request.head().is_connect() {
            self.connect.handle(request, response)
        } else {
            self.handler.handle(request, response)
        }
    }
}
