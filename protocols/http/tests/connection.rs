//! A connection over streams in memory: what goes in is scripted, what comes out is compared.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use grapeshot::net::Shutdown;
use grapeshot_http::{
    Assets, HandlerError, Limits, Peer, Refusal, Request, Response, Server, Status, Stream,
    TakingTurns,
};

/// A stream whose reads give the pieces one after the other and then the end.
#[derive(Default)]
struct Wire {
    pieces: Mutex<VecDeque<Vec<u8>>>,
    out: Mutex<Vec<u8>>,
    writes: AtomicUsize,
    /// Bytes a write takes at most.
    takes: usize,
    /// Writes after which the stream fails.
    fails_after: Option<usize>,
}

impl Wire {
    fn new(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Arc<Self> {
        let pieces = pieces
            .into_iter()
            .map(|piece| piece.as_ref().to_vec())
            .filter(|piece| !piece.is_empty());
        Arc::new(Self {
            pieces: Mutex::new(pieces.collect()),
            takes: usize::MAX,
            ..Self::default()
        })
    }

    fn output(&self) -> String {
        String::from_utf8(self.out.lock().unwrap().clone()).unwrap()
    }

    fn put(&self, slices: &[&[u8]]) -> io::Result<usize> {
        if self
            .fails_after
            .is_some_and(|most| self.writes.load(Ordering::SeqCst) >= most)
        {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.writes.fetch_add(1, Ordering::SeqCst);
        let all = slices.concat();
        let count = all.len().min(self.takes);
        self.out.lock().unwrap().extend_from_slice(&all[..count]);
        Ok(count)
    }
}

impl Stream for Wire {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(
            !buffer.is_empty(),
            "a read for nothing would look like the end"
        );
        let mut pieces = self.pieces.lock().unwrap();
        let Some(mut piece) = pieces.pop_front() else {
            return Ok(0);
        };
        let count = piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&piece[..count]);
        let rest = piece.split_off(count);
        if !rest.is_empty() {
            pieces.push_front(rest);
        }
        Ok(count)
    }
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.put(&[bytes])
    }
    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.put(&slices.iter().map(|slice| &**slice).collect::<Vec<_>>())
    }
    fn shutdown(&self, _how: Shutdown) -> io::Result<()> {
        Ok(())
    }
}

/// Serves the scripted pieces and gives what was answered, without the dates.
fn talk(server: &Server, pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> String {
    let wire = Wire::new(pieces);
    server.serve_stream(Arc::clone(&wire), Peer::Unknown);
    undated(&wire.output())
}

fn undated(text: &str) -> String {
    text.split_inclusive("\r\n")
        .filter(|line| !line.starts_with("Date: "))
        .collect()
}

/// `200 OK` with this content, as `send` writes it.
fn ok(content: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{content}",
        content.len()
    )
}

/// Answers with what it was asked: `METHOD path|content`.
fn mirror(request: &mut Request<'_>, response: Response<'_>) -> Result<(), HandlerError> {
    let path = request.path();
    let content = request.read_body()?;
    Ok(response.send(format!(
        "{} {path}|{}",
        request.method(),
        String::from_utf8_lossy(&content)
    ))?)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

fn is_refused(output: &str, status: Status) -> bool {
    output.starts_with(&format!("HTTP/1.1 {status}\r\n"))
        && output.contains("\r\nConnection: close\r\n")
}

#[test]
fn requests_are_answered_in_order_however_they_arrive() {
    let session = [
        &get("/1")[..],
        "POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
        "POST /3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n2\r\nde\r\n0\r\nT: x\r\n\r\n",
        "\r\nGET /4 HTTP/1.1\r\nHost: h\r\n\r\n",
    ]
    .concat();
    let want = [
        ok("GET /1|"),
        ok("POST /2|hello"),
        ok("POST /3|abcde"),
        ok("GET /4|"),
    ]
    .concat();
    let server = Server::new(mirror);
    for cut in 0..=session.len() {
        assert_eq!(
            talk(&server, [&session[..cut], &session[cut..]]),
            want,
            "cut at {cut}"
        );
    }
    assert_eq!(
        talk(&server, session.bytes().map(|byte| [byte])),
        want,
        "byte by byte"
    );
    assert_eq!(server.statistics().requests, 4 * (session.len() as u64 + 2));
}

#[test]
fn pipelined_answers_leave_in_one_write() {
    let server = Server::new(mirror);
    let wire = Wire::new([(0..16).map(|n| get(&format!("/{n}"))).collect::<String>()]);
    server.serve_stream(Arc::clone(&wire), Peer::Unknown);
    assert_eq!(wire.writes.load(Ordering::SeqCst), 1);
    assert_eq!(
        undated(&wire.output()),
        (0..16)
            .map(|n| ok(&format!("GET /{n}|")))
            .collect::<String>()
    );
}

#[test]
fn a_stream_that_takes_little_gets_all() {
    let content = "x".repeat(20_000);
    let answer = content.clone();
    let server = Server::new(move |_request, response| response.send(&answer));
    for takes in [1, 7, 100, 19_999] {
        let mut wire = Wire::new([get("/"), get("/")]);
        Arc::get_mut(&mut wire).unwrap().takes = takes;
        server.serve_stream(Arc::clone(&wire), Peer::Unknown);
        assert_eq!(
            undated(&wire.output()),
            ok(&content).repeat(2),
            "{takes} bytes a write"
        );
    }
}

#[test]
fn versions_and_connection_headers_decide_what_follows() {
    let server = Server::new(mirror);
    let twice = |head: &str| talk(&server, [format!("{head}\r\n\r\n").repeat(2)]);
    let count = |output: &str| output.matches("HTTP/1.1 200").count();
    assert_eq!(count(&twice("GET / HTTP/1.1\r\nHost: h")), 2);
    let closed = twice("GET / HTTP/1.1\r\nHost: h\r\nConnection: close");
    assert_eq!(
        closed,
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nGET /|"
    );
    assert_eq!(twice("GET / HTTP/1.0"), closed);
    let kept = twice("GET / HTTP/1.0\r\nConnection: keep-alive");
    assert_eq!(
        kept,
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: keep-alive\r\n\r\nGET /|".repeat(2)
    );
    let server = Server::new(|_, response| response.close().send("bye"));
    assert_eq!(
        talk(&server, [get("/").repeat(2)])
            .matches("Connection: close")
            .count(),
        1
    );
}

#[test]
fn head_is_answered_without_content() {
    let server = Server::new(|request, response| match request.path() {
        "/whole" => response.send("hello"),
        "/declared" => response.content_length(1 << 40).send(""),
        _ => {
            let mut writer = response.start()?;
            writer.write_all(b"hello")?;
            writer.finish()
        }
    });
    let head = |path: &str| format!("HEAD {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    let output = talk(
        &server,
        [
            head("/whole"),
            head("/declared"),
            head("/pieces"),
            get("/whole"),
        ],
    );
    let want = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1099511627776\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        &ok("hello"),
    ];
    assert_eq!(output, want.concat());
}

#[test]
fn content_in_pieces_is_chunked_or_ends_with_the_connection() {
    let server = Server::new(|_, response| {
        let mut writer = response.start()?;
        writer.write_all(b"hel")?;
        writer.write_all(b"lo")?;
        writer.flush()?;
        writer.write_all(&[b'x'; 8192])?;
        writer.write_all(b"")?;
        writer.write_all(b"end")?;
        writer.finish()
    });
    let long = "x".repeat(8192);
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n2000\r\n{long}\r\n3\r\nend\r\n0\r\n\r\n"
    );
    assert_eq!(talk(&server, [get("/"), get("/")]), chunked.repeat(2));
    let old = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let until_close = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello{long}end");
    assert_eq!(talk(&server, [old, old]), until_close);
}

#[test]
fn declared_lengths_are_kept_or_the_connection_ends() {
    let server = Server::new(|request, response| {
        let mut writer = response.content_length(5).start()?;
        writer.write_all(request.query().unwrap_or_default().as_bytes())?;
        writer.finish()
    });
    assert_eq!(
        talk(&server, [get("/?hello"), get("/?world")]),
        [ok("hello"), ok("world")].concat()
    );
    // Nothing is sent that the client could take for the rest.
    assert!(!talk(&server, [get("/?hell"), get("/?world")]).contains("world"));
    assert!(!talk(&server, [get("/?hello!"), get("/?world")]).contains("world"));
}

#[test]
fn statuses_without_content_have_none() {
    let server = Server::new(|request, response| match request.path() {
        "/204" => response.status(Status::NO_CONTENT).send(""),
        "/304" => response.status(Status::NOT_MODIFIED).start()?.finish(),
        _ => response.status(Status::NO_CONTENT).send("content"),
    });
    let want = "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n";
    assert_eq!(talk(&server, [get("/204"), get("/304")]), want);
    assert!(is_refused(
        &talk(&server, [get("/wrong")]),
        Status::INTERNAL_SERVER_ERROR
    ));
}

#[test]
fn a_client_that_waits_for_leave_gets_it_when_the_content_is_read() {
    let server = Server::new(mirror);
    let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    let interim = "HTTP/1.1 100 Continue\r\n\r\n";
    assert_eq!(
        talk(&server, [head, "hello", &get("/2")]),
        [interim, &ok("POST /|hello"), &ok("GET /2|")].concat()
    );
    // Earlier answers come first.
    let piped = [get("/1"), head.to_owned()].concat();
    assert_eq!(
        talk(&server, [&piped, "hello"]),
        [&ok("GET /1|"), interim, &ok("POST /|hello")].concat()
    );
    // Whoever did not wait for leave need not be given it.
    let output = talk(&server, [[head, "hello", &get("/2")].concat()]);
    assert_eq!(output, [ok("POST /|hello"), ok("GET /2|")].concat());
}

#[test]
fn leave_that_was_not_given_closes_the_connection() {
    let server = Server::new(|_, response| response.status(Status::FORBIDDEN).send("no"));
    let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    // Whether the next bytes are content or a request, nobody could tell.
    let output = talk(&server, [head, &get("/")]);
    assert_eq!(
        output,
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    );
}

#[test]
fn unread_content_is_drained_or_the_connection_closed() {
    let mut limits = Limits::default();
    limits.drain = 10;
    limits.body = 5;
    let server = Server::with_limits(limits, |request, response| response.send(request.path()));
    let post = |length: usize| {
        format!(
            "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{}",
            "x".repeat(length)
        )
    };
    let next = get("/next");
    assert_eq!(
        talk(&server, [post(10), next.clone()]),
        [ok("/p"), ok("/next")].concat()
    );
    let closing = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n/p";
    assert_eq!(talk(&server, [post(11), next.clone()]), closing);
    let chunked = "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let small = [chunked, "a\r\n0123456789\r\n0\r\n\r\n", &next].concat();
    assert_eq!(talk(&server, [small]), [ok("/p"), ok("/next")].concat());
    // How long chunked content is shows only later; the connection ends without another answer.
    let large = [chunked, "b\r\n0123456789a\r\n0\r\n\r\n", &next].concat();
    assert_eq!(talk(&server, [large]), ok("/p"));
    let wrong = [chunked, "x\r\n", &next].concat();
    assert_eq!(talk(&server, [wrong]), ok("/p"));
}

#[test]
fn a_refusal_ends_the_connection_and_is_counted() {
    let server = Server::new(mirror);
    let smuggled = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let output = talk(&server, [[&get("/1"), smuggled, &get("/2")].concat()]);
    let rest = output
        .strip_prefix(&ok("GET /1|"))
        .expect("the request before it is answered");
    assert!(
        is_refused(rest, Status::BAD_REQUEST) && !output.contains("/2"),
        "{output}"
    );
    assert!(is_refused(
        &talk(&server, ["x".repeat(10_000)]),
        Status::URI_TOO_LONG
    ));
    let long = format!(
        "GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n",
        "x".repeat(40_000)
    );
    assert!(is_refused(
        &talk(&server, [long]),
        Status::HEADERS_TOO_LARGE
    ));
    let many = format!(
        "GET / HTTP/1.1\r\nHost: h\r\n{}\r\n",
        "X: y\r\n".repeat(101)
    );
    assert!(is_refused(
        &talk(&server, [many]),
        Status::HEADERS_TOO_LARGE
    ));
    let refused = server.statistics().refused;
    let want = [
        (Refusal::LengthAndEncoding, 1),
        (Refusal::RequestLineTooLong, 1),
        (Refusal::HeadersTooLong, 1),
        (Refusal::TooManyHeaders, 1),
    ];
    assert_eq!(refused, want);
}

#[test]
fn content_that_is_refused_is_answered_for_the_handler() {
    let mut limits = Limits::default();
    limits.body = 5;
    let server = Server::with_limits(limits, |request, response| {
        if request.path() == "/more" {
            request.limit_body(100);
        }
        mirror(request, response)
    });
    let post = |path: &str, length: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n")
    };
    let output = talk(&server, [post("/", "6"), "hello!".into(), get("/")]);
    assert!(
        is_refused(&output, Status::CONTENT_TOO_LARGE) && output.matches("HTTP/1.1").count() == 1,
        "{output}"
    );
    assert_eq!(
        talk(&server, [post("/more", "6"), "hello!".into()]),
        ok("POST /more|hello!")
    );
    let chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(is_refused(
        &talk(&server, [chunked, "6\r\nhello!\r\n"]),
        Status::CONTENT_TOO_LARGE
    ));
    assert!(is_refused(
        &talk(&server, [chunked, "zz\r\n"]),
        Status::BAD_REQUEST
    ));
    assert!(
        is_refused(
            &talk(&server, [post("/", "5"), "hell".into()]),
            Status::BAD_REQUEST
        ),
        "it ended early"
    );
    // It asked for leave, and is told at once that its content will not be taken.
    let asking = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n";
    assert!(is_refused(
        &talk(&server, [asking]),
        Status::CONTENT_TOO_LARGE
    ));
}

#[test]
fn a_handler_that_fails_ends_its_connection_only() {
    let server = Server::new(|request, response| -> Result<(), HandlerError> {
        match request.path() {
            "/panic" => panic!("the secret of the handler"),
            "/late" => {
                let mut writer = response.start()?;
                writer.write_all(b"begun")?;
                writer.flush()?;
                panic!("in the middle");
            }
            "/error" => Err("the secret of the handler".into()),
            "/silent" => Ok(()),
            "/answered" => {
                response.send("done")?;
                Err("after the answer".into())
            }
            "/inject" => Ok(response.header("X", "a\r\nSet-Cookie: b").send("")?),
            "/inject-name" => Ok(response.header("X\r\nY", "a").send("")?),
            "/frame" => Ok(response.header("Transfer-encoding", "chunked").send("")?),
            _ => Ok(response.send("fine")?),
        }
    });
    for path in [
        "/panic",
        "/error",
        "/silent",
        "/inject",
        "/inject-name",
        "/frame",
    ] {
        let output = talk(&server, [get(path).repeat(2)]);
        assert!(
            is_refused(&output, Status::INTERNAL_SERVER_ERROR),
            "{path}: {output}"
        );
        assert!(
            !output.contains("secret") && !output.contains("Set-Cookie"),
            "{path}: {output}"
        );
        assert_eq!(output.matches("HTTP/1.1").count(), 1, "{path}");
    }
    let late = talk(&server, [get("/late").repeat(2)]);
    assert!(
        late.ends_with("5\r\nbegun\r\n"),
        "it is not made to look complete: {late}"
    );
    assert_eq!(talk(&server, [get("/answered").repeat(2)]), ok("done"));
    assert_eq!(talk(&server, [get("/")]), ok("fine"));
    let statistics = server.statistics();
    assert_eq!(
        (
            statistics.panicked,
            statistics.failed,
            statistics.connections
        ),
        (2, 4, 0)
    );
}

#[test]
fn content_may_be_read_in_any_portions() {
    // Longer than every buffer, so that it is read both through the buffer and straight into the handler's memory.
    let content: Vec<u8> = (0..100_000u32).map(|n| b'a' + (n % 23) as u8).collect();
    for portion in [1, 100, 5000, 70_000] {
        let want = content.clone();
        let server = Server::new(move |request, response| {
            let mut got = Vec::new();
            let mut buffer = vec![0; portion];
            loop {
                match request.read(&mut buffer)? {
                    0 => break,
                    count => got.extend_from_slice(&buffer[..count]),
                }
            }
            response.send(if got == want { "same" } else { "different" })
        });
        let counted = format!(
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
            content.len()
        );
        let pieces = [
            &[counted.as_bytes(), &content[..1000]].concat(),
            &content[1000..60_001],
            &content[60_001..],
        ];
        let mut next = pieces.map(<[u8]>::to_vec).to_vec();
        next.push(get("/").into_bytes());
        assert_eq!(
            talk(&server, &next),
            [ok("same"), ok("different")].concat(),
            "{portion} at once, counted"
        );

        let mut chunked =
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in content.chunks(33_333) {
            grapeshot_http::body::encode_chunk(&mut chunked, chunk);
        }
        chunked.extend_from_slice(grapeshot_http::body::LAST_CHUNK);
        assert_eq!(
            talk(&server, chunked.chunks(4999)),
            ok("same"),
            "{portion} at once, chunked"
        );
    }
}

#[test]
fn a_peer_that_is_gone_ends_the_connection() {
    let server = Server::new(mirror);
    for fails_after in [0, 1] {
        let mut wire = Wire::new([get("/1"), get("/2"), get("/3")]);
        Arc::get_mut(&mut wire).unwrap().fails_after = Some(fails_after);
        server.serve_stream(Arc::clone(&wire), Peer::Unknown);
        assert_eq!(wire.output().matches("HTTP/1.1 200").count(), fails_after);
        assert!(
            wire.pieces.lock().unwrap().len() >= 2 - fails_after,
            "it reads no further"
        );
    }
    assert_eq!(
        talk(&server, ["GET / HT"]),
        "",
        "a head that ends early has nobody to be answered"
    );
    assert_eq!(talk(&server, [""]), "");
}

#[test]
fn an_upgrade_hands_over_the_stream_and_what_was_received() {
    let server = Server::new(|request, response| -> Result<(), HandlerError> {
        let upgraded = response.header("X", "y").upgrade(request, "chat")?;
        upgraded.stream.write(&upgraded.received)?;
        let mut more = [0; 100];
        let count = upgraded.stream.read(&mut more)?;
        upgraded.stream.write(&more[..count])?;
        Ok(())
    });
    let asked = "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n";
    let output = talk(&server, [&[asked, "first "].concat(), "second"]);
    assert_eq!(
        output,
        "HTTP/1.1 101 Switching Protocols\r\nX: y\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\nfirst second"
    );
    let with_content = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx";
    assert!(is_refused(
        &talk(&server, [with_content]),
        Status::INTERNAL_SERVER_ERROR
    ));
    assert!(is_refused(
        &talk(&server, ["GET / HTTP/1.0\r\n\r\n"]),
        Status::INTERNAL_SERVER_ERROR
    ));
}

#[test]
fn anything_that_reads_and_writes_can_be_served() {
    struct Pair(io::Cursor<Vec<u8>>, Arc<Mutex<Vec<u8>>>);
    impl Read for Pair {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }
    impl Write for Pair {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let out = Arc::new(Mutex::new(Vec::new()));
    let pair = Pair(
        io::Cursor::new(get("/").repeat(2).into_bytes()),
        Arc::clone(&out),
    );
    Server::new(mirror).serve_stream(TakingTurns::new(pair), Peer::Unknown);
    assert_eq!(
        undated(std::str::from_utf8(&out.lock().unwrap()).unwrap()),
        ok("GET /|").repeat(2)
    );
}

#[test]
fn assets_are_served_with_their_types_and_tags() {
    let assets = Assets::new(&[
        ("/index.html", b"<p>"),
        ("/app.js", b"js"),
        ("/a/index.html", b"a"),
        ("/data.bin", b"\x00"),
    ]);
    let server = Server::new(move |request, response| assets.answer(request, response));
    let of = |path: &str| talk(&server, [get(path)]);
    assert!(
        of("/").contains("Content-Type: text/html; charset=utf-8\r\n")
            && of("/").ends_with("\r\n\r\n<p>")
    );
    assert_eq!(of("/index.html"), of("/"));
    assert!(of("/app.js").contains("javascript; charset=utf-8\r\n"));
    assert!(of("/data.bin").contains("Content-Type: application/octet-stream\r\n"));
    assert!(of("/a/").ends_with("\r\n\r\na"));
    for missing in ["/a", "/index", "/b/", "/app.js/", "/../index.html"] {
        assert!(of(missing).starts_with("HTTP/1.1 404 "), "{missing}");
    }
    let page = of("/");
    let tag = page
        .split("ETag: ")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next())
        .expect("a tag")
        .to_owned();
    let again = |tags: &str| {
        talk(
            &server,
            [format!(
                "GET / HTTP/1.1\r\nHost: h\r\nIf-None-Match: {tags}\r\n\r\n"
            )],
        )
    };
    for same in [&tag, &format!("\"x\", W/{tag}"), "*"] {
        let output = again(same);
        assert!(
            output.starts_with("HTTP/1.1 304 ") && output.ends_with("\r\n\r\n"),
            "{same}: {output}"
        );
    }
    assert!(again("\"other\"").starts_with("HTTP/1.1 200 "));
    let head = talk(&server, ["HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"]);
    assert!(head.contains("Content-Length: 3\r\n") && head.ends_with("\r\n\r\n"));
    let post = talk(
        &server,
        ["POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"],
    );
    assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("Allow: GET, HEAD, OPTIONS\r\n"));
}
