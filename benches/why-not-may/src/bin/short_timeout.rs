//! A read of at most half a millisecond, from a peer that is silent.

use std::io::Read;
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_micros(500);

fn main() {
    why_not_may::choose(with_may, with_grapeshot);
}

fn with_may() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("it is bound");
    let (done, report) = mpsc::channel();
    may::go!(move || {
        let mut stream = may::net::TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a valid limit");
        let error = stream.read(&mut [0; 64]).expect_err("nobody writes");
        let _ = done.send(format!("{:?}", error.kind()));
    });
    why_not_may::report("read", &report);
}

fn with_grapeshot() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("it is bound");
    let (done, report) = mpsc::channel();
    grapeshot::spawn(move || {
        let mut stream = grapeshot::net::TcpStream::connect(address).expect("it listens");
        let error = grapeshot::with_timeout(LIMIT, || stream.read(&mut [0; 64]))
            .expect_err("nobody writes");
        let _ = done.send(error.to_string());
    });
    why_not_may::report("read", &report);
}
