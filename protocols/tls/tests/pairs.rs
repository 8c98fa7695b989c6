//! Each backend's client with each backend's server. `tests/native-tls` runs this with both.

mod support;

use std::io::{Read, Write};
use std::sync::{Arc, LazyLock};

use grapeshot::net::{Shutdown, Stream as _};
use grapeshot::testing::NetworkConfig;
use grapeshot::{sleep, spawn, with_timeout};
use grapeshot_tls::demo::Identity;
use grapeshot_tls::{Backend, Error, client, server};
use std::time::Duration;

use support::{AUTHORITY, Sides, echo, made, simulate};

/// With a key of a kind that every library reads.
static SERVER: LazyLock<Identity> = LazyLock::new(|| made(AUTHORITY.host(["server"])));

fn pairs() -> Vec<(&'static str, Sides)> {
    let backends = [
        Backend::Rustls,
        #[cfg(feature = "native-tls")]
        Backend::Native,
    ];
    let mut pairs = Vec::new();
    for server in backends {
        for client in backends {
            let name = format!("{client:?} to {server:?}").leak();
            pairs.push((&*name, sides(server, client)));
        }
    }
    pairs
}

fn sides(server: Backend, client: Backend) -> Sides {
    Sides {
        server: server::Config::builder()
            .backend(server)
            .certificate(SERVER.chain(), SERVER.key())
            .alpn(["second", "first"])
            .build()
            .expect("a server's configuration"),
        client: client::Config::builder()
            .backend(client)
            .authorities(AUTHORITY.pem())
            .alpn(["first"])
            .build()
            .expect("a client's configuration"),
    }
}

fn with_each_pair(network: NetworkConfig, f: fn(&'static str, &Sides)) {
    for (name, sides) in pairs() {
        simulate(network.clone(), move || f(name, &sides));
    }
}

#[test]
fn what_is_sent_comes_back_however_it_is_cut() {
    with_each_pair(NetworkConfig::new().chop(true), |name, sides| {
        let served = sides.serve(echo);
        let mut stream = sides.connect().expect("a handshake");
        assert_eq!(stream.info().alpn.as_deref(), Some(&b"first"[..]), "{name}");
        let sent: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        for size in [1, 100, 16_384, 16_385, 100_000] {
            stream.write_all(&sent[..size]).expect("it is sent");
            let mut back = vec![0; size];
            stream.read_exact(&mut back).expect("it comes back");
            assert!(back == sent[..size], "{name}: {size} bytes");
        }
        stream.close().expect("a good-bye");
        assert_eq!(stream.read(&mut [0; 10]).expect("theirs"), 0, "{name}");
        served.join();
    });
}

#[test]
fn one_coroutine_reads_while_another_writes() {
    let network = NetworkConfig::new().chop(true).buffer(4_096);
    with_each_pair(network, |name, sides| {
        let served = sides.serve(echo);
        let stream = Arc::new(sides.connect().expect("a handshake"));
        let writer = Arc::clone(&stream);
        let writing = spawn(move || {
            (&*writer).write_all(&[7; 300_000]).expect("it is sent");
            writer.shutdown(Shutdown::Write).expect("it is open");
        });
        let mut back = Vec::new();
        (&*stream).read_to_end(&mut back).expect("all of it");
        writing.join().expect("it wrote");
        assert!(back == vec![7; 300_000], "{name}: {} bytes", back.len());
        served.join();
    });
}

#[test]
fn small_slices_go_together() {
    with_each_pair(NetworkConfig::new(), |name, sides| {
        let served = sides.serve(|stream| {
            let mut all = [0; 100];
            // One record, so one read.
            let count = stream.read(&mut all).expect("something");
            assert_eq!(&all[..count], b"a head, and a body");
        });
        let stream = sides.connect().expect("a handshake");
        let slices = [&b"a head"[..], b"", b", and ", b"a body"].map(std::io::IoSlice::new);
        let count = stream.write_vectored(&slices).expect("it is sent");
        assert_eq!(count, 18, "{name}");
        served.join();
    });
}

#[test]
fn an_end_without_close_notify_is_a_truncation() {
    with_each_pair(NetworkConfig::new(), |name, sides| {
        let served = sides.serve(|stream| {
            let mut buffer = [0; 10];
            let count = stream.read(&mut buffer).expect("a question");
            stream.write(&buffer[..count]).expect("half an answer");
            // It is dropped without a word.
        });
        let mut stream = sides.connect().expect("a handshake");
        stream.write_all(b"ahoy").expect("it is sent");
        let mut answer = Vec::new();
        let error = stream.read_to_end(&mut answer).expect_err("it is cut off");
        served.join();
        assert_eq!(answer, b"ahoy", "{name}");
        assert_eq!(Error::of(&error), Some(&Error::Truncated), "{name}");
    });
}

#[test]
fn a_read_that_unwound_has_taken_nothing() {
    with_each_pair(NetworkConfig::new().chop(true), |name, sides| {
        let served = sides.serve(|stream| {
            for letter in b"abcdefgh" {
                sleep(Duration::from_millis(7));
                (&*stream).write_all(&[*letter; 3_000]).expect("it is sent");
            }
            stream.close().expect("a good-bye");
        });
        let stream = sides.connect().expect("a handshake");
        let mut got = Vec::new();
        let mut unwound = 0;
        loop {
            let mut buffer = [0; 1_000];
            match with_timeout(Duration::from_millis(1), || stream.read(&mut buffer)) {
                Err(_) => unwound += 1,
                Ok(Ok(0)) => break,
                Ok(Ok(count)) => got.extend_from_slice(&buffer[..count]),
                Ok(Err(error)) => panic!("{error}"),
            }
        }
        let all: Vec<u8> = b"abcdefgh".iter().flat_map(|&l| [l; 3_000]).collect();
        served.join();
        assert!(unwound > 10, "{name}: {unwound} reads unwound");
        assert!(got == all, "{name}: {} bytes", got.len());
    });
}

#[test]
fn a_write_that_unwound_poisons_the_stream() {
    with_each_pair(NetworkConfig::new().buffer(4_096), |name, sides| {
        let served = sides.serve(|stream| {
            stream.prepare().expect("a handshake");
            sleep(Duration::from_secs(10));
            // What was sent whole can be read; then it is cut off, or reset.
            (&*stream)
                .read_to_end(&mut Vec::new())
                .expect_err("no good-bye");
        });
        let stream = sides.connect().expect("a handshake");
        let long = vec![0; 1 << 20];
        with_timeout(Duration::from_secs(1), || (&stream).write_all(&long))
            .expect_err("nobody reads");
        let error = stream.write(b"more").expect_err("a record is half sent");
        assert_eq!(Error::of(&error), Some(&Error::Poisoned), "{name}");
        stream.shutdown(Shutdown::Write).expect("that can be done");
        drop(stream);
        served.join();
    });
}

#[test]
fn reading_ends_when_this_side_ends_it() {
    with_each_pair(NetworkConfig::new(), |name, sides| {
        let served = sides.serve(|stream| {
            // The client's good-bye comes although it reads no more.
            assert_eq!(stream.read(&mut [0; 10]).expect("a good-bye"), 0);
        });
        let stream = Arc::new(sides.connect().expect("a handshake"));
        let reader = Arc::clone(&stream);
        let reading = spawn(move || reader.read(&mut [0; 10]));
        sleep(Duration::from_millis(50));
        stream.shutdown(Shutdown::Both).expect("it is open");
        let read = reading.join().expect("it ended");
        assert_eq!(read.expect("an end, and no truncation"), 0, "{name}");
        served.join();
    });
}

#[test]
fn a_server_that_is_not_trusted_is_refused() {
    with_each_pair(NetworkConfig::new(), |name, sides| {
        let served = sides.serve(|stream| {
            stream.prepare().expect_err("the client goes");
        });
        let error = sides.connect_as("elsewhere").expect_err("another name");
        let error = Error::of(&error).cloned();
        assert!(
            matches!(
                &error,
                Some(Error::Certificate(
                    grapeshot_tls::CertificateFault::WrongName(_)
                ))
            ),
            "{name}: {error:?}"
        );
        served.join();
    });
}
