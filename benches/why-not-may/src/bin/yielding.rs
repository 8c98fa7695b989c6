//! One worker. A coroutine yields without end; another waits for a byte from a socket.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

fn main() {
    why_not_may::choose(with_may, with_grapeshot);
}

fn with_may() {
    may::config().set_workers(1);
    let (address, ready, peer) = peer();
    let (done, report) = mpsc::channel();
    may::go!(move || {
        let mut stream = may::net::TcpStream::connect(address).expect("it listens");
        may::go!(|| {
            loop {
                may::coroutine::yield_now();
            }
        });
        let _ = ready.send(());
        let count = stream.read(&mut [0; 1]).expect("the peer writes");
        let _ = done.send(format!("{count} byte"));
    });
    let _open = peer.recv();
    why_not_may::report("read", &report);
}

fn with_grapeshot() {
    let (address, ready, peer) = peer();
    let (done, report) = mpsc::channel();
    let runtime = grapeshot::Runtime::builder()
        .workers(1)
        .build()
        .expect("a thread");
    runtime.spawn(move || {
        let mut stream = grapeshot::net::TcpStream::connect(address).expect("it listens");
        grapeshot::spawn(|| {
            loop {
                grapeshot::yield_now();
            }
        });
        let _ = ready.send(());
        let count = stream.read(&mut [0; 1]).expect("the peer writes");
        let _ = done.send(format!("{count} byte"));
    });
    let _open = peer.recv();
    why_not_may::report("read", &report);
}

/// A plain thread that writes a byte to whoever connects, 100 ms after it is told to; then it gives the stream away.
fn peer() -> (
    std::net::SocketAddr,
    mpsc::Sender<()>,
    mpsc::Receiver<TcpStream>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (ready, told) = mpsc::channel();
    let (give, peer) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("one connects");
        let _ = told.recv();
        std::thread::sleep(std::time::Duration::from_millis(100));
        stream.write_all(b"x").expect("it is open");
        let _ = give.send(stream);
    });
    (address, ready, peer)
}
