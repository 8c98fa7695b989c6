//! Datagrams, descriptors and copies against Python as the peer.

mod net_support;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use grapeshot::net::{
    Batch, Datagram, ListenOptions, Shutdown, TcpListener, UdpSocket, UnixDatagram, UnixListener,
};
use grapeshot::{Runtime, io, spawn, with_timeout};
use net_support::{LIMIT, end_of};

/// Runs `f` on two workers, and ends the runtime.
#[track_caller]
fn run<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    runtime.run(|| with_timeout(LIMIT, f).expect("a lost wake-up: the test does not end"))
}

/// Starts a Python script; `WHERE` is what it is told, and it must print `ok` in the end.
fn python(place: impl std::fmt::Display, script: &str) -> Child {
    let script = format!("import os, socket\nWHERE = {place}\n{script}\nprint('ok')\n");
    Command::new("/usr/bin/python3")
        .args(["-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 is installed")
}

#[track_caller]
fn assert_ok(python: Child) {
    let ended = end_of(python);
    assert_eq!(ended.stdout, "ok\n", "{}", ended.stderr);
}

#[test]
fn udp_of_both_families_alone_and_in_batches() {
    run(|| {
        let server = ListenOptions::new()
            .only_v6(false)
            .bind_udp("[::]:0")
            .unwrap();
        let port = server.local_addr().unwrap().port();
        let peer = python(
            port,
            "
for family, host in (socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1'):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(30)
    s.connect((host, WHERE))
    s.send(b'alone')
    assert s.recv(99) == b'ALONE'
    sent = [bytes([65 + i]) * i for i in range(20)]
    for datagram in sent:
        s.send(datagram)
    # The server may find them in several batches; loopback keeps their order.
    assert [s.recv(99) for _ in sent] == sent, family
",
        );
        for _ in 0..2 {
            let mut buf = [0; 99];
            let (count, from) = server.recv_from(&mut buf).unwrap();
            buf.make_ascii_uppercase();
            server.send_to(&buf[..count], from).unwrap();
            let mut batch = Batch::new(8, 99);
            let mut echoed = 0;
            while echoed < 20 {
                echoed += server.recv_many(&mut batch).unwrap();
                let echo: Vec<Datagram<'_>> = batch.iter().collect();
                assert_eq!(server.send_many(&echo).unwrap(), echo.len());
            }
        }
        assert_ok(peer);
        UdpSocket::bind(("127.0.0.1", port)).unwrap_err();
    });
}

#[test]
fn descriptors_go_both_ways() {
    run(|| {
        let name = format!("grapeshot-peers-{}", std::process::id());
        let listener =
            UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let peer = python(
            format!("'\\0{name}'"),
            "
s = socket.socket(socket.AF_UNIX)
s.settimeout(30)
s.connect(WHERE)
message, fds, flags, _ = socket.recv_fds(s, 99, 4)
assert message == b'two for you' and len(fds) == 2 and not flags, (message, fds, flags)
os.write(fds[1], b'from ' + os.read(fds[0], 99))
os.close(fds[1])
read, write = os.pipe()
os.write(write, b'theirs')
os.close(write)
assert socket.send_fds(s, [b'one', b' back'], [read]) == 8
# And now more than are wanted.
socket.send_fds(s, [b'x'], [read] * 50)
assert s.recv(99) == b''
",
        );
        let (stream, _) = listener.accept().unwrap();
        let (ours, mut feed) = io::pipe().unwrap();
        feed.write_all(b"ours").unwrap();
        let (mut answer, theirs) = io::pipe().unwrap();
        // Python would find it in its way that ours do not block.
        let (ours, theirs) = (ours.into_std().unwrap(), theirs.into_std().unwrap());
        let sent = stream
            .send_fds(b"two for you", &[ours.as_fd(), theirs.as_fd()])
            .unwrap();
        assert_eq!(sent, 11);
        drop((ours, theirs));
        let mut heard = String::new();
        answer.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "from ours");

        let mut buf = [0; 99];
        let (count, mut fds) = stream.recv_fds(&mut buf, 1).unwrap();
        assert_eq!((&buf[..count], fds.len()), (&b"one back"[..], 1));
        let mut heard = String::new();
        File::from(fds.remove(0))
            .read_to_string(&mut heard)
            .unwrap();
        assert_eq!(heard, "theirs");
        let error = stream.recv_fds(&mut buf, 1).unwrap_err();
        assert!(error.to_string().contains("more than 1"), "{error}");
        stream.close().unwrap();
        assert_ok(peer);
    });
}

#[test]
fn unix_datagrams_and_who_sent_them() {
    run(|| {
        let name = format!("grapeshot-datagrams-{}", std::process::id());
        let server =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let peer = python(
            format!("'{name}'"),
            "
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.settimeout(30)
# As long as a name may be.
s.bind('\\0' + WHERE.ljust(107, 'x'))
s.connect('\\0' + WHERE)
# More than the queue holds: it waits, and nothing is lost.
for i in range(1000):
    s.send(b'%d' % i)
assert s.recv(99) == b'1000 came'
",
        );
        let mut buf = [0; 99];
        let mut last = None;
        for number in 0..1000_u32 {
            let (count, from) = server.recv_from(&mut buf).unwrap();
            assert_eq!(buf[..count], *number.to_string().as_bytes());
            last = Some(from);
        }
        let from = last.unwrap();
        assert_eq!(from.as_abstract_name().unwrap().len(), 107);
        server.send_to_addr(b"1000 came", &from).unwrap();
        assert_ok(peer);
    });
}

/// The kernel's copy, both ways at once, with a peer that half-closes.
#[test]
fn a_proxy_that_only_copies() {
    run(|| {
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = upstream.local_addr().unwrap();
        spawn(move || {
            let (stream, _) = upstream.accept().unwrap();
            io::copy(&stream, &stream).unwrap();
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = python(
            listener.local_addr().unwrap().port(),
            "
import threading
s = socket.create_connection(('127.0.0.1', WHERE), 30)
sent = os.urandom(3000000)
def send():
    s.sendall(sent)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
heard = b''
while part := s.recv(65536):
    heard += part
assert heard == sent, len(heard)
",
        );
        let (client, _) = listener.accept().unwrap();
        let server = grapeshot::net::TcpStream::connect(addr).unwrap();
        let (client, server) = (std::sync::Arc::new(client), std::sync::Arc::new(server));
        let there = spawn({
            let (client, server) = (client.clone(), server.clone());
            move || {
                let count = io::copy(&*client, &*server).unwrap();
                server.shutdown(Shutdown::Write).unwrap();
                count
            }
        });
        assert_eq!(io::copy(&*server, &*client).unwrap(), 3_000_000);
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(there.join().unwrap(), 3_000_000);
        assert_ok(peer);
    });
}
