//! One question to one name server: the only place that meets a socket.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use grapeshot::net::{Stream, TcpStream, UdpSocket};
use grapeshot::sync::Semaphore;
use grapeshot::{random, with_timeout};
use hickory_proto::op::Message;

use crate::carrier::{Carrier, Carry, Streams};
use crate::error::{Attempt, Error, Failure, Transport};
use crate::message::{Judged, PLAIN_UDP, Question, Sent, Style, is_incapable};
use crate::statistics::Counts;

/// Ports that queries come from. Below them are those of services, which should find them free.
const FIRST_PORT: u16 = 16_384;
/// After so many ports that others have, the system chooses.
const PORT_TRIES: usize = 8;

/// How one question is put to a server.
#[derive(Debug, Clone)]
pub(crate) struct How {
    pub(crate) timeout: Duration,
    pub(crate) recursion: bool,
    pub(crate) edns: Option<u16>,
    pub(crate) random_case: bool,
    pub(crate) tcp: bool,
    /// In place of UDP and TCP.
    pub(crate) carrier: Option<Carrier>,
    /// See [`Limits::strangers`](crate::Limits::strangers).
    pub(crate) strangers: usize,
}

/// What one exchange came to.
pub(crate) enum Exchanged {
    Answer(Transport, Box<Message>),
    Failed(Attempt),
}

pub(crate) struct Exchanger {
    permits: Semaphore,
    pub(crate) counts: Counts,
    /// A connection is used for further questions (RFC 7766, section 6.2.1).
    tcp: Streams<Connect, TcpStream>,
}

type Connect = fn(SocketAddr) -> io::Result<TcpStream>;

impl fmt::Debug for Exchanger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchanger")
            .field("permits", &self.permits)
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

/// What came over UDP.
enum Came {
    Answer(Box<Message>),
    /// It has to be asked over TCP, for a reason that is no fault of the server's.
    AskOverTcp,
}

impl Exchanger {
    pub(crate) fn new(in_flight: usize) -> Self {
        Self {
            permits: Semaphore::new(in_flight.max(1)),
            counts: Counts::default(),
            tcp: Streams::new(|server| {
                let stream = TcpStream::connect(server)?;
                // A question goes out in one write; nothing is gained by holding it back.
                let _ = stream.set_nodelay(true);
                Ok(stream)
            }),
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.permits.statistics().wait.waiting
    }

    /// Asks `server`, over TCP too if that is needed, and without EDNS if it does not know that: up to four messages, which are
    /// added to `sent`. **May suspend.**
    ///
    /// # Errors
    /// The name cannot be asked for, or the system has no randomness.
    pub(crate) fn exchange(
        &self,
        server: SocketAddr,
        question: &Question,
        mut how: How,
        sent: &mut usize,
    ) -> Result<Exchanged, Error> {
        let _permit = self.permits.acquire();
        loop {
            let (transport, result) = self.attempt(server, question, &how, sent)?;
            match result {
                Ok(message) => {
                    let code = message.metadata.response_code;
                    if how.edns.is_some() && is_incapable(code) {
                        how.edns = None;
                        continue;
                    }
                    if message.queries.is_empty() {
                        let failure = Failure::Said(code);
                        return Ok(self.failed(server, transport, failure));
                    }
                    return Ok(Exchanged::Answer(transport, message));
                }
                Err(failure) => return Ok(self.failed(server, transport, failure)),
            }
        }
    }

    fn failed(&self, server: SocketAddr, transport: Transport, failure: Failure) -> Exchanged {
        match &failure {
            Failure::TimedOut(_) => Counts::add(&self.counts.timeouts),
            Failure::Malformed(_) => Counts::add(&self.counts.malformed),
            _ => {}
        }
        Exchanged::Failed(Attempt {
            server,
            transport,
            failure,
        })
    }

    fn attempt(
        &self,
        server: SocketAddr,
        question: &Question,
        how: &How,
        sent: &mut usize,
    ) -> Result<(Transport, Result<Box<Message>, Failure>), Error> {
        if let Some(carrier) = &how.carrier {
            let query = self.query(question, how)?;
            *sent += 1;
            let result = self.carried(carrier, server, &query, how);
            return Ok((Transport::Carried(carrier.name()), result));
        }
        if !how.tcp {
            let query = self.query(question, how)?;
            *sent += 1;
            match self.over_udp(server, &query, how) {
                Ok(Came::AskOverTcp) => Counts::add(&self.counts.over_tcp),
                Ok(Came::Answer(message)) => return Ok((Transport::Udp, Ok(message))),
                Err(failure) => return Ok((Transport::Udp, Err(failure))),
            }
        }
        // Another id: the first has been seen by whoever made us change.
        let query = self.query(question, how)?;
        *sent += 1;
        Ok((Transport::Tcp, self.over_tcp(server, &query, how)))
    }

    fn query(&self, question: &Question, how: &How) -> Result<Sent, Error> {
        let mut random = [0; 34];
        fill(&mut random)?;
        let [high, low, case @ ..] = random;
        let style = Style {
            recursion: how.recursion,
            edns: how.edns,
            padded: how.carrier.is_some(),
        };
        let id = u16::from_be_bytes([high, low]);
        Sent::new(question, style, id, how.random_case.then_some(&case))
    }

    /// Each query has a socket of its own, connected and at a random port: what others send does not arrive, or is told by
    /// where it comes from.
    fn over_udp(&self, server: SocketAddr, sent: &Sent, how: &How) -> Result<Came, Failure> {
        let exchange = || -> Result<Came, Failure> {
            let socket = connected(server).map_err(|error| Failure::io(&error))?;
            Counts::add(&self.counts.udp);
            socket
                .send(sent.wire())
                .map_err(|error| Failure::io(&error))?;
            // One byte more than the server may send shows that it sent more.
            let room = how
                .edns
                .map_or(PLAIN_UDP, |size| PLAIN_UDP.max(size.into()));
            let mut buf = vec![0; room + 1];
            let mut strangers = 0;
            while strangers < how.strangers {
                let (count, from) = socket
                    .recv_from(&mut buf)
                    .map_err(|error| Failure::io(&error))?;
                // What came between `bind` and `connect` may be anybody's.
                if from == server {
                    match sent.judge(&buf[..count]) {
                        Judged::Answer(message) if message.metadata.truncation => {
                            return Ok(Came::AskOverTcp);
                        }
                        Judged::Answer(message) => return Ok(Came::Answer(message)),
                        Judged::Malformed(_) if count > room => return Ok(Came::AskOverTcp),
                        Judged::Malformed(malformed) => return Err(Failure::Malformed(malformed)),
                        Judged::RightButCase(_) => {
                            Counts::add(&self.counts.strangers);
                            return Ok(Came::AskOverTcp);
                        }
                        Judged::Stranger => {}
                    }
                }
                Counts::add(&self.counts.strangers);
                strangers += 1;
            }
            Ok(Came::AskOverTcp)
        };
        with_timeout(how.timeout, exchange).unwrap_or(Err(Failure::TimedOut(how.timeout)))
    }

    fn carried(
        &self,
        carrier: &Carrier,
        server: SocketAddr,
        sent: &Sent,
        how: &How,
    ) -> Result<Box<Message>, Failure> {
        Counts::add(&self.counts.carried);
        with_timeout(how.timeout, || {
            reliable(sent, carrier.ask(server, sent.wire()))
        })
        .unwrap_or(Err(Failure::TimedOut(how.timeout)))
    }

    fn over_tcp(
        &self,
        server: SocketAddr,
        sent: &Sent,
        how: &How,
    ) -> Result<Box<Message>, Failure> {
        Counts::add(&self.counts.tcp);
        with_timeout(how.timeout, || {
            reliable(sent, self.tcp.ask(server, sent.wire()))
        })
        .unwrap_or(Err(Failure::TimedOut(how.timeout)))
    }
}

/// Reads an answer that came over a connection.
fn reliable(sent: &Sent, wire: io::Result<Vec<u8>>) -> Result<Box<Message>, Failure> {
    match sent.judge(&wire.map_err(|error| Failure::io(&error))?) {
        // Over a connection nobody has to guess, so the case does not matter.
        Judged::Answer(message) | Judged::RightButCase(message) => {
            match message.metadata.truncation {
                true => Err(Failure::Truncated),
                false => Ok(message),
            }
        }
        Judged::Malformed(malformed) => Err(Failure::Malformed(malformed)),
        Judged::Stranger => Err(Failure::NotOurs),
    }
}

/// Asks over a stream, on which each message has its length before it (RFC 1035, section 4.2.2). **May suspend.**
pub(crate) fn ask(mut stream: &dyn Stream, query: &[u8]) -> io::Result<Vec<u8>> {
    stream.prepare()?;
    write_message(&mut stream, query)?;
    read_message(&mut stream)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Writes a message with its length. **May suspend.**
pub(crate) fn write_message(stream: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "longer than 65,535 bytes"))?;
    // In one piece: some servers want the length and the message in one segment.
    let mut framed = Vec::with_capacity(2 + message.len());
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    stream.write_all(&framed)
}

/// Reads a message; `None` if the stream ends before it. **May suspend.**
pub(crate) fn read_message(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 2];
    let first = stream.read(&mut length)?;
    if first == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut length[first..])?;
    // What is there is buffered, not what is claimed.
    let length = u16::from_be_bytes(length);
    let mut message = Vec::new();
    stream.take(length.into()).read_to_end(&mut message)?;
    match message.len() == usize::from(length) {
        true => Ok(Some(message)),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// A socket at a random port that hears only `server`.
fn connected(server: SocketAddr) -> io::Result<UdpSocket> {
    let any = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let mut tries = 0;
    let socket = loop {
        let port = match tries {
            PORT_TRIES => 0,
            _ => random_port()?,
        };
        match UdpSocket::bind(SocketAddr::new(any, port)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < PORT_TRIES => {
                tries += 1
            }
            bound => break bound?,
        }
    };
    socket.connect(server)?;
    Ok(socket)
}

fn random_port() -> io::Result<u16> {
    loop {
        let mut random = [0; 2];
        random::fill(&mut random)?;
        let port = u16::from_ne_bytes(random);
        if port >= FIRST_PORT {
            return Ok(port);
        }
    }
}

/// A number below `end`, which is small.
pub(crate) fn random_below(end: usize) -> Result<usize, Error> {
    let mut random = [0; 8];
    fill(&mut random)?;
    // 64 bits, so that it hardly matters that they are not a multiple.
    Ok((u64::from_ne_bytes(random) % end as u64) as usize)
}

fn fill(buf: &mut [u8]) -> Result<(), Error> {
    random::fill(buf).map_err(|error| Error::system("draw random numbers", &error))
}
