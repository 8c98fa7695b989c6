//! Which addresses something names.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::{iter, option, slice, vec};

use super::lookup;

/// Whatever names one or more socket addresses: the twin of [`std::net::ToSocketAddrs`], for the same types.
///
/// Addresses, and strings that spell one (`"127.0.0.1:80"`, `("::1", 80)`), are converted on the spot. A *name* is
/// looked up by the system's resolver (`getaddrinfo`), which blocks whoever calls it; so that happens on a helper
/// thread, and only the asking coroutine waits. At most 16 look-ups are under way at once, further ones queue. A look-up
/// that its coroutine no longer waits for (see [`with_timeout`](crate::with_timeout)) runs to its end unseen. None of
/// this is so once another resolver is [installed](super::set_resolver), such as that of `grapeshot-dns`.
///
/// It is a trait of its own because std's would run the resolver on the worker.
///
/// ```
/// use grapeshot::net::{SocketAddr, ToSocketAddrs};
///
/// let spelled: Vec<SocketAddr> = "127.0.0.1:80".to_socket_addrs()?.collect();
/// assert_eq!(spelled, [SocketAddr::from(([127, 0, 0, 1], 80))]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait ToSocketAddrs {
    /// The addresses, in the order in which they should be tried.
    type Iter: Iterator<Item = SocketAddr>;

    /// The addresses that this names. **May suspend** if it holds a name.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a string that is not of the form `host:port`; the resolver's
    /// own error if it does not know the name.
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;
}

/// Calls `each` with one address after the other until one call succeeds. **May suspend** where names are looked up.
///
/// # Errors
///
/// The last call's error; `InvalidInput` if there was no address at all.
pub(super) fn first_success<A: ToSocketAddrs, R>(
    addrs: A,
    mut each: impl FnMut(&SocketAddr) -> io::Result<R>,
) -> io::Result<R> {
    let mut last = None;
    for addr in addrs.to_socket_addrs()? {
        match each(&addr) {
            Ok(done) => return Ok(done),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| invalid("could not resolve to any addresses")))
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

impl ToSocketAddrs for SocketAddr {
    type Iter = option::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(Some(*self).into_iter())
    }
}

/// Implements the trait for what `SocketAddr::from` takes.
macro_rules! one_address {
    ($($type:ty),*) => {$(
        impl ToSocketAddrs for $type {
            type Iter = option::IntoIter<SocketAddr>;
            fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
                SocketAddr::from(*self).to_socket_addrs()
            }
        }
    )*};
}

one_address!(
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16)
);

impl ToSocketAddrs for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let (host, port) = *self;
        let addrs = match host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::from((ip, port))],
            Err(_) => lookup::addresses(host, port)?,
        };
        Ok(addrs.into_iter())
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (&*self.0, self.1).to_socket_addrs()
    }
}

impl ToSocketAddrs for str {
    type Iter = vec::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        // An IPv6 address carries a scope and brackets that only this parser knows.
        if let Ok(addr) = self.parse::<SocketAddr>() {
            return Ok(vec![addr].into_iter());
        }
        let (host, port) = self
            .rsplit_once(':')
            .ok_or_else(|| invalid("invalid socket address"))?;
        let port: u16 = port.parse().map_err(|_| invalid("invalid port value"))?;
        (host, port).to_socket_addrs()
    }
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }
}

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = iter::Copied<slice::Iter<'a, SocketAddr>>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.iter().copied())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }
}
