//! One connection of a client: its stream, what was received on it and not taken yet, and whether it may be used again.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use grapeshot::net::Stream;
use grapeshot::time;

use crate::Limits;
use crate::output::Output;

/// The buffer answers are received in, to begin with. It grows to what the limits on heads allow.
const INPUT: usize = 8 << 10;

pub(crate) struct Connection {
    pub(super) stream: Arc<dyn Stream>,
    pub(super) output: Output,
    /// The caps on heads and framing, and how long a write may wait.
    pub(super) limits: Limits,
    /// The received bytes are `input[start..end]`.
    input: Vec<u8>,
    start: usize,
    end: usize,
    opened: Instant,
    /// Answers that were read to their end.
    pub(super) answers: u64,
    /// True from the first byte of a request to the last of its answer. Whatever leaves in between leaves it true, and
    /// then the connection is never used again.
    pub(super) busy: bool,
}

impl Connection {
    pub(super) fn new(stream: Arc<dyn Stream>, limits: Limits) -> Self {
        Self {
            stream,
            output: Output::default(),
            limits,
            input: Vec::new(),
            start: 0,
            end: 0,
            opened: time::now(),
            answers: 0,
            busy: false,
        }
    }

    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// What was received and not taken.
    pub(super) fn received(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    /// Takes the first `count` of the received bytes.
    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end);
    }

    /// How much one [`receive`](Self::receive) can bring at most when nothing is left over.
    pub(super) fn window(&self) -> usize {
        self.input.len().max(INPUT)
    }

    /// Receives more behind what there is; 0 at the stream's end. **May suspend.**
    pub(super) fn receive(&mut self) -> io::Result<usize> {
        self.make_room();
        let count = read(&*self.stream, &mut self.input[self.end..])?;
        self.end += count;
        Ok(count)
    }

    /// Receives straight into the reader's memory; only right while nothing received is left. **May suspend.**
    pub(super) fn receive_into(&self, out: &mut [u8]) -> io::Result<usize> {
        debug_assert!(self.start == self.end);
        read(&*self.stream, out)
    }

    /// Sees to it that there is room for at least one byte. Whoever calls bounds how much is left over.
    fn make_room(&mut self) {
        if self.input.is_empty() {
            self.input.resize(INPUT, 0);
        } else if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.input.len() {
            if self.start > 0 {
                self.input.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            } else {
                self.input.resize(2 * self.input.len(), 0);
            }
        }
    }

    /// Whether another request may be sent on it, as far as this side knows. Bytes that nobody asked for speak against
    /// it: they could pass for the next answer.
    pub(super) fn is_reusable(&self) -> bool {
        !self.busy && self.start == self.end && !self.output.is_broken()
    }

    /// Whether an idle connection still is one: neither ended by its peer nor sent anything on. Does not suspend.
    pub(super) fn is_quiet(&self) -> bool {
        match self.stream.try_read(&mut [0]) {
            Err(error) => matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Unsupported
            ),
            Ok(_) => false,
        }
    }

    /// Prepares for a long rest: gives memory back.
    pub(super) fn rest(&mut self) {
        if self.input.len() > 4 * INPUT {
            self.input = Vec::new();
            (self.start, self.end) = (0, 0);
        }
    }
}

fn read(stream: &dyn Stream, out: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(out) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
