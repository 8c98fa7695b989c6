//! Descriptors: none leaks, and running out of them ends no server.

mod net_support;

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use grapeshot::net::{TcpListener, TcpStream, UnixStream};
use grapeshot::{JoinHandle, Runtime, spawn, with_timeout};
use net_support::{LIMIT, alone, assert_passed, open_descriptors, until};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Runs `f` on two workers, and ends the runtime.
#[track_caller]
fn run<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    runtime.run(|| with_timeout(LIMIT, f).expect("a lost wake-up: the test does not end"))
}

/// The first `lower` of the descriptors may be used from now on, no more.
fn limit_descriptors(lower: u64) {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(lower),
            ..limit
        },
    )
    .unwrap();
}

const CONNECTIONS: usize = 1_000;

#[test]
fn a_thousand_connections_leave_nothing_behind() {
    if let Some(child) = alone("a_thousand_connections_leave_nothing_behind") {
        return assert_passed(child);
    }
    limit_descriptors(4_096);
    let before = open_descriptors();
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = spawn(move || {
            let echoes: Vec<JoinHandle<_>> = listener
                .incoming()
                .take(CONNECTIONS)
                .map(|stream| {
                    let stream = stream.unwrap();
                    spawn(move || io::copy(&mut &stream, &mut &stream).unwrap())
                })
                .collect();
            echoes
                .into_iter()
                .map(|echo| echo.join().unwrap())
                .sum::<u64>()
        });
        // All are open at the same time: none closes before the last has connected.
        let connected = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let connected = connected.clone();
                spawn(move || {
                    let mut stream = TcpStream::connect(addr).unwrap();
                    connected.fetch_add(1, Ordering::Relaxed);
                    until(|| connected.load(Ordering::Relaxed) == CONNECTIONS);
                    let message = number.to_be_bytes();
                    for _ in 0..10 {
                        let mut echo = [0; 8];
                        stream.write_all(&message).unwrap();
                        stream.read_exact(&mut echo).unwrap();
                        assert_eq!(echo, message);
                    }
                    stream.shutdown(Shutdown::Write).unwrap();
                    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
                })
            })
            .collect();
        for client in clients {
            client.join().unwrap();
        }
        assert_eq!(server.join().unwrap(), CONNECTIONS as u64 * 80);
    });
    assert_eq!(open_descriptors(), before);
}

#[test]
fn interrupted_calls_leave_no_descriptor_behind() {
    if let Some(child) = alone("interrupted_calls_leave_no_descriptor_behind") {
        return assert_passed(child);
    }
    let before = open_descriptors();
    run(|| {
        for _ in 0..200 {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            let calls: Vec<JoinHandle<()>> = vec![
                spawn(move || drop(listener.accept().and_then(|_| listener.accept()))),
                spawn(move || {
                    drop(TcpStream::connect(addr).and_then(|mut stream| stream.read(&mut [0])))
                }),
                spawn(move || {
                    let (mut one, _other) = UnixStream::pair().unwrap();
                    drop(one.read(&mut [0]));
                }),
            ];
            grapeshot::yield_now();
            calls.iter().for_each(JoinHandle::interrupt);
            calls.into_iter().for_each(|call| drop(call.join()));
        }
    });
    assert_eq!(open_descriptors(), before);
}

/// Keeps what the library logs.
struct Log(Mutex<Vec<String>>);

static LOG: Log = Log(Mutex::new(Vec::new()));

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push(record.args().to_string());
    }
    fn flush(&self) {}
}

/// The server of the module's page, which only goes on after an error, serves the old connections while there is no
/// descriptor for a new one, and the new ones afterwards.
#[test]
fn running_out_of_descriptors_ends_no_server() {
    if let Some(child) = alone("running_out_of_descriptors_ends_no_server") {
        return assert_passed(child);
    }
    log::set_logger(&LOG).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let failures = Arc::new(AtomicUsize::new(0));
        let server = spawn({
            let failures = failures.clone();
            move || {
                for stream in listener.incoming() {
                    let Ok(stream) = stream else {
                        failures.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    spawn(move || io::copy(&mut &stream, &mut &stream));
                }
            }
        });
        let echo = |stream: &TcpStream| {
            let mut heard = [0; 4];
            (&mut &*stream).write_all(b"ping").unwrap();
            (&mut &*stream).read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"ping");
        };
        let early = TcpStream::connect(addr).unwrap();
        echo(&early);

        // Every number below the limit is taken; the client's last one just so.
        limit_descriptors(200);
        let mut hoard = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            hoard.push(file);
        }
        hoard.pop();
        let late = TcpStream::connect(addr).unwrap();
        until(|| failures.load(Ordering::Relaxed) >= 3);
        echo(&early);
        assert!(!server.is_finished());

        hoard.clear();
        echo(&late);
        // It waited between its attempts, rather than spin: 10 ms, 20 ms, 40 ms ...
        assert!(failures.load(Ordering::Relaxed) < 20, "{failures:?}");
        server.interrupt();
        assert!(server.join().is_err());
    });
    let log = LOG.0.lock().unwrap();
    let told: Vec<_> = log.iter().filter(|line| line.contains("accept")).collect();
    assert_eq!(
        told.len(),
        2,
        "once when it begins and once when it is over: {log:?}"
    );
    assert!(
        told[0].contains("os error 24") && told[1].contains("accepts again"),
        "{told:?}"
    );
}
