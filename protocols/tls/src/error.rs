//! What can go wrong, told apart by whose fault it is.

use std::io;

use rustls::{AlertDescription, CertificateError, InvalidMessage};

/// Why a TLS connection failed. Reads and writes give it inside an [`io::Error`]; [`Error::of`] finds it there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection ended without the peer's close_notify: what came may be only the beginning of what was sent
    /// (RFC 8446, section 6.1).
    #[error(
        "the connection ended without the peer's close_notify: what came may have been cut off"
    )]
    Truncated,
    /// The connection ended in the handshake.
    #[error("the peer closed the connection in the handshake")]
    HandshakeTruncated,
    /// A client speaks plain HTTP on a TLS port.
    #[error("the client speaks plain HTTP: its URL must begin with https:// for this port")]
    PlainHttp,
    /// What came is no TLS at all.
    #[error("the peer does not speak TLS ({0})")]
    NotTls(String),
    /// The peer's certificate is not accepted.
    #[error("the peer's certificate is not accepted: {0}")]
    Certificate(CertificateFault),
    /// The peer said that it ends the connection, and why. `certificate_required`, `bad_certificate`, `unknown_ca` and
    /// their like are about our certificate.
    #[error("the peer refuses: {0}")]
    Refused(String),
    /// The peer and we have no version, cipher suite or application protocol in common, or it broke the protocol.
    #[error("the peer and we do not understand each other: {0}")]
    Protocol(String),
    /// A write or the handshake was left in the middle (a timeout, an interrupt, an error), and a half-sent record must
    /// not be followed by another.
    #[error(
        "the connection was left in the middle of a handshake or a write and cannot be used again"
    )]
    Poisoned,
    /// This side has ended its writing.
    #[error("this side of the connection has been shut down")]
    Ended,
    /// It would have had to wait, in a destructor that runs because of an unwinding.
    #[error("a TLS stream cannot wait for its turn while unwinding")]
    Unwinding,
    /// The library cannot do it: a fault of ours or of the configuration.
    #[error("{0}")]
    Library(String),
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateFault {
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its time has not come, or the clock of this machine is behind.
    #[error("it is not valid yet (is the clock of this machine right?)")]
    NotYetValid,
    /// It was made for other names.
    #[error("it is for another name ({0})")]
    WrongName(String),
    /// No authority that is trusted has signed it: it signs itself, or an intermediate certificate is missing.
    #[error("no trusted authority has signed it")]
    UnknownIssuer,
    /// It was revoked.
    #[error("it has been revoked")]
    Revoked,
    /// There is none, and one is required.
    #[error("the peer sent none, and one is required")]
    Missing,
    /// It is for something else, a client's for a server, say.
    #[error("it is made for another purpose")]
    WrongPurpose,
    /// Something else.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// The TLS error that an [`io::Error`] of a TLS stream carries.
    ///
    /// ```
    /// use grapeshot_tls::Error;
    ///
    /// let error: std::io::Error = Error::Truncated.into();
    /// assert_eq!(Error::of(&error), Some(&Error::Truncated));
    /// ```
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Whether the peer, or whoever sits between, is to blame; else we are.
    #[must_use]
    pub fn is_peers_fault(&self) -> bool {
        !matches!(
            self,
            Self::Poisoned | Self::Ended | Self::Unwinding | Self::Library(_)
        )
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Truncated | Error::HandshakeTruncated => io::ErrorKind::UnexpectedEof,
            Error::PlainHttp | Error::NotTls(_) | Error::Certificate(_) | Error::Protocol(_) => {
                io::ErrorKind::InvalidData
            }
            Error::Refused(_) => io::ErrorKind::ConnectionAborted,
            Error::Poisoned | Error::Ended => io::ErrorKind::BrokenPipe,
            Error::Unwinding | Error::Library(_) => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

impl From<rustls::Error> for Error {
    fn from(error: rustls::Error) -> Self {
        use rustls::Error as R;
        match error {
            R::InvalidCertificate(fault) => Self::Certificate(fault.into()),
            R::NoCertificatesPresented => Self::Certificate(CertificateFault::Missing),
            R::AlertReceived(alert) => Self::Refused(name_of(alert)),
            R::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Self::NotTls("what came is no TLS record".to_owned()),
            R::InvalidMessage(_)
            | R::InappropriateMessage { .. }
            | R::InappropriateHandshakeMessage { .. }
            | R::PeerIncompatible(_)
            | R::PeerMisbehaved(_)
            | R::NoApplicationProtocol
            | R::DecryptError
            | R::PeerSentOversizedRecord => Self::Protocol(error.to_string()),
            _ => Self::Library(error.to_string()),
        }
    }
}

impl From<CertificateError> for CertificateFault {
    fn from(error: CertificateError) -> Self {
        use CertificateError as C;
        match &error {
            C::Expired | C::ExpiredContext { .. } => Self::Expired,
            C::NotValidYet | C::NotValidYetContext { .. } => Self::NotYetValid,
            C::NotValidForName => Self::WrongName("its names are not told".to_owned()),
            C::NotValidForNameContext { .. } => Self::WrongName(error.to_string()),
            C::UnknownIssuer => Self::UnknownIssuer,
            C::BadSignature => Self::Other(
                "the authority that it names has not signed it; one of the same name, with another key, is trusted"
                    .to_owned(),
            ),
            C::Revoked => Self::Revoked,
            C::InvalidPurpose | C::InvalidPurposeContext { .. } => Self::WrongPurpose,
            // What webpki says of a certificate that is its own authority.
            C::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
                Self::Other("it is an authority's own, not one of a host".to_owned())
            }
            _ => Self::Other(error.to_string()),
        }
    }
}

/// The name that RFC 8446 gives an alert.
fn name_of(alert: AlertDescription) -> String {
    let name = format!("{alert:?}");
    let mut snake = String::with_capacity(name.len() + 4);
    for (at, letter) in name.char_indices() {
        if at > 0
            && letter.is_ascii_uppercase()
            && !name[..at].ends_with(|c: char| c.is_ascii_uppercase())
        {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_have_the_names_of_the_rfc() {
        assert_eq!(name_of(AlertDescription::CloseNotify), "close_notify");
        assert_eq!(name_of(AlertDescription::UnknownCA), "unknown_ca");
        assert_eq!(
            name_of(AlertDescription::CertificateRequired),
            "certificate_required"
        );
    }
}
