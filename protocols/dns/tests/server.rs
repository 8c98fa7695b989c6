//! The name server, asked by our own resolver and by hand, on a simulated network.

mod common;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use common::*;
use grapeshot::net::{TcpStream, UdpSocket};
use grapeshot::testing::{self, Host, NetworkConfig, Simulation};
use grapeshot::{join_all, sleep, time, with_timeout};
use grapeshot_dns::message::{Edns, Message, Query as Asked, decode};
use grapeshot_dns::server::{Server, ServerLimits, Zone, ZoneBuilder, ZoneError};
use grapeshot_dns::{Config, Error, Hosts, Kind, Limits, RecordType, Resolver, ResponseCode};

const ZONE: &str = "$TTL 300
@       IN SOA ns hostmaster 1 3600 600 86400 60
@       IN NS  ns
@       IN MX  10 mail
ns      IN A   192.0.2.53
mail    IN A   192.0.2.25
www     IN A   192.0.2.80
www     IN AAAA 2001:db8::80
alias   IN CNAME www
chain   IN CNAME alias
abroad  IN CNAME www.elsewhere.test.
circle  IN CNAME circle2
circle2 IN CNAME circle
a.b.c   IN TXT \"deep\"
*.wild  IN TXT \"whoever\"
there.wild IN A 192.0.2.1
sub     IN NS  ns.sub
ns.sub  IN A   192.0.2.54
";

fn zone() -> Zone {
    Zone::parse("example.org.", ZONE).unwrap()
}

fn simulate(f: impl FnOnce() + Send + 'static) {
    Simulation::new(7).network(NetworkConfig::new()).run(f);
}

/// A server on a host of its own.
fn start(name: &str, server: &Server) -> Host {
    let server = server.clone();
    let host = testing::host(name, move || server.serve("0.0.0.0:53").unwrap());
    settle();
    host
}

fn query(name: &str, record_type: RecordType) -> Message {
    let mut query = Message::query();
    query.metadata.id = 7;
    query.metadata.recursion_desired = true;
    query.add_query(Asked::query(common::name(name), record_type));
    query
}

/// What comes back for a datagram, if anything does.
fn datagram(host: &Host, wire: &[u8]) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect(SocketAddr::from((host.ip(), 53))).unwrap();
    socket.send(wire).unwrap();
    let mut buf = vec![0; 65_536];
    let count = with_timeout(Duration::from_secs(1), || socket.recv(&mut buf))
        .ok()?
        .unwrap();
    buf.truncate(count);
    Some(buf)
}

fn ask(host: &Host, name: &str, record_type: RecordType) -> Message {
    let wire = query(name, record_type).to_vec().unwrap();
    decode(&datagram(host, &wire).unwrap()).unwrap()
}

#[test]
fn what_a_zone_says() {
    simulate(|| {
        let host = start("ns", &Server::new().zone(zone()));
        let said = |name: &str, record_type| {
            let message = ask(&host, name, record_type);
            assert_eq!(message.metadata.id, 7);
            let sections = [&message.answers, &message.authorities, &message.additionals];
            let counts = sections.map(Vec::len);
            (
                message.metadata.response_code,
                message.metadata.authoritative,
                counts,
            )
        };
        let ok = |counts| (ResponseCode::NoError, true, counts);
        assert_eq!(said("www.example.org.", RecordType::A), ok([1, 0, 0]));
        assert_eq!(said("WWW.EXAMPLE.ORG.", RecordType::AAAA), ok([1, 0, 0]));
        assert_eq!(said("example.org.", RecordType::MX), ok([1, 0, 1]));
        assert_eq!(said("example.org.", RecordType::NS), ok([1, 0, 1]));
        // No such record, and a name that only others are below.
        assert_eq!(said("www.example.org.", RecordType::TXT), ok([0, 1, 0]));
        assert_eq!(said("b.c.example.org.", RecordType::A), ok([0, 1, 0]));
        let nowhere = |counts| (ResponseCode::NXDomain, true, counts);
        assert_eq!(said("none.example.org.", RecordType::A), nowhere([0, 1, 0]));
        assert_eq!(
            said("x.www.example.org.", RecordType::A),
            nowhere([0, 1, 0])
        );
        assert_eq!(said("chain.example.org.", RecordType::A), ok([3, 0, 0]));
        assert_eq!(said("chain.example.org.", RecordType::CNAME), ok([1, 0, 0]));
        assert_eq!(said("chain.example.org.", RecordType::TXT), ok([2, 1, 0]));
        assert_eq!(said("abroad.example.org.", RecordType::A), ok([1, 0, 0]));
        assert_eq!(said("circle.example.org.", RecordType::A), ok([16, 0, 0]));
        // Wildcards (RFC 4592): not for a name that exists, nor for what is below one.
        assert_eq!(
            said("any.wild.example.org.", RecordType::TXT),
            ok([1, 0, 0])
        );
        assert_eq!(
            said("a.b.wild.example.org.", RecordType::TXT),
            ok([1, 0, 0])
        );
        assert_eq!(said("any.wild.example.org.", RecordType::A), ok([0, 1, 0]));
        assert_eq!(
            said("there.wild.example.org.", RecordType::TXT),
            ok([0, 1, 0])
        );
        assert_eq!(
            said("x.there.wild.example.org.", RecordType::TXT),
            nowhere([0, 1, 0])
        );
        // Delegated, with the address of the server.
        let referral = (ResponseCode::NoError, false, [0, 1, 1]);
        assert_eq!(said("deep.sub.example.org.", RecordType::A), referral);
        assert_eq!(said("sub.example.org.", RecordType::NS), referral);
        assert_eq!(said("ns.sub.example.org.", RecordType::A), referral);
        // One set of many.
        assert_eq!(said("example.org.", RecordType::ANY).2[0], 1);
        let refused = (ResponseCode::Refused, false, [0, 0, 0]);
        assert_eq!(said("www.elsewhere.test.", RecordType::A), refused);
        assert_eq!(said("example.org.", RecordType::AXFR), refused);

        let message = ask(&host, "Any.Wild.example.org.", RecordType::TXT);
        assert_eq!(
            message.answers[0].name,
            common::name("any.wild.example.org.")
        );
        let message = ask(&host, "none.example.org.", RecordType::A);
        assert_eq!(
            message.authorities[0].ttl, 60,
            "no longer than the last field says"
        );
    });
}

#[test]
fn the_longest_zone_answers() {
    simulate(|| {
        let below = ZoneBuilder::new("sub.example.org").unwrap();
        let below = below
            .address("www", 60, [192, 0, 2, 99])
            .unwrap()
            .build()
            .unwrap();
        let host = start("ns", &Server::new().zone(zone()).zone(below));
        assert_eq!(
            ask(&host, "www.sub.example.org.", RecordType::A)
                .answers
                .len(),
            1
        );
    });
}

#[test]
fn what_makes_no_zone() {
    let parse = |text: &str| Zone::parse("example.org", text).unwrap_err();
    assert!(matches!(
        parse("www IN A 192.0.2.1"),
        ZoneError::Syntax { .. } | ZoneError::Soa { .. }
    ));
    let soa = "@ 300 IN SOA ns hostmaster 1 2 3 4 5\n";
    assert_eq!(
        parse(&format!("{soa}\n $include /etc/passwd")),
        ZoneError::Include { line: 3 }
    );
    let error = parse(&format!("{soa}x 1 IN CNAME y\nx 1 IN A 192.0.2.1"));
    assert_eq!(
        error.to_string(),
        "x.example.org. has a CNAME record, and others besides"
    );
    let error = parse(&format!("{soa}www.example.net. 1 IN A 192.0.2.1"));
    assert_eq!(
        error.to_string(),
        "www.example.net. is not in the zone example.org."
    );
    assert!(matches!(
        parse(&format!("{soa}x 1 IN A not-an-address")),
        ZoneError::Syntax { .. }
    ));
}

#[test]
fn bad_queries_get_little() {
    simulate(|| {
        let host = start("ns", &Server::new().zone(zone()));
        let good = query("www.example.org.", RecordType::A);
        let wire = good.to_vec().unwrap();
        // Too short to be anything, and answers, which two servers could send each other forever.
        assert_eq!(datagram(&host, &wire[..11]), None);
        assert_eq!(
            datagram(&host, &good.clone().into_response().to_vec().unwrap()),
            None
        );
        let mut garbage = wire.clone();
        garbage[2] |= 0x80;
        garbage.truncate(20);
        assert_eq!(datagram(&host, &garbage), None);
        // Cut off, and with a pointer to itself.
        let code = |wire: &[u8]| {
            decode(&datagram(&host, wire).unwrap())
                .unwrap()
                .metadata
                .response_code
        };
        assert_eq!(code(&wire[..20]), ResponseCode::FormErr);
        let mut circle = wire[..12].to_vec();
        circle.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1]);
        assert_eq!(code(&circle), ResponseCode::FormErr);
        let mut none = good.clone();
        none.queries.clear();
        assert_eq!(code(&none.to_vec().unwrap()), ResponseCode::FormErr);
        let mut notify = wire.clone();
        notify[2] = 4 << 3;
        assert_eq!(code(&notify), ResponseCode::NotImp);
        let mut chaos = wire.clone();
        *chaos.last_mut().unwrap() = 3;
        assert_eq!(code(&chaos), ResponseCode::Refused);
        let mut newer = good.clone();
        let mut edns = Edns::new();
        edns.set_version(1);
        newer.set_edns(edns);
        assert_eq!(u16::from(code(&newer.to_vec().unwrap())), 16, "BADVERS");
        // And it is still there.
        assert_eq!(code(&wire), ResponseCode::NoError);
    });
}

/// A zone with more addresses than fit.
fn crowd() -> Zone {
    let mut builder = ZoneBuilder::new("example.org").unwrap();
    for last in 1..=200 {
        builder = builder.address("crowd", 60, [192, 0, 2, last]).unwrap();
    }
    builder.build().unwrap()
}

#[test]
fn answers_are_never_longer_than_the_client_takes() {
    simulate(|| {
        let server = Server::new().zone(crowd());
        let host = start("ns", &server);
        for (size, most) in [
            (None, 512),
            (Some(100), 512),
            (Some(800), 800),
            (Some(65_535), 1_232),
        ] {
            let mut query = query("crowd.example.org.", RecordType::A);
            if let Some(size) = size {
                let mut edns = Edns::new();
                edns.set_max_payload(size);
                query.set_edns(edns);
            }
            let sent = query.to_vec().unwrap();
            let wire = datagram(&host, &sent).unwrap();
            let message = decode(&wire).unwrap();
            assert!(message.metadata.truncation && message.answers.is_empty());
            assert!(
                wire.len() <= most.min(sent.len()),
                "what is cut short is no longer than the question"
            );
        }
        assert_eq!(server.statistics().truncated, 4);
        // Over TCP it is whole.
        let answer = resolver(&[&host])
            .lookup("crowd.example.org", RecordType::A)
            .unwrap();
        assert_eq!(answer.addresses().count(), 200);
    });
}

#[test]
fn a_network_that_asks_too_much_is_sent_to_tcp() {
    simulate(|| {
        let server = Server::new().zone(zone());
        let mut limits = ServerLimits::default();
        limits.answers_per_second = 10;
        let server = server.limits(limits);
        let host = start("ns", &server);
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect(SocketAddr::from((host.ip(), 53))).unwrap();
        let wire = query("www.example.org.", RecordType::A).to_vec().unwrap();
        for _ in 0..50 {
            socket.send(&wire).unwrap();
        }
        let (mut whole, mut short) = (0, 0);
        let mut buf = [0; 512];
        while let Ok(count) = with_timeout(Duration::from_millis(500), || socket.recv(&mut buf)) {
            let message = decode(&buf[..count.unwrap()]).unwrap();
            match message.metadata.truncation {
                true => short += 1,
                false => whole += 1,
            }
        }
        assert_eq!((whole, short), (10, 20));
        assert_eq!(server.statistics().limited, 40);
        sleep(Duration::from_secs(1));
        assert_eq!(
            ask(&host, "www.example.org.", RecordType::A).answers.len(),
            1
        );
    });
}

#[test]
fn it_forwards_for_whom_it_should() {
    simulate(|| {
        let (upstream, count) = server("upstream", |query| {
            sleep(Duration::from_millis(50));
            match query.name().as_str() {
                "none.test." => query.negative(ResponseCode::NXDomain, 30),
                "fails.test." => query.code(ResponseCode::ServFail),
                name => query.answer([a(name, 100, 1)]),
            }
        });
        settle();
        let forwarding = Server::new().zone(zone()).forward(resolver(&[&upstream]));
        let closed = start("closed", &forwarding);
        let message = ask(&closed, "www.test.", RecordType::A);
        assert_eq!(message.metadata.response_code, ResponseCode::Refused);
        assert!(!message.metadata.recursion_available);

        let open = forwarding.clone().forward_for(|_| true);
        let host = start("open", &open);
        let message = ask(&host, "www.test.", RecordType::A);
        assert_eq!(message.answers, [a("www.test.", 100, 1)]);
        assert!(message.metadata.recursion_available && !message.metadata.authoritative);
        sleep(Duration::from_secs(40));
        // From the cache, older.
        let message = ask(&host, "www.test.", RecordType::A);
        assert!((59..=60).contains(&message.answers[0].ttl), "{message}");
        assert_eq!(load(&count), 1);

        let message = ask(&host, "none.test.", RecordType::A);
        assert_eq!(message.metadata.response_code, ResponseCode::NXDomain);
        assert_eq!(message.authorities.len(), 1);
        let message = ask(&host, "fails.test.", RecordType::A);
        assert_eq!(message.metadata.response_code, ResponseCode::ServFail);
        // Who does not want that is not served that way.
        let mut query = query("other.test.", RecordType::A);
        query.metadata.recursion_desired = false;
        let wire = datagram(&host, &query.to_vec().unwrap()).unwrap();
        assert_eq!(
            decode(&wire).unwrap().metadata.response_code,
            ResponseCode::Refused
        );
        assert_eq!(open.statistics().forwarding, 0);
    });
}

#[test]
fn too_many_to_forward_are_told_so() {
    simulate(|| {
        let (upstream, _) = server("upstream", |_| Vec::new());
        settle();
        let mut config = config(&[&upstream]);
        config.attempts = 1;
        let resolver = Resolver::new(config, Hosts::default(), Limits::default());
        let mut limits = ServerLimits::default();
        limits.forwards = 5;
        let server = Server::new()
            .forward(resolver)
            .forward_for(|_| true)
            .limits(limits);
        let host = start("ns", &server);
        let asking: Vec<_> = (0..8)
            .map(|number| {
                let wire = query(&format!("{number}.test."), RecordType::A)
                    .to_vec()
                    .unwrap();
                let host = host.clone();
                move || datagram(&host, &wire).is_some()
            })
            .collect();
        let answered = join_all(asking)
            .into_iter()
            .filter(|answer| *answer.as_ref().unwrap());
        // Within a second, only those that are one too many hear anything.
        assert_eq!(answered.count(), 3);
        assert_eq!(server.statistics().overloaded, 3);
        assert_eq!(server.statistics().forwarding, 5);
        sleep(Duration::from_secs(10));
        assert_eq!(server.statistics().forwarding, 0);
    });
}

#[test]
fn connections_are_used_again_and_silent_ones_end() {
    simulate(|| {
        let mut limits = ServerLimits::default();
        limits.connections = 4;
        let server = Server::new().zone(zone()).limits(limits);
        let host = start("ns", &server);
        let connect = || TcpStream::connect(SocketAddr::from((host.ip(), 53))).unwrap();
        // As many as there may be, and they say nothing.
        let silent: Vec<_> = (0..4).map(|_| connect()).collect();
        let start = time::now();
        let mut stream = connect();
        let wire = query("www.example.org.", RecordType::A).to_vec().unwrap();
        let mut framed = (wire.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(&wire);
        // Three at once, cut wherever.
        let three = framed.repeat(3);
        stream.write_all(&three[..5]).unwrap();
        sleep(Duration::from_millis(10));
        stream.write_all(&three[5..]).unwrap();
        for _ in 0..3 {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut wire = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut wire).unwrap();
            assert_eq!(decode(&wire).unwrap().answers.len(), 1);
        }
        let took = time::now() - start;
        assert!(took <= Duration::from_millis(2_100), "{took:?}");
        for mut stream in silent {
            assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0, "closed");
        }
        sleep(Duration::from_secs(11));
        assert_eq!(server.statistics().connections, 0);
        assert_eq!(
            stream.read(&mut [0; 1]).unwrap_or(0),
            0,
            "idle for too long"
        );
    });
}

#[test]
fn our_resolver_understands_our_server() {
    let rough = NetworkConfig::new()
        .loss(0.1)
        .duplicates(0.1)
        .reorder(0.2)
        .chop(true);
    Simulation::new(0).network(rough).explore(0..20, |_seed| {
        let host = testing::host("ns", || {
            Server::new()
                .zone(zone())
                .zone(crowd_of("test"))
                .serve("0.0.0.0:53")
                .unwrap()
        });
        settle();
        let mut config = Config::with_servers([SocketAddr::from((host.ip(), 53))]);
        config.attempts = 5;
        let resolver = Resolver::new(config, Hosts::default(), Limits::default());
        let chain = resolver
            .lookup("chain.example.org", RecordType::AAAA)
            .unwrap();
        assert_eq!(*chain.canonical_name(), common::name("www.example.org."));
        let nothing = resolver.lookup("www.example.org", RecordType::TXT).unwrap();
        assert_eq!(nothing.kind, Kind::NoData);
        let error = resolver.addresses("none.example.org").unwrap_err();
        assert!(matches!(error, Error::NoSuchName { .. }), "{error}");
        assert_eq!(
            resolver
                .lookup("crowd.test", RecordType::A)
                .unwrap()
                .addresses()
                .count(),
            100
        );
    });
}

fn crowd_of(origin: &str) -> Zone {
    let mut builder = ZoneBuilder::new(origin).unwrap();
    for last in 1..=100 {
        builder = builder.address("crowd", 60, [192, 0, 2, last]).unwrap();
    }
    builder.build().unwrap()
}
