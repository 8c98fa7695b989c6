//! Handlers that are whole services.

mod connect_proxy;
#[cfg(feature = "client")]
mod intermediary;
mod json_rpc;
mod public;
mod relay;
#[cfg(feature = "client")]
mod reverse_proxy;
mod sessions;
mod status_page;

pub(crate) use connect_proxy::Besides;
pub use connect_proxy::{ConnectProxy, Destination, TunnelLimits, TunnelStatistics};
pub use json_rpc::{JsonRpc, RpcError};
#[cfg(feature = "client")]
pub use reverse_proxy::ReverseProxy;
pub use sessions::{Session, SessionStatistics, Sessions, Turn};
pub use status_page::StatusPage;
