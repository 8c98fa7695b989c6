//! A proxy in front of other servers.

mod answer;
mod request;

use std::sync::atomic::AtomicUsize;

use self::answer::{explain, pass_interim};
use self::request::{Behind, other_protocol, send_content};
use super::intermediary::{Pseudonym, climbs, max_forwards};
use crate::client::{self, Client, PoolLimits, Redirects};
use crate::{Handler, HandlerError, Rejection, Reply, Request, Response, Status, Version};

/// What this proxy says that it takes, where it answers itself.
const ALLOW: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";

/// Passes requests on to other servers, and their answers back: content streams both ways, and a connection that changes its
/// protocol (a WebSocket) is passed through, unless to `h2c`: nobody could see the requests in it. Of several servers each has its
/// turn.
///
/// ```no_run
/// use grapeshot_http::{ReverseProxy, Router, Server};
///
/// let site = Router::new()
///     .any("/api/{rest...}", ReverseProxy::new(["http://10.0.0.1:8080", "http://10.0.0.2:8080"]))
///     .get("/", |_| "this is answered here");
/// let server = Server::with_handler(site);
/// ```
///
/// The path is what is left of the request's ([`Request::subpath`]), behind that of the server's address. The server is told
/// by `X-Forwarded-For`, `X-Forwarded-Host`, `X-Forwarded-Proto` and `Forwarded` who asked; what a client says there itself is
/// thrown away, unless it is to be [trusted](ReverseProxy::trust_forwarded). A server that cannot be reached, or answers
/// nonsense, is a 502; one that takes too long a 504.
///
/// It does what RFC 9110 asks of a gateway (section 7.6):
///
/// - Path and query are passed on byte by byte. A path whose dot segments lead above its beginning is a 400.
/// - Headers that are for one connection only end here, also those that `Connection` names. `TE: trailers`, trailers both ways,
///   `Expect: 100-continue` and interim answers such as `103 Early Hints` are passed on, and the `Date` of answers is kept.
/// - `OPTIONS *` is passed on as such, if it comes here. `Max-Forwards` counts down for OPTIONS and TRACE; at 0 this proxy answers
///   itself, OPTIONS with 204 and `Allow`, TRACE with 405. CONNECT is a 501: that is for [`ConnectProxy`](crate::ConnectProxy).
/// - Requests and answers say in [`Via`](ReverseProxy::via) that they came through here.
#[derive(Debug)]
pub struct ReverseProxy {
    client: Client,
    servers: Vec<Behind>,
    via: Option<Pseudonym>,
    next: AtomicUsize,
    trusting: bool,
    scheme: &'static str,
    max_body: Option<u64>,
}

impl ReverseProxy {
    /// Passes requests on to these addresses, `http://host:port` or with a path.
    ///
    /// # Panics
    /// If there is none.
    pub fn new(servers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        // As many as this server has clients that ask at the same time, and no line in which they wait.
        let pool = PoolLimits {
            per_origin: 1_024,
            idle_per_origin: 128,
            idle: 1_024,
            ..PoolLimits::default()
        };
        let client = Client::builder()
            .pool(pool)
            .redirects(Redirects::none())
            .proxies(client::Proxies::none())
            .decompress(false)
            .user_agent("")
            .build();
        Self::with_client(client, servers)
    }

    /// The same with a client of your own: its time-outs, its pool, its TLS. Redirects are not followed, and content is not
    /// decompressed, whatever it says.
    ///
    /// # Panics
    /// If there is no address.
    pub fn with_client(
        client: Client,
        servers: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let servers = servers.into_iter().map(Into::into);
        let servers: Vec<_> = servers.map(|server: String| Behind::new(&server)).collect();
        assert!(
            !servers.is_empty(),
            "a proxy needs a server to pass requests on to"
        );
        Self {
            client,
            servers,
            via: Some(Pseudonym::random()),
            next: AtomicUsize::new(0),
            trusting: false,
            scheme: "http",
            max_body: None,
        }
    }

    /// Keeps what the client says in `X-Forwarded-For` and `Forwarded`, and adds to it: for a proxy behind another.
    #[must_use]
    pub fn trust_forwarded(mut self) -> Self {
        self.trusting = true;
        self
    }

    /// Says that clients come under TLS.
    #[must_use]
    pub fn https(mut self) -> Self {
        self.scheme = "https";
        self
    }

    /// Passes content of so many bytes on, instead of [`Limits::body`](crate::Limits::body).
    #[must_use]
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = Some(bytes);
        self
    }

    /// Calls this proxy so in `Via` (RFC 9110, section 7.6.3), which is added to requests and to answers. The name should be this
    /// proxy's alone; default: `grapeshot-` and random digits. Never suspends.
    ///
    /// By its name a proxy that leads back to itself notices that: what has come through it three times already is a `508 Loop
    /// Detected`.
    ///
    /// Some servers do not compress for who says `Via`. nginx is one, unless it is told otherwise (`gzip_proxied any`);
    /// [`Compressed`](crate::Compressed) around this handler compresses here.
    ///
    /// # Panics
    /// If the name is neither a token nor a host, with a port or without.
    #[must_use]
    pub fn via(mut self, name: impl Into<String>) -> Self {
        let name = Pseudonym::new(name.into());
        self.via = Some(name.expect("the name for Via is neither a token nor a host"));
        self
    }

    /// Adds nothing to `Via`: what others say in it is passed on as it is. RFC 9110 wants it in requests, and loops go unnoticed
    /// without.
    #[must_use]
    pub fn without_via(mut self) -> Self {
        self.via = None;
        self
    }

    /// Refuses what cannot be passed on. Else, how many may pass it on, this proxy included, if that is limited.
    fn check(&self, request: &Request<'_>) -> Result<Option<u64>, Rejection> {
        let refuse = |status, text| Err(Rejection::new(status, text));
        if request.head().is_connect() {
            return refuse(Status::NOT_IMPLEMENTED, "CONNECT is not offered");
        }
        if climbs(request.subpath()) {
            return refuse(Status::BAD_REQUEST, "the path leads above its beginning");
        }
        if let Some(name) = &self.via
            && name.is_looping(request.values("Via"))
        {
            log::warn!("http: a proxy leads back to itself: {}", request.path());
            return refuse(Status::LOOP_DETECTED, "this proxy leads back to itself");
        }
        max_forwards(request)
    }

    /// The value of `Via` for a message that said `before` and came in this version; `None` if there is nothing to say.
    fn via_of<'a>(
        &self,
        before: impl Iterator<Item = &'a [u8]>,
        version: Version,
    ) -> Option<Vec<u8>> {
        match &self.via {
            Some(name) => Some(name.append(before, version)),
            None => {
                let before: Vec<&[u8]> = before.collect();
                (!before.is_empty()).then(|| before.join(&b", "[..]))
            }
        }
    }
}

impl Handler for ReverseProxy {
    fn handle(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
    ) -> Result<(), HandlerError> {
        let forwards = self.check(request)?;
        if forwards == Some(0) {
            return answer_here(request, response);
        }
        if let Some(bytes) = self.max_body {
            request.limit_body(bytes);
        }
        let asking = self.asking(request, forwards);
        let version = request.head().version();
        if let Some(protocol) = other_protocol(request) {
            let (answer, upgraded) = asking.upgrade(&protocol).map_err(explain)?;
            return match upgraded {
                Some(theirs) => self.pass_through(request, response, &answer, theirs, &protocol),
                None => self.pass_back(answer, version, response),
            };
        }
        let asking = asking.on_interim(|head| pass_interim(head, &response));
        let answer = match request.content_length() {
            Some(0) => asking.send(),
            length => send_content(request, asking, length),
        };
        self.pass_back(answer.map_err(explain)?, version, response)
    }
}

/// Answers what may not be passed on any more.
fn answer_here(request: &Request<'_>, response: Response<'_>) -> Result<(), HandlerError> {
    let status = if request.method() == "OPTIONS" {
        Status::NO_CONTENT
    } else {
        Status::METHOD_NOT_ALLOWED
    };
    status.reply(response.header("Allow", ALLOW))
}
