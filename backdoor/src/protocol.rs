//! What a console and a backdoor say to each other. Performs no I/O.
//!
//! Every message is a frame: a length and that many bytes of JSON.
//!
//! ```text
//!  0        1        2        3        4
//!  +--------+--------+--------+--------+---------------- - - -
//!  |  length of the body, big endian   |  {"type":"eval", ..}
//!  +--------+--------+--------+--------+---------------- - - -
//! ```
//!
//! A session, the console on the left:
//!
//! ```text
//!  hello{version}            ──▶
//!                            ◀──  hello{version, application, pid, uptime, session}   or refused{message}
//!  check{id, source}         ──▶                          is it a whole statement?
//!                            ◀──  ready{id} | incomplete{id}
//!  complete{id, line, cursor}──▶
//!                            ◀──  completions{id, start, names}
//!  eval{id, source, rows}    ──▶
//!                            ◀──  output{id, text}*       what the evaluation prints, as it prints it
//!                            ◀──  rows{id, rows}*         an array result comes in pieces
//!  interrupt{id}             ──▶                          at any time; no answer of its own
//!                            ◀──  result{id, value, total, elapsed} | error{..} | incomplete{id}
//! ```
//!
//! Over a network the console logs in between the two greetings, as [`login`](crate::login) says: `challenge`, `login`,
//! `welcome`. On a Unix socket the system says who it is.
//!
//! One evaluation runs at a time in a session; a second `eval` meanwhile is answered with an error.
//! A peer declares a length before it sends a body, and a length above the cap is refused before anything is buffered:
//! [`MAX_CLIENT_MESSAGE`] towards the server, [`MAX_SERVER_MESSAGE`] towards the console.
//!
//! A number of seconds that measures a duration travels as `{"$duration": 1.5}`, so that whoever shows it may write
//! `1.5 s`; [`plain`](crate::render::plain) turns it back into a number.

use std::io::{self, Read};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of this protocol. A server refuses a console of another one.
pub const VERSION: u32 = 1;

/// The longest message a server takes from a console, in bytes.
pub const MAX_CLIENT_MESSAGE: u32 = 256 * 1024;

/// The longest message a server takes from a console that has not logged in, in bytes.
pub const MAX_LOGIN_MESSAGE: u32 = 4 * 1024;

/// The longest message a console takes from a server, in bytes. Long results come in pieces.
pub const MAX_SERVER_MESSAGE: u32 = 8 * 1024 * 1024;

const HEADER: usize = 4;

/// From the console to the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// Opens the session; must come first.
    Hello {
        /// [`VERSION`].
        version: u32,
    },
    /// The answer to a challenge.
    Login {
        /// Who it is.
        user: String,
        /// What the console drew for this, in hex.
        nonce: String,
        /// That it knows the user's password, in hex.
        proof: String,
    },
    /// Evaluate this.
    Eval {
        /// Chosen by the console; every answer repeats it.
        id: u64,
        /// The statement, in the console's language.
        source: String,
        /// How many rows of an array result are wanted; all without it.
        rows: Option<u64>,
    },
    /// Is this a whole statement, or does it go on in the next line?
    Check {
        /// As in `Eval`.
        id: u64,
        /// What was typed so far.
        source: String,
    },
    /// What could stand at the cursor?
    Complete {
        /// As in `Eval`.
        id: u64,
        /// What was typed so far.
        line: String,
        /// The cursor, as a byte offset into `line`.
        cursor: usize,
    },
    /// End the evaluation with this id.
    Interrupt {
        /// The id of the `Eval`.
        id: u64,
    },
}

/// From the server to the console.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// The session is open.
    Hello {
        /// [`VERSION`].
        version: u32,
        /// The name that the application gave its backdoor.
        application: String,
        /// The server's process id.
        pid: u32,
        /// How long the runtime has been up, in seconds.
        uptime: f64,
        /// The number of this session, as in the name of its coroutine.
        session: u64,
    },
    /// Log in first.
    Challenge {
        /// What the server drew for this connection, in hex.
        nonce: String,
        /// What it drew for its keys, in hex.
        salt: String,
        /// How many hashes a key takes.
        rounds: u32,
    },
    /// The login was right; the greeting follows.
    Welcome {
        /// That the server knows the user's key, in hex.
        proof: String,
    },
    /// There will be no session; the server closes the connection.
    Refused {
        /// Why, and what to do.
        message: String,
    },
    /// What the evaluation printed.
    Output {
        /// The evaluation.
        id: u64,
        /// One or more lines, or a piece of a very long one.
        text: String,
        /// Whether the line goes on in the next `Output`.
        #[serde(default)]
        partial: bool,
    },
    /// A piece of an array result.
    Rows {
        /// The evaluation.
        id: u64,
        /// In order.
        rows: Vec<Value>,
    },
    /// The evaluation has ended well.
    Result {
        /// The evaluation.
        id: u64,
        /// The value; null if it came as `Rows`.
        value: Value,
        /// Only after `Rows`, or instead of them for an empty array: how long the array was, whether or not all of it
        /// was sent.
        total: Option<u64>,
        /// How long it took, in seconds.
        elapsed: f64,
    },
    /// The evaluation has ended badly.
    Error {
        /// The evaluation.
        id: u64,
        /// What went wrong.
        message: String,
        /// Where, counted from 1, if it is a place in the source.
        line: Option<u64>,
        /// Where in the line, counted from 1.
        column: Option<u64>,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The statement goes on in the next line.
    Incomplete {
        /// The `Eval` or `Check`.
        id: u64,
    },
    /// The statement is whole (or wrong in a way that more lines will not mend).
    Ready {
        /// The `Check`.
        id: u64,
    },
    /// What could stand at the cursor.
    Completions {
        /// The `Complete`.
        id: u64,
        /// Where the replaced word begins, as a byte offset into the line.
        start: usize,
        /// In alphabetical order.
        names: Vec<Completion>,
    },
}

/// One name that could stand at the cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// What replaces the word.
    pub text: String,
    /// What a list of candidates shows, such as a function with its arguments.
    pub label: String,
}

/// What a peer may do wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The peer announced more than we take; nothing of it was buffered.
    #[error("a message of {length} bytes was announced, at most {limit} are taken")]
    TooLong {
        /// What was announced.
        length: u32,
        /// Our cap.
        limit: u32,
    },
    /// The body is no message of this protocol.
    #[error("not a message of this protocol: {0}")]
    Malformed(#[source] serde_json::Error),
}

/// Why no message was received.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The peer is gone.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The peer's fault; the stream is of no use after that.
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
}

/// A message of ours that cannot be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// It would break the peer's cap.
    #[error("{length} bytes are more than the {limit} that fit a message")]
    TooLong {
        /// How long it would be.
        length: usize,
        /// The peer's cap.
        limit: u32,
    },
    /// It has no form in JSON.
    #[error("no form in JSON: {0}")]
    Json(#[source] serde_json::Error),
}

/// The frame of a message, for a peer that takes bodies up to `limit` bytes.
///
/// # Errors
/// If the message is longer than that.
pub fn encode<M: Serialize>(message: &M, limit: u32) -> Result<Vec<u8>, EncodeError> {
    let mut frame = vec![0; HEADER];
    serde_json::to_writer(&mut frame, message).map_err(EncodeError::Json)?;
    let length = frame.len() - HEADER;
    match u32::try_from(length) {
        Ok(declared) if declared <= limit => {
            frame[..HEADER].copy_from_slice(&declared.to_be_bytes());
            Ok(frame)
        }
        _ => Err(EncodeError::TooLong { length, limit }),
    }
}

/// Turns a byte stream, cut anywhere, into messages.
///
/// Holds at most one body of `limit` bytes and what one `feed` brought beyond it.
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Bytes at the front of `buffer` that were already taken.
    taken: usize,
    limit: u32,
}

impl Decoder {
    /// A decoder that refuses bodies longer than `limit` bytes.
    pub fn new(limit: u32) -> Self {
        Self {
            buffer: Vec::new(),
            taken: 0,
            limit,
        }
    }

    pub(crate) fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Appends what was received.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes the next whole message; `None` means "feed me more".
    ///
    /// # Errors
    /// If the peer broke the protocol; the stream is of no use after that.
    pub fn next_message<M: DeserializeOwned>(&mut self) -> Result<Option<M>, ProtocolError> {
        let Some((header, rest)) = self.buffer[self.taken..].split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*header);
        // Refuse before buffering: the peer chooses the length, we choose our memory.
        if length > self.limit {
            return Err(ProtocolError::TooLong {
                length,
                limit: self.limit,
            });
        }
        let Some(body) = rest.get(..length as usize) else {
            return Ok(None);
        };
        let message = serde_json::from_slice(body).map_err(ProtocolError::Malformed)?;
        self.taken += HEADER + body.len();
        Ok(Some(message))
    }

    /// Reads until a message is whole, and takes it; `None` at the end of the stream, also in the middle of a message. May
    /// suspend, if the stream's reads may.
    ///
    /// # Errors
    /// Those of the stream, and what the peer does wrong.
    pub fn receive<M: DeserializeOwned>(
        &mut self,
        mut stream: impl Read,
    ) -> Result<Option<M>, ReceiveError> {
        let mut chunk = [0; 4096];
        loop {
            if let Some(message) = self.next_message()? {
                return Ok(Some(message));
            }
            match stream.read(&mut chunk) {
                Ok(0) => return Ok(None),
                Ok(n) => self.feed(&chunk[..n]),
                // Reads with a time limit end so when the whole process was stopped for a while.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether the stream stands at the end of a message.
    pub fn is_idle(&self) -> bool {
        self.taken == self.buffer.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn from_server() -> Vec<ServerMessage> {
        vec![
            ServerMessage::Output {
                id: 3,
                text: "grüße\n".into(),
                partial: false,
            },
            ServerMessage::Rows {
                id: 3,
                rows: vec![json!({"id": 1}), json!([])],
            },
            ServerMessage::Result {
                id: 3,
                value: Value::Null,
                total: Some(2),
                elapsed: 0.25,
            },
            ServerMessage::Error {
                id: 4,
                message: "no".into(),
                line: Some(1),
                column: None,
                hint: None,
            },
        ]
    }

    #[test]
    fn messages_survive_every_cut() {
        let wire: Vec<u8> = from_server()
            .iter()
            .flat_map(|m| encode(m, MAX_SERVER_MESSAGE).unwrap())
            .collect();
        for cut in 0..=wire.len() {
            let mut decoder = Decoder::new(MAX_SERVER_MESSAGE);
            let mut got = Vec::new();
            for piece in [&wire[..cut], &wire[cut..]] {
                decoder.feed(piece);
                while let Some(message) = decoder.next_message::<ServerMessage>().unwrap() {
                    got.push(message);
                }
            }
            assert_eq!(got, from_server(), "cut at {cut}");
            assert!(decoder.is_idle(), "cut at {cut}");
        }
    }

    #[test]
    fn messages_survive_single_bytes() {
        let sent = ClientMessage::Eval {
            id: 1,
            source: "ps()".into(),
            rows: None,
        };
        let wire = encode(&sent, MAX_CLIENT_MESSAGE).unwrap();
        let mut decoder = Decoder::new(MAX_CLIENT_MESSAGE);
        for (at, byte) in wire.iter().enumerate() {
            assert_eq!(
                decoder.next_message::<ClientMessage>().unwrap(),
                None,
                "after {at} bytes"
            );
            decoder.feed(&[*byte]);
        }
        assert_eq!(decoder.next_message().unwrap(), Some(sent));
    }

    #[test]
    fn a_length_is_refused_before_its_body_arrives() {
        let mut decoder = Decoder::new(10);
        decoder.feed(&11_u32.to_be_bytes());
        let refused = decoder.next_message::<ClientMessage>();
        assert!(
            matches!(
                refused,
                Err(ProtocolError::TooLong {
                    length: 11,
                    limit: 10
                })
            ),
            "{refused:?}"
        );
    }

    #[test]
    fn text_of_another_protocol_is_refused() {
        let mut decoder = Decoder::new(MAX_CLIENT_MESSAGE);
        decoder.feed(b"GET / HTTP/1.1\r\n\r\n");
        assert!(matches!(
            decoder.next_message::<ClientMessage>(),
            Err(ProtocolError::TooLong { .. })
        ));
        let mut decoder = Decoder::new(MAX_CLIENT_MESSAGE);
        decoder.feed(b"\0\0\0\x02{}");
        assert!(matches!(
            decoder.next_message::<ClientMessage>(),
            Err(ProtocolError::Malformed(_))
        ));
    }

    #[test]
    fn our_own_messages_respect_the_peers_cap() {
        let long = ClientMessage::Check {
            id: 1,
            source: "x".repeat(300),
        };
        assert!(matches!(
            encode(&long, 300),
            Err(EncodeError::TooLong { limit: 300, .. })
        ));
        assert!(encode(&long, 400).is_ok());
    }
}
