//! DNS over HTTPS (RFC 8484), by the client of grapeshot-http.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use grapeshot::net::Stream;
use grapeshot_http::client::{
    Client, Connector, DefaultConnector, Proxies, Redirects, TlsConnector,
};
use grapeshot_tls::client::Config as Trust;
use parking_lot::Mutex;

use crate::carrier::{Carrier, Carry};

/// The longest message of DNS.
const MAX_MESSAGE: u64 = 65_535;
const MEDIA_TYPE: &str = "application/dns-message";
/// Servers whose connections are kept.
const MAX_SERVERS: usize = 8;

/// Asks name servers over HTTPS:
///
/// ```no_run
/// use grapeshot_dns::{Config, Hosts, Https, Limits, Resolver};
///
/// // The servers are connected to by their addresses, so that no name has to be known before. The certificate must be for the
/// // URL's host.
/// let mut config = Config::with_servers(["192.0.2.53:443".parse()?]);
/// config.carrier = Some(Https::new("https://dns.example.org/dns-query").carrier());
/// let resolver = Resolver::new(config, Hosts::default(), Limits::default());
/// # drop(resolver);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Questions go by POST over HTTP/1.1, one at a time on each connection; connections are kept. No redirect is followed, no proxy is
/// asked, no cookie is kept.
#[derive(Clone)]
pub struct Https {
    url: String,
    trust: Option<Trust>,
    clients: Arc<Mutex<Vec<(SocketAddr, Client)>>>,
}

impl Https {
    /// Asks at this URL: whose scheme is `https` (`http` is understood as well, and protects nothing), whose host the certificate
    /// is for, and whose path is usually `/dns-query`. Without more it trusts whom the platform trusts.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            trust: None,
            clients: Arc::default(),
        }
    }

    /// Trusts these authorities, or shows this certificate.
    #[must_use]
    pub fn tls(mut self, config: Trust) -> Self {
        self.trust = Some(config);
        self
    }

    /// The carrier that a [`Config`](crate::Config) is given.
    #[must_use]
    pub fn carrier(self) -> Carrier {
        Carrier::new("https", self)
    }

    /// That of this server, whose connections go there whatever the URL's host is.
    fn client(&self, server: SocketAddr) -> Client {
        let mut clients = self.clients.lock();
        if let Some((_, client)) = clients.iter().find(|(other, _)| *other == server) {
            return client.clone();
        }
        let client = Client::builder()
            .connector(To {
                server,
                trust: self.trust.clone(),
            })
            .proxies(Proxies::none())
            .redirects(Redirects::none())
            .decompress(false)
            .build();
        clients.push((server, client.clone()));
        let dropped = (clients.len() > MAX_SERVERS).then(|| clients.remove(0));
        drop(clients);
        // Its connections end here, and not under our lock.
        drop(dropped);
        client
    }
}

impl Carry for Https {
    fn ask(&self, server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
        let Some((id, rest)) = query.split_first_chunk::<2>() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        // HTTP tells answers apart. The same question is then the same request (RFC 8484, section 4.1).
        let anonymous = [&[0, 0], rest].concat();
        let request = self
            .client(server)
            .post(&self.url)
            .header("Content-Type", MEDIA_TYPE)
            .header("Accept", MEDIA_TYPE)
            .body(anonymous);
        let answer = request.send()?.success()?;
        let is_dns = answer
            .header("Content-Type")
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(MEDIA_TYPE));
        if !is_dns {
            let text = format!("the answer is no {MEDIA_TYPE}: is this the right URL?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let mut answer = answer.limit(MAX_MESSAGE).bytes()?;
        match answer.first_chunk_mut::<2>() {
            Some(theirs) if *theirs == [0, 0] => *theirs = *id,
            _ => {
                let text = "it answered another query";
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        }
        Ok(answer)
    }
}

impl fmt::Debug for Https {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Https")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// Connects to one server, whatever it is called.
struct To {
    server: SocketAddr,
    trust: Option<Trust>,
}

impl Connector for To {
    fn resolve(&self, _host: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(vec![self.server])
    }

    fn secure(&self, stream: Arc<dyn Stream>, host: &str) -> io::Result<Arc<dyn Stream>> {
        match &self.trust {
            Some(trust) => TlsConnector(trust.clone()).secure(stream, host),
            None => DefaultConnector.secure(stream, host),
        }
    }
}
