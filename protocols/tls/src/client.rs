//! A client's configuration: whom it trusts, and what it shows of itself.

use std::fmt;
use std::io;
use std::sync::Arc;

use grapeshot::net::{Stream, TcpStream};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore};

use crate::backend::Backend;
use crate::info::Version;
use crate::pem::{self, ConfigError, Pem};
use crate::provider::{Date, provider, versions};
use crate::rustls_session::RustlsSession;
use crate::server::roots;
use crate::session::Session;
use crate::{Error, TlsStream};

/// A client's configuration. A clone is the same one and shares its sessions for resumption: make one and keep it.
#[derive(Clone)]
pub struct Config(Arc<Inner>);

enum Inner {
    Rustls(Arc<ClientConfig>),
    #[cfg(feature = "native-tls")]
    Native(native_tls::TlsConnector),
}

/// Whose certificates are good.
#[derive(Debug, Clone)]
enum Trust {
    Platform,
    Authorities(Vec<Pem>, /* and the platform's */ bool),
    Anybody,
}

/// Makes a [`Config`]: see [`Config::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing is made before `build`"]
pub struct Builder {
    backend: Backend,
    trust: Trust,
    certificate: Option<(Pem, Pem)>,
    alpn: Vec<Vec<u8>>,
    oldest: Version,
    newest: Version,
    sessions: usize,
    names_host: bool,
}

impl Config {
    /// Trusts whom the platform trusts; no certificate of its own, no ALPN. **May suspend**, to read the platform's
    /// authorities.
    ///
    /// # Errors
    /// The platform has none.
    pub fn new() -> Result<Self, ConfigError> {
        Self::builder().build()
    }

    /// Begins a configuration: the platform's authorities, TLS 1.2 and 1.3, no certificate, no ALPN, resumption with the
    /// 256 servers used last, SNI.
    pub fn builder() -> Builder {
        Builder {
            backend: Backend::of_clients(),
            trust: Trust::Platform,
            certificate: None,
            alpn: Vec::new(),
            oldest: Version::Tls12,
            newest: Version::Tls13,
            sessions: 256,
            names_host: true,
        }
    }

    pub(crate) fn session(&self, name: &str) -> io::Result<Box<dyn Session>> {
        let name = server_name(name)?;
        match &*self.0 {
            Inner::Rustls(config) => {
                let connection =
                    ClientConnection::new(Arc::clone(config), name).map_err(Error::from)?;
                Ok(Box::new(RustlsSession::new(connection)))
            }
            #[cfg(feature = "native-tls")]
            Inner::Native(connector) => Ok(Box::new(crate::native_session::NativeSession::client(
                connector,
                &name.to_str(),
            )?)),
        }
    }
}

/// A name as it stands in URLs: a DNS name, maybe with the root's dot, or an address, in brackets if it is one of IPv6.
fn server_name(name: &str) -> io::Result<ServerName<'static>> {
    let bare = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(name);
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    ServerName::try_from(bare.to_owned()).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name:?} is neither a DNS name nor an IP address"),
        )
    })
}

impl Builder {
    /// Speaks TLS with this library. Default: [`Backend::Native`] if the feature `native-tls` is on, else
    /// [`Backend::Rustls`].
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Trusts the authorities in `pem`, and nobody else unless
    /// [`platform_authorities_too`](Builder::platform_authorities_too). Called again, it adds.
    pub fn authorities(mut self, pem: impl Into<Pem>) -> Self {
        match &mut self.trust {
            Trust::Authorities(pems, _) => pems.push(pem.into()),
            trust => *trust = Trust::Authorities(vec![pem.into()], false),
        }
        self
    }

    /// Trusts the platform's authorities besides those given.
    pub fn platform_authorities_too(mut self) -> Self {
        if let Trust::Authorities(_, platform) = &mut self.trust {
            *platform = true;
        }
        self
    }

    /// Trusts anybody: whoever sits between can read and change everything. For looking at a server in a laboratory; a
    /// server with a certificate of its own making is better trusted by [`authorities`](Builder::authorities).
    ///
    /// # Panics
    /// If it is not spelled out: `i_know` must be `"anybody may read and change what I send"`.
    pub fn dangerously_trust_anybody(mut self, i_know: &str) -> Self {
        const SPELLED: &str = "anybody may read and change what I send";
        assert!(
            i_know == SPELLED,
            "to switch the verification of certificates off, spell it out: dangerously_trust_anybody({SPELLED:?})"
        );
        self.trust = Trust::Anybody;
        self
    }

    /// Shows this certificate (with what leads to an authority) to servers that ask for one.
    pub fn certificate(mut self, chain: impl Into<Pem>, key: impl Into<Pem>) -> Self {
        self.certificate = Some((chain.into(), key.into()));
        self
    }

    /// Offers these application protocols (RFC 7301), the preferred first.
    pub fn alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Refuses servers that speak only older versions. Default [`Version::Tls12`].
    pub fn oldest_version(mut self, oldest: Version) -> Self {
        self.oldest = oldest;
        self
    }

    /// Speaks no newer version, for a server that stumbles over it. Default [`Version::Tls13`].
    pub fn newest_version(mut self, newest: Version) -> Self {
        self.newest = newest;
        self
    }

    /// With how many servers sessions can be resumed, by rustls; those not used for longest go first. 0 resumes none. Default 256.
    pub fn session_cache(mut self, servers: usize) -> Self {
        self.sessions = servers;
        self
    }

    /// Whether the server is told the name that is asked for (SNI). It can be read by whoever sits between. Default true.
    pub fn name_host(mut self, yes: bool) -> Self {
        self.names_host = yes;
        self
    }

    /// Reads the files and makes the configuration. **May suspend.**
    ///
    /// # Errors
    /// A file cannot be read or is not what it should be: see [`ConfigError`].
    pub fn build(self) -> Result<Config, ConfigError> {
        let inner = match self.backend {
            Backend::Rustls => Inner::Rustls(Arc::new(self.rustls()?)),
            #[cfg(feature = "native-tls")]
            Backend::Native => Inner::Native(self.native()?),
        };
        Ok(Config(Arc::new(inner)))
    }

    fn rustls(self) -> Result<ClientConfig, ConfigError> {
        let provider = provider();
        let builder = ClientConfig::builder_with_details(Arc::clone(&provider), Arc::new(Date))
            .with_protocol_versions(&versions(self.oldest, self.newest)?)
            .map_err(|error| ConfigError::Settings(error.to_string()))?;
        let builder = match &self.trust {
            Trust::Anybody => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody)),
            trust => builder.with_root_certificates(trust.roots()?),
        };
        let mut config = match &self.certificate {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let certified = pem::certified_key(chain, key, &provider)?;
                builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(
                    certified,
                )))
            }
        };
        config.alpn_protocols = self.alpn;
        config.enable_sni = self.names_host;
        config.resumption = match self.sessions {
            0 => Resumption::disabled(),
            sessions => Resumption::in_memory_sessions(sessions),
        };
        Ok(config)
    }

    #[cfg(feature = "native-tls")]
    fn native(self) -> Result<native_tls::TlsConnector, ConfigError> {
        use native_tls::{Certificate, Protocol, TlsConnector};

        let native = |version| match version {
            Version::Tls12 => Protocol::Tlsv12,
            Version::Tls13 => Protocol::Tlsv13,
        };
        let fault = |error: native_tls::Error| ConfigError::Settings(error.to_string());
        let mut builder = TlsConnector::builder();
        builder
            .use_sni(self.names_host)
            .min_protocol_version(Some(native(self.oldest)))
            .max_protocol_version(Some(native(self.newest)));
        match &self.trust {
            Trust::Platform => {}
            Trust::Anybody => {
                builder
                    .danger_accept_invalid_certs(true)
                    .danger_accept_invalid_hostnames(true);
            }
            Trust::Authorities(pems, platform_too) => {
                builder.disable_built_in_roots(!platform_too);
                for pem in pems {
                    for certificate in pem::certificates(pem)? {
                        let certificate = Certificate::from_der(&certificate).map_err(fault)?;
                        builder.add_root_certificate(certificate);
                    }
                }
            }
        }
        if let Some((chain, key)) = &self.certificate {
            builder.identity(pem::native_identity(chain, key)?);
        }
        builder.request_alpns(&pem::texts(&self.alpn)?);
        builder.build().map_err(fault)
    }
}

impl Trust {
    fn roots(&self) -> Result<RootCertStore, ConfigError> {
        match self {
            Self::Platform => platform(),
            Self::Anybody => Ok(RootCertStore::empty()),
            Self::Authorities(pems, platform_too) => {
                let mut all = if *platform_too {
                    platform()?
                } else {
                    RootCertStore::empty()
                };
                for pem in pems {
                    all.roots.extend(roots(pem)?.roots);
                }
                Ok(all)
            }
        }
    }
}

/// The authorities that the platform trusts. Those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, if they are set.
fn platform() -> Result<RootCertStore, ConfigError> {
    let found = grapeshot::unblock(rustls_native_certs::load_native_certs)
        .map_err(|error| ConfigError::Settings(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(ToString::to_string);
        return Err(ConfigError::Settings(format!(
            "this machine has no certificates of authorities ({}): install them (the package ca-certificates), set \
             SSL_CERT_FILE, or say whom to trust with `authorities`",
            why.as_deref().unwrap_or("none found")
        )));
    }
    Ok(roots)
}

/// Believes any certificate, but still has the peer prove that it has its key.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Makes connections under TLS.
///
/// ```no_run
/// use grapeshot::net::TcpStream;
/// use grapeshot_tls::{Connector, client};
/// use std::io::Write;
///
/// let connector = Connector::new(client::Config::new()?);
/// let mut stream = connector.connect(TcpStream::connect("example.org:443")?, "example.org")?;
/// stream.write_all(b"GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Connector(Config);

impl Connector {
    /// Connects with `config`.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self(config)
    }

    /// Does the handshake over `carrier`, with the server called `name` (a DNS name or an IP address), which its
    /// certificate must be for. **May suspend**; bound it with `with_timeout`.
    ///
    /// # Errors
    /// Those of the carrier, or an [`Error`]: the certificate is not accepted, say.
    pub fn connect<S: Stream>(&self, carrier: S, name: &str) -> io::Result<TlsStream<S>> {
        let stream = TlsStream::client(carrier, &self.0, name, Vec::new())?;
        stream.prepare()?;
        Ok(stream)
    }

    /// Connects to `host` (a DNS name or an IP address) by TCP and does the handshake. **May suspend.**
    ///
    /// # Errors
    /// Those of [`TcpStream::connect_any`] and of [`connect`](Connector::connect).
    pub fn connect_tcp(&self, host: &str, port: u16) -> io::Result<TlsStream<TcpStream>> {
        let carrier = TcpStream::connect_any((host, port))?;
        // A handshake's small messages are not to wait for each other.
        let _ = carrier.set_nodelay(true);
        self.connect(carrier, host)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let backend = match &*self.0 {
            Inner::Rustls(_) => Backend::Rustls,
            #[cfg(feature = "native-tls")]
            Inner::Native(_) => Backend::Native,
        };
        f.debug_struct("client::Config")
            .field("backend", &backend)
            .finish_non_exhaustive()
    }
}
