use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::unix::Place;
use super::{run, run_seeds, until_waits};
use crate::io::Closed;
use crate::net::unix::SocketAddr;
use crate::net::{Shutdown, UnixDatagram};
use crate::{spawn, testing, with_timeout};

#[test]
fn paths_and_foreign_sockets() {
    run(|| {
        let place = Place::new();
        let server = UnixDatagram::bind(place.socket()).unwrap();
        assert_eq!(
            UnixDatagram::bind(place.socket()).unwrap_err().kind(),
            ErrorKind::AddrInUse
        );
        let theirs = std::os::unix::net::UnixDatagram::unbound().unwrap();
        let receiver = spawn(move || {
            let mut buf = [0; 8];
            let (count, from) = server.recv_from(&mut buf).unwrap();
            assert!(from.is_unnamed());
            assert_eq!(&buf[..count], b"hello");
            let (count, from) = server.recv_from(&mut buf).unwrap();
            (server, count, from)
        });
        until_waits(receiver.id(), "read");
        theirs.send_to(b"hello", place.socket()).unwrap();

        let own = place.socket().with_extension("client");
        let client = UnixDatagram::bind(&own).unwrap();
        client.connect(place.socket()).unwrap();
        assert_eq!(
            client.peer_addr().unwrap().as_pathname(),
            Some(&*place.socket())
        );
        client.send(b"").unwrap();
        let (server, count, from) = receiver.join().unwrap();
        assert_eq!((count, from.as_pathname()), (0, Some(&*own)));
        server.send_to(b"back", &own).unwrap();
        server.send_to_addr(b"again", &from).unwrap();
        let mut buf = [0; 8];
        assert_eq!(client.peek(&mut buf).unwrap(), 4);
        assert_eq!(client.recv(&mut buf).unwrap(), 4);
        assert_eq!(client.try_recv_from(&mut buf).unwrap().0, 5);
        assert_eq!(
            client.try_recv(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );

        drop(server);
        assert_eq!(
            client.send(b"x").unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
        let nowhere = place.socket().with_extension("nowhere");
        assert_eq!(
            client.send_to(b"x", nowhere).unwrap_err().kind(),
            ErrorKind::NotFound
        );
    });
}

#[test]
fn abstract_names_work() {
    run(|| {
        let name = format!("grapeshot-datagram-{}", std::process::id());
        let addr = SocketAddr::from_abstract_name(name).unwrap();
        let server = UnixDatagram::bind_addr(&addr).unwrap();
        let client = UnixDatagram::unbound().unwrap();
        assert_eq!(
            client.send(b"x").unwrap_err().kind(),
            ErrorKind::NotConnected
        );
        client.connect_addr(&addr).unwrap();
        client.send(b"named").unwrap();
        client.try_send_to_addr(b"too", &addr).unwrap();
        let mut buf = [0; 8];
        assert_eq!(server.recv(&mut buf).unwrap(), 5);
        assert_eq!(server.recv(&mut buf).unwrap(), 3);
    });
}

/// A path may fill all of an address, with no end to it: Linux allows that, and any peer may do it.
#[test]
fn a_sender_with_the_longest_path_is_no_harm() {
    run(|| {
        let place = Place::new();
        let folder = place.socket().parent().unwrap().to_owned();
        let room = 108 - folder.as_os_str().len() - 1;
        let path = folder.join("p".repeat(room));
        let (here, there) = (
            UnixDatagram::bind(place.socket()).unwrap(),
            rustix::net::socket(
                rustix::net::AddressFamily::UNIX,
                rustix::net::SocketType::DGRAM,
                None,
            )
            .unwrap(),
        );
        let addr = rustix::net::SocketAddrUnix::new(path.as_os_str().as_encoded_bytes()).unwrap();
        rustix::net::bind(&there, &addr).unwrap();
        let to = rustix::net::SocketAddrUnix::new(place.socket()).unwrap();
        for _ in 0..2 {
            rustix::net::sendto(&there, b"hi", rustix::net::SendFlags::empty(), &to).unwrap();
        }
        let (count, from) = here.recv_from(&mut [0; 8]).unwrap();
        assert_eq!(count, 2);
        assert_eq!(from.as_pathname(), Some(&*path));
        let (count, fds) = here.recv_fds(&mut [0; 8], 1).unwrap();
        assert_eq!((count, fds.len()), (2, 0));
    });
}

/// Fills the receiver's queue, which holds some datagrams (`net.unix.max_dgram_qlen`), and returns how many.
fn fill(sender: &UnixDatagram, to: Option<&SocketAddr>) -> usize {
    let mut count = 0;
    loop {
        let sent = match to {
            Some(addr) => sender.try_send_to_addr(b"filler", addr),
            None => sender.try_send(b"filler"),
        };
        match sent {
            Ok(_) => count += 1,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return count,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_connected_sender_waits_for_room() {
    run_seeds(|_| {
        let (here, there) = UnixDatagram::pair().unwrap();
        let waiting = fill(&here, None);
        let here = Arc::new(here);
        assert!(with_timeout(Duration::from_secs(9), || here.send(b"late")).is_err());
        let sender = spawn({
            let here = here.clone();
            move || here.send(b"the last").unwrap()
        });
        until_waits(sender.id(), "write");
        let mut buf = [0; 8];
        for _ in 0..waiting {
            assert_eq!(there.recv(&mut buf).unwrap(), 6);
        }
        assert_eq!(
            there.recv(&mut buf).unwrap(),
            8,
            "nothing is lost or out of order"
        );
        sender.join().unwrap();
    });
}

/// The poller says that the socket is writable all the time: it does not know whose queue is full.
#[test]
fn an_unconnected_sender_waits_for_room_without_spinning() {
    testing::run(5, || {
        let name = format!("grapeshot-full-{}", std::process::id());
        let addr = SocketAddr::from_abstract_name(name).unwrap();
        let server = UnixDatagram::bind_addr(&addr).unwrap();
        let client = Arc::new(UnixDatagram::unbound().unwrap());
        let waiting = fill(&client, Some(&addr));
        let start = crate::time::now();
        let late = with_timeout(Duration::from_secs(9), || {
            client.send_to_addr(b"late", &addr)
        });
        assert!(late.is_err());
        assert!(crate::time::now() - start >= Duration::from_secs(9));
        let sender = spawn({
            let (client, addr) = (client.clone(), addr.clone());
            move || client.send_to_addr(b"the last", &addr).unwrap()
        });
        until_waits(sender.id(), "sleep");
        // One that does not read holds up nobody who sends to another.
        let name = format!("grapeshot-empty-{}", std::process::id());
        let other = SocketAddr::from_abstract_name(name).unwrap();
        let reads = UnixDatagram::bind_addr(&other).unwrap();
        client.send_to_addr(b"other", &other).unwrap();
        assert_eq!(reads.recv(&mut [0; 8]).unwrap(), 5);
        let mut buf = [0; 8];
        for _ in 0..waiting {
            assert_eq!(server.recv(&mut buf).unwrap(), 6);
        }
        assert_eq!(server.recv(&mut buf).unwrap(), 8);
        sender.join().unwrap();
    });
}

#[test]
fn closing_and_shutting_down_wake_who_waits() {
    run_seeds(|seed| {
        let (here, there) = UnixDatagram::pair().unwrap();
        fill(&here, None);
        let here = Arc::new(here);
        let sender = spawn({
            let here = here.clone();
            move || here.send(b"x")
        });
        until_waits(sender.id(), "write");
        let receiver = spawn({
            let here = here.clone();
            move || here.recv(&mut [0; 4])
        });
        until_waits(receiver.id(), "read");
        if seed % 2 == 0 {
            here.close().unwrap();
            assert!(Closed::is(&sender.join().unwrap().unwrap_err()));
            assert!(Closed::is(&receiver.join().unwrap().unwrap_err()));
        } else {
            here.shutdown(Shutdown::Both).unwrap();
            assert_eq!(
                sender.join().unwrap().unwrap_err().kind(),
                ErrorKind::BrokenPipe
            );
            assert_eq!(receiver.join().unwrap().unwrap(), 0);
        }
        drop(there);
    });
}

#[test]
fn plain_threads_wait_for_room_too() {
    let (here, there) = UnixDatagram::pair().unwrap();
    let waiting = fill(&here, None);
    let sender = thread::spawn(move || here.send(b"the last").unwrap());
    let mut buf = [0; 8];
    for _ in 0..waiting {
        there.recv(&mut buf).unwrap();
    }
    assert_eq!(there.recv(&mut buf).unwrap(), 8);
    assert_eq!(sender.join().unwrap(), 8);
}
