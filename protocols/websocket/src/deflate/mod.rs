//! Compression of messages (permessage-deflate, RFC 7692). Performs no I/O.
//!
//! ```text
//!   sender                                                     receiver
//!   message ─▶ deflate, flushed to a byte ─▶ less 00 00 ff ff ─▶ 00 00 ff ff put back ─▶ inflate ─▶ message
//! ```
//!
//! What it costs a connection, on top of the few kibibytes that a WebSocket needs anyway:
//!
//! | | for sending | for receiving |
//! |---|---|---|
//! | off | 0 | 0 |
//! | without context takeover | 0 between messages | 0 between messages |
//! | with it, windows of 15 bits | some 375 KiB, from the first compressed message on | some 45 KiB |
//! | with it, windows of 8 or 9 bits | some 250 KiB | some 40 KiB |
//!
//! Without context takeover a message borrows a compressor from a pool that all connections share, and gives it back.

#[cfg(test)]
mod farthest;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

use crate::error::Violation;

/// What a flush ends in, and a sender leaves out (RFC 7692, section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// So much is compressed between two chances for others to run.
const SLICE: usize = 64 << 10;
/// So much output is made room for at once.
const STEP: usize = 16 << 10;
/// Streams in one message; more than one are only there if the sender sets BFINAL.
const MAX_STREAMS: u32 = 64;
/// Unused compressors, and unused decompressors, that are kept for all connections.
const POOLED: usize = 8;
/// A buffer that has grown beyond this is not kept with its compressor.
const KEPT: usize = 64 << 10;

/// What this side wishes for the compression of messages. Nothing is compressed unless
/// [`Upgrade::compression`](crate::Upgrade::compression) or
/// [`Connect::compression`](crate::client::Connect::compression) is given one, and the peer goes along.
///
/// ```
/// use grapeshot_websocket::{Compression, Upgrade};
///
/// let chat = Upgrade::new().compression(Compression::new());
/// let feed = Upgrade::new().compression(Compression::new().send_takeover(true).window_bits(12));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compression {
    pub(crate) send: Direction,
    pub(crate) receive: Direction,
    level: u8,
    threshold: usize,
}

/// How one direction is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direction {
    /// The logarithm of how far back a message may refer, 8 to 15: 256 bytes to 32 KiB.
    pub window_bits: u8,
    /// Whether a message may refer to those before it (*context takeover*).
    pub takeover: bool,
}

/// What both sides agreed on, seen from this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    /// What this side sends.
    pub send: Direction,
    /// What the peer sends.
    pub receive: Direction,
}

impl Default for Compression {
    fn default() -> Self {
        let direction = Direction {
            window_bits: 15,
            takeover: false,
        };
        Self {
            send: direction,
            receive: direction,
            level: 3,
            threshold: 256,
        }
    }
}

impl Compression {
    /// Each message by itself, so that nothing is kept between messages; windows of 15 bits, level 3, messages of 256
    /// bytes and more.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether messages may refer to those before them, in both directions. Similar short messages become several times
    /// shorter; each connection costs several hundred kibibytes (see [`deflate`](crate::deflate)).
    #[must_use]
    pub fn takeover(self, takeover: bool) -> Self {
        self.send_takeover(takeover).receive_takeover(takeover)
    }

    /// The same for what this side sends, if the peer allows it.
    #[must_use]
    pub fn send_takeover(mut self, takeover: bool) -> Self {
        self.send.takeover = takeover;
        self
    }

    /// The same for what the peer sends.
    #[must_use]
    pub fn receive_takeover(mut self, takeover: bool) -> Self {
        self.receive.takeover = takeover;
        self
    }

    /// How far back messages refer at most, in both directions: the logarithm, 8 to 15; clipped to that.
    #[must_use]
    pub fn window_bits(self, bits: u8) -> Self {
        self.send_window_bits(bits).receive_window_bits(bits)
    }

    /// The same for what this side sends.
    #[must_use]
    pub fn send_window_bits(mut self, bits: u8) -> Self {
        self.send.window_bits = bits.clamp(8, 15);
        self
    }

    /// The same for what the peer sends. A server can only ask it of a client that offers to be asked, as browsers do.
    #[must_use]
    pub fn receive_window_bits(mut self, bits: u8) -> Self {
        self.receive.window_bits = bits.clamp(8, 15);
        self
    }

    /// How hard to try, from 1 (fast) to 9 (small); clipped to that.
    #[must_use]
    pub fn level(mut self, level: u8) -> Self {
        self.level = level.clamp(1, 9);
        self
    }

    /// Messages of fewer bytes are sent as they are.
    #[must_use]
    pub fn threshold(mut self, bytes: usize) -> Self {
        self.threshold = bytes;
        self
    }
}

/// What was used, kept for the next. Locked for moments.
struct Pool<K, T>(Mutex<Vec<(K, T)>>);

impl<K: PartialEq, T> Pool<K, T> {
    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    fn take(&self, key: &K) -> Option<T> {
        let mut pooled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = pooled.iter().rposition(|(other, _)| other == key)?;
        Some(pooled.swap_remove(at).1)
    }

    fn give(&self, key: K, item: T) {
        let mut pooled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pooled.len() >= POOLED {
            // The oldest may be of a kind that nobody wants any more.
            pooled.remove(0);
        }
        pooled.push((key, item));
    }
}

/// A compressor of a number of window bits and a level, with its output.
static COMPRESSORS: Pool<(u8, u8), Stream> = Pool::new();
/// A decompressor of a number of window bits.
static DECOMPRESSORS: Pool<u8, Decompress> = Pool::new();

#[derive(Debug)]
struct Stream {
    compress: Compress,
    output: Vec<u8>,
}

/// Compresses the messages of one connection, in their order.
#[derive(Debug)]
pub struct Deflater {
    direction: Direction,
    level: u8,
    threshold: usize,
    /// What messages are compressed with; without takeover only while one is.
    stream: Option<Stream>,
}

impl Deflater {
    /// Compresses as `direction` says, with level and threshold of `wish`.
    #[must_use]
    pub fn new(direction: Direction, wish: &Compression) -> Self {
        Self {
            direction,
            level: wish.level,
            threshold: wish.threshold,
            stream: None,
        }
    }

    /// The compressed form of a message; `None` if it is to be sent as it is, since it is short or does not get shorter.
    /// Between slices of a long one `pause` is called. If it unwinds, the message is forgotten and nothing is lost.
    pub fn deflate(&mut self, message: &[u8], mut pause: impl FnMut()) -> Option<&[u8]> {
        if message.is_empty() || message.len() < self.threshold {
            return None;
        }
        // In `self` again only when it is whole.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.make(),
        };
        stream.output.clear();
        let mut slices = message.chunks(SLICE).peekable();
        while let Some(slice) = slices.next() {
            stream.feed(slice, slices.peek().is_none());
            if slices.peek().is_some() {
                pause();
            }
        }
        debug_assert!(stream.output.ends_with(&TAIL));
        stream.output.truncate(stream.output.len() - TAIL.len());
        // With takeover the peer has to see it, or later references would miss it.
        let is_shorter = self.direction.takeover || stream.output.len() < message.len();
        let stream = self.stream.insert(stream);
        is_shorter.then_some(&stream.output)
    }

    /// Says that the last message has been written. Without takeover this gives everything back.
    pub fn done(&mut self) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        if stream.output.capacity() > KEPT {
            stream.output = Vec::new();
        }
        if !self.direction.takeover
            && let Some(mut stream) = self.stream.take()
        {
            stream.compress.reset();
            COMPRESSORS.give(self.key(), stream);
        }
    }

    fn key(&self) -> (u8, u8) {
        // With a window of 9 bits zlib refers back by 250 bytes at most, so that is right for 8, too; 8 itself it refuses.
        (self.direction.window_bits.max(9), self.level)
    }

    fn make(&self) -> Stream {
        let pooled = if self.direction.takeover {
            None
        } else {
            COMPRESSORS.take(&self.key())
        };
        pooled.unwrap_or_else(|| Stream {
            compress: Compress::new_with_window_bits(
                flate2::Compression::new(self.level.into()),
                false,
                self.key().0,
            ),
            output: Vec::new(),
        })
    }
}

impl Stream {
    fn feed(&mut self, mut slice: &[u8], is_last: bool) {
        let flush = if is_last {
            FlushCompress::Sync
        } else {
            FlushCompress::None
        };
        loop {
            self.output.reserve((slice.len() / 2).clamp(256, STEP));
            let before = self.compress.total_in();
            self.compress
                .compress_vec(slice, &mut self.output, flush)
                .expect("a compressor whose stream was not ended takes everything");
            let taken = (self.compress.total_in() - before) as usize;
            slice = &slice[taken..];
            // Room that is left over says that the flush is complete, too.
            if slice.is_empty() && self.output.len() < self.output.capacity() {
                return;
            }
        }
    }
}

/// Decompresses the messages of one connection, in their order.
#[derive(Debug)]
pub struct Inflater {
    direction: Direction,
    /// Without takeover only while there is a message.
    decompress: Option<Decompress>,
    /// Streams that ended within this message.
    ended: u32,
}

impl Inflater {
    /// Decompresses what was compressed as `direction` says.
    #[must_use]
    pub fn new(direction: Direction) -> Self {
        Self {
            direction,
            decompress: None,
            ended: 0,
        }
    }

    /// Appends what the next bytes of a message become. It is stopped before `message` is longer than `longest`.
    ///
    /// # Errors
    /// `MessageTooLong`; `Deflate` for what nothing is the compressed form of.
    pub fn inflate(
        &mut self,
        mut input: &[u8],
        message: &mut Vec<u8>,
        longest: u64,
    ) -> Result<(), Violation> {
        let bits = self.direction.window_bits.max(9);
        let decompress = self.decompress.get_or_insert_with(|| {
            DECOMPRESSORS
                .take(&bits)
                .unwrap_or_else(|| Decompress::new_with_window_bits(false, bits))
        });
        loop {
            let from = message.len();
            let room = longest.saturating_sub(from as u64);
            // One byte more than there may be, to see whether it comes.
            let step =
                (input.len().saturating_mul(4).clamp(256, STEP) as u64).min(room.saturating_add(1));
            message.resize(from + step as usize, 0);
            let (taken, made) = (decompress.total_in(), decompress.total_out());
            let status = decompress.decompress(input, &mut message[from..], FlushDecompress::None);
            let taken = (decompress.total_in() - taken) as usize;
            let made = (decompress.total_out() - made) as usize;
            message.truncate(from + made);
            input = &input[taken..];
            if made as u64 > room {
                message.truncate(from + room as usize);
                return Err(Violation::MessageTooLong);
            }
            match status {
                Err(_) => return Err(Violation::Deflate),
                Ok(Status::StreamEnd) => {
                    // The sender set BFINAL: what follows is another stream (RFC 7692, section 7.2.3.4).
                    decompress.reset(false);
                    self.ended += 1;
                    if self.ended > MAX_STREAMS {
                        return Err(Violation::Deflate);
                    }
                }
                // Output that fills its room may have a rest.
                Ok(_) if input.is_empty() && (made as u64) < step => return Ok(()),
                Ok(_) if taken == 0 && made == 0 => return Err(Violation::Deflate),
                Ok(_) => {}
            }
        }
    }

    /// Ends a message, with what its sender left out.
    ///
    /// # Errors
    /// As [`inflate`](Inflater::inflate).
    pub fn finish(&mut self, message: &mut Vec<u8>, longest: u64) -> Result<(), Violation> {
        self.inflate(&TAIL, message, longest)?;
        self.ended = 0;
        if !self.direction.takeover
            && let Some(mut decompress) = self.decompress.take()
        {
            decompress.reset(false);
            DECOMPRESSORS.give(self.direction.window_bits.max(9), decompress);
        }
        Ok(())
    }
}
