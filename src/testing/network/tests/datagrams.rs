//! UDP on a simulated network: what arrives, what does not, and who is told.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;

use super::settle;
use crate::net::{Batch, Datagram, ListenOptions, SocketAddr, UdpSocket};
use crate::testing::{Host, NetworkConfig, Simulation, host, network};
use crate::{select, sleep, spawn, time, with_timeout};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn simulate<T: Send + 'static>(config: NetworkConfig, f: impl FnOnce() -> T + Send + 'static) -> T {
    Simulation::new(1).network(config).run(f)
}

/// A host that sends back what it receives, at `echo:7`.
fn echo() -> Host {
    let host = host("echo", || {
        let socket = UdpSocket::bind("0.0.0.0:7").unwrap();
        let mut buf = [0; 100];
        loop {
            let (count, from) = socket.recv_from(&mut buf).unwrap();
            socket.send_to(&buf[..count], from).unwrap();
        }
    });
    settle();
    host
}

fn bound() -> UdpSocket {
    UdpSocket::bind("0.0.0.0:0").unwrap()
}

fn connected(to: &str) -> UdpSocket {
    let socket = bound();
    socket.connect(to).unwrap();
    socket
}

/// How many datagrams come until there has been silence for a second, and each one's first byte.
fn hear(socket: &UdpSocket) -> Vec<u8> {
    let mut heard = Vec::new();
    let mut buf = [0; 100];
    while let Ok(count) = with_timeout(SECOND, || socket.recv(&mut buf)) {
        assert_eq!(count.unwrap(), 1);
        heard.push(buf[0]);
    }
    heard
}

#[test]
fn a_datagram_comes_back() {
    simulate(NetworkConfig::new(), || {
        echo();
        let (unconnected, connected) = (bound(), connected("echo:7"));
        assert_eq!(
            unconnected.peer_addr().unwrap_err().kind(),
            ErrorKind::NotConnected
        );
        assert_eq!(
            unconnected.local_addr().unwrap().ip().to_string(),
            "0.0.0.0"
        );
        assert_eq!(connected.peer_addr().unwrap().to_string(), "10.0.0.2:7");
        assert_eq!(connected.local_addr().unwrap().ip().to_string(), "10.0.0.1");
        let before = time::now();
        let mut buf = [0; 100];
        for word in ["ahoy", ""] {
            unconnected.send_to(word.as_bytes(), "echo:7").unwrap();
            let (count, from) = unconnected.recv_from(&mut buf).unwrap();
            assert_eq!(
                (&buf[..count], from.to_string()),
                (word.as_bytes(), "10.0.0.2:7".to_owned())
            );
            connected.send(word.as_bytes()).unwrap();
            assert_eq!(connected.peek(&mut buf).unwrap(), word.len());
            assert_eq!(connected.recv(&mut buf).unwrap(), word.len());
        }
        assert!(time::now() > before);
        // What does not fit is cut, and gone.
        connected.send(b"longer").unwrap();
        assert_eq!(connected.recv(&mut buf[..4]).unwrap(), 4);
        assert_eq!(
            connected.try_recv(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        let clone = connected.try_clone().unwrap();
        drop(connected);
        clone.send(b"!").unwrap();
        assert_eq!(clone.recv(&mut buf).unwrap(), 1);
        clone.close().unwrap();
        assert!(crate::io::Closed::is(&clone.send(b"!").unwrap_err()));
    });
}

#[test]
fn many_at_once() {
    simulate(NetworkConfig::new(), || {
        echo();
        let socket = bound();
        let to: SocketAddr = "10.0.0.2:7".parse().unwrap();
        let words: [&[u8]; 4] = [b"one", b"two", b"three", b"four"];
        let datagrams = words.map(|word| Datagram::new(word).to(to));
        assert_eq!(socket.send_many(&datagrams).unwrap(), 4);
        let mut batch = Batch::new(3, 4);
        let mut heard = Vec::new();
        while heard.len() < 4 {
            sleep(SECOND);
            assert!(socket.recv_many(&mut batch).unwrap() <= 3);
            heard.extend(
                batch
                    .iter()
                    .map(|it| (it.bytes().to_vec(), it.is_truncated(), it.addr())),
            );
        }
        let expected =
            words.map(|word| (word[..word.len().min(4)].to_vec(), word.len() > 4, Some(to)));
        assert_eq!(heard, expected);
        let none = socket.send_many(&[Datagram::new(b"to whom?")]).unwrap_err();
        assert_eq!(none.raw_os_error(), Some(libc::EDESTADDRREQ));
    });
}

/// What Linux's own loopback does, a simulated one does, and another host.
#[test]
fn who_is_connected_hears_that_nobody_receives() {
    fn refused(gone: SocketAddr) {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let other = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect(gone).unwrap();
        let mut buf = [0; 9];
        for _ in 0..2 {
            assert_eq!(socket.send(b"anybody?").unwrap(), 8);
            assert_eq!(
                socket.recv(&mut buf).unwrap_err().kind(),
                ErrorKind::ConnectionRefused
            );
            // It is told once.
            assert_eq!(
                socket.try_recv(&mut buf).unwrap_err().kind(),
                ErrorKind::WouldBlock
            );
        }
        // Sending tells as well, and does not send then.
        socket.send(b"anybody?").unwrap();
        socket.wait_readable().unwrap();
        assert_eq!(
            socket.send(b"anybody?").unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
        socket.send(b"anybody?").unwrap();
        socket.wait_readable().unwrap();
        let error = socket.take_error().unwrap().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        // Whoever is not connected is not told.
        other.send_to(b"anybody?", gone).unwrap();
        assert_eq!(
            other.try_recv_from(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    }
    crate::run(|| {
        // A port that nobody is given by chance.
        refused("127.83.7.9:1".parse().unwrap());
    });
    simulate(NetworkConfig::new(), || {
        echo();
        refused("127.0.0.1:9".parse().unwrap());
        refused("10.0.0.2:9".parse().unwrap());
        let other = bound();
        other.send_to(b"anybody?", "echo:9").unwrap();
        assert_eq!(hear(&other), []);
        // Nobody has this address, so nobody answers.
        let nowhere = connected("10.9.9.9:9");
        nowhere.send(b"anybody?").unwrap();
        assert_eq!(hear(&nowhere), []);
    });
}

#[test]
fn addresses_are_as_on_linux() {
    fn checked(own: &str) {
        let loopback = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = loopback.local_addr().unwrap().port();
        let again = UdpSocket::bind(("127.0.0.1", port)).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AddrInUse);
        let foreign = UdpSocket::bind("198.51.100.77:0").unwrap_err();
        assert_eq!(foreign.kind(), ErrorKind::AddrNotAvailable);
        let mut buf = [0; 9];
        // From anywhere to the loopback, by IPv4 and by IPv6.
        let any = UdpSocket::bind("0.0.0.0:0").unwrap();
        any.send_to(b"1", ("127.0.0.1", port)).unwrap();
        let from = loopback.recv_from(&mut buf).unwrap().1;
        assert_eq!(
            from,
            SocketAddr::from(([127, 0, 0, 1], any.local_addr().unwrap().port()))
        );
        let six = UdpSocket::bind("[::]:0").unwrap();
        let six_port = six.local_addr().unwrap().port();
        loopback.send_to(b"2", ("127.0.0.1", six_port)).unwrap();
        assert_eq!(
            six.recv_from(&mut buf).unwrap().1.to_string(),
            format!("[::ffff:127.0.0.1]:{port}")
        );
        six.send_to(b"3", ("::ffff:127.0.0.1", port)).unwrap();
        assert_eq!(
            loopback.recv_from(&mut buf).unwrap().1,
            SocketAddr::from(([127, 0, 0, 1], six_port))
        );
        // What cannot be sent.
        let six_from_four = any.send_to(b"4", ("::1", six_port)).unwrap_err();
        assert_eq!(six_from_four.raw_os_error(), Some(libc::EAFNOSUPPORT));
        let long = any.send_to(&[0; 65_508], ("127.0.0.1", port)).unwrap_err();
        assert_eq!(long.raw_os_error(), Some(libc::EMSGSIZE));
        any.send_to(&[0; 65_507], ("127.0.0.1", port)).unwrap();
        assert_eq!(loopback.recv(&mut buf).unwrap(), 9);
        let zero = any.send_to(b"5", "127.0.0.1:0").unwrap_err();
        assert_eq!(zero.raw_os_error(), Some(libc::EINVAL));
        let abroad = loopback.send_to(b"6", (own, 9)).unwrap_err();
        // The other is for a real machine that is on no network.
        let expected = [libc::EINVAL, libc::ENETUNREACH].map(Some);
        assert!(expected.contains(&abroad.raw_os_error()), "{abroad}");
        // Who is connected hears the peer alone.
        any.connect(("127.0.0.1", port)).unwrap();
        let to = any.local_addr().unwrap();
        assert!(to.ip().is_loopback());
        six.send_to(b"no", ("::ffff:127.0.0.1", to.port())).unwrap();
        loopback.send_to(b"yes", to).unwrap();
        assert_eq!(any.recv(&mut buf).unwrap(), 3);
        any.set_broadcast(true).unwrap();
        assert!(any.broadcast().unwrap());
    }
    crate::run(|| checked("192.0.2.1"));
    simulate(NetworkConfig::new(), || {
        echo();
        checked("10.0.0.2");
        let group = [224, 0, 0, 251].into();
        let error = bound()
            .join_multicast_v4(&group, &[0, 0, 0, 0].into())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    });
}

#[test]
fn a_full_buffer_loses_what_comes() {
    simulate(NetworkConfig::new().datagram_buffer(10 * (768 + 1)), || {
        let receiver = UdpSocket::bind("127.0.0.1:9").unwrap();
        let sender = connected("127.0.0.1:9");
        for number in 0..50 {
            sender.send(&[number]).unwrap();
        }
        sleep(SECOND);
        assert_eq!(hear(&receiver), (0..10).collect::<Vec<_>>());
        // There is room again. One that is too long for it goes in, but only alone.
        for _ in 0..2 {
            sender.send(&[0; 20_000]).unwrap();
        }
        sleep(SECOND);
        assert_eq!(receiver.recv(&mut [0; 9]).unwrap(), 9);
        assert_eq!(hear(&receiver), []);
    });
}

#[test]
fn a_partition_loses_what_is_sent_and_what_is_under_way() {
    let slow = NetworkConfig::new().latency(5 * MS..=5 * MS);
    simulate(slow, || {
        let echo = echo();
        let socket = connected("echo:7");
        let net = network();
        socket.send(&[1]).unwrap();
        sleep(MS);
        net.partition(&net.here(), &echo);
        socket.send(&[2]).unwrap();
        sleep(MS);
        socket.send(&[3]).unwrap();
        net.heal_all();
        // The first was under way during the partition, but had not arrived; none is kept for later.
        assert_eq!(hear(&socket), [1]);
        socket.send(&[4]).unwrap();
        sleep(MS);
        net.partition(&net.here(), &echo);
        sleep(10 * MS);
        net.heal_all();
        assert_eq!(hear(&socket), []);
        socket.send(&[5]).unwrap();
        assert_eq!(hear(&socket), [5]);
    });
}

#[test]
fn who_is_killed_receives_nothing_until_it_is_started_again() {
    simulate(NetworkConfig::new(), || {
        let echo = echo();
        let socket = connected("echo:7");
        socket.send(&[1]).unwrap();
        assert_eq!(hear(&socket), [1]);
        echo.kill();
        socket.send(&[2]).unwrap();
        assert_eq!(
            socket.recv(&mut [0]).unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
        echo.restart();
        settle();
        socket.send(&[3]).unwrap();
        assert_eq!(hear(&socket), [3]);
    });
}

/// A socket of a host that was killed is of no use, whoever has it.
#[test]
fn a_killed_hosts_sockets_fail() {
    simulate(NetworkConfig::new(), || {
        let place = std::sync::Arc::new(std::sync::Mutex::new(None));
        let owner = host("owner", {
            let place = place.clone();
            move || *place.lock().unwrap() = Some(bound())
        });
        settle();
        let socket = place.lock().unwrap().take().unwrap();
        let waiter = spawn(move || (socket.recv(&mut [0]).unwrap_err(), socket));
        settle();
        owner.kill();
        let (error, socket) = waiter.join().unwrap();
        assert_eq!(error.kind(), ErrorKind::NetworkDown);
        let error = socket.send_to(&[1], "127.0.0.1:9").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NetworkDown);
    });
}

#[test]
fn several_share_a_port_and_a_sender_has_one_of_them() {
    simulate(NetworkConfig::new(), || {
        let shared = || {
            ListenOptions::new()
                .reuse_port(true)
                .bind_udp("127.0.0.1:9")
                .unwrap()
        };
        let receivers = [0; 4].map(|_| shared());
        let mut used = BTreeSet::new();
        for number in 0..20 {
            let sender = connected("127.0.0.1:9");
            for _ in 0..3 {
                sender.send(&[number]).unwrap();
            }
            sleep(MS);
            let heard = receivers
                .iter()
                .position(|it| it.try_recv(&mut [0]).is_ok())
                .unwrap();
            used.insert(heard);
            assert_eq!(hear(&receivers[heard]), [number; 2]);
        }
        assert_eq!(used.len(), 4);
        // Whoever is connected to the sender comes before the others.
        let sender = bound();
        let to = ("127.0.0.1", sender.local_addr().unwrap().port());
        receivers[2].connect(to).unwrap();
        sender.send_to(&[1], "127.0.0.1:9").unwrap();
        assert_eq!(hear(&receivers[2]), [1]);
    });
}

#[test]
fn a_simulated_socket_is_an_arm() {
    simulate(NetworkConfig::new(), || {
        echo();
        let (one, two) = (connected("echo:7"), connected("echo:7"));
        select! {
            readable(one) -> _ => panic!("there is nothing"),
            readable(two) -> _ => panic!("there is nothing"),
            after(MS) => (),
        }
        two.send(&[2]).unwrap();
        select! {
            readable(one) -> _ => panic!("there is nothing"),
            readable(two) -> ready => ready.unwrap(),
            after(SECOND) => panic!("it comes back"),
        }
        assert_eq!(two.try_recv(&mut [0]).unwrap(), 1);
    });
}

/// Sends 1,000 to the other host, and says which arrive in which order.
fn a_thousand(config: NetworkConfig, seed: u64) -> Vec<u16> {
    Simulation::new(seed)
        .network(config.datagram_buffer(1 << 20))
        .run(|| {
            let receiver = std::sync::Arc::new(UdpSocket::bind("0.0.0.0:9").unwrap());
            let sender = host("sender", || {
                let socket = connected("10.0.0.1:9");
                for number in 0..1_000_u16 {
                    socket.send(&number.to_be_bytes()).unwrap();
                    sleep(MS / 10);
                }
            });
            let mut heard = Vec::new();
            let mut buf = [0; 2];
            while let Ok(count) = with_timeout(SECOND, || receiver.recv(&mut buf)) {
                assert_eq!(count.unwrap(), 2);
                heard.push(u16::from_be_bytes(buf));
            }
            sender.join().unwrap();
            heard
        })
}

#[test]
fn faults_come_as_often_as_was_asked_for_and_from_the_seed() {
    let all: Vec<u16> = (0..1_000).collect();
    let plain = NetworkConfig::new();
    assert_eq!(a_thousand(plain.clone(), 1), all);
    let about = |count: usize, of: usize| count.abs_diff(of) < 60;

    let lost = a_thousand(plain.clone().loss(0.3), 1);
    assert!(about(lost.len(), 700), "{}", lost.len());
    assert!(lost.is_sorted());

    let twice = a_thousand(plain.clone().duplicates(0.3), 1);
    assert!(about(twice.len(), 1_300), "{}", twice.len());
    assert_eq!(twice.iter().collect::<BTreeSet<_>>().len(), 1_000);

    let late = a_thousand(plain.clone().reorder(0.3), 1);
    let overtaken = late.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!(overtaken > 100, "{overtaken}");
    assert_eq!(late.iter().collect::<BTreeSet<_>>().len(), 1_000);

    let all_faults = plain.loss(0.1).duplicates(0.1).reorder(0.1);
    let stories: BTreeSet<_> = (0..10)
        .map(|seed| {
            let story = a_thousand(all_faults.clone(), seed);
            assert_eq!(story, a_thousand(all_faults.clone(), seed), "seed {seed}");
            story
        })
        .collect();
    assert_eq!(stories.len(), 10);
}

#[test]
fn the_trace_tells_of_each() {
    let trace = simulate(NetworkConfig::new().trace(true).loss(0.5), || {
        echo();
        let socket = connected("echo:7");
        for number in 0..10 {
            socket.send(&[number]).unwrap();
        }
        hear(&socket);
        let nobody = connected("echo:9");
        while nobody.send(&[1]).is_ok() {
            sleep(10 * MS);
        }
        network().trace()
    });
    for part in [
        "10.0.0.2:7 receives from 10.0.0.1:32768: 1 bytes",
        "10.0.0.1:32768 receives from 10.0.0.2:7: 1 bytes",
        "10.0.0.1:32768 sends in vain to 10.0.0.2:7: 1 bytes",
        "hears that nobody receives at 10.0.0.2:9",
    ] {
        assert!(trace.contains(part), "{part:?} is not in\n{trace}");
    }
}
