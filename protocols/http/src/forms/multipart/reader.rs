//! The parts of a request's content, one after the other.

use std::io::{self, Read};

use super::decoder::{Decoder, Event, PartHead};
use super::{MultipartError, MultipartLimits};
use crate::{HandlerError, Rejection};

/// Read from the content at a time.
const CHUNK: usize = 16 << 10;

/// The parts of `multipart/form-data`. A file is never in memory as a whole, unless the program puts it there:
///
/// ```
/// use grapeshot_http::{HandlerError, MultipartLimits, Router};
///
/// let site = Router::new().post("/upload", |request| {
///     request.limit_body(1 << 30);
///     let mut received = 0;
///     let mut parts = request.multipart(MultipartLimits::default())?;
///     while let Some(mut part) = parts.next_part()? {
///         received += std::io::copy(&mut part, &mut std::io::sink())?;
///     }
///     Ok::<_, HandlerError>(format!("{received} bytes\n"))
/// });
/// ```
#[derive(Debug)]
pub struct Multipart<R> {
    content: R,
    decoder: Decoder,
    chunk: Vec<u8>,
    /// The content of a part is not read to its end.
    within: bool,
}

impl<R: Read> Multipart<R> {
    /// Reads parts from any content.
    pub fn new(content: R, boundary: &str, limits: MultipartLimits) -> Self {
        Self {
            content,
            decoder: Decoder::new(boundary, limits),
            chunk: vec![0; CHUNK],
            within: false,
        }
    }

    /// The next part; what was not read of the last one is skipped. `None` after the last. **May suspend.**
    ///
    /// # Errors
    /// A [`Rejection`] for what is malformed or too much; else those of reading. Pass them on.
    pub fn next_part(&mut self) -> Result<Option<Part<'_, R>>, HandlerError> {
        let mut sink = [0; 4096];
        while self.within {
            self.read_data(&mut sink)?;
        }
        match self.event()? {
            Event::Part(head) => {
                self.within = true;
                Ok(Some(Part { head, parts: self }))
            }
            _ => Ok(None),
        }
    }

    fn event(&mut self) -> io::Result<Event> {
        loop {
            if let Some(event) = self.decoder.next_event().map_err(to_io)? {
                return Ok(event);
            }
            match self.content.read(&mut self.chunk)? {
                0 => return Err(to_io(MultipartError::Truncated)),
                count => self.decoder.feed(&self.chunk[..count]),
            }
        }
    }

    fn read_data(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if !self.within || out.is_empty() {
            return Ok(0);
        }
        match self.event()? {
            Event::Data(_) => Ok(self.decoder.take(out)),
            _ => {
                self.within = false;
                Ok(0)
            }
        }
    }
}

/// As an error that is an answer too: [`Rejection`] inside an `io::Error`.
fn to_io(error: MultipartError) -> io::Error {
    let rejection = Rejection::new(error.status(), error.to_string());
    io::Error::new(io::ErrorKind::InvalidData, rejection)
}

/// One part: its content is `Read`.
#[derive(Debug)]
pub struct Part<'m, R> {
    head: PartHead,
    parts: &'m mut Multipart<R>,
}

impl<R: Read> Part<'_, R> {
    /// The field's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.head.name
    }

    /// The file's name as the client calls it, for a file: any text, which must not be taken for a path.
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        self.head.file_name.as_deref()
    }

    /// The media type, if the client says one.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.head.content_type.as_deref()
    }

    /// Reads the whole content, if it is text of at most so many bytes. **May suspend.**
    ///
    /// # Errors
    /// A [`Rejection`] if it is not; else those of reading. Pass them on.
    pub fn text(mut self, most: usize) -> Result<String, HandlerError> {
        let mut content = Vec::new();
        (&mut self)
            .take(most as u64 + 1)
            .read_to_end(&mut content)?;
        if content.len() > most {
            return Err(to_io(MultipartError::PartTooLong).into());
        }
        String::from_utf8(content)
            .map_err(|_| to_io(MultipartError::Malformed("a text is no UTF-8")).into())
    }
}

impl<R: Read> Read for Part<'_, R> {
    /// Reads content; 0 at its end. **May suspend.**
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.parts.read_data(out)
    }
}
