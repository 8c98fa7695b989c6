//! A small name server: for zones of its own, and for what it finds with a [`Resolver`].
//!
//! ```no_run
//! use grapeshot_dns::Resolver;
//! use grapeshot_dns::server::{Server, Zone};
//!
//! grapeshot::run(|| -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//!     let office = Zone::parse("office.example.", &std::fs::read_to_string("office.zone")?)?;
//!     let server = Server::new().zone(office).forward(Resolver::system());
//!     // UDP and TCP; returns when a socket breaks.
//!     Ok(server.serve("127.0.0.1:5353")?)
//! })?;
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! ```
//!
//! What it does not do: DNSSEC, transfers of zones, updates, notifications. They are refused.
//!
//! # What a client may cost
//!
//! A datagram's sender may be made up, so that the answer hits somebody else. An answer over UDP is never longer than the client
//! says it takes (EDNS; 512 bytes without), nor than 1,232 bytes; what does not fit says "ask over TCP" and is no longer than
//! the question. ANY gets one set of records. And a network gets a limited number of answers a second, see
//! [`ServerLimits::answers_per_second`]. Forwarding is for clients on this host, unless [`Server::forward_for`] says
//! otherwise: an open forwarder is a weapon.

mod rates;
mod respond;
mod zone;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use grapeshot::net::{Batch, Listener, Peer, Stream, TcpListener, ToSocketAddrs, UdpSocket};
use grapeshot::sync::Semaphore;
use grapeshot::{scope, time, with_timeout};
use hickory_proto::op::{Message, MessageType, ResponseCode};

use crate::exchange::{read_message, write_message};
use crate::message::{Question, decode, encode};
use crate::resolver::Resolver;
use rates::{Rates, Verdict};
use respond::{Response, complain, complete, respond, room};
pub use zone::{Zone, ZoneBuilder, ZoneError};

/// Datagrams that are taken in one go.
const AT_ONCE: usize = 32;
/// Bytes of a query; longer ones are cut, and then no messages.
const MAX_QUERY: usize = 4_096;

/// The caps of a [`Server`].
///
/// ```
/// let mut limits = grapeshot_dns::server::ServerLimits::default();
/// limits.answers_per_second = 1_000;
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerLimits {
    /// Answers over UDP that a network (24 bits of an IPv4 address, 56 of an IPv6 one) gets in a second. Above, every second
    /// query is answered with "ask over TCP", the others not at all. This host's own queries are not counted. Default 200.
    pub answers_per_second: u32,
    /// Queries that are being forwarded at once; above: SERVFAIL. Default 1,000.
    pub forwards: usize,
    /// Connections at once; at this number none is accepted until one ends. Default 1,000.
    pub connections: usize,
    /// How long a connection may take to its first query, and to take an answer. Default 2 s.
    pub first_query: Duration,
    /// How long it may be idle after that. Default 10 s.
    pub idle: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            answers_per_second: 200,
            forwards: 1_000,
            connections: 1_000,
            first_query: Duration::from_secs(2),
            idle: Duration::from_secs(10),
        }
    }
}

/// A name server. Cheap to clone; clones are the same one.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Shared {
    zones: Vec<Zone>,
    forward: Option<Resolver>,
    forward_for: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
    limits: ServerLimits,
    forwards: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    queries: AtomicU64,
    malformed: AtomicU64,
    forwarded: AtomicU64,
    overloaded: AtomicU64,
    limited: AtomicU64,
    truncated: AtomicU64,
    open: AtomicUsize,
}

/// An open connection, while it lives.
struct Open<'a>(&'a AtomicUsize);

impl<'a> Open<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a [`Server`] says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStatistics {
    /// Queries that were understood.
    pub queries: u64,
    /// What was not.
    pub malformed: u64,
    /// Queries that were forwarded, those that the resolver's cache answered among them.
    pub forwarded: u64,
    /// Queries that were not, because too many were under way.
    pub overloaded: u64,
    /// Queries over UDP that got no answer, or only that they should ask over TCP, because their network asks too much.
    pub limited: u64,
    /// Answers that did not fit.
    pub truncated: u64,
    /// Queries that are being forwarded.
    pub forwarding: usize,
    /// Open connections.
    pub connections: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// One that knows nothing and refuses everything.
    #[must_use]
    pub fn new() -> Self {
        let limits = ServerLimits::default();
        let shared = Shared {
            zones: Vec::new(),
            forward: None,
            forward_for: Arc::new(|client| client.to_canonical().is_loopback()),
            forwards: Arc::new(Semaphore::new(limits.forwards)),
            connections: Arc::new(Semaphore::new(limits.connections)),
            limits,
            counts: Arc::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        change(Arc::make_mut(&mut self.shared));
        self
    }

    /// Serves this zone, too; one of the same name is replaced.
    #[must_use]
    pub fn zone(self, zone: Zone) -> Self {
        self.with(|shared| {
            shared.zones.retain(|other| other.origin() != zone.origin());
            shared.zones.push(zone);
        })
    }

    /// Finds what is in none of the zones with `resolver`, for clients on this host.
    #[must_use]
    pub fn forward(self, resolver: Resolver) -> Self {
        self.with(|shared| shared.forward = Some(resolver))
    }

    /// Whom it forwards for. Take care that it is not everybody.
    #[must_use]
    pub fn forward_for(self, clients: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        self.with(|shared| shared.forward_for = Arc::new(clients))
    }

    /// Caps other than the defaults.
    #[must_use]
    pub fn limits(self, limits: ServerLimits) -> Self {
        self.with(|shared| {
            shared.forwards = Arc::new(Semaphore::new(limits.forwards));
            shared.connections = Arc::new(Semaphore::new(limits.connections));
            shared.limits = limits;
        })
    }

    /// Serves UDP and TCP at an address, until one of the sockets breaks. **May suspend.** To stop it, interrupt the
    /// coroutine that it runs in.
    ///
    /// # Errors
    /// Those of binding, and of the sockets.
    pub fn serve<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        let socket = UdpSocket::bind(addr)?;
        let listener = TcpListener::bind(socket.local_addr()?)?;
        self.serve_on(&socket, &listener)
    }

    /// As [`serve`](Self::serve), on sockets that are bound already. **May suspend.**
    ///
    /// # Errors
    /// Those of the sockets.
    pub fn serve_on(&self, socket: &UdpSocket, listener: &TcpListener) -> io::Result<()> {
        scope(|s| {
            let tcp = s.spawn(|| self.serve_streams(listener));
            let result = self.serve_udp(socket);
            tcp.interrupt();
            result
        })
    }

    /// Serves a UDP socket, until it breaks. Several of one port (`SO_REUSEPORT`) may be served at once. **May suspend.**
    ///
    /// # Errors
    /// Those of the socket.
    pub fn serve_udp(&self, socket: &UdpSocket) -> io::Result<()> {
        let shared = &*self.shared;
        let mut rates = Rates::new(shared.limits.answers_per_second, time::now());
        scope(|s| {
            let mut batch = Batch::new(AT_ONCE, MAX_QUERY);
            loop {
                match socket.recv_many(&mut batch) {
                    Ok(_) => {}
                    // A client that is gone, said about an answer to it.
                    Err(error) if is_of_a_peer(&error) => continue,
                    Err(error) => return Err(error),
                }
                let now = time::now();
                for datagram in batch.iter() {
                    let Some(client) = datagram.addr() else {
                        continue;
                    };
                    let (response, room) = match shared.read(datagram.bytes(), client.ip()) {
                        Some(read) => read,
                        None => continue,
                    };
                    match rates.judge(client.ip(), now) {
                        Verdict::Answer => {}
                        verdict => {
                            shared.counts.limited.fetch_add(1, Ordering::Relaxed);
                            if verdict == Verdict::AskOverTcp {
                                let short = response.into_message().truncate();
                                send(socket, &encode(&short, room), client);
                            }
                            continue;
                        }
                    }
                    match shared.at_once(response) {
                        Response::Ready(message) => {
                            send(socket, &shared.encode(&message, room), client)
                        }
                        Response::Ask(question, message) => {
                            let Some(permit) = Arc::clone(&shared.forwards).try_acquire_owned()
                            else {
                                send(
                                    socket,
                                    &shared.encode(&shared.overloaded(message), room),
                                    client,
                                );
                                continue;
                            };
                            s.spawn(move || {
                                let _permit = permit;
                                let message = shared.find(&question, message);
                                send(socket, &shared.encode(&message, room), client);
                            });
                        }
                    }
                }
            }
        })
    }

    /// Serves what a listener accepts: TCP, or TLS with the `Listener` of `grapeshot-tls`, until it breaks. **May suspend.**
    ///
    /// # Errors
    /// Those of `accept`.
    pub fn serve_streams<L: Listener>(&self, listener: &L) -> io::Result<()> {
        let shared = &*self.shared;
        scope(|s| {
            loop {
                let permit = shared.connections.acquire_owned();
                let (stream, client) = listener.accept()?;
                s.spawn(move || {
                    let _permit = permit;
                    let _open = Open::new(&shared.counts.open);
                    if let Err(error) = shared.converse(&stream, client) {
                        log::debug!("{client}: {error}");
                    }
                });
            }
        })
    }

    /// The answer to a query that came by another way, over which nobody can make up who he is, such as HTTPS; both are whole
    /// messages. `None` if there is nothing to say. **May suspend**, if it has to be forwarded.
    ///
    /// ```
    /// # use grapeshot_dns::server::Server;
    /// # use std::net::Ipv4Addr;
    /// let query = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";
    /// let refused = Server::new().answer(query, Ipv4Addr::LOCALHOST.into()).unwrap();
    /// assert_eq!(refused[..4], [0, 7, 0x81, 5]);
    /// ```
    pub fn answer(&self, query: &[u8], client: IpAddr) -> Option<Vec<u8>> {
        self.shared.answer(query, client)
    }

    /// What it has done, and does.
    pub fn statistics(&self) -> ServerStatistics {
        let shared = &*self.shared;
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ServerStatistics {
            queries: of(&shared.counts.queries),
            malformed: of(&shared.counts.malformed),
            forwarded: of(&shared.counts.forwarded),
            overloaded: of(&shared.counts.overloaded),
            limited: of(&shared.counts.limited),
            truncated: of(&shared.counts.truncated),
            forwarding: shared
                .limits
                .forwards
                .saturating_sub(shared.forwards.available()),
            connections: shared.counts.open.load(Ordering::Relaxed),
        }
    }
}

impl Response {
    fn into_message(self) -> Message {
        match self {
            Self::Ready(message) | Self::Ask(_, message) => message,
        }
    }
}

impl Shared {
    /// What is to be done with what a client sent, and how long the answer may be over UDP; `None` if it is not to be answered.
    fn read(&self, wire: &[u8], client: IpAddr) -> Option<(Response, usize)> {
        let query = match decode(wire) {
            Ok(query) => query,
            Err(_) => {
                self.counts.malformed.fetch_add(1, Ordering::Relaxed);
                return Some((Response::Ready(complain(wire)?), crate::message::PLAIN_UDP));
            }
        };
        if query.metadata.message_type != MessageType::Query {
            self.counts.malformed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.counts.queries.fetch_add(1, Ordering::Relaxed);
        let forwards = self.forward.is_some() && (self.forward_for)(client);
        let room = room(&query);
        Some((respond(&self.zones, &query, forwards), room))
    }

    /// Completes what the resolver knows without asking.
    fn at_once(&self, response: Response) -> Response {
        let Response::Ask(question, mut message) = response else {
            return response;
        };
        self.counts.forwarded.fetch_add(1, Ordering::Relaxed);
        match self
            .forward
            .as_ref()
            .and_then(|resolver| resolver.cached(&question))
        {
            Some(answer) => {
                complete(&mut message, answer);
                Response::Ready(message)
            }
            None => Response::Ask(question, message),
        }
    }

    /// Asks the resolver. **May suspend.**
    fn find(&self, question: &Question, mut message: Message) -> Message {
        let found = self
            .forward
            .as_ref()
            .map(|resolver| resolver.resolve(question));
        match found {
            Some(Ok(answer)) => complete(&mut message, answer),
            Some(Err(error)) => {
                log::debug!("{error}");
                message.metadata.response_code = ResponseCode::ServFail;
            }
            None => message.metadata.response_code = ResponseCode::Refused,
        }
        message
    }

    fn overloaded(&self, mut message: Message) -> Message {
        self.counts.overloaded.fetch_add(1, Ordering::Relaxed);
        message.metadata.response_code = ResponseCode::ServFail;
        message
    }

    fn encode(&self, message: &Message, room: usize) -> Vec<u8> {
        let wire = encode(message, room);
        if wire.get(2).is_some_and(|flags| flags & 2 != 0) {
            self.counts.truncated.fetch_add(1, Ordering::Relaxed);
        }
        wire
    }

    /// The answer to a query that came over something reliable. **May suspend.**
    fn answer(&self, query: &[u8], client: IpAddr) -> Option<Vec<u8>> {
        let (response, _) = self.read(query, client)?;
        let message = match self.at_once(response) {
            Response::Ready(message) => message,
            Response::Ask(question, message) => match self.forwards.try_acquire() {
                Some(_permit) => self.find(&question, message),
                None => self.overloaded(message),
            },
        };
        Some(self.encode(&message, u16::MAX.into()))
    }

    /// Answers the queries of a connection, one after the other. **May suspend.**
    fn converse(&self, mut stream: &dyn Stream, client: Peer) -> io::Result<()> {
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        // Who comes over a Unix socket is on this host.
        let ip = match client {
            Peer::Tcp(addr) => addr.ip(),
            Peer::Unix => Ipv4Addr::LOCALHOST.into(),
            // Nobody knows who, so it is nobody special.
            Peer::Unknown => Ipv4Addr::UNSPECIFIED.into(),
        };
        with_timeout(self.limits.first_query, || stream.prepare()).map_err(late)??;
        let mut patience = self.limits.first_query;
        loop {
            let read = with_timeout(patience, || read_message(&mut stream)).map_err(late)??;
            let Some(wire) = read else {
                return Ok(());
            };
            let Some(wire) = self.answer(&wire, ip) else {
                return Ok(());
            };
            with_timeout(self.limits.first_query, || {
                write_message(&mut stream, &wire)
            })
            .map_err(late)??;
            patience = self.limits.idle;
        }
    }
}

/// An answer that cannot be sent is as good as one that is lost; the client asks again.
fn send(socket: &UdpSocket, wire: &[u8], client: SocketAddr) {
    if !wire.is_empty() {
        let _ = socket.try_send_to(wire, client);
    }
}

fn is_of_a_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
    )
}
