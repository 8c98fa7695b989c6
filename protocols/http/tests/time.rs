//! Waits: with a virtual clock, over sockets whose other end stays silent.

use std::io::{Read, Write};
use std::time::Duration;

use grapeshot::net::{Shutdown, TcpListener, TcpStream, UnixStream};
use grapeshot::time::now;
use grapeshot::{spawn, with_timeout};
use grapeshot_http::{HandlerError, Peer, Refusal, Request, Response, Server};

/// Serves one connection; gives how long it lasted and what the client got, if it sends `wire` and then is silent.
fn silent_after(server: &Server, wire: &str) -> (Duration, String) {
    let server = server.clone();
    let wire = wire.to_owned();
    grapeshot::testing::run(7, move || {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let began = now();
        let serving = spawn(move || server.serve_stream(theirs, Peer::Unix));
        ours.write_all(wire.as_bytes()).unwrap();
        let mut text = String::new();
        ours.read_to_string(&mut text).unwrap();
        let lasted = now() - began;
        drop(ours);
        serving.join().unwrap();
        (lasted, text)
    })
}

fn read_all(request: &mut Request<'_>, response: Response<'_>) -> Result<(), HandlerError> {
    let content = request.read_body()?;
    Ok(response.send(content)?)
}

#[test]
fn an_idle_connection_is_closed_quietly() {
    let server = Server::new(read_all);
    assert_eq!(
        silent_after(&server, ""),
        (Duration::from_secs(20), String::new())
    );
    let (lasted, text) = silent_after(&server, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(
        (lasted, text.matches("HTTP/1.1").count()),
        (Duration::from_secs(60), 1)
    );
    assert_eq!(server.statistics().refused, []);
}

#[test]
fn a_head_that_does_not_end_is_refused_with_408() {
    let server = Server::new(read_all);
    for wire in ["G", "GET / HTTP/1.1\r\nHost: h\r\n", "\r\n"] {
        let (lasted, text) = silent_after(&server, wire);
        assert_eq!(lasted, Duration::from_secs(10), "{wire:?}");
        assert!(
            text.starts_with("HTTP/1.1 408 ") && text.contains("\r\nConnection: close\r\n"),
            "{text}"
        );
    }
    assert_eq!(server.statistics().refused, [(Refusal::HeadTimeout, 3)]);
}

#[test]
fn a_head_that_trickles_is_refused_all_the_same() {
    grapeshot::testing::run(3, || {
        let server = Server::new(read_all);
        let (ours, theirs) = UnixStream::pair().unwrap();
        let began = now();
        let serving = spawn(move || server.serve_stream(theirs, Peer::Unix));
        let mut writer = ours.try_clone().unwrap();
        let trickling = spawn(move || {
            for byte in b"GET / HTTP/1.1\r\nHost: some.very.long.name\r\n\r\n" {
                grapeshot::sleep(Duration::from_millis(900));
                if writer.write_all(&[*byte]).is_err() {
                    break;
                }
            }
        });
        let mut text = String::new();
        let mut reader = ours;
        reader.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
        assert_eq!(
            now() - began,
            Duration::from_millis(10_900),
            "from the first byte on"
        );
        drop(reader);
        trickling.join().unwrap();
        serving.join().unwrap();
    });
}

#[test]
fn content_that_does_not_come_is_refused_with_408() {
    let server = Server::new(read_all);
    for wire in [
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhell",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
    ] {
        let (lasted, text) = silent_after(&server, wire);
        assert_eq!(lasted, Duration::from_secs(30), "{wire:?}");
        assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
    }
    assert_eq!(server.statistics().refused, [(Refusal::BodyTimeout, 2)]);
}

#[test]
fn a_peer_that_does_not_read_is_given_up() {
    grapeshot::testing::run(4, || {
        let server = Server::new(|_request, response| response.send(vec![0; 8 << 20]));
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            .unwrap();
        let began = now();
        server.serve_stream(theirs, Peer::Unix);
        assert_eq!(now() - began, Duration::from_secs(30));
        let mut got = Vec::new();
        ours.read_to_end(&mut got).unwrap();
        assert!(got.len() < 8 << 20, "it was cut off");
    });
}

/// Else the system would keep what it does not take, and go on offering it for minutes.
#[test]
fn a_peer_that_does_not_read_is_reset() {
    grapeshot::testing::run(4, || {
        let server = Server::new(|_request, response| response.send(vec![0; 32 << 20]));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (theirs, peer) = listener.accept().unwrap();
        ours.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            .unwrap();
        server.serve_stream(theirs, Peer::Tcp(peer));
        let error = ours.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_handler_may_bound_its_reading_and_go_on() {
    let server = Server::new(|request: &mut Request<'_>, response: Response<'_>| {
        let mut content = Vec::new();
        let read = with_timeout(Duration::from_secs(1), || request.read_to_end(&mut content));
        response.send(if read.is_err() { "too slow" } else { "in time" })
    });
    let (_, text) = silent_after(
        &server,
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhell",
    );
    assert!(text.ends_with("too slow"), "{text}");
}

#[test]
fn a_write_left_in_the_middle_ends_the_connection() {
    grapeshot::testing::run(5, || {
        let server = Server::new(|_request, response| -> Result<(), HandlerError> {
            let mut writer = response.start()?;
            let left = with_timeout(Duration::from_secs(1), || {
                writer.write_all(&vec![b'x'; 8 << 20])
            });
            assert!(left.is_err(), "nobody reads it: {left:?}");
            writer.write_all(b"more")?;
            assert!(writer.flush().is_err(), "nothing can follow a part");
            Ok(writer.finish()?)
        });
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")
            .unwrap();
        ours.shutdown(Shutdown::Write).unwrap();
        server.serve_stream(theirs, Peer::Unix);
        let mut got = Vec::new();
        ours.read_to_end(&mut got).unwrap();
        let text = String::from_utf8(got).unwrap();
        assert!(!text.contains("more") && !text.ends_with("0\r\n\r\n"));
        assert_eq!(text.matches("HTTP/1.1 200").count(), 1);
        let statistics = server.statistics();
        assert_eq!((statistics.connections, statistics.panicked), (0, 0));
    });
}

#[test]
fn shutting_down_interrupts_what_outlasts_the_grace() {
    grapeshot::testing::run(6, || {
        let server = Server::new(|_request, response| {
            grapeshot::sleep(Duration::from_secs(3600));
            response.send("late")
        });
        let path = std::env::temp_dir().join(format!("grapeshot-http-time-{}", std::process::id()));
        let listener = grapeshot::net::UnixListener::bind(&path).unwrap();
        let theirs = server.clone();
        let serving = spawn(move || theirs.serve(listener));
        let mut busy = UnixStream::connect(&path).unwrap();
        let mut idle = UnixStream::connect(&path).unwrap();
        busy.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            .unwrap();
        grapeshot::sleep(Duration::from_secs(1));
        let began = now();
        server.shutdown(Duration::from_secs(5));
        let mut text = String::new();
        idle.read_to_string(&mut text).unwrap();
        assert_eq!(
            (text.as_str(), now() - began),
            ("", Duration::ZERO),
            "the idle one is closed at once"
        );
        busy.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), now() - began), ("", Duration::from_secs(5)));
        serving.join().unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
    });
}

#[test]
fn leaving_serve_ends_all_it_started() {
    grapeshot::testing::run(8, || {
        let server = Server::new(read_all);
        let path =
            std::env::temp_dir().join(format!("grapeshot-http-leave-{}", std::process::id()));
        let listener = grapeshot::net::UnixListener::bind(&path).unwrap();
        let mut client = UnixStream::connect(&path).unwrap();
        assert!(with_timeout(Duration::from_secs(1), || server.serve(listener)).is_err());
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "");
        std::fs::remove_file(&path).unwrap();
    });
}

/// A stream that goes silent at one of its calls, be it a read or a write.
struct Silent {
    inner: UnixStream,
    calls_left: std::sync::atomic::AtomicUsize,
}

impl Silent {
    fn call(&self) {
        use std::sync::atomic::Ordering;
        if self.calls_left.fetch_sub(1, Ordering::SeqCst) == 0 {
            grapeshot::sleep(Duration::from_secs(1_000_000));
        }
    }
}

impl grapeshot_http::Stream for Silent {
    fn read(&self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.call();
        self.inner.read(buffer)
    }
    fn write(&self, bytes: &[u8]) -> std::io::Result<usize> {
        self.call();
        self.inner.write(bytes)
    }
    fn shutdown(&self, how: Shutdown) -> std::io::Result<()> {
        self.inner.shutdown(how)
    }
}

#[test]
fn a_connection_may_be_interrupted_wherever_it_waits() {
    let content = "x".repeat(20_000);
    let session = format!(
        "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 20000\r\n\r\n{content}\
         GET /pieces HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    );
    let mut ended_by_itself = 0;
    for calls in 0..30 {
        let session = session.clone();
        let finished = grapeshot::testing::run(9, move || {
            let server = Server::new(|request, response| {
                if request.path() == "/pieces" {
                    let mut writer = response.start()?;
                    for _ in 0..3 {
                        writer.write_all(b"piece")?;
                        writer.flush()?;
                    }
                    return writer.finish();
                }
                let content = request.read_body()?;
                response.send(content)
            });
            let (mut ours, inner) = UnixStream::pair().unwrap();
            let silent = Silent {
                inner,
                calls_left: calls.into(),
            };
            let theirs = server.clone();
            let serving = spawn(move || theirs.serve_stream(silent, Peer::Unix));
            ours.write_all(session.as_bytes()).unwrap();
            let reading = spawn(move || {
                let mut got = Vec::new();
                // Reset, if the interrupted side had not read everything.
                let _ = ours.read_to_end(&mut got);
                got
            });
            grapeshot::sleep(Duration::from_millis(1));
            let finished = serving.is_finished();
            serving.interrupt();
            assert_eq!(serving.join().is_ok(), finished, "after {calls} calls");
            let got = String::from_utf8(reading.join().unwrap()).unwrap();
            // What is out is a beginning of the right answers, and never an answer that looks complete but is not.
            assert!(
                got.len() < 22_000 && !got.contains("HTTP/1.1 500"),
                "after {calls} calls: {got}"
            );
            let statistics = server.statistics();
            assert_eq!(
                (
                    statistics.connections,
                    statistics.panicked,
                    statistics.failed
                ),
                (0, 0, 0)
            );
            finished
        });
        ended_by_itself += usize::from(finished);
    }
    assert!(
        (1..30).contains(&ended_by_itself),
        "some were interrupted, some were not: {ended_by_itself}"
    );
}
