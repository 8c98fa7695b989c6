//! A cookie jar (RFC 6265, with the rules of its successor about secure cookies and prefixes). Performs no I/O; the time
//! is an argument.

mod line;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use url::Url;

use line::{domains_of, parse, path_matches};

/// Cookies of one domain; above, the oldest goes.
const PER_DOMAIN: usize = 50;
/// Cookies altogether; above, the oldest goes.
const ALL: usize = 3000;
/// Bytes of a `Cookie` header; what does not fit is not sent.
const HEADER: usize = 16 << 10;

/// Keeps cookies and knows which of them go where. A clone is the same jar; several clients may share one.
///
/// A cookie goes back to the host that set it, over https alone if it is `Secure`, below its path, until it expires. With
/// `Domain` it goes to the hosts below that domain too, if that is no *public suffix*, such as `com` or `co.uk`, under
/// which anybody can have a name. Without the list of them, which changes weekly and is large, we take for one: what has
/// no dot, and a second level of at most three letters (or `com`, `gov`, … ) below a country's two. Who needs the whole
/// list gives a function to [`with_suffixes`](CookieJar::with_suffixes).
///
/// It keeps at most 3,000 cookies, 50 of each domain, of 4 KiB each.
#[derive(Clone)]
pub struct CookieJar {
    inner: Arc<Inner>,
}

struct Inner {
    is_suffix: Box<dyn Fn(&str) -> bool + Send + Sync>,
    jar: Mutex<Jar>,
}

#[derive(Default)]
struct Jar {
    domains: HashMap<String, Vec<Cookie>>,
    count: usize,
    /// Grows with each cookie that is kept.
    clock: u64,
}

/// A cookie in a jar.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The host that it goes to.
    pub domain: String,
    /// Not to the hosts below it.
    pub host_only: bool,
    /// Only to what is below this path.
    pub path: String,
    /// Only over https.
    pub secure: bool,
    /// Not after this time.
    pub expires: Option<SystemTime>,
    created: u64,
}

impl Default for CookieJar {
    fn default() -> Self {
        Self::with_suffixes(is_probably_public)
    }
}

impl CookieJar {
    /// An empty jar.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty jar that asks `is_suffix` whether a domain, of lower-case letters, is a public suffix.
    pub fn with_suffixes(is_suffix: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        let inner = Inner {
            is_suffix: Box::new(is_suffix),
            jar: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    fn jar(&self) -> MutexGuard<'_, Jar> {
        self.inner
            .jar
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what `url` said in one `Set-Cookie` line at the time `now`. What breaks the rules is ignored.
    pub fn store(&self, line: &[u8], url: &Url, now: SystemTime) {
        let Ok(line) = std::str::from_utf8(line) else {
            return;
        };
        let Some(cookie) = parse(line, url, now, &self.inner.is_suffix) else {
            return;
        };
        let gone = cookie.expires.is_some_and(|end| end <= now);
        self.jar().put(cookie, gone, url.scheme() == "https", now);
    }

    /// The value of the `Cookie` header for `url` at the time `now`, if any cookie fits.
    #[must_use]
    pub fn header(&self, url: &Url, now: SystemTime) -> Option<String> {
        let host = url.host_str()?;
        let mut jar = self.jar();
        let mut fitting = Vec::new();
        for domain in domains_of(host) {
            if let Some(cookies) = jar.domains.get_mut(domain) {
                let before = cookies.len();
                cookies.retain(|cookie| cookie.expires.is_none_or(|end| end > now));
                let expired = before - cookies.len();
                fitting.extend(
                    cookies
                        .iter()
                        .filter(|cookie| cookie.fits(url, host))
                        .cloned(),
                );
                jar.count -= expired;
            }
        }
        drop(jar);
        // The longest path first, and of one length the oldest (section 5.4).
        fitting.sort_by_key(|cookie| (std::cmp::Reverse(cookie.path.len()), cookie.created));
        let mut header = String::new();
        for cookie in fitting {
            if header.len() + cookie.name.len() + cookie.value.len() + 3 > HEADER {
                break;
            }
            if !header.is_empty() {
                header += "; ";
            }
            header += &cookie.name;
            header.push('=');
            header += &cookie.value;
        }
        (!header.is_empty()).then_some(header)
    }

    /// All cookies in it, in no particular order; to be saved, say.
    #[must_use]
    pub fn cookies(&self) -> Vec<Cookie> {
        self.jar().domains.values().flatten().cloned().collect()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        *self.jar() = Jar::default();
    }
}

impl std::fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CookieJar")
            .field("cookies", &self.jar().count)
            .finish()
    }
}

impl Jar {
    fn put(&mut self, mut cookie: Cookie, gone: bool, from_secure: bool, now: SystemTime) {
        self.clock += 1;
        cookie.created = self.clock;
        let cookies = self.domains.entry(cookie.domain.clone()).or_default();
        let same = |other: &Cookie| {
            other.name == cookie.name
                && other.path == cookie.path
                && other.host_only == cookie.host_only
        };
        if let Some(at) = cookies.iter().position(same) {
            // Who can only speak plain http must not replace what was said over https.
            if cookies[at].secure && !from_secure {
                return;
            }
            cookie.created = cookies[at].created;
            cookies.remove(at);
            self.count -= 1;
        }
        if !gone {
            cookies.push(cookie);
            self.count += 1;
            if cookies.len() > PER_DOMAIN {
                cookies.retain(|cookie| cookie.expires.is_none_or(|end| end > now));
                if cookies.len() > PER_DOMAIN {
                    cookies.remove(0);
                }
                self.count = self.domains.values().map(Vec::len).sum();
            }
        }
        if self.count > ALL {
            self.drop_oldest();
        }
        self.domains.retain(|_, cookies| !cookies.is_empty());
    }

    fn drop_oldest(&mut self) {
        let oldest = self
            .domains
            .values_mut()
            .filter(|cookies| !cookies.is_empty())
            .min_by_key(|cookies| cookies[0].created);
        if let Some(cookies) = oldest {
            cookies.remove(0);
            self.count -= 1;
        }
    }
}

impl Cookie {
    fn fits(&self, url: &Url, host: &str) -> bool {
        (!self.host_only || self.domain == host)
            && (!self.secure || url.scheme() == "https")
            && path_matches(url.path(), &self.path)
    }
}

/// A guess at public suffixes; see [`CookieJar`].
fn is_probably_public(domain: &str) -> bool {
    let mut labels = domain.rsplit('.');
    let (Some(top), second, third) = (labels.next(), labels.next(), labels.next()) else {
        return true;
    };
    match (second, third) {
        (None, _) => true,
        (Some(second), None) => {
            top.len() == 2
                && (second.len() <= 3
                    || matches!(
                        second,
                        "info" | "name" | "gouv" | "asso" | "school" | "police"
                    ))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_700_000_000);

    /// What a jar sends to `to` that `from` gave these lines.
    fn sent(from: &str, lines: &[&str], to: &str) -> Option<String> {
        sent_after(from, lines, to, Duration::ZERO)
    }

    fn sent_after(from: &str, lines: &[&str], to: &str, later: Duration) -> Option<String> {
        let jar = CookieJar::new();
        let now = SystemTime::UNIX_EPOCH + NOW;
        for line in lines {
            jar.store(line.as_bytes(), &Url::parse(from).unwrap(), now);
        }
        jar.header(&Url::parse(to).unwrap(), now + later)
    }

    #[test]
    fn a_cookie_goes_back_to_its_host_alone() {
        let a = Some("a=1".to_owned());
        assert_eq!(sent("http://h.org/x", &["a=1"], "http://h.org/y"), a);
        assert_eq!(sent("http://h.org/x", &["a=1"], "http://www.h.org/"), None);
        assert_eq!(sent("http://h.org/x", &["a=1"], "http://i.org/"), None);
        let wide = &["a=1; Domain=.H.org"];
        assert_eq!(sent("http://www.h.org/", wide, "http://ftp.h.org/"), a);
        assert_eq!(sent("http://www.h.org/", wide, "http://xh.org/"), None);
    }

    #[test]
    fn nobody_sets_cookies_for_others() {
        for (from, domain) in [
            ("http://a.org/", "b.org"),
            ("http://a.org/", "www.a.org"),
            ("http://a.org/", "org"),
            ("http://a.co.uk/", "co.uk"),
            ("http://a.com.au/", "com.au"),
            ("http://1.2.3.4/", "3.4"),
            ("http://a.org/", "rg"),
        ] {
            let line = format!("a=1; Domain={domain}");
            assert_eq!(sent(from, &[&line], from), None, "{from} {domain}");
        }
        assert!(
            sent(
                "http://1.2.3.4/",
                &["a=1; Domain=1.2.3.4"],
                "http://1.2.3.4/"
            )
            .is_some()
        );
    }

    #[test]
    fn paths_schemes_and_names_bind() {
        let lines = &[
            "a=1; Path=/x",
            "b=2; Path=/x/",
            "c=3; Path=/xy",
            "d=4; Path=/",
        ];
        let to = |path: &str| sent("http://h.org/", lines, &format!("http://h.org{path}"));
        assert_eq!(to("/x"), Some("a=1; d=4".to_owned()));
        assert_eq!(to("/x/y"), Some("b=2; a=1; d=4".to_owned()));
        assert_eq!(to("/xy/z"), Some("c=3; d=4".to_owned()));
        let secure = &[
            "a=1; Secure",
            "__Host-b=2; Secure; Path=/",
            "__Host-c=3; Secure",
        ];
        assert_eq!(sent("https://h.org/", secure, "http://h.org/"), None);
        assert_eq!(
            sent("https://h.org/", secure, "https://h.org/"),
            Some("a=1; __Host-b=2".to_owned())
        );
        assert_eq!(sent("http://h.org/", secure, "https://h.org/"), None);
    }

    #[test]
    fn cookies_end() {
        let h = "http://h.org/";
        let after =
            |line: &str, seconds| sent_after(h, &[line], h, Duration::from_secs(seconds)).is_some();
        assert!(after("a=1; Max-Age=10", 9) && !after("a=1; Max-Age=10", 10));
        assert!(!after("a=1; Max-Age=-1", 0) && !after("a=1; Max-Age=0", 0));
        assert!(after("a=1; Max-Age=99999999999999999", 0));
        // Max-Age counts, whatever Expires says.
        assert!(after(
            "a=1; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            0
        ));
        assert!(!after("a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", 0));
        assert_eq!(sent(h, &["a=1", "a=2"], h), Some("a=2".to_owned()));
        assert_eq!(sent(h, &["a=1", "a=; Max-Age=0"], h), None);
    }

    #[test]
    fn a_jar_does_not_grow_without_end() {
        let jar = CookieJar::new();
        let now = SystemTime::UNIX_EPOCH + NOW;
        for host in 0..100 {
            let url = Url::parse(&format!("http://h{host}.org/")).unwrap();
            for cookie in 0..60 {
                jar.store(format!("c{cookie}=1").as_bytes(), &url, now);
            }
            jar.store(format!("long={}", "x".repeat(5000)).as_bytes(), &url, now);
        }
        assert_eq!(jar.cookies().len(), ALL);
        assert!(
            jar.header(&Url::parse("http://h99.org/").unwrap(), now)
                .is_some()
        );
        assert!(
            jar.header(&Url::parse("http://h0.org/").unwrap(), now)
                .is_none()
        );
    }
}
