use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::{run, run_seeds, until_waits};
use crate::io::Closed;
use crate::net::{Batch, Datagram, ListenOptions, UdpSocket};
use crate::{JoinError, spawn, testing, with_timeout};

/// Ours and a foreign one, each connected to the other.
fn connected() -> (UdpSocket, std::net::UdpSocket) {
    let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
    let theirs = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    ours.connect(theirs.local_addr().unwrap()).unwrap();
    theirs.connect(ours.local_addr().unwrap()).unwrap();
    (ours, theirs)
}

#[test]
fn datagrams_keep_their_borders() {
    run(|| {
        let (ours, theirs) = connected();
        let reader = spawn(move || {
            let mut buf = [0; 8];
            let lengths = [(); 3].map(|()| ours.recv(&mut buf).unwrap());
            (ours, lengths, buf)
        });
        until_waits(reader.id(), "read");
        for message in [&b"one"[..], b"", b"longer than there is room"] {
            theirs.send(message).unwrap();
        }
        let (ours, lengths, buf) = reader.join().unwrap();
        assert_eq!(lengths, [3, 0, 8]);
        assert_eq!(&buf, b"longer t");

        assert_eq!(ours.send(b"back").unwrap(), 4);
        let mut buf = [0; 8];
        assert_eq!(theirs.recv(&mut buf).unwrap(), 4);
        assert_eq!(ours.peer_addr().unwrap(), theirs.local_addr().unwrap());
    });
}

#[test]
fn the_sender_is_named_and_peeking_takes_nothing() {
    run(|| {
        let server = UdpSocket::bind("[::1]:0").unwrap();
        let client = std::net::UdpSocket::bind("[::1]:0").unwrap();
        let addr = server.local_addr().unwrap();
        client.send_to(b"hello", addr).unwrap();
        let from = client.local_addr().unwrap();
        let mut buf = [0; 8];
        assert_eq!(server.peek_from(&mut buf).unwrap(), (5, from));
        assert_eq!(server.peek(&mut buf).unwrap(), 5);
        assert_eq!(server.try_recv_from(&mut buf).unwrap(), (5, from));
        assert_eq!(
            server.try_recv_from(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        assert_eq!(server.send_to(b"hi", from).unwrap(), 2);
        assert_eq!(client.recv_from(&mut buf).unwrap(), (2, addr));
        assert_eq!(
            server.send_to(b"hi", &[][..]).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(
            server
                .send_to(&[0; 70_000], from)
                .unwrap_err()
                .raw_os_error(),
            Some(rustix::io::Errno::MSGSIZE.raw_os_error())
        );
    });
}

#[test]
fn nobody_there_is_told_at_the_next_call() {
    run(|| {
        let (ours, theirs) = connected();
        drop(theirs);
        ours.send(b"anybody?").unwrap();
        assert_eq!(
            ours.recv(&mut [0; 8]).unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
        // That was told; the socket is as good as before.
        assert!(ours.take_error().unwrap().is_none());
        assert_eq!(
            ours.try_recv(&mut [0; 8]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    });
}

#[test]
fn a_strangers_datagrams_do_not_reach_a_connected_socket() {
    run(|| {
        let (ours, theirs) = connected();
        let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        stranger.send_to(b"me", ours.local_addr().unwrap()).unwrap();
        theirs.send(b"friend").unwrap();
        let mut batch = Batch::new(8, 16);
        assert_eq!(ours.recv_many(&mut batch).unwrap(), 1);
        assert_eq!(batch.iter().next().unwrap().bytes(), b"friend");
    });
}

#[test]
fn many_at_once_in_order_with_their_senders() {
    run(|| {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = server.local_addr().unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let numbers: Vec<[u8; 2]> = (0..150_u16).map(u16::to_be_bytes).collect();
        let messages: Vec<Datagram<'_>> = numbers
            .iter()
            .map(|number| Datagram::new(number).to(addr))
            .collect();
        assert_eq!(client.send_many(&messages).unwrap(), 150);

        let mut batch = Batch::new(40, 16);
        let mut heard = Vec::new();
        let mut sizes = Vec::new();
        while heard.len() < 150 {
            sizes.push(server.recv_many(&mut batch).unwrap());
            for datagram in batch.iter() {
                assert_eq!(datagram.addr(), Some(client.local_addr().unwrap()));
                assert!(!datagram.is_truncated());
                heard.push(<[u8; 2]>::try_from(datagram.bytes()).unwrap());
            }
        }
        assert_eq!(heard, numbers);
        assert_eq!(sizes, [40, 40, 40, 30], "a call takes all that is there");
        // Back to where they came from, as they are.
        let echo: Vec<_> = batch.iter().collect();
        assert_eq!(server.send_many(&echo).unwrap(), 30);
        let mut buf = [0; 2];
        assert_eq!(client.recv_from(&mut buf).unwrap(), (2, addr));
        assert_eq!(buf, numbers[120]);
    });
}

#[test]
fn a_batch_tells_of_what_was_cut_and_what_was_empty() {
    run(|| {
        let (ours, theirs) = connected();
        for message in [&b"longer"[..], b"", b"fits"] {
            theirs.send(message).unwrap();
        }
        let mut batch = Batch::new(usize::MAX, 4);
        assert!(batch.is_empty());
        ours.recv_many(&mut batch).unwrap();
        let heard: Vec<_> = batch
            .iter()
            .map(|datagram| (datagram.bytes(), datagram.is_truncated()))
            .collect();
        assert_eq!(
            heard,
            [(&b"long"[..], true), (b"", false), (b"fits", false)]
        );
        assert_eq!(batch.len(), 3);
    });
}

#[test]
fn what_fails_in_the_middle_is_for_the_next_call() {
    run(|| {
        let (ours, theirs) = connected();
        let too_long = vec![0; 70_000];
        let messages = [b"first", &too_long[..], b"third"].map(Datagram::new);
        assert_eq!(ours.send_many(&messages).unwrap(), 1);
        assert!(ours.send_many(&messages[1..]).is_err());
        assert_eq!(ours.send_many(&messages[2..]).unwrap(), 1);
        assert_eq!(ours.send_many(&[]).unwrap(), 0);
        let mut buf = [0; 8];
        let lengths = [(); 2].map(|()| theirs.recv(&mut buf).unwrap());
        assert_eq!(lengths, [5, 5]);
        // A family that the socket does not speak.
        let stranger: SocketAddr = "[::1]:9".parse().unwrap();
        assert!(ours.send_many(&[Datagram::new(b"x").to(stranger)]).is_err());
    });
}

#[test]
fn timed_out_and_interrupted_receivers_take_nothing() {
    run_seeds(|seed| {
        let (ours, theirs) = connected();
        assert!(with_timeout(Duration::from_secs(9), || ours.recv(&mut [0; 8])).is_err());
        let mut batch = Batch::new(4, 8);
        assert!(with_timeout(Duration::from_secs(9), || ours.recv_many(&mut batch)).is_err());
        let ours = Arc::new(ours);
        let receivers: Vec<_> = ["read", "turn", "turn"]
            .into_iter()
            .map(|wait| {
                let ours = ours.clone();
                let receiver = spawn(move || ours.recv(&mut [0; 8]).unwrap());
                until_waits(receiver.id(), wait);
                receiver
            })
            .collect();
        if seed % 2 == 0 {
            theirs.send(b"once").unwrap();
        }
        receivers[..2].iter().for_each(crate::JoinHandle::interrupt);
        if seed % 2 == 1 {
            theirs.send(b"once").unwrap();
        }
        let heard: Vec<_> = receivers
            .into_iter()
            .filter_map(|receiver| match receiver.join() {
                Ok(count) => Some(count),
                Err(JoinError::Interrupted) => None,
                Err(error) => panic!("{error}"),
            })
            .collect();
        assert_eq!(heard, [4]);
    });
}

#[test]
fn closing_wakes_the_receiver() {
    testing::run(3, || {
        let (ours, _theirs) = connected();
        let ours = Arc::new(ours);
        let addr = ours.local_addr().unwrap();
        let receiver = spawn({
            let ours = ours.clone();
            move || ours.recv_many(&mut Batch::new(4, 8)).unwrap_err()
        });
        until_waits(receiver.id(), "read");
        ours.close().unwrap();
        assert!(Closed::is(&receiver.join().unwrap()));
        assert!(Closed::is(&ours.send(b"x").unwrap_err()));
        assert!(Closed::is(&ours.send_to(b"x", addr).unwrap_err()));
        assert!(Closed::is(
            &ours.send_many(&[Datagram::new(b"x")]).unwrap_err()
        ));
        assert!(Closed::is(&ours.connect(addr).unwrap_err()));
        UdpSocket::bind(addr).unwrap();
    });
}

#[test]
fn plain_threads_receive_too() {
    let (ours, theirs) = connected();
    let receiver = thread::spawn(move || {
        let mut batch = Batch::new(4, 8);
        ours.recv_many(&mut batch).unwrap();
        batch.iter().next().unwrap().bytes().to_vec()
    });
    theirs.send(b"thread").unwrap();
    assert_eq!(receiver.join().unwrap(), b"thread");
}

#[test]
fn options_reach_the_socket() {
    run(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for yes in [true, false] {
            socket.set_broadcast(yes).unwrap();
            assert_eq!(socket.broadcast().unwrap(), yes);
            socket.set_multicast_loop_v4(yes).unwrap();
            assert_eq!(socket.multicast_loop_v4().unwrap(), yes);
        }
        socket.set_ttl(9).unwrap();
        assert_eq!(socket.ttl().unwrap(), 9);
        socket.set_multicast_ttl_v4(7).unwrap();
        assert_eq!(socket.multicast_ttl_v4().unwrap(), 7);
        socket.set_recv_buffer_size(20_000).unwrap();
        socket.set_send_buffer_size(10_000).unwrap();
        let sizes = (
            socket.recv_buffer_size().unwrap(),
            socket.send_buffer_size().unwrap(),
        );
        assert_eq!(sizes, (40_000, 20_000));
    });
}

#[test]
fn a_group_hears_what_is_sent_to_it() {
    run(|| {
        let group = Ipv4Addr::new(239, 255, 7, 3);
        let member = UdpSocket::bind("0.0.0.0:0").unwrap();
        member
            .join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)
            .unwrap();
        let sender =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        sender.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        let to = SocketAddr::from((group, member.local_addr().unwrap().port()));
        sender.send_to(b"all", &to.into()).unwrap();
        let mut buf = [0; 8];
        assert_eq!(member.recv(&mut buf).unwrap(), 3);
        member
            .leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST)
            .unwrap();
        assert!(
            member
                .leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST)
                .is_err()
        );
    });
}

#[test]
fn a_port_is_shared_only_if_all_agree() {
    run(|| {
        let first = ListenOptions::new()
            .reuse_port(true)
            .bind_udp("127.0.0.1:0")
            .unwrap();
        let addr = first.local_addr().unwrap();
        let _second = ListenOptions::new()
            .reuse_port(true)
            .bind_udp(addr)
            .unwrap();
        assert_eq!(
            UdpSocket::bind(addr).unwrap_err().kind(),
            ErrorKind::AddrInUse
        );
    });
}

#[test]
fn one_socket_for_both_families_unless_told_otherwise() {
    run(|| {
        let both = ListenOptions::new()
            .only_v6(false)
            .bind_udp("[::]:0")
            .unwrap();
        let port = both.local_addr().unwrap().port();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"four", ("127.0.0.1", port)).unwrap();
        let (_, from) = both.recv_from(&mut [0; 8]).unwrap();
        assert_eq!(from.ip().to_canonical(), Ipv4Addr::LOCALHOST);
        both.send_to(b"back", from).unwrap();
        assert_eq!(client.recv(&mut [0; 8]).unwrap(), 4);
        // The port is taken for IPv4 as well, unless the other asks for IPv6 alone.
        assert!(UdpSocket::bind(("127.0.0.1", port)).is_err());
        drop(both);
        let _six = ListenOptions::new()
            .only_v6(true)
            .bind_udp(("::", port))
            .unwrap();
        UdpSocket::bind(("127.0.0.1", port)).unwrap();
    });
}
