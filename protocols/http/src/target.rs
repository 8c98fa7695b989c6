//! The request target (RFC 9112, section 3.2) and the authority in it. Performs no I/O.

use crate::body::table;

/// A target, cut into its parts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    /// Only in the absolute form.
    pub(crate) authority: Option<&'a str>,
    /// Empty if an absolute target ends with its authority; `*` for the asterisk form.
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
}

/// Takes the origin form (`/path?query`), the absolute form (`http://host/path?query`) and, for `OPTIONS`, `*`.
/// For `CONNECT` there is the authority form alone (`host:port`). `None` for anything else, for bytes beyond ASCII, and for a fragment, which no client may send.
pub(crate) fn split<'a>(method: &str, target: &'a str) -> Option<Parts<'a>> {
    let query = find_query(target.as_bytes())?;
    if method == "CONNECT" {
        return host_and_port(target).map(|_| Parts {
            authority: Some(target),
            path: "",
            query: None,
        });
    }
    if target == "*" {
        return (method == "OPTIONS").then_some(Parts {
            authority: None,
            path: target,
            query: None,
        });
    }
    let (authority, rest) = if target.starts_with('/') {
        (None, target)
    } else {
        let (scheme, rest) = target.split_once("://")?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return None;
        }
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.is_empty() || !is_authority(authority.as_bytes()) {
            return None;
        }
        (Some(authority), rest)
    };
    // Neither a scheme nor an authority has a `?`, so it is in the rest.
    let (path, query) = match query {
        Some(behind) => {
            let at = rest.len() - behind;
            (&rest[..at], Some(&rest[at + 1..]))
        }
        None => (rest, None),
    };
    Some(Parts {
        authority,
        path,
        query,
    })
}

/// How many bytes from the first `?` to the end, if there is one. `None` if anything is not allowed in a target.
fn find_query(target: &[u8]) -> Option<Option<usize>> {
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // The highest bits of those bytes that are this one, and maybe of some behind the first of them.
    let are = |eight: u64, wanted: u8| {
        let differing = eight ^ u64::from_ne_bytes([wanted; 8]);
        differing.wrapping_sub(HIGH >> 7) & !differing & HIGH
    };
    let (eights, rest) = target.as_chunks();
    let is_plain = |eight: &[u8; 8]| {
        let eight = u64::from_le_bytes(*eight);
        (eight & HIGH) | are(eight, b'#') | are(eight, b'?') == 0
    };
    // Most targets are short and have nothing of all this.
    let plain = eights.iter().take_while(|eight| is_plain(eight)).count();
    let rest = if plain == eights.len() {
        rest
    } else {
        &target[8 * plain..]
    };
    let mut query = None;
    for (at, &byte) in rest.iter().enumerate() {
        match byte {
            b'#' | 0x80.. => return None,
            b'?' => _ = query.get_or_insert(rest.len() - at),
            _ => {}
        }
    }
    Some(query)
}

/// The host, in brackets if it is an address of IPv6, and the port of an authority that has both.
pub(crate) fn host_and_port(authority: &str) -> Option<(&str, u16)> {
    let (host, port) = authority.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    (!host.is_empty() && is_authority(authority.as_bytes())).then_some((host, port))
}

/// Whether `text` can be `uri-host [":" port]` (RFC 3986, section 3.2, without the user's name). Empty is allowed:
/// so says a client whose target has no authority.
pub(crate) fn is_authority(text: &[u8]) -> bool {
    const HOST: [bool; 256] = table(b"-._~%!$&'()*+;=");
    let host = if text.first() == Some(&b'[') {
        match literal_length(text) {
            Some(length) => length,
            None => return false,
        }
    } else {
        let ends = text.iter().position(|&byte| !HOST[usize::from(byte)]);
        ends.unwrap_or(text.len())
    };
    match &text[host..] {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// Of the address in brackets that the text begins with.
fn literal_length(text: &[u8]) -> Option<usize> {
    let end = text.iter().position(|&byte| byte == b']')?;
    let inside = &text[1..end];
    let is_address = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.' | b'v');
    (!inside.is_empty() && inside.iter().all(is_address)).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_cut_in_its_parts() {
        let parts = |authority, path, query| {
            Some(Parts {
                authority,
                path,
                query,
            })
        };
        assert_eq!(split("GET", "/"), parts(None, "/", None));
        assert_eq!(split("GET", "/a?b?c"), parts(None, "/a", Some("b?c")));
        assert_eq!(split("GET", "//host/x"), parts(None, "//host/x", None));
        assert_eq!(
            split("GET", "http://h:1/x?y"),
            parts(Some("h:1"), "/x", Some("y"))
        );
        assert_eq!(split("GET", "HTTPS://h"), parts(Some("h"), "", None));
        assert_eq!(split("GET", "http://h?q"), parts(Some("h"), "", Some("q")));
        assert_eq!(split("OPTIONS", "*"), parts(None, "*", None));
        assert_eq!(split("CONNECT", "h:443"), parts(Some("h:443"), "", None));
        for wrong in [
            "",
            "/",
            "h",
            "h:",
            ":1",
            "h:0",
            "h:65536",
            "h:+1",
            "::1",
            "u@h:1",
            "http://h:1/",
        ] {
            assert_eq!(split("CONNECT", wrong), None, "{wrong}");
        }
        assert_eq!(host_and_port("[::1]:1"), Some(("[::1]", 1)));
        for wrong in [
            "*",
            "x",
            "http:/x",
            "ftp://h/",
            "http:///x",
            "http://u@h/",
            "/a#b",
            "/\u{e9}",
            "h:80",
            "",
        ] {
            assert_eq!(split("GET", wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_query_is_found_wherever_it_is() {
        for length in 0..40 {
            let mut target = vec![b'a'; length];
            assert_eq!(find_query(&target), Some(None));
            for at in 0..length {
                target[at] = b'?';
                assert_eq!(find_query(&target), Some(Some(length - at)));
                for other in 0..length {
                    for (byte, found) in [
                        (b'?', Some(Some(length - at.min(other)))),
                        (b'#', None),
                        (0x80, None),
                    ] {
                        if other != at {
                            let before = std::mem::replace(&mut target[other], byte);
                            assert_eq!(find_query(&target), found, "{target:?}");
                            target[other] = before;
                        }
                    }
                }
                target[at] = b'a';
            }
        }
    }

    #[test]
    fn an_authority_names_a_host_and_a_port() {
        for right in [
            "",
            "localhost",
            "a.b-c:8080",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:80",
            "h:",
        ] {
            assert!(is_authority(right.as_bytes()), "{right}");
        }
        for wrong in [
            "a b", "a,b", "a/b", "u@h", "h:8x", "h:123456", "[::1", "[]", "[::1]x", "a\0b",
            "h:1:2", "\"h\"",
        ] {
            assert!(!is_authority(wrong.as_bytes()), "{wrong}");
        }
    }
}
