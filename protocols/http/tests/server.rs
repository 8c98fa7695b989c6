//! The accept loop against listeners that fail.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use grapeshot::net::UnixStream;
use grapeshot_http::{HandlerError, Limits, Listener, Peer, Request, Response, Server};
use rustix::io::Errno;

/// Gives what is scripted, then an error from which nobody recovers.
struct Scripted {
    results: Mutex<VecDeque<io::Result<UnixStream>>>,
}

impl Scripted {
    fn new(results: impl IntoIterator<Item = io::Result<UnixStream>>) -> Self {
        Self {
            results: Mutex::new(results.into_iter().collect()),
        }
    }
}

impl Listener for Scripted {
    type Stream = UnixStream;

    fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        let next = self
            .results
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or(Err(Errno::BADF.into()));
        next.map(|stream| (stream, Peer::Unix))
    }

    fn name(&self) -> String {
        "scripted".to_owned()
    }
}

/// What was logged for one listener.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        if record.level() <= log::Level::Info {
            self.0
                .lock()
                .unwrap()
                .push(format!("{} {}", record.level(), record.args()));
        }
    }
    fn flush(&self) {}
}

static LOG: Log = Log(Mutex::new(Vec::new()));

fn hello(_request: &mut Request<'_>, response: Response<'_>) -> Result<(), HandlerError> {
    Ok(response.send("hello")?)
}

fn failing(errno: Errno) -> io::Result<UnixStream> {
    Err(errno.into())
}

/// A client's end whose request is written already, and the server's.
fn asked() -> (UnixStream, UnixStream) {
    use std::io::Write;
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .unwrap();
    (ours, theirs)
}

fn answer(mut stream: UnixStream) -> String {
    let mut text = String::new();
    io::Read::read_to_string(&mut stream, &mut text).unwrap();
    text
}

#[test]
fn accepting_survives_what_it_can_and_says_so_once() {
    log::set_logger(&LOG).unwrap();
    log::set_max_level(log::LevelFilter::Info);
    grapeshot::testing::run(1, || {
        let (first, to_first) = asked();
        let (second, to_second) = asked();
        let listener = Scripted::new([
            failing(Errno::CONNABORTED),
            failing(Errno::INTR),
            failing(Errno::MFILE),
            failing(Errno::MFILE),
            failing(Errno::NFILE),
            Ok(to_first),
            failing(Errno::NOBUFS),
            failing(Errno::NOMEM),
            Ok(to_second),
        ]);
        let server = Server::new(hello);
        let began = grapeshot::time::now();
        let error = server.serve(listener).unwrap_err();
        assert_eq!(
            Errno::from_io_error(&error),
            Some(Errno::BADF),
            "that one ends it"
        );
        // 10 + 20 + 40 ms, then from the beginning: 10 + 20.
        assert_eq!((grapeshot::time::now() - began).as_millis(), 100);
        assert!(answer(first).ends_with("hello") && answer(second).ends_with("hello"));
        let statistics = server.statistics();
        assert_eq!(
            (statistics.connections_total, statistics.accept_exhausted),
            (2, 2)
        );
        assert_eq!(
            statistics.connections, 0,
            "serving waits for its connections"
        );
    });
    let lines = LOG.0.lock().unwrap();
    let of = |level: &str| {
        lines
            .iter()
            .filter(|line| line.starts_with(level) && line.contains("scripted"))
            .count()
    };
    assert_eq!(
        (of("WARN"), of("INFO")),
        (2, 2),
        "one complaint and one all-clear an episode: {lines:?}"
    );
}

#[test]
fn no_more_connections_than_allowed_are_open() {
    grapeshot::testing::run(2, || {
        let pairs: Vec<_> = (0..5).map(|_| asked()).collect();
        let (ours, theirs): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let mut limits = Limits::default();
        limits.connections = 2;
        let most = Arc::new(Mutex::new((0, 0)));
        let seen = Arc::clone(&most);
        let server = Server::with_limits(limits, move |_request, response| {
            let entered = {
                let mut seen = seen.lock().unwrap();
                seen.0 += 1;
                seen.1 = seen.1.max(seen.0);
                seen.0
            };
            assert!(entered <= 2);
            grapeshot::sleep(std::time::Duration::from_millis(10));
            seen.lock().unwrap().0 -= 1;
            response.send("hello")
        });
        server
            .serve(Scripted::new(theirs.into_iter().map(Ok)))
            .unwrap_err();
        assert!(
            ours.into_iter()
                .all(|stream| answer(stream).ends_with("hello"))
        );
        assert_eq!(most.lock().unwrap().1, 2, "and as many as allowed at once");
        assert!(server.statistics().accept_full >= 1);
    });
}
