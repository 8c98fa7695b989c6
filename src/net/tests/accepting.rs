use std::io::{self, ErrorKind};
use std::time::Duration;

use rustix::io::Errno;

use crate::net::accept::Backoff;
use crate::net::{TcpListener, TcpStream};
use crate::{spawn, testing, time};

use super::{run, until_waits};

#[test]
fn pauses_grow_while_descriptors_lack_and_end_with_success() {
    testing::run(1, || {
        let mut backoff = Backoff::default();
        let paused = |backoff: &Backoff| {
            let start = time::now();
            backoff.wait();
            (time::now() - start).as_millis()
        };
        let exhausted = || Err::<(), _>(io::Error::from(Errno::MFILE));
        assert_eq!(paused(&backoff), 0);
        let pauses: Vec<u128> = (0..9)
            .map(|_| {
                backoff.note(&exhausted(), String::new);
                paused(&backoff)
            })
            .collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
        backoff.note(&Ok(()), String::new);
        assert_eq!(paused(&backoff), 0);
        // Any other error is not a reason to wait.
        backoff.note(&exhausted(), String::new);
        backoff.note::<()>(&Err(Errno::PERM.into()), String::new);
        assert_eq!(paused(&backoff), 0);
    });
}

#[test]
fn several_coroutines_accept_from_one_listener() {
    run(|| {
        let listener = std::sync::Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let addr = listener.local_addr().unwrap();
        let acceptors: Vec<_> = (0..8)
            .map(|_| {
                let listener = listener.clone();
                spawn(move || listener.accept().unwrap().1)
            })
            .collect();
        let clients: Vec<_> = (0..8).map(|_| TcpStream::connect(addr).unwrap()).collect();
        let mut want: Vec<_> = clients
            .iter()
            .map(|client| client.local_addr().unwrap())
            .collect();
        let mut got: Vec<_> = acceptors
            .into_iter()
            .map(|acceptor| acceptor.join().unwrap())
            .collect();
        want.sort();
        got.sort();
        assert_eq!(got, want);
    });
}

#[test]
fn accepting_times_out_twice_and_then_works() {
    testing::run(2, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for _ in 0..2 {
            let start = time::now();
            assert!(crate::with_timeout(Duration::from_secs(9), || listener.accept()).is_err());
            assert!(time::now() - start >= Duration::from_secs(9));
        }
        assert_eq!(
            listener.try_accept().unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_stream, peer) = listener.accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
    });
}

#[test]
fn an_interrupted_acceptor_loses_no_connection() {
    super::run_seeds(|seed| {
        let listener = std::sync::Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let acceptors: Vec<_> = (0..6)
            .map(|_| {
                let listener = listener.clone();
                let acceptor = spawn(move || listener.accept().unwrap().1);
                // The first waits for a connection, the others for their turn.
                super::until(|| {
                    crate::registry::coroutine(acceptor.id())
                        .is_some_and(|info| info.waits_for.is_some())
                });
                acceptor
            })
            .collect();
        until_waits(acceptors[0].id(), "accept");
        // Five are interrupted, before or after the connection is there.
        let connect = || std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let early = (seed % 2 == 0).then(connect);
        acceptors[..5].iter().for_each(crate::JoinHandle::interrupt);
        let client = early.unwrap_or_else(connect);
        let results: Vec<_> = acceptors
            .into_iter()
            .filter_map(|acceptor| acceptor.join().ok())
            .collect();
        assert_eq!(results, [client.local_addr().unwrap()]);
    });
}
