//! What HTTP asks of whoever passes messages on: what is for one connection only, `Via`, `Max-Forwards`, and paths that stay where
//! they are. Performs no I/O.

use grapeshot::random;
use percent_encoding::percent_decode_str;

use crate::body::is_token;
use crate::head::has_token;
use crate::{Rejection, Request, Status, Version};

/// Headers that are for one connection only (RFC 9110, section 7.6.1), and those that each side writes for itself.
const OWN: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Whether a header is for one connection only, by its name or because `Connection` says so.
pub(super) fn is_own(name: &str, connection: &[&[u8]]) -> bool {
    OWN.iter().any(|own| own.eq_ignore_ascii_case(name))
        || connection.iter().any(|list| has_token(list, name))
}

/// A request that has come through the same proxy so often is not passed on once more. More than 1: who stands between may send a
/// request through the same proxy again, to another path, and mean it.
const PASSES: usize = 3;

/// What a proxy calls itself in `Via` (RFC 9110, section 7.6.3).
#[derive(Debug)]
pub(super) struct Pseudonym(String);

impl Pseudonym {
    /// One that nobody else has.
    pub(super) fn random() -> Self {
        let mut own = [0; 4];
        if let Err(error) = random::fill(&mut own) {
            // Then others may have it, which matters only in a chain of them.
            log::warn!("http: a proxy's pseudonym is not random: {error}");
        }
        Self(format!("grapeshot-{:08x}", u32::from_be_bytes(own)))
    }

    /// `None` if it is neither a token nor a host, with a port or without.
    pub(super) fn new(name: String) -> Option<Self> {
        let fits = |byte: u8| is_token(byte) || matches!(byte, b':' | b'[' | b']');
        (!name.is_empty() && name.bytes().all(fits)).then_some(Self(name))
    }

    /// The value for a message that came in this version, and said `before`.
    pub(super) fn append<'a>(
        &self,
        before: impl Iterator<Item = &'a [u8]>,
        version: Version,
    ) -> Vec<u8> {
        let mut value = Vec::new();
        for list in before.filter(|list| !list.is_empty()) {
            value.extend_from_slice(list);
            value.extend_from_slice(b", ");
        }
        value.extend_from_slice(match version {
            Version::Http10 => b"1.0 ",
            Version::Http11 => b"1.1 ",
        });
        value.extend_from_slice(self.0.as_bytes());
        value
    }

    /// Whether a request that says this goes round in a circle.
    pub(super) fn is_looping<'a>(&self, via: impl Iterator<Item = &'a [u8]>) -> bool {
        let is_ours = |entry: &&[u8]| {
            let mut words = entry
                .split(u8::is_ascii_whitespace)
                .filter(|word| !word.is_empty());
            // The protocol, then who received it.
            let by = words.nth(1);
            by.is_some_and(|by| by.eq_ignore_ascii_case(self.0.as_bytes()))
        };
        let entries = via.flat_map(|list| list.split(|&byte| byte == b','));
        entries.filter(is_ours).count() >= PASSES
    }
}

/// How many more may pass the request on, before this one does; `None` if that is not limited. Only for OPTIONS and TRACE
/// (RFC 9110, section 7.6.2).
pub(super) fn max_forwards(request: &Request<'_>) -> Result<Option<u64>, Rejection> {
    if !matches!(request.method(), "OPTIONS" | "TRACE") {
        return Ok(None);
    }
    let mut values = request.values("Max-Forwards");
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
            Ok(Some(saturating(value)))
        }
        _ => {
            let text = "Max-Forwards is not a number";
            Err(Rejection::new(Status::BAD_REQUEST, text))
        }
    }
}

/// More than can be counted is the most that can be, as the section allows.
fn saturating(digits: &[u8]) -> u64 {
    let digits = digits.iter().map(|digit| u64::from(digit - b'0'));
    digits.fold(0, |sum: u64, digit| {
        sum.saturating_mul(10).saturating_add(digit)
    })
}

/// Whether dot segments in a path lead above where it begins, for whoever reads it: also one that decodes slashes first, takes
/// `\` for one, or several for one.
pub(super) fn climbs(path: &str) -> bool {
    let decoded: Vec<u8> = percent_decode_str(path).collect();
    let mut depth = 0_usize;
    for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
        match segment {
            b"" | b"." => {}
            b".." if depth == 0 => return true,
            b".." => depth -= 1,
            _ => depth += 1,
        }
    }
    false
}

/// Who asked, for the server behind (`Forwarded`: RFC 7239).
pub(super) fn is_forwarding(name: &str) -> bool {
    name.eq_ignore_ascii_case("forwarded")
        || name
            .get(..12)
            .is_some_and(|start| start.eq_ignore_ascii_case("x-forwarded-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists<'a>(lists: &'a [&'a str]) -> impl Iterator<Item = &'a [u8]> {
        lists.iter().map(|list| list.as_bytes())
    }

    #[test]
    fn via_is_appended_to() {
        let name = Pseudonym::new("edge".to_owned()).unwrap();
        let value = |before: &[&str], version| {
            String::from_utf8(name.append(lists(before), version)).unwrap()
        };
        assert_eq!(value(&[], Version::Http11), "1.1 edge");
        assert_eq!(
            value(&["1.0 a (x), 1.1 b", "", "HTTP/2.0 c"], Version::Http10),
            "1.0 a (x), 1.1 b, HTTP/2.0 c, 1.0 edge"
        );
    }

    #[test]
    fn a_loop_is_who_comes_by_too_often() {
        let name = Pseudonym::new("edge".to_owned()).unwrap();
        let looping = |via: &[&str]| name.is_looping(lists(via));
        assert!(!looping(&[]));
        assert!(!looping(&["1.1 edge, 1.1 other", "1.1 edge, edge edges"]));
        assert!(looping(&["1.1 edge, 1.1 other", "1.1  EDGE (x),1.0\tedge"]));
        assert!(!looping(&[
            "1.1 edge2, 1.1 edge3, edge, 1.1 a (edge), edge edge x"
        ]));
    }

    #[test]
    fn a_pseudonym_is_a_token_or_a_host() {
        for right in ["edge", "edge-1.example.org", "h:8080", "[::1]:80"] {
            assert!(Pseudonym::new(right.to_owned()).is_some(), "{right}");
        }
        for wrong in ["", "a b", "a,b", "a(b", "a\r\n"] {
            assert!(Pseudonym::new(wrong.to_owned()).is_none(), "{wrong:?}");
        }
        assert_ne!(Pseudonym::random().0, Pseudonym::random().0);
    }

    #[test]
    fn what_is_too_much_to_count_is_the_most() {
        assert_eq!(saturating(b"007"), 7);
        assert_eq!(saturating(b"18446744073709551615"), u64::MAX);
        assert_eq!(saturating(b"99999999999999999999999"), u64::MAX);
    }

    #[test]
    fn paths_stay_below_where_they_begin() {
        for below in [
            "/",
            "/a/../b",
            "/a/b/../../c",
            "/...",
            "/.",
            "/a/..",
            "*",
            "/..a",
        ] {
            assert!(!climbs(below), "{below}");
        }
        for above in [
            "/..",
            "/../a",
            "/a/../../b",
            "/%2e%2E/a",
            "/.%2e",
            "/..%2fa",
            "/..\\a",
            "/a//../../b",
            "/a/%5c..%5c..",
            "/./..",
        ] {
            assert!(climbs(above), "{above}");
        }
    }
}
