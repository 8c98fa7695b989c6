//! Looking up names: through the resolver that is installed, or else through the system's, on the threads of `unblock`.
//!
//! `getaddrinfo` blocks for as long as the network takes, so it must not run on a worker. Each look-up needs a permit too:
//! a name server that is silent shall not take all threads.

use std::io;
use std::net::SocketAddr;
use std::sync::LazyLock;

use super::resolve::{self, Resolve};
use crate::sync::channel::{self, Receiver, Sender};
use crate::testing::network;

/// Look-ups under way at once.
pub(super) const MAX_LOOKUPS: usize = 16;

/// A permit is a place in this channel: sending takes one, receiving gives it back.
static PERMITS: LazyLock<(Sender<()>, Receiver<()>)> =
    LazyLock::new(|| channel::bounded(MAX_LOOKUPS));

/// Held by the look-up, not by the coroutine that asks: who stops waiting does not stop the look-up.
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
    if let Some(network) = network::current() {
        return match (network.resolve(host, port), network.resolver()) {
            // Its hosts come first: the resolver may need them.
            (Err(error), Some(resolver)) if error.kind() == io::ErrorKind::NotFound => {
                ask(&*resolver, host, port)
            }
            (known, _) => known,
        };
    }
    // An address with an interface is no name, and only the system knows its number.
    if let Some(resolver) = resolve::installed()
        && !host.contains('%')
    {
        return ask(&*resolver, host, port);
    }
    let host = host.to_owned();
    with_thread(move || {
        use std::net::ToSocketAddrs;
        Ok((host.as_str(), port).to_socket_addrs()?.collect())
    })
}

fn ask(resolver: &dyn Resolve, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let addresses = resolver.resolve(host)?;
    Ok(addresses.into_iter().map(|ip| (ip, port).into()).collect())
}

/// Runs `f` on a thread, with a permit, and waits for its result. **May suspend.**
pub(super) fn with_thread<T: Send + 'static>(
    f: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let permit = Permit::acquire()?;
    crate::unblock(move || {
        let result = f();
        // Before the answer: whoever has it may ask again at once.
        drop(permit);
        result
    })?
}
