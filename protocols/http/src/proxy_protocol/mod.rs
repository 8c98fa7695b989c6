//! Listening behind a proxy that says who connected to it.

pub mod codec;

use std::any::{Any, TypeId};
use std::io;
use std::net::{IpAddr, Shutdown};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use grapeshot::net::{Listener, Peer, Stream};
use grapeshot::sync::Mutex;

use codec::ProxyHead;

/// Takes connections from a proxy which speaks the PROXY protocol, version 1 or 2 (HAProxy, nginx, cloud balancers): the peer
/// is then who connected to the proxy. Only from sources that are trusted to tell the truth; others are served as whoever they
/// are, and must not send such a head.
///
/// ```no_run
/// use grapeshot::net::TcpListener;
/// use grapeshot_http::{ProxyProtocol, Server};
///
/// grapeshot::run(|| {
///     let listener = TcpListener::bind("10.0.0.1:8080")?;
///     let behind = ProxyProtocol::new(listener).trust("10.0.0.0/8")?;
///     Server::new(|request, response| response.send_text(&request.peer().to_string())).serve(behind)
/// })
/// # .unwrap();
/// ```
///
/// The head is waited for in the connection's own coroutine, within [`Limits::handshake`](crate::Limits::handshake).
#[derive(Debug)]
pub struct ProxyProtocol<L> {
    inner: L,
    trusted: Vec<Network>,
}

impl<L: Listener> ProxyProtocol<L> {
    /// Trusts nobody yet, but who comes over a Unix socket.
    pub fn new(inner: L) -> Self {
        Self {
            inner,
            trusted: Vec::new(),
        }
    }

    /// Trusts an address (`10.0.0.1`), or all of a network (`10.0.0.0/8`, `2001:db8::/32`).
    ///
    /// # Errors
    /// `InvalidInput` if it is neither.
    pub fn trust(mut self, network: &str) -> io::Result<Self> {
        let network = Network::parse(network).ok_or_else(|| {
            let text =
                format!("{network:?} is neither an address nor a network such as 10.0.0.0/8");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        self.trusted.push(network);
        Ok(self)
    }

    fn trusts(&self, peer: Peer) -> bool {
        match peer {
            Peer::Tcp(address) => {
                let ip = address.ip().to_canonical();
                self.trusted.iter().any(|network| network.has(ip))
            }
            Peer::Unix => true,
            _ => false,
        }
    }
}

/// The addresses that begin with so many bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Self { address, bits })
    }

    pub(crate) fn has(self, ip: IpAddr) -> bool {
        match (self.address, ip) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                (a.to_bits() ^ b.to_bits()).leading_zeros() >= self.bits
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                (a.to_bits() ^ b.to_bits()).leading_zeros() >= self.bits
            }
            _ => false,
        }
    }
}

impl<L: Listener> Listener for ProxyProtocol<L> {
    type Stream = ProxiedStream<L::Stream>;

    fn accept(&self) -> io::Result<(Self::Stream, Peer)> {
        let (inner, peer) = self.inner.accept()?;
        let stream = ProxiedStream {
            inner,
            ready: AtomicBool::new(!self.trusts(peer)),
            head: Mutex::new(Received::default()),
            left: AtomicBool::new(false),
        };
        Ok((stream, peer))
    }

    fn name(&self) -> String {
        format!("{} (proxied)", self.inner.name())
    }
}

/// A connection that a proxy made: what [`ProxyProtocol`] accepts.
#[derive(Debug)]
pub struct ProxiedStream<S> {
    inner: S,
    /// There is no head to be read any more.
    ready: AtomicBool,
    head: Mutex<Received>,
    /// Bytes of the connection were received with the head, and not all are taken.
    left: AtomicBool,
}

#[derive(Debug, Default)]
struct Received {
    bytes: Vec<u8>,
    source: Option<Peer>,
}

impl<S: Stream> ProxiedStream<S> {
    fn read_head(&self) -> io::Result<()> {
        let mut head = self.head.lock();
        let mut chunk = [0; 256];
        while !self.ready.load(Ordering::Acquire) {
            let found = codec::parse(&head.bytes)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if let Some(ProxyHead { len, source }) = found {
                head.bytes.drain(..len);
                head.source = source.map(Peer::Tcp);
                self.left.store(!head.bytes.is_empty(), Ordering::Release);
                self.ready.store(true, Ordering::Release);
                break;
            }
            match self.inner.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => head.bytes.extend_from_slice(&chunk[..count]),
            }
        }
        Ok(())
    }
}

impl<S: Stream> Stream for ProxiedStream<S> {
    /// Reads the proxy's head, and has the stream below prepared. **May suspend.**
    fn prepare(&self) -> io::Result<()> {
        self.inner.prepare()?;
        if self.ready.load(Ordering::Acquire) {
            return Ok(());
        }
        self.read_head()
    }

    fn peer(&self) -> Option<Peer> {
        self.head.lock().source.or_else(|| self.inner.peer())
    }

    fn extension(&self, wanted: TypeId) -> Option<Arc<dyn Any + Send + Sync>> {
        self.inner.extension(wanted)
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.ready.load(Ordering::Acquire) {
            self.read_head()?;
        }
        if self.left.load(Ordering::Acquire) {
            let mut head = self.head.lock();
            let count = buffer.len().min(head.bytes.len());
            if count > 0 {
                buffer[..count].copy_from_slice(&head.bytes[..count]);
                head.bytes.drain(..count);
                self.left.store(!head.bytes.is_empty(), Ordering::Release);
                return Ok(count);
            }
        }
        self.inner.read(buffer)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    fn wait_to_read(&self) -> io::Result<()> {
        if !self.ready.load(Ordering::Acquire) || self.left.load(Ordering::Acquire) {
            return Ok(());
        }
        self.inner.wait_to_read()
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.ready.load(Ordering::Acquire) || self.left.load(Ordering::Acquire) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.inner.try_read(buffer)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.try_write(bytes)
    }

    fn write_vectored(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.inner.write_vectored(slices)
    }

    fn send_file(
        &self,
        file: &grapeshot::fs::File,
        part: &mut std::ops::Range<u64>,
    ) -> io::Result<u64> {
        self.inner.send_file(file, part)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.shutdown(how)
    }

    fn reset_on_close(&self) {
        self.inner.reset_on_close();
    }

    fn limit_unsent(&self, bytes: usize) {
        self.inner.limit_unsent(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        let has =
            |network: &str, ip: &str| Network::parse(network).unwrap().has(ip.parse().unwrap());
        assert!(has("10.0.0.0/8", "10.255.0.1") && !has("10.0.0.0/8", "11.0.0.1"));
        assert!(has("10.0.0.1", "10.0.0.1") && !has("10.0.0.1", "10.0.0.2"));
        assert!(has("0.0.0.0/0", "1.2.3.4") && !has("0.0.0.0/0", "::1"));
        assert!(has("2001:db8::/32", "2001:db8:1::1") && !has("2001:db8::/32", "2001:db9::1"));
        for wrong in ["", "10.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "h/8"] {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
    }
}
