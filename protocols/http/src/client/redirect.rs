//! Where a redirect leads, and with which method (RFC 9110, section 15.4). Performs no I/O.

use url::Url;

use super::error::RedirectFault;
use crate::Status;

/// Which redirects are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redirects {
    /// So many in a row; after them it is an error. With 0 none is followed, and the redirect itself is the answer.
    /// Default 10.
    pub most: usize,
    /// From https to http too. Default: no, that is an error.
    pub downgrade: bool,
}

impl Default for Redirects {
    fn default() -> Self {
        Self {
            most: 10,
            downgrade: false,
        }
    }
}

impl Redirects {
    /// Follows none: the answer is the redirect.
    #[must_use]
    pub fn none() -> Self {
        Self {
            most: 0,
            downgrade: false,
        }
    }
}

/// A redirect that was followed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redirect {
    /// Its status.
    pub status: Status,
    /// Where it was met.
    pub from: Url,
    /// Where it led.
    pub to: Url,
}

/// What to ask next.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) url: Url,
    /// The method is GET now, and there is no content any more.
    pub(super) as_get: bool,
    /// It leads to another origin: credentials stay behind.
    pub(super) leaves_origin: bool,
}

impl Redirects {
    /// `None` if the answer is no redirect to be followed.
    pub(super) fn next(
        self,
        status: Status,
        method: &str,
        from: &Url,
        location: Option<&str>,
        so_far: usize,
    ) -> Result<Option<Next>, RedirectFault> {
        let Some(location) = location else {
            return Ok(None);
        };
        let as_get = match status {
            // What everybody does since the first browsers, and the RFC allows.
            Status::MOVED_PERMANENTLY | Status::FOUND => method == "POST",
            Status::SEE_OTHER => method != "GET" && method != "HEAD",
            Status::TEMPORARY_REDIRECT | Status::PERMANENT_REDIRECT => false,
            _ => return Ok(None),
        };
        if self.most == 0 {
            return Ok(None);
        }
        if so_far >= self.most {
            return Err(RedirectFault::TooMany);
        }
        let mut url = from.join(location).map_err(|_| RedirectFault::Location)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(RedirectFault::Location);
        }
        if from.scheme() == "https" && url.scheme() == "http" && !self.downgrade {
            return Err(RedirectFault::Downgrade);
        }
        if url.fragment().is_none() {
            url.set_fragment(from.fragment());
        }
        let leaves_origin = url.origin() != from.origin();
        Ok(Some(Next {
            url,
            as_get,
            leaves_origin,
        }))
    }
}

/// Whether a header is for the origin it was meant for alone.
pub(super) fn is_credential(name: &str) -> bool {
    ["authorization", "cookie", "proxy-authorization"]
        .iter()
        .any(|secret| name.eq_ignore_ascii_case(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(
        status: u16,
        method: &str,
        from: &str,
        to: &str,
    ) -> Result<Option<Next>, RedirectFault> {
        let from = Url::parse(from).unwrap();
        Redirects::default().next(Status::new(status).unwrap(), method, &from, Some(to), 0)
    }

    #[test]
    fn the_method_follows_the_status() {
        for (status, method, as_get) in [
            (301, "GET", false),
            (301, "POST", true),
            (301, "PUT", false),
            (302, "POST", true),
            (303, "POST", true),
            (303, "DELETE", true),
            (303, "HEAD", false),
            (307, "POST", false),
            (308, "POST", false),
        ] {
            let next = follow(status, method, "http://a/x", "/y").unwrap().unwrap();
            assert_eq!(next.as_get, as_get, "{status} {method}");
        }
        for status in [200, 300, 304, 404] {
            assert_eq!(follow(status, "GET", "http://a/x", "/y"), Ok(None));
        }
    }

    #[test]
    fn the_location_is_relative_and_keeps_the_fragment() {
        let to = |from, to| String::from(follow(302, "GET", from, to).unwrap().unwrap().url);
        assert_eq!(to("http://a/b/c?d#e", "f"), "http://a/b/f#e");
        assert_eq!(to("http://a/b/c?d#e", "../f#g"), "http://a/f#g");
        assert_eq!(to("http://a/b", "//c/d"), "http://c/d");
        assert_eq!(to("http://a/b", "?x"), "http://a/b?x");
    }

    #[test]
    fn what_is_not_followed_is_an_error_that_says_why() {
        assert_eq!(
            follow(302, "GET", "https://a/", "http://a/"),
            Err(RedirectFault::Downgrade)
        );
        for wrong in [
            "ftp://a/",
            "javascript:alert(1)",
            "http://",
            "file:///etc/passwd",
        ] {
            assert_eq!(
                follow(302, "GET", "http://a/", wrong),
                Err(RedirectFault::Location),
                "{wrong}"
            );
        }
        let from = Url::parse("http://a/").unwrap();
        let last = Redirects::default().next(Status::FOUND, "GET", &from, Some("/"), 10);
        assert_eq!(last, Err(RedirectFault::TooMany));
    }

    #[test]
    fn another_port_or_scheme_is_another_origin() {
        let leaves = |from, to| follow(302, "GET", from, to).unwrap().unwrap().leaves_origin;
        assert!(!leaves("http://a/", "http://A:80/x"));
        assert!(leaves("http://a/", "http://a:81/"));
        assert!(leaves("http://a/", "https://a/"));
        assert!(leaves("http://a/", "http://b.a/"));
    }
}
