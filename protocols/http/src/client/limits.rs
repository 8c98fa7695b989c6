//! What a server may cost a client: sizes, counts and waits, each with its default.

use std::time::{Duration, Instant};

use grapeshot::{time, with_deadline};

use super::error::{ErrorKind, Phase};

/// The caps of a client. Everything that a server can make grow has a field here; waits have [`Phase`]s.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a status line. Default 8 KiB.
    pub status_line: usize,
    /// Bytes of all header lines of an answer together. Default 64 KiB.
    pub headers: usize,
    /// Header lines of an answer. Default and most: 128.
    pub header_count: usize,
    /// Interim answers (1xx) before the final one. Default 16.
    pub interim: usize,
    /// Bytes of chunk extensions in one answer. Default 4 KiB.
    pub chunk_extensions: usize,
    /// Bytes of trailer fields in one answer. Default 8 KiB.
    pub trailers: usize,
    /// Bytes of content that [`bytes`](super::Response::bytes), [`text`](super::Response::text) and
    /// [`json`](super::Response::json) take, after decompression. Default 16 MiB. Who reads piece by piece is not bound
    /// by it, but by [`Response::limit`](super::Response::limit).
    pub content: u64,
    /// Bytes of content nobody wants (of a redirect, say) that are read away to keep the connection. Default 64 KiB.
    pub drain: u64,
    /// How many times as long as what was received decompressed content may be, once it is longer than 1 MiB.
    /// Default 250.
    pub expansion: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            status_line: 8 << 10,
            headers: 64 << 10,
            header_count: crate::Limits::MAX_HEADER_COUNT,
            interim: 16,
            chunk_extensions: 4 << 10,
            trailers: 8 << 10,
            content: 16 << 20,
            drain: 64 << 10,
            expansion: 250,
        }
    }
}

impl Limits {
    /// The same for the parts of the codec that client and server share. How long content may be is not theirs to say.
    #[must_use]
    pub fn codec(&self) -> crate::Limits {
        crate::Limits {
            request_line: self.status_line,
            headers: self.headers,
            header_count: self.header_count,
            body: u64::MAX,
            chunk_extensions: self.chunk_extensions,
            trailers: self.trailers,
            ..crate::Limits::default()
        }
    }
}

/// A time-out for each phase.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts([Option<Duration>; Phase::COUNT]);

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = |count| Some(Duration::from_secs(count));
        let mut all = Self([seconds(10); Phase::COUNT]);
        all.set(Phase::Queue, None);
        all.set(Phase::Send, seconds(30));
        all.set(Phase::Continue, seconds(1));
        all.set(Phase::Answer, seconds(30));
        all.set(Phase::Content, seconds(30));
        all.set(Phase::Total, None);
        all
    }
}

impl Timeouts {
    pub(crate) fn set(&mut self, phase: Phase, limit: Option<Duration>) {
        self.0[phase as usize] = limit;
    }

    pub(crate) fn limit(&self, phase: Phase) -> Option<Duration> {
        self.0[phase as usize]
    }
}

/// The time-outs of one request, which began at a certain time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch {
    timeouts: Timeouts,
    /// When the whole request must be over.
    end: Option<Instant>,
}

impl Watch {
    pub(crate) fn start(timeouts: Timeouts) -> Self {
        let end = timeouts
            .limit(Phase::Total)
            .and_then(|limit| time::now().checked_add(limit));
        Self { timeouts, end }
    }

    pub(crate) fn limit(&self, phase: Phase) -> Option<Duration> {
        self.timeouts.limit(phase)
    }

    /// Until when a phase that begins now may last.
    pub(crate) fn deadline(&self, phase: Phase) -> Deadline {
        self.deadline_of(phase, self.limit(phase).unwrap_or(Duration::MAX))
    }

    /// The same for a phase with another limit.
    pub(crate) fn deadline_of(&self, phase: Phase, limit: Duration) -> Deadline {
        let at = time::now().checked_add(limit);
        match self.end {
            Some(end) if at.is_none_or(|at| end < at) => self.total(),
            _ => Deadline { at, phase, limit },
        }
    }

    /// Until when everything may last.
    pub(crate) fn total(&self) -> Deadline {
        Deadline {
            at: self.end,
            phase: Phase::Total,
            limit: self.limit(Phase::Total).unwrap_or_default(),
        }
    }

    /// Runs `f`, which is all there is to a phase. **May suspend.**
    pub(crate) fn within<T>(&self, phase: Phase, f: impl FnOnce() -> T) -> Result<T, ErrorKind> {
        self.deadline(phase).bound(f)
    }
}

/// Until when something may last, and what to say when it does not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    at: Option<Instant>,
    phase: Phase,
    limit: Duration,
}

impl Deadline {
    /// Runs `f` until the time is over. **May suspend.**
    pub(crate) fn bound<T>(&self, f: impl FnOnce() -> T) -> Result<T, ErrorKind> {
        match self.at {
            None => Ok(f()),
            Some(at) => {
                with_deadline(at, f).map_err(|_| ErrorKind::Timeout(self.phase, self.limit))
            }
        }
    }
}
