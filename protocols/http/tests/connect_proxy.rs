//! CONNECT: a proxy, its clients and the servers that they want to reach, on a network in memory.

mod common;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use common::Answer;
use grapeshot::net::{TcpListener, TcpStream};
use grapeshot::testing::{NetworkConfig, Simulation, host};
use grapeshot::{sleep, spawn, time};
use grapeshot_http::auth::{Basic, Users};
use grapeshot_http::{
    ConnectProxy, Handler, Refusal, Server, Status, TunnelLimits, TunnelStatistics, answer,
};

/// Every host may be reached but one.
fn proxy() -> ConnectProxy {
    let mut limits = TunnelLimits::default();
    limits.tunnels = 4;
    limits.tunnels_per_client = 3;
    limits.idle = Duration::from_secs(60);
    ConnectProxy::new(|_, to| to.host() != "forbidden")
        .limits(limits)
        .allow_private_networks()
}

/// Runs a test beside a proxy at `proxy:80` and an echo at `echo:7`, which sends back what it has got once that has ended.
fn simulate(connect: impl Handler + Clone, test: impl FnOnce(&Server) + Send + 'static) {
    Simulation::new(3)
        .network(NetworkConfig::new())
        .run(move || {
            host("echo", || {
                for mut stream in TcpListener::bind("0.0.0.0:7").unwrap().incoming().flatten() {
                    spawn(move || {
                        let mut chunk = [0; 1000];
                        while let Ok(count @ 1..) = stream.read(&mut chunk) {
                            if stream.write_all(&chunk[..count]).is_err() {
                                return;
                            }
                        }
                        let _ = stream.write_all(b"the end");
                    });
                }
            });
            let server = Server::builder()
                .connect(connect)
                .build(answer(|request| request.path().to_owned()));
            let serving = server.clone();
            host("proxy", move || {
                let listener = TcpListener::bind("0.0.0.0:80").unwrap();
                serving.serve(listener).unwrap();
            });
            sleep(Duration::from_millis(10));
            test(&server);
        });
}

fn ask(request: &str) -> TcpStream {
    let mut stream = TcpStream::connect("proxy:80").unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// Reads up to the end of the head.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "{head:?}");
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn tunnel(to: &str) -> TcpStream {
    let mut stream = ask(&format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n"));
    let head = head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    for header in ["content-length", "transfer-encoding", "connection"] {
        assert!(!head.to_lowercase().contains(header), "{head}");
    }
    stream
}

fn status(request: &str) -> u16 {
    let mut stream = ask(request);
    let mut wire = Vec::new();
    stream.shutdown(Shutdown::Write).unwrap();
    stream.read_to_end(&mut wire).unwrap();
    Answer::take(&mut &wire[..]).status
}

fn status_of(to: &str) -> u16 {
    status(&format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n"))
}

fn echo(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, text.as_bytes());
}

#[test]
fn bytes_are_carried_both_ways_and_so_is_each_end() {
    let proxy = proxy();
    simulate(proxy.clone(), move |_| {
        let mut stream = tunnel("echo:7");
        echo(&mut stream, "one");
        assert_eq!(proxy.statistics().open, 1);
        // The other direction goes on when one has ended.
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "the end");
        // What comes right behind the request is the tunnel's, and HTTP/1.0 knows CONNECT too.
        let mut stream = ask("CONNECT ECHO:7 HTTP/1.0\r\n\r\nearly");
        head(&mut stream);
        echo(&mut stream, "");
        let mut early = [0; 5];
        stream.read_exact(&mut early).unwrap();
        assert_eq!(&early, b"early");
        drop(stream);
        sleep(Duration::from_secs(1));
        let mut expected = TunnelStatistics::default();
        expected.total = 2;
        expected.sent = 8;
        expected.received = 3 + 7 + 5;
        let mut found = proxy.statistics();
        // Whoever has gone is not told the end.
        found.received = found.received.min(expected.received);
        assert_eq!(found, expected);
    });
}

#[test]
fn requests_beside_it_go_to_the_other_handler() {
    simulate(proxy(), |_| {
        assert_eq!(
            status("GET /x HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n"),
            200
        );
    });
}

#[test]
fn what_cannot_be_is_refused_by_a_status() {
    let proxy = proxy();
    simulate(proxy.clone(), move |_| {
        assert_eq!(status_of("forbidden:7"), 403);
        assert_eq!(status_of("echo:8"), 502);
        assert_eq!(status_of("nowhere:7"), 502);
        assert_eq!(status_of("echo"), 400);
        assert_eq!(status_of("http://echo:7/"), 400);
        assert_eq!(
            status("CONNECT echo:7 HTTP/1.1\r\nHost: echo\r\nContent-Length: 2\r\n\r\nab"),
            400
        );
        let found = proxy.statistics();
        assert_eq!((found.refused, found.failed, found.total), (1, 2, 0));
    });
}

#[test]
fn the_way_to_private_networks_is_closed_by_default() {
    let open = ConnectProxy::new(|_, _| true);
    simulate(open.clone(), move |_| {
        // The hosts of a simulation have private addresses.
        assert_eq!(status_of("echo:7"), 403);
        assert_eq!(status_of("127.0.0.1:7"), 403);
        assert_eq!(status_of("[::ffff:127.0.0.1]:7"), 403);
        assert_eq!(open.statistics().refused, 3);
    });
}

#[test]
fn a_server_that_is_no_proxy_says_so() {
    Simulation::new(3).network(NetworkConfig::new()).run(|| {
        let server = Server::with_handler(answer(|_| "hello"));
        let serving = server.clone();
        host("proxy", move || {
            let listener = TcpListener::bind("0.0.0.0:80").unwrap();
            serving.serve(listener).unwrap();
        });
        sleep(Duration::from_millis(10));
        assert_eq!(status_of("echo:7"), 501);
        assert_eq!(server.statistics().refused, [(Refusal::Connect, 1)]);
    });
}

#[test]
fn a_handler_that_knows_no_tunnels_opens_none_by_accident() {
    simulate(
        std::sync::Arc::new(answer(|_| "hello")) as std::sync::Arc<dyn Handler>,
        |_| {
            assert_eq!(status_of("echo:7"), 500);
        },
    );
}

#[test]
fn there_are_so_many_tunnels_and_no_more() {
    let proxy = proxy();
    simulate(proxy.clone(), move |_| {
        let mut mine: Vec<_> = (0..3).map(|_| tunnel("echo:7")).collect();
        assert_eq!(status_of("echo:7"), 503, "so many for one client");
        let others = host("other", || {
            let _theirs = tunnel("echo:7");
            assert_eq!(status_of("echo:7"), 503, "so many for all");
            sleep(Duration::from_secs(1));
        });
        sleep(Duration::from_secs(2));
        drop(others);
        drop(mine.pop());
        sleep(Duration::from_secs(1));
        echo(&mut tunnel("echo:7"), "again");
        assert_eq!(proxy.statistics().full, 2);
    });
}

#[test]
fn a_tunnel_in_which_nothing_moves_is_closed() {
    let proxy = proxy();
    simulate(proxy.clone(), move |_| {
        let mut stream = tunnel("echo:7");
        // Silence of a minute at most is no harm.
        for _ in 0..5 {
            sleep(Duration::from_secs(50));
            echo(&mut stream, "still here");
        }
        let began = time::now();
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
        let waited = (time::now() - began).as_secs_f64();
        assert_eq!(waited.round(), 60.0);
        sleep(Duration::from_secs(1));
        let found = proxy.statistics();
        assert_eq!((found.expired, found.open), (1, 0));
    });
}

#[test]
fn one_busy_direction_keeps_both_alive() {
    let proxy = proxy();
    simulate(proxy.clone(), move |_| {
        host("sink", || {
            let listener = TcpListener::bind("0.0.0.0:9").unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            stream.write_all(all.len().to_string().as_bytes()).unwrap();
        });
        sleep(Duration::from_millis(10));
        let mut stream = tunnel("sink:9");
        for _ in 0..10 {
            sleep(Duration::from_secs(40));
            stream.write_all(b"more").unwrap();
        }
        stream.shutdown(Shutdown::Write).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert_eq!(said, "40");
    });
}

#[test]
fn who_asks_can_be_asked_for_a_password() {
    let users = Users::new().user("ada", "love");
    let guarded = std::sync::Arc::new(Basic::new("proxy", users, proxy()).proxy());
    simulate(guarded as std::sync::Arc<dyn Handler>, |_| {
        let mut stream = ask("CONNECT echo:7 HTTP/1.1\r\nHost: echo\r\n\r\n");
        let refused = head(&mut stream);
        assert!(refused.starts_with("HTTP/1.1 407 "), "{refused}");
        assert!(
            refused.contains("\r\nProxy-Authenticate: Basic "),
            "{refused}"
        );
        let mut stream = ask(
            "CONNECT echo:7 HTTP/1.1\r\nHost: echo\r\nProxy-Authorization: Basic YWRhOmxvdmU=\r\n\r\n",
        );
        let allowed = head(&mut stream);
        assert!(
            allowed.starts_with(&format!("HTTP/1.1 {}", Status::OK)),
            "{allowed}"
        );
        echo(&mut stream, "hello");
    });
}
