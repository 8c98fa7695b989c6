//! A proxy in front of other servers.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use grapeshot::net::{Peer, Stream};

use super::relay;
use crate::body::is_token;
use crate::buffers::{self, Buffers};
use crate::client::{self, Client, ErrorKind, PoolLimits, Redirects};
use crate::head::has_token;
use crate::{
    Error, Handler, HandlerError, Rejection, Request, Response, Status, Upgraded, Version,
};

/// Copied at a time.
const CHUNK: usize = 32 << 10;

/// Headers that are for one connection only (RFC 9110, section 7.6.1), and those that each side writes for itself.
const OWN: [&str; 14] = [
    "connection",
    "content-length",
    "date",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

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
#[derive(Debug)]
pub struct ReverseProxy {
    client: Client,
    servers: Vec<String>,
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

    /// The same with a client of your own: its time-outs, its pool, its TLS. It should follow no redirects.
    ///
    /// # Panics
    /// If there is no address.
    pub fn with_client(
        client: Client,
        servers: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let trimmed = |server: String| server.trim_end_matches('/').to_owned();
        let servers: Vec<_> = servers
            .into_iter()
            .map(|server| trimmed(server.into()))
            .collect();
        assert!(
            !servers.is_empty(),
            "a proxy needs a server to pass requests on to"
        );
        Self {
            client,
            servers,
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

    fn url(&self, request: &Request<'_>) -> String {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let server = &self.servers[turn % self.servers.len()];
        let query = request.query().map(|query| format!("?{query}"));
        format!("{server}{}{}", request.subpath(), query.unwrap_or_default())
    }

    /// The headers that are passed on, and those that say who asked.
    fn headers(&self, request: &Request<'_>) -> Vec<(String, Vec<u8>)> {
        let forwarding = |name: &str| {
            name.eq_ignore_ascii_case("forwarded")
                || name
                    .get(..12)
                    .is_some_and(|start| start.eq_ignore_ascii_case("x-forwarded-"))
        };
        let named: Vec<&[u8]> = request.values("Connection").collect();
        let mut headers: Vec<(String, Vec<u8>)> = request
            .headers()
            .filter(|(name, _)| !is_own(name, &named) && (self.trusting || !forwarding(name)))
            .filter(|(name, _)| {
                !name.eq_ignore_ascii_case("x-forwarded-for")
                    && !name.eq_ignore_ascii_case("forwarded")
            })
            .map(|(name, value)| (name.to_owned(), value.to_vec()))
            .collect();
        let before = |name: &str| -> String {
            let said = request.values(name).filter(|_| self.trusting);
            let texts = said.filter_map(|value| std::str::from_utf8(value).ok());
            texts.map(|text| format!("{text}, ")).collect()
        };
        let (plain, quoted) = match request.peer() {
            Peer::Tcp(address) if address.is_ipv6() => {
                (address.ip().to_string(), format!("\"[{}]\"", address.ip()))
            }
            Peer::Tcp(address) => {
                let text = address.ip().to_string();
                (text.clone(), text)
            }
            _ => ("unknown".to_owned(), "unknown".to_owned()),
        };
        let (host, scheme) = (request.host(), self.scheme);
        let mut add =
            |name: &str, value: String| headers.push((name.to_owned(), value.into_bytes()));
        add("X-Forwarded-For", before("X-Forwarded-For") + &plain);
        add(
            "Forwarded",
            format!(
                "{}for={quoted};host=\"{host}\";proto={scheme}",
                before("Forwarded")
            ),
        );
        if !self.trusting || request.header("X-Forwarded-Host").is_none() {
            add("X-Forwarded-Host", host.to_owned());
        }
        if !self.trusting || request.header("X-Forwarded-Proto").is_none() {
            add("X-Forwarded-Proto", scheme.to_owned());
        }
        headers
    }
}

/// Whether a header is for one connection only, by its name or because `Connection` says so.
fn is_own(name: &str, connection: &[&[u8]]) -> bool {
    OWN.iter().any(|own| own.eq_ignore_ascii_case(name))
        || connection.iter().any(|list| has_token(list, name))
}

impl Handler for ReverseProxy {
    fn handle(
        &self,
        request: &mut Request<'_>,
        response: Response<'_>,
    ) -> Result<(), HandlerError> {
        if let Some(bytes) = self.max_body {
            request.limit_body(bytes);
        }
        let url = self.url(request);
        let mut asking = self.client.request(request.method(), &url);
        for (name, value) in self.headers(request) {
            asking = asking.header(&name, value);
        }
        if let Some(protocol) = other_protocol(request) {
            let (answer, upgraded) = asking.upgrade(&protocol).map_err(explain)?;
            return match upgraded {
                Some(theirs) => pass_through(request, response, &answer, theirs, &protocol),
                None => pass_back(answer, response),
            };
        }
        let length = request.content_length();
        let answer = if length == Some(0) {
            asking.send()
        } else {
            asking.body_from(&mut *request, length).send()
        };
        pass_back(answer.map_err(explain)?, response)
    }
}

/// The protocol that the client would rather speak, if it names one that can be passed through. Else its wish is overlooked, as
/// every server may do (RFC 9110, section 7.8).
fn other_protocol(request: &Request<'_>) -> Option<String> {
    let mut named = request.values("Upgrade");
    let (protocol, None) = (named.next()?, named.next()) else {
        return None;
    };
    let is_name = |byte: &u8| is_token(*byte) || *byte == b'/';
    let can_be = request.head().version() == Version::Http11
        && !request.head().is_connect()
        && request.content_length() == Some(0);
    let wants = |list| has_token(list, "upgrade");
    // Requests within HTTP/2 would go past whatever stands around this handler.
    (can_be
        && request.values("Connection").any(wants)
        && !protocol.is_empty()
        && protocol.iter().all(is_name)
        && !protocol.eq_ignore_ascii_case(b"h2c"))
    .then(|| String::from_utf8_lossy(protocol).into_owned())
}

/// What the client is told when the server could not be asked.
fn explain(error: client::Error) -> HandlerError {
    log::warn!("http: a request could not be passed on: {error}");
    let (status, text) = match error.kind() {
        ErrorKind::Timeout(..) => (
            Status::GATEWAY_TIMEOUT,
            "the server behind this one takes too long",
        ),
        // Our own client did not send what it promised: the server answers that.
        ErrorKind::Body(_) => return Error::Truncated.into(),
        _ => (
            Status::BAD_GATEWAY,
            "the server behind this one could not be asked",
        ),
    };
    Rejection::new(status, text).into()
}

fn with_headers<'c>(mut response: Response<'c>, answer: &client::Response) -> Response<'c> {
    let named: Vec<&[u8]> = answer.headers().values("Connection").collect();
    for (name, value) in answer.headers().iter() {
        if !is_own(name, &named) {
            response = response.header(name, value);
        }
    }
    response.status(answer.status())
}

/// Streams the answer: what comes is sent on at once.
fn pass_back(mut answer: client::Response, response: Response<'_>) -> Result<(), HandlerError> {
    let mut response = with_headers(response, &answer);
    let declared = answer
        .header("Content-Length")
        .and_then(|text| text.parse().ok());
    if let Some(length) = declared {
        response = response.content_length(length);
    }
    if response.is_head() || answer.status().is_bodyless() {
        return Ok(response.send("")?);
    }
    let mut writer = response.start()?;
    // What is short is passed on in a buffer that is at hand.
    let mut lent = match declared {
        Some(length) if length <= buffers::SIZE as u64 => buffers::take(),
        _ => Buffers {
            input: vec![0; CHUNK],
            ..Buffers::default()
        },
    };
    loop {
        match answer.read(&mut lent.input)? {
            0 => {
                buffers::give_back(lent);
                return Ok(writer.finish()?);
            }
            count => {
                writer.write_all(&lent.input[..count])?;
                writer.flush()?;
            }
        }
    }
}

/// Both sides speak another protocol now.
fn pass_through(
    request: &mut Request<'_>,
    response: Response<'_>,
    answer: &client::Response,
    theirs: Upgraded,
    protocol: &str,
) -> Result<(), HandlerError> {
    let mut response = response;
    for (name, value) in answer.headers().iter() {
        if !is_own(name, &[]) {
            response = response.header(name, value);
        }
    }
    let ours = response.upgrade(request, protocol)?;
    write_all(&*theirs.stream, &ours.received)?;
    write_all(&*ours.stream, &theirs.received)?;
    relay::carry(&*ours.stream, &*theirs.stream, None);
    Ok(())
}

fn write_all(mut stream: &dyn Stream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)
}
