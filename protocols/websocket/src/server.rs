//! The server's side of the handshake, within a handler of `grapeshot-http`.

use grapeshot_http::{HandlerError, Request, Response, Status, Version};

use crate::deflate::Compression;
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
        let (key, offers) = match self.check(request) {
            Ok(asked) => asked,
            Err(error) => {
                refuse(error, response)?;
                return Err(error.into());
            }
        };
        let protocol = self.choose(request);
        let mut response = response.header("Sec-WebSocket-Accept", accept_key(key));
        if let Some(protocol) = &protocol {
            response = response.header("Sec-WebSocket-Protocol", protocol);
        }
        let mut compression = None;
        if let Some(wish) = &self.compression
            && let Some((agreed, answer)) = extension::accept(&offers, wish)
        {
            response = response.header("Sec-WebSocket-Extensions", answer);
            compression = Some((agreed, wish.clone()));
        }
        let upgraded = response.upgrade(request, "websocket")?;
        let terms = Terms {
            role: Role::Server,
            limits: self.limits.clone(),
            protocol,
            received: upgraded.received,
            compression,
        };
        Ok(WebSocket::new(upgraded.stream, terms))
    }

    /// RFC 6455, section 4.2.1; gives the key and the extensions that are offered.
    fn check<'c>(
        &self,
        request: &Request<'c>,
    ) -> Result<(&'c str, Vec<Extension>), HandshakeError> {
        let has = |name, token: &str| request.values(name).any(|value| lists(value, token));
        let asked = request.method() == "GET"
            && request.head().version() == Version::Http11
            && request.content_length() == Some(0)
            && has("Connection", "upgrade")
            && has("Upgrade", "websocket");
        if !asked {
            return Err(HandshakeError::NotAsked);
        }
        if request.header("Sec-WebSocket-Version") != Some("13") {
            return Err(HandshakeError::Version);
        }
        let key = request
            .header("Sec-WebSocket-Key")
            .filter(|key| is_key(key))
            .ok_or(HandshakeError::Key)?;
        if request.values("Sec-WebSocket-Key").count() != 1 {
            return Err(HandshakeError::Key);
        }
        if !self.allows_origin(request) {
            return Err(HandshakeError::Origin);
        }
        let mut offers = Vec::new();
        for list in request.values("Sec-WebSocket-Extensions") {
            let list = std::str::from_utf8(list).map_err(|_| HandshakeError::Extensions)?;
            offers.extend(extension::parse_list(list).map_err(|_| HandshakeError::Extensions)?);
        }
        Ok((key, offers))
    }

    fn allows_origin(&self, request: &Request<'_>) -> bool {
        let mut origins = request.values("Origin");
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

    fn choose(&self, request: &Request<'_>) -> Option<String> {
        let offered = |protocol: &&String| {
            let mut lists = request.values("Sec-WebSocket-Protocol");
            // Subprotocols are compared with their case.
            lists.any(|list| {
                list.split(|&byte| byte == b',')
                    .any(|item| item.trim_ascii() == protocol.as_bytes())
            })
        };
        self.protocols.iter().find(offered).cloned()
    }
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
