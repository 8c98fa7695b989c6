//! Basic authentication: name and password, readable by whoever reads the connection. Use it under TLS.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Authoriser, User, quoted};
use crate::{Handler, HandlerError, Request, Response, Status};

/// Lets pass who knows a password; asks everybody else for one, with 401. The inner handler finds the name as
/// [`User`] in the request's extensions.
#[derive(Debug, Clone)]
pub struct Basic<A, H> {
    challenge: String,
    of_proxy: bool,
    authoriser: A,
    inner: H,
}

impl<A: Authoriser, H: Handler> Basic<A, H> {
    /// Guards `inner`. The browser shows the `realm` to its user.
    pub fn new(realm: &str, authoriser: A, inner: H) -> Self {
        Self {
            challenge: format!("Basic realm={}, charset=\"UTF-8\"", quoted(realm)),
            of_proxy: false,
            authoriser,
            inner,
        }
    }

    /// Asks as a proxy does, with 407 and `Proxy-Authorization` (RFC 9110, section 11.7): for a
    /// [`ConnectProxy`](crate::ConnectProxy).
    #[must_use]
    pub fn proxy(mut self) -> Self {
        self.of_proxy = true;
        self
    }
}

impl<A: Authoriser, H: Handler> Handler for Basic<A, H> {
    fn handle(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
    ) -> Result<(), HandlerError> {
        let (status, asks, answers) = if self.of_proxy {
            let status = Status::PROXY_AUTHENTICATION_REQUIRED;
            (status, "Proxy-Authenticate", "Proxy-Authorization")
        } else {
            (Status::UNAUTHORIZED, "WWW-Authenticate", "Authorization")
        };
        if let Some((user, password)) = request.header(answers).and_then(credentials)
            && self.authoriser.verify(&user, &password)
        {
            request.insert(User(user));
            return self.inner.handle(request, response);
        }
        let response = response.status(status).header(asks, &self.challenge);
        Ok(response.send_text("a name and a password are needed\n")?)
    }

    fn matches(&self, request: &Request<'_>) -> bool {
        self.inner.matches(request)
    }
}

/// The name and the password in an `Authorization` header.
fn credentials(header: &str) -> Option<(String, String)> {
    let (scheme, token) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(token.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read() {
        let of =
            |header: &str| credentials(header).map(|(user, password)| format!("{user}|{password}"));
        assert_eq!(of("Basic YTpi").as_deref(), Some("a|b"));
        assert_eq!(of("bAsIc  YTpiOmM=").as_deref(), Some("a|b:c"));
        for wrong in [
            "",
            "Basic",
            "Basic !",
            "Basic YWI=",
            "Bearer YTpi",
            "Basic /w==",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
