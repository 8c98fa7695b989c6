//! A request's content, decompressed as it is read.

use std::fmt;
use std::io::{self, Read};

use flate2::read::{MultiGzDecoder, ZlibDecoder};

use crate::negotiate::ContentCoding;
use crate::{Rejection, Request, Status};

/// The largest window that a zstd frame may ask memory for (RFC 9659), as a power of two.
#[cfg(feature = "zstd")]
const ZSTD_WINDOW: u32 = 23;

/// The content of a request, decompressed: see [`Request::decompressed`].
pub struct Decompressed<'r, 'c> {
    reader: Reader<'r, 'c>,
    left: u64,
}

enum Reader<'r, 'c> {
    Plain(&'r mut Request<'c>),
    Coded(Box<dyn Read + 'r>),
}

impl<'r, 'c> Decompressed<'r, 'c> {
    pub(super) fn new(
        request: &'r mut Request<'c>,
        coding: Option<ContentCoding>,
        most: u64,
    ) -> Result<Self, Rejection> {
        let reader = match coding {
            None => Reader::Plain(request),
            Some(ContentCoding::Gzip) => Reader::Coded(Box::new(MultiGzDecoder::new(request))),
            Some(ContentCoding::Deflate) => Reader::Coded(Box::new(ZlibDecoder::new(request))),
            Some(ContentCoding::Brotli) => {
                Reader::Coded(Box::new(brotli::Decompressor::new(request, 4096)))
            }
            #[cfg(feature = "zstd")]
            Some(ContentCoding::Zstd) => Reader::Coded(Box::new(
                zstd::stream::read::Decoder::new(request)
                    .and_then(|mut decoder| {
                        decoder.window_log_max(ZSTD_WINDOW)?;
                        Ok(decoder)
                    })
                    .map_err(|error| {
                        Rejection::new(Status::INTERNAL_SERVER_ERROR, error.to_string())
                    })?,
            )),
            #[cfg(not(feature = "zstd"))]
            Some(ContentCoding::Zstd) => {
                let text = "zstd is not understood here";
                return Err(Rejection::new(Status::UNSUPPORTED_MEDIA_TYPE, text));
            }
        };
        Ok(Self { reader, left: most })
    }
}

impl Read for Decompressed<'_, '_> {
    /// Reads content; 0 at its end. **May suspend.** Fails with a [`Rejection`] inside if it is malformed (400) or becomes
    /// too much (413): pass it on.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // One byte more than allowed tells the end from too much.
        let most = usize::try_from(self.left.saturating_add(1)).unwrap_or(usize::MAX);
        let room = out.len().min(most);
        let result = match &mut self.reader {
            Reader::Plain(request) => {
                return counted(&mut self.left, request.read(&mut out[..room])?);
            }
            Reader::Coded(reader) => reader.read(&mut out[..room]),
        };
        match result {
            Ok(count) => counted(&mut self.left, count),
            // What kept the request from being read is not the coding's fault.
            Err(error)
                if error
                    .get_ref()
                    .is_some_and(|inner| inner.is::<crate::Error>()) =>
            {
                Err(error)
            }
            Err(error) if error.raw_os_error().is_some() => Err(error),
            Err(error) => {
                let text = format!("the compressed content is malformed: {error}");
                Err(rejected(Status::BAD_REQUEST, text))
            }
        }
    }
}

fn counted(left: &mut u64, count: usize) -> io::Result<usize> {
    match left.checked_sub(count as u64) {
        Some(rest) => {
            *left = rest;
            Ok(count)
        }
        None => Err(rejected(
            Status::CONTENT_TOO_LARGE,
            "the content is too long when it is decompressed".to_owned(),
        )),
    }
}

fn rejected(status: Status, text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Rejection::new(status, text))
}

impl fmt::Debug for Decompressed<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressed")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
