//! Connections that are cut, torn, left in the middle or fed with nonsense.

mod support;

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use grapeshot::net::{Shutdown, Stream, TcpListener, TcpStream};
use grapeshot::testing::{NetworkConfig, Simulation, host};
use grapeshot::{sleep, with_timeout};
use grapeshot_tls::{Connector, Error, TlsStream};
use proptest::prelude::*;
use rustls::pki_types::pem::PemObject;

use support::{Sides, echo, sides, simulate};

/// A carrier whose reads are cut after so many bytes, where it may end, too.
struct Cut {
    carrier: TcpStream,
    left: AtomicUsize,
    ends: bool,
}

impl Stream for Cut {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 && self.ends {
            return Ok(0);
        }
        let most = if left == 0 {
            buffer.len()
        } else {
            left.min(buffer.len())
        };
        let count = Stream::read(&self.carrier, &mut buffer[..most])?;
        self.left
            .store(left.saturating_sub(count), Ordering::Relaxed);
        Ok(count)
    }
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        Stream::write(&self.carrier, bytes)
    }
    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.carrier.shutdown(how)
    }
}

/// Asks over a connection that is cut there.
fn ask_cut(sides: &Sides, left: usize, ends: bool) -> io::Result<Vec<u8>> {
    let carrier = Cut {
        carrier: TcpStream::connect("server:443")?,
        left: left.into(),
        ends,
    };
    let mut stream = Connector::new(sides.client.clone()).connect(carrier, "server")?;
    stream.write_all(b"ahoy")?;
    Stream::shutdown(&stream, Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// More than the bytes that a server sends in a handshake and one answer.
const WHOLE: usize = 1_500;

#[test]
fn a_connection_may_be_cut_anywhere() {
    let sides = sides();
    Simulation::new(3)
        .network(NetworkConfig::new())
        .run(move || {
            sides.serve(echo);
            for at in 1..WHOLE {
                let answer = ask_cut(&sides, at, false).expect("an answer");
                assert_eq!(answer, b"ahoy", "cut at {at}");
            }
        });
}

#[test]
fn a_connection_that_ends_anywhere_is_never_taken_for_whole() {
    let sides = sides();
    Simulation::new(3)
        .network(NetworkConfig::new())
        .run(move || {
            sides.serve(echo);
            let mut whole = 0;
            for at in 0..WHOLE {
                match ask_cut(&sides, at, true) {
                    // All of it came, with the good-bye.
                    Ok(answer) => {
                        assert_eq!(answer, b"ahoy", "it ends at {at}");
                        whole += 1;
                    }
                    Err(error) => {
                        assert_eq!(whole, 0, "it ends at {at}");
                        assert!(
                            matches!(
                                Error::of(&error),
                                Some(Error::Truncated | Error::HandshakeTruncated)
                            ),
                            "it ends at {at}: {error}"
                        );
                    }
                }
            }
            assert!(whole > 0, "{WHOLE} bytes are not all");
        });
}

#[test]
fn whoever_gives_up_after_any_time_leaves_nothing_half_done() {
    let sides = sides();
    let network = NetworkConfig::new()
        .latency(Duration::from_millis(1)..=Duration::from_millis(1))
        .buffer(4_096);
    Simulation::new(3).network(network).run(move || {
        sides.serve(echo);
        let (mut whole, mut poisoned) = (0, 0);
        for limit in 1..40 {
            let carrier = TcpStream::connect("server:443").expect("a connection");
            let stream = Arc::new(
                TlsStream::client(carrier, &sides.client, "server", Vec::new()).expect("a name"),
            );
            let sending = Arc::clone(&stream);
            let reading = grapeshot::spawn({
                let stream = Arc::clone(&stream);
                move || {
                    let mut back = vec![0; 20_000];
                    (&*stream).read_exact(&mut back).map(|()| back)
                }
            });
            let limit = Duration::from_millis(limit) + Duration::from_micros(500);
            let sent = with_timeout(limit, || (&*sending).write_all(&[9; 20_000]));
            match sent {
                Ok(Ok(())) => {
                    assert_eq!(
                        reading.join().expect("it ended").expect("all of it"),
                        [9; 20_000]
                    );
                    whole += 1;
                }
                Ok(Err(error)) => panic!("{error}"),
                Err(_) => {
                    let again = Stream::write(&*stream, b"more");
                    match again.map_err(|error| Error::of(&error).cloned()) {
                        Err(Some(Error::Poisoned)) => poisoned += 1,
                        // It waited for the reader's handshake, or between two records.
                        Ok(_) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                    stream
                        .carrier()
                        .shutdown(Shutdown::Both)
                        .expect("it is open");
                    let _ = reading.join().expect("it ended");
                }
            }
        }
        assert!(
            whole > 0 && poisoned > 0,
            "{whole} went through, {poisoned} were left in the middle"
        );
    });
}

#[test]
fn tortured_a_client_gets_its_answer_or_learns_that_it_does_not() {
    let sides = sides();
    let torture =
        Simulation::new(3)
            .network(NetworkConfig::new())
            .torture(move || -> io::Result<()> {
                let served = sides.clone();
                host("server", move || {
                    let Ok(listener) = TcpListener::bind("0.0.0.0:443") else {
                        return;
                    };
                    while let Ok((carrier, _)) = listener.accept() {
                        let stream = TlsStream::server(carrier, &served.server, Vec::new());
                        let stream = Arc::new(stream.expect("a configuration"));
                        grapeshot::spawn(move || {
                            with_timeout(Duration::from_secs(60), || echo(stream))
                        });
                    }
                });
                sleep(Duration::from_millis(1));
                let mut stream = sides.connect()?;
                stream.write_all(&[5; 40_000])?;
                Stream::shutdown(&stream, Shutdown::Write)?;
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer)?;
                // What ends without an error is whole.
                assert!(answer == [5; 40_000], "{} bytes", answer.len());
                Ok(())
            });
    println!("tortured: {torture}");
    assert!(
        torture.errors > 0 && torture.errors < torture.runs,
        "{torture}"
    );
}

#[test]
fn plain_text_goes_over_to_tls() {
    let sides = sides();
    simulate(NetworkConfig::new().chop(true), move || {
        let config = sides.server.clone();
        host("server", move || {
            let listener = TcpListener::bind("0.0.0.0:25").expect("a port");
            let (mut carrier, _) = listener.accept().expect("a connection");
            let mut word = [0; 8];
            carrier.read_exact(&mut word).expect("a word");
            assert_eq!(&word, b"STARTTLS");
            carrier.write_all(b"220").expect("go ahead");
            // A server that reads into a buffer has read of the handshake already.
            let mut ahead = vec![0; 50];
            carrier
                .read_exact(&mut ahead)
                .expect("the beginning of the client's hello");
            let stream = TlsStream::server(carrier, &config, ahead).expect("a configuration");
            echo(Arc::new(stream));
        });
        sleep(Duration::from_millis(1));
        let mut carrier = TcpStream::connect("server:25").expect("a connection");
        carrier.write_all(b"STARTTLS").expect("it is sent");
        carrier.read_exact(&mut [0; 3]).expect("go ahead");
        let mut stream =
            TlsStream::client(carrier, &sides.client, "server", Vec::new()).expect("a name");
        stream.write_all(b"in secret").expect("it is sent");
        stream.close().expect("a good-bye");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert_eq!(answer, "in secret");
    });
}

#[test]
fn two_that_are_first_do_one_handshake() {
    let sides = sides();
    simulate(NetworkConfig::new().chop(true), move || {
        let served = sides.serve(|stream| {
            let writer = Arc::clone(&stream);
            let writing = grapeshot::spawn(move || (&*writer).write_all(b"from the server"));
            let mut all = Vec::new();
            (&*stream).read_to_end(&mut all).expect("the client's");
            writing.join().expect("it ended").expect("it is sent");
            stream.close().expect("a good-bye");
            assert_eq!(all, b"from the client");
        });
        let carrier = TcpStream::connect("server:443").expect("a connection");
        let stream = Arc::new(
            TlsStream::client(carrier, &sides.client, "server", Vec::new()).expect("a name"),
        );
        let writer = Arc::clone(&stream);
        let writing = grapeshot::spawn(move || {
            (&*writer)
                .write_all(b"from the client")
                .expect("it is sent");
            writer.close().expect("a good-bye");
        });
        let mut all = Vec::new();
        (&*stream).read_to_end(&mut all).expect("the server's");
        writing.join().expect("it wrote");
        assert_eq!(all, b"from the server");
        served.join();
    });
}

#[test]
fn a_peer_changes_its_keys_and_asks_for_ours_while_we_only_read() {
    let authority = rustls::pki_types::CertificateDer::from_pem_slice(
        support::AUTHORITY.certificate_pem().as_bytes(),
    );
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.expect("PEM")).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("it has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    let sides = sides();
    // By the real clock: that of the foreign end knows nothing of a simulation's.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it has one");
    let serving = std::thread::spawn(move || {
        let (carrier, _) = listener.accept().expect("a connection");
        let stream =
            TlsStream::server(carrier, &sides.server, Vec::new()).expect("a configuration");
        let mut buffer = [0; 4];
        for _ in 0..20 {
            (&stream).read_exact(&mut buffer).expect("four bytes");
            assert_eq!(&buffer, b"ahoy");
        }
        (&stream).write_all(b"all of it").expect("under new keys");
        stream.close().expect("a good-bye");
    });
    let name = "server".try_into().expect("a name");
    let connection = rustls::ClientConnection::new(config, name).expect("a configuration");
    let carrier = TcpStream::connect(address).expect("a connection");
    let mut client = rustls::StreamOwned::new(connection, carrier);
    for _ in 0..20 {
        client.write_all(b"ahoy").expect("it is sent");
        client.flush().expect("it is sent");
        client.conn.refresh_traffic_keys().expect("TLS 1.3");
    }
    client.flush().expect("it is sent");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    assert_eq!(answer, "all of it");
    serving.join().expect("it served");
}

#[test]
fn plain_threads_speak_tls_too() {
    // The certificate is valid today as well.
    let sides = sides();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it has one");
    let config = sides.server.clone();
    let serving = std::thread::spawn(move || {
        let (carrier, _) = listener.accept().expect("a connection");
        echo(Arc::new(
            TlsStream::server(carrier, &config, Vec::new()).expect("a configuration"),
        ));
    });
    let carrier = TcpStream::connect(address).expect("a connection");
    let mut stream = Connector::new(sides.client)
        .connect(carrier, "server")
        .expect("a handshake");
    stream.write_all(b"ahoy").expect("it is sent");
    stream.close().expect("a good-bye");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert_eq!(answer, "ahoy");
    serving.join().expect("it served");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Garbage instead of a handshake, and between the records of a connection, ends in an error on both sides.
    #[test]
    fn garbage_ends_in_an_error(
        garbage in prop::collection::vec(any::<u8>(), 5..200),
        header in any::<bool>(),
        shaken in any::<bool>(),
    ) {
        let sides = sides();
        Simulation::new(3).network(NetworkConfig::new()).run(move || {
            let served = sides.serve(move |stream| {
                if shaken {
                    stream.prepare().expect("a handshake");
                }
                let error = (&*stream).read_to_end(&mut Vec::new()).expect_err("garbage");
                assert!(error.kind() != io::ErrorKind::TimedOut, "{error}");
                // It stays an error.
                Stream::read(&*stream, &mut [0; 10]).expect_err("still");
            });
            let carrier = TcpStream::connect("server:443").expect("a connection");
            let carrier = Arc::new(carrier);
            let stream = TlsStream::client(Arc::clone(&carrier), &sides.client, "server", Vec::new());
            let stream = stream.expect("a name");
            if shaken {
                stream.prepare().expect("a handshake");
            }
            // A record of application data, by its header.
            let mut record = garbage.clone();
            if header {
                record.splice(..0, [23, 3, 3, 0, garbage.len() as u8]);
            }
            (&*carrier).write_all(&record).expect("it is sent");
            carrier.shutdown(Shutdown::Write).expect("it is open");
            served.join();
        });
    }
}
