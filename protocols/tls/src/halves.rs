//! The two directions of a stream below TLS: what came and is not decrypted yet, what is encrypted and not sent yet.

use std::io;

use grapeshot::net::{Shutdown, Stream};

use crate::Error;

/// What a read waits with; more is taken only while there is more. An idle connection costs so much.
const SMALL: usize = 1 << 10;
/// The most that one read takes: a few records.
const LARGE: usize = 64 << 10;
/// So many reads do without the carrier's own, which lets others have their turn now and then.
const IN_A_ROW: u32 = 8;

/// What came from the peer. Whoever holds it reads the carrier.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    /// The bytes that came and are not fed to the session yet are `chunk[start..end]`.
    chunk: Vec<u8>,
    start: usize,
    end: usize,
    /// How much to read next.
    size: usize,
    in_a_row: u32,
    /// Why nothing more can be decrypted.
    pub(crate) failed: Option<Error>,
}

impl Incoming {
    /// One that begins with what somebody else has received.
    pub(crate) fn after(received: Vec<u8>) -> Self {
        Self {
            end: received.len(),
            chunk: received,
            ..Self::default()
        }
    }

    pub(crate) fn pending(&self) -> &[u8] {
        &self.chunk[self.start..self.end]
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
    }

    /// Waits for more, when nothing is pending; false at the carrier's end. Left by unwinding, it has taken nothing.
    /// **May suspend.**
    pub(crate) fn receive(&mut self, carrier: &impl Stream) -> io::Result<bool> {
        debug_assert!(self.pending().is_empty());
        (self.start, self.end) = (0, 0);
        if self.size > SMALL && self.in_a_row < IN_A_ROW {
            self.resize(self.size);
            match carrier.try_read(&mut self.chunk) {
                Ok(count) => {
                    self.in_a_row += 1;
                    return Ok(self.took(count));
                }
                // Nothing more for now: wait without the large buffer.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.resize(SMALL),
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                Err(error) => return Err(error),
            }
        } else {
            self.resize(self.size.max(SMALL));
        }
        self.in_a_row = 0;
        loop {
            match carrier.read(&mut self.chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Ok(self.took(result?)),
            }
        }
    }

    /// Learns from it how much there may be the next time.
    fn took(&mut self, count: usize) -> bool {
        self.end = count;
        if count == self.chunk.len() {
            self.size = self.size.max(4 * count).min(LARGE);
        } else if count < self.size / 8 {
            self.size /= 2;
        }
        count > 0
    }

    /// The same without waiting: `WouldBlock` if nothing is there.
    pub(crate) fn try_receive(&mut self, carrier: &impl Stream) -> io::Result<bool> {
        (self.start, self.end) = (0, 0);
        self.resize(self.size.max(SMALL));
        self.end = carrier.try_read(&mut self.chunk)?;
        Ok(self.end > 0)
    }

    fn resize(&mut self, size: usize) {
        if self.chunk.len() != size {
            self.chunk = vec![0; size];
        }
    }
}

/// What goes to the peer. Whoever holds it writes the carrier.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// What is encrypted and not sent is `wire[sent..]`.
    pub(crate) wire: Vec<u8>,
    sent: usize,
    /// A record may be half sent, or a handshake half done: nothing may follow it.
    pub(crate) poisoned: bool,
    /// close_notify is in `wire` or sent.
    pub(crate) ended: bool,
    /// The carrier's writing side has been shut down.
    shut: bool,
}

impl Outgoing {
    pub(crate) fn refusal(&self) -> Result<(), Error> {
        match self {
            Self { poisoned: true, .. } => Err(Error::Poisoned),
            Self { ended: true, .. } => Err(Error::Ended),
            _ => Ok(()),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sent == self.wire.len()
    }

    /// Sends all. Left in the middle, the stream is poisoned. **May suspend.**
    pub(crate) fn send(&mut self, carrier: &impl Stream) -> io::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        if self.poisoned {
            return Err(Error::Poisoned.into());
        }
        // It stays so if this is left, by an error or by unwinding.
        self.poisoned = true;
        while !self.is_empty() {
            match carrier.write(&self.wire[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.poisoned = false;
        self.clear();
        Ok(())
    }

    /// Sends what is taken at once, and the carrier's end if that is due. What is not taken stays for the next who
    /// sends. True if the carrier cannot do it without waiting. Does not suspend.
    pub(crate) fn try_send(&mut self, carrier: &impl Stream) -> io::Result<bool> {
        while !self.poisoned && !self.is_empty() {
            match carrier.try_write(&self.wire[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => return Ok(false),
                    io::ErrorKind::Unsupported => return Ok(true),
                    _ => {
                        self.poisoned = true;
                        return Err(error);
                    }
                },
            }
        }
        if self.is_empty() {
            self.clear();
        }
        self.shut_if_due(carrier)?;
        Ok(false)
    }

    /// Ends the carrier's writing once the good-bye is sent, or cannot be sent any more.
    pub(crate) fn shut_if_due(&mut self, carrier: &impl Stream) -> io::Result<()> {
        if self.ended && !self.shut && (self.poisoned || self.is_empty()) {
            self.shut = true;
            return carrier.shutdown(Shutdown::Write);
        }
        Ok(())
    }

    /// An idle connection keeps no buffer.
    fn clear(&mut self) {
        self.wire = Vec::new();
        self.sent = 0;
    }
}
