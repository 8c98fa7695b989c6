//! A proxy in front of a server, both ours, on a network in memory.
#![cfg(feature = "client")]

mod common;

use std::io::{Read, Write};
use std::time::Duration;

use common::Answer;
use grapeshot::net::{TcpListener, TcpStream};
use grapeshot::sleep;
use grapeshot::testing::{NetworkConfig, Simulation, host};
use grapeshot_http::{Event, Handler, HandlerError, ReverseProxy, Router, Server, Status, handler};

/// The server behind: it says what it was asked.
fn behind() -> Router {
    Router::new()
        .any(
            "/echo/{rest...}",
            handler(|request, response| {
                let mut lines = vec![format!("{} {}", request.method(), request.target())];
                for (name, value) in request.headers() {
                    lines.push(format!(
                        "{}: {}",
                        name.to_lowercase(),
                        String::from_utf8_lossy(value)
                    ));
                }
                let content = request.read_body()?;
                lines.push(format!("{} bytes", content.len()));
                Ok::<_, HandlerError>(
                    response
                        .header("X-Behind", "yes")
                        .header("Keep-Alive", "x")
                        .send(lines.join("\n"))?,
                )
            }),
        )
        .get("/missing", |_| Status::NOT_FOUND)
        .on(
            "GET",
            "/events",
            handler(|_request, response| {
                let mut events = response.events()?;
                for n in 0..3 {
                    events.send(&Event::new(n.to_string()))?;
                    sleep(Duration::from_secs(1));
                }
                events.finish()
            }),
        )
        // For whatever protocol, when it is asked for.
        .on(
            "GET",
            "/any-turn",
            handler(|request, response| {
                let Some(protocol) = request.header("Upgrade").map(str::to_owned) else {
                    return Ok::<_, HandlerError>(response.send("no wish")?);
                };
                let _stream = response.upgrade(request, &protocol)?;
                Ok(())
            }),
        )
        .on(
            "GET",
            "/turn",
            handler(|request, response| {
                let upgraded = response
                    .header("X-Protocol", "echo")
                    .upgrade(request, "echo")?;
                let mut chunk = [0; 100];
                let mut stream = &*upgraded.stream;
                loop {
                    match stream.read(&mut chunk)? {
                        0 => return Ok::<_, HandlerError>(()),
                        count => stream.write_all(&chunk[..count])?,
                    }
                }
            }),
        )
}

fn simulate(test: impl FnOnce() + Send + 'static) {
    Simulation::new(3)
        .network(NetworkConfig::new())
        .run(move || {
            host("behind", || {
                Server::with_handler(behind())
                    .serve(TcpListener::bind("0.0.0.0:80").unwrap())
                    .unwrap()
            });
            host("proxy", || {
                let site = Router::new()
                    .any("/to/{rest...}", ReverseProxy::new(["http://behind/"]))
                    .any(
                        "/nowhere/{rest...}",
                        ReverseProxy::new(["http://behind:81"]),
                    )
                    .any(
                        "/trusting/{rest...}",
                        ReverseProxy::new(["http://behind"])
                            .trust_forwarded()
                            .https(),
                    )
                    .any(
                        "/dead/{rest...}",
                        ReverseProxy::new(["http://behind"]).time_limit(Duration::from_secs(1)),
                    );
                Server::with_handler(site)
                    .serve(TcpListener::bind("0.0.0.0:80").unwrap())
                    .unwrap();
            });
            sleep(Duration::from_millis(10));
            test();
        });
}

fn ask(request: &str) -> Answer {
    let mut stream = TcpStream::connect("proxy:80").unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut wire = Vec::new();
    stream.read_to_end(&mut wire).unwrap();
    Answer::take(&mut &wire[..])
}

#[test]
fn requests_are_passed_on_and_answers_back() {
    simulate(|| {
        let answer = ask(
            "POST /to/echo/a%20b?c=d HTTP/1.1\r\nHost: site\r\nX-Mine: 1\r\nX-Secret: 2\r\nConnection: close, X-Secret\r\n\
             X-Forwarded-For: 198.51.100.1\r\nTE: trailers\r\nContent-Length: 5\r\n\r\nhello",
        );
        let text = answer.text();
        assert!(
            text.starts_with("POST /echo/a%20b?c=d\n") && text.ends_with("\n5 bytes"),
            "{text}"
        );
        assert!(
            text.contains("\nhost: behind\n") && text.contains("\nx-mine: 1\n"),
            "{text}"
        );
        assert!(
            text.contains("\nx-forwarded-host: site\n")
                && text.contains("\nx-forwarded-proto: http\n"),
            "{text}"
        );
        assert!(
            !text.contains("198.51.100.1"),
            "a client cannot say that it is another: {text}"
        );
        assert!(
            !text.contains("x-secret") && text.contains("\nte: trailers\n"),
            "{text}"
        );
        assert_eq!(
            (answer.header("X-Behind"), answer.header("Keep-Alive")),
            (Some("yes"), None)
        );
        let trusting = ask(
            "GET /trusting/echo/ HTTP/1.1\r\nHost: site\r\nConnection: close\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n",
        );
        let text = trusting.text();
        assert!(text.contains("\nx-forwarded-for: 198.51.100.1, "), "{text}");
        assert!(text.contains(";host=\"site\";proto=https\n"), "{text}");
        let chunked = ask(
            "POST /to/echo/ HTTP/1.1\r\nHost: site\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
        );
        assert!(chunked.text().ends_with("\n7 bytes"), "{}", chunked.text());
        let get = |path: &str| {
            ask(&format!(
                "GET {path} HTTP/1.1\r\nHost: site\r\nConnection: close\r\n\r\n"
            ))
        };
        assert_eq!(get("/to/missing").status, 404);
        assert_eq!(get("/nowhere/x").status, 502);
    });
}

#[test]
fn what_streams_is_passed_on_as_it_comes() {
    simulate(|| {
        let mut stream = TcpStream::connect("proxy:80").unwrap();
        stream
            .write_all(b"GET /to/events HTTP/1.1\r\nHost: site\r\nConnection: close\r\n\r\n")
            .unwrap();
        let began = grapeshot::time::now();
        let mut text = String::new();
        let mut chunk = [0; 1000];
        while !text.contains("data: 0") {
            let count = stream.read(&mut chunk).unwrap();
            assert!(count > 0, "{text}");
            text.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
        }
        assert!(
            grapeshot::time::now() - began < Duration::from_millis(900),
            "not when all is over"
        );
        stream.read_to_string(&mut text).unwrap();
        assert!(text.contains("data: 2"), "{text}");
    });
}

#[test]
fn another_protocol_is_passed_through() {
    simulate(|| {
        let mut stream = TcpStream::connect("proxy:80").unwrap();
        stream
            .write_all(b"GET /to/turn HTTP/1.1\r\nHost: site\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nfirst")
            .unwrap();
        let mut text = String::new();
        let mut chunk = [0; 1000];
        let mut until = |part: &str, stream: &mut TcpStream| {
            while !text.contains(part) {
                let count = stream.read(&mut chunk).unwrap();
                assert!(count > 0, "{text}");
                text.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
            }
            text.clone()
        };
        let head = until("first", &mut stream);
        assert!(
            head.starts_with("HTTP/1.1 101 ") && head.contains("X-Protocol: echo"),
            "{head}"
        );
        stream.write_all(b"second").unwrap();
        until("second", &mut stream);
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "the end is passed on too");
    });
}

#[test]
fn a_wish_for_another_protocol_is_overlooked_where_it_cannot_be_passed_on() {
    simulate(|| {
        let status = |version: &str, headers: &str| {
            let answer = ask(&format!(
                "GET /to/any-turn HTTP/{version}\r\nHost: site\r\nConnection: Upgrade, close\r\n{headers}\r\n"
            ));
            let was_passed_on = answer.text() != "no wish";
            (answer.status, was_passed_on)
        };
        assert_eq!(status("1.1", "Upgrade: echo/1\r\n"), (101, true));
        for (version, headers) in [
            ("1.0", "Upgrade: echo\r\n"),
            (
                "1.1",
                "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
            ),
            ("1.1", "Upgrade: H2C\r\n"),
            ("1.1", "Upgrade: echo, h2c\r\n"),
            ("1.1", "Upgrade: echo\r\nUpgrade: h2c\r\n"),
            ("1.1", "Upgrade: \r\n"),
            ("1.1", "Upgrade: echo\r\nContent-Length: 1\r\n\r\nx"),
        ] {
            assert_eq!(
                status(version, headers),
                (200, false),
                "{version} {headers:?}"
            );
        }
    });
}
