//! What all clones of a client share, and how it is set up.

use std::sync::Arc;

use super::Client;
use super::choices::{Choices, choosing};
use super::connect::{Connector, DefaultConnector};
use super::cookies::CookieJar;
use super::limits::Limits;
use super::pool::{Pool, PoolLimits};
use super::proxy::Proxies;

pub(super) struct Shared {
    pub(super) pool: Arc<Pool>,
    pub(super) connector: Arc<dyn Connector>,
    pub(super) limits: Limits,
    pub(super) choices: Choices,
    pub(super) proxies: Proxies,
    pub(super) cookies: Option<CookieJar>,
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
    choices: Choices,
    proxies: Option<Proxies>,
    cookies: Option<CookieJar>,
    user_agent: String,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            connector: Arc::new(DefaultConnector),
            limits: Limits::default(),
            pool: PoolLimits::default(),
            choices: Choices::default(),
            proxies: None,
            cookies: None,
            user_agent: concat!("grapeshot/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl ClientBuilder {
    choosing!("its default. A request may choose otherwise.");

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

    /// Keeps cookies in this jar, and sends those that fit. Default: none are kept.
    pub fn cookies(mut self, jar: CookieJar) -> Self {
        self.cookies = Some(jar);
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
            choices: self.choices,
            proxies: self.proxies.unwrap_or_else(Proxies::from_environment),
            cookies: self.cookies,
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
            .field("choices", &self.choices)
            .finish_non_exhaustive()
    }
}
