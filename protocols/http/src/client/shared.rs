//! What all clones of a client share, and how it is set up.

use std::sync::Arc;
use std::time::Duration;

use super::Client;
use super::connect::{Connector, DefaultConnector};
use super::cookies::CookieJar;
use super::error::Phase;
use super::limits::{Limits, Timeouts};
use super::pool::{Pool, PoolLimits};
use super::proxy::Proxies;
use super::redirect::Redirects;
use super::retry::Retries;

pub(super) struct Shared {
    pub(super) pool: Arc<Pool>,
    pub(super) connector: Arc<dyn Connector>,
    pub(super) limits: Limits,
    pub(super) timeouts: Timeouts,
    pub(super) proxies: Proxies,
    pub(super) redirects: Redirects,
    pub(super) retries: Retries,
    pub(super) cookies: Option<CookieJar>,
    pub(super) decompress: bool,
    pub(super) user_agent: String,
}

/// Sets up a [`Client`].
///
/// ```
/// use std::time::Duration;
/// use grapeshot_http::client::{Client, CookieJar, Phase, Retries};
///
/// let client = Client::builder()
///     .timeout(Phase::Connect, Duration::from_secs(3))
///     .timeout(Phase::Total, Duration::from_secs(60))
///     .retries(Retries::most(2))
///     .cookies(CookieJar::new())
///     .build();
/// # drop(client);
/// ```
#[derive(Clone)]
#[must_use = "build() makes the client"]
pub struct ClientBuilder {
    connector: Arc<dyn Connector>,
    limits: Limits,
    pool: PoolLimits,
    timeouts: Timeouts,
    proxies: Option<Proxies>,
    redirects: Redirects,
    retries: Retries,
    cookies: Option<CookieJar>,
    decompress: bool,
    user_agent: String,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            connector: Arc::new(DefaultConnector),
            limits: Limits::default(),
            pool: PoolLimits::default(),
            timeouts: Timeouts::default(),
            proxies: None,
            redirects: Redirects::default(),
            retries: Retries::default(),
            cookies: None,
            decompress: true,
            user_agent: concat!("grapeshot/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl ClientBuilder {
    /// A time-out for one [`Phase`], instead of its default; `None` for no limit. Requests may
    /// [differ](super::RequestBuilder::timeout).
    pub fn timeout(mut self, phase: Phase, limit: impl Into<Option<Duration>>) -> Self {
        self.timeouts.set(phase, limit.into());
        self
    }

    /// What servers may cost.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How many connections are kept, and for how long.
    pub fn pool(mut self, limits: PoolLimits) -> Self {
        self.pool = limits;
        self
    }

    /// Which requests go through a proxy. Default: [what the environment says](Proxies::from_environment).
    pub fn proxies(mut self, proxies: Proxies) -> Self {
        self.proxies = Some(proxies);
        self
    }

    /// Which redirects are followed.
    pub fn redirects(mut self, redirects: Redirects) -> Self {
        self.redirects = redirects;
        self
    }

    /// Which failures are tried again.
    pub fn retries(mut self, retries: Retries) -> Self {
        self.retries = retries;
        self
    }

    /// Keeps cookies in this jar, and sends those that fit. Default: none are kept.
    pub fn cookies(mut self, jar: CookieJar) -> Self {
        self.cookies = Some(jar);
        self
    }

    /// Whether servers are asked for compressed content, which is decompressed as it is read. Default: yes.
    pub fn decompress(mut self, yes: bool) -> Self {
        self.decompress = yes;
        self
    }

    /// The `User-Agent` of requests that have no other.
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = name.into();
        self
    }

    /// How https servers are met: which authorities are trusted, and with which certificate. Default: the platform's
    /// authorities, and no certificate.
    #[cfg(feature = "tls")]
    pub fn tls(self, config: grapeshot_tls::client::Config) -> Self {
        self.connector(super::connect::TlsConnector(config))
    }

    /// How hosts are reached.
    pub fn connector(mut self, connector: impl Connector) -> Self {
        self.connector = Arc::new(connector);
        self
    }

    /// Makes the client.
    #[must_use]
    pub fn build(self) -> Client {
        let shared = Shared {
            pool: Arc::new(Pool::new(self.pool)),
            connector: self.connector,
            limits: self.limits,
            timeouts: self.timeouts,
            proxies: self.proxies.unwrap_or_else(Proxies::from_environment),
            redirects: self.redirects,
            retries: self.retries,
            cookies: self.cookies,
            decompress: self.decompress,
            user_agent: self.user_agent,
        };
        Client {
            shared: Arc::new(shared),
        }
    }
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("pool", &self.pool)
            .field("redirects", &self.redirects)
            .field("retries", &self.retries)
            .finish_non_exhaustive()
    }
}
