//! Slow senders, slow readers and silent sockets; proxies, listeners that come and go, the access log.

mod common;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{get, talk_as};
use grapeshot::net::{TcpListener, TcpStream, UnixStream};
use grapeshot::testing::{NetworkConfig, Simulation, host};
use grapeshot::time::now;
use grapeshot::{sleep, spawn, yield_now};
use grapeshot_http::auth::{Basic, Users};
use grapeshot_http::{
    AccessLog, Handler, HandlerError, Limits, LogFormat, Peer, Phase, ProxyProtocol, Router,
    Server, Status,
};

fn site() -> Router {
    Router::new()
        .get("/", |request| request.peer().to_string())
        .get("/large", |_| vec![b'x'; 4 << 20])
        .post("/", |request| request.read_body())
}

#[test]
fn content_that_trickles_is_refused() {
    grapeshot::testing::run(1, || {
        let server = Server::with_handler(site());
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let theirs_server = server.clone();
        let serving = spawn(move || theirs_server.serve_stream(theirs, Peer::Unix));
        let mut writer = ours.try_clone().unwrap();
        let began = now();
        let sending = spawn(move || {
            let _ =
                writer.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\r\n");
            while writer.write_all(b"x").is_ok() {
                sleep(Duration::from_secs(1));
            }
        });
        let mut text = String::new();
        ours.read_to_string(&mut text).unwrap();
        assert!(
            text.starts_with("HTTP/1.1 408 ") && text.contains("too slowly"),
            "{text}"
        );
        assert_eq!((now() - began).as_secs(), 11, "a second after the grace");
        drop(ours);
        serving.join().unwrap();
        sending.join().unwrap();
        assert_eq!(server.statistics().expired, [(Phase::BodyRate, 1)]);
    });
}

#[test]
fn who_takes_the_answer_in_drops_is_given_up() {
    grapeshot::testing::run(1, || {
        let server = Server::with_handler(site());
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n")
            .unwrap();
        let reading = spawn(move || {
            let mut total = 0;
            let mut chunk = [0; 512];
            while let Ok(count @ 1..) = ours.read(&mut chunk) {
                total += count;
                sleep(Duration::from_secs(20));
            }
            total
        });
        let began = now();
        server.serve_stream(theirs, Peer::Unix);
        let lasted = now() - began;
        assert!(lasted < Duration::from_secs(200), "{lasted:?}");
        let expired = server.statistics().expired;
        assert!(
            matches!(expired[..], [(Phase::Write | Phase::WriteRate, 1)]),
            "{expired:?}"
        );
        reading.interrupt();
        let _ = reading.join();
    });
}

#[test]
fn a_client_in_good_time_is_not_taken_for_a_slow_one() {
    grapeshot::testing::run(1, || {
        let server = Server::with_handler(site());
        let (ours, theirs) = UnixStream::pair().unwrap();
        let theirs_server = server.clone();
        let serving = spawn(move || theirs_server.serve_stream(theirs, Peer::Unix));
        let mut writer = ours.try_clone().unwrap();
        let sending = spawn(move || {
            writer.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 30000\r\n\r\n").unwrap();
            for _ in 0..100 {
                sleep(Duration::from_secs(1));
                writer.write_all(&[b'x'; 300]).unwrap();
            }
        });
        let mut text = String::new();
        (&ours).read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 200 "), "{text:.100}");
        sending.join().unwrap();
        serving.join().unwrap();
    });
}

#[test]
fn a_silent_crowd_keeps_no_client_out() {
    Simulation::new(5).network(NetworkConfig::new()).run(|| {
        let mut limits = Limits::default();
        limits.connections = 1024;
        limits.first_byte = Duration::from_secs(100_000);
        let server = Server::builder().limits(limits).build(site());
        let figures = server.clone();
        host("server", move || {
            server
                .serve(TcpListener::bind("0.0.0.0:80").unwrap())
                .unwrap()
        });
        sleep(Duration::from_millis(10));
        let silent: Vec<_> = (0..1024)
            .map(|_| TcpStream::connect("server:80").unwrap())
            .collect();
        sleep(Duration::from_secs(3));
        assert!(figures.statistics().connections > 1000);
        let began = now();
        for _ in 0..40 {
            let mut stream = TcpStream::connect("server:80").unwrap();
            stream
                .write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                .unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        }
        let took = now() - began;
        assert!(took < Duration::from_secs(5), "{took:?}");
        let statistics = figures.statistics();
        assert!((1..200).contains(&statistics.shed), "{statistics:?}");
        drop(silent);
    });
}

/// A peer that takes nothing of an answer: what the system keeps of it is bounded, also through what a connection is wrapped in.
#[cfg(target_os = "linux")]
#[test]
fn little_of_an_answer_is_kept_for_who_does_not_read_it() {
    let taken = |unsent: usize, head: &str| {
        let taken = Arc::new(AtomicUsize::new(0));
        let counts = taken.clone();
        let mut limits = Limits::default();
        (limits.unsent, limits.write_wait) = (unsent, Duration::from_millis(50));
        let server = Server::with_limits(limits, move |_, response| -> Result<(), HandlerError> {
            let mut writer = response.start()?;
            loop {
                let count = writer.write(&[b'x'; 16 << 10])?;
                counts.fetch_add(count, Ordering::Relaxed);
            }
        });
        let request = format!("{head}GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let is_proxied = !head.is_empty();
        grapeshot::run(move || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            ours.write_all(request.as_bytes()).unwrap();
            if is_proxied {
                server.listen(ProxyProtocol::new(listener).trust("127.0.0.1/32").unwrap());
            } else {
                server.listen(listener);
            }
            let mut text = Vec::new();
            // Nobody reads until the server has given up, and has thrown away what was not taken.
            while server.statistics().expired != [(Phase::Write, 1)] {
                yield_now();
            }
            assert!(ours.read_to_end(&mut text).is_err());
        });
        taken.load(Ordering::Relaxed)
    };
    let without = taken(usize::MAX, "");
    for head in ["", "PROXY TCP4 198.51.100.7 10.0.0.1 4321 80\r\n"] {
        let with = taken(64 << 10, head);
        assert!(with < without / 2, "{with} of {without} bytes");
    }
}

#[test]
fn behind_a_proxy_the_peer_is_who_the_proxy_says() {
    Simulation::new(6).network(NetworkConfig::new()).run(|| {
        let server = Server::with_handler(site());
        let figures = server.clone();
        host("server", move || {
            let trusted = ProxyProtocol::new(TcpListener::bind("0.0.0.0:80").unwrap())
                .trust("0.0.0.0/0")
                .unwrap();
            let wary = ProxyProtocol::new(TcpListener::bind("0.0.0.0:81").unwrap())
                .trust("192.0.2.0/24")
                .unwrap();
            server.listen(wary);
            server.serve(trusted).unwrap();
        });
        sleep(Duration::from_millis(10));
        let ask = |port: u16, head: &str| {
            let mut stream = TcpStream::connect(format!("server:{port}")).unwrap();
            let request = format!("{head}GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(request.as_bytes());
            let mut text = String::new();
            let _ = stream.read_to_string(&mut text);
            text
        };
        let named = ask(80, "PROXY TCP4 198.51.100.7 10.0.0.1 4321 80\r\n");
        assert!(named.ends_with("198.51.100.7:4321"), "{named}");
        assert!(ask(80, "PROXY UNKNOWN\r\n").starts_with("HTTP/1.1 200 "));
        assert_eq!(ask(80, ""), "", "without a head there is no answer");
        assert!(
            ask(81, "").starts_with("HTTP/1.1 200 "),
            "not from the proxy"
        );
        assert!(
            ask(81, "PROXY TCP4 198.51.100.7 10.0.0.1 4321 80\r\n").starts_with("HTTP/1.1 505 ")
        );
        assert_eq!(figures.listeners().len(), 2);
    });
}

#[test]
fn listeners_come_and_go() {
    Simulation::new(7).network(NetworkConfig::new()).run(|| {
        let server = Server::with_handler(site());
        let control = server.clone();
        host("server", move || {
            let first = server.listen(TcpListener::bind("0.0.0.0:80").unwrap());
            let second = server.listen(TcpListener::bind("0.0.0.0:81").unwrap());
            second.close();
            second.wait().unwrap();
            first.wait().unwrap();
        });
        sleep(Duration::from_millis(10));
        assert!(TcpStream::connect("server:81").is_err());
        let mut kept = TcpStream::connect("server:80").unwrap();
        let names = control.listeners();
        assert_eq!(names.len(), 1, "{names:?}");
        assert!(control.close_listener(&names[0]) && !control.close_listener("none"));
        sleep(Duration::from_millis(10));
        assert!(TcpStream::connect("server:80").is_err());
        kept.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        kept.read_to_string(&mut text).unwrap();
        assert!(
            text.starts_with("HTTP/1.1 200 "),
            "a connection outlives its listener: {text}"
        );
    });
}

#[test]
fn draining_loses_no_request() {
    Simulation::new(8).network(NetworkConfig::new()).run(|| {
        let server = Server::with_handler(site());
        let control = server.clone();
        host("server", move || {
            server
                .serve(TcpListener::bind("0.0.0.0:80").unwrap())
                .unwrap()
        });
        sleep(Duration::from_millis(10));
        let fresh = TcpStream::connect("server:80").unwrap();
        let mut used = TcpStream::connect("server:80").unwrap();
        used.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            .unwrap();
        let mut chunk = [0; 1000];
        let count = used.read(&mut chunk).unwrap();
        assert!(!String::from_utf8_lossy(&chunk[..count]).contains("close"));
        let silent = TcpStream::connect("server:80").unwrap();
        sleep(Duration::from_millis(100));
        control.drain(Duration::from_secs(60));
        sleep(Duration::from_millis(500));
        for mut stream in [fresh, used] {
            stream
                .write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                .unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            assert!(
                text.starts_with("HTTP/1.1 200 ") && text.contains("Connection: close"),
                "{text}"
            );
        }
        let began = now();
        let mut text = String::new();
        (&silent).read_to_string(&mut text).unwrap();
        assert!(text.is_empty() && now() - began < Duration::from_secs(4));
        sleep(Duration::from_secs(1));
        assert_eq!(control.statistics().connections, 0);
    });
}

/// What was written to a log.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn each_request_is_a_line_of_the_log() {
    Simulation::new(9).network(NetworkConfig::new()).run(|| {
        let paper = Paper::default();
        let log = AccessLog::to_writer(paper.clone(), LogFormat::Common);
        let users = Users::new().user("alice", "x");
        let guarded = Basic::new("r", users, site()).wrap(|request, response, inner| {
            if request.path() == "/fails" {
                return Err("on purpose".into());
            }
            inner.handle(request, response)
        });
        let server = Server::builder().access_log(log.clone()).build(guarded);
        let control = server.clone();
        host("server", move || {
            server
                .serve(TcpListener::bind("0.0.0.0:80").unwrap())
                .unwrap()
        });
        sleep(Duration::from_millis(10));
        for request in [
            "GET /?a=\"b HTTP/1.1\r\nHost: h\r\nAuthorization: Basic YWxpY2U6eA==\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n",
            "GET /fails HTTP/1.0\r\nHost: h\r\n",
            "GET / HTTP/3.0\r\nHost: h\r\n",
        ] {
            let mut stream = TcpStream::connect("server:80").unwrap();
            stream
                .write_all(format!("{request}Connection: close\r\n\r\n").as_bytes())
                .unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap();
        }
        sleep(Duration::from_millis(10));
        control.shutdown(Duration::ZERO);
        sleep(Duration::from_millis(10));
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = text
            .lines()
            .map(|line| line.split_once("] ").unwrap().1)
            .collect();
        assert!(text.contains(" - alice ["), "{text}");
        assert_eq!(
            lines[1..],
            [
                "\"GET / HTTP/1.1\" 401 33",
                "\"GET /fails HTTP/1.0\" 500 -",
                "\"-\" 505 -",
            ]
        );
        assert!(
            lines[0].starts_with("\"GET /?a=\\\"b HTTP/1.1\" 200 "),
            "{text}"
        );
        assert_eq!((log.written(), log.dropped()), (4, 0));
    });
}

#[test]
fn the_log_goes_on_in_a_new_file_and_survives_a_full_disk() {
    /// Takes nothing while it is full.
    struct Disk(Paper, Arc<Mutex<bool>>);
    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if *self.1.lock().unwrap() {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            self.0.write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    grapeshot::testing::run(1, || {
        let (paper, full) = (Paper::default(), Arc::new(Mutex::new(true)));
        let log = AccessLog::to_writer(Disk(paper.clone(), Arc::clone(&full)), LogFormat::Json);
        let server = Server::builder().access_log(log.clone()).build(site());
        let path =
            std::env::temp_dir().join(format!("grapeshot-http-log-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listening = server.listen(grapeshot::net::UnixListener::bind(&path).unwrap());
        for _ in 0..3 {
            assert_eq!(get(&server, "/").status, 200, "requests go on");
        }
        sleep(Duration::from_secs(5));
        assert_eq!((log.written(), log.dropped()), (0, 3));
        *full.lock().unwrap() = false;
        get(&server, "/");
        sleep(Duration::from_secs(5));
        assert_eq!((log.written(), log.dropped()), (1, 3));
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("\"status\":200") && text.ends_with("}\n"));
        listening.close();
        listening.wait().unwrap();
        std::fs::remove_file(&path).unwrap();
    });
    let root = std::env::temp_dir().join(format!("grapeshot-http-log-{}", std::process::id()));
    std::fs::create_dir_all(&root).unwrap();
    let file = root.join("access.log");
    let log = AccessLog::to_file(&file, LogFormat::Common);
    let (theirs, path) = (log.clone(), file.clone());
    grapeshot::testing::run(2, move || {
        let server = Server::builder().access_log(theirs.clone()).build(site());
        let socket = path.with_extension("sock");
        let listening = server.listen(grapeshot::net::UnixListener::bind(socket).unwrap());
        let peer = Peer::Tcp("192.0.2.1:1".parse().unwrap());
        talk_as(&server, peer, "GET /one HTTP/1.1\r\nHost: h\r\n\r\n");
        while theirs.written() < 1 {
            sleep(Duration::from_millis(1));
        }
        std::fs::rename(&path, path.with_extension("old")).unwrap();
        theirs.reopen();
        talk_as(&server, peer, "GET /two HTTP/1.1\r\nHost: h\r\n\r\n");
        while theirs.written() < 2 {
            sleep(Duration::from_millis(1));
        }
        listening.close();
        listening.wait().unwrap();
    });
    let (old, new) = (
        std::fs::read_to_string(file.with_extension("old")).unwrap(),
        std::fs::read_to_string(&file).unwrap(),
    );
    assert!(old.starts_with("192.0.2.1 - - [") && old.contains("/one") && old.lines().count() == 1);
    assert!(new.contains("/two") && new.lines().count() == 1, "{new}");
    std::fs::remove_dir_all(&root).unwrap();
    let _ = Status::OK;
}
