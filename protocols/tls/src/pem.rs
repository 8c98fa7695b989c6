//! Certificates and keys from PEM (RFC 7468), with errors that say what is wrong. Performs no I/O but to read files.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// The largest file that is read. Bundles of all public authorities take 200 KiB, lists of revocations some MiB.
const MOST: u64 = 64 << 20;

/// PEM, in a file or in memory. A file is read when a configuration is built, and again when that is reloaded.
#[derive(Clone)]
pub struct Pem(Source);

#[derive(Clone)]
enum Source {
    File(PathBuf),
    Bytes(Arc<[u8]>),
}

impl Pem {
    /// PEM in a file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// PEM in memory.
    pub fn bytes(pem: impl Into<Vec<u8>>) -> Self {
        Self(Source::Bytes(Arc::from(pem.into())))
    }

    /// Where it is, if it is in a file.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Source::File(path) => Some(path),
            Source::Bytes(_) => None,
        }
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where it is; never what is in it, which may be a key.
impl fmt::Display for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::File(path) => path.display().fmt(f),
            Source::Bytes(_) => f.write_str("the PEM in memory"),
        }
    }
}

/// A path is a file's; for PEM in memory there is [`Pem::bytes`].
impl<P: AsRef<Path> + ?Sized> From<&P> for Pem {
    fn from(path: &P) -> Self {
        Self::file(path.as_ref())
    }
}

impl From<PathBuf> for Pem {
    fn from(path: PathBuf) -> Self {
        Self::file(path)
    }
}

/// Why a configuration cannot be used. Says which file, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{pem}: cannot be read: {error}")]
    File {
        /// Which.
        pem: Pem,
        /// Why.
        error: std::io::Error,
    },
    /// A file has other contents than it should.
    #[error("{pem}: {problem}")]
    Contents {
        /// Which.
        pem: Pem,
        /// What is wrong with it.
        problem: String,
    },
    /// A key does not belong to its certificate.
    #[error("the key in {key} does not belong to the first certificate in {chain}")]
    KeyMismatch {
        /// Where the certificates are.
        chain: Pem,
        /// Where the key is.
        key: Pem,
    },
    /// The settings do not go together, or the library refuses them.
    #[error("{0}")]
    Settings(String),
}

impl ConfigError {
    fn contents(pem: &Pem, problem: impl Into<String>) -> Self {
        Self::Contents {
            pem: pem.clone(),
            problem: problem.into(),
        }
    }
}

impl From<ConfigError> for std::io::Error {
    fn from(error: ConfigError) -> Self {
        Self::new(std::io::ErrorKind::InvalidInput, error)
    }
}

/// The certificates in `pem`: a host's and those that lead from it to an authority, or several authorities'. Each can
/// be parsed. At least one.
pub(crate) fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let mut certificates = Vec::new();
    for (kind, der) in sections(pem, "-----BEGIN CERTIFICATE-----")? {
        if kind != SectionKind::Certificate {
            continue;
        }
        let der = CertificateDer::from(der);
        if let Err(error) = webpki::EndEntityCert::try_from(&der) {
            let which = certificates.len() + 1;
            return Err(ConfigError::contents(
                pem,
                format!("its certificate number {which} cannot be parsed: {error:?}"),
            ));
        }
        certificates.push(der);
    }
    if certificates.is_empty() {
        return Err(ConfigError::contents(
            pem,
            "it has no certificate, only other things",
        ));
    }
    Ok(certificates)
}

/// The lists of revocations in `pem`. At least one.
pub(crate) fn revocations(
    pem: &Pem,
) -> Result<Vec<CertificateRevocationListDer<'static>>, ConfigError> {
    let lists: Vec<_> = sections(pem, "-----BEGIN X509 CRL-----")?
        .into_iter()
        .filter_map(|(kind, der)| CertificateRevocationListDer::from_pem(kind, der))
        .collect();
    if lists.is_empty() {
        return Err(ConfigError::contents(pem, "it has no list of revocations"));
    }
    Ok(lists)
}

/// The private key in `pem`, the first if there are several.
pub(crate) fn key(pem: &Pem) -> Result<PrivateKeyDer<'static>, ConfigError> {
    let sections = sections(pem, "-----BEGIN PRIVATE KEY-----")?;
    let certificates = sections
        .iter()
        .filter(|(kind, _)| *kind == SectionKind::Certificate)
        .count();
    sections
        .into_iter()
        .find_map(|(kind, der)| PrivateKeyDer::from_pem(kind, der))
        .ok_or_else(|| {
            ConfigError::contents(
                pem,
                if certificates > 0 {
                    "it has certificates and no private key: are the two files exchanged?"
                } else {
                    "it has no private key"
                },
            )
        })
}

/// A chain with its key, which is proven to belong to it.
pub(crate) fn certified_key(
    chain: &Pem,
    key: &Pem,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, ConfigError> {
    let certificates = certificates(chain)?;
    let signer = provider
        .key_provider
        .load_private_key(self::key(key)?)
        .map_err(|error| {
            ConfigError::contents(key, format!("its private key is of no use: {error}"))
        })?;
    let certified = CertifiedKey::new(certificates, signer);
    match certified.keys_match() {
        // A key that does not tell its public half is believed, as everywhere.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(certified)
        }
        Err(_) => Err(ConfigError::KeyMismatch {
            chain: chain.clone(),
            key: key.clone(),
        }),
    }
}

/// The same for the platform's library.
#[cfg(feature = "native-tls")]
pub(crate) fn native_identity(chain: &Pem, key: &Pem) -> Result<native_tls::Identity, ConfigError> {
    // It says what is wrong with them better than the library does.
    certified_key(chain, key, &crate::provider::provider())?;
    native_tls::Identity::from_pkcs8(&text(chain)?, &text(key)?).map_err(|error| {
        ConfigError::contents(
            key,
            format!("the platform's library refuses it: {error} (a key must be in PKCS #8: openssl pkcs8 -topk8 -nocrypt)"),
        )
    })
}

/// Names of application protocols, which the platform's library takes only as text.
#[cfg(feature = "native-tls")]
pub(crate) fn texts(protocols: &[Vec<u8>]) -> Result<Vec<&str>, ConfigError> {
    protocols
        .iter()
        .map(|protocol| std::str::from_utf8(protocol))
        .collect::<Result<_, _>>()
        .map_err(|_| {
            ConfigError::Settings("with native-tls the names of protocols must be text".to_owned())
        })
}

/// All sections of a PEM text, of which there is at least one; those of unknown kinds are left out.
fn sections(pem: &Pem, wanted: &str) -> Result<Vec<(SectionKind, Vec<u8>)>, ConfigError> {
    let text = text(pem)?;
    let mut sections = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(&text) {
        sections.push(section.map_err(|error| ConfigError::contents(pem, told(&error)))?);
    }
    if sections.is_empty() {
        return Err(ConfigError::contents(pem, nothing_in(&text, wanted)));
    }
    Ok(sections)
}

fn text(pem: &Pem) -> Result<Arc<[u8]>, ConfigError> {
    let path = match &pem.0 {
        Source::Bytes(bytes) => return Ok(Arc::clone(bytes)),
        Source::File(path) => path,
    };
    let fault = |error| ConfigError::File {
        pem: pem.clone(),
        error,
    };
    let length = std::fs::metadata(path).map_err(fault)?.len();
    if length > MOST {
        return Err(ConfigError::contents(
            pem,
            format!("it has {length} bytes, more than the {MOST} that are read"),
        ));
    }
    Ok(std::fs::read(path).map_err(fault)?.into())
}

fn told(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { end_marker } => format!(
            "it is cut off: the line -----END {}----- is missing",
            String::from_utf8_lossy(end_marker)
        ),
        pem::Error::Base64Decode(_) => "between BEGIN and END it is no base64".to_owned(),
        error => format!("it is no PEM: {error}"),
    }
}

/// What is wrong with a text that has no section we know.
fn nothing_in(text: &[u8], wanted: &str) -> String {
    let has = |mark: &[u8]| text.windows(mark.len()).any(|window| window == mark);
    if text.iter().all(u8::is_ascii_whitespace) {
        "it is empty".to_owned()
    } else if has(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        "its private key is encrypted with a password; decrypt it: openssl pkey -in FILE -out PLAIN"
            .to_owned()
    } else if has(b"-----BEGIN OPENSSH PRIVATE KEY-----") {
        "its private key is one of OpenSSH, not of TLS".to_owned()
    } else if text.first() == Some(&0x30) {
        format!(
            "it is binary (DER or PKCS #12) and not PEM, which begins with {wanted}; convert it: \
             openssl x509 -inform der -in FILE, or openssl pkcs12 -in FILE -nodes"
        )
    } else {
        format!("it is no PEM: there is no line {wanted}")
    }
}
