//! The sockets against std's own as the foreign peer, on plain threads.

mod accepting;
mod addresses;
mod close;
mod closing;
mod connect_any;
mod listening;
mod rights;
mod tcp;
mod udp;
mod unix;
mod unix_datagram;
mod waits;

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::{TcpListener, TcpStream};
use crate::registry::{self, State};
use crate::{CoroutineId, testing, yield_now};

/// Longer than any test takes, so that a lost wake-up is a failure and not a hang.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs `f` as the main coroutine of a real runtime with two workers, within [`LIMIT`].
#[track_caller]
pub(crate) fn run<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let runtime = crate::Runtime::builder().workers(2).build().unwrap();
    runtime.run(|| crate::with_timeout(LIMIT, f).expect("a lost wake-up: the test does not end"))
}

/// Runs `f` under the virtual clock, once for each of some seeds.
#[track_caller]
pub(crate) fn run_seeds(f: impl Fn(u64) + Send + Copy + 'static) {
    for seed in 0..40 {
        testing::run(seed, move || f(seed));
    }
}

/// Lets the others run until `what` holds.
#[track_caller]
pub(crate) fn until(mut what: impl FnMut() -> bool) {
    // The real clock: a virtual one does not pass while this loop runs.
    let end = Instant::now() + LIMIT;
    while !what() {
        assert!(Instant::now() < end, "it does not come about");
        yield_now();
    }
}

/// Lets the others run until that coroutine waits for `operation`.
#[track_caller]
pub(crate) fn until_waits(id: CoroutineId, operation: &str) {
    until(|| {
        registry::coroutine(id).is_some_and(|info| {
            info.state == State::Waiting
                && info
                    .waits_for
                    .is_some_and(|wait| wait.operation == operation)
        })
    });
}

/// Runs `f` in a process of its own, where nobody else's descriptors and signals are and whose limits may be changed:
/// this program again, with the test of that name alone, which calls this again.
#[track_caller]
pub(crate) fn alone(test: &str, f: impl FnOnce()) {
    const ALONE: &str = "GRAPESHOT_TEST_ALONE";
    if std::env::var(ALONE).is_ok_and(|name| name == test) {
        return f();
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(ALONE, test)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{}: {said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The descriptors that this process has open.
pub(crate) fn open_descriptors() -> usize {
    // The one that reads the folder is among them, each time.
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Lets the process open `left` more descriptors and no further one, until its end.
pub(crate) fn exhaust_descriptors(left: usize) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let limit = rustix::process::Rlimit {
        current: Some(100),
        ..limit
    };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    let mut hoard = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file);
    }
    hoard.truncate(hoard.len() - left);
    std::mem::forget(hoard);
}

/// A connection: our end, and a foreign one.
pub(crate) fn connected() -> (TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let peer = thread::spawn(move || std::net::TcpStream::connect(addr).unwrap());
    let (stream, _) = listener.accept().unwrap();
    (stream, peer.join().unwrap())
}

/// A connection with both ends ours.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (other, _) = listener.accept().unwrap();
    (one, other)
}

/// An address at which nobody listens, for as long as the socket lives.
fn refusing() -> (socket2::Socket, super::SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(&super::SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, addr)
}

/// Writes until the kernel takes no more; returns how much it took.
fn fill(stream: &TcpStream) -> usize {
    let mut taken = 0;
    // The peer's window opens a little as the bytes arrive: full is when it stays so.
    let mut refusals = 0;
    while refusals < 100 {
        match stream.try_write(&[b'x'; 65_536]) {
            Ok(count) => {
                taken += count;
                refusals = 0;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                refusals += 1;
                thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
    }
    taken
}
