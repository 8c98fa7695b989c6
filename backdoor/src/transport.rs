//! What carries a session, whatever it runs on: messages in, messages out.
//!
//! ```text
//!  Unix socket, TCP, TLS ──▶ Framed      frames of JSON, see `protocol`
//!  telnet                ──▶ Terminal    keys and a screen; edits lines on the server's side
//!  WebSocket             ──▶ its own     a message is a message
//! ```
//!
//! Before a transport becomes a session, it has told who is there: a [`Visitor`].

use std::fmt;
use std::io::{self, Write};
use std::net::Shutdown;
use std::sync::Arc;

use grapeshot::net::Stream;
use grapeshot::sync::Mutex;

use crate::protocol::{
    ClientMessage, Decoder, EncodeError, MAX_CLIENT_MESSAGE, MAX_SERVER_MESSAGE, ReceiveError,
    ServerMessage, encode,
};
use crate::rights::Rights;

/// Carries the messages of one session. One coroutine receives while another sends.
pub(crate) trait Transport: Send + Sync + 'static {
    /// The next message; `None` once the console has left. May suspend.
    fn receive(&self) -> Result<Option<ClientMessage>, ReceiveError>;

    /// Sends a message. After an error, or left in the middle, nothing more can be sent. May suspend.
    fn send(&self, message: &ServerMessage) -> Result<(), SendError>;

    /// Ends one direction or both: whoever waits in `receive` gets `None`. What was sent before still arrives, if the
    /// console takes it. Never suspends, and may be called while unwinding.
    fn shutdown(&self, how: Shutdown);
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// The console is gone.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Nothing was sent, and the next message may be.
    #[error("{0}")]
    Encode(#[from] EncodeError),
}

/// Who is at the other end of a session, and what that one may do.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// The name that was logged in with, or the user of the system.
    pub(crate) name: String,
    /// By what and from where: `tcp 127.0.0.1:40112`.
    pub(crate) from: String,
    pub(crate) rights: Rights,
}

/// `ann (tcp 127.0.0.1:40112)`
impl fmt::Display for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.from)
    }
}

/// The console's own protocol over a stream of bytes.
pub(crate) struct Framed {
    stream: Arc<dyn Stream>,
    /// Held by whoever receives.
    decoder: Mutex<Decoder>,
}

impl Framed {
    pub(crate) fn new(stream: Arc<dyn Stream>) -> Self {
        Self::with_limit(stream, MAX_CLIENT_MESSAGE)
    }

    /// One that takes messages of that many bytes, until it is told that longer ones may come.
    pub(crate) fn with_limit(stream: Arc<dyn Stream>, limit: u32) -> Self {
        Self {
            stream,
            decoder: Mutex::new(Decoder::new(limit)),
        }
    }

    /// From now on messages may be as long as the protocol allows. May suspend.
    pub(crate) fn take_long_messages(&self) {
        self.decoder.lock().set_limit(MAX_CLIENT_MESSAGE);
    }
}

impl Transport for Framed {
    fn receive(&self) -> Result<Option<ClientMessage>, ReceiveError> {
        self.decoder.lock().receive(&*self.stream)
    }

    fn send(&self, message: &ServerMessage) -> Result<(), SendError> {
        let frame = encode(message, MAX_SERVER_MESSAGE)?;
        Ok((&*self.stream).write_all(&frame)?)
    }

    fn shutdown(&self, how: Shutdown) {
        // It fails for a peer that has gone already.
        let _ = self.stream.shutdown(how);
    }
}
