//! TLS in blocking style: a stream over a stream.
//!
//! [`TlsStream`] is a [`Stream`](grapeshot::net::Stream) over any other, so whatever speaks over TCP speaks over TLS: one
//! coroutine reads while another writes. A server wraps its [`Listener`]:
//!
//! ```no_run
//! use grapeshot::net::{Listener as _, Stream, TcpListener};
//! use grapeshot_tls::{Listener, server};
//! use std::time::Duration;
//!
//! grapeshot::run(|| -> std::io::Result<()> {
//!     let config = server::Config::new("site.pem", "site.key")?;
//!     let _reloading = config.reload_on_hangup()?;
//!     let listener = Listener::new(TcpListener::bind("[::]:7000")?, &config);
//!     loop {
//!         let (stream, peer) = listener.accept()?;
//!         grapeshot::spawn(move || -> std::io::Result<()> {
//!             grapeshot::with_timeout(Duration::from_secs(10), || stream.prepare())??;
//!             println!("{peer} speaks {:?}", stream.info().version);
//!             std::io::copy(&mut &stream, &mut &stream)?;
//!             stream.close()
//!         });
//!     }
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! A client has a [`Connector`]. Handshakes take 14 to 21 KiB of stack: those that coroutines have suffice.

mod backend;
mod error;
mod halves;
mod info;
mod listener;
#[cfg(feature = "native-tls")]
mod native_session;
mod pem;
mod provider;
mod rustls_session;
mod session;
mod stream;

pub mod client;
#[cfg(feature = "demo")]
pub mod demo;
pub mod server;

pub use backend::Backend;
pub use client::Connector;
pub use error::{CertificateFault, Error};
pub use info::{Info, Names, Version};
pub use listener::Listener;
pub use pem::{ConfigError, Pem};
pub use stream::TlsStream;
