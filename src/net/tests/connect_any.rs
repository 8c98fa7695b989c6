use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use super::{alone, exhaust_descriptors, open_descriptors, refusing, run, run_seeds, until_waits};
use crate::net::{ConnectErrors, ConnectOptions, ListenOptions, TcpListener, TcpStream};
use crate::{JoinError, spawn, testing, time, with_timeout};

/// An address that never answers, for as long as these live: the queue of its listener is full.
fn silent(host: &str) -> (TcpListener, std::net::TcpStream, SocketAddr) {
    let listener = ListenOptions::new().backlog(0).bind((host, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let filler = std::net::TcpStream::connect(addr).unwrap();
    (listener, filler, addr)
}

fn errors(error: &io::Error) -> Vec<(SocketAddr, ErrorKind)> {
    let errors: &ConnectErrors = error.get_ref().unwrap().downcast_ref().unwrap();
    errors
        .iter()
        .map(|(addr, error)| (addr, error.kind()))
        .collect()
}

#[test]
fn the_next_is_tried_after_a_quarter_second_of_silence() {
    testing::run(1, || {
        let (_one, _filler, one) = silent("::1");
        let (_two, _filler2, two) = silent("127.0.0.1");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let live = listener.local_addr().unwrap();
        let start = time::now();
        let stream = TcpStream::connect_any(&[one, two, live][..]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), live);
        let took = time::now() - start;
        assert!(
            (500..600).contains(&took.as_millis()),
            "two quarters: {took:?}"
        );

        let start = time::now();
        ConnectOptions::new()
            .stagger(Duration::from_secs(3))
            .connect(&[one, live][..])
            .unwrap();
        assert!((time::now() - start).as_secs() == 3);
    });
}

#[test]
fn after_a_failure_the_next_is_tried_at_once() {
    run_seeds(|_| {
        let (_socket, refused) = refusing();
        let (_silent, _filler, silent) = silent("127.0.0.1");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let live = listener.local_addr().unwrap();
        let start = time::now();
        TcpStream::connect_any(&[refused, live][..]).unwrap();
        assert_eq!(time::now(), start);
        // Also while another is silent: that one's quarter is the only one.
        TcpStream::connect_any(&[silent, refused, live][..]).unwrap();
        assert!((time::now() - start).as_millis() < 260);
    });
}

#[test]
fn every_failure_is_kept() {
    run(|| {
        let (_socket, one) = refusing();
        let (_socket, two) = refusing();
        let six: SocketAddr = "[::1]:1".parse().unwrap();
        let nowhere: SocketAddr = "255.255.255.255:1".parse().unwrap();
        let error = TcpStream::connect_any(&[one, two, nowhere, six, one][..]).unwrap_err();
        let all = errors(&error);
        assert_eq!(
            all.iter().map(|(addr, _)| *addr).collect::<Vec<_>>(),
            [one, six, two, nowhere],
            "the families in turns, none twice"
        );
        assert_eq!(all[0].1, ErrorKind::ConnectionRefused);
        assert_eq!(all[1].1, ErrorKind::ConnectionRefused);
        assert_ne!(all[3].1, ErrorKind::ConnectionRefused);
        assert_eq!(error.kind(), all[3].1);
        let told = error.to_string();
        assert!(
            told.starts_with(&format!("cannot connect: {one}: Connection refused"))
                && told.contains(&format!("; {nowhere}: ")),
            "{told}"
        );

        let error = TcpStream::connect_any(one).unwrap_err();
        assert_eq!(errors(&error), [(one, ErrorKind::ConnectionRefused)]);
        let error = TcpStream::connect_any(&[][..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn timed_out_or_interrupted_it_leaves_nothing_behind() {
    const NAME: &str = "net::tests::connect_any::timed_out_or_interrupted_it_leaves_nothing_behind";
    alone(NAME, || {
        testing::run(5, || {
            let (one, _filler, addr) = silent("127.0.0.1");
            let (_two, _filler2, other) = silent("127.0.0.2");
            let before = open_descriptors();
            let forever = move || TcpStream::connect_any(&[addr, other][..]);
            assert!(with_timeout(Duration::from_secs(60), forever).is_err());
            assert_eq!(open_descriptors(), before);

            let connecting = spawn(move || forever().map(drop));
            until_waits(connecting.id(), "connect");
            assert!(open_descriptors() > before);
            connecting.interrupt();
            assert!(matches!(connecting.join(), Err(JoinError::Interrupted)));
            assert_eq!(open_descriptors(), before);
            // Only the filler was ever there.
            one.accept().unwrap();
            assert_eq!(one.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);

            // The losers go when one wins.
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let live = listener.local_addr().unwrap();
            let before = open_descriptors();
            let stream = TcpStream::connect_any(&[other, live][..]).unwrap();
            assert_eq!(open_descriptors(), before + 1);
            drop(stream);
        });
    });
}

#[test]
fn the_socket_that_wins_is_like_any_other() {
    run(|| {
        let (_socket, refused) = refusing();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let live = listener.local_addr().unwrap();
        let stream = ConnectOptions::new()
            .recv_buffer_size(20_000)
            .send_buffer_size(30_000)
            .connect(&[refused, live][..])
            .unwrap();
        assert_eq!(stream.recv_buffer_size().unwrap(), 40_000);
        assert_eq!(stream.send_buffer_size().unwrap(), 60_000);
        let (peer, _) = listener.accept().unwrap();
        // It waits in the worker's poller, not in the one of the race.
        let reader = spawn(move || std::io::Read::read(&mut &stream, &mut [0; 8]).unwrap());
        until_waits(reader.id(), "read");
        std::io::Write::write_all(&mut &peer, b"x").unwrap();
        assert_eq!(reader.join().unwrap(), 1);
    });
}

#[test]
fn from_an_address_of_ones_own() {
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let live = listener.local_addr().unwrap();
        let six: SocketAddr = "[::1]:1".parse().unwrap();
        let own: SocketAddr = "127.0.0.9:0".parse().unwrap();
        let options = ConnectOptions::new().local_addr(own);
        let stream = options.connect(&[six, live][..]).unwrap();
        assert_eq!(stream.local_addr().unwrap().ip(), own.ip());
        let error = options.connect(six).unwrap_err();
        assert_eq!(errors(&error), [(six, ErrorKind::AddrNotAvailable)]);
    });
}

#[test]
fn plain_threads_race_too() {
    let (_silent, _filler, silent) = silent("127.0.0.1");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let live = listener.local_addr().unwrap();
    let stream = ConnectOptions::new()
        .stagger(Duration::from_millis(1))
        .connect(&[silent, live][..])
        .unwrap();
    assert_eq!(stream.peer_addr().unwrap(), live);
}

#[test]
fn without_descriptors_it_says_so() {
    const NAME: &str = "net::tests::connect_any::without_descriptors_it_says_so";
    alone(NAME, || {
        testing::run(2, || {
            let (_silent, _filler, silent) = silent("127.0.0.1");
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let live = listener.local_addr().unwrap();
            exhaust_descriptors(2);
            // One for the race and one for the first address, which is silent.
            let before = open_descriptors();
            let attempt = || TcpStream::connect_any(&[silent, live][..]);
            assert!(with_timeout(Duration::from_secs(9), attempt).is_err());
            assert_eq!(open_descriptors(), before);
            let _held = std::fs::File::open("/dev/null").unwrap();
            let error = attempt().unwrap_err();
            let failed = errors(&error);
            assert_eq!(failed.len(), 2, "{error}");
            assert!(error.to_string().contains("os error 24"), "{error}");
        });
    });
}
