use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use super::{connected, pair, refusing, run};
use crate::net::{ListenOptions, SocketAddr, TcpListener, TcpStream};
use crate::{spawn, testing};

fn is_nonblocking(fd: impl AsFd) -> bool {
    rustix::fs::fcntl_getfl(fd)
        .unwrap()
        .contains(rustix::fs::OFlags::NONBLOCK)
}

fn is_cloexec(fd: impl AsFd) -> bool {
    rustix::io::fcntl_getfd(fd)
        .unwrap()
        .contains(rustix::io::FdFlags::CLOEXEC)
}

#[test]
fn both_ends_agree_on_the_addresses() {
    run(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (theirs, peer) = listener.accept().unwrap();
        assert_eq!(ours.local_addr().unwrap(), peer);
        assert_eq!(ours.local_addr().unwrap(), theirs.peer_addr().unwrap());
        assert_eq!(ours.peer_addr().unwrap(), theirs.local_addr().unwrap());

        let listener = TcpListener::bind("[::1]:0").unwrap();
        let theirs = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, peer) = listener.accept().unwrap();
        assert_eq!(peer, theirs.local_addr().unwrap());
        assert_eq!(ours.peer_addr().unwrap(), peer);
    });
}

#[test]
fn debug_is_stds() {
    run(|| {
        let (stream, _peer) = connected();
        let ours = format!("{stream:?}");
        assert_eq!(ours, format!("{:?}", stream.into_std().unwrap()));
        assert!(ours.starts_with("TcpStream { addr: 127.0.0.1:"), "{ours}");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = format!("{listener:?}");
        assert_eq!(ours, format!("{:?}", listener.into_std().unwrap()));
    });
}

#[test]
fn options_reach_the_socket() {
    run(|| {
        let (stream, _peer) = connected();
        for on in [true, false] {
            stream.set_nodelay(on).unwrap();
            assert_eq!(stream.nodelay().unwrap(), on);
        }
        stream.set_ttl(42).unwrap();
        assert_eq!(stream.ttl().unwrap(), 42);
        for linger in [Some(Duration::ZERO), None] {
            stream.set_linger(linger).unwrap();
            assert_eq!(stream.linger().unwrap(), linger);
        }
        stream.set_keepalive(Some(Duration::from_secs(77))).unwrap();
        assert!(SockRef::from(&stream).keepalive().unwrap());
        assert_eq!(
            SockRef::from(&stream).tcp_keepalive_time().unwrap(),
            Duration::from_secs(77)
        );
        assert_eq!(stream.keepalive().unwrap(), Some(Duration::from_secs(77)));
        stream.set_keepalive(None).unwrap();
        assert!(!SockRef::from(&stream).keepalive().unwrap());
        assert_eq!(stream.keepalive().unwrap(), None);
        stream
            .set_keepalive_probes(Duration::from_secs(5), 3)
            .unwrap();
        assert_eq!(
            stream.keepalive_probes().unwrap(),
            (Duration::from_secs(5), 3)
        );
        for wrong in [(Duration::ZERO, 3), (Duration::from_secs(5), 128)] {
            let error = stream.set_keepalive_probes(wrong.0, wrong.1).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong:?}");
        }
        for on in [true, false] {
            stream.set_cork(on).unwrap();
            assert_eq!(stream.cork().unwrap(), on);
            stream.set_quickack(on).unwrap();
            assert_eq!(stream.quickack().unwrap(), on);
        }
        for limit in [Some(Duration::from_millis(1500)), None] {
            stream.set_user_timeout(limit).unwrap();
            assert_eq!(stream.user_timeout().unwrap(), limit);
        }
        stream.set_user_timeout(Some(Duration::ZERO)).unwrap();
        assert_eq!(
            stream.user_timeout().unwrap(),
            Some(Duration::from_millis(1))
        );
        assert!(stream.set_user_timeout(Some(Duration::MAX)).is_err());
        for bytes in [Some(1 << 17), None] {
            stream.set_notsent_lowat(bytes).unwrap();
            assert_eq!(stream.notsent_lowat().unwrap(), bytes);
        }
        stream.set_notsent_lowat(Some(0)).unwrap();
        assert_eq!(stream.notsent_lowat().unwrap(), Some(1));
        stream.set_recv_buffer_size(20_000).unwrap();
        assert_eq!(stream.recv_buffer_size().unwrap(), 40_000);
        stream.set_send_buffer_size(30_000).unwrap();
        assert_eq!(stream.send_buffer_size().unwrap(), 60_000);
        assert!(stream.take_error().unwrap().is_none());

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_ttl(43).unwrap();
        assert_eq!(listener.ttl().unwrap(), 43);
        assert!(listener.take_error().unwrap().is_none());
    });
}

#[test]
fn every_descriptor_is_nonblocking_and_closed_by_exec() {
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let clones = (listener.try_clone().unwrap(), client.try_clone().unwrap());
        for fd in [
            listener.as_fd(),
            client.as_fd(),
            server.as_fd(),
            clones.0.as_fd(),
            clones.1.as_fd(),
        ] {
            assert!(is_nonblocking(fd) && is_cloexec(fd), "{fd:?}");
        }
    });
}

#[test]
fn conversions_set_the_mode() {
    run(|| {
        let (stream, peer) = connected();
        let number = stream.as_raw_fd();
        let std = stream.into_std().unwrap();
        assert_eq!(std.as_raw_fd(), number);
        assert!(!is_nonblocking(&std));
        let stream = TcpStream::try_from(std).unwrap();
        assert!(is_nonblocking(&stream));

        let fd = OwnedFd::from(stream);
        assert_eq!(fd.as_raw_fd(), number);
        let mut stream = TcpStream::try_from(fd).unwrap();
        (&peer).write_all(b"still there").unwrap();
        let mut buf = [0; 11];
        stream.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"still there");

        let raw = stream.into_raw_fd();
        assert_eq!(raw, number);
        drop(adopt(raw));
        assert_eq!(
            (&peer).read(&mut buf).unwrap(),
            0,
            "nobody else held the descriptor"
        );
    });
}

/// Takes over a descriptor that was given away as a number.
#[expect(unsafe_code)]
fn adopt(raw: i32) -> OwnedFd {
    // SAFETY: it comes from `into_raw_fd`, and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

/// What is held back goes out with what follows, in one segment: a reader finds both at once.
#[test]
fn a_cork_joins_writes() {
    run(|| {
        let (mut stream, mut peer) = connected();
        stream.set_nodelay(true).unwrap();
        stream.set_cork(true).unwrap();
        stream.write_all(b"head").unwrap();
        peer.set_nonblocking(true).unwrap();
        assert_eq!(
            peer.read(&mut [0; 8]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        stream.write_all(b"body").unwrap();
        stream.set_cork(false).unwrap();
        peer.set_nonblocking(false).unwrap();
        assert_eq!(peer.read(&mut [0; 16]).unwrap(), 8);
    });
}

/// A peer that takes nothing fills its own buffer; what ours keeps beyond that is bounded. And all of it arrives in the end.
#[test]
fn little_is_kept_for_a_peer_that_does_not_read() {
    run(|| {
        let taken = |limit| {
            let (stream, mut peer) = connected();
            stream.set_notsent_lowat(limit).unwrap();
            let (chunk, mut taken) = ([7; 4 << 10], 0);
            let error = loop {
                match stream.try_write(&chunk) {
                    Ok(count) => taken += count,
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            let reader = thread::spawn(move || io::copy(&mut peer, &mut io::sink()).unwrap());
            (&stream).write_all(&chunk).unwrap();
            drop(stream);
            let arrived = crate::unblock(|| reader.join().unwrap()).unwrap();
            assert_eq!(arrived, (taken + chunk.len()) as u64);
            taken
        };
        let (without, with) = (taken(None), taken(Some(64 << 10)));
        assert!(with < without / 2, "{with} of {without} bytes");
    });
}

#[test]
fn all_the_slices_are_written() {
    run(|| {
        let (stream, mut peer) = connected();
        let bytes: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
        let expected = bytes.clone();
        let writer = spawn(move || {
            // Some empty, some of one byte, more than one call takes, and more bytes than the kernel does.
            let (small, large) = bytes.split_at(3_000);
            let mut slices = vec![IoSlice::new(b"")];
            slices.extend(small.chunks(1).map(IoSlice::new));
            slices.extend(large.chunks(100_000).map(IoSlice::new));
            slices.push(IoSlice::new(b""));
            stream.write_all_vectored(&mut slices).unwrap();
            stream.write_all_vectored(&mut []).unwrap();
        });
        let mut heard = Vec::new();
        peer.read_to_end(&mut heard).unwrap();
        writer.join().unwrap();
        assert!(heard == expected);
    });
}

#[test]
fn half_closing_ends_one_direction() {
    run(|| {
        let (mut stream, mut peer) = connected();
        peer.write_all(b"the last").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        let mut heard = String::new();
        stream.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "the last");
        assert_eq!(
            stream.read(&mut [0; 8]).unwrap(),
            0,
            "the end stays the end"
        );

        stream.write_all(b"and mine").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(
            stream.write(b"more").unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
        let mut heard = String::new();
        peer.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "and mine");
    });
}

#[test]
fn peeking_takes_nothing() {
    run(|| {
        let (mut stream, mut peer) = connected();
        let peeker = thread::spawn(move || {
            peer.write_all(b"abc").unwrap();
            peer
        });
        let mut buf = [0; 8];
        assert_eq!(stream.peek(&mut buf[..1]).unwrap(), 1);
        let _peer = peeker.join().unwrap();
        assert_eq!(buf[0], b'a');
        assert_eq!(stream.peek(&mut buf).unwrap(), 3);
        stream.read_exact(&mut buf[..3]).unwrap();
        assert_eq!(&buf[..3], b"abc");
        assert_eq!(
            stream.try_read(&mut buf).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    });
}

#[test]
fn vectored_calls_take_more_slices_than_the_kernel_does() {
    run(|| {
        let (mut one, mut other) = pair();
        let message: Vec<u8> = (0..3_000_u32).map(|i| i as u8).collect();
        let mut slices: Vec<IoSlice<'_>> = message.chunks(1).map(IoSlice::new).collect();
        let mut rest = &mut slices[..];
        while !rest.is_empty() {
            let count = one.write_vectored(rest).unwrap();
            IoSlice::advance_slices(&mut rest, count);
        }
        let mut heard = vec![0; message.len()];
        let mut filled = 0;
        while filled < heard.len() {
            let mut slices: Vec<IoSliceMut<'_>> =
                heard[filled..].chunks_mut(1).map(IoSliceMut::new).collect();
            filled += other.read_vectored(&mut slices).unwrap();
        }
        assert_eq!(heard, message);
    });
}

#[test]
fn a_megabyte_each_way_through_ten_echoes() {
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = spawn(move || {
            for stream in listener.incoming().take(10) {
                let stream = stream.unwrap();
                spawn(move || io::copy(&mut &stream, &mut &stream));
            }
        });
        let message: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
        let (done, all_done) = crate::sync::channel::unbounded();
        let clients: Vec<_> = (0..10)
            .map(|_| {
                let (message, done) = (message.clone(), done.clone());
                thread::spawn(move || {
                    let stream = std::net::TcpStream::connect(addr).unwrap();
                    thread::scope(|threads| {
                        threads.spawn(|| {
                            (&stream).write_all(&message).unwrap();
                            stream.shutdown(Shutdown::Write).unwrap();
                        });
                        let mut echo = Vec::new();
                        (&stream).read_to_end(&mut echo).unwrap();
                        done.send(echo == message).unwrap();
                    });
                })
            })
            .collect();
        server.join().unwrap();
        // Not by joining the threads: that would block a worker that has to echo.
        for _ in &clients {
            assert!(all_done.recv().unwrap());
        }
    });
}

#[test]
fn a_reset_is_told_to_reader_and_writer() {
    run(|| {
        let (mut stream, peer) = connected();
        let reader = spawn(move || {
            let read = stream.read(&mut [0; 8]).unwrap_err().kind();
            let write = stream.write(b"x").unwrap_err().kind();
            (read, write)
        });
        super::until_waits(reader.id(), "read");
        SockRef::from(&peer)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(peer);
        assert_eq!(
            reader.join().unwrap(),
            (ErrorKind::ConnectionReset, ErrorKind::BrokenPipe)
        );

        let (stream, peer) = connected();
        SockRef::from(&peer)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(peer);
        stream.wait_readable().unwrap();
        assert_eq!(
            stream.take_error().unwrap().unwrap().kind(),
            ErrorKind::ConnectionReset
        );
    });
}

#[test]
fn refused_and_then_the_next_address() {
    run(|| {
        let (_bound, refused) = refusing();
        assert_eq!(
            TcpStream::connect(refused).unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addrs = [refused, listener.local_addr().unwrap()];
        let stream = TcpStream::connect(&addrs[..]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addrs[1]);

        let none: [SocketAddr; 0] = [];
        let ours = TcpStream::connect(&none[..]).unwrap_err();
        let theirs = std::net::TcpStream::connect(&none[..]).unwrap_err();
        assert_eq!(
            (ours.kind(), ours.to_string()),
            (theirs.kind(), theirs.to_string())
        );
    });
}

#[test]
fn connecting_may_time_out() {
    testing::run(1, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let zero = TcpStream::connect_timeout(&addr, Duration::ZERO).unwrap_err();
        let stds = std::net::TcpStream::connect_timeout(&addr, Duration::ZERO).unwrap_err();
        assert_eq!(
            (zero.kind(), zero.to_string()),
            (stds.kind(), stds.to_string())
        );
        drop(TcpStream::connect_timeout(&addr, Duration::from_secs(5)).unwrap());

        // A queue with one place, which is taken: the kernel lets further attempts hang.
        let full = ListenOptions::new().backlog(0).bind("127.0.0.1:0").unwrap();
        let addr = full.local_addr().unwrap();
        let _first = std::net::TcpStream::connect(addr).unwrap();
        let error = TcpStream::connect_timeout(&addr, Duration::from_secs(5)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn a_port_in_use_is_refused_and_a_left_one_is_free() {
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        assert_eq!(
            TcpListener::bind(addr).unwrap_err().kind(),
            ErrorKind::AddrInUse
        );

        // A connection that this side closed first lingers in TIME_WAIT at the very address.
        let mut client = std::net::TcpStream::connect(addr).unwrap();
        drop(listener.accept().unwrap());
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
        drop(client);
        drop(listener);
        TcpListener::bind(addr).unwrap();
    });
}

#[test]
fn listeners_may_share_a_port_if_all_agree() {
    run(|| {
        let shared = ListenOptions::new().reuse_port(true);
        let first = shared.bind("127.0.0.1:0").unwrap();
        let addr = first.local_addr().unwrap();
        let second = shared.bind(addr).unwrap();
        assert_eq!(
            TcpListener::bind(addr).unwrap_err().kind(),
            ErrorKind::AddrInUse
        );
        let clients: Vec<_> = (0..64).map(|_| TcpStream::connect(addr).unwrap()).collect();
        let mut counts = [0, 0];
        for (count, listener) in counts.iter_mut().zip([&first, &second]) {
            while listener.try_accept().is_ok() {
                *count += 1;
            }
        }
        assert_eq!(counts[0] + counts[1], clients.len());
        // Each connection falls to either with even odds: none in 64 means that the port is not shared.
        assert!(counts[0] > 0 && counts[1] > 0, "{counts:?}");
    });
}

#[test]
fn clones_are_one_connection() {
    run(|| {
        let (stream, mut peer) = connected();
        let clone = stream.try_clone().unwrap();
        let reader = spawn(move || {
            let mut heard = String::new();
            (&clone).read_to_string(&mut heard).unwrap();
            heard
        });
        super::until_waits(reader.id(), "read");
        (&stream).write_all(b"ping").unwrap();
        let mut ping = [0; 4];
        peer.read_exact(&mut ping).unwrap();
        peer.write_all(b"pong").unwrap();
        drop(peer);
        assert_eq!(reader.join().unwrap(), "pong");
        assert_eq!((&stream).read(&mut [0; 1]).unwrap(), 0);
    });
}
