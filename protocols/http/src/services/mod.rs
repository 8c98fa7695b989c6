//! Handlers that are whole services.

mod json_rpc;
mod sessions;
mod status_page;

pub use json_rpc::{JsonRpc, RpcError};
pub use sessions::{Session, SessionStatistics, Sessions, Turn};
pub use status_page::StatusPage;
