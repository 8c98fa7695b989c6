//! What the platform's library cannot do as a server is refused, and what a client learns from it.

use grapeshot_tls::demo::Authority;
use grapeshot_tls::{Backend, ConfigError, Version, client, server};

#[test]
fn what_it_cannot_do_is_refused() {
    let authority = Authority::new().expect("chance");
    let identity = authority.host(["localhost"]).issue().expect("made");
    let builder = || {
        server::Config::builder()
            .backend(Backend::Native)
            .certificate(identity.chain(), identity.key())
    };
    builder().build().expect("one certificate is what it can");
    let cases = [
        (builder().oldest_version(Version::Tls13), "TLS 1.3"),
        (
            builder().require_client_certificates(authority.pem()),
            "client certificates",
        ),
        (
            builder().certificate(identity.chain(), identity.key()),
            "several certificates",
        ),
    ];
    for (builder, what) in cases {
        let Err(ConfigError::Settings(error)) = builder.build() else {
            panic!("{what} is not refused");
        };
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn a_client_is_on_it_by_default() {
    let authority = Authority::new().expect("chance");
    let config = client::Config::builder()
        .authorities(authority.pem())
        .build()
        .expect("trust");
    assert!(format!("{config:?}").contains("Native"), "{config:?}");
}
