//! Accepting connections that will speak TLS.

use std::io;

use grapeshot::net::{Listener as Accept, Peer, TcpListener};

use crate::{TlsStream, server};

/// A listener whose connections speak TLS: wraps any other.
///
/// `accept` gives a stream whose handshake is not done, so that a slow client never keeps others out. Whoever serves the
/// stream calls [`prepare`](grapeshot::net::Stream::prepare) in the connection's own coroutine, under a limit.
#[derive(Debug)]
pub struct Listener<L = TcpListener> {
    carrier: L,
    config: server::Config,
}

impl<L: Accept> Listener<L> {
    /// Accepts from `carrier`, with the certificates that `config` has at each moment.
    pub fn new(carrier: L, config: &server::Config) -> Self {
        Self {
            carrier,
            config: config.clone(),
        }
    }

    /// What it accepts from.
    pub fn carrier(&self) -> &L {
        &self.carrier
    }
}

impl<L: Accept> Accept for Listener<L> {
    type Stream = TlsStream<L::Stream>;

    fn accept(&self) -> io::Result<(Self::Stream, Peer)> {
        let (carrier, peer) = self.carrier.accept()?;
        Ok((TlsStream::server(carrier, &self.config, Vec::new())?, peer))
    }

    fn name(&self) -> String {
        format!("tls {}", self.carrier.name())
    }
}
