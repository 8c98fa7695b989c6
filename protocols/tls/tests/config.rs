//! Files that are wrong, and files that change.

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use grapeshot_tls::demo::Identity;
use grapeshot_tls::{ConfigError, Pem, client, server};
use proptest::prelude::*;

use support::{AUTHORITY, SERVER, STRANGER, made};

fn error(chain: impl Into<Pem>, key: impl Into<Pem>) -> String {
    server::Config::new(chain, key)
        .expect_err("it is wrong")
        .to_string()
}

fn bytes(text: &str) -> Pem {
    Pem::bytes(text.as_bytes())
}

#[test]
fn errors_say_what_is_wrong_with_a_file() {
    let other = made(AUTHORITY.host(["other"]).ed25519());
    let (chain, key) = (|| SERVER.chain(), || SERVER.key());
    let cut = &SERVER.chain_pem[..100];
    let cases = [
        (error(bytes(""), key()), "it is empty"),
        (error(chain(), bytes(" \n")), "it is empty"),
        (
            error(bytes("nonsense"), key()),
            "no line -----BEGIN CERTIFICATE-----",
        ),
        (
            error(bytes(cut), key()),
            "the line -----END CERTIFICATE----- is missing",
        ),
        (error(key(), chain()), "no certificate"),
        (error(chain(), chain()), "are the two files exchanged?"),
        (error(chain(), other.key()), "does not belong to"),
        (
            error(Pem::bytes([0x30, 0x82, 1, 2, 0xff]), key()),
            "openssl x509 -inform der",
        ),
        (
            error(
                chain(),
                bytes(
                    "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
                ),
            ),
            "openssl pkey",
        ),
        (
            error(
                chain(),
                bytes(
                    "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
                ),
            ),
            "OpenSSH",
        ),
        (
            error(
                bytes("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"),
                key(),
            ),
            "no base64",
        ),
        (
            error(
                bytes("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
                key(),
            ),
            "number 1 cannot be parsed",
        ),
        (
            error(Path::new("/no/such/file"), key()),
            "/no/such/file: cannot be read",
        ),
    ];
    for (error, says) in cases {
        assert!(error.contains(says), "{error:?} does not say {says:?}");
    }
    // Never what is in it.
    assert!(!format!("{:?}", SERVER.key()).contains("BEGIN"));
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    let list = server::Config::builder()
        .certificate(SERVER.chain(), SERVER.key())
        .revoked_client_certificates(bytes("anything"))
        .build();
    assert!(matches!(list, Err(ConfigError::Settings(_))), "{list:?}");
    let none = server::Config::builder().build();
    assert!(matches!(none, Err(ConfigError::Settings(_))), "{none:?}");
    let trust = client::Config::builder()
        .authorities(bytes("nonsense"))
        .build();
    assert!(
        matches!(trust, Err(ConfigError::Contents { .. })),
        "{trust:?}"
    );
}

fn put(folder: &Path, identity: &Identity) {
    fs::write(folder.join("site.pem"), &identity.chain_pem).expect("written");
    fs::write(folder.join("site.key"), &identity.key_pem).expect("written");
}

/// The name in the certificate that a client is shown, over a real connection.
fn shown(config: &server::Config) -> String {
    use grapeshot::net::{Listener as _, Stream as _, TcpListener, TcpStream};

    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it has one");
    let listener = grapeshot_tls::Listener::new(listener, config);
    let serving = grapeshot::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        let _ = stream.prepare();
    });
    let client = client::Config::builder()
        .backend(grapeshot_tls::Backend::Rustls)
        .dangerously_trust_anybody("anybody may read and change what I send")
        .build()
        .expect("a configuration");
    let stream = grapeshot_tls::Connector::new(client)
        .connect(TcpStream::connect(address).expect("a connection"), "any")
        .expect("a handshake");
    serving.join().expect("it served");
    stream.info().peer_names().expect("it has one").dns.concat()
}

/// Waits until the certificate is this one; the file system and the signal take the time they take.
fn wait_for(config: &server::Config, name: &str) {
    grapeshot::with_timeout(Duration::from_secs(60), || {
        while shown(config) != name {
            grapeshot::sleep(Duration::from_millis(5));
        }
    })
    .unwrap_or_else(|_| panic!("{name} does not come"));
}

#[test]
fn new_files_are_taken_and_bad_ones_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    put(&path, &made(AUTHORITY.host(["first"]).ed25519()));
    grapeshot::run(move || {
        let config =
            server::Config::new(path.join("site.pem"), path.join("site.key")).expect("they fit");
        assert_eq!(shown(&config), "first");
        put(&path, &made(STRANGER.host(["second"]).ed25519()));
        assert_eq!(shown(&config), "first");
        config.reload().expect("they fit");
        assert_eq!(shown(&config), "second");
        fs::write(path.join("site.key"), "").expect("written");
        let error = config.reload().expect_err("no key").to_string();
        assert!(error.contains("site.key: it is empty"), "{error}");
        assert_eq!(shown(&config), "second");
    });
}

#[test]
fn files_that_change_are_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    put(&path, &made(AUTHORITY.host(["first"]).ed25519()));
    grapeshot::run(move || {
        let config =
            server::Config::new(path.join("site.pem"), path.join("site.key")).expect("they fit");
        let _reloading = config.reload_on_change().expect("it can be watched");
        // The chain alone does not fit its key; then both do.
        put(&path, &made(AUTHORITY.host(["second"]).ed25519()));
        wait_for(&config, "second");
    });
}

#[test]
fn a_hangup_reloads() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    put(&path, &made(AUTHORITY.host(["first"]).ed25519()));
    grapeshot::run(move || {
        let config =
            server::Config::new(path.join("site.pem"), path.join("site.key")).expect("they fit");
        let _reloading = config
            .reload_on_hangup()
            .expect("signals can be waited for");
        put(&path, &made(AUTHORITY.host(["second"]).ed25519()));
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP)
            .expect("our own process");
        wait_for(&config, "second");
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// PEM with a part of it replaced is taken or refused, and never a panic.
    #[test]
    fn any_file_is_taken_or_refused(at in any::<prop::sample::Index>(), length in 0_usize..200, part in ".{0,80}") {
        let text = format!("{}{}", SERVER.chain_pem, SERVER.key_pem);
        let at = at.index(text.len());
        let end = (at + length).min(text.len());
        let torn = [&text.as_bytes()[..at], part.as_bytes(), &text.as_bytes()[end..]].concat();
        let pem = Pem::bytes(torn);
        if let Err(error) = server::Config::new(pem.clone(), pem.clone()) {
            assert!(!error.to_string().is_empty());
        }
        let _ = client::Config::builder().backend(grapeshot_tls::Backend::Rustls).authorities(pem).build();
    }
}
