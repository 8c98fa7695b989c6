//! A certificate authority of one's own, for trying things out and for tests.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SignatureAlgorithm,
};

use crate::Pem;

const DAY: Duration = Duration::from_secs(86_400);
/// What browsers and Apple's systems accept from an authority that a user has added.
const VALID: Duration = Duration::from_secs(820 * 86_400);
const NAME: &str = "Grapeshot demo authority";

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("no certificate can be made: {0}")]
pub struct DemoError(#[from] rcgen::Error);

/// An authority that signs certificates for whatever it is asked. Who has its key can be anybody for those who trust it:
/// it is for demonstrations and tests.
///
/// ```
/// use grapeshot_tls::demo::Authority;
/// use grapeshot_tls::{client, server};
///
/// let authority = Authority::new()?;
/// let host = authority.host(["localhost", "127.0.0.1"]).issue()?;
/// let server = server::Config::new(host.chain(), host.key())?;
/// let client = client::Config::builder().authorities(authority.pem()).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Authority {
    pem: String,
    key_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate that is asked for.
#[derive(Debug, Clone)]
#[must_use = "nothing is made before `issue`"]
pub struct Request<'a> {
    authority: &'a Authority,
    names: Vec<String>,
    common_name: String,
    client: bool,
    validity: (SystemTime, SystemTime),
    algorithm: &'static SignatureAlgorithm,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// In PEM: the certificate.
    pub chain_pem: String,
    /// In PEM: its private key.
    pub key_pem: String,
}

impl Authority {
    /// A new one, valid for 820 days from yesterday on.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn new() -> Result<Self, DemoError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let params = Self::params(&key);
        let pem = params.self_signed(&key)?.pem();
        Ok(Self::of(pem, key, params))
    }

    /// One that was made before, from what [`certificate_pem`](Authority::certificate_pem) and
    /// [`key_pem`](Authority::key_pem) gave.
    ///
    /// # Errors
    /// The key cannot be parsed.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, DemoError> {
        let key = KeyPair::from_pem(key)?;
        let params = Self::params(&key);
        Ok(Self::of(certificate.to_owned(), key, params))
    }

    fn of(pem: String, key: KeyPair, params: CertificateParams) -> Self {
        Self {
            pem,
            key_pem: key.serialize_pem(),
            issuer: Issuer::new(params, key),
        }
    }

    fn params(key: &KeyPair) -> CertificateParams {
        let mut params = CertificateParams::default();
        // Two authorities by one name confuse those who trust both: the key makes the difference.
        let id = key.public_key_raw().iter().rev().take(4);
        let id: String = id.map(|byte| format!("{byte:02x}")).collect();
        params.distinguished_name = name(&format!("{NAME} {id}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let now = grapeshot::time::system_now();
        (params.not_before, params.not_after) = ((now - DAY).into(), (now + VALID).into());
        params
    }

    /// Its certificate, for those who shall trust it.
    #[must_use]
    pub fn pem(&self) -> Pem {
        Pem::bytes(self.pem.as_bytes())
    }

    /// The same as text.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// Its private key.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// A certificate for a server with these names: DNS names, wildcards, IP addresses.
    pub fn host<N: Into<String>>(&self, names: impl IntoIterator<Item = N>) -> Request<'_> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let common_name = names.first().cloned().unwrap_or_default();
        self.request(names, common_name, false)
    }

    /// A certificate for a client with this common name.
    pub fn client(&self, name: &str) -> Request<'_> {
        self.request(Vec::new(), name.to_owned(), true)
    }

    fn request(&self, names: Vec<String>, common_name: String, client: bool) -> Request<'_> {
        let now = grapeshot::time::system_now();
        Request {
            authority: self,
            names,
            common_name,
            client,
            validity: (now - DAY, now + VALID),
            algorithm: &PKCS_ECDSA_P256_SHA256,
        }
    }
}

impl Request<'_> {
    /// When it is valid. Default: from yesterday on, 820 days.
    pub fn valid(mut self, from: SystemTime, to: SystemTime) -> Self {
        self.validity = (from, to);
        self
    }

    /// Adds a DNS name, an address or, if it has a `://`, a URI.
    pub fn also(mut self, name: &str) -> Self {
        self.names.push(name.to_owned());
        self
    }

    /// With an Ed25519 key, whose signatures are all of one length. Default: ECDSA on P-256.
    pub fn ed25519(mut self) -> Self {
        self.algorithm = &PKCS_ED25519;
        self
    }

    /// Makes it.
    ///
    /// # Errors
    /// A name has characters that it cannot have, or there is no randomness.
    pub fn issue(self) -> Result<Identity, DemoError> {
        let (uris, names): (Vec<_>, Vec<_>) = self
            .names
            .into_iter()
            .partition(|name| name.contains("://"));
        let mut params = CertificateParams::new(names)?;
        for uri in uris {
            params
                .subject_alt_names
                .push(rcgen::SanType::URI(uri.try_into()?));
        }
        params.distinguished_name = name(&self.common_name);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![if self.client {
            ExtendedKeyUsagePurpose::ClientAuth
        } else {
            ExtendedKeyUsagePurpose::ServerAuth
        }];
        let (from, to) = self.validity;
        (params.not_before, params.not_after) = (from.into(), to.into());
        let key = KeyPair::generate_for(self.algorithm)?;
        let certificate = params.signed_by(&key, &self.authority.issuer)?;
        Ok(Identity {
            chain_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}

impl Identity {
    /// The certificate.
    #[must_use]
    pub fn chain(&self) -> Pem {
        Pem::bytes(self.chain_pem.as_bytes())
    }

    /// Its private key.
    #[must_use]
    pub fn key(&self) -> Pem {
        Pem::bytes(self.key_pem.as_bytes())
    }
}

fn name(common: &str) -> rcgen::DistinguishedName {
    let mut name = rcgen::DistinguishedName::new();
    name.push(DnType::OrganizationName, "Grapeshot");
    name.push(DnType::CommonName, common);
    name
}
