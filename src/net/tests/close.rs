use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread;

use super::{alone, connected, exhaust_descriptors, fill, run, run_seeds, until, until_waits};
use crate::io::Closed;
use crate::net::{Shutdown, TcpListener, TcpStream, UnixListener, UnixStream};
use crate::{Builder, JoinError, Placement, registry, spawn};

#[track_caller]
fn assert_closed<T: Debug>(result: io::Result<T>) {
    let error = result.unwrap_err();
    assert!(Closed::is(&error), "{error:?}");
}

#[test]
fn closing_wakes_all_who_wait_and_says_so() {
    run_seeds(|_| {
        let (stream, mut peer) = connected();
        fill(&stream);
        let stream = Arc::new(stream);
        let readers = ["read", "turn"].map(|wait| {
            let stream = stream.clone();
            let reader = spawn(move || (&*stream).read(&mut [0; 8]));
            until_waits(reader.id(), wait);
            reader
        });
        let writers = ["write", "turn"].map(|wait| {
            let stream = stream.clone();
            let writer = spawn(move || {
                // The kernel may still have taken a little.
                while (&*stream).write(&[0; 1 << 20])? > 0 {}
                Ok(())
            });
            until_waits(writer.id(), wait);
            writer
        });
        let drain = thread::spawn(move || io::copy(&mut peer, &mut io::sink()));
        stream.close().unwrap();
        for reader in readers {
            assert_closed(reader.join().unwrap());
        }
        for writer in writers {
            assert_closed::<()>(writer.join().unwrap());
        }
        // The peer hears of it though we still hold the stream.
        let _ = drain.join().unwrap();
        stream.close().unwrap();
    });
}

#[test]
fn a_closed_stream_refuses_every_call() {
    run(|| {
        let (mut stream, mut peer) = connected();
        let number = stream.as_raw_fd();
        stream.close().unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        assert_closed(stream.read(&mut [0]));
        assert_closed(stream.write(&[0]));
        assert_closed(stream.peek(&mut [0]));
        assert_closed(stream.try_read(&mut [0]));
        assert_closed(stream.try_write(&[0]));
        assert_closed(stream.wait_readable());
        assert_closed(stream.wait_writable());
        assert_closed(stream.shutdown(Shutdown::Both));
        assert_closed(stream.local_addr());
        assert_closed(stream.set_nodelay(true));
        assert_closed(stream.try_clone());
        // Nobody else may get the number while somebody may still use it.
        assert_eq!(stream.as_raw_fd(), number);
        let (other, _other_peer) = UnixStream::pair().unwrap();
        assert_ne!(other.as_raw_fd(), number);
        assert!(format!("{stream:?}").contains("fd: "), "{stream:?}");
        assert_closed(stream.into_std());
    });
}

#[test]
fn a_clone_keeps_the_connection() {
    run(|| {
        let (stream, mut peer) = connected();
        let mut clone = stream.try_clone().unwrap();
        stream.close().unwrap();
        clone.write_all(b"still here").unwrap();
        let mut heard = [0; 10];
        peer.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"still here");
        peer.write_all(b"x").unwrap();
        clone.read_exact(&mut [0]).unwrap();
    });
}

#[test]
fn closing_a_listener_ends_its_loop_and_frees_its_port() {
    run(|| {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let addr = listener.local_addr().unwrap();
        let server = spawn({
            let listener = listener.clone();
            move || listener.incoming().map(Result::unwrap).count()
        });
        let acceptor = spawn({
            let listener = listener.clone();
            until_waits(server.id(), "accept");
            move || listener.accept()
        });
        until_waits(acceptor.id(), "turn");
        listener.close().unwrap();
        assert_eq!(server.join().unwrap(), 0);
        assert_closed(acceptor.join().unwrap());
        assert_closed(listener.try_accept());
        assert_closed(listener.local_addr());
        let again = TcpListener::bind(addr).unwrap();
        let _client = TcpStream::connect(addr).unwrap();
        again.accept().unwrap();
    });
}

#[test]
fn plain_threads_are_woken_too() {
    let (one, _other) = UnixStream::pair().unwrap();
    let one = Arc::new(one);
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let one = one.clone();
            thread::spawn(move || {
                let first = (&*one).read(&mut [0]);
                // A thread has one bell for all its waits: it must be silent again.
                let (other, mut peer) = UnixStream::pair().unwrap();
                let shout = thread::spawn(move || peer.write_all(b"x"));
                (&other).read_exact(&mut [0]).unwrap();
                shout.join().unwrap().unwrap();
                first
            })
        })
        .collect();
    // Both are in the kernel, or on their way there.
    run(move || {
        for _ in 0..100 {
            crate::yield_now();
        }
        one.close().unwrap();
    });
    for reader in readers {
        assert_closed(reader.join().unwrap());
    }
}

/// What may befall a coroutine that waits for a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Blow {
    Interrupt,
    Close,
    Connection,
}

#[test]
fn closing_interrupting_and_connecting_in_all_orders() {
    use Blow::{Close, Connection, Interrupt};
    let orders = [
        [Interrupt, Close, Connection],
        [Close, Interrupt, Connection],
        [Connection, Interrupt, Close],
        [Connection, Close, Interrupt],
        [Interrupt, Connection, Close],
    ];
    for blows in orders {
        for waits_first in [false, true] {
            for between in [0, 1, 3] {
                for seed in 0..4 {
                    crate::testing::run(seed, move || strike(blows, waits_first, between));
                }
            }
        }
    }
}

fn strike(blows: [Blow; 3], waits_first: bool, between: usize) {
    let name = format!("grapeshot-close-{:?}", thread::current().id());
    let addr = {
        use std::os::linux::net::SocketAddrExt;
        std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap()
    };
    let listener = Arc::new(UnixListener::bind_addr(&addr).unwrap());
    let [acceptor, next] = ["accept", "turn"].map(|wait| {
        let listener = listener.clone();
        let acceptor = spawn(move || listener.accept().map(drop));
        if waits_first {
            until_waits(acceptor.id(), wait);
        }
        acceptor
    });
    let mut clients = Vec::new();
    for blow in blows {
        match blow {
            Blow::Interrupt => acceptor.interrupt(),
            Blow::Close => listener.close().unwrap(),
            // Refused if the listener is closed already.
            Blow::Connection => clients.extend(UnixStream::connect_addr(&addr)),
        }
        for _ in 0..between {
            crate::yield_now();
        }
    }
    let mut accepted = 0;
    for (acceptor, may_be_interrupted) in [(acceptor, true), (next, false)] {
        match acceptor.join() {
            Ok(Ok(())) => accepted += 1,
            Ok(Err(error)) => assert!(Closed::is(&error), "{blows:?}: {error:?}"),
            Err(JoinError::Interrupted) if may_be_interrupted => {}
            other => panic!("{blows:?}: {other:?}"),
        }
    }
    assert!(accepted <= clients.len(), "{blows:?}");
}

/// From another worker, at any moment: the readers are woken, the queued ones too, and none reads from a stranger with the
/// same number.
#[test]
fn closing_from_another_worker_races_with_reading() {
    run(|| {
        for round in 0..300_usize {
            let (stream, mut peer) = UnixStream::pair().unwrap();
            let stream = Arc::new(stream);
            let readers: Vec<_> = (0..3)
                .map(|worker| {
                    let stream = stream.clone();
                    let there = Builder::new().placement(Placement::Worker(worker));
                    there.spawn(move || {
                        let mut bytes = 0;
                        loop {
                            match (&*stream).read(&mut [0; 1]) {
                                Ok(0) => panic!("the peer has not closed"),
                                Ok(count) => bytes += count,
                                Err(error) => return (bytes, error),
                            }
                        }
                    })
                })
                .collect();
            // Those whose bit is set in the round's number wait by then.
            for (bit, reader) in readers.iter().enumerate() {
                until(|| {
                    round & 1 << bit == 0
                        || registry::coroutine(reader.id())
                            .is_some_and(|info| info.waits_for.is_some())
                });
            }
            let closer = Builder::new().placement(Placement::Worker(1)).spawn({
                let stream = stream.clone();
                move || stream.close().unwrap()
            });
            // What comes after the close goes nowhere.
            let _ = peer.write(b"some");
            closer.join().unwrap();
            let mut total = 0;
            for reader in readers {
                let (bytes, error) = reader.join().unwrap();
                assert!(Closed::is(&error), "{error:?}");
                total += bytes;
            }
            assert!(total <= 4);
        }
    });
}

#[test]
fn a_close_for_which_there_is_no_descriptor_does_nothing() {
    const NAME: &str = "net::tests::close::a_close_for_which_there_is_no_descriptor_does_nothing";
    alone(NAME, || {
        run(|| {
            let (one, mut other) = UnixStream::pair().unwrap();
            let (two, _other) = UnixStream::pair().unwrap();
            exhaust_descriptors(0);
            let error = one.close().unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
            other.write_all(b"open").unwrap();
            (&one).read_exact(&mut [0; 4]).unwrap();
            drop(other);
            // Only the first needs one, and it has it now.
            one.close().unwrap();
            assert_closed((&one).read(&mut [0]));
            while std::fs::File::open("/dev/null")
                .map(std::mem::forget)
                .is_ok()
            {}
            two.close().unwrap();
        });
    });
}
