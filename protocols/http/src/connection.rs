//! One connection: requests are read, handed to the handler, and answered in their order.
//!
//! ```text
//!   Idle ── first byte ──▶ Head ── empty line ──▶ handler ──▶ content drained ──▶ Head (pipelined) or Idle
//!    │                      │ refused, too slow      │ panic, error, upgrade, Connection: close
//!    └─ time, EOF, shutdown ┴────────────────────────┴──▶ flushed, lingered, closed
//! ```
//! Answers gather in the [`Output`] and are written before the connection waits for anything, so that pipelined
//! requests cost one read and one write together.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use grapeshot::net::{Peer, Shutdown, Stream};
use grapeshot::{catch_panic, with_timeout};

use crate::access::Line;
use crate::auth::User;
use crate::body::Decoder;
use crate::buffers::{self, Buffers};
use crate::encode::encode_failure;
use crate::exchange::{Answer, Context, Control, Draft, Exchange};
use crate::handler::Reply;
use crate::head::{Head, Scanner};
use crate::output::Output;
use crate::request::{Body, Failed, Request};
use crate::response::Response;
use crate::{AccessLog, Error, Handler, HandlerError, Phase, Refusal, Rejection, Status, date};

/// Room behind a head, for content.
const WINDOW: usize = 1 << 10;

/// Why the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing of the peer's is under way.
    Quiet,
    /// The peer may still be sending.
    Linger,
    /// The stream is somebody else's now, or of no use.
    Leave,
}

/// The server's side of one connection.
pub(crate) struct Connection {
    stream: Arc<dyn Stream>,
    peer: Peer,
    context: Arc<Context>,
    control: Arc<Control>,
    /// The received bytes are `input[start..end]`. It is one of [`buffers`] to begin with, grows to what the limits allow, and is
    /// empty between requests, as is the memory of `output` and `head`.
    input: Vec<u8>,
    start: usize,
    end: usize,
    output: Output,
    head: Head,
    scratch: Vec<u8>,
    now: u64,
}

impl Connection {
    pub(crate) fn new(
        stream: Arc<dyn Stream>,
        peer: Peer,
        context: Arc<Context>,
        control: Arc<Control>,
    ) -> Self {
        Self {
            stream,
            peer,
            context,
            control,
            input: Vec::new(),
            start: 0,
            end: 0,
            output: Output::default(),
            head: Head::default(),
            scratch: Vec::new(),
            now: date::now(),
        }
    }

    /// Serves until one side has had enough. **May suspend.**
    pub(crate) fn serve(mut self, handler: &dyn Handler) {
        if !self.prepare() {
            return;
        }
        let end = self.serve_requests(handler);
        let limits = &self.context.limits;
        let flushed = end != End::Leave && self.output.flush(&*self.stream, limits).is_ok();
        if let Some(phase) = self.output.expired() {
            self.context.counters.expired(phase, self.peer);
            self.stream.reset_on_close();
        }
        if !flushed {
            return;
        }
        if end == End::Linger {
            linger(&*self.stream, limits.linger);
        } else {
            // Under TLS the peer must hear that this is the end, and not take it for an attack.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }

    /// Has the stream do what comes before its first byte, a TLS handshake; false if it could not. **May suspend.**
    fn prepare(&mut self) -> bool {
        let stream = &*self.stream;
        stream.limit_unsent(self.context.limits.unsent);
        let refusal = match with_timeout(self.context.limits.handshake, || stream.prepare()) {
            Ok(Ok(())) => {
                if let Some(peer) = stream.peer() {
                    self.peer = peer;
                }
                return true;
            }
            Ok(Err(error)) => {
                log::debug!("http {}: {}: {error}", self.peer, Refusal::Handshake);
                Refusal::Handshake
            }
            Err(_) => {
                log::debug!("http {}: {}", self.peer, Refusal::HandshakeTimeout);
                Refusal::HandshakeTimeout
            }
        };
        self.context.counters.refused(refusal, self.peer);
        false
    }

    fn serve_requests(&mut self, handler: &dyn Handler) -> End {
        loop {
            let end = match self.read_head() {
                Ok(Some(range)) => self.exchange(range, handler),
                Ok(None) => Some(End::Quiet),
                Err(Error::Refused(refusal)) => Some(self.refuse(refusal)),
                Err(error) => {
                    log::debug!("http {}: {error}", self.peer);
                    Some(End::Leave)
                }
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal) -> End {
        self.context.counters.refused(refusal, self.peer);
        if let Some(log) = &self.context.access_log {
            log.put(&Line {
                peer: self.peer,
                user: None,
                when: date::now(),
                request: None,
                status: refusal.status(),
                bytes: 0,
                took: Duration::ZERO,
                referer: None,
                agent: None,
            });
        }
        encode_failure(
            self.output.buffer(),
            refusal.status(),
            &refusal.to_string(),
            self.now,
            true,
        );
        End::Linger
    }

    /// Waits for a whole head and parses it: where it lies. `None` when the connection is over between requests.
    /// **May suspend.**
    fn read_head(&mut self) -> Result<Option<Range<usize>>, Error> {
        let mut scanner = Scanner::default();
        let mut deadline = None;
        let mut looked = false;
        loop {
            let received = &self.input[self.start..self.end];
            if !received.is_empty() {
                let limits = &self.context.limits;
                // Nearly always it came whole, and then once is enough.
                if !std::mem::replace(&mut looked, true)
                    && let Some(head) = self.head.parse_at_once(received, limits)
                {
                    return Ok(Some(self.start + head.start..self.start + head.end));
                }
                if let Some(head) = scanner.find(received, limits)? {
                    self.head.parse(&received[head.clone()])?;
                    return Ok(Some(self.start + head.start..self.start + head.end));
                }
            }
            let first = self.start == self.end;
            if !first && deadline.is_none() {
                deadline = Some(grapeshot::time::now() + self.context.limits.head_wait);
            }
            // Never wait while an answer lies here: the client may be waiting for it.
            self.output.flush(&*self.stream, &self.context.limits)?;
            self.make_room();
            let new = self.control.requests.load(Ordering::Relaxed) == 0;
            let wait = match deadline {
                None if new => self.context.limits.first_byte,
                None => self.context.limits.idle,
                Some(deadline) => deadline.saturating_duration_since(grapeshot::time::now()),
            };
            if first && !self.control.rest(self.now, &self.context.closing) {
                return Ok(None);
            }
            let stream = &*self.stream;
            let read = || {
                if first {
                    stream.wait_to_read()?;
                    let buffers = buffers::take();
                    self.input = buffers.input;
                    *self.output.buffer() = buffers.output;
                    self.head.headers = buffers.headers;
                }
                stream.read(&mut self.input[self.end..])
            };
            match with_timeout(wait, read) {
                Err(_) if first => {
                    let phase = if new { Phase::FirstByte } else { Phase::Idle };
                    self.context.counters.expired(phase, self.peer);
                    return Ok(None);
                }
                Err(_) => return Err(Refusal::HeadTimeout.into()),
                Ok(Ok(0)) if first => return Ok(None),
                Ok(Ok(0)) => return Err(Error::Truncated),
                Ok(Ok(count)) => self.end += count,
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                // A peer that resets an idle connection has merely closed it.
                Ok(Err(_)) if first => return Ok(None),
                Ok(Err(error)) => return Err(error.into()),
            }
            if first && !self.control.begin() {
                return Ok(None);
            }
            self.now = date::now();
        }
    }

    /// Sees to it that there is room for at least one byte, or no buffer while there is nothing in it. The scanner bounds how
    /// much can be asked for. All answers are written.
    fn make_room(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            buffers::give_back(Buffers {
                input: std::mem::take(&mut self.input),
                output: std::mem::take(self.output.buffer()),
                headers: std::mem::take(&mut self.head.headers),
            });
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

    /// Handles one request; `Some` if it was the last of this connection. **May suspend.**
    fn exchange(&mut self, range: Range<usize>, handler: &dyn Handler) -> Option<End> {
        if self.head.is_connect() && !self.context.connects {
            return Some(self.refuse(Refusal::Connect));
        }
        self.control.count_request();
        let framing = self.head.framing();
        if self.input.len() < range.end + WINDOW && framing != crate::head::Framing::Length(0) {
            self.input.resize(range.end + buffers::SIZE, 0);
        }
        let context = &*self.context;
        let (front, window) = self.input.split_at_mut(range.end);
        let view = self.head.view(&front[range.clone()]);
        let exchange = Exchange {
            stream: &self.stream,
            limits: &context.limits,
            output: RefCell::new(&mut self.output),
            draft: Draft::new(std::mem::take(&mut self.scratch)),
            peer: self.peer,
            is_head: view.method() == "HEAD",
            is_http10: self.head.version() == crate::Version::Http10,
            is_connect: self.head.is_connect(),
            now: self.now,
            answer: Cell::new(Answer::None),
            close: Cell::new(!self.head.keep_alive()),
            expect_pending: Cell::new(self.head.expect_continue()),
            content_in_the_way: Cell::new(false),
            draining: &context.draining,
            sent: Cell::new(0),
            compress: Cell::default(),
        };
        let received = self.end - range.end;
        let body = Body::new(
            &exchange,
            Decoder::new(framing, &context.limits),
            window,
            received,
        );
        let mut request = Request::new(view, body);
        let began = context.access_log.as_ref().map(|_| grapeshot::time::now());
        let outcome = catch_panic(|| handler.handle(&mut request, Response::new(&exchange)));
        let end = conclude(outcome, &mut request, &exchange, context);
        if let (Some(log), Some(began)) = (&context.access_log, began) {
            put_down(log, began, &request, &exchange);
        }
        let (pos, stop) = request.body.rest_bounds();
        self.start = range.end + pos;
        self.end = range.end + stop;
        self.scratch = exchange.draft.headers.take();
        end
    }
}

/// What follows from how the handler ended. **May suspend.**
fn conclude(
    outcome: Result<Result<(), HandlerError>, Box<dyn std::any::Any + Send>>,
    request: &mut Request<'_>,
    exchange: &Exchange<'_>,
    context: &Context,
) -> Option<End> {
    let failure = match outcome.map(|result| answer_rejection(result, request)) {
        Ok(Ok(())) => None,
        Ok(Err(error)) => {
            let peers = request.body.failed() != Failed::No
                || error
                    .downcast_ref::<Error>()
                    .is_some_and(Error::is_peers_fault);
            if !peers && exchange.answer.get() == Answer::None {
                context.counters.failed.fetch_add(1, Ordering::Relaxed);
                log::error!(
                    "http {}: the handler of {} failed: {error}",
                    exchange.peer,
                    request.path()
                );
            } else {
                log::debug!(
                    "http {}: {} ended early: {error}",
                    exchange.peer,
                    request.path()
                );
            }
            Some(())
        }
        Err(payload) => {
            context.counters.panicked.fetch_add(1, Ordering::Relaxed);
            log::error!(
                "http {}: the handler of {} panicked: {}",
                exchange.peer,
                request.path(),
                said(&*payload)
            );
            exchange.close.set(true);
            Some(())
        }
    };
    if let Failed::Refused(refusal) = request.body.failed() {
        context.counters.refused(refusal, exchange.peer);
    }
    if exchange.output.borrow().is_broken() {
        return Some(End::Leave);
    }
    match exchange.answer.get() {
        Answer::Upgraded => return Some(End::Leave),
        Answer::Started => return Some(End::Leave),
        Answer::Complete if failure.is_some() => exchange.close.set(true),
        Answer::Complete => {}
        Answer::None => answer_instead(request, exchange, failure.is_none()),
    }
    let close = exchange.must_close() || request.body.failed() != Failed::No;
    if request.body.decoder.is_done() {
        return close.then_some(if request.body.rest().is_empty() {
            End::Quiet
        } else {
            End::Linger
        });
    }
    if close || !request.body.drain(exchange.limits.drain) {
        return Some(End::Linger);
    }
    None
}

/// A line of the access log.
fn put_down(log: &AccessLog, began: Instant, request: &Request<'_>, exchange: &Exchange<'_>) {
    let version = match request.head().version() {
        crate::Version::Http10 => "HTTP/1.0",
        crate::Version::Http11 => "HTTP/1.1",
    };
    log.put(&Line {
        peer: exchange.peer,
        user: request.get::<User>().map(|user| &*user.0),
        when: exchange.now,
        request: Some((request.method(), request.target(), version)),
        status: exchange.draft.status.get(),
        bytes: exchange.sent.get(),
        took: grapeshot::time::now().saturating_duration_since(began),
        referer: request.header("Referer"),
        agent: request.header("User-Agent"),
    });
}

/// Answers a handler's error that says how. **May suspend.**
fn answer_rejection(
    result: Result<(), HandlerError>,
    request: &Request<'_>,
) -> Result<(), HandlerError> {
    let Err(error) = result else {
        return result;
    };
    let Some(response) = request
        .unanswered()
        .filter(|_| request.body.failed() == Failed::No)
    else {
        return Err(error);
    };
    if let Some(status) = error.downcast_ref::<Status>() {
        return status.reply(response);
    }
    // Content that is read by `Read` can be rejected in an error of I/O only.
    let within = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    let rejection = match within {
        Some(inner) => inner.downcast_ref::<Rejection>(),
        None => error.downcast_ref::<Rejection>(),
    };
    match rejection {
        Some(rejection) => rejection.clone().reply(response),
        None => Err(error),
    }
}

/// Answers for a handler that did not.
fn answer_instead(request: &Request<'_>, exchange: &Exchange<'_>, forgot: bool) {
    let (status, text) = match request.body.failed() {
        Failed::Refused(refusal) => (refusal.status(), refusal.to_string()),
        Failed::Truncated => (Status::BAD_REQUEST, "the content ended early".to_owned()),
        _ => (
            Status::INTERNAL_SERVER_ERROR,
            "the server failed".to_owned(),
        ),
    };
    if forgot {
        log::error!(
            "http {}: the handler of {} did not answer",
            exchange.peer,
            request.path()
        );
    }
    exchange.close.set(true);
    exchange.draft.status.set(status);
    let mut output = exchange.output.borrow_mut();
    encode_failure(
        output.buffer(),
        status,
        &text,
        exchange.now,
        !exchange.is_head,
    );
    exchange.answer.set(Answer::Complete);
}

/// What a panic said.
fn said(payload: &(dyn std::any::Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)")
}

/// Closes without a reset: says that we are done, then reads away what the peer had already sent. A reset would make
/// its kernel throw away our answer unread (RFC 9112, section 9.6). **May suspend.**
// Not inlined: what it reads into would lie on the stack of every connection for as long as it lives.
#[inline(never)]
fn linger(stream: &dyn Stream, wait: Duration) {
    const MOST: usize = 4 << 20;
    if stream.shutdown(Shutdown::Write).is_err() {
        return;
    }
    let _ = with_timeout(wait, || {
        let mut sink = [0; 4096];
        let mut total = 0;
        while total < MOST {
            match stream.read(&mut sink) {
                Ok(count) if count > 0 => total += count,
                _ => return,
            }
        }
    });
}
