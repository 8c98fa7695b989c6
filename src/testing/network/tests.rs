//! Ordinary sockets on a simulated network.

mod counter;
mod datagrams;
mod faults;
mod retransmission;
mod torture;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use crate::net::{ListenOptions, TcpListener, TcpStream};
use crate::testing::{NetworkConfig, Simulation, explore, host, network};
use crate::{select, sleep, spawn, time, with_timeout};

fn simulate<T: Send + 'static>(seed: u64, f: impl FnOnce() -> T + Send + 'static) -> T {
    Simulation::new(seed)
        .network(NetworkConfig::new().chop(true))
        .run(f)
}

/// A server that sends back what it hears, at `echo:7`.
fn echo() -> crate::testing::Host {
    host("echo", || {
        let listener = TcpListener::bind("0.0.0.0:7").unwrap();
        for stream in listener.incoming().flatten() {
            spawn(move || {
                let mut chunk = [0; 100];
                while let Ok(count @ 1..) = (&stream).read(&mut chunk) {
                    if (&stream).write_all(&chunk[..count]).is_err() {
                        break;
                    }
                }
            });
        }
    })
}

/// Until the hosts that were just started listen.
fn settle() {
    sleep(Duration::from_millis(1));
}

#[test]
fn bytes_come_back_in_order() {
    for seed in 0..50 {
        simulate(seed, || {
            echo();
            settle();
            let stream = Arc::new(TcpStream::connect("echo:7").unwrap());
            assert_eq!(stream.peer_addr().unwrap().to_string(), "10.0.0.2:7");
            assert_eq!(stream.local_addr().unwrap().ip().to_string(), "10.0.0.1");
            let sent: Vec<u8> = (0..5000u32).map(|x| x as u8).collect();
            let writer = spawn({
                let (stream, sent) = (stream.clone(), sent.clone());
                move || {
                    (&*stream).write_all(&sent).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                }
            });
            let mut heard = Vec::new();
            (&*stream).read_to_end(&mut heard).unwrap();
            writer.join().unwrap();
            assert_eq!(heard, sent);
        });
    }
}

#[test]
fn nobody_listens() {
    simulate(1, || {
        echo();
        settle();
        let before = time::now();
        let refused = TcpStream::connect("echo:8").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(time::now() > before, "it takes the way there and back");
        let unknown = TcpStream::connect("10.9.9.9:1").unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::HostUnreachable);
        assert_eq!(
            TcpStream::connect("nowhere:1").unwrap_err().kind(),
            ErrorKind::NotFound
        );
    });
}

#[test]
fn ports_and_addresses_are_a_hosts_own() {
    simulate(1, || {
        let first = TcpListener::bind("0.0.0.0:9").unwrap();
        let again = TcpListener::bind("127.0.0.1:9").unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AddrInUse);
        let foreign = TcpListener::bind("10.0.0.77:9").unwrap_err();
        assert_eq!(foreign.kind(), ErrorKind::AddrNotAvailable);
        drop(first);
        let free = TcpListener::bind("localhost:0").unwrap();
        let addr = free.local_addr().unwrap();
        let client = TcpStream::connect(addr).unwrap();
        let (server, peer) = free.accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        assert_eq!(server.local_addr().unwrap(), addr);
        client.set_nodelay(true).unwrap();
        assert!(client.nodelay().unwrap());
        assert!(!server.nodelay().unwrap());
    });
}

#[test]
fn what_was_not_read_resets() {
    simulate(1, || {
        let listener = TcpListener::bind("0.0.0.0:9").unwrap();
        let mut client = TcpStream::connect("127.0.0.1:9").unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"never read").unwrap();
        server.read_exact(&mut [0]).unwrap();
        sleep(Duration::from_secs(1));
        drop(server);
        assert_eq!(
            client.read(&mut [0]).unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        assert_eq!(
            client.write(b"x").unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
        assert_eq!(
            client.shutdown(Shutdown::Both).unwrap_err().kind(),
            ErrorKind::NotConnected
        );
    });
}

#[test]
fn a_full_connection_makes_its_writer_wait() {
    let small = NetworkConfig::new().buffer(10);
    Simulation::new(3).network(small).run(|| {
        let listener = TcpListener::bind("0.0.0.0:9").unwrap();
        let client = TcpStream::connect("127.0.0.1:9").unwrap();
        let (mut server, _) = listener.accept().unwrap();
        assert_eq!(client.try_write(b"0123456789abc").unwrap(), 10);
        assert_eq!(
            client.try_write(b"a").unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        let late = with_timeout(Duration::from_secs(1), || (&client).write(b"a"));
        assert!(late.is_err(), "nobody reads");
        let writer = spawn(move || (&client).write_all(b"abcdefghijklmnopqrstuvwxyz"));
        let mut heard = [0; 36];
        server.read_exact(&mut heard).unwrap();
        writer.join().unwrap().unwrap();
        assert_eq!(&heard, b"0123456789abcdefghijklmnopqrstuvwxyz");
    });
}

#[test]
fn clones_share_a_connection_and_close_wakes() {
    simulate(5, || {
        echo();
        settle();
        let stream = Arc::new(TcpStream::connect("echo:7").unwrap());
        let clone = stream.try_clone().unwrap();
        let reader = spawn({
            let stream = stream.clone();
            move || (&*stream).read(&mut [0; 9])
        });
        settle();
        stream.close().unwrap();
        let closed = reader.join().unwrap().unwrap_err();
        assert!(crate::io::Closed::is(&closed), "{closed}");
        assert!(crate::io::Closed::is(&(&*stream).write(b"x").unwrap_err()));
        (&clone).write_all(b"still there").unwrap();
        let mut heard = [0; 11];
        (&clone).read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"still there");
    });
}

#[test]
fn peek_select_and_copy() {
    simulate(5, || {
        let listener = TcpListener::bind("0.0.0.0:9").unwrap();
        let proxy = spawn(move || {
            let (from, _) = listener.accept().unwrap();
            crate::io::copy(&from, &from).unwrap()
        });
        let mut stream = TcpStream::connect("127.0.0.1:9").unwrap();
        select! {
            readable(stream) -> ready => panic!("nothing was sent: {ready:?}"),
            after(Duration::from_secs(1)) => {}
        }
        stream.write_all(b"there and back").unwrap();
        select! {
            readable(stream) -> ready => ready.unwrap(),
            after(Duration::from_secs(1)) => panic!("it was not told"),
        }
        let mut first = [0; 1];
        assert_eq!(stream.peek(&mut first).unwrap(), 1);
        assert_eq!(&first, b"t");
        stream.shutdown(Shutdown::Write).unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "there and back");
        assert_eq!(proxy.join().unwrap(), 14);
    });
}

#[test]
fn an_interrupted_accept_and_connect_leave_nothing() {
    simulate(5, || {
        let listener = TcpListener::bind("0.0.0.0:9").unwrap();
        assert!(with_timeout(Duration::from_secs(1), || listener.accept()).is_err());
        // It takes longer than that.
        let none = with_timeout(Duration::from_nanos(1), || {
            TcpStream::connect("127.0.0.1:9")
        });
        assert!(none.is_err());
        sleep(Duration::from_secs(1));
        let left = listener.try_accept().map(|_| ());
        assert_eq!(left.unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_plain_thread_is_refused() {
    simulate(5, || {
        let listener = TcpListener::bind("0.0.0.0:9").unwrap();
        let refused = crate::unblock(move || listener.accept().map(drop)).unwrap();
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
    });
}

#[test]
fn listeners_may_share_a_port() {
    simulate(5, || {
        let options = ListenOptions::new().reuse_port(true);
        let listeners = [
            options.bind("0.0.0.0:9").unwrap(),
            options.bind("0.0.0.0:9").unwrap(),
        ];
        let clients: Vec<_> = (0..20)
            .map(|_| TcpStream::connect("127.0.0.1:9").unwrap())
            .collect();
        let counts = listeners.map(|it| it.accept_many(100).unwrap().len());
        assert_eq!(counts.iter().sum::<usize>(), clients.len());
    });
}

#[test]
fn exploring_names_the_first_seed_that_fails() {
    let failure = Simulation::new(0).first_failure(0..100, |seed| {
        sleep(Duration::from_secs(1));
        assert!(seed != 17 && seed < 50, "planted");
    });
    let failure = failure.unwrap();
    assert_eq!(failure.seed, 17);
    assert!(failure.message.contains("planted"), "{failure}");
    explore(0..10, |_| settle());
}

#[test]
fn a_hosts_panic_fails_the_simulation() {
    let failure = Simulation::new(0)
        .network(NetworkConfig::new())
        .first_failure(0..1, |_| {
            host("clumsy", || panic!("dropped it"));
            sleep(Duration::from_secs(1_000_000));
            network();
        });
    assert_eq!(failure.unwrap().message, "dropped it");
}
