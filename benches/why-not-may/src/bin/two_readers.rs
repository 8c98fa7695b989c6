//! Two coroutines receive from the same socket; the peer sends two datagrams, one for each.

use std::net::UdpSocket;
use std::sync::{Arc, mpsc};
use std::time::Duration;

const NAMES: [&str; 2] = ["first", "second"];

fn main() {
    why_not_may::choose(with_may, with_grapeshot);
}

fn with_may() {
    let socket = may::go!(|| may::net::UdpSocket::bind("127.0.0.1:0"));
    let socket = Arc::new(
        socket
            .join()
            .expect("it does not panic")
            .expect("a free port"),
    );
    let reports = NAMES.map(|_| {
        let (socket, (done, report)) = (Arc::clone(&socket), mpsc::channel());
        may::go!(move || {
            let (count, _) = socket.recv_from(&mut [0; 8]).expect("the peer sends");
            let _ = done.send(format!("{count} byte"));
        });
        std::thread::sleep(Duration::from_millis(100));
        report
    });
    send(socket.local_addr().expect("it is bound"), &reports);
}

fn with_grapeshot() {
    let socket = Arc::new(grapeshot::net::UdpSocket::bind("127.0.0.1:0").expect("a free port"));
    let reports = NAMES.map(|_| {
        let (socket, (done, report)) = (Arc::clone(&socket), mpsc::channel());
        grapeshot::spawn(move || {
            let (count, _) = socket.recv_from(&mut [0; 8]).expect("the peer sends");
            let _ = done.send(format!("{count} byte"));
        });
        std::thread::sleep(Duration::from_millis(100));
        report
    });
    send(socket.local_addr().expect("it is bound"), &reports);
}

fn send(address: std::net::SocketAddr, reports: &[mpsc::Receiver<String>; 2]) {
    let peer = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    for _ in 0..2 {
        peer.send_to(b"x", address).expect("it is bound");
        std::thread::sleep(Duration::from_millis(100));
    }
    for (name, report) in NAMES.iter().zip(reports) {
        why_not_may::report(name, report);
    }
}
