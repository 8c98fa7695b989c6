//! Whom each side believes, and which certificate it shows.

mod support;

use std::io::{self, Read, Write};

use grapeshot::net::Stream as _;
use grapeshot::sleep;
use grapeshot::testing::NetworkConfig;
use grapeshot_tls::demo::{Authority, Identity};
use grapeshot_tls::{CertificateFault as Fault, Error, Info, Version, client, server};
use std::time::Duration;

use support::{
    AUTHORITY, SERVER, STRANGER, Sides, day, made, sides, sides_with, simulate, trusting,
};

/// One exchange of a line each way; what the client and the server learnt, or why not.
fn ask(sides: &Sides, name: &str) -> (io::Result<Info>, Result<Info, String>) {
    let (sender, learnt) = grapeshot::sync::channel::unbounded();
    sides.serve(move |stream| {
        let mut buffer = [0; 4];
        let read = stream.read(&mut buffer);
        let result = read
            .and_then(|count| stream.write(&buffer[..count]))
            .map(|_| stream.info());
        let _ = stream.close();
        // Who connects once more does not ask.
        let _ = sender.send(result.map_err(|e| e.to_string()));
    });
    let ask = || {
        let mut stream = sides.connect_as(name)?;
        stream.write_all(b"ahoy")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        assert_eq!(answer, "ahoy");
        stream.close()?;
        Ok(stream.info())
    };
    let client = ask();
    (client, learnt.recv().expect("the server's side"))
}

/// What the client says to a server with this certificate.
fn refused(identity: Identity, name: &'static str) -> Error {
    let server = server::Config::new(identity.chain(), identity.key()).expect("it fits");
    let (sender, said) = std::sync::mpsc::channel();
    let sides = Sides { server, ..sides() };
    simulate(NetworkConfig::new(), move || {
        let (client, server) = ask(&sides, name);
        let error = client.expect_err("it is refused");
        server.expect_err("the client went");
        let error = Error::of(&error).expect("one of TLS").clone();
        sender.send(error).expect("it is read");
    });
    said.recv().expect("it was said")
}

#[test]
fn bad_certificates_of_servers_are_refused_and_the_error_says_why() {
    let host = |names: [&'static str; 1]| AUTHORITY.host(names).ed25519();
    let expired = host(["server"])
        .valid(day(100), day(200))
        .issue()
        .expect("made");
    assert_eq!(
        refused(expired, "server"),
        Error::Certificate(Fault::Expired)
    );
    let early = host(["server"])
        .valid(day(40_000), day(50_000))
        .issue()
        .expect("made");
    assert_eq!(
        refused(early, "server"),
        Error::Certificate(Fault::NotYetValid)
    );
    let strange = made(STRANGER.host(["server"]).ed25519());
    assert_eq!(
        refused(strange, "server"),
        Error::Certificate(Fault::UnknownIssuer)
    );
    let clients = made(AUTHORITY.client("Ada").also("server").ed25519());
    assert_eq!(
        refused(clients, "server"),
        Error::Certificate(Fault::WrongPurpose)
    );
    for name in ["elsewhere", "10.0.0.1", "sub.server"] {
        let error = refused(made(host(["server"])), name);
        assert!(
            matches!(&error, Error::Certificate(Fault::WrongName(names)) if names.contains("server")),
            "{name}: {error}"
        );
    }
}

#[test]
fn who_is_told_so_trusts_anybody() {
    let strange = made(STRANGER.host(["elsewhere"]).ed25519());
    let client = client::Config::builder()
        .backend(grapeshot_tls::Backend::Rustls)
        .dangerously_trust_anybody("anybody may read and change what I send")
        .build()
        .expect("nothing to read");
    let server = server::Config::new(strange.chain(), strange.key()).expect("it fits");
    let sides = Sides { server, client };
    simulate(NetworkConfig::new(), move || {
        ask(&sides, "server").0.expect("it is believed");
    });
}

#[test]
#[should_panic(expected = "spell it out")]
fn trusting_anybody_must_be_spelt_out() {
    let _ = client::Config::builder().dangerously_trust_anybody("yes");
}

/// What the server says to a client with this certificate, if it demands one.
fn clients(identity: Option<Identity>, demanded: bool) -> (Result<Info, String>, Option<Error>) {
    let sides = sides_with(
        |server| match demanded {
            true => server.require_client_certificates(AUTHORITY.pem()),
            false => server.accept_client_certificates(AUTHORITY.pem()),
        },
        |client| match &identity {
            Some(identity) => client.certificate(identity.chain(), identity.key()),
            None => client,
        },
    );
    let (sender, said) = std::sync::mpsc::channel();
    simulate(NetworkConfig::new(), move || {
        let (client, server) = ask(&sides, "server");
        let error = client.err().and_then(|error| Error::of(&error).cloned());
        sender.send((server, error)).expect("it is read");
    });
    said.recv().expect("it was said")
}

#[test]
fn clients_show_who_they_are() {
    let ada = made(
        AUTHORITY
            .client("Ada Lovelace")
            .also("spiffe://example.org/ada")
            .ed25519(),
    );
    for demanded in [true, false] {
        let (server, client) = clients(Some(ada.clone()), demanded);
        assert_eq!(client, None);
        let names = server
            .expect("it is served")
            .peer_names()
            .expect("a certificate");
        assert_eq!(names.common_name.as_deref(), Some("Ada Lovelace"));
        assert_eq!(names.uris, ["spiffe://example.org/ada"]);
    }
    let (server, client) = clients(None, false);
    assert_eq!(
        (server.expect("it is served").peer_names(), client),
        (None, None)
    );
}

#[test]
fn bad_certificates_of_clients_are_refused_and_both_learn_why() {
    let cases = [
        (None, "sent none", "certificate_required"),
        (
            Some(made(STRANGER.client("Eve").ed25519())),
            "no trusted authority",
            "unknown_ca",
        ),
        (
            Some(
                AUTHORITY
                    .client("Ada")
                    .valid(day(100), day(200))
                    .ed25519()
                    .issue()
                    .expect("made"),
            ),
            "expired",
            "certificate_expired",
        ),
        (
            Some(made(AUTHORITY.host(["server"]).ed25519())),
            "another purpose",
            "",
        ),
    ];
    for (identity, ours, theirs) in cases {
        let (server, client) = clients(identity, true);
        let server = server.expect_err("it is refused");
        assert!(server.contains(ours), "{server}");
        let Some(Error::Refused(client)) = client else {
            panic!("{ours}: {client:?}");
        };
        assert!(client.contains(theirs), "{client}");
    }
}

#[test]
fn each_name_has_its_certificate() {
    let identity = |name: &str| made(AUTHORITY.host([name]).ed25519());
    let (first, exact, wild) = (
        identity("first.example"),
        identity("a.example.org"),
        identity("*.example.org"),
    );
    let sides = Sides {
        server: server::Config::builder()
            .certificate(first.chain(), first.key())
            .certificate(wild.chain(), wild.key())
            .certificate(exact.chain(), exact.key())
            .build()
            .expect("a configuration"),
        ..sides()
    };
    let anybody = Sides {
        client: client::Config::builder()
            .backend(grapeshot_tls::Backend::Rustls)
            .dangerously_trust_anybody("anybody may read and change what I send")
            .build()
            .expect("a configuration"),
        ..sides.clone()
    };
    simulate(NetworkConfig::new(), move || {
        sides.serve(support::echo);
        for (asked, shown) in [
            ("a.example.org", "a.example.org"),
            ("A.Example.ORG", "a.example.org"),
            ("b.example.org", "*.example.org"),
            ("first.example", "first.example"),
        ] {
            let stream = sides.connect_as(asked).expect("it fits");
            assert_eq!(
                stream.info().peer_names().expect("it has one").dns,
                [shown],
                "{asked}"
            );
        }
        for other in ["example.org", "c.b.example.org", "10.1.1.1"] {
            let stream = anybody.connect_as(other).expect("anything goes");
            let names = stream.info().peer_names().expect("it has one");
            assert_eq!(names.dns, ["first.example"], "{other}");
        }
    });
}

#[test]
fn sessions_are_resumed() {
    let both = [Version::Tls13, Version::Tls12];
    // Tickets; the cache; neither.
    for (tickets, cache, resumed) in [(true, 0, true), (false, 16, true), (false, 0, false)] {
        for version in both {
            let sides = sides_with(
                |server| server.tickets(tickets).session_cache(cache),
                |client| match version {
                    Version::Tls12 => client.newest_version(Version::Tls12),
                    _ => client,
                },
            );
            simulate(NetworkConfig::new(), move || {
                let fresh = Sides {
                    client: trusting()
                        .newest_version(version)
                        .build()
                        .expect("as before"),
                    ..sides.clone()
                };
                let first = ask(&fresh, "server").0.expect("served");
                assert_eq!((first.version, first.resumed), (Some(version), Some(false)));
                sleep(Duration::from_secs(1));
                let carrier =
                    grapeshot::net::TcpStream::connect("server:443").expect("a connection");
                let stream = grapeshot_tls::Connector::new(fresh.client.clone())
                    .connect(carrier, "server")
                    .expect("a handshake");
                assert_eq!(
                    stream.info().resumed,
                    Some(resumed),
                    "{version}, {tickets}, {cache}"
                );
            });
        }
    }
}

#[test]
fn versions_and_protocols_that_do_not_meet_are_refused() {
    let old = sides_with(
        |server| server.oldest_version(Version::Tls13),
        |client| client.newest_version(Version::Tls12),
    );
    let none = sides_with(
        |server| server.alpn(["h2"]),
        |client| client.alpn(["http/1.1"]),
    );
    for sides in [old, none] {
        simulate(NetworkConfig::new(), move || {
            let (client, server) = ask(&sides, "server");
            let error = client.expect_err("nothing in common");
            assert!(
                matches!(
                    Error::of(&error),
                    Some(Error::Refused(_) | Error::Protocol(_))
                ),
                "{error}"
            );
            server.expect_err("the same");
        });
    }
}

#[test]
fn an_authority_made_again_from_its_files_is_the_same() {
    let again =
        Authority::from_pem(AUTHORITY.certificate_pem(), AUTHORITY.key_pem()).expect("its key");
    let identity = made(again.host(["server"]).ed25519());
    let server = server::Config::new(identity.chain(), identity.key()).expect("it fits");
    let sides = Sides { server, ..sides() };
    simulate(NetworkConfig::new(), move || {
        ask(&sides, "server").0.expect("it is believed");
    });
    assert_ne!(SERVER.chain_pem, identity.chain_pem);
}
