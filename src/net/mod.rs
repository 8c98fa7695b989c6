//! Sockets with the names and the semantics of [`std::net`] and [`std::os::unix::net`].
//!
//! A call that would block there suspends the coroutine here, and nothing else; from a plain thread it blocks the
//! thread. An echo server:
//!
//! ```no_run
//! use grapeshot::net::TcpListener;
//!
//! grapeshot::run(|| -> std::io::Result<()> {
//!     let listener = TcpListener::bind("127.0.0.1:7")?;
//!     for stream in listener.incoming() {
//!         let stream = stream?;
//!         grapeshot::spawn(move || std::io::copy(&mut &stream, &mut &stream));
//!     }
//!     Ok(())
//! })?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What is as in std
//!
//! `bind`, `accept`, `incoming`, `connect`, `connect_timeout`, `shutdown`, `try_clone`, `take_error`, the addresses and
//! the socket options. `T` and `&T` are both [`Read`](std::io::Read) and [`Write`](std::io::Write), so one coroutine
//! may read while another writes: share the stream by reference or by `Arc`. A further reader (or writer) queues
//! behind the first and is served in the order of arrival. Every socket is `Send + Sync` and may be used from any
//! worker and from any thread.
//!
//! # What std does not have
//!
//! `close` (below); `try_*`, which never suspend, and `wait_readable`, `wait_writable` for libraries that read by themselves;
//! [`TcpStream::connect_any`] (happy eyeballs), [`ListenOptions`] and [`ConnectOptions`]; many connections
//! ([`TcpListener::accept_many`]) or datagrams ([`UdpSocket::recv_many`]) at once; a listener for each worker
//! ([`ListenOptions::bind_per_worker`]); descriptors over Unix sockets ([`UnixStream::send_fds`]) and a peer's credentials
//! ([`UnixStream::peer_cred`]). [`io::copy`](crate::io::copy) and [`io::send_file`](crate::io::send_file) copy without
//! carrying the bytes through this process. [`Stream`] and [`Listener`] are what protocols work on: sockets, TLS, or
//! streams of your own.
//!
//! # What is not as in std
//!
//! * There are no read and write timeouts and no `set_nonblocking`. [`with_timeout`](crate::with_timeout) bounds any
//!   call or any group of calls; the `try_*` methods never suspend.
//! * No call raises `SIGPIPE`. Writing to a connection whose peer is gone gives
//!   [`BrokenPipe`](std::io::ErrorKind::BrokenPipe), whatever the process does with that signal.
//! * [`TcpListener::accept`] passes over a connection that its peer took back before it was accepted
//!   (`ECONNABORTED`): there is nothing a server could do about it.
//! * Names are looked up by the system's resolver, which blocks; see [`ToSocketAddrs`] for where that happens, and
//!   [`set_resolver`] for another.
//!
//! # After a timeout or an interrupt
//!
//! A wait that is interrupted (see [`with_timeout`](crate::with_timeout)) has done nothing: `read` has taken no byte,
//! `write` has sent none, `accept` has lost no connection, and the socket may be used again. That holds for the single
//! call. What loops over calls has done a part of its work: after an interrupted
//! [`write_all`](std::io::Write::write_all) nobody knows how much of the message is on the wire, after an interrupted
//! [`read_exact`](std::io::Read::read_exact) some bytes are gone. **Close a connection that was left in the middle of
//! a message.** An interrupted `connect` leaves nothing behind.
//!
//! # Closing
//!
//! A socket is closed when its last owner drops it, which never suspends. `close` does it while others still share it:
//! who waits in one of its calls is woken, with an error that [`Closed::is`](crate::io::Closed::is) knows. `shutdown` ends
//! one direction or both: a reader then sees the end of the stream and a writer `BrokenPipe`.

mod accept;
mod addr;
pub(crate) mod calls;
mod carrier;
mod connect;
mod datagram;
mod datagrams;
mod lookup;
mod options;
mod race;
mod resolve;
mod rights;
pub(crate) mod seam;
mod socket;
mod stream;
mod tcp_listener;
mod tcp_stream;
mod udp_socket;
pub mod unix;
mod unix_datagram;
mod unix_listener;
mod unix_stream;

#[cfg(test)]
pub(crate) mod tests;

pub use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6};

pub use accept::{Incoming, UnixIncoming};
pub use addr::ToSocketAddrs;
pub use carrier::{Listener, Peer, Stream, TakingTurns};
pub use datagrams::{Batch, Datagram};
pub use options::{ConnectOptions, ListenOptions};
pub use race::ConnectErrors;
pub use resolve::{Resolve, set_resolver};
pub use tcp_listener::TcpListener;
pub use tcp_stream::TcpStream;
pub use udp_socket::UdpSocket;
pub use unix_datagram::UnixDatagram;
pub use unix_listener::UnixListener;
pub use unix_stream::UnixStream;
