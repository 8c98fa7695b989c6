//! What goes wrong on a network, and that it goes wrong in the same way again.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{echo, settle, simulate};
use crate::net::{TcpListener, TcpStream};
use crate::testing::{NetworkConfig, Simulation, host, network};
use crate::{sleep, spawn, time, with_timeout};

/// Several clients talk to a server over a network on which everything fails; the trace of it.
fn story(seed: u64) -> String {
    let hostile = NetworkConfig::new()
        .chop(true)
        .resets(0.05)
        .refusals(0.1)
        .trace(true);
    Simulation::new(seed).network(hostile).run(|| {
        let server = echo();
        settle();
        let clients: Vec<_> = (0..4u8)
            .map(|number| {
                spawn(move || {
                    let mut stream = TcpStream::connect("echo:7")?;
                    for round in 0..4 {
                        stream.write_all(&[number; 20])?;
                        stream.read_exact(&mut [0; 20])?;
                        sleep(Duration::from_millis(round));
                    }
                    std::io::Result::Ok(())
                })
            })
            .collect();
        let net = network();
        net.partition(&net.here(), &server);
        sleep(Duration::from_millis(20));
        net.heal_all();
        sleep(Duration::from_millis(5));
        server.restart();
        for client in clients {
            // Most of them fail, one way or another.
            let _ = client.join().unwrap();
        }
        net.trace()
    })
}

#[test]
fn a_seed_is_a_story() {
    let mut stories = BTreeSet::new();
    for seed in 0..100 {
        let told = story(seed);
        assert_eq!(told, story(seed), "seed {seed}");
        stories.insert(told);
    }
    assert!(
        stories.len() > 95,
        "only {} different stories",
        stories.len()
    );
}

#[test]
fn a_partition_holds_back_until_it_is_healed() {
    simulate(1, || {
        let server = echo();
        settle();
        let mut stream = TcpStream::connect("echo:7").unwrap();
        let net = network();
        net.partition(&net.here(), &server);
        stream.write_all(b"hello").unwrap();
        let mut heard = [0; 5];
        let late = with_timeout(Duration::from_secs(60), || {
            stream.peek(&mut heard).map(drop)
        });
        assert!(late.is_err());
        net.heal(&server, &net.here());
        stream.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"hello");
    });
}

#[test]
fn who_cannot_be_reached_is_given_up() {
    simulate(1, || {
        let server = echo();
        settle();
        let mut stream = TcpStream::connect("echo:7").unwrap();
        let net = network();
        net.partition(&net.here(), &server);
        let start = time::now();
        let lost = TcpStream::connect("echo:7").unwrap_err();
        assert_eq!(lost.kind(), ErrorKind::TimedOut);
        assert_eq!((time::now() - start).as_secs(), 63);
        stream.write_all(b"x").unwrap();
        assert_eq!(
            stream.read(&mut [0]).unwrap_err().kind(),
            ErrorKind::TimedOut
        );
        assert!((time::now() - start).as_secs() > 900);
    });
}

#[test]
fn a_killed_host_resets_refuses_and_comes_back() {
    for seed in 0..20 {
        simulate(seed, || {
            let starts = Arc::new(AtomicUsize::new(0));
            let ends = Arc::new(AtomicUsize::new(0));
            let server = host("server", {
                let (starts, ends) = (starts.clone(), ends.clone());
                move || {
                    struct Counts(Arc<AtomicUsize>);
                    impl Drop for Counts {
                        fn drop(&mut self) {
                            self.0.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    starts.fetch_add(1, Ordering::Relaxed);
                    let listener = TcpListener::bind(("server", 9)).unwrap();
                    for stream in listener.incoming().flatten() {
                        let counts = Counts(ends.clone());
                        spawn(move || {
                            let _counts = counts;
                            (&stream).read(&mut [0; 9])
                        });
                    }
                }
            });
            settle();
            let mut stream = TcpStream::connect("server:9").unwrap();
            sleep(Duration::from_secs(1));
            server.kill();
            assert!(server.is_down());
            assert_eq!(
                stream.read(&mut [0]).unwrap_err().kind(),
                ErrorKind::ConnectionReset
            );
            assert_eq!(
                ends.load(Ordering::Relaxed),
                1,
                "what it spawned is gone too"
            );
            let refused = TcpStream::connect("server:9").unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            server.restart();
            settle();
            TcpStream::connect("server:9").unwrap();
            assert_eq!(starts.load(Ordering::Relaxed), 2);
        });
    }
}

#[test]
fn latency_is_the_links() {
    simulate(1, || {
        let server = echo();
        settle();
        let net = network();
        let far = Duration::from_secs(1);
        net.set_latency(&server, &net.here(), far..=far);
        let start = time::now();
        TcpStream::connect("echo:7").unwrap();
        assert_eq!(time::now() - start, 2 * far);
    });
}
