//! The writing side of a connection: answers gather in a buffer and leave in as few writes as can be.

use std::io::IoSlice;
use std::ops::Range;
use std::time::Duration;

use grapeshot::fs::File;
use grapeshot::net::Stream;
use grapeshot::with_timeout;

use crate::{Error, Limits, Phase};

/// Bytes gathered before a write is made although more answers could join.
const HIGH_WATER: usize = 32 << 10;
/// From this size on, content is written from where it lies and not copied.
const COPY_UP_TO: usize = 8 << 10;

/// Bytes of a file that the kernel is told to send at a time: enough that who receives them is woken seldom, and not so many
/// that a worker is away for long.
const PIECE: u64 = 512 << 10;
/// The kernel reads at least so far ahead.
const READ_AHEAD: u64 = 128 << 10;

/// Answers on their way out.
#[derive(Debug, Default)]
pub(crate) struct Output {
    buffer: Vec<u8>,
    /// True while a write is under way. Found true at the next one: that write was left in the middle.
    writing: bool,
    /// Spent waiting for the peer to take something, and what it took meanwhile.
    waited: Duration,
    taken: u64,
    /// What ended the writing.
    expired: Option<Phase>,
}

impl Output {
    /// What has been gathered, to append to.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Whether a write was left in the middle, so that nothing can follow.
    pub(crate) fn is_broken(&self) -> bool {
        self.writing
    }

    /// The limit that the peer ran into, if it did.
    pub(crate) fn expired(&self) -> Option<Phase> {
        self.expired
    }

    /// Makes one call that writes, within the limits.
    fn wait_to_write(
        &mut self,
        limits: &Limits,
        call: impl FnOnce() -> std::io::Result<usize>,
    ) -> Result<usize, Error> {
        let began = grapeshot::time::now();
        let result = with_timeout(limits.write_wait, call);
        self.waited += grapeshot::time::now().saturating_duration_since(began);
        let Ok(result) = result else {
            self.expired = Some(Phase::Write);
            return Err(Error::WriteTimeout);
        };
        let count = result?;
        self.taken += count as u64;
        if limits.too_slow(limits.write_rate, self.taken, self.waited) {
            self.expired = Some(Phase::WriteRate);
            return Err(Error::WriteTimeout);
        }
        Ok(count)
    }

    /// Appends content; writes when that is better than copying, or when much has gathered. **May suspend.**
    pub(crate) fn append(
        &mut self,
        stream: &dyn Stream,
        limits: &Limits,
        content: &[u8],
    ) -> Result<(), Error> {
        if self.is_broken() || content.len() >= COPY_UP_TO {
            return self.write_all(stream, limits, content);
        }
        self.buffer.extend_from_slice(content);
        if self.buffer.len() >= HIGH_WATER {
            self.flush(stream, limits)
        } else {
            Ok(())
        }
    }

    /// Writes all that has gathered. **May suspend.**
    pub(crate) fn flush(&mut self, stream: &dyn Stream, limits: &Limits) -> Result<(), Error> {
        if self.buffer.is_empty() && !self.writing {
            Ok(())
        } else {
            self.write_all(stream, limits, &[])
        }
    }

    /// Sends a part of a file by the kernel; false if the stream cannot do that, and nothing was sent. **May suspend.**
    pub(crate) fn send_file(
        &mut self,
        stream: &dyn Stream,
        limits: &Limits,
        file: &File,
        part: Range<u64>,
    ) -> Result<bool, Error> {
        self.flush(stream, limits)?;
        self.writing = true;
        let mut start = part.start;
        while start < part.end {
            let mut piece = start..part.end.min(start + PIECE);
            // What is not in memory is brought there by a thread, so that the worker need not wait for the disk.
            let probes = piece.clone().step_by(READ_AHEAD as usize);
            for probe in probes.chain([piece.end - 1]) {
                if file.read_at(&mut [0], probe)? == 0 {
                    return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
                }
            }
            let send = || Ok(stream.send_file(file, &mut piece)? as usize);
            match self.wait_to_write(limits, send) {
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::Unsupported => {
                    self.writing = false;
                    return Ok(false);
                }
                Err(error) => return Err(error),
                Ok(0) => return Err(std::io::Error::from(std::io::ErrorKind::WriteZero).into()),
                Ok(_) => {}
            }
            start = piece.start;
        }
        self.writing = false;
        Ok(true)
    }

    /// Writes what has gathered and then `tail`, with one vectored write if the stream takes it all.
    fn write_all(
        &mut self,
        stream: &dyn Stream,
        limits: &Limits,
        tail: &[u8],
    ) -> Result<(), Error> {
        if std::mem::replace(&mut self.writing, true) {
            return Err(Error::LeftInTheMiddle);
        }
        // Nearly always the kernel takes it all at once, and what does not wait needs no time limit. A failure will show
        // again below.
        let mut done = 0;
        if tail.is_empty()
            && let Ok(count) = stream.try_write(&self.buffer)
        {
            done = count;
        }
        if done < self.buffer.len() || !tail.is_empty() {
            let buffer = std::mem::take(&mut self.buffer);
            let result = self.write_parts(stream, limits, &buffer[done..], tail);
            self.buffer = buffer;
            result?;
        } else {
            (self.waited, self.taken) = (Duration::ZERO, 0);
        }
        self.buffer.clear();
        // One large answer must not pin its memory for as long as the connection idles.
        if self.buffer.capacity() > 4 * HIGH_WATER {
            self.buffer.shrink_to(COPY_UP_TO);
        }
        self.writing = false;
        Ok(())
    }

    /// Writes both parts, however long the peer takes for it within the limits.
    fn write_parts(
        &mut self,
        stream: &dyn Stream,
        limits: &Limits,
        mut front: &[u8],
        mut back: &[u8],
    ) -> Result<(), Error> {
        while !front.is_empty() || !back.is_empty() {
            let result = self.wait_to_write(limits, || match (front, back) {
                (only, []) | ([], only) => stream.write(only),
                (front, back) => stream.write_vectored(&[IoSlice::new(front), IoSlice::new(back)]),
            });
            let count = match result {
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::Interrupted => {
                    continue;
                }
                Err(error) => return Err(error),
                Ok(0) => return Err(std::io::Error::from(std::io::ErrorKind::WriteZero).into()),
                Ok(count) => count,
            };
            let in_front = count.min(front.len());
            front = &front[in_front..];
            back = &back[count - in_front..];
        }
        Ok(())
    }
}
