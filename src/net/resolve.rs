//! Who looks up names, if not the system.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::testing::network;

static INSTALLED: RwLock<Option<Arc<dyn Resolve>>> = RwLock::new(None);

/// Finds the addresses of hosts, for whatever takes a name: see [`set_resolver`].
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of a host, in the order in which they should be tried. **May suspend.**
    ///
    /// # Errors
    ///
    /// Its own; [`NotFound`](io::ErrorKind::NotFound) if there is no such host.
    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// Has names looked up by `resolver` from now on, in the whole process, rather than by the system's resolver on a helper
/// thread; `None` goes back to that. Returns the one before. Never suspends.
///
/// The package `grapeshot-dns` has a resolver to install. Addresses that are spelled out are never looked up. On the
/// simulated network of a test, it is for that network alone, and for names that none of its hosts has:
///
/// ```
/// use grapeshot::net::{IpAddr, Resolve, TcpListener, TcpStream, set_resolver};
/// use grapeshot::testing::{NetworkConfig, Simulation};
/// use std::io;
/// use std::sync::Arc;
///
/// struct Everything(IpAddr);
///
/// impl Resolve for Everything {
///     fn resolve(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
///         Ok(vec![self.0])
///     }
/// }
///
/// Simulation::new(7).network(NetworkConfig::new()).run(|| {
///     set_resolver(Some(Arc::new(Everything([127, 0, 0, 1].into()))));
///     let _listener = TcpListener::bind("0.0.0.0:80")?;
///     TcpStream::connect("www.example.org:80").map(drop)
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn set_resolver(resolver: Option<Arc<dyn Resolve>>) -> Option<Arc<dyn Resolve>> {
    match network::current() {
        Some(network) => network.set_resolver(resolver),
        None => std::mem::replace(&mut INSTALLED.write(), resolver),
    }
}

/// The one that is installed for the process.
pub(super) fn installed() -> Option<Arc<dyn Resolve>> {
    INSTALLED.read().clone()
}
