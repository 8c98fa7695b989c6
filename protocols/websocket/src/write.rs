//! The writing side of a WebSocket: one frame after the other, each with one write if the stream takes it all.

use std::io::{self, IoSlice};
use std::time::Duration;

use grapeshot::net::{Shutdown, Stream};
use grapeshot::with_timeout;

use crate::deflate::{Agreed, Compression, Deflater};
use crate::draft::{Version, encode_close, encode_text};
use crate::error::Error;
use crate::header::{Role, encode, encode_header, opcode};
use crate::socket::Terms;

/// Payloads up to here are copied behind their header; longer ones are written from where they lie.
const COPY_UP_TO: usize = 16 << 10;
/// Random bytes fetched at once for masks.
const ENTROPY: usize = 256;

/// What its lock protects: whoever holds it may write.
#[derive(Debug)]
pub(crate) struct Writer {
    frames: Frames,
    /// For messages, if compressed ones were agreed on.
    deflater: Option<Box<Deflater>>,
    /// Nothing more may be sent: a close frame was.
    pub(crate) close_sent: bool,
}

impl Writer {
    pub(crate) fn new(terms: &Terms) -> Self {
        let deflater =
            |(agreed, wish): &(Agreed, Compression)| Box::new(Deflater::new(agreed.send, wish));
        Self {
            frames: Frames {
                role: terms.role,
                version: terms.version,
                buffer: Vec::new(),
                broken: false,
                entropy: Vec::new(),
            },
            deflater: terms.compression.as_ref().map(deflater),
            close_sent: false,
        }
    }

    /// Writes a message, compressed if that was agreed on and is worth it; gives the length of its frame. **May
    /// suspend**, each time for `wait` at most, and between the slices of a long message that is compressed: left there,
    /// nothing of it is out.
    pub(crate) fn write_message(
        &mut self,
        stream: &dyn Stream,
        wait: Duration,
        opcode: u8,
        message: &[u8],
    ) -> Result<usize, Error> {
        let Self {
            frames, deflater, ..
        } = self;
        let Some(deflater) = deflater else {
            return frames.write(stream, wait, opcode, message);
        };
        let written = match deflater.deflate(message, grapeshot::yield_now) {
            Some(short) => frames.write(stream, wait, opcode | opcode::COMPRESSED, short),
            None => frames.write(stream, wait, opcode, message),
        };
        deflater.done();
        written
    }

    /// Writes a control frame; gives its length. **May suspend**, each time for `wait` at most.
    pub(crate) fn write_control(
        &mut self,
        stream: &dyn Stream,
        wait: Duration,
        opcode: u8,
        payload: &[u8],
    ) -> Result<usize, Error> {
        self.frames.write(stream, wait, opcode, payload)
    }
}

#[derive(Debug)]
struct Frames {
    role: Role,
    version: Version,
    /// The frame that is written; its memory is reused.
    buffer: Vec<u8>,
    /// A write was left in the middle.
    broken: bool,
    entropy: Vec<u8>,
}

impl Frames {
    fn write(
        &mut self,
        stream: &dyn Stream,
        wait: Duration,
        opcode: u8,
        payload: &[u8],
    ) -> Result<usize, Error> {
        if self.broken {
            return Err(Error::LeftInTheMiddle);
        }
        let key = match self.role {
            _ if self.version.is_hixie() => None,
            Role::Client => Some(self.next_key()?),
            Role::Server => None,
        };
        let Self {
            buffer,
            broken,
            version,
            ..
        } = self;
        buffer.clear();
        let tail = if version.is_hixie() {
            match opcode {
                opcode::TEXT => encode_text(buffer, payload),
                opcode::CLOSE => encode_close(buffer, *version),
                _ => return Err(Error::Misuse("this version of the protocol has only texts")),
            }
            &[]
        } else if key.is_none() && payload.len() > COPY_UP_TO {
            encode_header(buffer, opcode, true, payload.len(), None);
            payload
        } else {
            encode(buffer, opcode, true, payload, key);
            &[]
        };
        let mut attempt = Attempt {
            stream,
            broken,
            complete: false,
        };
        attempt.write_all(wait, buffer, tail)?;
        attempt.complete = true;
        drop(attempt);
        let count = buffer.len() + tail.len();
        // One long message must not pin its memory for as long as the connection lives.
        if buffer.capacity() > 16 * COPY_UP_TO {
            buffer.clear();
            buffer.shrink_to(COPY_UP_TO);
        }
        Ok(count)
    }

    /// A mask that nobody can predict (RFC 6455, section 10.3).
    fn next_key(&mut self) -> io::Result<[u8; 4]> {
        if self.entropy.is_empty() {
            self.entropy.resize(ENTROPY, 0);
            grapeshot::random::fill(&mut self.entropy)?;
        }
        let (_, &key) = self
            .entropy
            .split_last_chunk()
            .expect("it is filled by multiples of four");
        self.entropy.truncate(self.entropy.len() - key.len());
        Ok(key)
    }
}

/// A write under way. Left before it is complete, by an error or by unwinding, it ends the connection: a part of a
/// frame is out, and nothing that followed would be understood.
struct Attempt<'a> {
    stream: &'a dyn Stream,
    broken: &'a mut bool,
    complete: bool,
}

impl Attempt<'_> {
    fn write_all(
        &mut self,
        wait: Duration,
        mut front: &[u8],
        mut back: &[u8],
    ) -> Result<(), Error> {
        while !front.is_empty() || !back.is_empty() {
            let result = with_timeout(wait, || match (front, back) {
                (only, []) | ([], only) => self.stream.write(only),
                (front, back) => self
                    .stream
                    .write_vectored(&[IoSlice::new(front), IoSlice::new(back)]),
            });
            let count = match result {
                Err(_) => {
                    self.stream.reset_on_close();
                    return Err(Error::WriteTimeout);
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(Err(error)) => return Err(error.into()),
                Ok(Ok(0)) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(Ok(count)) => count,
            };
            let in_front = count.min(front.len());
            front = &front[in_front..];
            back = &back[count - in_front..];
        }
        Ok(())
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.complete {
            *self.broken = true;
            // Whoever receives learns it, too. If the stream is at its end already there is nothing to do.
            let _ = self.stream.shutdown(Shutdown::Both);
        }
    }
}
