//! The client against servers on a simulated network: what it sends, what it takes, and what becomes of its connections.
//!
//! Long because all of it needs the same scripted server and the same simulated network, and each test is a few lines.

mod client_support;

use std::io::{self, Read, Write};
use std::time::Duration;

use client_support::{answers, client, on_network, read_head, scripted, serve, served};
use grapeshot::time::now;
use grapeshot::{sleep, with_timeout};
use grapeshot_http::client::{
    Blame, Client, ErrorKind, Fault, Phase, PoolLimits, Proxies, RedirectFault, Redirects, Retries,
};
use grapeshot_http::{HandlerError, Request, Response, Status};

/// Answers with what it was asked: `METHOD target|content`.
fn mirror(request: &mut Request<'_>, response: Response<'_>) -> Result<(), HandlerError> {
    let content = request.read_body()?;
    let content = String::from_utf8_lossy(&content);
    let text = format!("{} {}|{content}", request.method(), request.target());
    Ok(response.header("X-Host", request.host()).send(text)?)
}

#[test]
fn a_get_and_its_answer() {
    served(mirror, || {
        let client = client();
        let response = client.get("http://server/a/b?c=d#e").unwrap();
        assert_eq!(response.status(), Status::OK);
        assert_eq!(response.header("x-host"), Some("server"));
        assert_eq!(response.content_length(), Some(13));
        assert_eq!(response.text().unwrap(), "GET /a/b?c=d|");
        assert_eq!(
            client.get("http://server").unwrap().text().unwrap(),
            "GET /|"
        );
        let statistics = client.statistics();
        assert_eq!((statistics.requests, statistics.opened), (2, 1));
        assert_eq!((statistics.reused, statistics.idle), (1, 1));
        assert_eq!((statistics.in_use, statistics.discarded), (0, 0));
    });
}

#[test]
fn content_goes_up_in_every_way() {
    served(mirror, || {
        let client = client();
        let post = || client.post("http://server/");
        let text = |request: grapeshot_http::client::RequestBuilder<'_>| {
            request.send().unwrap().text().unwrap()
        };
        let long = "x".repeat(100_000);
        assert_eq!(text(post().body("hello")), "POST /|hello");
        assert_eq!(text(post()), "POST /|");
        assert_eq!(text(post().json(&[1, 2])), "POST /|[1,2]");
        assert_eq!(
            text(post().form([("a", "1&2"), ("b", "ü")])),
            "POST /|a=1%262&b=%C3%BC"
        );
        assert_eq!(text(post().body_from(&b"known"[..], 5)), "POST /|known");
        assert_eq!(
            text(post().body_from(long.as_bytes(), None)),
            format!("POST /|{long}")
        );
        let written = post().body_with(|out| {
            out.write_all(b"first ")?;
            out.flush()?;
            out.write_all(long.as_bytes())
        });
        assert_eq!(text(written), format!("POST /|first {long}"));
        assert_eq!(
            text(post().body(long.clone()).expect_continue()),
            format!("POST /|{long}")
        );
        assert_eq!(client.statistics().opened, 1);
    });
}

#[test]
fn content_that_is_not_as_long_as_was_said_is_the_callers_fault() {
    served(mirror, || {
        let client = client();
        for length in [4, 6] {
            let request = client
                .post("http://server/")
                .body_from(&b"hello"[..], length);
            let error = request.send().unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Body(_)), "{error}");
            assert_eq!(error.blame(), Blame::Caller);
        }
        let failing = client
            .post("http://server/")
            .body_with(|_| Err(io::Error::other("no more paper")));
        let error = failing.send().unwrap_err().to_string();
        assert!(error.starts_with("POST http://server/: "), "{error}");
        assert!(error.ends_with("no more paper"), "{error}");
        // None of these connections is used again.
        assert_eq!(
            client.get("http://server/").unwrap().text().unwrap(),
            "GET /|"
        );
        let statistics = client.statistics();
        assert_eq!((statistics.opened, statistics.discarded), (4, 3));
    });
}

#[test]
fn head_has_no_content_and_keeps_its_connection() {
    served(mirror, || {
        let client = client();
        let response = client.head("http://server/").unwrap();
        assert_eq!(response.content_length(), Some(7));
        assert_eq!(response.text().unwrap(), "");
        assert_eq!(
            client.get("http://server/").unwrap().text().unwrap(),
            "GET /|"
        );
        assert_eq!(client.statistics().opened, 1);
    });
}

#[test]
fn an_answer_that_is_not_read_costs_its_connection_and_a_drained_one_does_not() {
    served(
        |_, response| Ok(response.send(vec![b'x'; 50_000])?),
        || {
            let client = client();
            drop(client.get("http://server/").unwrap());
            assert_eq!(client.statistics().discarded, 1);
            client.get("http://server/").unwrap().drain();
            let mut exact = vec![0; 50_000];
            let mut response = client.get("http://server/").unwrap();
            response.read_exact(&mut exact).unwrap();
            drop(response);
            let statistics = client.statistics();
            assert_eq!((statistics.opened, statistics.discarded), (2, 1));
            assert_eq!((statistics.idle, statistics.in_use), (1, 0));
        },
    );
}

#[test]
fn what_comes_unasked_on_an_idle_connection_is_never_taken_for_an_answer() {
    on_network(|| {
        scripted("server", |number, mut stream| {
            while !read_head(&mut stream).is_empty() {
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
                stream.write_all(answer.as_bytes()).unwrap();
                sleep(Duration::from_millis(50));
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
                    .unwrap();
            }
        });
        let client = client();
        for expected in ["0", "1", "2"] {
            assert_eq!(
                client.get("http://server/").unwrap().text().unwrap(),
                expected
            );
            sleep(Duration::from_millis(100));
        }
        assert_eq!(client.statistics().stale, 2);
    });
}

#[test]
fn more_than_the_answer_in_one_piece_costs_the_connection() {
    on_network(|| {
        scripted("server", |number, mut stream| {
            read_head(&mut stream);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
            );
            stream.write_all(answer.as_bytes()).unwrap();
            sleep(Duration::from_secs(3600));
        });
        let client = client();
        for expected in ["0", "1"] {
            assert_eq!(
                client.get("http://server/").unwrap().text().unwrap(),
                expected
            );
        }
    });
}

#[test]
fn an_idle_connection_that_the_server_has_closed_is_not_used() {
    on_network(|| {
        scripted("server", |number, mut stream| {
            read_head(&mut stream);
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let client = client();
        for expected in ["0", "1", "2"] {
            // No idempotent method, and yet nothing is lost: the end was seen before anything was sent.
            let answer = client.post("http://server/").body("x").send().unwrap();
            assert_eq!(answer.text().unwrap(), expected);
            sleep(Duration::from_secs(1));
        }
        assert_eq!(client.statistics().stale, 2);
    });
}

/// Who closes with something unread resets the connection.
fn ended_unanswered(error: &grapeshot_http::client::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Truncated | ErrorKind::Io(Phase::Answer | Phase::Send, _)
    )
}

/// A server that answers one request on each connection, and closes when it reads the second.
fn closing_at_the_second_request() {
    scripted("server", |number, mut stream| {
        read_head(&mut stream);
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
        stream.write_all(answer.as_bytes()).unwrap();
        read_head(&mut stream);
    });
}

#[test]
fn a_connection_that_ends_under_a_request_is_replaced_if_that_is_safe() {
    on_network(|| {
        closing_at_the_second_request();
        let client = client();
        for expected in ["0", "1", "2"] {
            assert_eq!(
                client.get("http://server/").unwrap().text().unwrap(),
                expected
            );
        }
        let error = client.post("http://server/").body("x").send().unwrap_err();
        assert!(ended_unanswered(&error), "{error}");
        let statistics = client.statistics();
        assert_eq!((statistics.opened, statistics.stale), (3, 2));
    });
}

#[test]
fn refused_answers_name_their_fault() {
    let ok = "HTTP/1.1 200 OK\r\n";
    for (answer, fault) in [
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), Fault::StatusLine),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n".to_owned(), Fault::StatusLine),
        ("HTTP/2.0 200 OK\r\n\r\n".to_owned(), Fault::Version),
        (format!("{ok}A: b\n\r\n"), Fault::LineEnd),
        (format!("{ok}A : b\r\n\r\n"), Fault::HeaderLine),
        (format!("{ok}A: b\r\n c\r\n\r\n"), Fault::HeaderLine),
        (
            format!("{ok}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
            Fault::ContentLength,
        ),
        (
            format!("{ok}Content-Length: +1\r\n\r\nx"),
            Fault::ContentLength,
        ),
        (
            format!("{ok}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            Fault::LengthAndEncoding,
        ),
        (
            format!("{ok}Transfer-Encoding: gzip, chunked\r\n\r\n"),
            Fault::TransferEncoding,
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            Fault::TransferEncoding,
        ),
        (
            format!("{ok}Transfer-Encoding: chunked\r\n\r\nx\r\n"),
            Fault::Chunk,
        ),
        (
            format!("{ok}Transfer-Encoding: chunked\r\n\r\n0\r\nno trailer\r\n\r\n"),
            Fault::Trailer,
        ),
        (
            format!("{ok}A: {}\r\n\r\n", "x".repeat(70_000)),
            Fault::HeadersTooLong,
        ),
        (
            format!("{ok}{}\r\n", "A: b\r\n".repeat(200)),
            Fault::TooManyHeaders,
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\n".repeat(20),
            Fault::TooManyInterim,
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned(),
            Fault::Unasked,
        ),
        (
            format!("HTTP/1.1 200 {}\r\n\r\n", "O".repeat(9000)),
            Fault::StatusLineTooLong,
        ),
    ] {
        let told = format!("{answer:.60}");
        let error = on_network(move || {
            answers("server", answer);
            let result = client()
                .get("http://server/")
                .and_then(|response| response.text());
            result.unwrap_err()
        });
        assert!(
            matches!(error.kind(), ErrorKind::Refused(found) if *found == fault),
            "{told}: {error}"
        );
        assert_eq!(error.blame(), Blame::Server);
    }
}

#[test]
fn an_answer_that_ends_early_is_told_from_a_whole_one() {
    let truncated = |answer: &str| {
        let answer = answer.to_owned();
        on_network(move || {
            answers("server", answer);
            let result = client()
                .get("http://server/")
                .and_then(|response| response.text());
            result
                .err()
                .map(|error| matches!(error.kind(), ErrorKind::Truncated))
        })
    };
    assert_eq!(truncated(""), Some(true));
    assert_eq!(truncated("HTTP/1.1 200 OK\r\nA: b\r\n"), Some(true));
    assert_eq!(
        truncated("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"),
        Some(true)
    );
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(
        truncated(&format!("{chunked}5\r\nhello\r\n0\r\n")),
        Some(true)
    );
    assert_eq!(
        truncated(&format!("{chunked}5\r\nhello\r\n0\r\n\r\n")),
        None
    );
    assert_eq!(truncated("HTTP/1.1 200 OK\r\n\r\nhell"), None);
}

#[test]
fn interim_answers_and_trailers_are_understood() {
    on_network(|| {
        answers(
            "server",
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nDigest: 7\r\nX: \r\n\r\n",
        );
        let mut response = client().get("http://server/").unwrap();
        let mut text = String::new();
        response.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        assert_eq!(response.trailers().value("digest"), Some("7"));
        assert_eq!(response.trailers().len(), 2);
    });
}

/// Asks, and gives which time-out fired after which time.
fn times_out(
    talk: impl Fn(usize, grapeshot::net::TcpStream) + Send + Sync + 'static,
) -> (Phase, Duration) {
    on_network(|| {
        scripted("server", talk);
        let client = client();
        let began = now();
        let result = client
            .post("http://server/")
            .body(vec![b'x'; 4 << 20])
            .send()
            .and_then(|response| response.bytes());
        let error = result.unwrap_err();
        assert_eq!(error.blame(), Blame::Network);
        let phase = error.timed_out().unwrap_or_else(|| panic!("{error}"));
        assert_eq!(client.statistics().timeouts, [(phase, 1)]);
        assert_eq!(client.statistics().in_use, 0);
        (phase, now() - began)
    })
}

fn swallow(stream: &mut grapeshot::net::TcpStream, count: u64) {
    io::copy(&mut stream.take(count), &mut io::sink()).unwrap();
}

#[test]
fn every_phase_has_its_time() {
    let forever = || sleep(Duration::from_secs(86_400));
    let (phase, lasted) = times_out(move |_, stream| {
        forever();
        drop(stream);
    });
    // After the wait for the server to take bytes, an answer is looked for.
    assert_eq!((phase, lasted.as_secs()), (Phase::Send, 31));
    let (phase, lasted) = times_out(move |_, mut stream| {
        read_head(&mut stream);
        swallow(&mut stream, 4 << 20);
        stream.write_all(b"HTTP/1.1 2").unwrap();
        forever();
    });
    assert_eq!((phase, lasted.as_secs()), (Phase::Answer, 30));
    let (phase, lasted) = times_out(move |_, mut stream| {
        read_head(&mut stream);
        swallow(&mut stream, 4 << 20);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell")
            .unwrap();
        forever();
    });
    assert_eq!((phase, lasted.as_secs()), (Phase::Content, 30));
}

#[test]
fn a_head_that_trickles_does_not_take_forever() {
    let (phase, lasted) = times_out(|_, mut stream| {
        read_head(&mut stream);
        swallow(&mut stream, 4 << 20);
        stream.write_all(b"HTTP/1.1 200 OK\r\n").unwrap();
        while stream.write_all(b"A: b\r\n").is_ok() {
            sleep(Duration::from_secs(1));
        }
    });
    assert_eq!((phase, lasted.as_secs()), (Phase::Answer, 30));
}

#[test]
fn the_whole_request_has_a_time_too() {
    on_network(|| {
        scripted("server", |_, mut stream| {
            read_head(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            while stream.write_all(b"x").is_ok() {
                sleep(Duration::from_secs(1));
            }
        });
        let client = Client::builder()
            .proxies(Proxies::none())
            .timeout(Phase::Total, Duration::from_secs(20))
            .build();
        let began = now();
        let error = client.get("http://server/").unwrap().text().unwrap_err();
        assert_eq!(error.timed_out(), Some(Phase::Total));
        assert_eq!((now() - began).as_secs(), 20);
        assert_eq!(
            error.to_string(),
            "GET http://server/: the whole request took longer than 20s (Phase::Total)"
        );
    });
}

#[test]
fn a_host_that_does_not_answer_is_given_up() {
    on_network(|| {
        let server = grapeshot::testing::host("server", || sleep(Duration::from_secs(86_400)));
        let network = grapeshot::testing::network();
        network.partition(&network.here(), &server);
        let began = now();
        let error = client().get("http://server/").unwrap_err();
        assert_eq!(error.timed_out(), Some(Phase::Connect), "{error}");
        assert_eq!((now() - began).as_secs(), 10);
        let error = client().get("http://nowhere/").unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Io(Phase::Resolve, _)),
            "{error}"
        );
    });
}

#[test]
fn a_server_that_refuses_the_content_is_heard() {
    on_network(|| {
        scripted("server", |_, mut stream| {
            let head = read_head(&mut stream);
            stream
                .write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nno!!\n")
                .unwrap();
            if !head.contains("Expect:") {
                // Half-closed, and nothing more is read.
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                sleep(Duration::from_secs(86_400));
            }
        });
        let client = client();
        let large = || client.post("http://server/").body(vec![0; 8 << 20]);
        let began = now();
        let response = large().expect_continue().send().unwrap();
        assert_eq!(response.status().code(), 413);
        assert_eq!(response.text().unwrap(), "no!!\n");
        assert!(now() - began < Duration::from_secs(1));
        let response = large()
            .timeout(Phase::Send, Duration::from_secs(3))
            .send()
            .unwrap();
        assert_eq!(response.text().unwrap(), "no!!\n");
        // Neither connection is fit for another request.
        assert_eq!(client.statistics().idle, 0);
    });
}

#[test]
fn leave_that_is_not_given_is_not_waited_for_long() {
    on_network(|| {
        scripted("server", |_, mut stream| {
            read_head(&mut stream);
            swallow(&mut stream, 5);
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .unwrap();
        });
        let client = client();
        let began = now();
        let request = client
            .post("http://server/")
            .body("hello")
            .expect_continue();
        assert_eq!(request.send().unwrap().text().unwrap(), "ok");
        assert_eq!((now() - began).as_secs(), 1);
    });
}

#[test]
fn redirects_are_followed_and_listed() {
    served(
        |request, response| {
            let content = request.read_body()?;
            let (status, place) = match request.path() {
                "/a" => (Status::FOUND, "b?x"),
                "/b" => (Status::PERMANENT_REDIRECT, "/c"),
                "/loop" => (Status::FOUND, "/loop"),
                "/away" => (Status::TEMPORARY_REDIRECT, "http://other/"),
                _ => {
                    let said = request.header("authorization").unwrap_or("nothing");
                    let text = format!("{} {} {said}", request.method(), content.len());
                    return Ok(response.send(text)?);
                }
            };
            let response = response.status(status).header("Location", place);
            Ok(response.send("moved")?)
        },
        || {
            serve("other", |request, response| {
                let secret = request.header("authorization").or(request.header("cookie"));
                Ok(response.send(format!("{} {secret:?}", request.method()))?)
            });
            let client = client();
            let post = |path: &str| client.post(format!("http://server{path}")).body("hello");
            let response = post("/a").basic_auth("me", "pw").send().unwrap();
            let followed: Vec<_> = response
                .redirects()
                .iter()
                .map(|hop| hop.to.as_str())
                .collect();
            assert_eq!(followed, ["http://server/b?x", "http://server/c"]);
            assert_eq!(response.url().as_str(), "http://server/c");
            assert_eq!(response.text().unwrap(), "GET 0 Basic bWU6cHc=");
            assert_eq!(post("/b").send().unwrap().text().unwrap(), "POST 5 nothing");
            assert_eq!(client.statistics().opened, 1);
            let away = post("/away").basic_auth("me", "pw").header("Cookie", "a=b");
            assert_eq!(away.send().unwrap().text().unwrap(), "POST None");
            let error = client.get("http://server/loop").unwrap_err();
            assert!(matches!(
                error.kind(),
                ErrorKind::Redirect(RedirectFault::TooMany)
            ));
            let gone = client
                .post("http://server/b")
                .body_from(&b"once"[..], None)
                .send();
            let error = gone.unwrap_err();
            assert!(matches!(
                error.kind(),
                ErrorKind::Redirect(RedirectFault::BodyGone)
            ));
            let response = client
                .request("GET", "http://server/a")
                .redirects(Redirects::none())
                .send()
                .unwrap();
            assert_eq!(response.status(), Status::FOUND);
        },
    );
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    on_network(|| {
        scripted("server", |number, mut stream| {
            read_head(&mut stream);
            let answer = match number {
                0 => "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
                1 => "",
                2 => "HTTP/1.1 429 Slow Down\r\nContent-Length: 0\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            };
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let client = client();
        let began = now();
        let get = client
            .request("GET", "http://server/")
            .retries(Retries::most(3));
        assert_eq!(get.send().unwrap().text().unwrap(), "ok");
        let lasted = (now() - began).as_secs_f64();
        assert!((7.3..9.0).contains(&lasted), "{lasted}");
        assert_eq!(client.statistics().retries, 3);
    });
}

#[test]
fn what_is_not_safe_is_not_sent_twice() {
    on_network(|| {
        answers("server", "");
        let client = client();
        let post = client
            .post("http://server/")
            .body("pay")
            .retries(Retries::most(5));
        assert!(ended_unanswered(&post.send().unwrap_err()));
        let streamed = client
            .put("http://server/")
            .body_from(&b"x"[..], None)
            .retries(Retries::most(5));
        assert!(ended_unanswered(&streamed.send().unwrap_err()));
        let statistics = client.statistics();
        assert_eq!((statistics.requests, statistics.retries), (2, 0));
        // A connection that never was has sent nothing.
        let nowhere = client
            .post("http://nowhere/")
            .body("pay")
            .retries(Retries::most(2));
        nowhere.send().unwrap_err();
        assert_eq!(client.statistics().retries, 2);
    });
}

#[test]
fn who_waits_for_a_connection_is_served_in_order() {
    served(
        |request, response| {
            sleep(Duration::from_secs(1));
            Ok(response.send(request.path())?)
        },
        || {
            let mut limits = PoolLimits::default();
            limits.per_origin = 2;
            let client = Client::builder()
                .proxies(Proxies::none())
                .pool(limits)
                .build();
            let began = now();
            let asking: Vec<_> = (0..10)
                .map(|n| {
                    let client = client.clone();
                    // One after the other, so that there is an order.
                    sleep(Duration::from_millis(10));
                    grapeshot::spawn(move || {
                        client
                            .get(format!("http://server/{n}"))
                            .unwrap()
                            .text()
                            .unwrap();
                        (now() - began).as_secs()
                    })
                })
                .collect();
            let ended: Vec<_> = asking.into_iter().map(|one| one.join().unwrap()).collect();
            assert_eq!(ended, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
            assert_eq!(client.statistics().opened, 2);
            let held = client.get("http://server/").unwrap();
            let other = client.get("http://server/").unwrap();
            let impatient = client
                .request("GET", "http://server/")
                .timeout(Phase::Queue, Duration::from_secs(3))
                .send();
            // Small answers are there with their heads, and their connections free again only once they are read.
            assert_eq!(impatient.unwrap_err().timed_out(), Some(Phase::Queue));
            drop((held, other));
        },
    );
}

#[test]
fn idle_connections_have_an_end() {
    served(mirror, || {
        let mut limits = PoolLimits::default();
        limits.idle_time = Duration::from_secs(5);
        limits.age = Some(Duration::from_secs(12));
        let client = Client::builder()
            .proxies(Proxies::none())
            .pool(limits)
            .build();
        let get = || client.get("http://server/").unwrap().text().unwrap();
        let mut opened = Vec::new();
        for pause in [4, 4, 4, 1, 6, 1] {
            get();
            opened.push(client.statistics().opened);
            sleep(Duration::from_secs(pause));
        }
        // The fourth is too old, the sixth was idle for too long.
        assert_eq!(opened, [1, 1, 1, 2, 2, 3]);
        client.close_idle();
        assert_eq!(
            (client.statistics().idle, client.statistics().origins),
            (0, 0)
        );
    });
}

#[test]
fn a_pool_keeps_no_more_than_it_may() {
    on_network(|| {
        let names: Vec<_> = (0..6).map(|n| format!("server{n}")).collect();
        for name in &names {
            serve(name, mirror);
        }
        let mut limits = PoolLimits::default();
        limits.idle = 3;
        let client = Client::builder()
            .proxies(Proxies::none())
            .pool(limits)
            .build();
        for name in &names {
            client
                .get(format!("http://{name}/"))
                .unwrap()
                .text()
                .unwrap();
            sleep(Duration::from_millis(10));
        }
        let statistics = client.statistics();
        assert_eq!((statistics.idle, statistics.origins), (3, 3));
        client.get("http://server5/").unwrap().text().unwrap();
        assert_eq!(client.statistics().reused, 1);
    });
}

#[test]
fn a_read_that_is_left_in_the_middle_leaves_the_answer_of_no_use() {
    on_network(|| {
        scripted("server", |_, mut stream| {
            while !read_head(&mut stream).is_empty() {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
                    .unwrap();
                sleep(Duration::from_secs(5));
                if stream.write_all(b"cd").is_err() {
                    return;
                }
            }
        });
        let client = client();
        let mut response = client.get("http://server/").unwrap();
        let mut text = String::new();
        let left = with_timeout(Duration::from_secs(1), || {
            response.read_to_string(&mut text)
        });
        assert!(left.is_err());
        let error = response.read(&mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{error}");
        drop(response);
        assert_eq!(
            client.get("http://server/").unwrap().text().unwrap(),
            "abcd"
        );
        let statistics = client.statistics();
        assert_eq!(
            (statistics.opened, statistics.discarded, statistics.in_use),
            (2, 1, 0)
        );
    });
}

#[test]
fn what_cannot_be_a_request_is_said_before_anything_is_sent() {
    on_network(|| {
        let client = client();
        for url in ["", "server/", "ftp://server/", "http://", "mailto:a@b"] {
            let error = client.get(url).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Url(_)), "{url}: {error}");
        }
        let get = || client.request("GET", "http://server/");
        for wrong in [
            get().header("A b", "c"),
            get().header("A", "b\r\nC: d"),
            get().header("Content-Length", "5"),
            client.request("GE T", "http://server/"),
            client.request("CONNECT", "http://server/"),
        ] {
            let error = wrong.send().unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Misuse(_)), "{error}");
            assert_eq!(error.blame(), Blame::Caller);
        }
        assert_eq!(client.statistics().requests, 0);
    });
}

#[test]
fn content_has_a_cap() {
    served(
        |request, response| {
            let content = vec![b'x'; 100_000];
            if request.path() == "/length" {
                return Ok(response.send(content)?);
            }
            let mut out = response.start()?;
            out.write_all(&content)?;
            Ok(out.finish()?)
        },
        || {
            let client = client();
            for path in ["length", "chunked"] {
                let get = || client.get(format!("http://server/{path}")).unwrap();
                let error = get().limit(99_999).bytes().unwrap_err();
                assert!(
                    matches!(error.kind(), ErrorKind::TooLong(99_999)),
                    "{error}"
                );
                assert_eq!(get().limit(100_000).bytes().unwrap().len(), 100_000);
            }
        },
    );
}
