//! Both ends of a WebSocket as a pair, and the server's end against a peer that speaks raw bytes.

use std::io::{Read, Write};
use std::sync::Arc;

use grapeshot::net::{Shutdown, TcpListener, UnixStream};
use grapeshot::spawn;
use grapeshot::sync::Event;
use grapeshot_http::{HandlerError, Peer, Request, Response, Server};
use grapeshot_websocket::client::{self, Connect, ConnectError};
use grapeshot_websocket::{
    CloseCode, Closed, Error, Fault, Limits, Message, Origins, Upgrade, Violation, WebSocket,
};

/// Runs `serve` on the server's end of a WebSocket and `ask` on the client's.
fn between<T: Send + 'static>(
    upgrade: Upgrade,
    connect: Connect,
    serve: impl Fn(WebSocket) + Send + Sync + 'static,
    ask: impl FnOnce(WebSocket) -> T + Send + 'static,
) -> T {
    grapeshot::run(move || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = Server::new(move |request, response| -> Result<(), HandlerError> {
            serve(upgrade.accept(request, response)?);
            Ok(())
        });
        let serving = spawn(move || server.serve_stream(theirs, Peer::Unix));
        let result = ask(connect.connect(ours, "localhost", "/socket").unwrap());
        serving.join().unwrap();
        result
    })
}

fn echo(socket: WebSocket) {
    while let Ok(message) = socket.recv() {
        match message {
            Message::Text(text) => socket.send_text(&text).unwrap(),
            Message::Binary(bytes) => socket.send_binary(&bytes).unwrap(),
        }
    }
}

/// A raw client which has shaken hands.
fn raw(
    serve: impl Fn(WebSocket) + Send + Sync + 'static,
    ask: impl FnOnce(UnixStream) + Send + 'static,
) {
    grapeshot::run(move || {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let server = Server::new(move |request, response| -> Result<(), HandlerError> {
            serve(grapeshot_websocket::accept(request, response)?);
            Ok(())
        });
        let serving = spawn(move || server.serve_stream(theirs, Peer::Unix));
        ours.write_all(ASK.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            ours.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(
            head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            "{head}"
        );
        ask(ours);
        serving.join().unwrap();
    });
}

const ASK: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Everything the server sends until it closes.
fn rest(mut stream: UnixStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    all
}

#[test]
fn messages_of_all_lengths_come_back() {
    let lengths = [
        0, 1, 125, 126, 127, 4095, 4096, 4097, 16_384, 16_385, 65_535, 65_536, 1_000_000,
    ];
    between(Upgrade::new(), Connect::default(), echo, move |socket| {
        for length in lengths {
            let bytes: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            socket.send_binary(&bytes).unwrap();
            assert_eq!(
                socket.recv().unwrap(),
                Message::Binary(bytes),
                "{length} bytes"
            );
        }
        socket.send_text("\u{e4}\u{20ac}\u{1f600}").unwrap();
        assert_eq!(
            socket.recv().unwrap(),
            Message::Text("\u{e4}\u{20ac}\u{1f600}".into())
        );
        let figures = socket.statistics();
        assert_eq!(
            (figures.sent, figures.received),
            (lengths.len() as u64 + 1, lengths.len() as u64 + 1)
        );
        assert!(
            figures.bytes_sent > figures.bytes_received,
            "only what we send carries masks"
        );
        socket.close(CloseCode::NORMAL, "").unwrap();
    });
}

#[test]
fn a_close_is_agreed_on_whoever_begins() {
    let told = |error: &Error| match error {
        Error::Closed(closed) => closed.clone(),
        other => panic!("not closed in good order: {other}"),
    };
    let closed = |by_peer| Closed {
        code: CloseCode::new(4321),
        reason: "enough".into(),
        by_peer,
    };
    // The client begins.
    between(
        Upgrade::new(),
        Connect::default(),
        move |socket| {
            let error = socket.recv().unwrap_err();
            assert_eq!((told(&error), error.fault()), (closed(true), Fault::Nobody));
            assert_eq!(
                told(&socket.recv().unwrap_err()),
                closed(true),
                "and for good"
            );
            assert_eq!(told(&socket.send_text("late").unwrap_err()), closed(true));
        },
        move |socket| {
            socket
                .close(CloseCode::new(4321).unwrap(), "enough")
                .unwrap();
            assert_eq!(told(&socket.recv().unwrap_err()), closed(false));
            assert_eq!(told(&socket.send_text("late").unwrap_err()), closed(false));
            socket.close(CloseCode::NORMAL, "again").unwrap();
        },
    );
    // The server begins, while messages of the client are under way.
    between(
        Upgrade::new(),
        Connect::default(),
        move |socket| {
            assert_eq!(socket.recv().unwrap(), Message::Text("one".into()));
            socket
                .close(CloseCode::new(4321).unwrap(), "enough")
                .unwrap();
        },
        move |socket| {
            socket.send_text("one").unwrap();
            socket.send_text("two").unwrap();
            assert_eq!(told(&socket.recv().unwrap_err()), closed(true));
        },
    );
}

#[test]
fn both_may_begin_to_close_at_once() {
    between(
        Upgrade::new(),
        Connect::default(),
        |socket| socket.close(CloseCode::GOING_AWAY, "server").unwrap(),
        |socket| socket.close(CloseCode::NORMAL, "client").unwrap(),
    );
}

#[test]
fn a_connection_that_just_ends_is_told_from_a_close() {
    between(
        Upgrade::new(),
        Connect::default(),
        |socket| {
            let error = socket.recv().unwrap_err();
            assert!(matches!(error, Error::Truncated), "{error}");
            assert_eq!(error.fault(), Fault::Network);
        },
        |socket| socket.abort(),
    );
}

#[test]
fn a_subprotocol_is_agreed_on() {
    let speaks = |server: &[&str], client: &[&str]| {
        let upgrade = Upgrade::new().protocols(server.iter().copied());
        let connect = Connect::default().protocols(client.iter().copied());
        between(
            upgrade,
            connect,
            |socket| {
                socket
                    .send_text(socket.protocol().unwrap_or("none"))
                    .unwrap();
            },
            |socket| {
                let ours = socket.protocol().unwrap_or("none").to_owned();
                assert_eq!(socket.recv().unwrap(), Message::Text(ours.clone()));
                ours
            },
        )
    };
    assert_eq!(speaks(&["b", "a"], &["a", "b"]), "b", "the server prefers");
    assert_eq!(speaks(&["c"], &["a", "b"]), "none");
    assert_eq!(speaks(&["A"], &["a"]), "none");
    assert_eq!(speaks(&[], &["a"]), "none");
    assert_eq!(speaks(&["a"], &[]), "none");
}

/// The status that answers a request's headers.
fn status(upgrade: Upgrade, request: &str) -> String {
    let request = request.to_owned();
    grapeshot::run(move || {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let server = Server::new(move |request: &mut Request<'_>, response: Response<'_>| {
            upgrade
                .accept(request, response)
                .map(|socket| socket.abort())
        });
        let serving = spawn(move || server.serve_stream(theirs, Peer::Unix));
        ours.write_all(request.as_bytes()).unwrap();
        ours.shutdown(Shutdown::Write).unwrap();
        let answer = String::from_utf8_lossy(&rest(ours)).into_owned();
        serving.join().unwrap();
        answer[9..12].to_owned()
    })
}

#[test]
fn handshakes_that_are_none_are_refused() {
    let with = |from: &str, to: &str| {
        assert!(ASK.contains(from));
        status(Upgrade::new(), &ASK.replace(from, to))
    };
    assert_eq!(status(Upgrade::new(), ASK), "101");
    assert_eq!(with("GET", "POST"), "426");
    assert_eq!(with("Upgrade: websocket\r\n", ""), "426");
    assert_eq!(with("Upgrade: websocket\r\n", "Upgrade: h2c\r\n"), "426");
    assert_eq!(with("keep-alive, Upgrade", "keep-alive"), "426");
    assert_eq!(with("Version: 13", "Version: 8"), "426");
    assert_eq!(with("Sec-WebSocket-Version: 13\r\n", ""), "426");
    assert_eq!(with("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ=="), "400");
    assert_eq!(
        with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
        "400"
    );
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    assert_eq!(with(key, &key.repeat(2)), "400");
    assert_eq!(with("HTTP/1.1", "HTTP/1.0"), "426");
    assert_eq!(with("websocket", "WebSocket"), "101");
}

#[test]
fn pages_of_other_origins_are_kept_out() {
    let from = |origins: &Origins, headers: &str| {
        let ask = ASK.replace("Host: h\r\n", &format!("Host: h:80\r\n{headers}"));
        status(Upgrade::new().origins(origins.clone()), &ask)
    };
    assert_eq!(from(&Origins::Same, ""), "101");
    assert_eq!(from(&Origins::Same, "Origin: http://h\r\n"), "101");
    assert_eq!(from(&Origins::Same, "Origin: http://evil\r\n"), "403");
    assert_eq!(from(&Origins::Same, "Origin: null\r\n"), "403");
    assert_eq!(
        from(
            &Origins::Same,
            "Origin: http://h\r\nOrigin: http://evil\r\n"
        ),
        "403"
    );
    let also = Origins::Also(vec!["https://friend".into()]);
    assert_eq!(from(&also, "Origin: https://friend\r\n"), "101");
    assert_eq!(from(&also, "Origin: http://friend\r\n"), "403");
    assert_eq!(from(&also, "Origin: http://h\r\n"), "101");
    assert_eq!(from(&Origins::Any, "Origin: http://evil\r\n"), "101");
}

#[test]
fn a_client_checks_the_answer() {
    let answered = |answer: &'static str| {
        grapeshot::run(move || {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let serving = spawn(move || {
                let mut asked = [0; 1000];
                let _ = theirs.read(&mut asked).unwrap();
                theirs.write_all(answer.as_bytes()).unwrap();
            });
            let result = client::connect(ours, "h", "/").map(|_| ());
            serving.join().unwrap();
            result.unwrap_err()
        })
    };
    assert!(matches!(
        answered("HTTP/1.1 403 Forbidden\r\n\r\n"),
        ConnectError::Refused(403)
    ));
    assert!(matches!(
        answered("HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n"),
        ConnectError::Answer(_)
    ));
    assert!(matches!(
        answered("HTTP/1.1 101 X\r\n"),
        ConnectError::Answer("it ends early")
    ));
    for (answer, wrong) in [
        (
            "HTTP/1.0 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            "it is not HTTP/1.1",
        ),
        (
            "HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n",
            "it does not upgrade the connection",
        ),
        (
            "HTTP/1.1 101 X\r\nConnection: upgrade\r\n\r\n",
            "it does not upgrade to a WebSocket",
        ),
        (
            "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n\r\n",
            "it repeats a header of the handshake",
        ),
        (
            "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
            "it does not answer our key",
        ),
    ] {
        let error = answered(answer);
        assert!(
            matches!(error, ConnectError::Answer(what) if what == wrong),
            "{error}"
        );
    }
    assert!(matches!(
        answered("SSH-2.0-x\r\n"),
        ConnectError::Answer("it is not HTTP")
    ));
    let (ours, _theirs) = UnixStream::pair().unwrap();
    assert!(matches!(
        client::connect(ours, "h\r\nX: y", "/"),
        Err(ConnectError::Misuse(_))
    ));
}

#[test]
fn a_client_adds_headers_but_not_those_of_the_handshake() {
    let connected = |connect: Connect| {
        grapeshot::run(move || {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let server = Server::new(|request, response| -> Result<(), HandlerError> {
                let cookie = request.header("Cookie").unwrap_or("none").to_owned();
                let socket = grapeshot_websocket::accept(request, response)?;
                Ok(socket.send_text(&cookie)?)
            });
            let serving = spawn(move || server.serve_stream(theirs, Peer::Unix));
            let result = connect
                .connect(ours, "h", "/")
                .map(|socket| socket.recv().unwrap());
            serving.join().unwrap();
            result
        })
    };
    let told = connected(Connect::new().header("Cookie", "taste=sweet")).unwrap();
    assert_eq!(told, Message::Text("taste=sweet".into()));
    for (name, value) in [
        ("Host", "h"),
        ("sec-websocket-key", "x"),
        ("Upgrade", "h2c"),
        ("a b", "x"),
        ("", "x"),
        ("X", "a\r\nY: b"),
    ] {
        let refused = connected(Connect::new().header(name, value));
        assert!(matches!(refused, Err(ConnectError::Misuse(_))), "{name}");
    }
    let refused = connected(Connect::new().protocols(["a, b"]));
    assert!(matches!(refused, Err(ConnectError::Misuse(_))));
}

#[test]
fn a_client_connects_to_an_address() {
    grapeshot::run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let server = Server::new(|request, response| -> Result<(), HandlerError> {
            let asked = format!("{} {}", request.host(), request.target());
            let socket = grapeshot_websocket::accept(request, response)?;
            Ok(socket.send_text(&asked)?)
        });
        let serving = server.clone();
        let accepting = spawn(move || serving.serve(listener));
        let socket = client::open(&format!("ws://{host}/chat?x=1")).unwrap();
        assert_eq!(
            socket.recv().unwrap(),
            Message::Text(format!("{host} /chat?x=1"))
        );
        for address in ["wss://localhost/", "http://localhost/", "ws://"] {
            let refused = client::open(address);
            assert!(matches!(refused, Err(ConnectError::Misuse(_))), "{address}");
        }
        server.shutdown(std::time::Duration::ZERO);
        accepting.join().unwrap().unwrap();
    });
}

#[test]
fn a_peer_that_breaks_the_protocol_is_told_and_left() {
    let corpus: [(&[u8], Violation, u16); 5] = [
        (b"\x81\x01x", Violation::Masking, 1002),
        (b"\xc1\x80\0\0\0\0", Violation::ReservedBits, 1002),
        (b"\x81\x81\0\0\0\0\xff", Violation::Text, 1007),
        (
            b"\x82\xff\0\0\0\0\x10\0\0\0\0\0\0\0",
            Violation::FrameTooLong,
            1009,
        ),
        (b"\x80\x80\0\0\0\0", Violation::Continuation, 1002),
    ];
    for (wire, violation, code) in corpus {
        raw(
            move |socket| {
                let error = socket.recv().unwrap_err();
                assert!(
                    matches!(error, Error::Violation(got) if got == violation),
                    "{error}"
                );
                assert_eq!(error.fault(), Fault::Peer);
                assert!(
                    matches!(socket.recv(), Err(Error::Violation(_))),
                    "and for good"
                );
            },
            move |mut stream| {
                stream.write_all(wire).unwrap();
                // More than the kernel holds on its own: a reset would lose the close frame.
                stream.write_all(&[0; 10_000]).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let answer = rest(stream);
                assert_eq!(answer[0], 0x88, "a close frame");
                assert_eq!(answer[2..4], code.to_be_bytes(), "{violation}");
            },
        );
    }
}

#[test]
fn pings_are_answered_between_fragments() {
    raw(
        |socket| {
            assert_eq!(socket.recv().unwrap(), Message::Text("ab".into()));
            assert!(matches!(socket.recv(), Err(Error::Closed(_))));
        },
        |mut stream| {
            stream
                .write_all(b"\x01\x81\0\0\0\0a\x89\x82\0\0\0\0hi\x80\x81\0\0\0\0b\x88\x80\0\0\0\0")
                .unwrap();
            assert_eq!(
                rest(stream),
                b"\x8a\x02hi\x88\x00",
                "a pong, and the empty close frame returned"
            );
        },
    );
}

#[test]
fn frames_that_came_with_the_handshake_are_not_lost() {
    grapeshot::run(|| {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let server = Server::new(|request, response| -> Result<(), HandlerError> {
            echo(grapeshot_websocket::accept(request, response)?);
            Ok(())
        });
        let wire = [ASK.as_bytes(), b"\x81\x82\0\0\0\0hi\x88\x80\0\0\0\0"].concat();
        ours.write_all(&wire).unwrap();
        let serving = spawn(move || server.serve_stream(theirs, Peer::Unix));
        assert!(rest(ours).ends_with(b"\r\n\r\n\x81\x02hi\x88\x00"));
        serving.join().unwrap();
    });
}

#[test]
fn many_send_while_one_receives() {
    const WRITERS: usize = 4;
    const EACH: usize = 200;
    between(
        Upgrade::new(),
        Connect::default(),
        |socket| {
            let socket = Arc::new(socket);
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let socket = Arc::clone(&socket);
                    spawn(move || {
                        for n in 0..EACH {
                            let filler = "x".repeat(n * 97 % 5000);
                            socket.send_text(&format!("{writer} {n} {filler}")).unwrap();
                        }
                    })
                })
                .collect();
            for _ in 0..EACH {
                assert_eq!(socket.recv().unwrap(), Message::Text("up".into()));
            }
            for writer in writers {
                writer.join().unwrap();
            }
            socket.close(CloseCode::NORMAL, "").unwrap();
        },
        |socket| {
            let socket = Arc::new(socket);
            let up = Arc::clone(&socket);
            let sending = spawn(move || {
                for n in 0..EACH {
                    up.send_text("up").unwrap();
                    up.ping(&[n as u8]).unwrap();
                }
            });
            let mut next = [0; WRITERS];
            while let Ok(message) = socket.recv() {
                let Message::Text(text) = message else {
                    panic!("not a text")
                };
                let mut words = text.split(' ');
                let (writer, n): (usize, usize) = (
                    words.next().unwrap().parse().unwrap(),
                    words.next().unwrap().parse().unwrap(),
                );
                assert_eq!(n, next[writer], "messages of one sender keep their order");
                assert_eq!(words.next().unwrap().len(), n * 97 % 5000, "and are whole");
                next[writer] += 1;
            }
            assert_eq!(next, [EACH; WRITERS]);
            sending.join().unwrap();
        },
    );
}

#[test]
fn a_receiver_does_not_wait_for_a_sender_to_answer_a_ping() {
    let seen = Arc::new(Event::new());
    let told = Arc::clone(&seen);
    let mut limits = Limits::default();
    limits.message = 64 << 20;
    limits.frame = 64 << 20;
    between(
        Upgrade::new(),
        Connect::default().limits(limits),
        move |socket| {
            let socket = Arc::new(socket);
            let theirs = Arc::clone(&socket);
            // More than the kernel takes: it holds the writer's lock until the client reads.
            let sending = spawn(move || theirs.send_binary(&vec![7; 8 << 20]).unwrap());
            assert_eq!(
                socket.recv().unwrap(),
                Message::Text("after the ping".into())
            );
            told.set();
            sending.join().unwrap();
            assert!(matches!(socket.recv(), Err(Error::Closed(_))));
        },
        move |socket| {
            socket.ping(b"are you there").unwrap();
            socket.send_text("after the ping").unwrap();
            // The server has received this while its sender waits for us.
            seen.wait();
            assert_eq!(socket.recv().unwrap().as_bytes().len(), 8 << 20);
            socket.close(CloseCode::NORMAL, "").unwrap();
        },
    );
}

#[test]
fn misuse_is_refused_before_anything_is_sent() {
    between(Upgrade::new(), Connect::default(), echo, |socket| {
        for error in [
            socket.ping(&[0; 126]).unwrap_err(),
            socket
                .close(CloseCode::NORMAL, &"x".repeat(124))
                .unwrap_err(),
        ] {
            assert_eq!(error.fault(), Fault::Caller);
        }
        socket.send_text("still there").unwrap();
        assert_eq!(socket.recv().unwrap(), Message::Text("still there".into()));
        socket.close(CloseCode::NORMAL, &"x".repeat(123)).unwrap();
    });
}
