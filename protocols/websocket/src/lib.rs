//! WebSocket (RFC 6455) in blocking style: a server over an upgrade of `grapeshot-http`, and a client.
//!
//! ```no_run
//! use grapeshot_http::{HandlerError, Request, Response};
//!
//! fn shout(request: &mut Request<'_>, response: Response<'_>) -> Result<(), HandlerError> {
//!     let socket = grapeshot_websocket::accept(request, response)?;
//!     while let Ok(message) = socket.recv() {
//!         socket.send_text(&String::from_utf8_lossy(message.as_bytes()).to_uppercase())?;
//!     }
//!     Ok(())
//! }
//! ```
//!
//! All methods of [`WebSocket`] take `&self`: one coroutine receives while others send; share it by `Arc`. Pings are
//! answered, fragments put together, texts checked and the close handshake done by whoever receives.
//!
//! [`Upgrade`] is a server's handshake, [`client::Connect`] a client's. Both take [`Limits`] and, if messages are to be
//! compressed, a [`Compression`] (permessage-deflate, RFC 7692). Silent peers are pinged ([`Limits::ping_every`]). A
//! server can be told to speak with clients of before 2012 ([`Upgrade::early_drafts`]).
//!
//! The parts that perform no I/O are public as well: [`frame`] encodes and decodes frames and messages, [`deflate`]
//! compresses and decompresses them.
#![forbid(unsafe_code)]

mod address;
pub mod client;
mod decoder;
pub mod deflate;
pub mod draft;
mod error;
mod extension;
pub mod frame;
mod handshake;
mod header;
mod keep_alive;
mod limits;
mod mask;
mod owed;
mod receive;
mod server;
mod socket;
mod utf8;
mod write;

pub use deflate::Compression;
pub use draft::Version;
pub use error::{Error, Fault, Violation};
pub use frame::{CloseCode, Message};
pub use handshake::HandshakeError;
pub use limits::Limits;
pub use server::{Origins, Upgrade, accept};
pub use socket::{Closed, Statistics, WebSocket};
