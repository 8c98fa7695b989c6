//! Name servers that say what a test has them say.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use grapeshot::net::{TcpListener, UdpSocket};
use grapeshot::testing::{self, Host};
use grapeshot_dns::message::{Message, decode};
use grapeshot_dns::rdata::{A, AAAA, CNAME, SOA};
use grapeshot_dns::{
    Config, Hosts, Limits, Name, RData, Record, RecordType, Resolver, ResponseCode, Transport,
};

/// What a server says to a query: any number of messages, from its own port.
pub type Say = dyn Fn(&Query) -> Vec<Vec<u8>> + Send + Sync;

pub struct Query {
    pub message: Message,
    pub transport: Transport,
    /// The how many-th it is.
    pub number: usize,
    pub from: SocketAddr,
}

impl Query {
    pub fn name(&self) -> String {
        self.message.queries[0].name.to_lowercase().to_string()
    }

    pub fn record_type(&self) -> RecordType {
        self.message.queries[0].query_type
    }

    /// An answer without records yet.
    pub fn reply(&self) -> Message {
        let mut reply = self.message.clone().into_response();
        reply.edns = None;
        reply.metadata.recursion_available = true;
        reply
    }

    pub fn answer(&self, records: impl IntoIterator<Item = Record>) -> Vec<Vec<u8>> {
        let mut reply = self.reply();
        reply.add_answers(records);
        one(&reply)
    }

    pub fn code(&self, code: ResponseCode) -> Vec<Vec<u8>> {
        let mut reply = self.reply();
        reply.metadata.response_code = code;
        one(&reply)
    }

    pub fn negative(&self, code: ResponseCode, minimum: u32) -> Vec<Vec<u8>> {
        let mut reply = self.reply();
        reply.metadata.response_code = code;
        reply.add_authority(soa(".", minimum));
        one(&reply)
    }
}

pub fn one(message: &Message) -> Vec<Vec<u8>> {
    vec![message.to_vec().unwrap()]
}

pub fn name(name: &str) -> Name {
    Name::from_ascii(name).unwrap()
}

pub fn a(owner: &str, ttl: u32, last: u8) -> Record {
    let data = RData::A(A(Ipv4Addr::new(192, 0, 2, last)));
    Record::from_rdata(name(owner), ttl, data)
}

pub fn aaaa(owner: &str, ttl: u32, last: u16) -> Record {
    let data = RData::AAAA(AAAA(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)));
    Record::from_rdata(name(owner), ttl, data)
}

pub fn cname(owner: &str, target: &str) -> Record {
    Record::from_rdata(name(owner), 60, RData::CNAME(CNAME(name(target))))
}

pub fn soa(zone: &str, minimum: u32) -> Record {
    let soa = SOA::new(name(zone), name(zone), 1, 2, 3, 4, minimum);
    Record::from_rdata(name(zone), 3_600, RData::SOA(soa))
}

/// Starts a server on a host of the simulated network, UDP and TCP. Returns with the count of its queries.
pub fn server(
    host: &str,
    say: impl Fn(&Query) -> Vec<Vec<u8>> + Send + Sync + 'static,
) -> (Host, Arc<AtomicUsize>) {
    let (say, count): (Arc<Say>, _) = (Arc::new(say), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    let host = testing::host(host, move || {
        let (tcp, counter) = (Arc::clone(&say), Arc::clone(&count));
        let listener = persist(|| TcpListener::bind("0.0.0.0:53"));
        grapeshot::spawn(move || serve_tcp(&listener, &tcp, &counter));
        let socket = Arc::new(persist(|| UdpSocket::bind("0.0.0.0:53")));
        while serve_udp(&socket, &say, &count).is_err() {}
    });
    (host, counted)
}

/// Tries until it succeeds: a tortured server is still one.
fn persist<T>(mut attempt: impl FnMut() -> io::Result<T>) -> T {
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(_) => grapeshot::sleep(Duration::from_millis(1)),
        }
    }
}

/// Each query is answered in a coroutine of its own, so that a slow answer holds no other up.
pub fn serve_udp(
    socket: &Arc<UdpSocket>,
    say: &Arc<Say>,
    count: &Arc<AtomicUsize>,
) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        let (length, from) = socket.recv_from(&mut buf)?;
        let Ok(message) = decode(&buf[..length]) else {
            continue;
        };
        let query = Query {
            message,
            transport: Transport::Udp,
            number: count.fetch_add(1, Ordering::SeqCst),
            from,
        };
        let (socket, say) = (Arc::clone(socket), Arc::clone(say));
        grapeshot::spawn(move || {
            for datagram in say(&query) {
                let _ = socket.send_to(&datagram, from);
            }
        });
    }
}

fn serve_tcp(listener: &TcpListener, say: &Arc<Say>, count: &Arc<AtomicUsize>) {
    loop {
        let (mut stream, from) = persist(|| listener.accept());
        let (say, count) = (Arc::clone(say), Arc::clone(count));
        grapeshot::spawn(move || -> io::Result<()> {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut wire = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut wire)?;
            let query = Query {
                message: decode(&wire).unwrap(),
                transport: Transport::Tcp,
                number: count.fetch_add(1, Ordering::SeqCst),
                from,
            };
            for message in say(&query) {
                stream.write_all(&(message.len() as u16).to_be_bytes())?;
                stream.write_all(&message)?;
            }
            Ok(())
        });
    }
}

/// Until what was started has bound its sockets.
pub fn settle() {
    grapeshot::sleep(Duration::from_millis(10));
}

pub fn config(servers: &[&Host]) -> Config {
    Config::with_servers(servers.iter().map(|host| SocketAddr::from((host.ip(), 53))))
}

pub fn resolver(servers: &[&Host]) -> Resolver {
    Resolver::new(config(servers), Hosts::default(), Limits::default())
}

pub fn load(count: &AtomicUsize) -> usize {
    count.load(Ordering::SeqCst)
}
