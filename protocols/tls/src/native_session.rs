//! A session of the platform's TLS library, through the crate `native-tls`: OpenSSL on Linux.
//!
//! The library calls a stream of ours from inside of C, where nothing may suspend. So that stream is two buffers in
//! memory, which says `WouldBlock` when there is nothing; the waiting is done outside of the library, by whoever feeds
//! it.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use native_tls::{HandshakeError, MidHandshakeTlsStream, TlsAcceptor, TlsConnector, TlsStream};
use parking_lot::Mutex;

use crate::info::Info;
use crate::session::{Plain, Session};
use crate::{CertificateFault, Error};

pub(crate) struct NativeSession {
    state: State,
    pipe: Pipe,
}

enum State {
    Shaking(MidHandshakeTlsStream<Pipe>),
    Open(TlsStream<Pipe>),
    Failed(Error),
}

impl NativeSession {
    pub(crate) fn client(connector: &TlsConnector, name: &str) -> Result<Self, Error> {
        Self::begin(|pipe| connector.connect(name, pipe))
    }

    pub(crate) fn server(acceptor: &TlsAcceptor) -> Result<Self, Error> {
        Self::begin(|pipe| acceptor.accept(pipe))
    }

    fn begin(
        handshake: impl FnOnce(Pipe) -> Result<TlsStream<Pipe>, HandshakeError<Pipe>>,
    ) -> Result<Self, Error> {
        let pipe = Pipe::default();
        match State::after(handshake(pipe.clone())) {
            State::Failed(error) => Err(error),
            state => Ok(Self { state, pipe }),
        }
    }

    fn open(&mut self) -> Result<&mut TlsStream<Pipe>, Error> {
        match &mut self.state {
            State::Open(stream) => Ok(stream),
            State::Shaking(_) => Err(Error::Library("the handshake is not done".to_owned())),
            State::Failed(error) => Err(error.clone()),
        }
    }
}

impl State {
    fn after(result: Result<TlsStream<Pipe>, HandshakeError<Pipe>>) -> Self {
        match result {
            Ok(stream) => Self::Open(stream),
            Err(HandshakeError::WouldBlock(middle)) => Self::Shaking(middle),
            Err(HandshakeError::Failure(error)) => Self::Failed(told(&error.to_string())),
        }
    }
}

impl Session for NativeSession {
    fn is_handshaking(&self) -> bool {
        !matches!(self.state, State::Open(_))
    }

    fn feed(&mut self, wire: &[u8]) -> Result<usize, Error> {
        self.pipe.0.lock().feed(wire);
        let placeholder = State::Failed(Error::Poisoned);
        self.state = match std::mem::replace(&mut self.state, placeholder) {
            State::Shaking(middle) => State::after(middle.handshake()),
            state => state,
        };
        match &self.state {
            State::Failed(error) => Err(error.clone()),
            _ => Ok(wire.len()),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<Plain, Error> {
        match self.open()?.read(buffer) {
            Ok(0) if !buffer.is_empty() => Ok(Plain::Ended),
            Ok(count) => Ok(Plain::Bytes(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Plain::Nothing),
            Err(error) => Err(told(&error.to_string())),
        }
    }

    fn write(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, Error> {
        let joined;
        let bytes = match slices {
            [one] => &**one,
            several => {
                joined = several
                    .iter()
                    .flat_map(|slice| slice.iter().copied())
                    .collect::<Vec<u8>>();
                &joined
            }
        };
        match self.open()?.write(bytes) {
            Ok(count) => Ok(count),
            // The memory takes everything, so this can only be a handshake in the middle of TLS 1.2.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Error::Protocol(
                "the peer asks for a renegotiation, which is not done".to_owned(),
            )),
            Err(error) => Err(told(&error.to_string())),
        }
    }

    fn close(&mut self) {
        if let State::Open(stream) = &mut self.state {
            // Of the two steps of a shutdown this is the first, which says close_notify.
            let _ = stream.shutdown();
        }
    }

    fn take_wire(&mut self, wire: &mut Vec<u8>) {
        let mut buffers = self.pipe.0.lock();
        if wire.is_empty() {
            *wire = std::mem::take(&mut buffers.outgoing);
        } else {
            wire.append(&mut buffers.outgoing);
        }
    }

    fn info(&self) -> Info {
        let State::Open(stream) = &self.state else {
            return Info::default();
        };
        let certificate = stream.peer_certificate().ok().flatten();
        Info {
            alpn: stream.negotiated_alpn().ok().flatten(),
            peer_certificates: certificate
                .and_then(|certificate| certificate.to_der().ok())
                .into_iter()
                .collect(),
            ..Info::default()
        }
    }
}

/// What the library takes for a socket.
#[derive(Debug, Clone, Default)]
struct Pipe(Arc<Mutex<Buffers>>);

#[derive(Debug, Default)]
struct Buffers {
    /// What came and the library has not read is `incoming[read..]`: less than a record and what was fed last.
    incoming: Vec<u8>,
    read: usize,
    outgoing: Vec<u8>,
}

impl Buffers {
    fn feed(&mut self, wire: &[u8]) {
        self.incoming.drain(..self.read);
        self.read = 0;
        self.incoming.extend_from_slice(wire);
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffers = self.0.lock();
        let rest = &buffers.incoming[buffers.read..];
        if rest.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        buffers.read += count;
        if buffers.read == buffers.incoming.len() {
            // An idle connection keeps no buffer.
            buffers.incoming = Vec::new();
            buffers.read = 0;
        }
        Ok(count)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().outgoing.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The library has only words for what went wrong; these are OpenSSL's.
pub(crate) fn told(words: &str) -> Error {
    use CertificateFault as F;
    let says = |part: &str| words.contains(part);
    if says("certificate verify failed") {
        Error::Certificate(if says("certificate has expired") {
            F::Expired
        } else if says("not yet valid") {
            F::NotYetValid
        } else if says("mismatch") {
            F::WrongName("its names are not told".to_owned())
        } else if says("self-signed") || says("self signed") || says("issuer") {
            F::UnknownIssuer
        } else if says("revoked") {
            F::Revoked
        } else if says("purpose") {
            F::WrongPurpose
        } else {
            F::Other(words.to_owned())
        })
    } else if says("wrong version number") || says("packet length too long") || says("http request")
    {
        Error::NotTls(words.to_owned())
    } else if let Some((_, alert)) = words.split_once("alert ") {
        let alert = alert.split([':', ',']).next().unwrap_or(alert);
        Error::Refused(alert.trim().to_owned())
    } else {
        Error::Protocol(words.to_owned())
    }
}
