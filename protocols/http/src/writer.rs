//! An answer's content, written piece by piece.

use std::io::{self, Write};
use std::ops::Range;

use grapeshot::fs::File;

use crate::Error;
use crate::body;
use crate::compress::Encoder;
use crate::exchange::{Answer, Exchange};
use crate::response::problem;

/// Content gathered before it becomes a chunk.
const CHUNK: usize = 8 << 10;
/// Read from a file at a time.
const FILE_CHUNK: usize = 64 << 10;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Coding {
    /// So many bytes are still to be written.
    Length(u64),
    Chunked,
    UntilClose,
    /// HEAD: content is thrown away.
    Nowhere,
}

/// Writes an answer's content. Small writes are gathered; [`flush`](Write::flush) sends what there is.
/// [`finish`](BodyWriter::finish) must be called at the end: an answer that is dropped before was not completed, and
/// the peer learns it by the connection's end.
#[derive(Debug)]
#[must_use = "call finish() at the end of the content"]
pub struct BodyWriter<'c> {
    exchange: &'c Exchange<'c>,
    coding: Coding,
    /// Content of the next chunk.
    gathered: Vec<u8>,
    encoder: Option<Encoder>,
}

impl<'c> BodyWriter<'c> {
    /// `gathered` is memory to use, empty.
    pub(crate) fn new(
        exchange: &'c Exchange<'c>,
        coding: Coding,
        gathered: Vec<u8>,
        encoder: Option<Encoder>,
    ) -> Self {
        Self {
            exchange,
            coding,
            gathered,
            encoder,
        }
    }

    /// Completes the answer. **May suspend.**
    ///
    /// # Errors
    /// `Misuse` if less was written than was declared; else the stream's.
    pub fn finish(self) -> Result<(), Error> {
        self.finish_with(&[])
    }

    /// Completes the answer, with trailers behind its content: what is known only now, such as a hash. Announce them in
    /// a header `Trailer`. They are left out if the content is not chunked: of a declared length, or for a client of HTTP/1.0.
    /// **May suspend.**
    ///
    /// # Errors
    /// `Misuse` for a trailer that cannot be, or if less was written than was declared; else the stream's.
    pub fn finish_with(self, trailers: &[(&str, &str)]) -> Result<(), Error> {
        self.end(trailers)
    }

    /// As [`finish_with`](BodyWriter::finish_with), for values that may be no text.
    pub(crate) fn end(mut self, trailers: &[(&str, impl AsRef<[u8]>)]) -> Result<(), Error> {
        for (name, value) in trailers {
            if let Some(misuse) = problem(name, value.as_ref()) {
                return Err(Error::Misuse(misuse));
            }
        }
        if let Some(encoder) = self.encoder.take() {
            let end = encoder.finish()?;
            self.put(&end)?;
        }
        match self.coding {
            Coding::Length(left) if left > 0 => {
                return Err(Error::Misuse("less content was written than was declared"));
            }
            Coding::Chunked => {
                self.send_gathered()?;
                let mut output = self.exchange.output.borrow_mut();
                let out = output.buffer();
                if trailers.is_empty() {
                    out.extend_from_slice(body::LAST_CHUNK);
                } else {
                    body::encode_end(out, trailers);
                }
            }
            _ => {}
        }
        self.exchange.answer.set(Answer::Complete);
        Ok(())
    }

    /// Writes a part of a file: by the kernel, where the stream allows, and without a copy then. **May suspend.**
    ///
    /// # Errors
    /// `Misuse` if it is more than was declared; else those of the file, which may have become shorter, and the stream.
    pub fn send_file(&mut self, file: &File, part: Range<u64>) -> Result<(), Error> {
        let exchange = self.exchange;
        let count = part.end.saturating_sub(part.start);
        match &mut self.coding {
            Coding::Nowhere => return Ok(()),
            Coding::Length(left) if *left < count => {
                return Err(Error::Misuse("more content was written than was declared"));
            }
            Coding::Length(_) | Coding::UntilClose if self.encoder.is_none() => {
                let sent = exchange.output.borrow_mut().send_file(
                    &**exchange.stream,
                    exchange.limits,
                    file,
                    part.clone(),
                )?;
                if sent {
                    if let Coding::Length(left) = &mut self.coding {
                        *left -= count;
                    }
                    exchange.sent.set(exchange.sent.get() + count);
                    return Ok(());
                }
            }
            _ => {}
        }
        let mut chunk = vec![0; FILE_CHUNK.min(usize::try_from(count).unwrap_or(FILE_CHUNK))];
        let mut at = part.start;
        while at < part.end {
            let room = chunk.len().min((part.end - at) as usize);
            match file.read_at(&mut chunk[..room], at)? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                read => {
                    self.encode(&chunk[..read])?;
                    at += read as u64;
                }
            }
        }
        Ok(())
    }

    /// Compresses, if that was agreed.
    fn encode(&mut self, content: &[u8]) -> Result<(), Error> {
        match &mut self.encoder {
            None => self.put(content),
            Some(_) if matches!(self.coding, Coding::Nowhere) => Ok(()),
            Some(encoder) => {
                let out = encoder.encode(content)?;
                self.put(&out)
            }
        }
    }

    fn put(&mut self, content: &[u8]) -> Result<(), Error> {
        let exchange = self.exchange;
        if !matches!(self.coding, Coding::Nowhere) {
            exchange
                .sent
                .set(exchange.sent.get() + content.len() as u64);
        }
        match &mut self.coding {
            Coding::Nowhere => Ok(()),
            Coding::Length(left) if *left < content.len() as u64 => {
                Err(Error::Misuse("more content was written than was declared"))
            }
            Coding::Length(left) => {
                *left -= content.len() as u64;
                exchange
                    .output
                    .borrow_mut()
                    .append(&**exchange.stream, exchange.limits, content)
            }
            Coding::UntilClose => {
                exchange
                    .output
                    .borrow_mut()
                    .append(&**exchange.stream, exchange.limits, content)
            }
            Coding::Chunked if content.len() < CHUNK => {
                self.gathered.extend_from_slice(content);
                if self.gathered.len() >= CHUNK {
                    self.send_gathered()
                } else {
                    Ok(())
                }
            }
            Coding::Chunked => {
                self.send_gathered()?;
                let mut output = exchange.output.borrow_mut();
                body::encode_chunk_size(output.buffer(), content.len());
                output.append(&**exchange.stream, exchange.limits, content)?;
                output.buffer().extend_from_slice(b"\r\n");
                Ok(())
            }
        }
    }

    /// Makes a chunk of what has gathered.
    fn send_gathered(&mut self) -> Result<(), Error> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let exchange = self.exchange;
        let mut output = exchange.output.borrow_mut();
        body::encode_chunk_size(output.buffer(), self.gathered.len());
        output.append(&**exchange.stream, exchange.limits, &self.gathered)?;
        output.buffer().extend_from_slice(b"\r\n");
        self.gathered.clear();
        Ok(())
    }
}

impl Write for BodyWriter<'_> {
    /// Takes all of `content`. **May suspend.**
    fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        self.encode(content)?;
        Ok(content.len())
    }

    /// Sends what was written so far. **May suspend.**
    fn flush(&mut self) -> io::Result<()> {
        if let Some(encoder) = &mut self.encoder {
            let out = encoder.flush()?;
            self.put(&out)?;
        }
        if matches!(self.coding, Coding::Chunked) {
            self.send_gathered()?;
        }
        let exchange = self.exchange;
        exchange
            .output
            .borrow_mut()
            .flush(&**exchange.stream, exchange.limits)?;
        Ok(())
    }
}
