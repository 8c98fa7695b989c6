//! The codings behind one face: bytes in, bytes out. Performs no I/O.

use std::fmt;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use crate::negotiate::ContentCoding;

/// Brotli's effort, of 11; as fast as gzip's, and denser.
const BROTLI_QUALITY: u32 = 4;
/// Bytes of memory for brotli's window, as a power of two.
const BROTLI_WINDOW: u32 = 19;
#[cfg(feature = "zstd")]
const ZSTD_LEVEL: i32 = 3;

/// Compresses into memory.
pub(crate) enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(ZlibEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    #[cfg(feature = "zstd")]
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    /// Whether it was built in.
    pub(crate) fn supports(coding: ContentCoding) -> bool {
        coding != ContentCoding::Zstd || cfg!(feature = "zstd")
    }

    /// An error for what was not built in.
    pub(crate) fn new(coding: ContentCoding) -> io::Result<Self> {
        let out = Vec::new();
        Ok(match coding {
            ContentCoding::Gzip => Encoder::Gzip(GzEncoder::new(out, Compression::default())),
            ContentCoding::Deflate => {
                Encoder::Deflate(ZlibEncoder::new(out, Compression::default()))
            }
            ContentCoding::Brotli => {
                let writer =
                    brotli::CompressorWriter::new(out, 4096, BROTLI_QUALITY, BROTLI_WINDOW);
                Encoder::Brotli(Box::new(writer))
            }
            #[cfg(feature = "zstd")]
            ContentCoding::Zstd => {
                Encoder::Zstd(zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?)
            }
            #[cfg(not(feature = "zstd"))]
            ContentCoding::Zstd => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Encoder::Gzip(writer) => writer,
            Encoder::Deflate(writer) => writer,
            Encoder::Brotli(writer) => writer,
            #[cfg(feature = "zstd")]
            Encoder::Zstd(writer) => writer,
        }
    }

    fn out(&mut self) -> &mut Vec<u8> {
        match self {
            Encoder::Gzip(writer) => writer.get_mut(),
            Encoder::Deflate(writer) => writer.get_mut(),
            Encoder::Brotli(writer) => writer.get_mut(),
            #[cfg(feature = "zstd")]
            Encoder::Zstd(writer) => writer.get_mut(),
        }
    }

    /// Takes content in; gives what has come out so far.
    pub(crate) fn encode(&mut self, content: &[u8]) -> io::Result<Vec<u8>> {
        self.writer().write_all(content)?;
        Ok(std::mem::take(self.out()))
    }

    /// Gives out what was kept back, so that a reader can have all that was written.
    pub(crate) fn flush(&mut self) -> io::Result<Vec<u8>> {
        self.writer().flush()?;
        Ok(std::mem::take(self.out()))
    }

    /// Gives out the end.
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Encoder::Gzip(writer) => writer.finish(),
            Encoder::Deflate(writer) => writer.finish(),
            Encoder::Brotli(writer) => Ok(writer.into_inner()),
            #[cfg(feature = "zstd")]
            Encoder::Zstd(writer) => writer.finish(),
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}
