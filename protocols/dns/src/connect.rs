//! Connecting by name.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};

use grapeshot::net::{Resolve, TcpStream, set_resolver};

use crate::resolver::Resolver;

static SYSTEM: LazyLock<Resolver> = LazyLock::new(Resolver::system);

/// The resolver that [`connect`] and [`install`] use: [`Resolver::system`], one for the process.
pub fn system() -> &'static Resolver {
    &SYSTEM
}

/// Connects to a host by its name, without ever blocking a worker: see [`Resolver::connect`]. **May suspend.**
///
/// ```no_run
/// use std::io::{Read, Write};
///
/// grapeshot::run(|| -> std::io::Result<()> {
///     let mut stream = grapeshot_dns::connect("example.org", 80)?;
///     stream.write_all(b"GET / HTTP/1.0\r\nHost: example.org\r\n\r\n")?;
///     let mut page = Vec::new();
///     stream.read_to_end(&mut page)?;
///     Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// As [`Resolver::connect`].
pub fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    system().connect(host, port)
}

/// Has everything in the process that takes a name (`TcpStream::connect("example.org:80")`) look it up with [`system`],
/// rather than with the system's resolver on a helper thread. On a simulated network, for that network alone.
pub fn install() {
    system().install();
}

impl Resolver {
    /// Looks the host up and connects to whichever of its addresses answers first (happy eyeballs, RFC 8305): IPv6 and IPv4
    /// take turns, 250 ms apart. Once the IPv4 addresses are known, those of IPv6 are waited for another 50 ms, no longer.
    /// **May suspend.**
    ///
    /// # Errors
    /// [`Error`](crate::Error), inside the error, if the name has no address;
    /// [`ConnectErrors`](grapeshot::net::ConnectErrors), if none of them could be connected to.
    pub fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let addresses = self.addresses_soon(host)?;
        let addrs: Vec<SocketAddr> = addresses.into_iter().map(|ip| (ip, port).into()).collect();
        TcpStream::connect_any(&addrs[..])
    }

    /// As [`install`], with this resolver.
    pub fn install(&self) {
        set_resolver(Some(Arc::new(self.clone())));
    }
}

impl Resolve for Resolver {
    fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(self.addresses(host)?)
    }
}
