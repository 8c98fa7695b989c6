//! Taking compression off content, with an eye on bombs.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::content::Content;
use super::error::{ErrorKind, Fault};

/// Received content that is handed to a decoder at once.
const BUFFER: usize = 16 << 10;
/// Decompressed content below which nobody asks how it compares to what was received.
const SMALL: u64 = 1 << 20;
/// What zstd may keep of what it has decompressed: as much as RFC 9659 lets a server assume.
const WINDOW: u64 = 8 << 20;

/// What `Accept-Encoding` says.
pub(super) const ACCEPTED: &str = "gzip, deflate, br, zstd";

type Zstd = ruzstd::decoding::StreamingDecoder<Frame, ruzstd::decoding::FrameDecoder>;
type Buffered = BufReader<Content>;

/// Content as its reader wants it.
pub(super) enum Decoded {
    Plain(Content),
    Gzip(MultiGzDecoder<Buffered>),
    /// `deflate` means zlib's format (RFC 9110, section 8.4.1.2), but some servers send what is in it alone. The first
    /// byte tells.
    Unsure(Buffered),
    Zlib(ZlibDecoder<Buffered>),
    Deflate(DeflateDecoder<Buffered>),
    Brotli(Box<brotli::Decompressor<Buffered>>),
    /// Its decoder reads at once when it is made.
    ZstdUnread(Buffered),
    Zstd(Box<Zstd>),
    /// A decoder could not be made.
    Broken,
}

impl Decoded {
    /// `encoding` is the value of `Content-Encoding`; what is not known stays as it is.
    pub(super) fn new(content: Content, encoding: &str) -> Self {
        let buffered = |content| BufReader::with_capacity(BUFFER, content);
        match encoding.trim().to_ascii_lowercase().as_str() {
            _ if content.is_ended() => Self::Plain(content),
            "gzip" | "x-gzip" => Self::Gzip(MultiGzDecoder::new(buffered(content))),
            "deflate" => Self::Unsure(buffered(content)),
            "br" => Self::Brotli(Box::new(brotli::Decompressor::new(
                buffered(content),
                BUFFER,
            ))),
            "zstd" => Self::ZstdUnread(buffered(content)),
            _ => Self::Plain(content),
        }
    }

    pub(super) fn content(&self) -> Option<&Content> {
        Some(match self {
            Self::Plain(content) => content,
            Self::Gzip(decoder) => decoder.get_ref().get_ref(),
            Self::Unsure(buffered) | Self::ZstdUnread(buffered) => buffered.get_ref(),
            Self::Zlib(decoder) => decoder.get_ref().get_ref(),
            Self::Deflate(decoder) => decoder.get_ref().get_ref(),
            Self::Brotli(decoder) => decoder.get_ref().get_ref(),
            Self::Zstd(decoder) => decoder.get_ref().rest.get_ref(),
            Self::Broken => return None,
        })
    }

    pub(super) fn content_mut(&mut self) -> Option<&mut Content> {
        Some(match self {
            Self::Plain(content) => content,
            Self::Gzip(decoder) => decoder.get_mut().get_mut(),
            Self::Unsure(buffered) | Self::ZstdUnread(buffered) => buffered.get_mut(),
            Self::Zlib(decoder) => decoder.get_mut().get_mut(),
            Self::Deflate(decoder) => decoder.get_mut().get_mut(),
            Self::Brotli(decoder) => decoder.get_mut().get_mut(),
            Self::Zstd(decoder) => decoder.get_mut().rest.get_mut(),
            Self::Broken => return None,
        })
    }

    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Reads decompressed content; 0 at its end. **May suspend.**
    pub(super) fn take(&mut self, out: &mut [u8]) -> Result<usize, ErrorKind> {
        if let Self::Plain(content) = self {
            return content.take(out);
        }
        self.settle()?;
        let result = match self {
            Self::Gzip(decoder) => decoder.read(out),
            Self::Zlib(decoder) => decoder.read(out),
            Self::Deflate(decoder) => decoder.read(out),
            Self::Brotli(decoder) => decoder.read(out),
            Self::Zstd(decoder) => decoder.read(out),
            _ => return Err(ErrorKind::LeftInTheMiddle),
        };
        let count = result.map_err(|_| self.why())?;
        if count == 0 && !out.is_empty() {
            self.finish()?;
        }
        Ok(count)
    }

    /// Makes the decoder that the first bytes decide on.
    fn settle(&mut self) -> Result<(), ErrorKind> {
        if !matches!(self, Self::Unsure(_) | Self::ZstdUnread(_)) {
            return Ok(());
        }
        *self = match std::mem::replace(self, Self::Broken) {
            Self::Unsure(mut buffered) => match buffered.fill_buf() {
                // Zlib's first byte says "deflate, with a window of so much".
                Ok([first, ..]) if first & 0x0f == 8 => Self::Zlib(ZlibDecoder::new(buffered)),
                Ok(_) => Self::Deflate(DeflateDecoder::new(buffered)),
                Err(_) => return Err(buffered.get_mut().why()),
            },
            Self::ZstdUnread(mut buffered) => {
                // What reading says inside the decoder's making would be lost with it.
                let header = match frame_header(&mut buffered) {
                    Ok(header) => header,
                    Err(_) => return Err(buffered.get_mut().why()),
                };
                let decoder = Zstd::new(Frame {
                    header: io::Cursor::new(header),
                    rest: buffered,
                })
                .map_err(|_| ErrorKind::Refused(Fault::Compression))?;
                Self::Zstd(Box::new(decoder))
            }
            other => other,
        };
        Ok(())
    }

    /// Why reading failed: the content did, or else what is in it is damaged.
    fn why(&mut self) -> ErrorKind {
        match self.content_mut() {
            Some(content) => content.why(),
            None => Fault::Compression.into(),
        }
    }

    /// The compressed data is over; the framing must be too. **May suspend.**
    fn finish(&mut self) -> Result<(), ErrorKind> {
        let behind = match self {
            Self::Zlib(decoder) => decoder.get_ref().buffer(),
            Self::Deflate(decoder) => decoder.get_ref().buffer(),
            Self::Zstd(decoder) => decoder.get_ref().rest.buffer(),
            // A gzip decoder takes what is behind for another member, a brotli decoder has it in a buffer of its own.
            _ => &[],
        };
        if !behind.is_empty() {
            return Err(Fault::Compression.into());
        }
        let Some(content) = self.content_mut() else {
            return Ok(());
        };
        match content.take(&mut [0])? {
            0 => Ok(()),
            _ => Err(Fault::Compression.into()),
        }
    }
}

/// A zstd frame, whose header was read before.
pub(super) struct Frame {
    header: io::Cursor<Vec<u8>>,
    rest: Buffered,
}

impl Read for Frame {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.header.read(out)? {
            0 => self.rest.read(out),
            count => Ok(count),
        }
    }
}

/// Reads the header of a zstd frame (RFC 8878, section 3.1.1) and checks what memory it asks for: the decoder would set
/// it aside at once.
fn frame_header(source: &mut Buffered) -> io::Result<Vec<u8>> {
    let mut header = vec![0; 5];
    source.read_exact(&mut header)?;
    let descriptor = header[4];
    let is_single_segment = descriptor & 0x20 != 0;
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let length = match descriptor >> 6 {
        0 => usize::from(is_single_segment),
        exponent => 1 << exponent,
    };
    let window = usize::from(!is_single_segment);
    header.resize(5 + window + dictionary + length, 0);
    source.read_exact(&mut header[5..])?;
    let memory = if is_single_segment {
        let mut size = [0; 8];
        size[..length].copy_from_slice(&header[5 + dictionary..]);
        u64::from_le_bytes(size)
    } else {
        let base = 1u64 << (10 + (header[5] >> 3));
        base + base / 8 * u64::from(header[5] & 7)
    };
    if memory > WINDOW {
        return Err(io::Error::other("the window is too large"));
    }
    Ok(header)
}

/// Whether `decoded` bytes out of `received` ones are more than anybody sends in earnest.
pub(super) fn is_bomb(decoded: u64, received: u64, expansion: u64) -> bool {
    decoded > SMALL && decoded > received.saturating_mul(expansion)
}
