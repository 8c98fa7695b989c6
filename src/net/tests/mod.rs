//! The sockets against std's own as the foreign peer, on plain threads.

mod accepting;
mod addresses;
mod close;
mod closing;
mod tcp;
mod udp;
mod unix;
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
fn run<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let runtime = crate::Runtime::builder().workers(2).build().unwrap();
    runtime.run(|| crate::with_timeout(LIMIT, f).expect("a lost wake-up: the test does not end"))
}

/// Runs `f` under the virtual clock, once for each of some seeds.
#[track_caller]
fn run_seeds(f: impl Fn(u64) + Send + Copy + 'static) {
    for seed in 0..40 {
        testing::run(seed, move || f(seed));
    }
}

/// Lets the others run until `what` holds.
#[track_caller]
fn until(mut what: impl FnMut() -> bool) {
    // The real clock: a virtual one does not pass while this loop runs.
    let end = Instant::now() + LIMIT;
    while !what() {
        assert!(Instant::now() < end, "it does not come about");
        yield_now();
    }
}

/// Lets the others run until that coroutine waits for `operation`.
#[track_caller]
fn until_waits(id: CoroutineId, operation: &str) {
    until(|| {
        registry::coroutine(id).is_some_and(|info| {
            info.state == State::Waiting
                && info
                    .waits_for
                    .is_some_and(|wait| wait.operation == operation)
        })
    });
}

/// A connection: our end, and a foreign one.
fn connected() -> (TcpStream, std::net::TcpStream) {
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
