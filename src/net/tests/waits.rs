use std::io::{ErrorKind, Read, Write};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::{connected, fill, pair, run, run_seeds, until, until_waits};
use crate::net::{Shutdown, TcpListener, TcpStream};
use crate::{Builder, JoinError, Placement, registry, spawn, testing, with_timeout};

#[test]
fn one_reads_while_another_writes() {
    run(|| {
        let (stream, peer) = connected();
        let echo = thread::spawn(move || std::io::copy(&mut &peer, &mut &peer).unwrap());
        let stream = Arc::new(stream);
        let message: Vec<u8> = (0..1_u32 << 19).flat_map(u32::to_le_bytes).collect();
        let expected = message.clone();
        let writer = spawn({
            let stream = stream.clone();
            move || {
                (&*stream).write_all(&message).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
            }
        });
        let mut heard = Vec::new();
        (&*stream).read_to_end(&mut heard).unwrap();
        assert!(heard == expected);
        writer.join().unwrap();
        assert_eq!(echo.join().unwrap(), expected.len() as u64);
    });
}

#[test]
fn readers_are_served_in_the_order_of_arrival() {
    run_seeds(|_| {
        let (stream, mut peer) = connected();
        let stream = Arc::new(stream);
        let served = Arc::new(Mutex::new(Vec::new()));
        let readers: Vec<_> = (0..5)
            .map(|reader| {
                let (stream, served) = (stream.clone(), served.clone());
                let handle = spawn(move || {
                    let mut byte = [0];
                    (&*stream).read_exact(&mut byte).unwrap();
                    served.lock().unwrap().push((reader, byte[0]));
                });
                until_waits(handle.id(), if reader == 0 { "read" } else { "turn" });
                handle
            })
            .collect();
        for (sent, byte) in (0..5).enumerate() {
            peer.write_all(&[byte]).unwrap();
            until(|| served.lock().unwrap().len() == sent + 1);
        }
        for reader in readers {
            reader.join().unwrap();
        }
        assert_eq!(
            *served.lock().unwrap(),
            [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]
        );
    });
}

#[test]
fn five_readers_interrupted_and_the_sixth_reads_once() {
    run_seeds(|seed| {
        let (stream, mut peer) = connected();
        let stream = Arc::new(stream);
        let readers: Vec<_> = (0..6)
            .map(|_| {
                let stream = stream.clone();
                let reader = spawn(move || {
                    let mut buf = [0; 8];
                    let count = (&*stream).read(&mut buf).unwrap();
                    buf[..count].to_vec()
                });
                until(|| {
                    registry::coroutine(reader.id()).is_some_and(|info| info.waits_for.is_some())
                });
                reader
            })
            .collect();
        if seed % 2 == 0 {
            peer.write_all(b"once").unwrap();
        }
        readers[..5].iter().for_each(crate::JoinHandle::interrupt);
        if seed % 2 == 1 {
            peer.write_all(b"once").unwrap();
        }
        let heard: Vec<_> = readers
            .into_iter()
            .filter_map(|reader| reader.join().ok())
            .collect();
        assert_eq!(heard, [b"once"]);
    });
}

#[test]
fn a_timed_out_read_has_taken_nothing() {
    testing::run(4, || {
        let (mut stream, mut peer) = connected();
        for _ in 0..3 {
            assert!(with_timeout(Duration::from_secs(60), || stream.read(&mut [0; 8])).is_err());
        }
        peer.write_all(b"whole").unwrap();
        let mut buf = [0; 5];
        stream.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"whole");
    });
}

#[test]
fn a_timed_out_write_has_sent_nothing() {
    testing::run(4, || {
        let (mut stream, mut peer) = connected();
        let mut sent = fill(&stream);
        // The peer's kernel may yet make room for a little more.
        let outcome = loop {
            match with_timeout(Duration::from_secs(60), || stream.write(&[b'y'; 1 << 20])) {
                Ok(count) => sent += count.unwrap(),
                Err(elapsed) => break elapsed,
            }
        };
        assert_eq!(outcome, crate::Elapsed);
        let drain = thread::spawn(move || {
            let mut heard = Vec::new();
            peer.read_to_end(&mut heard).unwrap();
            heard.len()
        });
        stream.write_all(b"the end").unwrap();
        drop(stream);
        assert_eq!(drain.join().unwrap(), sent + 7);
    });
}

#[test]
fn plain_threads_use_the_same_sockets() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = [0; 4];
        stream.read_exact(&mut heard).unwrap();
        stream.write_all(&heard).unwrap();
        // A timeout works here too; this one is real.
        assert!(with_timeout(Duration::from_millis(5), || stream.read(&mut heard)).is_err());
        stream
    });
    let stream = run(move || {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.write_all(b"ping").unwrap();
        let mut echo = [0; 4];
        stream.read_exact(&mut echo).unwrap();
        assert_eq!(&echo, b"ping");
        stream
    });
    let server = server.join().unwrap();
    // The runtime is gone, the socket is not; first here, then in a second runtime.
    (&server).write_all(b"after").unwrap();
    let mut heard = [0; 5];
    (&stream).read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"after");
    run(move || {
        let reader = spawn(move || {
            let mut heard = String::new();
            (&stream).read_to_string(&mut heard).unwrap();
            heard
        });
        until_waits(reader.id(), "read");
        (&server).write_all(b"again").unwrap();
        drop(server);
        assert_eq!(reader.join().unwrap(), "again");
    });
}

#[test]
fn a_socket_moves_between_workers() {
    run(|| {
        let (one, other) = pair();
        let (one, other) = (Arc::new(one), Arc::new(other));
        for round in 0..50_u8 {
            let reader = Builder::new()
                .placement(Placement::Worker(round.into()))
                .spawn({
                    let one = one.clone();
                    move || {
                        let mut byte = [0];
                        (&*one).read_exact(&mut byte).unwrap();
                        byte[0]
                    }
                });
            until_waits(reader.id(), "read");
            let writer = Builder::new()
                .placement(Placement::Worker((round / 2).into()))
                .spawn({
                    let other = other.clone();
                    move || (&*other).write_all(&[round]).unwrap()
                });
            writer.join().unwrap();
            assert_eq!(reader.join().unwrap(), round);
        }
    });
}

#[test]
fn an_interrupted_connect_leaves_nothing_behind() {
    testing::run(6, || {
        let full = crate::net::ListenOptions::new()
            .backlog(0)
            .bind("127.0.0.1:0")
            .unwrap();
        let addr = full.local_addr().unwrap();
        let _first = std::net::TcpStream::connect(addr).unwrap();
        let connecting = spawn(move || TcpStream::connect(addr).map(drop));
        until_waits(connecting.id(), "connect");
        connecting.interrupt();
        assert!(matches!(connecting.join(), Err(JoinError::Interrupted)));
        // Only the first was ever there.
        full.accept().unwrap();
        assert_eq!(full.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

/// Reads when it is dropped.
struct ReadsInDrop(TcpStream, Arc<Mutex<Option<std::io::Result<usize>>>>);

impl Drop for ReadsInDrop {
    fn drop(&mut self) {
        *self.1.lock().unwrap() = Some(self.0.read(&mut [0; 8]));
    }
}

#[test]
fn a_destructor_that_would_have_to_wait_gets_an_error() {
    testing::run(8, || {
        let (stream, _peer) = connected();
        let seen = Arc::new(Mutex::new(None));
        let outcome = with_timeout(Duration::from_secs(1), {
            let seen = seen.clone();
            move || {
                let _guard = ReadsInDrop(stream, seen);
                crate::sleep(Duration::from_secs(9));
            }
        });
        assert!(outcome.is_err());
        let error = seen.lock().unwrap().take().unwrap().unwrap_err();
        let refused = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<crate::Refused>());
        assert!(refused.is_some(), "{error:?}");
    });
}

/// A read stops at urgent data, so it may be short with more to come.
#[test]
fn a_read_cut_short_by_urgent_data_is_not_the_last() {
    run(|| {
        let (mut stream, peer) = connected();
        let reader = spawn(move || {
            let mut heard = Vec::new();
            let mut buf = [0; 64];
            while heard.len() < 6 {
                let count = stream.read(&mut buf).unwrap();
                heard.extend_from_slice(&buf[..count]);
            }
            (stream, heard)
        });
        until_waits(reader.id(), "read");
        (&peer).write_all(b"0").unwrap();
        (&peer).write_all(b"ab").unwrap();
        rustix::net::send(&peer, b"!", rustix::net::SendFlags::OOB).unwrap();
        (&peer).write_all(b"cde").unwrap();
        let (_stream, heard) = reader.join().unwrap();
        assert_eq!(heard, b"0abcde");
    });
}
