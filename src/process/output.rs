//! Collecting what a child prints.

use std::io::{self, Read};

use crate::io::PipeReader;
use crate::select;

/// What one read may bring: as much as a pipe holds.
const CHUNK: usize = 64 << 10;

/// The child printed more than was allowed.
#[derive(Debug, thiserror::Error)]
#[error(
    "the child printed more than {limit} bytes; raise Command::output_limit, or read its streams as they come"
)]
struct TooMuch {
    limit: usize,
}

/// One of the streams.
struct Stream {
    /// Until its end.
    pipe: Option<PipeReader>,
    heard: Vec<u8>,
}

/// Reads both at the same time to their ends, so that a full pipe never holds the child up. **May suspend.**
pub(super) fn collect(
    stdout: Option<PipeReader>,
    stderr: Option<PipeReader>,
    limit: usize,
) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut chunk = Vec::new();
    let mut streams = [stdout, stderr].map(|pipe| Stream {
        pipe,
        heard: Vec::new(),
    });
    loop {
        let [out, err] = &streams;
        let next = match (&out.pipe, &err.pipe) {
            (None, None) => break,
            (Some(_), None) => 0,
            (None, Some(_)) => 1,
            (Some(out), Some(err)) => select! {
                readable(out) -> ready => ready.map(|()| 0),
                readable(err) -> ready => ready.map(|()| 1),
            }?,
        };
        chunk.resize(CHUNK, 0);
        streams[next].read(&mut chunk)?;
        if streams[0].heard.len() + streams[1].heard.len() > limit {
            return Err(io::Error::other(TooMuch { limit }));
        }
    }
    let [out, err] = streams;
    Ok((out.heard, err.heard))
}

impl Stream {
    /// Takes what is there, or notes the end. **May suspend.**
    fn read(&mut self, chunk: &mut [u8]) -> io::Result<()> {
        let Some(pipe) = &mut self.pipe else {
            return Ok(());
        };
        match pipe.read(chunk)? {
            0 => self.pipe = None,
            count => self.heard.extend_from_slice(&chunk[..count]),
        }
        Ok(())
    }
}
