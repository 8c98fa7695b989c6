//! Two ends of ours on a simulated network.

use std::io::{self, Read, Write};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use grapeshot::net::{Listener as _, Shutdown, Stream, TcpListener, TcpStream};
use grapeshot::sync::channel;
use grapeshot::testing::{NetworkConfig, Simulation, host};
use grapeshot::{JoinHandle, sleep, spawn, with_timeout};
use grapeshot_tls::demo::Authority;
use grapeshot_tls::{Connector, Error, Listener, TlsStream, Version, client, server};

/// Configurations of both sides, whose certificates are valid on the simulation's first day, too.
struct Sides {
    server: server::Config,
    client: client::Config,
}

static SIDES: LazyLock<Sides> = LazyLock::new(|| {
    let day = Duration::from_secs(86_400);
    let (from, to) = (
        SystemTime::UNIX_EPOCH + 9_000 * day,
        SystemTime::UNIX_EPOCH + 60_000 * day,
    );
    let authority = Authority::new().expect("an authority");
    let identity = authority
        .host(["server"])
        .ed25519()
        .valid(from, to)
        .issue()
        .expect("a certificate");
    Sides {
        server: server::Config::new(identity.chain(), identity.key()).expect("it fits"),
        client: client::Config::builder()
            .authorities(authority.pem())
            .build()
            .expect("an authority is enough"),
    }
});

/// Serves each connection with `serve`, in a coroutine of its own.
fn serve(serve: fn(Arc<TlsStream<TcpStream>>)) -> Served {
    let (sender, served) = channel::unbounded();
    host("server", move || {
        let listener = TcpListener::bind("0.0.0.0:443").expect("a port");
        let listener = Listener::new(listener, &SIDES.server);
        while let Ok((stream, _)) = listener.accept() {
            let served = spawn(move || serve(Arc::new(stream)));
            sender.send(served).expect("the test waits for them");
        }
    });
    sleep(Duration::from_millis(1));
    Served(served)
}

/// The coroutines of the server, in the order of their connections.
struct Served(channel::Receiver<JoinHandle<()>>);

impl Served {
    /// Waits for one; it must not have panicked.
    fn join(&self) {
        self.0
            .recv()
            .expect("a connection")
            .join()
            .expect("it served");
    }
}

fn connect() -> io::Result<TlsStream<TcpStream>> {
    let carrier = TcpStream::connect("server:443")?;
    Connector::new(SIDES.client.clone()).connect(carrier, "server")
}

fn echo(stream: Arc<TlsStream<TcpStream>>) {
    let _ = io::copy(&mut &*stream, &mut &*stream);
    let _ = stream.close();
}

fn simulate(config: NetworkConfig, f: impl Fn() + Send + Sync + Clone + 'static) {
    LazyLock::force(&SIDES);
    for seed in 0..8 {
        Simulation::new(seed).network(config.clone()).run(f.clone());
    }
}

#[test]
fn what_is_sent_comes_back_however_it_is_cut() {
    simulate(NetworkConfig::new().chop(true), || {
        let served = serve(echo);
        let mut stream = connect().expect("a handshake");
        assert_eq!(stream.info().version, Some(Version::Tls13));
        let sent: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        for size in [1, 100, 16_384, 16_385, 100_000] {
            stream.write_all(&sent[..size]).expect("it is sent");
            let mut back = vec![0; size];
            stream.read_exact(&mut back).expect("it comes back");
            assert!(back == sent[..size], "{size} bytes");
        }
        stream.close().expect("a good-bye");
        assert_eq!(stream.read(&mut [0; 10]).expect("theirs"), 0);
        served.join();
    });
}

#[test]
fn one_coroutine_reads_while_another_writes() {
    simulate(NetworkConfig::new().chop(true).buffer(4_096), || {
        let served = serve(echo);
        let stream = Arc::new(connect().expect("a handshake"));
        let writer = Arc::clone(&stream);
        let writing = spawn(move || {
            (&*writer).write_all(&[7; 300_000]).expect("it is sent");
            Stream::shutdown(&*writer, Shutdown::Write).expect("it is open");
        });
        let mut back = Vec::new();
        (&*stream).read_to_end(&mut back).expect("all of it");
        writing.join().expect("it wrote");
        assert!(back == vec![7; 300_000], "{} bytes", back.len());
        served.join();
    });
}

#[test]
fn an_end_without_close_notify_is_a_truncation() {
    simulate(NetworkConfig::new(), || {
        let served = serve(|stream| {
            let mut buffer = [0; 10];
            let count = Stream::read(&*stream, &mut buffer).expect("a question");
            Stream::write(&*stream, &buffer[..count]).expect("half an answer");
            // It is dropped without a word.
        });
        let mut stream = connect().expect("a handshake");
        stream.write_all(b"ahoy").expect("it is sent");
        let mut answer = Vec::new();
        let error = stream.read_to_end(&mut answer).expect_err("it is cut off");
        served.join();
        assert_eq!(answer, b"ahoy");
        assert_eq!(Error::of(&error), Some(&Error::Truncated));
    });
}

#[test]
fn a_read_that_unwound_has_taken_nothing() {
    simulate(NetworkConfig::new().chop(true), || {
        let served = serve(|stream| {
            for letter in b"abcdefgh" {
                sleep(Duration::from_millis(7));
                Stream::write(&*stream, &[*letter; 3_000]).expect("it is sent");
            }
            stream.close().expect("a good-bye");
        });
        let stream = connect().expect("a handshake");
        let mut got = Vec::new();
        let mut unwound = 0;
        loop {
            let mut buffer = [0; 1_000];
            match with_timeout(Duration::from_millis(1), || {
                Stream::read(&stream, &mut buffer)
            }) {
                Err(_) => unwound += 1,
                Ok(Ok(0)) => break,
                Ok(Ok(count)) => got.extend_from_slice(&buffer[..count]),
                Ok(Err(error)) => panic!("{error}"),
            }
        }
        let all: Vec<u8> = b"abcdefgh"
            .iter()
            .flat_map(|&letter| [letter; 3_000])
            .collect();
        served.join();
        assert!(unwound > 10, "{unwound} reads unwound");
        assert!(got == all, "{} bytes", got.len());
    });
}

#[test]
fn a_write_that_unwound_poisons_the_stream() {
    simulate(NetworkConfig::new().buffer(4_096), || {
        let served = serve(|stream| {
            stream.prepare().expect("a handshake");
            sleep(Duration::from_secs(10));
            // What was sent whole can be read; then it is cut off, or reset.
            (&*stream)
                .read_to_end(&mut Vec::new())
                .expect_err("no good-bye");
        });
        let stream = connect().expect("a handshake");
        let long = vec![0; 1 << 20];
        with_timeout(Duration::from_secs(1), || (&stream).write_all(&long))
            .expect_err("nobody reads");
        let error = Stream::write(&stream, b"more").expect_err("a record is half sent");
        assert_eq!(Error::of(&error), Some(&Error::Poisoned));
        Stream::shutdown(&stream, Shutdown::Write).expect("that can be done");
        drop(stream);
        served.join();
    });
}
