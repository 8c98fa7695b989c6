//! Looking up names through the system's resolver, on helper threads.
//!
//! `getaddrinfo` blocks for as long as the network takes, so it must not run on a worker. Each look-up gets a thread of
//! its own, which costs nothing beside the look-up, and a permit that bounds how many there are.

use std::io;
use std::net::SocketAddr;
use std::sync::LazyLock;

use crate::sync::channel::{self, Receiver, Sender};

/// Look-ups under way at once; it bounds the threads.
pub(super) const MAX_LOOKUPS: usize = 16;

/// A permit is a place in this channel: sending takes one, receiving gives it back.
static PERMITS: LazyLock<(Sender<()>, Receiver<()>)> =
    LazyLock::new(|| channel::bounded(MAX_LOOKUPS));

/// Held by the helper thread, not by the coroutine that asks: who stops waiting does not stop the look-up.
struct Permit;

impl Permit {
    fn acquire() -> io::Result<Permit> {
        PERMITS.0.send(()).map_err(io::Error::other)?;
        Ok(Permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // There is one to take: ours.
        let _ = PERMITS.1.try_recv();
    }
}

/// The addresses of `host`, each with `port`, in the resolver's order. **May suspend.**
pub(super) fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let host = host.to_owned();
    with_thread(move || {
        use std::net::ToSocketAddrs;
        Ok((host.as_str(), port).to_socket_addrs()?.collect())
    })
}

/// Runs `f` on a helper thread and waits for its result. **May suspend.**
pub(super) fn with_thread<T: Send + 'static>(
    f: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let permit = Permit::acquire()?;
    let (answer, answers) = channel::bounded(1);
    std::thread::Builder::new()
        .name("grapeshot-lookup".into())
        .spawn(move || {
            let result = f();
            // Before the answer: whoever has it may ask again at once.
            drop(permit);
            // Nobody may be waiting any more; then the answer is dropped.
            let _ = answer.try_send(result);
        })?;
    answers.recv().map_err(io::Error::other)?
}
