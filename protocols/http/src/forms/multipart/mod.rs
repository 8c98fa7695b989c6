//! `multipart/form-data` (RFC 7578), read as it comes.

mod decoder;
mod reader;

pub use decoder::{Decoder, Event, PartHead, is_boundary};
pub use reader::{Multipart, Part};

use crate::Status;

/// The caps of one `multipart/form-data`; those of its content besides.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MultipartLimits {
    /// Parts. Default 128.
    pub parts: usize,
    /// Bytes of the header lines of one part. Default 8 KiB.
    pub headers: usize,
    /// Bytes in front of the first part. Default 8 KiB.
    pub preamble: usize,
}

impl Default for MultipartLimits {
    fn default() -> Self {
        Self {
            parts: 128,
            headers: 8 << 10,
            preamble: 8 << 10,
        }
    }
}

/// What is wrong with `multipart/form-data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MultipartError {
    /// It is not what RFC 7578 says.
    #[error("the multipart content is malformed: {0}")]
    Malformed(&'static str),
    /// More than [`MultipartLimits::parts`].
    #[error("the multipart content has too many parts")]
    TooManyParts,
    /// Beyond [`MultipartLimits::headers`] or [`MultipartLimits::preamble`].
    #[error("the headers of a part are too long")]
    HeadersTooLong,
    /// The content ended in the middle of it.
    #[error("the multipart content ended early")]
    Truncated,
    /// A part was longer than the caller allowed.
    #[error("a part is too long")]
    PartTooLong,
}

impl MultipartError {
    /// The status that tells the client.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            MultipartError::Malformed(_) | MultipartError::Truncated => Status::BAD_REQUEST,
            _ => Status::CONTENT_TOO_LARGE,
        }
    }
}
