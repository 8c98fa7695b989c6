//! Questions over streams: on a simulated network, and over TLS with foreign ends.

mod common;

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::*;
use grapeshot::net::{TcpListener, TcpStream};
use grapeshot::testing::{self, NetworkConfig, Simulation};
use grapeshot::{process, sleep, with_timeout};
use grapeshot_dns::message::Edns;
use grapeshot_dns::server::{Server, Zone};
use grapeshot_dns::{
    Carrier, Config, Error, Failure, Hosts, Limits, RecordType, Resolver, Transport,
};
use grapeshot_http::HandlerError;
use grapeshot_http::client::Client;
use grapeshot_tls::demo::Authority;
use grapeshot_tls::{Connector, Listener, client, server as tls_server};

const ZONE: &str = "$TTL 300
@    IN SOA ns hostmaster 1 3600 600 86400 60
www  IN A   192.0.2.80
";

fn simulate(f: impl FnOnce() + Send + 'static) {
    Simulation::new(7).network(NetworkConfig::new()).run(f);
}

/// A resolver over connections, which are counted.
fn counting(server: SocketAddr) -> (Resolver, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let mut config = Config::with_servers([server]);
    config.attempts = 1;
    config.carrier = Some(Carrier::streams("stream", move |server| {
        counter.fetch_add(1, Ordering::SeqCst);
        TcpStream::connect(server)
    }));
    (
        Resolver::new(config, Hosts::default(), Limits::default()),
        count,
    )
}

#[test]
fn a_connection_is_used_again_until_it_is_closed() {
    simulate(|| {
        let host = testing::host("ns", || {
            let server = Server::new().zone(Zone::parse("example.org", ZONE).unwrap());
            server.serve("0.0.0.0:53").unwrap();
        });
        settle();
        let (resolver, connections) = counting((host.ip(), 53).into());
        let ask = || {
            resolver.clear_cache();
            assert_eq!(
                resolver
                    .lookup("www.example.org", RecordType::A)
                    .unwrap()
                    .records
                    .len(),
                1
            );
        };
        for _ in 0..5 {
            ask();
        }
        assert_eq!(load(&connections), 1);
        let statistics = resolver.statistics();
        assert_eq!(
            (statistics.carried, statistics.sent_udp, statistics.sent_tcp),
            (5, 0, 0)
        );
        // Kept for no longer than a few seconds.
        sleep(Duration::from_secs(6));
        ask();
        assert_eq!(load(&connections), 2);
        // The server has gone meanwhile, and come back: that is noticed, and nothing is lost.
        host.restart();
        settle();
        ask();
        assert_eq!(load(&connections), 3);
    });
}

/// A listener that counts.
struct Counting(TcpListener, Arc<AtomicUsize>);

impl grapeshot::net::Listener for Counting {
    type Stream = TcpStream;

    fn accept(&self) -> std::io::Result<(TcpStream, grapeshot::net::Peer)> {
        let accepted = grapeshot::net::Listener::accept(&self.0)?;
        self.1.fetch_add(1, Ordering::SeqCst);
        Ok(accepted)
    }

    fn name(&self) -> String {
        "counting".to_owned()
    }
}

#[test]
fn a_tcp_connection_carries_several_questions() {
    simulate(|| {
        let accepted = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&accepted);
        let host = testing::host("ns", move || {
            let server = Server::new().zone(Zone::parse("example.org", ZONE).unwrap());
            let listener = TcpListener::bind("0.0.0.0:53").unwrap();
            let listener = Counting(listener, Arc::clone(&counted));
            server.serve_streams(&listener).unwrap();
        });
        settle();
        let mut config = Config::with_servers([(host.ip(), 53).into()]);
        config.tcp = true;
        config.attempts = 1;
        let resolver = Resolver::new(config, Hosts::default(), Limits::default());
        let ask = || {
            resolver.clear_cache();
            resolver.lookup("www.example.org", RecordType::A).unwrap();
        };
        for _ in 0..5 {
            ask();
        }
        let statistics = resolver.statistics();
        assert_eq!((statistics.sent_tcp, statistics.sent_udp), (5, 0));
        assert_eq!(load(&accepted), 1);
        // That the server has gone meanwhile costs a connection, and no answer.
        host.restart();
        settle();
        ask();
        assert_eq!(load(&accepted), 2);
        sleep(Duration::from_secs(60));
        ask();
        assert_eq!(load(&accepted), 3);
    });
}

#[test]
fn questions_are_padded_and_late_answers_are_nobodys() {
    simulate(|| {
        let lengths = Arc::new(AtomicUsize::new(0));
        let odd = Arc::clone(&lengths);
        let (host, _) = server("ns", move |query| {
            let length = query.message.to_vec().unwrap().len();
            odd.fetch_add(usize::from(length % 128 != 0), Ordering::SeqCst);
            assert!(
                query
                    .message
                    .edns
                    .as_ref()
                    .is_some_and(|edns| *edns != Edns::new())
            );
            let answer = query.answer([a(&query.name(), 60, 1)]).remove(0);
            // Twice: the second is there when the next question comes.
            vec![answer.clone(), answer]
        });
        settle();
        let (resolver, connections) = counting((host.ip(), 53).into());
        for number in 0..4 {
            let name = format!("a{number}.example");
            let answer = resolver.lookup(&name, RecordType::A).unwrap();
            assert_eq!(answer.records, [a(&format!("{name}."), 60, 1)]);
        }
        assert_eq!(load(&lengths), 0);
        // A stream that said too much is not used on.
        assert_eq!(load(&connections), 4);
    });
}

#[test]
fn what_goes_wrong_is_said_with_the_carriers_name() {
    simulate(|| {
        let nobody = testing::host("nobody", || ());
        settle();
        let server = SocketAddr::from((nobody.ip(), 853));
        let (resolver, _) = counting(server);
        let error = resolver
            .lookup("www.example.org", RecordType::A)
            .unwrap_err();
        let Error::NoAnswer { attempts, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(attempts[0].transport, Transport::Carried("stream"));
        assert!(matches!(attempts[0].failure, Failure::Io(..)));
        assert!(
            error.to_string().contains(&format!("{server} (stream): ")),
            "{error}"
        );
    });
}

#[test]
fn over_http_with_a_function_at_each_end() {
    simulate(|| {
        testing::host("doh", || {
            let names = Server::new().zone(Zone::parse("example.org", ZONE).unwrap());
            let web =
                grapeshot_http::Server::new(move |request, response| -> Result<(), HandlerError> {
                    let mut query = Vec::new();
                    request.read_to_end(&mut query)?;
                    let answer = names
                        .answer(&query, [192, 0, 2, 1].into())
                        .unwrap_or_default();
                    Ok(response.send(answer)?)
                });
            web.serve(TcpListener::bind("0.0.0.0:80").unwrap()).unwrap();
        });
        settle();
        let client = Client::new();
        let mut config = Config::with_servers([SocketAddr::from(([192, 0, 2, 53], 443))]);
        config.carrier = Some(Carrier::new("http", move |_: SocketAddr, query: &[u8]| {
            let request = client.post("http://doh/dns-query").body(query);
            let response = request.send().and_then(|response| response.success());
            let content = response.and_then(|response| response.limit(65_535).bytes());
            content.map_err(std::io::Error::other)
        }));
        let resolver = Resolver::new(config, Hosts::default(), Limits::default());
        assert_eq!(resolver.addresses("www.example.org").unwrap().len(), 1);
        assert_eq!(resolver.statistics().carried, 2);
    });
}

fn over_tls(server: SocketAddr, authority: &Authority, name: &'static str) -> Resolver {
    let trust = client::Config::builder()
        .authorities(authority.pem())
        .build()
        .unwrap();
    let connector = Connector::new(trust);
    let mut config = Config::with_servers([server]);
    config.timeout = Duration::from_secs(10);
    config.carrier = Some(Carrier::streams("tls", move |server| {
        connector.connect(TcpStream::connect(server)?, name)
    }));
    Resolver::new(config, Hosts::default(), Limits::default())
}

#[test]
fn tls_with_our_server_and_kdig() {
    let authority = Authority::new().unwrap();
    let identity = authority.host(["dns.test"]).issue().unwrap();
    grapeshot::run(move || {
        let config = tls_server::Config::new(identity.chain(), identity.key()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let listener = Listener::new(listener, &config);
        let server = Server::new().zone(Zone::parse("example.org", ZONE).unwrap());
        let serving = grapeshot::spawn(move || server.serve_streams(&listener));

        let resolver = over_tls(addr, &authority, "dns.test");
        for _ in 0..3 {
            resolver.clear_cache();
            assert_eq!(resolver.addresses("www.example.org").unwrap().len(), 1);
        }
        let error = over_tls(addr, &authority, "other.test")
            .addresses("www.example.org")
            .unwrap_err();
        assert!(error.to_string().contains("(tls): "), "{error}");

        let ca = std::env::temp_dir().join(format!("grapeshot-dns-ca-{}.pem", std::process::id()));
        std::fs::write(&ca, authority.certificate_pem()).unwrap();
        let mut kdig = process::Command::new("kdig");
        kdig.args([
            "@127.0.0.1",
            "-p",
            &addr.port().to_string(),
            "+short",
            "+padding=128",
        ])
        .arg(format!("+tls-ca={}", ca.display()))
        .args(["+tls-hostname=dns.test", "www.example.org"]);
        let output = with_timeout(Duration::from_secs(50), || kdig.output()).expect("kdig hangs");
        std::fs::remove_file(&ca).unwrap();
        let output =
            output.unwrap_or_else(|error| panic!("kdig: {error}; `cargo xtask peers` installs it"));
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            said,
            "192.0.2.80\n",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serving.interrupt();
        let _ = serving.join();
    });
}
