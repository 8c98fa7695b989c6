use std::io::{ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use super::{alone, exhaust_descriptors, run, run_seeds, until_waits};
use crate::io::Closed;
use crate::net::{ListenOptions, TcpListener, TcpStream, UnixListener};
use crate::{Builder, Placement, registry, spawn, spawn_local, testing, with_timeout};

#[test]
fn all_that_queue_are_taken_at_once_in_order() {
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let clients: Vec<_> = (0..7).map(|_| TcpStream::connect(addr).unwrap()).collect();
        let peers: Vec<_> = [5, 0, 9]
            .into_iter()
            .map(|most| {
                let accepted = listener.accept_many(most).unwrap();
                accepted
                    .into_iter()
                    .map(|(_, peer)| peer)
                    .collect::<Vec<_>>()
            })
            .collect();
        let sizes: Vec<_> = peers.iter().map(Vec::len).collect();
        assert_eq!(sizes, [5, 1, 1], "at least one, at most what was said");
        let want: Vec<_> = clients
            .iter()
            .map(|client| client.local_addr().unwrap())
            .collect();
        assert_eq!(peers.concat(), want);
    });
}

#[test]
fn the_first_is_waited_for() {
    run_seeds(|seed| {
        let place = super::unix::Place::new();
        let listener = Arc::new(UnixListener::bind(place.socket()).unwrap());
        let nobody = with_timeout(Duration::from_secs(9), || listener.accept_many(4));
        assert!(nobody.is_err());
        let acceptor = spawn({
            let listener = listener.clone();
            move || listener.accept_many(4)
        });
        until_waits(acceptor.id(), "accept");
        if seed % 2 == 0 {
            let _client = std::os::unix::net::UnixStream::connect(place.socket()).unwrap();
            assert_eq!(acceptor.join().unwrap().unwrap().len(), 1);
        } else {
            listener.close().unwrap();
            assert!(Closed::is(&acceptor.join().unwrap().unwrap_err()));
        }
    });
}

#[test]
fn what_was_taken_before_the_descriptors_ran_out_is_given() {
    const NAME: &str =
        "net::tests::listening::what_was_taken_before_the_descriptors_ran_out_is_given";
    alone(NAME, || {
        run(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            let _clients = [(); 4].map(|()| TcpStream::connect(addr).unwrap());
            exhaust_descriptors(3);
            let some = listener.accept_many(9).unwrap();
            assert_eq!(some.len(), 3);
            let error = listener.accept_many(9).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
            drop(some);
            assert_eq!(listener.accept_many(9).unwrap().len(), 1, "none is lost");
        });
    });
}

#[test]
fn one_listener_serves_both_families() {
    run(|| {
        let listener = ListenOptions::new().only_v6(false).bind("[::]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "::1"] {
            let client = TcpStream::connect((host, port)).unwrap();
            let (_stream, peer) = listener.accept().unwrap();
            assert_eq!(
                peer.ip().to_canonical(),
                client.local_addr().unwrap().ip(),
                "{host}"
            );
        }
        let alone = ListenOptions::new().only_v6(true).bind("[::]:0").unwrap();
        let port = alone.local_addr().unwrap().port();
        let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn each_worker_has_a_listener_and_gets_a_share() {
    run(|| {
        let listeners = ListenOptions::new().bind_per_worker("127.0.0.1:0").unwrap();
        assert_eq!(listeners.len(), registry::workers().len());
        assert_eq!(listeners.len(), 2);
        let addr = listeners[0].local_addr().unwrap();
        let listeners: Vec<_> = listeners.into_iter().map(Arc::new).collect();
        let acceptors: Vec<_> = listeners
            .iter()
            .cloned()
            .enumerate()
            .map(|(worker, listener)| {
                Builder::new()
                    .placement(Placement::Worker(worker))
                    .spawn(move || {
                        let name = std::thread::current().name().unwrap().to_owned();
                        let mut served = 0;
                        for stream in listener.incoming() {
                            let mut stream = stream.unwrap();
                            let name = name.clone();
                            spawn_local(move || stream.write_all(name.as_bytes()));
                            served += 1;
                        }
                        served
                    })
            })
            .collect();
        let mut names = Vec::new();
        for _ in 0..64 {
            let mut name = String::new();
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.read_to_string(&mut name).unwrap();
            names.push(name);
        }
        // Anybody else may not join.
        assert_eq!(
            TcpListener::bind(addr).unwrap_err().kind(),
            ErrorKind::AddrInUse
        );
        listeners
            .iter()
            .for_each(|listener| listener.close().unwrap());
        let served: Vec<usize> = acceptors
            .into_iter()
            .map(|acceptor| acceptor.join().unwrap())
            .collect();
        assert_eq!(served.iter().sum::<usize>(), 64);
        // By a hash of the ports: that one gets none has a chance of 2 in 2^64.
        assert!(served.iter().all(|&served| served > 0), "{served:?}");
        for (worker, served) in served.iter().enumerate() {
            let name = format!("grapeshot-{worker}");
            assert_eq!(
                names.iter().filter(|&heard| *heard == name).count(),
                *served
            );
        }
    });
}

#[test]
fn with_one_worker_there_is_one_listener() {
    testing::run(1, || {
        let listeners = ListenOptions::new().bind_per_worker("127.0.0.1:0").unwrap();
        assert_eq!(listeners.len(), 1);
        let taken = listeners[0].local_addr().unwrap();
        // A port whose owner does not share it is refused.
        let alone = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = ListenOptions::new()
            .bind_per_worker(alone.local_addr().unwrap())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        drop(listeners);
        TcpListener::bind(taken).unwrap();
    });
}
