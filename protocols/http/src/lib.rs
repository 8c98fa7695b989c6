//! HTTP/1.1 in blocking style, for servers.
//!
//! ```no_run
//! use grapeshot_http::Server;
//!
//! fn main() -> std::io::Result<()> {
//!     grapeshot::run(|| {
//!         let listener = grapeshot::net::TcpListener::bind("127.0.0.1:8080")?;
//!         Server::new(|_request, response| response.send_text("Hello, world!\n")).serve(listener)
//!     })
//! }
//! ```
//!
//! Each connection has a coroutine of its own, in which the handler runs. It reads the content of the request from
//! [`Request`], which is `Read`, and answers through [`Response`]: whole, or piece by piece through a `Write`.
//! Pipelining, keep-alive, `100 Continue`, HEAD, the chunked coding, limits, time-outs and the closing of connections
//! are the server's business.
//!
//! The parts that perform no I/O are public as well: [`head`] parses a request's head, [`body`] finds its content.
//! Both refuse whatever two parties could read differently (RFC 9112; request smuggling), see [`Refusal`].
#![forbid(unsafe_code)]

mod accept;
mod access;
mod at_once;
pub mod auth;
pub mod body;
mod buffers;
#[cfg(feature = "client")]
pub mod client;
mod compress;
mod conditions;
mod connection;
mod date;
mod encode;
mod error;
mod events;
mod exchange;
mod files;
mod forms;
mod framing;
mod handler;
pub mod handover;
pub mod head;
mod limits;
mod negotiate;
mod output;
mod phase;
pub mod proxy_protocol;
pub mod range;
mod request;
mod response;
mod scan;
mod server;
mod services;
mod status;
mod target;
mod writer;

pub use access::{AccessLog, LogFormat};
pub use compress::{Compressed, Decompressed};
pub use cookie::{self, Cookie};
pub use error::{Error, Refusal};
pub use events::{Event, EventStream};
pub use files::{Assets, StaticFiles};
pub use forms::{Form, Multipart, MultipartError, MultipartLimits, Part, multipart};
pub use grapeshot::net::{Listener, Peer, Stream, TakingTurns};
pub use handler::{
    Answering, Handler, Handlers, Html, Json, Redirect, Rejection, Reply, RouteError, Router,
    TimeLimit, VirtualHosts, Wrapped, answer, handler,
};
pub use head::Version;
pub use limits::Limits;
pub use negotiate::ContentCoding;
pub use phase::Phase;
pub use proxy_protocol::{ProxiedStream, ProxyProtocol};
pub use request::Request;
pub use response::{Response, Upgraded};
pub use server::{Listening, Server, ServerBuilder, Statistics};
#[cfg(feature = "client")]
pub use services::ReverseProxy;
pub use services::{
    ConnectProxy, Destination, JsonRpc, RpcError, Session, SessionStatistics, Sessions, StatusPage,
    TunnelLimits, TunnelStatistics, Turn,
};
pub use status::Status;
pub use writer::BodyWriter;

/// What a handler may fail with: anything that is an error.
pub type HandlerError = Box<dyn std::error::Error + Send + Sync>;
