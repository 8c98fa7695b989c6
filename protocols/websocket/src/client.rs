//! A client: from an address, or over a stream that is connected already. What it sends is masked, what it receives
//! must not be.
//!
//! ```no_run
//! use grapeshot_websocket::client::Connect;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let socket = Connect::new()
//!     .protocols(["chat.v2", "chat.v1"])
//!     .header("Authorization", "Bearer 1234")
//!     .open("ws://localhost:9001/chat")?;
//! socket.send_text("hello")?;
//! println!("{:?}", socket.recv()?);
//! # Ok(())
//! # }
//! ```

use std::io;
use std::sync::Arc;

use grapeshot::net::{Stream, TcpStream};
use grapeshot::with_timeout;

use crate::address::Address;
use crate::deflate::{Agreed, Compression};
use crate::draft::Version;
use crate::extension;
use crate::frame::Role;
use crate::handshake::{accept_key, is_token, lists, new_key};
use crate::limits::Limits;
use crate::socket::{Terms, WebSocket};

/// The longest answer to a handshake that is read.
const ANSWER: usize = 8 << 10;
const HEADERS: usize = 64;

/// Settings of a client's handshake.
#[derive(Debug, Clone)]
pub struct Connect {
    origin: Option<String>,
    protocols: Vec<String>,
    headers: Vec<(String, String)>,
    limits: Limits,
    compression: Option<Compression>,
    version: Version,
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
    /// The address, or a setting, cannot be in a request.
    #[error("misuse: {0}")]
    Misuse(&'static str),
    /// There was no connection, or no answer, within [`Limits::handshake`].
    #[error("the server did not answer the handshake in time")]
    Timeout,
    /// The stream failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Makes a WebSocket of `stream`, with default settings; see [`Connect::connect`].
///
/// # Errors
/// As [`Connect::connect`].
pub fn connect(stream: impl Stream, host: &str, path: &str) -> Result<WebSocket, ConnectError> {
    Connect::new().connect(stream, host, path)
}

/// Connects to an address such as `ws://localhost:9001/chat`, with default settings; see [`Connect::open`].
///
/// # Errors
/// As [`Connect::open`].
pub fn open(address: &str) -> Result<WebSocket, ConnectError> {
    Connect::new().open(address)
}

impl Default for Connect {
    fn default() -> Self {
        Self::new()
    }
}

impl Connect {
    /// Default settings: no origin, no subprotocol, [`Limits::for_client`].
    #[must_use]
    pub fn new() -> Self {
        Self {
            origin: None,
            protocols: Vec::new(),
            headers: Vec::new(),
            limits: Limits::for_client(),
            compression: None,
            version: Version::Rfc6455,
        }
    }

    /// Says that the handshake comes from a page of this origin.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Offers these subprotocols, the preferred first. [`WebSocket::protocol`] tells which the server has chosen.
    #[must_use]
    pub fn protocols<P: Into<String>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a header to the request, such as `Authorization` or `Cookie`. Those of the handshake itself are refused by
    /// [`connect`](Connect::connect).
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Works within these limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Offers to compress messages (permessage-deflate, RFC 7692). [`WebSocket::compression`] tells whether the server has
    /// gone along.
    #[must_use]
    pub fn compression(mut self, wish: Compression) -> Self {
        self.compression = Some(wish);
        self
    }

    /// Speaks this version of the protocol: RFC 6455 (the default), hybi-10 or hybi-07, which do not know compression. Hixie's
    /// are for servers only, and refused by [`connect`](Connect::connect).
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Connects to `ws://host:port/path` over TCP. For `wss`, connect a stream of `grapeshot-tls` and give it to
    /// [`connect`](Connect::connect). **May suspend**, for [`Limits::handshake`] at most.
    ///
    /// # Errors
    /// `Misuse` for what is no such address; `Timeout`; else as [`connect`](Connect::connect).
    pub fn open(&self, address: &str) -> Result<WebSocket, ConnectError> {
        let address = Address::parse(address).map_err(ConnectError::Misuse)?;
        if address.is_secure {
            return Err(ConnectError::Misuse(
                "wss needs a TLS stream: make one and give it to `connect`",
            ));
        }
        let open = || {
            let stream = TcpStream::connect((address.host, address.port))?;
            stream.set_nodelay(true)?;
            self.shake_hands(stream, address.authority, &address.target)
        };
        with_timeout(self.limits.handshake, open).unwrap_or(Err(ConnectError::Timeout))
    }

    /// Makes a WebSocket of `stream`, which is connected to `host` (`name` or `name:port`). **May suspend**, for
    /// [`Limits::handshake`] at most.
    ///
    /// # Errors
    /// `Refused` with the server's status, `Answer` if it does not speak the protocol, `Timeout`, `Misuse` for settings
    /// that cannot be, else the stream's.
    pub fn connect(
        &self,
        stream: impl Stream,
        host: &str,
        path: &str,
    ) -> Result<WebSocket, ConnectError> {
        let shake_hands = || self.shake_hands(stream, host, path);
        with_timeout(self.limits.handshake, shake_hands).unwrap_or(Err(ConnectError::Timeout))
    }

    fn shake_hands(
        &self,
        stream: impl Stream,
        host: &str,
        path: &str,
    ) -> Result<WebSocket, ConnectError> {
        let key = new_key()?;
        let request = self.request(host, path, &key)?;
        stream.prepare()?;
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
            if let Some(answer) = self.check(&buffer[..end], &key)? {
                let terms = Terms {
                    role: Role::Client,
                    version: self.version,
                    limits: self.limits.clone(),
                    protocol: answer.protocol,
                    received: buffer[answer.length..end].to_vec(),
                    compression: answer.compression.zip(self.compression.clone()),
                };
                return Ok(WebSocket::new(Arc::new(stream), terms));
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

    fn offered(&self) -> Option<&Compression> {
        let is_known = self.version == Version::Rfc6455;
        self.compression.as_ref().filter(|_| is_known)
    }

    fn request(&self, host: &str, path: &str, key: &str) -> Result<String, ConnectError> {
        let protocols = self.protocols.join(", ");
        let values = self.headers.iter().map(|(_, value)| value.as_str());
        let texts = [host, path, self.origin.as_deref().unwrap_or_default()];
        if texts
            .into_iter()
            .chain(values)
            .any(|text| text.bytes().any(|byte| byte < b' ' || byte == 0x7f))
            || path.contains(' ')
        {
            return Err(ConnectError::Misuse("a control character or a space"));
        }
        if !self.protocols.iter().all(|protocol| is_token(protocol)) {
            return Err(ConnectError::Misuse(
                "a subprotocol is letters, digits and !#$%&'*+-.^_`|~",
            ));
        }
        let version = self.version.number().ok_or(ConnectError::Misuse(
            "a client speaks RFC 6455, hybi-10 or hybi-07",
        ))?;
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: {key}\r\n"
        );
        let mut line = |name: &str, value: &str| {
            request.push_str(&format!("{name}: {value}\r\n"));
        };
        if let Some(origin) = &self.origin {
            line(self.version.origin_header(), origin);
        }
        if !protocols.is_empty() {
            line("Sec-WebSocket-Protocol", &protocols);
        }
        if let Some(wish) = self.offered() {
            line("Sec-WebSocket-Extensions", &extension::offer(wish));
        }
        for (name, value) in &self.headers {
            if !is_token(name) || is_ours(name) {
                return Err(ConnectError::Misuse(
                    "a header's name is no token, or is one of the handshake's own",
                ));
            }
            line(name, value);
        }
        request.push_str("\r\n");
        Ok(request)
    }

    /// RFC 6455, section 4.1: what the answer must be. `None` if it is not complete.
    fn check(&self, bytes: &[u8], key: &str) -> Result<Option<Answer>, ConnectError> {
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
        let values = |name: &'static str| {
            let headers = answer.headers.iter();
            headers
                .filter(move |header| header.name.eq_ignore_ascii_case(name))
                .map(|header| header.value)
        };
        let header = |name: &'static str| {
            let mut found = values(name);
            let Some(first) = found.next() else {
                return Ok(None);
            };
            if found.next().is_some() {
                return Err(ConnectError::Answer("it repeats a header of the handshake"));
            }
            std::str::from_utf8(first)
                .map(Some)
                .map_err(|_| ConnectError::Answer("a header of the handshake is no text"))
        };
        if answer.version != Some(1) {
            return Err(ConnectError::Answer("it is not HTTP/1.1"));
        }
        if !header("Upgrade")?.is_some_and(|value| value.eq_ignore_ascii_case("websocket")) {
            return Err(ConnectError::Answer("it does not upgrade to a WebSocket"));
        }
        if !values("Connection").any(|value| lists(value, "upgrade")) {
            return Err(ConnectError::Answer("it does not upgrade the connection"));
        }
        if header("Sec-WebSocket-Accept")? != Some(accept_key(key).as_str()) {
            return Err(ConnectError::Answer("it does not answer our key"));
        }
        let mut extensions = Vec::new();
        for list in values("Sec-WebSocket-Extensions") {
            let list = std::str::from_utf8(list)
                .ok()
                .and_then(|list| extension::parse_list(list).ok());
            extensions
                .extend(list.ok_or(ConnectError::Answer("its list of extensions is malformed"))?);
        }
        let compression =
            extension::check_answer(&extensions, self.offered()).map_err(ConnectError::Answer)?;
        let protocol = header("Sec-WebSocket-Protocol")?.map(str::to_owned);
        if protocol
            .as_ref()
            .is_some_and(|protocol| !self.protocols.contains(protocol))
        {
            return Err(ConnectError::Answer(
                "it speaks a subprotocol that was not offered",
            ));
        }
        Ok(Some(Answer {
            length,
            protocol,
            compression,
        }))
    }
}

/// What the server's answer says.
struct Answer {
    length: usize,
    protocol: Option<String>,
    compression: Option<Agreed>,
}

/// Whether a header is the handshake's to write.
fn is_ours(name: &str) -> bool {
    [
        "Host",
        "Connection",
        "Upgrade",
        "Origin",
        "Content-Length",
        "Transfer-Encoding",
    ]
    .iter()
    .any(|ours| name.eq_ignore_ascii_case(ours))
        || name
            .get(..14)
            .is_some_and(|start| start.eq_ignore_ascii_case("Sec-WebSocket-"))
}
