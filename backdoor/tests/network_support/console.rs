//! A console, message by message, over any stream: the tests on real sockets have it, and those in a simulation, which are in
//! `src/network`.
// Each that includes it uses its own part of this.
#![allow(dead_code, unreachable_pub)]

use std::io::{self, Read, Write};

use grapeshot_backdoor::login::{Challenge, Expected, NONCE};
use grapeshot_backdoor::protocol::{
    ClientMessage, Decoder, MAX_CLIENT_MESSAGE, MAX_SERVER_MESSAGE, ReceiveError, ServerMessage,
    VERSION, encode,
};

/// The console's protocol.
pub struct Console<S> {
    pub stream: S,
    decoder: Decoder,
}

impl<S: Read + Write> Console<S> {
    /// Nothing has been said yet.
    pub fn over(stream: S) -> Self {
        Self {
            stream,
            decoder: Decoder::new(MAX_SERVER_MESSAGE),
        }
    }

    /// Greets, and is asked who it is.
    pub fn challenge(&mut self) -> Challenge {
        self.send(&ClientMessage::Hello { version: VERSION });
        match self.receive() {
            Some(ServerMessage::Challenge {
                nonce,
                salt,
                rounds,
            }) => Challenge::of(&nonce, &salt, rounds).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Says who it is, with a password that may be wrong: what was said for it, and what the server has to prove.
    pub fn answer(&mut self, user: &str, password: &str) -> (ClientMessage, Expected) {
        let (login, expected) = self.challenge().answer(user, password, [1; NONCE]);
        self.send(&login);
        (login, expected)
    }

    /// Logs in, and gives what was said for it.
    pub fn log_in(&mut self, user: &str, password: &str) -> ClientMessage {
        let (login, expected) = self.answer(user, password);
        match self.receive() {
            Some(ServerMessage::Welcome { proof }) => assert!(expected.is_met(&proof)),
            other => panic!("{other:?}"),
        }
        login
    }

    /// Logs in and is greeted.
    pub fn enter(&mut self, user: &str, password: &str) {
        self.log_in(user, password);
        match self.receive() {
            Some(ServerMessage::Hello { .. }) => {}
            other => panic!("{other:?}"),
        }
    }

    /// Why it may not enter; the stream is closed behind that.
    pub fn refusal(&mut self) -> String {
        match self.receive() {
            Some(ServerMessage::Refused { message }) => {
                assert_eq!(self.receive(), None, "not closed");
                message
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn send(&mut self, message: &ClientMessage) {
        let frame = encode(message, MAX_CLIENT_MESSAGE).unwrap();
        self.stream.write_all(&frame).unwrap();
    }

    pub fn eval(&mut self, source: &str) {
        self.send(&ClientMessage::Eval {
            id: 1,
            source: source.to_owned(),
            rows: None,
        });
    }

    /// The answer as text, or the error.
    pub fn ask(&mut self, statement: &str) -> String {
        self.eval(statement);
        match self.receive() {
            Some(ServerMessage::Result { value, .. }) => value.to_string(),
            Some(ServerMessage::Error { message, .. }) => message,
            other => panic!("{other:?}"),
        }
    }

    /// The next message; `None` at the end of the stream.
    pub fn receive(&mut self) -> Option<ServerMessage> {
        match self.decoder.receive(&mut self.stream) {
            Ok(message) => message,
            // The server had not read all that was sent.
            Err(ReceiveError::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }
}
