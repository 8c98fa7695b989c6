//! Which library speaks TLS.

/// A TLS library. Both are behind the same types; a configuration that asks for what one cannot do is refused when it is
/// built.
///
/// | | rustls | native-tls, on Linux with OpenSSL |
/// |---|---|---|
/// | client | TLS 1.2, 1.3 | TLS 1.2, 1.3; sessions are not resumed |
/// | server | TLS 1.2, 1.3; certificates by name, client certificates, resumption | TLS 1.2; one certificate, no client certificates |
/// | whom a client trusts by default | the platform's authorities | the same, by the platform's own rules |
/// | [`Info`](crate::Info) | everything | ALPN and the peer's own certificate |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Backend {
    /// The crate rustls, in Rust. The default for servers, and for clients if the feature `native-tls` is off.
    #[default]
    Rustls,
    /// The platform's library, by the crate native-tls. With the feature `native-tls`, where it is the default for clients.
    #[cfg(feature = "native-tls")]
    Native,
}

impl Backend {
    pub(crate) fn of_clients() -> Self {
        #[cfg(feature = "native-tls")]
        return Self::Native;
        #[cfg(not(feature = "native-tls"))]
        Self::Rustls
    }
}
