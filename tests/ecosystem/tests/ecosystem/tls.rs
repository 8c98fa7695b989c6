//! The crate `rustls`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::listen;

pub(super) fn stream_owned() {
    let signed = rcgen::generate_simple_self_signed(["localhost".into()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let authority = folder.path().join("certificate.pem");
    std::fs::write(&authority, signed.cert.pem()).expect("it is written");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .expect("the key fits");
    let (listener, addr) = listen();
    let server = grapeshot::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        let connection = ServerConnection::new(Arc::new(config)).expect("a good configuration");
        let mut reader = BufReader::new(StreamOwned::new(connection, stream));
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        let stream = reader.get_mut();
        stream
            .write_all(line.to_uppercase().as_bytes())
            .expect("an answer");
        stream.conn.send_close_notify();
        stream.flush().expect("a good-bye");
        line
    });
    let client = move || {
        let mut client = Command::new("openssl")
            .args([
                "s_client",
                "-quiet",
                "-verify_return_error",
                "-verify_hostname",
                "localhost",
            ])
            .args([
                "-servername",
                "localhost",
                "-connect",
                &addr.to_string(),
                "-CAfile",
            ])
            .arg(authority)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is there");
        client
            .stdin
            .as_mut()
            .expect("piped")
            .write_all(b"ahoy\n")
            .expect("it is sent");
        client.wait_with_output().expect("it ends")
    };
    let output = grapeshot::unblock(client).expect("a thread");
    assert_eq!(server.join().expect("it ended"), "ahoy\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "AHOY\n");
}
