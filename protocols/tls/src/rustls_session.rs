//! A session of the crate `rustls`.

use std::io::{self, IoSlice, Read, Write};

use rustls::{Connection, HandshakeKind};

use crate::Error;
use crate::info::{Info, Version};
use crate::session::{Plain, Session};

pub(crate) struct RustlsSession(Connection);

impl RustlsSession {
    pub(crate) fn new(connection: impl Into<Connection>) -> Self {
        let mut connection = connection.into();
        // The stream bounds what it asks to encrypt, and takes the result away at once.
        connection.set_buffer_limit(None);
        Self(connection)
    }
}

impl Session for RustlsSession {
    fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    fn feed(&mut self, wire: &[u8]) -> Result<usize, Error> {
        let mut rest = wire;
        while !rest.is_empty() {
            let handshaking = self.0.is_handshaking();
            if self.0.read_tls(&mut rest).map_err(full)? == 0 {
                // The peer has said close_notify; whatever follows is not of this connection.
                rest = &[];
            }
            let state = self.0.process_new_packets()?;
            if state.plaintext_bytes_to_read() > 0 || (handshaking && !self.0.is_handshaking()) {
                break;
            }
        }
        Ok(wire.len() - rest.len())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<Plain, Error> {
        match self.0.reader().read(buffer) {
            Ok(0) if !buffer.is_empty() => Ok(Plain::Ended),
            Ok(count) => Ok(Plain::Bytes(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Plain::Nothing),
            Err(error) => Err(full(error)),
        }
    }

    fn write(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, Error> {
        match self.0.writer().write_vectored(slices) {
            Ok(0) => Err(Error::Library(
                "the keys of this connection are used up".to_owned(),
            )),
            Ok(count) => Ok(count),
            Err(error) => Err(full(error)),
        }
    }

    fn close(&mut self) {
        self.0.send_close_notify();
    }

    fn take_wire(&mut self, wire: &mut Vec<u8>) {
        while self.0.wants_write() {
            // Writing to a vector does not fail.
            if self.0.write_tls(wire).is_err() {
                return;
            }
        }
    }

    fn info(&self) -> Info {
        let connection = &self.0;
        let server_name = match connection {
            Connection::Server(server) => server.server_name().map(str::to_owned),
            Connection::Client(_) => None,
        };
        Info {
            version: connection.protocol_version().and_then(Version::from_rustls),
            cipher_suite: connection
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .map(str::to_owned),
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            server_name,
            peer_certificates: connection
                .peer_certificates()
                .unwrap_or_default()
                .iter()
                .map(|certificate| certificate.to_vec())
                .collect(),
            resumed: connection
                .handshake_kind()
                .map(|kind| kind == HandshakeKind::Resumed),
        }
    }
}

/// The library's buffers have bounds; the stream never meets them unless the peer does what it may not.
fn full(error: io::Error) -> Error {
    Error::Protocol(error.to_string())
}
