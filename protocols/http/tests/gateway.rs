//! What HTTP asks of a proxy in front of servers, byte by byte, on a network in memory.
#![cfg(feature = "client")]

mod client_support;

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client_support::{on_network, read_head, scripted};
use grapeshot::net::{TcpListener, TcpStream};
use grapeshot::testing::host;
use grapeshot::{sleep, time};
use grapeshot_http::{Handler, Limits, ReverseProxy, Router, Server, Statistics};

const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// A host that serves this on port 80.
fn serve(name: &str, server: Server) {
    host(name, move || {
        server
            .serve(TcpListener::bind("0.0.0.0:80").unwrap())
            .unwrap();
    });
    sleep(Duration::from_millis(1));
}

/// Reads a request, with content of whatever framing.
fn read_request(stream: &mut TcpStream) -> String {
    let head = read_head(stream);
    let lower = head.to_lowercase();
    if lower.contains("\r\ntransfer-encoding: chunked\r\n") {
        let mut content = String::from("\r\n");
        // The last chunk, and the empty line behind the trailers.
        while !(content.contains("\r\n0\r\n") && content.ends_with("\r\n\r\n")) {
            let mut byte = [0];
            assert_eq!(stream.read(&mut byte).unwrap(), 1, "{head}{content}");
            content.push(byte[0].into());
        }
        return head + &content[2..];
    }
    let length = lower.split("content-length: ").nth(1);
    let length = length.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
    let mut content = vec![0; length];
    stream.read_exact(&mut content).unwrap();
    head + std::str::from_utf8(&content).unwrap()
}

/// Sends bytes to a host, and gives all that it answers.
fn tell(name: &str, request: &str) -> String {
    let mut stream = TcpStream::connect((name, 80)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut wire = String::new();
    stream.read_to_string(&mut wire).unwrap();
    wire
}

/// What a proxy made of a request and of the answer to it: all that the server behind got, and all that came back.
fn through(
    proxy: ReverseProxy,
    request: impl Into<String>,
    answer: impl Into<String>,
) -> (String, String) {
    let (request, answer) = (request.into(), answer.into());
    on_network(move || {
        let got = Arc::new(Mutex::new(String::new()));
        let gets = Arc::clone(&got);
        scripted("behind", move |_, mut stream| {
            *gets.lock().unwrap() += &read_request(&mut stream);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        serve("proxy", Server::with_handler(proxy));
        let back = tell("proxy", &request);
        let got = got.lock().unwrap().clone();
        (got, back)
    })
}

fn edge() -> ReverseProxy {
    ReverseProxy::new(["http://behind"]).via("edge")
}

/// The head of a request that is the last on its connection.
fn head(line: &str, headers: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: site\r\nConnection: close\r\n{headers}\r\n")
}

/// All values of a header in a message.
fn values<'m>(message: &'m str, name: &str) -> Vec<&'m str> {
    let head = message.split("\r\n\r\n").next().unwrap();
    let lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
    lines
        .filter(|(other, _)| other.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect()
}

fn status(answer: &str) -> u16 {
    assert!(answer.len() > 12, "{answer:?}");
    answer[9..12].parse().unwrap()
}

#[test]
fn via_is_said_in_both_directions() {
    let old = "HTTP/1.0 200 OK\r\nVia: 1.1 cache\r\nVia: 1.1 other (x)\r\n\r\nhello";
    let (got, back) = through(edge(), head("GET /", ""), old);
    assert_eq!(values(&got, "Via"), ["1.1 edge"]);
    assert_eq!(
        values(&back, "Via"),
        ["1.1 cache, 1.1 other (x), 1.0 edge"],
        "the server spoke HTTP/1.0"
    );
    let (got, back) = through(edge(), "GET / HTTP/1.0\r\nVia: 1.0 a, 1.1 b\r\n\r\n", EMPTY);
    assert_eq!(values(&got, "Via"), ["1.0 a, 1.1 b, 1.0 edge"]);
    assert_eq!(values(&back, "Via"), ["1.1 edge"]);
    let silent = edge().without_via();
    let (got, back) = through(silent, head("GET /", "Via: 1.1 a\r\nVia: 1.1 b\r\n"), EMPTY);
    assert_eq!(values(&got, "Via"), ["1.1 a, 1.1 b"]);
    assert!(values(&back, "Via").is_empty(), "{back}");
    let default = ReverseProxy::new(["http://behind"]);
    let (got, _) = through(default, head("GET /", "Connection: Via\r\n"), EMPTY);
    let name = values(&got, "Via")[0].strip_prefix("1.1 grapeshot-");
    let digits = name.expect("it says whose it is");
    assert!(digits.len() == 8 && digits.chars().all(|digit| digit.is_ascii_hexdigit()));
}

#[test]
#[should_panic(expected = "neither a token nor a host")]
fn a_name_for_via_is_a_token() {
    let _ = edge().via("two words");
}

/// Asks a server at `proxy`, and gives its answer, its figures and how long that took.
fn circle(site: impl Handler, limits: Limits) -> (String, Statistics, Duration) {
    on_network(move || {
        let server = Server::builder().limits(limits).build(site);
        serve("proxy", server.clone());
        let began = time::now();
        let answer = tell("proxy", &head("GET /loop/x", ""));
        (answer, server.statistics(), time::now() - began)
    })
}

#[test]
fn a_proxy_that_leads_to_itself_says_so() {
    let (answer, statistics, took) = circle(ReverseProxy::new(["http://proxy"]), Limits::default());
    assert_eq!(status(&answer), 508, "{answer}");
    assert!(
        answer.ends_with("this proxy leads back to itself\n"),
        "{answer}"
    );
    assert_eq!(
        (statistics.requests, statistics.connections_total),
        (4, 4),
        "the client's, and three from itself"
    );
    assert!(took < Duration::from_secs(1), "{took:?}");
    // By way of another, which a name of its own does not hide.
    let site = Router::new()
        .any("/loop/{rest...}", ReverseProxy::new(["http://proxy/back"]))
        .any(
            "/back/{rest...}",
            ReverseProxy::new(["http://proxy/loop"]).via("same"),
        );
    let (answer, statistics, _) = circle(site, Limits::default());
    assert_eq!((status(&answer), statistics.requests), (508, 7));
    // Who has no name for it ends with the last connection that there is.
    let mut limits = Limits::default();
    limits.connections = 20;
    let unnamed = ReverseProxy::new(["http://proxy"]).without_via();
    let (answer, statistics, took) = circle(unnamed, limits);
    assert!(matches!(status(&answer), 502 | 504), "{answer}");
    assert!(statistics.connections_total >= 20 && took > Duration::from_secs(1));
}

#[test]
fn three_of_one_name_may_stand_in_a_row() {
    let answer = on_network(|| {
        let named = |to: &str| ReverseProxy::new([format!("http://proxy{to}")]).via("edge");
        let site = Router::new()
            .any("/a/{rest...}", named("/b"))
            .any("/b/{rest...}", named("/c"))
            .any("/c/{rest...}", named("/d"))
            .get("/d/{rest...}", |request| {
                request.header("Via").unwrap_or_default().to_owned()
            });
        serve("proxy", Server::with_handler(site));
        tell("proxy", &head("GET /a/", ""))
    });
    assert!(
        answer.ends_with("\r\n\r\n1.1 edge, 1.1 edge, 1.1 edge"),
        "{answer}"
    );
}

#[test]
fn max_forwards_counts_down() {
    for method in ["OPTIONS", "TRACE"] {
        let asked = |headers: &str| through(edge(), head(&format!("{method} /x"), headers), EMPTY);
        for (before, after) in [
            ("1", "0"),
            ("010", "9"),
            ("99999999999999999999999", "18446744073709551614"),
        ] {
            let (got, back) = asked(&format!("max-forwards: {before}\r\n"));
            assert_eq!(values(&got, "Max-Forwards"), [after]);
            assert_eq!(status(&back), 200);
        }
        let (got, _) = asked("");
        assert!(values(&got, "Max-Forwards").is_empty(), "{got}");
        for malformed in [
            "",
            "-1",
            "+1",
            "1 2",
            "1, 1",
            "x",
            "0x1",
            "1\r\nMax-Forwards: 1",
        ] {
            let (got, back) = asked(&format!("Max-Forwards: {malformed}\r\n"));
            assert_eq!((status(&back), &*got), (400, ""), "{malformed:?}");
        }
        let (got, back) = asked("Max-Forwards: 0\r\n");
        assert_eq!(got, "", "it is not passed on");
        let expected = if method == "OPTIONS" { 204 } else { 405 };
        assert_eq!(status(&back), expected);
        assert!(
            values(&back, "Allow")[0].contains("GET, HEAD, OPTIONS"),
            "{back}"
        );
    }
    let (got, _) = through(edge(), head("GET /x", "Max-Forwards: 0\r\n"), EMPTY);
    assert_eq!(
        values(&got, "Max-Forwards"),
        ["0"],
        "other methods do not count"
    );
    let (got, _) = through(edge(), head("POST /x", "Max-Forwards: many\r\n"), EMPTY);
    assert_eq!(values(&got, "Max-Forwards"), ["many"]);
}

#[test]
fn the_server_as_a_whole_can_be_asked_about() {
    for target in ["*", "http://site", "http://site:80"] {
        let with_path = ReverseProxy::new(["http://behind/app/"]);
        let (got, back) = through(with_path, head(&format!("OPTIONS {target}"), ""), EMPTY);
        assert!(
            got.starts_with("OPTIONS * HTTP/1.1\r\nHost: behind\r\n"),
            "{got}"
        );
        assert_eq!(status(&back), 200);
    }
    for target in ["/", "http://site/", "http://site?a"] {
        let (got, _) = through(edge(), head(&format!("OPTIONS {target}"), ""), EMPTY);
        assert!(got.starts_with("OPTIONS /"), "{got}");
    }
    let (got, back) = through(edge(), head("OPTIONS *", "Max-Forwards: 0\r\n"), EMPTY);
    assert_eq!((status(&back), &*got), (204, ""));
}

#[test]
fn connect_is_refused_clearly() {
    let request = "CONNECT behind:80 HTTP/1.1\r\nHost: behind:80\r\n\r\n";
    let (got, back) = through(edge(), request, EMPTY);
    assert_eq!((status(&back), &*got), (501, ""));
    let to_it = on_network(|| {
        let server = Server::builder().connect(edge()).build(edge());
        serve("proxy", server);
        let mut stream = TcpStream::connect("proxy:80").unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        read_head(&mut stream)
    });
    assert_eq!(status(&to_it), 501);
}

#[test]
fn headers_of_one_connection_end_here() {
    let request = head(
        "GET /",
        "Connection: X-Hop, Keep-Alive\r\nX-Hop: 1\r\nKeep-Alive: 9\r\nProxy-Connection: close\r\nUpgrade: h2c\r\n\
         Proxy-Authorization: Basic eA==\r\nTE: deflate, Trailers\r\nDate: yesterday\r\nX-Ours: 2\r\n\
         Cookie: a=b\r\nAccept-Encoding: br\r\nAuthorization: Basic eQ==\r\n",
    );
    let answer = "HTTP/1.1 201 Made\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 9\r\nProxy-Connection: close\r\n\
                  Upgrade: h2c\r\nProxy-Authenticate: Basic\r\nProxy-Authentication-Info: x\r\nX-Theirs: 2\r\n\
                  Set-Cookie: a=b; Expires=Wed, 21 Oct 2026 07:28:00 GMT\r\nSet-Cookie: c=d, e\r\n\
                  Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: theirs\r\nContent-Length: 5\r\n\r\nhello";
    let (got, back) = through(edge(), request, answer);
    let hop = ["X-Hop", "Keep-Alive", "Proxy-Connection", "Upgrade"];
    for name in hop.iter().chain(&["Proxy-Authorization", "Accept"]) {
        assert!(values(&got, name).is_empty(), "{name}: {got}");
    }
    assert_eq!(values(&got, "Connection"), ["TE"], "{got}");
    assert_eq!(values(&got, "TE"), ["trailers"]);
    assert_eq!(values(&got, "X-Ours"), ["2"]);
    assert_eq!(values(&got, "Accept-Encoding"), ["br"]);
    assert_eq!(values(&got, "Authorization"), ["Basic eQ=="]);
    for name in hop
        .iter()
        .chain(&["Proxy-Authenticate", "Proxy-Authentication-Info"])
    {
        assert!(values(&back, name).is_empty(), "{name}: {back}");
    }
    assert!(
        back.starts_with("HTTP/1.1 201 ") && back.ends_with("\r\n\r\nhello"),
        "{back}"
    );
    assert_eq!(values(&back, "Date"), ["Sun, 06 Nov 1994 08:49:37 GMT"]);
    assert_eq!(values(&back, "Server"), ["theirs"]);
    assert_eq!(
        values(&back, "Set-Cookie"),
        ["a=b; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "c=d, e"]
    );
    // Nothing is added that the client did not say.
    let (got, back) = through(edge(), head("GET /", ""), EMPTY);
    let added: Vec<_> = got
        .lines()
        .filter_map(|line| line.split_once(": "))
        .collect();
    let names: Vec<_> = added.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        [
            "Host",
            "Via",
            "X-Forwarded-For",
            "Forwarded",
            "X-Forwarded-Host",
            "X-Forwarded-Proto"
        ]
    );
    assert_eq!(
        values(&back, "Date").len(),
        1,
        "a server without a clock is helped out"
    );
    let known = ReverseProxy::new(["http://us:pw@behind"]);
    let (got, _) = through(known, head("GET /", "Authorization: Basic eQ==\r\n"), EMPTY);
    assert_eq!(
        values(&got, "Authorization"),
        ["Basic dXM6cHc="],
        "it is for the server"
    );
}

#[test]
fn answers_without_content_say_what_they_said() {
    let ask = |method: &str, answer: &str| {
        let (_, back) = through(edge(), head(&format!("{method} /"), ""), answer);
        assert!(back.ends_with("\r\n\r\n"), "no content: {back}");
        let length = values(&back, "Content-Length")
            .first()
            .map(|text| (*text).to_owned());
        let chunked = !values(&back, "Transfer-Encoding").is_empty();
        (status(&back), length, chunked)
    };
    let ok = "HTTP/1.1 200 OK\r\nConnection: close\r\n";
    let known = format!("{ok}Content-Length: 500\r\n\r\n");
    assert_eq!(ask("HEAD", &known), (200, Some("500".to_owned()), false));
    assert_eq!(
        ask("HEAD", &format!("{ok}\r\n")),
        (200, None, true),
        "not a length of 0"
    );
    let chunked = format!("{ok}Transfer-Encoding: chunked\r\n\r\n");
    assert_eq!(ask("HEAD", &chunked), (200, None, true));
    for method in ["GET", "HEAD"] {
        let unchanged = "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: \"x\"\r\n\r\n";
        assert_eq!(ask(method, unchanged), (304, None, false));
    }
    assert_eq!(
        ask("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        (204, None, false)
    );
}

#[test]
fn trailers_are_passed_on_both_ways() {
    let request = head(
        "POST /",
        "Trailer: X-Sum\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n",
    ) + "5\r\nhello\r\n0\r\nX-Sum: 7\r\nForwarded: for=x\r\nX-Forwarded-For: 1.2.3.4\r\nVia: 1.1 x\r\nHost: y\r\nKeep-Alive: 1\r\n\r\n";
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nConnection: close, X-Hop\r\n\r\n\
                  3\r\nabc\r\n0\r\nX-Sum: 8\r\nX-Hop: 1\r\nX-Latin: \u{fc}\r\n\r\n";
    let (got, back) = through(edge(), &*request, answer);
    assert_eq!(values(&got, "Trailer"), ["X-Sum"]);
    assert!(
        got.ends_with("5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n"),
        "{got}"
    );
    assert_eq!(values(&back, "Trailer"), ["X-Sum"]);
    assert!(
        back.ends_with("3\r\nabc\r\n0\r\nX-Sum: 8\r\nX-Latin: \u{fc}\r\n\r\n"),
        "{back}"
    );
    let (_, back) = through(edge(), "GET / HTTP/1.0\r\n\r\n", answer);
    assert!(
        values(&back, "Trailer").is_empty() && back.ends_with("\r\n\r\nabc"),
        "{back}"
    );
}

/// A client asks for leave, and sends its content when it gets that; what it has heard then, and in the end.
fn with_leave(answer: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> (String, String) {
    on_network(move || {
        scripted("behind", move |_, mut stream| {
            let head = read_head(&mut stream);
            assert_eq!(values(&head, "Expect"), ["100-continue"], "{head}");
            answer(&mut stream);
        });
        serve("proxy", Server::with_handler(edge()));
        let mut stream = TcpStream::connect("proxy:80").unwrap();
        let request = head("PUT /", "Content-Length: 5\r\nExpect: 100-continue\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let first = read_head(&mut stream);
        if status(&first) == 100 {
            stream.write_all(b"hello").unwrap();
        }
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        (first, rest)
    })
}

#[test]
fn the_server_says_whether_it_wants_the_content() {
    let (first, rest) = with_leave(|stream| {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        let mut content = [0; 5];
        stream.read_exact(&mut content).unwrap();
        assert_eq!(&content, b"hello");
        stream.write_all(EMPTY.as_bytes()).unwrap();
    });
    assert_eq!((status(&first), status(&rest)), (100, 200));
    let (first, _) = with_leave(|stream| {
        let refusal = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(refusal).unwrap();
    });
    assert_eq!(status(&first), 413, "and no content was asked for");
    // One that knows nothing of it gets the content after a while.
    let (first, rest) = with_leave(|stream| {
        let mut content = [0; 5];
        stream.read_exact(&mut content).unwrap();
        stream.write_all(EMPTY.as_bytes()).unwrap();
    });
    assert_eq!((status(&first), status(&rest)), (100, 200));
}

#[test]
fn interim_answers_are_passed_back() {
    let answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: X-Hop\r\n\
                  X-Hop: 1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
        .to_owned()
        + EMPTY;
    let (_, back) = through(edge(), head("GET /", ""), &*answer);
    let expected = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n\
                    HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n";
    assert!(back.starts_with(expected), "{back}");
    let (_, back) = through(edge(), "GET / HTTP/1.0\r\n\r\n", &*answer);
    assert!(back.starts_with("HTTP/1.1 200 OK\r\n"), "{back}");
}

#[test]
fn the_target_is_passed_on_byte_by_byte() {
    let behind = || ReverseProxy::new(["http://behind/app/"]);
    for target in [
        "/",
        "//a//b/",
        "/a/./b/../c",
        "/%7euser/%2e/x%2Fy",
        "/a?b=<c>&d='e'\"f\"/../..",
        "/a|b^c`d{e}\\f",
        "/a?",
    ] {
        let (got, _) = through(behind(), head(&format!("GET {target}"), ""), EMPTY);
        let line = format!("GET /app{target} HTTP/1.1\r\n");
        assert!(got.starts_with(&line), "{target}: {got}");
    }
    for above in [
        "/../secret",
        "/a/../../b",
        "/%2e%2e/secret",
        "/..%2fx",
        "/..\\x",
    ] {
        let (got, back) = through(behind(), head(&format!("GET {above}"), ""), EMPTY);
        assert_eq!((status(&back), &*got), (400, ""), "{above}");
    }
}

#[test]
fn what_a_server_may_not_say_is_a_bad_gateway() {
    let folded = "HTTP/1.1 200 OK\r\nX-Long: a\r\n b\r\nContent-Length: 0\r\n\r\n";
    let (_, back) = through(edge(), head("GET /", ""), folded);
    assert_eq!(status(&back), 502, "a folded line");
    let wish = head("GET /", "Connection: Upgrade\r\nUpgrade: echo\r\n");
    for other in ["Upgrade: chat\r\n", ""] {
        let changed =
            format!("HTTP/1.1 101 Switching Protocols\r\n{other}Connection: Upgrade\r\n\r\n");
        let (_, back) = through(edge(), &*wish, &*changed);
        assert_eq!(status(&back), 502, "{other:?}");
    }
    let changed = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: Echo\r\nConnection: Upgrade, X-Hop\r\nX-Hop: 1\r\n\r\nhi";
    let (got, back) = through(edge(), &*wish, changed);
    assert_eq!(values(&got, "Connection"), ["Upgrade"]);
    assert!(
        back.starts_with("HTTP/1.1 101 ") && back.ends_with("\r\n\r\nhi"),
        "{back}"
    );
    assert!(values(&back, "X-Hop").is_empty());
}

#[test]
fn what_protocol_a_server_requires_is_passed_back() {
    let required = "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n";
    let request = "GET / HTTP/1.1\r\nHost: site\r\n\r\n";
    let back = on_network(move || {
        scripted("behind", move |_, mut stream| {
            read_head(&mut stream);
            stream.write_all(required.as_bytes()).unwrap();
        });
        serve("proxy", Server::with_handler(edge()));
        let mut stream = TcpStream::connect("proxy:80").unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        read_head(&mut stream)
    });
    assert_eq!(status(&back), 426);
    assert_eq!(values(&back, "Upgrade"), ["websocket"]);
    assert_eq!(values(&back, "Connection"), ["Upgrade"]);
}
