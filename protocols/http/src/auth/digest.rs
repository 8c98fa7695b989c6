//! Digest authentication (RFC 7616): the password itself is never sent.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use md5::Md5;
use sha2::{Digest as _, Sha256};

use super::nonces::{Nonces, Use};
use super::parameters::{extended, only, parse};
use super::{Authoriser, User, quoted, same};
use crate::{Handler, HandlerError, Request, Response, Status};

/// Nonces in use at a time; above, the oldest are forgotten, and their clients take new ones without a word.
const MOST_NONCES: usize = 10_000;

/// The hash that client and server use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// MD5, for clients that know no other (curl before 7.57, many devices). It is weak.
    Md5,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Md5 => "MD5",
        }
    }

    /// The hash of a text, in lower-case hexadecimal.
    #[must_use]
    pub fn hash(self, text: &str) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Algorithm::Sha256 => hex(&Sha256::digest(text)),
            Algorithm::Md5 => hex(&Md5::digest(text)),
        }
    }
}

/// Lets pass who shows that they know a password; asks everybody else for one, with 401. A request that was overheard
/// cannot be sent again: each nonce counts its uses, and is good for five minutes. The inner handler finds the name as
/// [`User`] in the request's extensions.
///
/// ```
/// use grapeshot_http::auth::{Digest, Users};
/// use grapeshot_http::Router;
///
/// let users = Users::new().user("alice", "open sesame");
/// let site = Digest::new("the cave", users, Router::new().get("/", |_| "gold"))?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Digest<A, H> {
    realm: String,
    algorithms: Vec<Algorithm>,
    authoriser: A,
    inner: H,
    nonces: Mutex<Nonces>,
    began: Instant,
}

impl<A: Authoriser, H: Handler> Digest<A, H> {
    /// Guards `inner`, with SHA-256. The browser shows the `realm` to its user.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn new(realm: &str, authoriser: A, inner: H) -> std::io::Result<Self> {
        let mut key = [0; 32];
        grapeshot::random::fill(&mut key)?;
        Ok(Self {
            realm: realm.to_owned(),
            algorithms: vec![Algorithm::Sha256],
            authoriser,
            inner,
            nonces: Mutex::new(Nonces::new(key, MOST_NONCES)),
            began: grapeshot::time::now(),
        })
    }

    /// Takes MD5 as well, from clients that know nothing better.
    #[must_use]
    pub fn with_md5(mut self) -> Self {
        self.algorithms = vec![Algorithm::Sha256, Algorithm::Md5];
        self
    }

    fn now(&self) -> u64 {
        grapeshot::time::now()
            .saturating_duration_since(self.began)
            .as_secs()
    }

    /// The user's name, if the request shows that it comes from them; whether its nonce is merely stale, if not.
    fn check(&self, request: &Request<'_>) -> Result<String, bool> {
        let claim = request
            .header("Authorization")
            .and_then(Claim::parse)
            .filter(|claim| claim.realm == self.realm && claim.uri == request.target())
            .filter(|claim| self.algorithms.contains(&claim.algorithm))
            .ok_or(false)?;
        let hash = self
            .authoriser
            .digest_hash(&claim.user, &self.realm, claim.algorithm);
        // For a user that does not exist it takes as long.
        let secret = hash
            .clone()
            .unwrap_or_else(|| claim.algorithm.hash(&claim.user));
        let right = claim.expected(request.method(), &secret);
        let known = same(right.as_bytes(), claim.response.as_bytes()) & hash.is_some();
        if !known {
            return Err(false);
        }
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        match nonces.take(&claim.nonce, claim.count, self.now()) {
            Use::Fresh => Ok(claim.user),
            // One that was seen may be a repetition by the browser itself: it is to take another nonce.
            Use::Stale | Use::Replayed => Err(true),
            Use::Foreign => Err(false),
        }
    }
}

impl<A: Authoriser, H: Handler> Handler for Digest<A, H> {
    fn handle(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
    ) -> Result<(), HandlerError> {
        let stale = match self.check(request) {
            Ok(user) => {
                request.insert(User(user));
                return self.inner.handle(request, response);
            }
            Err(stale) => stale,
        };
        let mut random = [0; 8];
        grapeshot::random::fill(&mut random)?;
        let nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        let nonce = nonces.make(self.now(), random);
        drop(nonces);
        let realm = quoted(&self.realm);
        let mut response = response.status(Status::UNAUTHORIZED);
        for algorithm in &self.algorithms {
            let mut challenge = format!(
                "Digest realm={realm}, qop=\"auth\", algorithm={}, nonce=\"{nonce}\", charset=UTF-8",
                algorithm.name()
            );
            if stale {
                challenge.push_str(", stale=true");
            }
            response = response.header("WWW-Authenticate", challenge);
        }
        Ok(response.send_text("a name and a password are needed\n")?)
    }

    fn matches(&self, request: &Request<'_>) -> bool {
        self.inner.matches(request)
    }
}

/// What a client says in its `Authorization` header.
#[derive(Debug, PartialEq, Eq)]
struct Claim {
    user: String,
    realm: String,
    nonce: String,
    uri: String,
    algorithm: Algorithm,
    count: u64,
    /// As sent, which is what is hashed.
    count_text: String,
    client_nonce: String,
    response: String,
}

impl Claim {
    /// `None` if it is malformed, of another scheme, or without `qop=auth`.
    fn parse(header: &str) -> Option<Self> {
        let (scheme, list) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let parameters = parse(list, ',')?;
        let text = |name| only(&parameters, name).map(str::to_owned);
        let algorithm = match only(&parameters, "algorithm") {
            Some(name) if name.eq_ignore_ascii_case("SHA-256") => Algorithm::Sha256,
            Some(name) if name.eq_ignore_ascii_case("MD5") => Algorithm::Md5,
            Some(_) => return None,
            None => Algorithm::Md5,
        };
        let count_text = text("nc").filter(|nc| nc.len() == 8)?;
        if !text("qop")?.eq_ignore_ascii_case("auth") {
            return None;
        }
        Some(Self {
            user: text("username").or_else(|| extended(&text("username*")?))?,
            realm: text("realm")?,
            nonce: text("nonce")?,
            uri: text("uri")?,
            algorithm,
            count: u64::from_str_radix(&count_text, 16).ok()?,
            count_text,
            client_nonce: text("cnonce")?,
            response: text("response")?.to_ascii_lowercase(),
        })
    }

    /// The response of who has the `secret`, the hash of name, realm and password.
    fn expected(&self, method: &str, secret: &str) -> String {
        let asked = self.algorithm.hash(&format!("{method}:{}", self.uri));
        let (nonce, count, client_nonce) = (&self.nonce, &self.count_text, &self.client_nonce);
        self.algorithm.hash(&format!(
            "{secret}:{nonce}:{count}:{client_nonce}:auth:{asked}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7616, section 3.9.1.
    #[test]
    fn the_example_of_the_rfc_is_right() {
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            (
                "SHA-256",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            let header = format!(
                "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
                 algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
                 cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"{response}\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            );
            let claim = Claim::parse(&header).unwrap();
            let secret = claim
                .algorithm
                .hash("Mufasa:http-auth@example.org:Circle of Life");
            assert_eq!(claim.expected("GET", &secret), response, "{algorithm}");
        }
    }

    #[test]
    fn claims_that_are_not_whole_are_none() {
        let whole = "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"/\", nc=00000001, cnonce=\"c\", qop=auth, response=\"r\"";
        assert!(Claim::parse(whole).is_some());
        for (cut, with) in [
            ("Digest", "Basic"),
            ("username", "user"),
            ("nc=00000001", "nc=1"),
            ("nc=00000001", "nc=0000000g"),
            ("qop=auth", "qop=auth-int"),
            ("qop=auth, ", ""),
            ("uri=\"/\"", "uri=\"/\", uri=\"/x\""),
            ("uri=\"/\"", "algorithm=SHA-512-256, uri=\"/\""),
        ] {
            assert_eq!(Claim::parse(&whole.replace(cut, with)), None, "{cut}");
        }
    }
}
