//! One request and the head of its answer, on one connection.
//!
//! ```text
//!   head ──▶ (100 Continue?) ──▶ content ──▶ flushed ──▶ interim answers* ──▶ the answer's head
//!     │            │ final answer    │ write fails: the server may have answered before it closed
//!     └────────────┴─────────────────┴──────────────────────────────────────▶ the answer's head
//! ```

use std::time::Duration;

use url::Url;

use super::Report;
use super::connection::Connection;
use super::error::{ErrorKind, Fault, Phase};
use super::head::{self, ResponseHead};
use super::lease::Lease;
use super::limits::{Deadline, Limits, Watch};
use super::payload::{Coding, Payload, Sender, Trailing, flush};
use super::proxy::{Proxy, ProxyKind};
use super::request::Interim;
use crate::Status;
use crate::encode::encode_length;
use crate::head::Scanner;

/// How long an answer is looked for after a request could not be sent to its end.
const EARLY_ANSWER: Duration = Duration::from_secs(1);

/// What is asked for.
pub(super) struct Outgoing<'b> {
    pub(super) method: String,
    pub(super) url: Url,
    /// Names and values, checked.
    pub(super) headers: Vec<(String, Vec<u8>)>,
    /// As it is sent, if not made of the URL.
    pub(super) target: Option<String>,
    pub(super) payload: Payload<'b>,
    pub(super) trailing: Option<Trailing<'b>>,
    /// Wait for leave to send the payload.
    pub(super) expect: bool,
    /// Say that trailers are read.
    pub(super) accept_trailers: bool,
    /// The protocol to change to.
    pub(super) upgrade: Option<String>,
    pub(super) progress: Option<Report>,
    pub(super) interim: Option<Interim<'b>>,
}

/// An exchange that failed.
pub(super) struct Failure {
    pub(super) kind: ErrorKind,
    /// Not a byte of an answer came before the connection ended.
    pub(super) unanswered: bool,
}

impl From<ErrorKind> for Failure {
    fn from(kind: ErrorKind) -> Self {
        Self {
            kind,
            unanswered: false,
        }
    }
}

/// The head of an answer.
pub(super) struct Answered {
    pub(super) head: ResponseHead,
    /// The request was sent to its end.
    pub(super) sent: bool,
}

impl Outgoing<'_> {
    /// Sends the request and waits for the head of its answer. **May suspend.** The connection is busy from here on.
    pub(super) fn exchange(
        &mut self,
        lease: &mut Lease,
        limits: &Limits,
        watch: &Watch,
    ) -> Result<Answered, Failure> {
        let connection = self.begin(lease, watch);
        let mut answers = Answers {
            method: &self.method,
            upgrade: self.upgrade.is_some(),
            interim: limits.interim,
            told: &mut self.interim,
        };
        let out = connection.output.buffer();
        if let Some(protocol) = &self.upgrade {
            let lines = format!("Connection: Upgrade\r\nUpgrade: {protocol}\r\n");
            out.extend_from_slice(lines.as_bytes());
        }
        let expect = self.expect && !self.payload.is_empty();
        if expect {
            out.extend_from_slice(b"Expect: 100-continue\r\n");
        }
        out.extend_from_slice(b"\r\n");
        let sending = if expect {
            flush(connection, watch)
        } else {
            Ok(())
        };
        let sending = match sending {
            Ok(()) if expect => match answers.wait_for_leave(connection, watch)? {
                Some(head) => return Ok(Answered { head, sent: false }),
                None => Ok(()),
            },
            other => other,
        };
        let coding = self.payload.coding();
        let sending = sending.and_then(|()| {
            let mut sender = Sender::new(connection, watch, self.progress.as_deref(), coding);
            self.payload.send(&mut self.trailing, &mut sender)?;
            flush(connection, watch)
        });
        match sending {
            Ok(()) => {
                let head = answers.next_final(connection, watch.deadline(Phase::Answer))?;
                Ok(Answered { head, sent: true })
            }
            Err(kind @ (ErrorKind::Io(..) | ErrorKind::Timeout(Phase::Send, _))) => {
                // A server that does not want the content answers, and reads no further.
                let found = answers.early(connection, watch);
                found.map_err(|unanswered| Failure {
                    unanswered: unanswered && matches!(kind, ErrorKind::Io(..)),
                    kind,
                })
            }
            Err(kind) => Err(kind.into()),
        }
    }
}

impl Outgoing<'_> {
    /// Makes the connection busy, and begins the head.
    fn begin<'l>(&self, lease: &'l mut Lease, watch: &Watch) -> &'l mut Connection {
        let proxy = lease.key().proxy.clone().filter(|_| !lease.key().tunnel);
        let connection = lease.connection();
        connection.busy = true;
        connection.limits.write_wait = watch.limit(Phase::Send).unwrap_or(Duration::MAX);
        let out = connection.output.buffer();
        encode_request_line(out, self, proxy.as_deref());
        encode_headers(out, self, proxy.as_deref());
        encode_framing(out, &self.payload, &self.method);
        if self.accept_trailers && self.upgrade.is_none() {
            out.extend_from_slice(b"Connection: TE\r\nTE: trailers\r\n");
        }
        connection
    }

    /// How many bytes it takes to send it, nearly.
    pub(super) fn size(&self) -> usize {
        let headers = self.headers.iter();
        let headers: usize = headers
            .map(|(name, value)| name.len() + value.len() + 4)
            .sum();
        let content = match self.payload.coding() {
            Coding::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
            _ => 0,
        };
        let rest = self.method.len() + 2 * self.url.as_str().len() + 64;
        content.saturating_add(headers + rest)
    }

    /// Sends the request in front of whose answer others may be to come. What is short may wait to be flushed. **May
    /// suspend.**
    pub(super) fn send_ahead(&mut self, lease: &mut Lease, watch: &Watch) -> Result<(), ErrorKind> {
        let connection = self.begin(lease, watch);
        connection.output.buffer().extend_from_slice(b"\r\n");
        let coding = self.payload.coding();
        let mut sender = Sender::new(connection, watch, self.progress.as_deref(), coding);
        self.payload.send(&mut self.trailing, &mut sender)
    }

    /// Waits for the head of the answer, those to earlier requests being read. **May suspend.**
    pub(super) fn answer(
        &mut self,
        lease: &mut Lease,
        limits: &Limits,
        watch: &Watch,
    ) -> Result<ResponseHead, Failure> {
        let mut answers = Answers {
            method: &self.method,
            upgrade: false,
            interim: limits.interim,
            told: &mut self.interim,
        };
        answers.next_final(lease.connection(), watch.deadline(Phase::Answer))
    }
}

/// Reads the heads of answers to one request.
struct Answers<'r, 'b> {
    method: &'r str,
    upgrade: bool,
    /// Interim answers that may still come.
    interim: usize,
    told: &'r mut Option<Interim<'b>>,
}

impl Answers<'_, '_> {
    /// Waits for `100 Continue`, but not for long: many servers do not know it. `Some` is a final answer instead.
    fn wait_for_leave(
        &mut self,
        connection: &mut Connection,
        watch: &Watch,
    ) -> Result<Option<ResponseHead>, Failure> {
        let deadline = watch.deadline(Phase::Continue);
        loop {
            match self.next(connection, deadline) {
                Ok(head) if head.status() == Status::CONTINUE => return Ok(None),
                Ok(head) if is_final(head.status()) => return Ok(Some(head)),
                Ok(_) => {}
                Err(Failure {
                    kind: ErrorKind::Timeout(Phase::Continue, _),
                    ..
                }) => return Ok(None),
                Err(failure) => return Err(failure),
            }
        }
    }

    fn next_final(
        &mut self,
        connection: &mut Connection,
        deadline: Deadline,
    ) -> Result<ResponseHead, Failure> {
        loop {
            let head = self.next(connection, deadline)?;
            if is_final(head.status()) {
                return Ok(head);
            }
        }
    }

    /// The answer to a request that could not be sent to its end; else, whether nothing came at all.
    fn early(&mut self, connection: &mut Connection, watch: &Watch) -> Result<Answered, bool> {
        let deadline = watch.deadline_of(Phase::Answer, EARLY_ANSWER);
        match self.next_final(connection, deadline) {
            Ok(head) => Ok(Answered { head, sent: false }),
            Err(failure) => Err(failure.unanswered),
        }
    }

    /// The next head, interim or final. **May suspend.**
    fn next(
        &mut self,
        connection: &mut Connection,
        deadline: Deadline,
    ) -> Result<ResponseHead, Failure> {
        let mut scanner = Scanner::default();
        let (head, length) = loop {
            let received = connection.received();
            if !received.is_empty()
                && let Some(found) =
                    head::find(&mut scanner, received, self.method, &connection.limits)
                        .map_err(ErrorKind::from)?
            {
                break found;
            }
            let unanswered = received.is_empty();
            let fail = |kind| Failure { kind, unanswered };
            match deadline.bound(|| connection.receive())? {
                Ok(0) => return Err(fail(ErrorKind::Truncated)),
                Ok(_) => {}
                Err(error) => return Err(fail(ErrorKind::Io(Phase::Answer, error))),
            }
        };
        connection.consume(length);
        let status = head.status();
        if status == Status::SWITCHING_PROTOCOLS && !self.upgrade {
            return Err(ErrorKind::from(Fault::Unasked).into());
        }
        if !is_final(status) {
            self.interim = self
                .interim
                .checked_sub(1)
                .ok_or(ErrorKind::Refused(Fault::TooManyInterim))?;
            if let Some(told) = self.told.as_mut().filter(|_| status != Status::CONTINUE) {
                told(&head);
            }
        }
        Ok(head)
    }
}

fn is_final(status: Status) -> bool {
    !status.is_informational() || status == Status::SWITCHING_PROTOCOLS
}

/// The method, the target and the version.
fn encode_request_line(out: &mut Vec<u8>, outgoing: &Outgoing<'_>, proxy: Option<&Proxy>) {
    let url = &outgoing.url;
    let target = match &outgoing.target {
        Some(target) => target,
        None => &url[url::Position::BeforePath..url::Position::AfterQuery],
    };
    out.extend_from_slice(outgoing.method.as_bytes());
    out.push(b' ');
    let forward = proxy.is_some_and(|proxy| proxy.kind == ProxyKind::Http);
    if forward {
        // To a proxy the whole URL is said (RFC 9112, section 3.2.2).
        out.extend_from_slice(b"http://");
        append_authority(out, url);
    }
    // One without a path means `*` there: the last proxy says so to the server (section 3.2.4).
    if !forward || target != "*" {
        out.extend_from_slice(target.as_bytes());
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// The header lines that are the caller's, and those that say where the request goes.
fn encode_headers(out: &mut Vec<u8>, outgoing: &Outgoing<'_>, proxy: Option<&Proxy>) {
    let headers = &outgoing.headers;
    let is_host = |(name, _): &(String, _)| name.eq_ignore_ascii_case("host");
    if !headers.iter().any(is_host) {
        out.extend_from_slice(b"Host: ");
        append_authority(out, &outgoing.url);
        out.extend_from_slice(b"\r\n");
    }
    let forward = proxy.filter(|proxy| proxy.kind == ProxyKind::Http);
    if let Some(value) = forward.and_then(Proxy::authorization) {
        out.extend_from_slice(b"Proxy-Authorization: ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    for (name, value) in headers {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
}

fn append_authority(out: &mut Vec<u8>, url: &Url) {
    let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
    out.extend_from_slice(authority.as_bytes());
}

fn encode_framing(out: &mut Vec<u8>, payload: &Payload<'_>, method: &str) {
    match payload.coding() {
        Coding::Length(length) => encode_length(out, length),
        Coding::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        // These methods are expected to have content (RFC 9110, section 8.6).
        Coding::None if matches!(method, "POST" | "PUT" | "PATCH") => encode_length(out, 0),
        Coding::None => {}
    }
}
