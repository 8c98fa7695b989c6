//! The control frames that this side owes its peer. Performs no I/O.
//!
//! Whoever receives never waits for the writer's lock: it notes what is owed here, and whoever has the lock sends it.

use crate::frame::CloseCode;
use crate::header::CONTROL_MAX;

/// Of each kind the latest: RFC 6455 (section 5.5.3) has only the last ping answered, so a flood of them costs one.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    pong: Option<Vec<u8>>,
    ping: Option<[u8; 8]>,
    close: Option<Vec<u8>>,
}

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Debt {
    Pong(Vec<u8>),
    Ping([u8; 8]),
    Close(Vec<u8>),
}

impl Owed {
    pub(crate) fn pong(&mut self, payload: Vec<u8>) {
        self.pong = Some(payload);
    }

    pub(crate) fn ping(&mut self, payload: [u8; 8]) {
        self.ping = Some(payload);
    }

    pub(crate) fn close(&mut self, payload: Vec<u8>) {
        self.close = Some(payload);
    }

    /// Whether the last ping has not been sent.
    pub(crate) fn has_ping(&self) -> bool {
        self.ping.is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pong.is_none() && self.ping.is_none() && self.close.is_none()
    }

    /// Takes the next; nothing follows a close.
    pub(crate) fn take(&mut self) -> Option<Debt> {
        if let Some(payload) = self.pong.take() {
            return Some(Debt::Pong(payload));
        }
        if let Some(payload) = self.ping.take() {
            return Some(Debt::Ping(payload));
        }
        self.close.take().map(Debt::Close)
    }
}

/// The payload of a close frame.
pub(crate) fn close_payload(code: Option<CloseCode>, reason: &str) -> Vec<u8> {
    let mut payload = Vec::with_capacity(CONTROL_MAX);
    if let Some(code) = code {
        payload.extend_from_slice(&code.code().to_be_bytes());
        payload.extend_from_slice(reason.as_bytes());
    }
    payload
}
