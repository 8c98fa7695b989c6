//! Who may come in: the host that a request names, the page that it comes from, and the token of this start or a login by
//! name. Performs no I/O.
//!
//! | against | what is asked for |
//! |---|---|
//! | a stranger on this machine or on the network | the token, which only the log and the application know |
//! | a stranger's page that resolves its own name to our address (DNS rebinding) | a `Host` that is an address, `localhost`, or a name that the application gave |
//! | a stranger's page that opens our WebSocket or sends a form with our cookie (CSRF) | an `Origin` that is ours; the cookie is `SameSite=Strict` besides |
//! | a script that got into the page | the cookie is `HttpOnly`, and the policy of the page loads nothing from elsewhere |

use std::net::IpAddr;
use std::time::Instant;

use grapeshot_http::Request;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::logins::{Logins, Who};

/// The parameter of the address that carries the token.
const PARAMETER: &str = "token";

/// What is known of who asks.
pub(crate) struct Gate {
    token: String,
    /// The cookie's name has the port in it: cookies of one host are sent to all its ports.
    cookie: String,
    /// Names that the page may be asked for by, besides addresses and `localhost`.
    hosts: Vec<String>,
    /// Served by https.
    secure: bool,
    /// Those who came by name and password, if that is a way in.
    logins: Option<Logins>,
}

/// What is said to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Let in.
    Known,
    /// Let in by the address, and to be given the cookie.
    Login,
    /// It has no token.
    Unknown,
    /// It has a wrong one.
    Wrong,
    /// It asks for a host that is not ours.
    ForeignHost,
    /// It comes from a page that is not ours.
    ForeignPage,
}

/// The parts of a request that decide.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Credentials<'a> {
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) origin: Option<&'a str>,
    /// `Sec-Fetch-Site`: what browsers say of where a request comes from.
    pub(crate) site: Option<&'a str>,
    pub(crate) cookies: Option<&'a str>,
    pub(crate) authorization: Option<&'a str>,
}

impl<'a> Credentials<'a> {
    pub(crate) fn of(request: &Request<'a>) -> Self {
        Self {
            host: request.host(),
            path: request.path(),
            query: request.query(),
            origin: request.header("Origin"),
            site: request.header("Sec-Fetch-Site"),
            cookies: request.header("Cookie"),
            authorization: request.header("Authorization"),
        }
    }
}

impl Gate {
    pub(crate) fn new(token: String, port: u16, hosts: Vec<String>, secure: bool) -> Self {
        let prefix = if secure { "__Host-" } else { "" };
        Self {
            token,
            cookie: format!("{prefix}grapeshot-{port}"),
            hosts,
            secure,
            logins: None,
        }
    }

    /// Lets in whoever logs in by name, too.
    pub(crate) fn with_logins(mut self) -> Self {
        self.logins = Some(Logins::default());
        self
    }

    pub(crate) fn takes_logins(&self) -> bool {
        self.logins.is_some()
    }

    pub(crate) fn judge(&self, asked: Credentials<'_>) -> Verdict {
        if !self.is_our_host(asked.host) {
            return Verdict::ForeignHost;
        }
        // Whoever follows a link to the page comes from elsewhere; nobody else does.
        let elsewhere = asked
            .site
            .is_some_and(|site| matches!(site, "cross-site" | "same-site"));
        if (elsewhere && asked.path != "/") || !self.is_our_page(asked) {
            return Verdict::ForeignPage;
        }
        let given = asked.query.and_then(token_in);
        let bearer = asked
            .authorization
            .and_then(|it| it.strip_prefix("Bearer "));
        let kept = asked.cookies.and_then(|list| self.in_cookies(list));
        match (given, bearer, kept) {
            (Some(token), ..) if self.is_token(token) => Verdict::Login,
            (None, Some(token), _) if self.is_token(token) => Verdict::Known,
            (None, None, Some(kept)) if same(kept.as_bytes(), self.kept().as_bytes()) => {
                Verdict::Known
            }
            // A cookie of an earlier start is nobody's attempt.
            (None, None, _) => Verdict::Unknown,
            _ => Verdict::Wrong,
        }
    }

    /// Who this is, of those who logged in by name.
    pub(crate) fn named(&self, asked: Credentials<'_>, now: Instant) -> Option<Who> {
        let secret = self.in_cookies(asked.cookies?)?;
        self.logins.as_ref()?.find(secret, now)
    }

    /// Knows `who` by this secret from now on; gives the header that the browser keeps it by.
    pub(crate) fn enter(&self, secret: &str, who: Who, now: Instant) -> String {
        if let Some(logins) = &self.logins {
            logins.add(secret, who, now);
        }
        self.cookie(secret)
    }

    /// Forgets a login by name; gives the header that makes the browser forget.
    pub(crate) fn leave(&self, asked: Credentials<'_>) -> String {
        let secret = asked.cookies.and_then(|list| self.in_cookies(list));
        if let (Some(logins), Some(secret)) = (&self.logins, secret) {
            logins.remove(secret);
        }
        format!("{}; Max-Age=0", self.cookie(""))
    }

    /// The header that a browser keeps the token's login by.
    pub(crate) fn set_cookie(&self) -> String {
        self.cookie(&self.kept())
    }

    fn cookie(&self, value: &str) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!(
            "{}={value}; Path=/; HttpOnly; SameSite=Strict{secure}",
            self.cookie
        )
    }

    /// What the cookie holds: it proves the token and does not tell it.
    fn kept(&self) -> String {
        let mut hash = Sha256::new();
        hash.update("grapeshot page cookie\0");
        hash.update(&self.token);
        hash.finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    fn in_cookies<'c>(&self, list: &'c str) -> Option<&'c str> {
        let mut pairs = list
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='));
        pairs
            .find(|(name, _)| *name == self.cookie)
            .map(|(_, value)| value)
    }

    fn is_token(&self, given: &str) -> bool {
        same(given.as_bytes(), self.token.as_bytes())
    }

    /// An address, `localhost` or one of the names that were given: nobody can make a browser take a page of theirs for ours by
    /// those, since only names can be made to point elsewhere.
    fn is_our_host(&self, host: &str) -> bool {
        let name = without_port(host);
        let bare = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let address = bare.unwrap_or(name);
        address.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self
                .hosts
                .iter()
                .any(|ours| ours.eq_ignore_ascii_case(name))
    }

    fn is_our_page(&self, asked: Credentials<'_>) -> bool {
        let Some(origin) = asked.origin else {
            return true;
        };
        let scheme = if self.secure { "https://" } else { "http://" };
        let host = origin.strip_prefix(scheme);
        host.is_some_and(|host| host.eq_ignore_ascii_case(asked.host))
    }
}

fn token_in(query: &str) -> Option<&str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(name, _)| *name == PARAMETER)
        .map(|(_, value)| value)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // The colons of a bare address are none of a port's.
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') =>
        {
            let bare = name.contains(':') && !name.ends_with(']');
            if bare { host } else { name }
        }
        _ => host,
    }
}

/// Takes as long for a near miss as for any other.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use grapeshot_http::Cookie;

    use super::*;

    fn parsed(header: &str) -> Cookie<'_> {
        Cookie::parse(header).expect("a cookie")
    }

    const HOST: &str = "127.0.0.1:9002";

    fn gate() -> Gate {
        Gate::new("sesame".into(), 9002, vec!["ops.example.com".into()], false)
    }

    fn asked<'a>(host: &'a str, path: &'a str) -> Credentials<'a> {
        Credentials {
            host,
            path,
            ..Credentials::default()
        }
    }

    #[test]
    fn the_token_opens_and_its_cookie_keeps_open() {
        let gate = gate();
        assert_eq!(gate.judge(asked(HOST, "/")), Verdict::Unknown);
        let first = Credentials {
            query: Some("x=1&token=sesame"),
            ..asked(HOST, "/")
        };
        assert_eq!(gate.judge(first), Verdict::Login);
        let cookie = gate.set_cookie();
        let cookie = parsed(&cookie);
        assert_eq!(cookie.http_only(), Some(true));
        assert!(!cookie.value().contains("sesame"));
        let list = format!("theirs=1; {}={}", cookie.name(), cookie.value());
        let again = Credentials {
            cookies: Some(&list),
            ..asked(HOST, "/live")
        };
        assert_eq!(gate.judge(again), Verdict::Known);
        let script = Credentials {
            authorization: Some("Bearer sesame"),
            ..asked(HOST, "/metrics")
        };
        assert_eq!(gate.judge(script), Verdict::Known);
    }

    #[test]
    fn a_wrong_token_is_an_attempt_and_an_old_cookie_is_none() {
        let gate = gate();
        for wrong in ["token=", "token=sesam", "token=sesame1", "token=SESAME"] {
            let asked = Credentials {
                query: Some(wrong),
                ..asked(HOST, "/")
            };
            assert_eq!(gate.judge(asked), Verdict::Wrong, "{wrong}");
        }
        let wrong = Credentials {
            authorization: Some("Bearer open"),
            ..asked(HOST, "/metrics")
        };
        assert_eq!(gate.judge(wrong), Verdict::Wrong);
        let basic = Credentials {
            authorization: Some("Basic c2VzYW1l"),
            ..asked(HOST, "/metrics")
        };
        assert_eq!(gate.judge(basic), Verdict::Unknown);
        let old = Credentials {
            cookies: Some("grapeshot-9002=0123"),
            ..asked(HOST, "/")
        };
        assert_eq!(gate.judge(old), Verdict::Unknown);
    }

    #[test]
    fn a_name_that_points_here_is_not_ours() {
        let gate = gate();
        let known = |host| {
            gate.judge(Credentials {
                authorization: Some("Bearer sesame"),
                ..asked(host, "/metrics")
            })
        };
        for ours in [
            "127.0.0.1",
            "127.0.0.1:80",
            "localhost:1",
            "LOCALHOST",
            "[::1]:9002",
            "[::1]",
            "::1",
            "10.0.0.7:9002",
            "ops.example.com",
            "OPS.example.com:443",
        ] {
            assert_eq!(known(ours), Verdict::Known, "{ours}");
        }
        for foreign in [
            "",
            "evil.example",
            "evil.example:9002",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "xops.example.com",
            "[::1",
            "127.0.0.1:80:80",
            "2130706433:x",
        ] {
            assert_eq!(known(foreign), Verdict::ForeignHost, "{foreign}");
        }
    }

    #[test]
    fn a_strangers_page_stays_outside_with_the_right_cookie() {
        let gate = gate();
        let cookie = gate.set_cookie();
        let from = |origin, site, path| {
            gate.judge(Credentials {
                origin,
                site,
                cookies: Some(cookie.split(';').next().unwrap()),
                ..asked(HOST, path)
            })
        };
        assert_eq!(
            from(Some("http://127.0.0.1:9002"), Some("same-origin"), "/live"),
            Verdict::Known
        );
        assert_eq!(from(None, None, "/live"), Verdict::Known);
        for origin in [
            "http://evil.example",
            "https://127.0.0.1:9002",
            "http://127.0.0.1:9003",
            "null",
            "",
        ] {
            assert_eq!(
                from(Some(origin), None, "/live"),
                Verdict::ForeignPage,
                "{origin}"
            );
        }
        assert_eq!(
            from(None, Some("cross-site"), "/page.js"),
            Verdict::ForeignPage
        );
        // Another port of this host is the same site to a browser, and somebody else's to us.
        assert_eq!(
            from(None, Some("same-site"), "/metrics"),
            Verdict::ForeignPage
        );
        assert_eq!(from(None, Some("cross-site"), "/"), Verdict::Known);
    }

    #[test]
    fn a_login_by_name_is_known_by_its_cookie_until_it_leaves() {
        let (gate, now) = (gate().with_logins(), Instant::now());
        let ann = Who {
            name: "ann".into(),
            rights: crate::Rights::observe(),
        };
        let cookie = gate.enter("0123", ann.clone(), now);
        assert_eq!(parsed(&cookie).http_only(), Some(true));
        let pair = cookie.split(';').next().unwrap();
        let asked = Credentials {
            cookies: Some(pair),
            ..asked(HOST, "/live")
        };
        assert_eq!(gate.judge(asked), Verdict::Unknown, "it is no token");
        assert_eq!(gate.named(asked, now), Some(ann));
        let gone = gate.leave(asked);
        assert_eq!(parsed(&gone).value(), "");
        assert!(gone.contains("Max-Age=0"));
        assert_eq!(gate.named(asked, now), None);
        let without = super::tests::gate();
        assert!(!without.takes_logins() && without.named(asked, now).is_none());
    }

    #[test]
    fn over_tls_the_cookie_never_leaves_it() {
        let gate = Gate::new("sesame".into(), 443, Vec::new(), true);
        let cookie = gate.set_cookie();
        assert!(cookie.starts_with("__Host-grapeshot-443="));
        assert_eq!(parsed(&cookie).secure(), Some(true));
        let plain = Credentials {
            origin: Some("http://127.0.0.1"),
            ..asked("127.0.0.1", "/live")
        };
        assert_eq!(gate.judge(plain), Verdict::ForeignPage);
    }
}
