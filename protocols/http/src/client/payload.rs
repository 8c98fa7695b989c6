//! What a request carries: nothing, bytes, what is read from somewhere, or what a closure writes.

use std::io::{self, Read, Write};

use super::Progress;
use super::connection::Connection;
use super::error::{ErrorKind, Phase};
use super::limits::Watch;
use super::request::unfit_to_trail;
use crate::body::{encode_chunk_size, encode_end};

/// Content gathered before it becomes a chunk, and read from a `Read` at once.
const CHUNK: usize = 16 << 10;

/// Gives the trailers, when the content has been sent.
pub(super) type Trailing<'b> = Box<dyn FnOnce() -> Vec<(String, Vec<u8>)> + 'b>;

type Writing<'b> = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + 'b>;

#[derive(Default)]
pub(super) enum Payload<'b> {
    #[default]
    Empty,
    Bytes(Vec<u8>),
    /// With its length, if that is known.
    Reader(Box<dyn Read + 'b>, Option<u64>),
    Writer(Writing<'b>),
    /// It was streamed, and cannot be once more.
    Spent,
}

/// How the payload is framed on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    None,
    Length(u64),
    Chunked,
}

impl<'b> Payload<'b> {
    pub(super) fn coding(&self) -> Coding {
        match self {
            Payload::Empty | Payload::Spent => Coding::None,
            Payload::Bytes(bytes) => Coding::Length(bytes.len() as u64),
            Payload::Reader(_, Some(length)) => Coding::Length(*length),
            Payload::Reader(_, None) | Payload::Writer(_) => Coding::Chunked,
        }
    }

    /// Whether it could be sent now, also after it was sent before.
    pub(super) fn is_there(&self) -> bool {
        !matches!(self, Payload::Spent)
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self.coding(), Coding::None | Coding::Length(0))
    }

    /// Sends it, and what trails it. **May suspend.**
    pub(super) fn send(
        &mut self,
        trailing: &mut Option<Trailing<'b>>,
        sender: &mut Sender<'_>,
    ) -> Result<(), ErrorKind> {
        if let Payload::Bytes(bytes) = self {
            return sender.put(bytes);
        }
        match std::mem::replace(self, Payload::Spent) {
            Payload::Reader(mut reader, length) => copy(&mut *reader, length, sender)?,
            Payload::Writer(write) => {
                let result = write(sender);
                if let Some(kind) = sender.failed.take() {
                    return Err(kind);
                }
                result.map_err(ErrorKind::Body)?;
            }
            other => {
                *self = other;
                return Ok(());
            }
        }
        sender.finish(trailing.take())
    }
}

fn copy(
    reader: &mut dyn Read,
    length: Option<u64>,
    sender: &mut Sender<'_>,
) -> Result<(), ErrorKind> {
    let mut buffer = vec![0; CHUNK];
    let mut sent = 0;
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ErrorKind::Body(error)),
        };
        if length
            .is_some_and(|length| sent + count as u64 > length || (count == 0 && sent < length))
        {
            return Err(ErrorKind::Body(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not as long as was said",
            )));
        }
        if count == 0 {
            return Ok(());
        }
        sender.put(&buffer[..count])?;
        sent += count as u64;
    }
}

/// Frames content and sends it.
pub(super) struct Sender<'c> {
    connection: &'c mut Connection,
    watch: &'c Watch,
    progress: Option<&'c (dyn Fn(&Progress) + Send + Sync)>,
    coding: Coding,
    sent: u64,
    /// Content of the next chunk.
    gathered: Vec<u8>,
    /// Why a closure's write failed.
    failed: Option<ErrorKind>,
}

impl<'c> Sender<'c> {
    pub(super) fn new(
        connection: &'c mut Connection,
        watch: &'c Watch,
        progress: Option<&'c (dyn Fn(&Progress) + Send + Sync)>,
        coding: Coding,
    ) -> Self {
        Self {
            connection,
            watch,
            progress,
            coding,
            sent: 0,
            gathered: Vec::new(),
            failed: None,
        }
    }

    /// Sends content, or gathers it if it is short. **May suspend.**
    fn put(&mut self, content: &[u8]) -> Result<(), ErrorKind> {
        if self.coding == Coding::Chunked {
            if content.len() < CHUNK {
                self.gathered.extend_from_slice(content);
                if self.gathered.len() < CHUNK {
                    return Ok(());
                }
                return self.send_gathered();
            }
            self.send_gathered()?;
            return self.send_chunk(content);
        }
        append(self.connection, self.watch, content)?;
        self.tell(content.len());
        Ok(())
    }

    fn send_gathered(&mut self) -> Result<(), ErrorKind> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let gathered = std::mem::take(&mut self.gathered);
        self.send_chunk(&gathered)?;
        self.gathered = gathered;
        self.gathered.clear();
        Ok(())
    }

    fn send_chunk(&mut self, content: &[u8]) -> Result<(), ErrorKind> {
        encode_chunk_size(self.connection.output.buffer(), content.len());
        append(self.connection, self.watch, content)?;
        self.connection.output.buffer().extend_from_slice(b"\r\n");
        self.tell(content.len());
        Ok(())
    }

    fn finish(&mut self, trailing: Option<Trailing<'_>>) -> Result<(), ErrorKind> {
        if self.coding != Coding::Chunked {
            return Ok(());
        }
        self.send_gathered()?;
        let lines = trailing.map(|make| make()).unwrap_or_default();
        let wrong = lines
            .iter()
            .find_map(|(name, value)| unfit_to_trail(name, value));
        if let Some(what) = wrong {
            return Err(ErrorKind::Misuse(what));
        }
        encode_end(self.connection.output.buffer(), &lines);
        Ok(())
    }

    fn tell(&mut self, count: usize) {
        self.sent += count as u64;
        if let Some(progress) = self.progress {
            let total = match self.coding {
                Coding::Length(length) => Some(length),
                _ => None,
            };
            progress(&Progress {
                sent: self.sent,
                received: 0,
                total,
            });
        }
    }
}

impl Write for Sender<'_> {
    /// Takes all of `content`. **May suspend.**
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        if self.failed.is_none() {
            match self.put(content) {
                Ok(()) => return Ok(content.len()),
                Err(kind) => self.failed = Some(kind),
            }
        }
        Err(io::Error::new(
            io::ErrorKind::BrokenPipe,
            "the request cannot be sent on",
        ))
    }

    /// Sends what was written so far. **May suspend.**
    fn flush(&mut self) -> io::Result<()> {
        let result = self
            .send_gathered()
            .and_then(|()| flush(self.connection, self.watch));
        result.map_err(|kind| {
            self.failed = Some(kind);
            io::Error::from(io::ErrorKind::BrokenPipe)
        })
    }
}

/// Appends to what is sent; it may be sent now, or with what follows. **May suspend.**
fn append(connection: &mut Connection, watch: &Watch, content: &[u8]) -> Result<(), ErrorKind> {
    write(connection, watch, |connection| {
        let (stream, limits) = (&*connection.stream, &connection.limits);
        connection.output.append(stream, limits, content)
    })
}

/// Sends what has gathered. **May suspend.**
pub(super) fn flush(connection: &mut Connection, watch: &Watch) -> Result<(), ErrorKind> {
    write(connection, watch, |connection| {
        let (stream, limits) = (&*connection.stream, &connection.limits);
        connection.output.flush(stream, limits)
    })
}

fn write(
    connection: &mut Connection,
    watch: &Watch,
    f: impl FnOnce(&mut Connection) -> Result<(), crate::Error>,
) -> Result<(), ErrorKind> {
    // Each write has its own limit, in `Output`.
    watch
        .total()
        .bound(|| f(connection))?
        .map_err(|error| match error {
            crate::Error::WriteTimeout => {
                ErrorKind::Timeout(Phase::Send, watch.limit(Phase::Send).unwrap_or_default())
            }
            crate::Error::Io(error) => ErrorKind::Io(Phase::Send, error),
            _ => ErrorKind::LeftInTheMiddle,
        })
}
