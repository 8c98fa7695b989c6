//! Conditional requests (RFC 9110, section 13). Performs no I/O.
//!
//! ```text
//!   If-Match? ──no──▶ If-Unmodified-Since? ──▶ If-None-Match? ──no──▶ If-Modified-Since? ──▶ the request
//!      │ no match: 412    │ modified: 412         │ match: 304 or 412     │ not modified: 304
//! ```

use std::time::{Duration, SystemTime};

use crate::head::HeadView;

/// By what clients tell one state of a thing from another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Validators<'v> {
    /// The entity tag's text, without quotes.
    pub(crate) tag: &'v str,
    /// Whether two that are equal are equal byte by byte.
    pub(crate) strong: bool,
    pub(crate) modified: Option<SystemTime>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Proceed,
    /// 304
    NotModified,
    /// 412
    Failed,
}

/// What the conditions of a request come to, given what is there now.
pub(crate) fn judge(request: HeadView<'_>, now: Option<&Validators<'_>>) -> Verdict {
    let reading = matches!(request.method(), "GET" | "HEAD");
    let has = |name| request.values(name).next().is_some();
    if has("If-Match") {
        if !matches(request, "If-Match", now, true) {
            return Verdict::Failed;
        }
    } else if let Some((date, modified)) = dates(request, "If-Unmodified-Since", now)
        && modified > date
    {
        return Verdict::Failed;
    }
    if has("If-None-Match") {
        if matches(request, "If-None-Match", now, false) {
            return if reading {
                Verdict::NotModified
            } else {
                Verdict::Failed
            };
        }
    } else if reading
        && let Some((date, modified)) = dates(request, "If-Modified-Since", now)
        && modified <= date
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether `Range` counts: without `If-Range`, or if what that names is what there is.
pub(crate) fn range_counts(request: HeadView<'_>, now: &Validators<'_>) -> bool {
    let Some(wanted) = request.values("If-Range").next() else {
        return true;
    };
    if let Some((tag, _)) = Tag::take(wanted) {
        return now.strong && !tag.weak && tag.text == now.tag.as_bytes();
    }
    let date = std::str::from_utf8(wanted)
        .ok()
        .and_then(|text| httpdate::parse_http_date(text).ok());
    // A date tells two states apart only if nothing can have changed within its second.
    now.strong
        && date
            .zip(now.modified)
            .is_some_and(|(date, modified)| whole_seconds(date) == whole_seconds(modified))
}

/// Whether a list of entity tags names what is there; `*` names whatever is.
fn matches(
    request: HeadView<'_>,
    header: &str,
    now: Option<&Validators<'_>>,
    strongly: bool,
) -> bool {
    let Some(now) = now else {
        return false;
    };
    request.values(header).any(|list| {
        list.trim_ascii() == b"*"
            || Tags(list).any(|tag| {
                let comparable = !strongly || (!tag.weak && now.strong);
                comparable && tag.text == now.tag.as_bytes()
            })
    })
}

/// The date in a header and that of the last change, in seconds; `None` if the header does not count.
fn dates(request: HeadView<'_>, header: &str, now: Option<&Validators<'_>>) -> Option<(u64, u64)> {
    let value = std::str::from_utf8(request.values(header).next()?).ok()?;
    let date = httpdate::parse_http_date(value).ok()?;
    Some((whole_seconds(date), whole_seconds(now?.modified?)))
}

fn whole_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}

struct Tag<'t> {
    weak: bool,
    text: &'t [u8],
}

impl<'t> Tag<'t> {
    /// `W/"text"` or `"text"`, and what follows it.
    fn take(from: &'t [u8]) -> Option<(Self, &'t [u8])> {
        let (weak, quoted) = match from.strip_prefix(b"W/") {
            Some(rest) => (true, rest),
            None => (false, from),
        };
        let inner = quoted.strip_prefix(b"\"")?;
        let end = memchr::memchr(b'"', inner)?;
        let text = &inner[..end];
        Some((Self { weak, text }, &inner[end + 1..]))
    }
}

/// The entity tags of a list; it ends at what is none.
struct Tags<'t>(&'t [u8]);

impl<'t> Iterator for Tags<'t> {
    type Item = Tag<'t>;

    fn next(&mut self) -> Option<Tag<'t>> {
        let start = self
            .0
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        let (tag, rest) = Tag::take(&self.0[start..])?;
        self.0 = rest;
        Some(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Head;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn with<T>(method: &str, headers: &str, f: impl FnOnce(HeadView<'_>) -> T) -> T {
        let wire = format!("{method} / HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
        let mut head = Head::default();
        head.parse(wire.as_bytes()).unwrap();
        f(head.view(wire.as_bytes()))
    }

    fn validators(strong: bool) -> Validators<'static> {
        Validators {
            tag: "a,b",
            strong,
            modified: Some(httpdate::parse_http_date(DATE).unwrap() + Duration::from_millis(5)),
        }
    }

    #[test]
    fn conditions_count_in_their_order() {
        use Verdict::{Failed, NotModified, Proceed};
        let there = |method, headers: &str| {
            with(method, headers, |head| judge(head, Some(&validators(true))))
        };
        for (headers, get, put) in [
            ("".to_owned(), Proceed, Proceed),
            ("If-Match: \"a,b\"\r\n".to_owned(), Proceed, Proceed),
            ("If-Match: \"x\", \"a,b\"\r\n".to_owned(), Proceed, Proceed),
            (
                "If-Match: \"x\"\r\nIf-Match: \"a,b\"\r\n".to_owned(),
                Proceed,
                Proceed,
            ),
            ("If-Match: *\r\n".to_owned(), Proceed, Proceed),
            ("If-Match: W/\"a,b\"\r\n".to_owned(), Failed, Failed),
            ("If-Match: \"a\"\r\n".to_owned(), Failed, Failed),
            ("If-Match: junk\r\n".to_owned(), Failed, Failed),
            (format!("If-Unmodified-Since: {DATE}\r\n"), Proceed, Proceed),
            (
                format!("If-Unmodified-Since: {EARLIER}\r\n"),
                Failed,
                Failed,
            ),
            (
                format!("If-Match: \"a,b\"\r\nIf-Unmodified-Since: {EARLIER}\r\n"),
                Proceed,
                Proceed,
            ),
            (
                "If-None-Match: W/\"a,b\"\r\n".to_owned(),
                NotModified,
                Failed,
            ),
            ("If-None-Match: *\r\n".to_owned(), NotModified, Failed),
            ("If-None-Match: \"x\"\r\n".to_owned(), Proceed, Proceed),
            (
                format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {LATER}\r\n"),
                Proceed,
                Proceed,
            ),
            (
                format!("If-Modified-Since: {DATE}\r\n"),
                NotModified,
                Proceed,
            ),
            (
                format!("If-Modified-Since: {EARLIER}\r\n"),
                Proceed,
                Proceed,
            ),
            (
                "If-Modified-Since: yesterday\r\n".to_owned(),
                Proceed,
                Proceed,
            ),
            (
                "If-Match: \"a,b\"\r\nIf-None-Match: \"a,b\"\r\n".to_owned(),
                NotModified,
                Failed,
            ),
        ] {
            assert_eq!(there("GET", &headers), get, "GET {headers}");
            assert_eq!(there("HEAD", &headers), get, "HEAD {headers}");
            assert_eq!(there("PUT", &headers), put, "PUT {headers}");
        }
        let gone = |headers: &str| with("PUT", headers, |head| judge(head, None));
        assert_eq!(gone("If-Match: *\r\n"), Failed);
        assert_eq!(gone("If-None-Match: *\r\n"), Proceed);
        assert_eq!(gone(""), Proceed);
    }

    #[test]
    fn a_range_counts_if_it_is_of_what_there_is() {
        let counts = |headers: &str, strong| {
            with("GET", headers, |head| {
                range_counts(head, &validators(strong))
            })
        };
        assert!(counts("", false));
        assert!(counts("If-Range: \"a,b\"\r\n", true));
        assert!(!counts("If-Range: \"a,b\"\r\n", false));
        assert!(!counts("If-Range: W/\"a,b\"\r\n", true));
        assert!(!counts("If-Range: \"x\"\r\n", true));
        assert!(counts(&format!("If-Range: {DATE}\r\n"), true));
        assert!(!counts(&format!("If-Range: {LATER}\r\n"), true));
        assert!(!counts(&format!("If-Range: {EARLIER}\r\n"), true));
        assert!(!counts("If-Range: junk\r\n", true));
    }
}
