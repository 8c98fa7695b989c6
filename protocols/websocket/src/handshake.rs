//! The opening handshake (RFC 6455, section 4). Performs no I/O.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// Why a request did not become a WebSocket. The client has been answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// No GET of HTTP/1.1 with `Connection: Upgrade` and `Upgrade: websocket`. Answered with 426.
    #[error("the request does not ask for a WebSocket")]
    NotAsked,
    /// A version other than 13. Answered with 426.
    #[error("the version of the WebSocket protocol is not 13")]
    Version,
    /// No key of 16 bytes in base64, or several. Answered with 400.
    #[error("the handshake's key is invalid")]
    Key,
    /// A list of extensions that is not well-formed. Answered with 400.
    #[error("the list of extensions is malformed")]
    Extensions,
    /// A page of another origin. Answered with 403.
    #[error("the page's origin is not allowed")]
    Origin,
}

/// What a server answers to the client's `key`.
pub(crate) fn accept_key(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(hash.finalize())
}

/// Whether this is 16 bytes in base64.
pub(crate) fn is_key(key: &str) -> bool {
    STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

/// A client's key.
pub(crate) fn new_key() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    grapeshot::random::fill(&mut bytes)?;
    Ok(STANDARD.encode(bytes))
}

/// Whether a header's value, a list, has this item.
pub(crate) fn lists(value: &[u8], item: &str) -> bool {
    value
        .split(|&byte| byte == b',')
        .any(|other| other.trim_ascii().eq_ignore_ascii_case(item.as_bytes()))
}

/// Whether this is a token (RFC 9110, section 5.6.2): what names of headers and subprotocols are made of.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// Whether a token may have this byte.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether a page of `origin` comes from `host`, as a request to this server would name it. The scheme may be either,
/// since a proxy in front may speak TLS; its default port is the same as none.
pub(crate) fn is_same_origin(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |authority: &str| {
        authority
            .strip_suffix(port)
            .unwrap_or(authority)
            .to_ascii_lowercase()
    };
    !host.is_empty() && bare(authority) == bare(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(
            accept_key("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn keys_are_sixteen_bytes() {
        assert!(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
        assert!(is_key(&new_key().expect("the system has entropy")));
        for wrong in [
            "",
            "dGhlIHNhbXBsZQ==",
            "dGhlIHNhbXBsZSBub25jZQ",
            "!!!!IHNhbXBsZSBub25jZQ==",
        ] {
            assert!(!is_key(wrong), "{wrong}");
        }
    }

    #[test]
    fn origins_are_compared_by_host_and_port() {
        for (origin, host) in [
            ("http://localhost:8080", "localhost:8080"),
            ("http://Example.com", "example.COM:80"),
            ("https://example.com:443", "example.com"),
            ("http://[::1]:9", "[::1]:9"),
        ] {
            assert!(is_same_origin(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("null", "localhost"),
            ("http://evil.com", "example.com"),
            ("http://example.com.evil.com", "example.com"),
            ("http://example.com:81", "example.com"),
            ("https://example.com:80", "example.com"),
            ("file://", ""),
            ("http://", ""),
            ("chrome-extension://example.com", "example.com"),
        ] {
            assert!(!is_same_origin(origin, host), "{origin} {host}");
        }
    }
}
