//! A client: the opening handshake over a stream that is connected already. Small, for tests and load; what it sends
//! is masked, what it receives must not be.

use std::io;
use std::sync::Arc;

use grapeshot_http::Stream;

use crate::frame::Role;
use crate::handshake::{accept_key, new_key};
use crate::limits::Limits;
use crate::socket::WebSocket;

/// The longest answer to a handshake that is read.
const ANSWER: usize = 8 << 10;
const HEADERS: usize = 64;

/// Settings of a client's handshake.
#[derive(Debug, Clone, Default)]
pub struct Connect {
    origin: Option<String>,
    protocols: Vec<String>,
    limits: Limits,
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server answered with another status than 101.
    #[error("the server answered with status {0}")]
    Refused(u16),
    /// The answer is no valid answer to this handshake.
    #[error("the server's answer is wrong: {0}")]
    Answer(&'static str),
    /// The host, path or a setting has a character that cannot be in a request.
    #[error("misuse: {0}")]
    Misuse(&'static str),
    /// The stream failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Makes a WebSocket of `stream`, with default settings; see [`Connect::connect`].
///
/// # Errors
/// As [`Connect::connect`].
pub fn connect(stream: impl Stream, host: &str, path: &str) -> Result<WebSocket, ConnectError> {
    Connect::default().connect(stream, host, path)
}

impl Connect {
    /// Says that the handshake comes from a page of this origin.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Offers these subprotocols, the preferred first.
    #[must_use]
    pub fn protocols<P: Into<String>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Works within these limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Makes a WebSocket of `stream`, which is connected to `host` (`name` or `name:port`). **May suspend**; bound it
    /// with `with_timeout`.
    ///
    /// # Errors
    /// `Refused` with the server's status, `Answer` if it does not speak the protocol, else the stream's.
    pub fn connect(
        &self,
        stream: impl Stream,
        host: &str,
        path: &str,
    ) -> Result<WebSocket, ConnectError> {
        let key = new_key()?;
        let request = self.request(host, path, &key)?;
        let mut request = request.as_bytes();
        while !request.is_empty() {
            match stream.write(request)? {
                0 => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                count => request = &request[count..],
            }
        }
        let mut buffer = vec![0; ANSWER];
        let mut end = 0;
        loop {
            if let Some((length, protocol)) = self.check(&buffer[..end], &key)? {
                let received = buffer[length..end].to_vec();
                return Ok(WebSocket::new(
                    Arc::new(stream),
                    Role::Client,
                    self.limits.clone(),
                    protocol,
                    received,
                ));
            }
            if end == buffer.len() {
                return Err(ConnectError::Answer("it is too long"));
            }
            match stream.read(&mut buffer[end..])? {
                0 => return Err(ConnectError::Answer("it ends early")),
                count => end += count,
            }
        }
    }

    fn request(&self, host: &str, path: &str, key: &str) -> Result<String, ConnectError> {
        let protocols = self.protocols.join(", ");
        let texts = [
            host,
            path,
            self.origin.as_deref().unwrap_or_default(),
            &protocols,
        ];
        if texts
            .iter()
            .any(|text| text.bytes().any(|byte| byte < b' ' || byte == 0x7f))
            || path.contains(' ')
        {
            return Err(ConnectError::Misuse("a control character or a space"));
        }
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
        );
        if let Some(origin) = &self.origin {
            request.push_str(&format!("Origin: {origin}\r\n"));
        }
        if !protocols.is_empty() {
            request.push_str(&format!("Sec-WebSocket-Protocol: {protocols}\r\n"));
        }
        request.push_str("\r\n");
        Ok(request)
    }

    /// RFC 6455, section 4.1: what the answer must be. Its length and the subprotocol; `None` if it is not complete.
    fn check(
        &self,
        bytes: &[u8],
        key: &str,
    ) -> Result<Option<(usize, Option<String>)>, ConnectError> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut answer = httparse::Response::new(&mut headers);
        let length = match answer.parse(bytes) {
            Ok(httparse::Status::Partial) => return Ok(None),
            Ok(httparse::Status::Complete(length)) => length,
            Err(_) => return Err(ConnectError::Answer("it is not HTTP")),
        };
        if answer.code != Some(101) {
            return Err(ConnectError::Refused(answer.code.unwrap_or_default()));
        }
        let header = |name: &str| {
            let mut found = answer
                .headers
                .iter()
                .filter(|header| header.name.eq_ignore_ascii_case(name));
            found
                .next()
                .and_then(|header| std::str::from_utf8(header.value).ok())
                .filter(|_| found.next().is_none())
        };
        if !header("Upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket")) {
            return Err(ConnectError::Answer("it does not upgrade to a WebSocket"));
        }
        if header("Sec-WebSocket-Accept") != Some(accept_key(key).as_str()) {
            return Err(ConnectError::Answer("it does not answer our key"));
        }
        if header("Sec-WebSocket-Extensions").is_some() {
            return Err(ConnectError::Answer(
                "it uses an extension that was not offered",
            ));
        }
        let protocol = header("Sec-WebSocket-Protocol").map(str::to_owned);
        if protocol
            .as_ref()
            .is_some_and(|protocol| !self.protocols.contains(protocol))
        {
            return Err(ConnectError::Answer(
                "it speaks a subprotocol that was not offered",
            ));
        }
        Ok(Some((length, protocol)))
    }
}
