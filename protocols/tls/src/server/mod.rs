//! A server's configuration: certificates by name, client certificates, resumption; reloaded while it runs.

mod names;
mod reload;

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::server::{
    NoServerSessionStorage, ServerSessionMemoryCache, StoresServerSessions, WebPkiClientVerifier,
};
use rustls::{RootCertStore, ServerConfig, ServerConnection};

pub use reload::Reloading;

use crate::Error;
use crate::backend::Backend;
use crate::info::Version;
use crate::pem::{self, ConfigError, Pem};
use crate::provider::{Date, provider, versions};
use crate::rustls_session::RustlsSession;
use crate::session::Session;

/// A server's configuration. A clone is the same one: reloaded, all of them change, for the connections to come.
///
/// ```no_run
/// use grapeshot_tls::{Listener, server};
/// use grapeshot::net::TcpListener;
///
/// let config = server::Config::new("site.pem", "site.key")?;
/// let listener = Listener::new(TcpListener::bind("[::]:443")?, &config);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Config(Arc<Inner>);

struct Inner {
    recipe: Recipe,
    current: RwLock<Current>,
}

#[derive(Clone)]
enum Current {
    Rustls(Arc<ServerConfig>),
    #[cfg(feature = "native-tls")]
    Native(native_tls::TlsAcceptor),
}

/// What a [`Config`] is made of, again and again.
#[derive(Debug, Clone)]
struct Recipe {
    backend: Backend,
    /// Chains and their keys; the first is for clients that name no host, or one that nobody has a certificate for.
    certificates: Vec<(Pem, Pem)>,
    clients: Clients,
    revocations: Vec<Pem>,
    alpn: Vec<Vec<u8>>,
    oldest: Version,
    tickets: bool,
    sessions: usize,
    answer_plain_http: bool,
}

/// Whether clients have to show a certificate, and which authorities' are good.
#[derive(Debug, Clone)]
enum Clients {
    NotAsked,
    Optional(Pem),
    Required(Pem),
}

/// Makes a [`Config`]: see [`Config::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing is made before `build`"]
pub struct Builder(Recipe);

impl Config {
    /// A configuration with one certificate and the defaults of [`Config::builder`]. `chain` has the host's certificate
    /// first and then those that lead to an authority; `key` is its private key. **May suspend**, to read the files.
    ///
    /// # Errors
    /// The files cannot be read, or are not what they should be: see [`ConfigError`].
    pub fn new(chain: impl Into<Pem>, key: impl Into<Pem>) -> Result<Self, ConfigError> {
        Self::builder().certificate(chain, key).build()
    }

    /// Begins a configuration: TLS 1.2 and 1.3, no client certificates, no ALPN, resumption by tickets (and, for
    /// TLS 1.2 clients without tickets, of 256 sessions), plain HTTP answered by a 400.
    pub fn builder() -> Builder {
        Builder(Recipe {
            backend: Backend::Rustls,
            certificates: Vec::new(),
            clients: Clients::NotAsked,
            revocations: Vec::new(),
            alpn: Vec::new(),
            oldest: Version::Tls12,
            tickets: true,
            sessions: 256,
            answer_plain_http: true,
        })
    }

    pub(crate) fn session(&self) -> Result<Box<dyn Session>, Error> {
        let current = self.0.current.read().clone();
        match current {
            Current::Rustls(config) => {
                let connection = ServerConnection::new(config)?;
                Ok(Box::new(RustlsSession::new(connection)))
            }
            #[cfg(feature = "native-tls")]
            Current::Native(acceptor) => Ok(Box::new(
                crate::native_session::NativeSession::server(&acceptor)?,
            )),
        }
    }

    pub(crate) fn answers_plain_http(&self) -> bool {
        self.0.recipe.answer_plain_http
    }
}

impl Builder {
    /// Speaks TLS with this library; see there what it can do. Default [`Backend::Rustls`].
    pub fn backend(mut self, backend: Backend) -> Self {
        self.0.backend = backend;
        self
    }

    /// Adds a certificate (with what leads to an authority) and its key. Which one a client gets is decided by the name
    /// it asks for (SNI): one that has the name as it is, else one with a fitting wildcard, else the first that was
    /// added. The names are those in the certificates.
    pub fn certificate(mut self, chain: impl Into<Pem>, key: impl Into<Pem>) -> Self {
        self.0.certificates.push((chain.into(), key.into()));
        self
    }

    /// Asks clients for a certificate that one of these authorities has signed, and refuses those that have none.
    /// [`Info::peer_certificates`](crate::Info::peer_certificates) has it.
    pub fn require_client_certificates(mut self, authorities: impl Into<Pem>) -> Self {
        self.0.clients = Clients::Required(authorities.into());
        self
    }

    /// Asks clients for such a certificate, and serves those that have none as well. A bad one is refused.
    pub fn accept_client_certificates(mut self, authorities: impl Into<Pem>) -> Self {
        self.0.clients = Clients::Optional(authorities.into());
        self
    }

    /// Refuses client certificates that are in this list. Each authority in a client's chain needs one then.
    pub fn revoked_client_certificates(mut self, list: impl Into<Pem>) -> Self {
        self.0.revocations.push(list.into());
        self
    }

    /// Offers these application protocols (RFC 7301), the preferred first. A client that names only others is refused;
    /// one that names none is served.
    pub fn alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.0.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Refuses clients that speak only older versions. Default [`Version::Tls12`].
    pub fn oldest_version(mut self, oldest: Version) -> Self {
        self.0.oldest = oldest;
        self
    }

    /// Whether clients get tickets, with which they resume their session and this server keeps nothing (RFC 8446,
    /// section 2.2). Their keys live in this process and change every six hours. Default true.
    pub fn tickets(mut self, yes: bool) -> Self {
        self.0.tickets = yes;
        self
    }

    /// How many sessions are kept for clients that resume without tickets; the oldest go first. Without tickets and with
    /// 0 nothing is resumed. Default 256.
    pub fn session_cache(mut self, sessions: usize) -> Self {
        self.0.sessions = sessions;
        self
    }

    /// Whether a client that speaks HTTP in the clear is told so, by a 400 in the clear. The handshake fails in any case.
    /// Default true.
    pub fn answer_plain_http(mut self, yes: bool) -> Self {
        self.0.answer_plain_http = yes;
        self
    }

    /// Reads the files and makes the configuration. **May suspend.**
    ///
    /// # Errors
    /// A file cannot be read or is not what it should be, a key does not belong to its certificate, or there is no
    /// certificate: see [`ConfigError`].
    pub fn build(self) -> Result<Config, ConfigError> {
        let current = self.0.make()?;
        Ok(Config(Arc::new(Inner {
            recipe: self.0,
            current: RwLock::new(current),
        })))
    }
}

impl Recipe {
    fn make(&self) -> Result<Current, ConfigError> {
        match self.backend {
            Backend::Rustls => Ok(Current::Rustls(Arc::new(self.rustls()?))),
            #[cfg(feature = "native-tls")]
            Backend::Native => Ok(Current::Native(self.native()?)),
        }
    }

    fn rustls(&self) -> Result<ServerConfig, ConfigError> {
        let provider = provider();
        let resolver = names::ByName::load(&self.certificates, &provider)?;
        let builder = ServerConfig::builder_with_details(provider, Arc::new(Date))
            .with_protocol_versions(&versions(self.oldest, Version::Tls13)?)
            .map_err(|error| ConfigError::Settings(error.to_string()))?;
        let builder = match self.verifier()? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols.clone_from(&self.alpn);
        // All suites are good ones, but who looks for weaknesses expects a server to have an order of its own.
        config.ignore_client_order = true;
        config.session_storage = self.session_storage();
        if self.tickets {
            // Fresh at each reload too: nobody resumes what an authority that is gone has vouched for.
            config.ticketer = rustls::crypto::ring::Ticketer::new()
                .map_err(|error| ConfigError::Settings(error.to_string()))?;
        } else if self.sessions == 0 {
            config.send_tls13_tickets = 0;
        }
        Ok(config)
    }

    /// Refuses what the platform's library cannot do, rather than leave it out.
    #[cfg(feature = "native-tls")]
    fn native(&self) -> Result<native_tls::TlsAcceptor, ConfigError> {
        let cannot = |what: &str| {
            Err(ConfigError::Settings(format!(
                "a server on native-tls cannot have {what}: use Backend::Rustls"
            )))
        };
        let [(chain, key)] = &self.certificates[..] else {
            return cannot("several certificates, or none");
        };
        if !matches!(self.clients, Clients::NotAsked) || !self.revocations.is_empty() {
            return cannot("client certificates");
        }
        if self.oldest > Version::Tls12 {
            return cannot("TLS 1.3");
        }
        native_tls::TlsAcceptor::builder(pem::native_identity(chain, key)?)
            .min_protocol_version(Some(native_tls::Protocol::Tlsv12))
            .accept_alpn(&pem::texts(&self.alpn)?)
            .build()
            .map_err(|error| ConfigError::Settings(error.to_string()))
    }

    fn session_storage(&self) -> Arc<dyn StoresServerSessions> {
        if self.sessions == 0 {
            Arc::new(NoServerSessionStorage {})
        } else {
            ServerSessionMemoryCache::new(self.sessions)
        }
    }

    fn verifier(
        &self,
    ) -> Result<Option<Arc<dyn rustls::server::danger::ClientCertVerifier>>, ConfigError> {
        let (authorities, required) = match &self.clients {
            Clients::NotAsked if self.revocations.is_empty() => return Ok(None),
            Clients::NotAsked => {
                return Err(ConfigError::Settings(
                    "revoked client certificates are listed, but clients are not asked for certificates: call \
                     require_client_certificates or accept_client_certificates too"
                        .to_owned(),
                ));
            }
            Clients::Optional(authorities) => (authorities, false),
            Clients::Required(authorities) => (authorities, true),
        };
        let mut builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots(authorities)?), provider());
        for list in &self.revocations {
            builder = builder.with_crls(pem::revocations(list)?);
        }
        if !required {
            builder = builder.allow_unauthenticated();
        }
        builder
            .build()
            .map(Some)
            .map_err(|error| ConfigError::Settings(format!("{authorities}: {error}")))
    }
}

/// The authorities in a file.
pub(crate) fn roots(authorities: &Pem) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(authorities)? {
        roots
            .add(certificate)
            .map_err(|error| ConfigError::Contents {
                pem: authorities.clone(),
                problem: format!("one of its certificates is no authority's: {error}"),
            })?;
    }
    Ok(roots)
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("server::Config")
            .field(&self.0.recipe)
            .finish()
    }
}
