//! HTTP/1.1 in blocking style, for clients.
//!
//! ```no_run
//! use grapeshot_http::client::Client;
//!
//! fn main() -> Result<(), grapeshot_http::client::Error> {
//!     grapeshot::run(|| {
//!         let client = Client::new();
//!         let text = client.get("http://example.org/")?.success()?.text()?;
//!         println!("{} bytes", text.len());
//!         Ok(())
//!     })
//! }
//! ```
//!
//! A request takes a connection from the [pool](PoolLimits), or opens one; sends its head and its content; waits for the
//! head of the answer; and gives a [`Response`], whose content is read from the connection as you read it. Redirects,
//! cookies, compression, proxies, retries of what is safe and a time-out for each [`Phase`] are the client's business.
//!
//! ```text
//!   Queue ─▶ Resolve ─▶ Connect ─▶ Proxy ─▶ Handshake ─▶ Send ─▶ Continue ─▶ Answer ─▶ Content
//!     └──── idle connection ─────────────────────────────▲ │                   │          │ to its end
//!           ▲                                              └── left, failed ───┴──────────┼─▶ closed
//!           └─────────────────────────────────────────────────────────────────────────────┘
//! ```
//! A connection that was left in the middle of this, by an error, a time-out or a panic, is closed and never used again.
//!
//! Answers are read as strictly as the server of this crate reads requests: what two parties could read differently is
//! refused, see [`Fault`]. [`head`] is the part of it that performs no I/O.

mod choices;
mod connect;
mod connection;
mod content;
mod cookie_date;
mod cookies;
mod decode;
mod download;
mod error;
mod exchange;
pub mod head;
mod lease;
mod limits;
mod payload;
mod pipeline;
mod pool;
mod proxy;
mod redirect;
mod request;
mod response;
mod retry;
mod send;
mod shared;
mod socks;
mod statistics;

use std::sync::Arc;

#[cfg(feature = "tls")]
pub use connect::TlsConnector;
pub use connect::{Connector, DefaultConnector};
pub use cookies::{Cookie, CookieJar};
pub use download::{Download, Downloaded};
pub use error::{Blame, Error, ErrorKind, Fault, Phase, RedirectFault};
pub use head::Headers;
pub use limits::Limits;
pub use pipeline::Pipeline;
pub use pool::PoolLimits;
pub use proxy::{Proxies, Proxy};
pub use redirect::{Redirect, Redirects};
pub use request::RequestBuilder;
pub use response::Response;
pub use retry::Retries;
pub use shared::ClientBuilder;
pub use statistics::Statistics;
pub use url::Url;

use shared::Shared;

/// An HTTP/1.1 client: a pool of connections, and how requests are made. A clone is the same client; any number of
/// coroutines and threads may use it at once.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

impl Default for Client {
    fn default() -> Self {
        Self::builder().build()
    }
}

impl Client {
    /// A client with all defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets up a client.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Gets what a URL names. **May suspend.**
    ///
    /// # Errors
    /// See [`ErrorKind`]. An answer is an answer whatever its status; see [`Response::success`].
    pub fn get(&self, url: impl AsRef<str>) -> Result<Response, Error> {
        self.request("GET", url).send()
    }

    /// Asks for the head alone of what [`get`](Client::get) would give. **May suspend.**
    ///
    /// # Errors
    /// As for [`get`](Client::get).
    pub fn head(&self, url: impl AsRef<str>) -> Result<Response, Error> {
        self.request("HEAD", url).send()
    }

    /// Begins a POST.
    pub fn post(&self, url: impl AsRef<str>) -> RequestBuilder<'static> {
        self.request("POST", url)
    }

    /// Begins a PUT.
    pub fn put(&self, url: impl AsRef<str>) -> RequestBuilder<'static> {
        self.request("PUT", url)
    }

    /// Begins a DELETE.
    pub fn delete(&self, url: impl AsRef<str>) -> RequestBuilder<'static> {
        self.request("DELETE", url)
    }

    /// Begins any request. A name and a password in the URL are sent as Basic credentials.
    pub fn request<'b>(&self, method: &str, url: impl AsRef<str>) -> RequestBuilder<'b> {
        RequestBuilder::new(&self.shared, method, url.as_ref())
    }

    /// Sends requests one right behind the other, and gives their answers in the same order: for many small requests to a server
    /// that is far away. Those that follow each other to the same server share a connection; each server must bear that, which
    /// not all do well.
    ///
    /// A request that cannot be repeated (POST, content from a reader) is an error in its place. When the connection is lost,
    /// what is not answered is sent again; the first of it goes alone, and is failed with if its new connection fails
    /// too, [unless it is to be tried again](RequestBuilder::retries). Redirects are not followed.
    ///
    /// ```no_run
    /// # use grapeshot_http::client::Client;
    /// # fn main() -> Result<(), grapeshot_http::client::Error> {
    /// let client = Client::new();
    /// let wanted = (1..=100).map(|n| client.request("GET", format!("http://example.org/{n}")));
    /// for answer in client.pipeline(wanted) {
    ///     println!("{}", answer?.text()?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn pipeline<'b>(
        &self,
        requests: impl IntoIterator<Item = RequestBuilder<'b>>,
    ) -> Pipeline<'b> {
        Pipeline::new(&self.shared, requests)
    }

    /// The client's figures.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.shared.pool.statistics()
    }

    /// Closes the connections that are idle.
    pub fn close_idle(&self) {
        self.shared.pool.close_idle();
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("statistics", &self.statistics())
            .finish_non_exhaustive()
    }
}

/// Is told how far a transfer has come.
type Report = Arc<dyn Fn(&Progress) + Send + Sync>;

/// How far a transfer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes of the request's content that were sent; 0 while the answer is read.
    pub sent: u64,
    /// Bytes of the answer's content that were received, before decompression.
    pub received: u64,
    /// How many there will be, if that is known: of the content that is sent, or of the answer's.
    pub total: Option<u64>,
}
