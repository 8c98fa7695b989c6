use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use super::{connected, fill, pair, run, run_seeds, until_waits};
use crate::net::{Shutdown, UnixStream};
use crate::registry::{self, State};
use crate::{JoinError, spawn, yield_now};

#[test]
fn shutting_down_wakes_reader_and_writer() {
    run(|| {
        let (stream, _peer) = connected();
        fill(&stream);
        let stream = Arc::new(stream);
        let reader = spawn({
            let stream = stream.clone();
            move || (&*stream).read(&mut [0; 8]).unwrap()
        });
        let writer = spawn({
            let stream = stream.clone();
            move || loop {
                // The kernel may still have taken a little.
                if let Err(error) = (&*stream).write(&[0; 1 << 20]) {
                    break error.kind();
                }
            }
        });
        until_waits(reader.id(), "read");
        until_waits(writer.id(), "write");
        stream.shutdown(Shutdown::Both).unwrap();
        assert_eq!(reader.join().unwrap(), 0);
        assert_eq!(writer.join().unwrap(), ErrorKind::BrokenPipe);
    });
}

/// What may befall a coroutine that waits to read.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Interrupt,
    Shutdown,
    PeerCloses,
}

/// Every order of two blows, before and after the reader waits, with a second reader queued behind the first.
#[test]
fn closing_and_interrupting_in_all_orders() {
    use Blow::{Interrupt, PeerCloses, Shutdown as Shut};
    let orders = [
        [Interrupt, Shut],
        [Shut, Interrupt],
        [Interrupt, PeerCloses],
        [PeerCloses, Interrupt],
        [Shut, PeerCloses],
        [PeerCloses, Shut],
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

fn strike(blows: [Blow; 2], waits_first: bool, between: usize) {
    let (stream, peer) = UnixStream::pair().unwrap();
    let (stream, mut peer) = (Arc::new(stream), Some(peer));
    let [reader, next] = ["read", "turn"].map(|wait| {
        let stream = stream.clone();
        let reader = spawn(move || (&*stream).read(&mut [0; 8]).unwrap());
        if waits_first {
            until_waits(reader.id(), wait);
        }
        reader
    });
    for blow in blows {
        match blow {
            Blow::Interrupt => reader.interrupt(),
            Blow::Shutdown => stream.shutdown(Shutdown::Both).unwrap(),
            Blow::PeerCloses => drop(peer.take()),
        }
        for _ in 0..between {
            yield_now();
        }
    }
    let interrupted = matches!(blows, [Blow::Interrupt, _] | [_, Blow::Interrupt]);
    match reader.join() {
        Ok(0) => {}
        Err(JoinError::Interrupted) if interrupted => {}
        other => panic!("{blows:?}: {other:?}"),
    }
    assert_eq!(
        next.join().unwrap(),
        0,
        "{blows:?}: the next in the queue sees the end"
    );
}

/// Two streams become ready in one poll, and whoever wakes first interrupts the other.
#[test]
fn two_ready_at_once_interrupt_each_other() {
    run_seeds(|_| {
        let (one, mut one_peer) = UnixStream::pair().unwrap();
        let (two, mut two_peer) = UnixStream::pair().unwrap();
        let ids = Arc::new(crate::sync::Mutex::new(Vec::new()));
        let readers: Vec<_> = [one, two]
            .into_iter()
            .enumerate()
            .map(|(me, mut stream)| {
                let ids = ids.clone();
                let reader = spawn(move || {
                    stream.read_exact(&mut [0]).unwrap();
                    let other = ids.lock()[1 - me];
                    drop(stream);
                    registry::interrupt(other);
                });
                until_waits(reader.id(), "read");
                reader
            })
            .collect();
        ids.lock().extend(readers.iter().map(crate::JoinHandle::id));
        one_peer.write_all(b"x").unwrap();
        two_peer.write_all(b"x").unwrap();
        let ended = readers
            .into_iter()
            .map(crate::JoinHandle::join)
            .filter(Result::is_ok)
            .count();
        assert!(ended >= 1, "at least one reads");
    });
}

/// A socket's number is given out again at once; what was on its way to the old one must not reach the new one.
#[test]
fn a_reused_number_gets_no_old_event() {
    run(|| {
        let mut reused = 0;
        for round in 0..500_u32 {
            let (old, mut old_peer) = UnixStream::pair().unwrap();
            let number = old.as_raw_fd();
            // Registered with the poller by a wait, and with an event on its way when it is closed.
            let reader = spawn(move || {
                (&old).read_exact(&mut [0]).unwrap();
                old
            });
            until_waits(reader.id(), "read");
            old_peer.write_all(b"1").unwrap();
            let old = reader.join().unwrap();
            old_peer.write_all(b"2").unwrap();
            drop(old);

            let (one, other) = UnixStream::pair().unwrap();
            reused += u32::from(one.as_raw_fd() == number || other.as_raw_fd() == number);
            let (one, mut other) = if other.as_raw_fd() == number {
                (other, one)
            } else {
                (one, other)
            };
            drop(old_peer);
            let waiter = spawn(move || {
                one.wait_readable().unwrap();
                one
            });
            until_waits(waiter.id(), "read");
            for _ in 0..3 {
                yield_now();
                let info = registry::coroutine(waiter.id()).unwrap();
                assert_eq!(
                    info.state,
                    State::Waiting,
                    "round {round}: woken by its predecessor's event"
                );
            }
            other.write_all(b"3").unwrap();
            let mut byte = [0];
            (&waiter.join().unwrap()).read_exact(&mut byte).unwrap();
            assert_eq!(&byte, b"3");
        }
        assert!(
            reused > 0,
            "no number was reused: this test has tested nothing"
        );
    });
}

#[test]
fn writing_to_the_dead_is_an_error_and_no_signal() {
    run(|| {
        let (mut one, other) = pair();
        drop(other);
        // The first write may still be taken; the peer's answer to it is a reset.
        let error = loop {
            if let Err(error) = one.write(b"x") {
                break error;
            }
            yield_now();
        };
        assert!(
            matches!(
                error.kind(),
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
            ),
            "{error}"
        );
        assert_eq!(
            one.write_vectored(&[std::io::IoSlice::new(b"x")])
                .unwrap_err()
                .kind(),
            ErrorKind::BrokenPipe
        );

        let (mut one, other) = UnixStream::pair().unwrap();
        drop(other);
        assert_eq!(one.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(
            one.write_vectored(&[std::io::IoSlice::new(b"x")])
                .unwrap_err()
                .kind(),
            ErrorKind::BrokenPipe
        );
    });
}
