//! A request in the making.

use std::io::{self, Read, Write};
use std::sync::Arc;

use serde::Serialize;
use url::Url;

#[cfg(doc)]
use super::Phase;
use super::choices::{Choices, choosing};
use super::decode::ACCEPTED;
use super::error::{Error, ErrorKind};
use super::exchange::Outgoing;
use super::head::ResponseHead;
use super::payload::{Payload, Trailing};
use super::proxy::{basic, credentials};
use super::redirect::Redirects;
use super::response::Response;
use super::retry::is_idempotent;
use super::send::{self, Order};
use super::shared::Shared;
use super::{Progress, Report};
use crate::Upgraded;
use crate::body::{is_forbidden_trailer, is_token};

/// Is told of interim answers.
pub(super) type Interim<'b> = Box<dyn FnMut(&ResponseHead) + 'b>;

/// A request in the making; [`send`](RequestBuilder::send) sends it. What cannot be sent, such as a header with a line
/// end in it, is an error then.
///
/// `Content-Length`, `Transfer-Encoding`, `Connection`, `Upgrade`, `Expect` and `TE` are the client's to write.
#[must_use = "a request must be sent"]
pub struct RequestBuilder<'b> {
    shared: Arc<Shared>,
    method: String,
    url: Result<Url, String>,
    headers: Vec<(String, Vec<u8>)>,
    payload: Payload<'b>,
    trailing: Option<Trailing<'b>>,
    /// As it is sent, if not made of the URL.
    target: Option<String>,
    expect: bool,
    accept_trailers: bool,
    /// No `Accept` and `Accept-Encoding` are added.
    verbatim: bool,
    choices: Choices,
    progress: Option<Report>,
    interim: Option<Interim<'b>>,
    misuse: Option<ErrorKind>,
}

impl<'b> RequestBuilder<'b> {
    pub(super) fn new(shared: &Arc<Shared>, method: &str, url: &str) -> Self {
        let mut builder = Self {
            method: method.to_owned(),
            url: checked(url),
            headers: Vec::new(),
            payload: Payload::Empty,
            trailing: None,
            target: None,
            expect: false,
            accept_trailers: false,
            verbatim: false,
            choices: shared.choices,
            progress: None,
            interim: None,
            misuse: None,
            shared: Arc::clone(shared),
        };
        if method.is_empty() || !method.bytes().all(is_token) || method == "CONNECT" {
            builder.wrong("the method is no token, or is CONNECT, which is for proxies");
        }
        let known = builder.url.as_ref().ok().and_then(credentials);
        if let Some((name, password)) = known {
            builder = builder.basic_auth(&name, &password);
            if let Ok(url) = &mut builder.url {
                // Neither can fail: the URL has a host.
                let _ = url.set_username("");
                let _ = url.set_password(None);
            }
        }
        builder
    }

    fn wrong(&mut self, what: &'static str) {
        self.misuse.get_or_insert(ErrorKind::Misuse(what));
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        const OURS: [&str; 7] = [
            "content-length",
            "transfer-encoding",
            "connection",
            "upgrade",
            "expect",
            "te",
            "proxy-connection",
        ];
        let value = value.as_ref();
        if let Some(what) = malformed(name, value) {
            self.wrong(what);
        } else if OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
            self.wrong("framing and Connection, Upgrade, Expect and TE are written by the client");
        } else {
            self.headers.push((name.to_owned(), value.to_vec()));
        }
        self
    }

    /// Asks about the server as a whole, and not about one thing on it: `OPTIONS *` (RFC 9112, section 3.2.4). Path and query of
    /// the URL are not sent.
    pub fn asterisk(mut self) -> Self {
        if self.method != "OPTIONS" {
            self.wrong("only OPTIONS can ask for *");
        }
        self.target = Some("*".to_owned());
        self
    }

    /// Sends this target, and not what the URL's parser makes of path and query. It has been checked.
    pub(crate) fn exact_target(mut self, target: String) -> Self {
        self.target = Some(target);
        self
    }

    /// Adds no `Accept` and no `Accept-Encoding`: the request is somebody else's.
    pub(crate) fn verbatim(mut self) -> Self {
        self.verbatim = true;
        self
    }

    /// Adds to the URL's query.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        if let Ok(url) = &mut self.url {
            url.query_pairs_mut().append_pair(name, value);
        }
        self
    }

    /// Says who asks (RFC 7617). Name and password in the URL do the same.
    pub fn basic_auth(self, name: &str, password: &str) -> Self {
        let value = basic(name, password);
        self.replace("Authorization", value)
    }

    /// Says who asks by a token (RFC 6750).
    pub fn bearer_auth(self, token: &str) -> Self {
        self.replace("Authorization", format!("Bearer {token}"))
    }

    fn replace(mut self, name: &str, value: String) -> Self {
        self.headers
            .retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.header(name, value)
    }

    /// Sends these bytes as content. They can be sent again, when a redirect or a retry asks for it.
    pub fn body(mut self, content: impl Into<Vec<u8>>) -> Self {
        self.payload = Payload::Bytes(content.into());
        self
    }

    /// Sends a value as JSON.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => self
                .replace("Content-Type", "application/json".to_owned())
                .body(bytes),
            Err(error) => {
                self.misuse.get_or_insert(ErrorKind::Json(error));
                self
            }
        }
    }

    /// Sends the fields of a form (`application/x-www-form-urlencoded`).
    pub fn form<N: AsRef<str>, V: AsRef<str>>(
        self,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(fields);
        let kind = "application/x-www-form-urlencoded".to_owned();
        self.replace("Content-Type", kind).body(encoded.finish())
    }

    /// Sends what is read from `reader`, as it is read: exactly `length` bytes, or without one until its end, in the
    /// chunked coding. It can be sent only once.
    pub fn body_from(mut self, reader: impl Read + 'b, length: impl Into<Option<u64>>) -> Self {
        self.payload = Payload::Reader(Box::new(reader), length.into());
        self
    }

    /// Sends what `write` writes, as it writes it, in the chunked coding. It can be sent only once.
    ///
    /// ```no_run
    /// # use grapeshot_http::client::Client;
    /// # fn main() -> Result<(), grapeshot_http::client::Error> {
    /// let report = Client::new().post("http://example.org/numbers").body_with(|out| {
    ///     (0..1_000_000).try_for_each(|n| writeln!(out, "{n}"))
    /// });
    /// report.send()?.success()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn body_with(mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()> + 'b) -> Self {
        self.payload = Payload::Writer(Box::new(write));
        self
    }

    /// Sends header lines behind the content: what is known only when that has been read to its end, such as a hash (RFC 9110,
    /// section 6.5). `make` is asked for them then. They are left out if the content is not in the chunked coding. Announce them
    /// in a header `Trailer`.
    pub fn trailers(mut self, make: impl FnOnce() -> Vec<(String, Vec<u8>)> + 'b) -> Self {
        self.trailing = Some(Box::new(make));
        self
    }

    /// Says that trailers of the answer are read, and not thrown away (`TE: trailers`; RFC 9110, section 10.1.4). They may come
    /// without, too.
    pub fn accept_trailers(mut self) -> Self {
        self.accept_trailers = true;
        self
    }

    /// Calls `told` for each interim answer, such as `103 Early Hints` (RFC 8297), before [`send`](RequestBuilder::send) gives the
    /// answer itself. The `100 Continue` that [`expect_continue`](RequestBuilder::expect_continue) asks for is not among them.
    pub fn on_interim(mut self, told: impl FnMut(&ResponseHead) + 'b) -> Self {
        self.interim = Some(Box::new(told));
        self
    }

    /// Asks for leave before the content is sent (`Expect: 100-continue`): a server that does not want it says so first.
    /// A server that says nothing gets it after the time-out of [`Phase::Continue`].
    pub fn expect_continue(mut self) -> Self {
        self.expect = true;
        self
    }

    choosing!("the client's choice.");

    /// Calls `report` whenever some content was sent or received.
    pub fn progress(mut self, report: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(report));
        self
    }

    /// Sends the request, and gives the answer once its head is there. **May suspend.**
    ///
    /// An answer is an answer whatever its status; see [`Response::success`].
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub fn send(self) -> Result<Response, Error> {
        let shared = Arc::clone(&self.shared);
        let decompress = self.choices.decompress;
        let mut order = self.order(None)?;
        let finished = send::run(&shared, &mut order)?;
        Ok(finished.response(shared, &order, decompress))
    }

    /// Asks the server to go on with another protocol (RFC 9110, section 7.8). If it answers `101 Switching Protocols`,
    /// the stream comes with the answer, and is the caller's. Through an HTTP proxy it goes by `CONNECT`. Redirects are
    /// not followed. **May suspend.**
    ///
    /// # Errors
    /// See [`ErrorKind`].
    pub fn upgrade(mut self, protocol: &str) -> Result<(Response, Option<Upgraded>), Error> {
        if !protocol.bytes().all(|byte| is_token(byte) || byte == b'/') {
            self.wrong("a protocol's name is not a token");
        }
        if !self.payload.is_empty() {
            self.wrong("a request that changes the protocol has no content");
        }
        self.choices.redirects = Redirects::none();
        let shared = Arc::clone(&self.shared);
        let decompress = self.choices.decompress;
        let mut order = self.order(Some(protocol.to_owned()))?;
        let finished = send::run(&shared, &mut order)?;
        if finished.is_upgraded() {
            let (response, upgraded) = finished.upgraded(shared, &order);
            return Ok((response, Some(upgraded)));
        }
        Ok((finished.response(shared, &order, decompress), None))
    }

    /// For a pipeline, in which nothing goes that cannot be repeated; and whether to decompress the answer.
    pub(super) fn repeatable(mut self) -> Result<(Order<'b>, bool), Error> {
        let in_memory = matches!(self.payload, Payload::Empty | Payload::Bytes(_));
        if !is_idempotent(&self.method) || !in_memory || self.expect {
            self.wrong(
                "a pipeline takes what can be repeated: GET, HEAD, PUT, DELETE, OPTIONS and TRACE, with content in memory",
            );
        }
        let decompress = self.choices.decompress;
        Ok((self.order(None)?, decompress))
    }

    /// Checks everything, and adds the headers that are usual.
    fn order(mut self, upgrade: Option<String>) -> Result<Order<'b>, Error> {
        let url = self.url.map_err(|why| Error::new(ErrorKind::Url(why)))?;
        if let Some(kind) = self.misuse {
            return Err(Error::new(kind).at(&self.method, &url));
        }
        let mut default = |name: &str, value: &str| {
            let given = self
                .headers
                .iter()
                .any(|(other, _)| other.eq_ignore_ascii_case(name));
            if !given && !value.is_empty() {
                self.headers.push((name.to_owned(), value.into()));
            }
        };
        default("User-Agent", &self.shared.user_agent);
        if !self.verbatim {
            let codings = if self.choices.decompress {
                ACCEPTED
            } else {
                "identity"
            };
            default("Accept", "*/*");
            default("Accept-Encoding", codings);
        }
        Ok(Order {
            outgoing: Outgoing {
                method: self.method,
                url,
                headers: self.headers,
                target: self.target,
                payload: self.payload,
                trailing: self.trailing,
                expect: self.expect,
                accept_trailers: self.accept_trailers,
                upgrade,
                progress: self.progress,
                interim: self.interim,
            },
            timeouts: self.choices.timeouts,
            redirects: self.choices.redirects,
            retries: self.choices.retries,
        })
    }
}

/// Why there cannot be such a header line.
fn malformed(name: &str, value: &[u8]) -> Option<&'static str> {
    let is_control = |byte: &u8| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f;
    if name.is_empty() || !name.bytes().all(is_token) {
        Some("a header's name is not a token")
    } else if value.iter().any(is_control) {
        Some("a header's value has a control character")
    } else {
        None
    }
}

/// Why there cannot be such a trailer.
pub(super) fn unfit_to_trail(name: &str, value: &[u8]) -> Option<&'static str> {
    let forbidden = || is_forbidden_trailer(name).then_some("this header cannot be a trailer");
    malformed(name, value).or_else(forbidden)
}

/// A URL that can be asked for; `ws` and `wss` are taken as `http` and `https`, for upgrades.
fn checked(text: &str) -> Result<Url, String> {
    let mut url = Url::parse(text).map_err(|error| format!("{text:?}: {error}"))?;
    let scheme = match url.scheme() {
        "http" | "ws" => "http",
        "https" | "wss" => "https",
        other => return Err(format!("{text:?}: the scheme {other} is not http or https")),
    };
    // Between these schemes it may change.
    let _ = url.set_scheme(scheme);
    Ok(url)
}

impl std::fmt::Debug for RequestBuilder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestBuilder")
            .field("method", &self.method)
            .field("url", &self.url.as_ref().map(Url::as_str))
            .finish_non_exhaustive()
    }
}
