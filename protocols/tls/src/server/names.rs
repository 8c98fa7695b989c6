//! Which certificate a client gets.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::info::Names;
use crate::pem::{self, ConfigError, Pem};

/// Certificates by the names that are in them.
#[derive(Debug)]
pub(super) struct ByName {
    /// The first that was added.
    default: Arc<CertifiedKey>,
    /// In lower case; of several for one name, the first. Wildcards without their `*`.
    exact: HashMap<String, Arc<CertifiedKey>>,
    wildcards: HashMap<String, Arc<CertifiedKey>>,
}

impl ByName {
    pub(super) fn load(
        certificates: &[(Pem, Pem)],
        provider: &CryptoProvider,
    ) -> Result<Self, ConfigError> {
        let mut loaded = Vec::with_capacity(certificates.len());
        for (chain, key) in certificates {
            loaded.push(Arc::new(pem::certified_key(chain, key, provider)?));
        }
        let Some(default) = loaded.first().cloned() else {
            return Err(ConfigError::Settings(
                "a server needs a certificate: call `certificate`".to_owned(),
            ));
        };
        let (mut exact, mut wildcards) = (HashMap::new(), HashMap::new());
        for certified in loaded {
            let names = certified.cert.first().and_then(|host| Names::of(host));
            for name in names.unwrap_or_default().dns {
                let name = name.to_ascii_lowercase();
                match name.strip_prefix('*') {
                    Some(rest) => wildcards.entry(rest.to_owned()),
                    None => exact.entry(name),
                }
                .or_insert_with(|| Arc::clone(&certified));
            }
        }
        Ok(Self {
            default,
            exact,
            wildcards,
        })
    }

    fn of(&self, name: Option<&str>) -> &Arc<CertifiedKey> {
        let Some(name) = name else {
            return &self.default;
        };
        let name = name.to_ascii_lowercase();
        self.exact
            .get(&name)
            // A wildcard stands for one label, the first (RFC 6125, section 6.4.3).
            .or_else(|| self.wildcards.get(&name[name.find('.')?..]))
            .unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.of(hello.server_name())))
    }
}
