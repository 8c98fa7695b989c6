//! The server's side of the handshake, within a handler of `grapeshot-http`.

use std::io;
use std::sync::Arc;

use grapeshot::net::Stream;
use grapeshot::with_timeout;
use grapeshot_http::{HandlerError, Request, Response, Status, Version as HttpVersion};

use crate::deflate::Compression;
use crate::draft::{Challenge, Version, answer_head, is_visible};
use crate::extension::{self, Extension};
use crate::frame::Role;
use crate::handshake::{HandshakeError, accept_key, is_key, is_same_origin, lists};
use crate::limits::Limits;
use crate::socket::{Terms, WebSocket};

/// Pages of which origins may connect. A browser sends its page's origin and no script can forge it; clients that
/// are no browsers send none, and are let in: they could say anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origins {
    /// Pages which came from the host (and port) that the request names.
    #[default]
    Same,
    /// Those and these, each written as browsers do: `https://example.com`.
    Also(Vec<String>),
    /// Any page of anybody: right only where a stranger's page could do no harm.
    Any,
}

/// Settings of a handshake.
#[derive(Debug, Clone, Default)]
pub struct Upgrade {
    protocols: Vec<String>,
    origins: Origins,
    limits: Limits,
    compression: Option<Compression>,
    early_drafts: bool,
}

/// Turns a request into a WebSocket, with default settings; see [`Upgrade::accept`].
///
/// # Errors
/// As [`Upgrade::accept`].
pub fn accept(
    request: &mut Request<'_>,
    response: Response<'_>,
) -> Result<WebSocket, HandlerError> {
    Upgrade::new().accept(request, response)
}

impl Upgrade {
    /// Default settings: no subprotocol, same origin, default [`Limits`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Speaks these subprotocols, the preferred first. The first that the client offers is agreed on; if it offers
    /// none of them, none is, and [`WebSocket::protocol`] tells.
    #[must_use]
    pub fn protocols<P: Into<String>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.protocols = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Lets pages of these origins connect.
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// Works within these limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Compresses messages (permessage-deflate, RFC 7692) with clients that offer it. Not the default: it costs time and
    /// memory, and what secrets are compressed together with what an attacker chose can be guessed from the length.
    #[must_use]
    pub fn compression(mut self, wish: Compression) -> Self {
        self.compression = Some(wish);
        self
    }

    /// Speaks with clients of before 2012, too: hixie-75, hixie-76, hybi-07 and hybi-10 ([`Version`]). Not the default: their
    /// handshakes do less to keep out what is no WebSocket client, and those of Hixie carry only texts. What Hixie's clients
    /// are told of the socket's address is `wss` if their page came by `https`.
    #[must_use]
    pub fn early_drafts(mut self, allow: bool) -> Self {
        self.early_drafts = allow;
        self
    }

    /// Turns a request into a WebSocket. The handler then goes on with it for as long as it likes, here or in other
    /// coroutines. **May suspend.**
    ///
    /// # Errors
    /// [`HandshakeError`] if the request is refused: the client has been answered, and the handler has only to pass
    /// the error on. Else an error of the stream.
    pub fn accept(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
    ) -> Result<WebSocket, HandlerError> {
        let asked = match self.check(request) {
            Ok(asked) => asked,
            Err(error) => {
                refuse(error, response)?;
                return Err(error.into());
            }
        };
        let protocol = self.choose(request, asked.version);
        let mut terms = Terms {
            role: Role::Server,
            version: asked.version,
            limits: self.limits.clone(),
            protocol,
            received: Vec::new(),
            compression: None,
        };
        let stream = match asked.key {
            Key::Hashed(key) => {
                let mut response = response.header("Sec-WebSocket-Accept", accept_key(key));
                if let Some(protocol) = &terms.protocol {
                    response = response.header("Sec-WebSocket-Protocol", protocol);
                }
                if let Some(wish) = &self.compression
                    && let Some((agreed, answer)) = extension::accept(&asked.offers, wish)
                {
                    response = response.header("Sec-WebSocket-Extensions", answer);
                    terms.compression = Some((agreed, wish.clone()));
                }
                let upgraded = response.upgrade(request, "websocket")?;
                terms.received = upgraded.received;
                upgraded.stream
            }
            Key::Hixie(challenge) => self.answer_hixie(request, response, challenge, &mut terms)?,
        };
        Ok(WebSocket::new(stream, terms))
    }

    /// Answers as Hixie's versions want it, within [`Limits::handshake`].
    fn answer_hixie(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
        challenge: Option<Challenge>,
        terms: &mut Terms,
    ) -> Result<Arc<dyn Stream>, HandlerError> {
        let origin = request.header("Origin");
        let scheme = match origin {
            Some(origin) if origin.starts_with("https:") => "wss",
            _ => "ws",
        };
        let location = format!("{scheme}://{}{}", request.host(), request.target());
        let protocol = terms.protocol.as_deref();
        let mut answer = answer_head(terms.version, origin, &location, protocol).into_bytes();
        let upgraded = response.hand_over(request)?;
        let (stream, mut received) = (upgraded.stream, upgraded.received);
        let exchange = || -> io::Result<Vec<u8>> {
            let mut rest = received.split_off(received.len().min(8));
            if let Some(challenge) = challenge {
                while received.len() < 8 {
                    let mut chunk = [0; 8];
                    let wanted = 8 - received.len();
                    match stream.read(&mut chunk[..wanted])? {
                        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                        count => received.extend_from_slice(&chunk[..count]),
                    }
                }
                let body = *received.first_chunk().expect("they are eight");
                answer.extend_from_slice(&challenge.answer(body));
            } else {
                received.append(&mut rest);
                rest = received;
            }
            let mut answer = answer.as_slice();
            while !answer.is_empty() {
                match stream.write(answer)? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    count => answer = &answer[count..],
                }
            }
            Ok(rest)
        };
        terms.received = with_timeout(self.limits.handshake, exchange)
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        Ok(stream)
    }

    /// RFC 6455, section 4.2.1, and what came before it if that is allowed.
    fn check<'c>(&self, request: &Request<'c>) -> Result<Asked<'c>, HandshakeError> {
        let has = |name, token: &str| request.values(name).any(|value| lists(value, token));
        let asked = request.method() == "GET"
            && request.head().version() == HttpVersion::Http11
            && request.content_length() == Some(0)
            && has("Connection", "upgrade")
            && has("Upgrade", "websocket");
        if !asked {
            return Err(HandshakeError::NotAsked);
        }
        let version = self.version(request).ok_or(HandshakeError::Version)?;
        let key = match version {
            Version::Hixie75 => Key::Hixie(None),
            Version::Hixie76 => {
                let [first, second] = ["Sec-WebSocket-Key1", "Sec-WebSocket-Key2"]
                    .map(|name| request.header(name).unwrap_or_default());
                let challenge = Challenge::read(first, second).ok_or(HandshakeError::Key)?;
                Key::Hixie(Some(challenge))
            }
            _ => {
                let key = request.header("Sec-WebSocket-Key");
                let key = key.filter(|key| is_key(key)).ok_or(HandshakeError::Key)?;
                if request.values("Sec-WebSocket-Key").count() != 1 {
                    return Err(HandshakeError::Key);
                }
                Key::Hashed(key)
            }
        };
        if !self.allows_origin(request, version) {
            return Err(HandshakeError::Origin);
        }
        // What the answer repeats.
        let repeated = [
            request.header("Origin").unwrap_or_default(),
            request.host(),
            request.target(),
        ];
        if version.is_hixie() && !repeated.into_iter().all(is_visible) {
            return Err(HandshakeError::Origin);
        }
        let mut offers = Vec::new();
        if version == Version::Rfc6455 {
            for list in request.values("Sec-WebSocket-Extensions") {
                let list = std::str::from_utf8(list).map_err(|_| HandshakeError::Extensions)?;
                offers.extend(extension::parse_list(list).map_err(|_| HandshakeError::Extensions)?);
            }
        }
        Ok(Asked {
            version,
            key,
            offers,
        })
    }

    /// The version that a request asks for, if it is spoken here.
    fn version(&self, request: &Request<'_>) -> Option<Version> {
        let version = match request.header("Sec-WebSocket-Version") {
            Some(number) => [Version::Rfc6455, Version::Hybi10, Version::Hybi07]
                .into_iter()
                .find(|version| version.number() == Some(number))?,
            None if request.header("Sec-WebSocket-Key").is_some() => return None,
            None if request.header("Sec-WebSocket-Key1").is_some() => Version::Hixie76,
            None => Version::Hixie75,
        };
        (version == Version::Rfc6455 || self.early_drafts).then_some(version)
    }

    fn allows_origin(&self, request: &Request<'_>, version: Version) -> bool {
        let mut origins = request.values(version.origin_header());
        let Some(origin) = origins.next() else {
            return true;
        };
        let Ok(origin) = std::str::from_utf8(origin) else {
            return false;
        };
        let same = || is_same_origin(origin, request.host());
        match &self.origins {
            Origins::Any => true,
            _ if origins.next().is_some() => false,
            Origins::Same => same(),
            Origins::Also(list) => {
                same() || list.iter().any(|other| other.eq_ignore_ascii_case(origin))
            }
        }
    }

    fn choose(&self, request: &Request<'_>, version: Version) -> Option<String> {
        let offered = |protocol: &&String| {
            let mut lists = request.values(version.protocol_header());
            // Subprotocols are compared with their case. Hixie's are separated by spaces.
            lists.any(|list| {
                list.split(|&byte| byte == b',' || (byte == b' ' && version.is_hixie()))
                    .any(|item| item.trim_ascii() == protocol.as_bytes())
            })
        };
        self.protocols.iter().find(offered).cloned()
    }
}

/// What a request asks for, all of it checked.
struct Asked<'c> {
    version: Version,
    key: Key<'c>,
    offers: Vec<Extension>,
}

enum Key<'c> {
    /// Of RFC 6455 and the hybi drafts.
    Hashed(&'c str),
    /// Of hixie-76; hixie-75 has none.
    Hixie(Option<Challenge>),
}

fn refuse(error: HandshakeError, response: Response<'_>) -> Result<(), grapeshot_http::Error> {
    let status = match error {
        HandshakeError::NotAsked | HandshakeError::Version => Status::UPGRADE_REQUIRED,
        HandshakeError::Key | HandshakeError::Extensions => Status::BAD_REQUEST,
        HandshakeError::Origin => Status::FORBIDDEN,
    };
    let mut response = response.status(status);
    if status == Status::UPGRADE_REQUIRED {
        response = response
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13");
    }
    response.send_text(&format!("{error}\n"))
}
