//! What header lines say about framing and persistence, in requests and in answers alike. Performs no I/O.

use crate::head::{Version, decimal, has_token};
use crate::{Refusal, head::Framing};

/// What was found so far, line by line.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
}

impl Findings {
    /// Takes down what one header line says.
    #[inline]
    pub(crate) fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        // The length tells nearly always that a name is none of these.
        match name.len() {
            // What nearly everybody says who says something.
            10 if value.eq_ignore_ascii_case(b"keep-alive")
                && name.eq_ignore_ascii_case(b"connection") =>
            {
                self.keep_alive = true;
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.close |= has_token(value, "close");
                self.keep_alive |= has_token(value, "keep-alive");
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                if self.length.is_some() {
                    return Err(Refusal::ContentLength);
                }
                self.length = Some(decimal(value).ok_or(Refusal::ContentLength)?);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Refusal::TransferEncoding);
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// How the content is framed; `None` if nothing says so. What contradicts itself is refused (RFC 9112, section 6.3).
    #[inline]
    pub(crate) fn framing(&self, version: Version) -> Result<Option<Framing>, Refusal> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Refusal::LengthAndEncoding),
            (true, None) if version == Version::Http10 => Err(Refusal::TransferEncoding),
            (true, None) => Ok(Some(Framing::Chunked)),
            (false, length) => Ok(length.map(Framing::Length)),
        }
    }

    /// Whether the connection may carry more (RFC 9112, section 9.3).
    #[inline]
    pub(crate) fn keep_alive(&self, version: Version) -> bool {
        match version {
            Version::Http11 => !self.close,
            Version::Http10 => self.keep_alive && !self.close,
        }
    }
}
