//! Handlers that are whole services.

mod json_rpc;
#[cfg(feature = "client")]
mod reverse_proxy;
mod sessions;
mod status_page;

pub use json_rpc::{JsonRpc, RpcError};
#[cfg(feature = "client")]
pub use reverse_proxy::ReverseProxy;
pub use sessions::{Session, SessionStatistics, Sessions, Turn};
pub use status_page::StatusPage;
