//! What belongs to one exchange of request and answer, and what a connection shares with its server.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use grapeshot::net::{Peer, Stream};

use crate::AccessLog;
use crate::compress::Choice;
use crate::output::Output;
use crate::server::Counters;
use crate::{Error, Limits, Status};

/// What the server and a connection of its tell each other.
#[derive(Debug, Default)]
pub(crate) struct Control {
    phase: AtomicU8,
    pub(crate) requests: AtomicU64,
    /// The second in which it last began to wait for a request.
    idle_since: AtomicU64,
}

const IDLE: u8 = 0;
const BUSY: u8 = 1;
const DISMISSED: u8 = 2;

impl Control {
    /// A connection that begins in this second.
    pub(crate) fn new(now: u64) -> Self {
        Self {
            idle_since: AtomicU64::new(now),
            ..Self::default()
        }
    }

    /// The second since when it has been between requests, if it is.
    pub(crate) fn idle_since(&self) -> Option<u64> {
        (self.phase.load(Ordering::Relaxed) == IDLE)
            .then(|| self.idle_since.load(Ordering::Relaxed))
    }

    /// One more. Only the connection itself counts, so nothing can come between.
    pub(crate) fn count_request(&self) {
        let so_far = self.requests.load(Ordering::Relaxed);
        self.requests.store(so_far + 1, Ordering::Relaxed);
    }

    /// Closes the connection if it is between requests; true if it was.
    pub(crate) fn dismiss_if_idle(&self) -> bool {
        self.phase
            .compare_exchange(IDLE, DISMISSED, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// Between requests from now on; false if the server is closing. Either this load sees the flag, or the server,
    /// which sets it first, sees the phase.
    pub(crate) fn rest(&self, now: u64, closing: &AtomicBool) -> bool {
        self.idle_since.store(now, Ordering::Relaxed);
        self.phase.store(IDLE, Ordering::SeqCst);
        !closing.load(Ordering::SeqCst)
    }

    /// A request has begun; false if the server dismissed the connection before.
    pub(crate) fn begin(&self) -> bool {
        self.phase
            .compare_exchange(IDLE, BUSY, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }
}

/// How far the answer to the current request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    None,
    /// The head is written, the content is not complete.
    Started,
    Complete,
    Upgraded,
}

/// The answer so far, as the handler describes it. It lies here and not in the `Response`, which moves from hand to hand.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) status: Cell<Status>,
    /// Complete header lines.
    pub(crate) headers: RefCell<Vec<u8>>,
    /// What the content is, if no header says it.
    pub(crate) media_type: Cell<Option<&'static str>>,
    pub(crate) length: Cell<Option<u64>>,
    /// The headers have a `Date`.
    pub(crate) dated: Cell<bool>,
    pub(crate) misuse: Cell<Option<&'static str>>,
}

impl Draft {
    /// An empty one, in this memory, which is cleared.
    pub(crate) fn new(mut headers: Vec<u8>) -> Self {
        headers.clear();
        Self {
            status: Cell::new(Status::OK),
            headers: RefCell::new(headers),
            media_type: Cell::new(None),
            length: Cell::new(None),
            dated: Cell::new(false),
            misuse: Cell::new(None),
        }
    }

    pub(crate) fn clear(&self) {
        self.status.set(Status::OK);
        self.headers.borrow_mut().clear();
        self.media_type.set(None);
        self.length.set(None);
        self.dated.set(false);
        self.misuse.set(None);
    }
}

/// What request and response share while one exchange lasts. It is bound to its coroutine (`!Sync`).
pub(crate) struct Exchange<'c> {
    pub(crate) stream: &'c Arc<dyn Stream>,
    pub(crate) limits: &'c Limits,
    pub(crate) output: RefCell<&'c mut Output>,
    pub(crate) draft: Draft,
    pub(crate) peer: Peer,
    pub(crate) is_head: bool,
    pub(crate) is_http10: bool,
    pub(crate) is_connect: bool,
    pub(crate) now: u64,
    pub(crate) answer: Cell<Answer>,
    /// The connection ends after this exchange.
    pub(crate) close: Cell<bool>,
    /// The client waits for `100 Continue`.
    pub(crate) expect_pending: Cell<bool>,
    /// So much content is unread that it will not be drained.
    pub(crate) content_in_the_way: Cell<bool>,
    /// This is the last answer, if it can still say so.
    pub(crate) draining: &'c AtomicBool,
    /// Bytes of content so far.
    pub(crate) sent: Cell<u64>,
    pub(crate) compress: Cell<Choice>,
}

impl std::fmt::Debug for Exchange<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange")
            .field("peer", &self.peer)
            .field("answer", &self.answer)
            .finish_non_exhaustive()
    }
}

impl Exchange<'_> {
    /// Whether an answer can still be begun.
    pub(crate) fn is_unanswered(&self) -> bool {
        // While the output is borrowed, its write is being left.
        self.answer.get() == Answer::None
            && self
                .output
                .try_borrow()
                .is_ok_and(|output| !output.is_broken())
    }

    /// Whether the connection must be closed after an answer whose head is written now.
    pub(crate) fn must_close(&self) -> bool {
        self.close.get()
            || self.expect_pending.get()
            || self.content_in_the_way.get()
            || self.draining.load(Ordering::Relaxed)
    }

    /// Before a wait for content: the client may be waiting for earlier answers, or for leave to send it.
    pub(crate) fn before_reading_content(&self) -> Result<(), Error> {
        let mut output = self.output.borrow_mut();
        if self.expect_pending.take() && self.answer.get() == Answer::None {
            output
                .buffer()
                .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        output.flush(self.stream, self.limits)
    }
}

/// What all connections of a server share.
#[derive(Debug, Default)]
pub(crate) struct Context {
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    /// No further requests are taken.
    pub(crate) closing: AtomicBool,
    /// No connection carries more than one further request.
    pub(crate) draining: AtomicBool,
    pub(crate) access_log: Option<AccessLog>,
    /// The handler takes CONNECT.
    pub(crate) connects: bool,
}
