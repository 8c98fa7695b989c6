//! Connecting by name, on a simulated network.

mod common;

use std::io::{self, Write};
use std::time::Duration;

use common::*;
use grapeshot::net::{ConnectErrors, TcpListener, TcpStream};
use grapeshot::testing::{self, NetworkConfig, Simulation};
use grapeshot::{sleep, time};
use grapeshot_dns::rdata::A;
use grapeshot_dns::{
    Config, Error, Hosts, Limits, RData, Record, RecordType, Resolver, ResponseCode,
};

fn simulate(f: impl FnOnce() + Send + 'static) {
    Simulation::new(7).network(NetworkConfig::new()).run(f);
}

/// A web server, and a name server that knows it as `www.example`; IPv6 takes it a while.
fn shop(aaaa_takes: Duration) -> Resolver {
    let web = testing::host("web", || {
        let listener = TcpListener::bind("0.0.0.0:80").unwrap();
        for mut stream in listener.incoming().flatten() {
            stream.write_all(b"hello").unwrap();
        }
    });
    let std::net::IpAddr::V4(ip) = web.ip() else {
        panic!()
    };
    let (host, _) = server("ns", move |query| {
        match (query.name().as_str(), query.record_type()) {
            ("www.example.", RecordType::A) => query.answer([Record::from_rdata(
                name("www.example."),
                60,
                RData::A(A(ip)),
            )]),
            ("www.example.", RecordType::AAAA) => {
                sleep(aaaa_takes);
                query.negative(ResponseCode::NoError, 0)
            }
            _ => query.negative(ResponseCode::NXDomain, 30),
        }
    });
    settle();
    let mut config = Config::with_servers([(host.ip(), 53).into()]);
    config.search = vec![name("example.")];
    Resolver::new(config, Hosts::default(), Limits::default())
}

#[test]
fn by_name() {
    simulate(|| {
        let resolver = shop(Duration::ZERO);
        for host in ["www", "www.example", "WWW.Example."] {
            let mut stream = resolver.connect(host, 80).unwrap();
            let mut greeting = [0; 5];
            io::Read::read_exact(&mut stream, &mut greeting).unwrap();
            assert_eq!(&greeting, b"hello");
        }
        let error = resolver.connect("none.example", 80).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let inner: &Error = error.get_ref().unwrap().downcast_ref().unwrap();
        assert!(matches!(inner, Error::NoSuchName { .. }), "{inner}");
        let error = resolver.connect("www.example", 81).unwrap_err();
        assert!(error.get_ref().unwrap().is::<ConnectErrors>(), "{error}");
    });
}

#[test]
fn slow_ipv6_holds_nobody_up() {
    simulate(|| {
        let resolver = shop(Duration::from_secs(3));
        let start = time::now();
        resolver.connect("www.example", 80).unwrap();
        let took = time::now() - start;
        assert!(took < Duration::from_millis(150), "{took:?}");
        // Who wants all addresses waits for them.
        resolver.addresses("www.example").unwrap();
        assert!(time::now() - start >= Duration::from_secs(3));
    });
}

#[test]
fn installed_it_serves_whatever_takes_a_name() {
    simulate(|| {
        let before = TcpStream::connect("www.example:80").unwrap_err();
        assert_eq!(before.kind(), io::ErrorKind::NotFound);
        shop(Duration::ZERO).install();
        TcpStream::connect("www.example:80").unwrap();
        TcpStream::connect(("www", 80)).unwrap();
        // The hosts of the simulation keep their names.
        TcpStream::connect("web:80").unwrap();
        let error = TcpStream::connect("none.example:80").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        grapeshot::net::set_resolver(None);
        assert!(TcpStream::connect("www.example:80").is_err());
    });
    // And another simulation knows nothing of it.
    simulate(|| assert!(TcpStream::connect("www.example:80").is_err()));
}
