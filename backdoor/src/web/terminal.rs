//! A session over a WebSocket: a message of the console's protocol is a message of the WebSocket.

use std::io;
use std::net::Shutdown;

use grapeshot_websocket::WebSocket;

use crate::protocol::{
    ClientMessage, EncodeError, MAX_SERVER_MESSAGE, ProtocolError, ReceiveError, ServerMessage,
};
use crate::transport::{SendError, Transport};

/// Carries the messages of the page's terminal.
pub(crate) struct Messages(pub(crate) WebSocket);

impl Transport for Messages {
    fn receive(&self) -> Result<Option<ClientMessage>, ReceiveError> {
        let Ok(message) = self.0.recv() else {
            return Ok(None);
        };
        let message = serde_json::from_slice(message.as_bytes());
        Ok(Some(message.map_err(ProtocolError::Malformed)?))
    }

    fn send(&self, message: &ServerMessage) -> Result<(), SendError> {
        let text = serde_json::to_string(message).map_err(EncodeError::Json)?;
        if text.len() > MAX_SERVER_MESSAGE as usize {
            return Err(EncodeError::TooLong {
                length: text.len(),
                limit: MAX_SERVER_MESSAGE,
            }
            .into());
        }
        Ok(self.0.send_text(&text).map_err(io::Error::other)?)
    }

    fn shutdown(&self, how: Shutdown) {
        // Whoever receives is the session itself, which does not wait any more when it asks for less.
        if how == Shutdown::Both {
            self.0.abort();
        }
    }
}
