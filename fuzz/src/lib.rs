//! What the targets of whole clients and servers share: a stream whose peer has said everything beforehand.
#![forbid(unsafe_code)]

use std::io;
use std::net::Shutdown;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grapeshot::net::Stream;

/// Reads what was there from the beginning, so many bytes at a time at most, and keeps what is written. Never waits.
#[derive(Clone)]
pub struct Wire(Arc<Inner>);

struct Inner {
    step: usize,
    ends: Mutex<Ends>,
}

struct Ends {
    received: Vec<u8>,
    /// So much of it was read.
    at: usize,
    sent: Vec<u8>,
    /// Until the first byte is read.
    reply: Option<Reply>,
}

/// What the peer says after all, when it has seen what was written.
pub type Reply = fn(sent: &[u8], received: &mut Vec<u8>);

impl Wire {
    /// One whose peer says this. A `step` of 0 is as many bytes as fit.
    pub fn new(received: impl Into<Vec<u8>>, step: u8) -> Self {
        Self::replying(received, step, |_, _| {})
    }

    /// The same with a peer that makes its words fit what it is asked.
    pub fn replying(received: impl Into<Vec<u8>>, step: u8, reply: Reply) -> Self {
        let step = if step == 0 { usize::MAX } else { step.into() };
        let ends = Ends {
            received: received.into(),
            at: 0,
            sent: Vec::new(),
            reply: Some(reply),
        };
        Self(Arc::new(Inner {
            step,
            ends: Mutex::new(ends),
        }))
    }

    /// What was written.
    pub fn sent(&self) -> Vec<u8> {
        self.ends().sent.clone()
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.0.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream for Wire {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let ends = &mut *self.ends();
        if let Some(reply) = ends.reply.take() {
            reply(&ends.sent, &mut ends.received);
        }
        let left = &ends.received[ends.at..];
        let count = left.len().min(buffer.len()).min(self.0.step);
        buffer[..count].copy_from_slice(&left[..count]);
        ends.at += count;
        Ok(count)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.ends().sent.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn shutdown(&self, _how: Shutdown) -> io::Result<()> {
        Ok(())
    }
}
