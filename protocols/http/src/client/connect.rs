//! From an origin to a connection: name, address, proxy, TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use grapeshot::net::{Stream, TcpStream, ToSocketAddrs};

use super::connection::Connection;
use super::error::{ErrorKind, Phase};
use super::head;
use super::limits::{Limits, Watch};
use super::pool::Key;
use super::proxy::{Proxy, ProxyKind};
use super::socks;
use crate::head::Scanner;

/// How a client reaches hosts. Every method has a default, which uses the system's resolver, TCP, and TLS if the feature
/// `tls` is on; a connector of your own may dial Unix sockets, or trust other certificates.
pub trait Connector: Send + Sync + 'static {
    /// The addresses of a host, which is a name or an IP address (without brackets). **May suspend.**
    ///
    /// # Errors
    /// Those of the look-up.
    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        resolve(host, port)
    }

    /// Connects to whichever of the addresses answers first. **May suspend.**
    ///
    /// # Errors
    /// Those of connecting.
    fn connect(&self, addresses: &[SocketAddr]) -> io::Result<Arc<dyn Stream>> {
        let stream = TcpStream::connect_any(addresses)?;
        // A request goes out in one write; nothing is gained by holding its last segment back.
        let _ = stream.set_nodelay(true);
        Ok(Arc::new(stream))
    }

    /// Puts TLS over a stream to `host`. The handshake may be left to [`Stream::prepare`], which is called next.
    ///
    /// # Errors
    /// `Unsupported` without TLS.
    fn secure(&self, stream: Arc<dyn Stream>, host: &str) -> io::Result<Arc<dyn Stream>> {
        secure(stream, host)
    }
}

#[cfg(not(feature = "tls"))]
fn secure(_stream: Arc<dyn Stream>, _host: &str) -> io::Result<Arc<dyn Stream>> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "https needs the feature `tls` of grapeshot-http, or a Connector that has TLS",
    ))
}

#[cfg(feature = "tls")]
fn secure(stream: Arc<dyn Stream>, host: &str) -> io::Result<Arc<dyn Stream>> {
    use std::sync::{Mutex, PoisonError};

    /// The platform's authorities, which take a while to be read.
    static PLATFORM: Mutex<Option<grapeshot_tls::client::Config>> = Mutex::new(None);
    let known = PLATFORM
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let config = match known {
        Some(config) => config,
        None => {
            let config = grapeshot::unblock(grapeshot_tls::client::Config::new)??;
            let mut known = PLATFORM.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever was faster: one cache of sessions serves all.
            known.get_or_insert(config).clone()
        }
    };
    over(stream, host, &config)
}

#[cfg(feature = "tls")]
fn over(
    stream: Arc<dyn Stream>,
    host: &str,
    config: &grapeshot_tls::client::Config,
) -> io::Result<Arc<dyn Stream>> {
    let stream = grapeshot_tls::TlsStream::client(stream, config, host, Vec::new())?;
    Ok(Arc::new(stream))
}

/// The defaults, but for what TLS trusts and says.
#[cfg(feature = "tls")]
#[derive(Debug, Clone)]
pub struct TlsConnector(pub grapeshot_tls::client::Config);

#[cfg(feature = "tls")]
impl Connector for TlsConnector {
    fn secure(&self, stream: Arc<dyn Stream>, host: &str) -> io::Result<Arc<dyn Stream>> {
        over(stream, host, &self.0)
    }
}

fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

/// The defaults.
#[derive(Debug, Clone, Copy, Default)]
pub struct DefaultConnector;

impl Connector for DefaultConnector {}

/// Opens a connection for `key`. **May suspend.**
pub(super) fn dial(
    connector: &dyn Connector,
    key: &Key,
    limits: &Limits,
    watch: &Watch,
) -> Result<Connection, ErrorKind> {
    let (host, port) = match &key.proxy {
        Some(proxy) => (&proxy.host, proxy.port),
        None => (&key.host, key.port),
    };
    let phase = |phase: Phase| move |error: io::Error| ErrorKind::Io(phase, error);
    let addresses = watch
        .within(Phase::Resolve, || connector.resolve(host, port))?
        .map_err(phase(Phase::Resolve))?;
    let mut stream = watch
        .within(Phase::Connect, || connector.connect(&addresses))?
        .map_err(phase(Phase::Connect))?;
    if let Some(proxy) = &key.proxy {
        watch.within(Phase::Proxy, || pass(&stream, proxy, key, limits))??;
    }
    if key.secure {
        stream = watch
            .within(Phase::Handshake, || {
                let stream = connector.secure(stream, &key.host)?;
                stream.prepare()?;
                Ok(stream)
            })?
            .map_err(phase(Phase::Handshake))?;
    }
    Ok(Connection::new(stream, limits.codec()))
}

/// Has a proxy connect us to `key`'s host. **May suspend.**
fn pass(
    stream: &Arc<dyn Stream>,
    proxy: &Proxy,
    key: &Key,
    limits: &Limits,
) -> Result<(), ErrorKind> {
    match proxy.kind {
        ProxyKind::Socks5 => {
            let credentials = proxy.credentials.as_ref();
            socks::connect(&**stream, &key.host, key.port, credentials)
        }
        ProxyKind::Http if key.tunnel => tunnel(stream, proxy, key, limits),
        ProxyKind::Http => Ok(()),
    }
}

/// `CONNECT` (RFC 9110, section 9.3.6).
fn tunnel(
    stream: &Arc<dyn Stream>,
    proxy: &Proxy,
    key: &Key,
    limits: &Limits,
) -> Result<(), ErrorKind> {
    let io = |error| ErrorKind::Io(Phase::Proxy, error);
    let host = if key.host.contains(':') {
        format!("[{}]:{}", key.host, key.port)
    } else {
        format!("{}:{}", key.host, key.port)
    };
    let mut request = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n");
    if let Some(value) = proxy.authorization() {
        request += &format!("Proxy-Authorization: {value}\r\n");
    }
    request += "\r\n";
    io::Write::write_all(&mut &**stream, request.as_bytes()).map_err(io)?;
    let mut connection = Connection::new(Arc::clone(stream), limits.codec());
    let mut interim = limits.interim;
    let mut scanner = Scanner::default();
    loop {
        let received = connection.received();
        let found = if received.is_empty() {
            None
        } else {
            head::find(&mut scanner, received, "CONNECT", &connection.limits)
                .map_err(|fault| ErrorKind::Proxy(fault.to_string()))?
        };
        let Some((head, length)) = found else {
            if connection.receive().map_err(io)? == 0 {
                return Err(ErrorKind::Proxy("it closed the connection".to_owned()));
            }
            continue;
        };
        connection.consume(length);
        scanner = Scanner::default();
        let status = head.status();
        if status.is_informational() && interim > 0 {
            interim -= 1;
        } else if !status.is_success() {
            return Err(ErrorKind::Proxy(format!("it answered {status}")));
        } else if connection.received().is_empty() {
            return Ok(());
        } else {
            // In a tunnel the client speaks first.
            return Err(ErrorKind::Proxy("it sent more than its answer".to_owned()));
        }
    }
}
