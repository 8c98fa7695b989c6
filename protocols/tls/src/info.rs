//! What the two sides of a connection agreed on, and who the other one is.

use std::fmt;

use rustls::ProtocolVersion;
use rustls::pki_types::CertificateDer;

/// A version of the protocol. Older ones are broken and not spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Version {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl Version {
    pub(crate) fn from_rustls(version: ProtocolVersion) -> Option<Self> {
        match version {
            ProtocolVersion::TLSv1_2 => Some(Self::Tls12),
            ProtocolVersion::TLSv1_3 => Some(Self::Tls13),
            _ => None,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        })
    }
}

/// What a handshake came to: see [`TlsStream::info`](crate::TlsStream::info).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// The version; `None` if the library does not tell.
    pub version: Option<Version>,
    /// The cipher suite, by its IANA name; `None` if the library does not tell.
    pub cipher_suite: Option<String>,
    /// The application protocol that was agreed on (ALPN, RFC 7301).
    pub alpn: Option<Vec<u8>>,
    /// The name that the client asked for (SNI, RFC 6066). Only a server has it.
    pub server_name: Option<String>,
    /// The peer's certificate and those that lead from it to an authority, each in DER, as the peer sent them; empty if
    /// it showed none. They were verified, unless the client was told to trust anybody.
    pub peer_certificates: Vec<Vec<u8>>,
    /// Whether an earlier session was resumed; `None` if the library does not tell.
    pub resumed: Option<bool>,
}

impl Info {
    /// Whom the peer's certificate was made for; `None` if it showed none, or one that cannot be read.
    #[must_use]
    pub fn peer_names(&self) -> Option<Names> {
        Names::of(self.peer_certificates.first()?)
    }
}

/// The names in a certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Names {
    /// The subject's common name: a person's or a service's, in a client's certificate.
    pub common_name: Option<String>,
    /// The DNS names, wildcards as they are written.
    pub dns: Vec<String>,
    /// The URIs, a SPIFFE id for instance.
    pub uris: Vec<String>,
}

impl Names {
    /// Reads them from a certificate in DER.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let der = CertificateDer::from(certificate);
        let certificate = webpki::EndEntityCert::try_from(&der).ok()?;
        Some(Self {
            common_name: common_name(certificate.subject()),
            dns: certificate.valid_dns_names().map(str::to_owned).collect(),
            uris: certificate.valid_uri_names().map(str::to_owned).collect(),
        })
    }
}

/// Looks for the common name in a subject (RFC 5280, section 4.1.2.4), which comes without its outermost header: sets
/// of one pair each, of an object identifier and a string.
fn common_name(mut subject: &[u8]) -> Option<String> {
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    while !subject.is_empty() {
        let (set, rest) = value(subject, 0x31)?;
        subject = rest;
        let (pair, _) = value(set, 0x30)?;
        let (identifier, text) = value(pair, 0x06)?;
        if identifier == COMMON_NAME {
            // UTF8String, PrintableString, IA5String; the rest is not used any more.
            let kind = *text.first()?;
            let (text, _) = value(text, kind)?;
            return matches!(kind, 0x0c | 0x13 | 0x16)
                .then(|| std::str::from_utf8(text).ok().map(str::to_owned))?;
        }
    }
    None
}

/// The content of the DER value that `bytes` begin with, which has this tag, and what follows it. Lengths over 65,535
/// are refused.
fn value(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[first, length], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    (first == tag).then(|| rest.split_at_checked(length))?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `C=NL, CN=Ada`, as two sets.
    const SUBJECT: &[u8] = b"\x31\x0b\x30\x09\x06\x03\x55\x04\x06\x13\x02NL\x31\x0c\x30\x0a\x06\x03\x55\x04\x03\x0c\x03Ada";

    #[test]
    fn a_common_name_is_found() {
        assert_eq!(common_name(SUBJECT).as_deref(), Some("Ada"));
    }

    #[test]
    fn a_subject_that_is_cut_anywhere_has_none() {
        for cut in 0..SUBJECT.len() {
            assert_eq!(common_name(&SUBJECT[..cut]), None, "cut at {cut}");
        }
    }
}
