//! Connecting to whichever address answers first: happy eyeballs, RFC 8305.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::connect::{self, outcome};
use super::seam::Socket;
use crate::io::{Group, Source};
use crate::testing::network;
use crate::time;

/// As many of the addresses are tried, at most: a resolver's answer decides how many there are.
const MOST: usize = 64;

/// Why none of the addresses could be connected to, in the order in which they failed.
///
/// It comes inside an [`io::Error`] (see [`get_ref`](io::Error::get_ref)), whose kind is that of the last failure.
#[derive(Debug)]
pub struct ConnectErrors(Vec<(SocketAddr, io::Error)>);

impl ConnectErrors {
    /// Each address with its error.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (SocketAddr, &io::Error)> {
        self.0.iter().map(|(addr, error)| (*addr, error))
    }
}

impl fmt::Display for ConnectErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot connect")?;
        for (index, (addr, error)) in self.iter().enumerate() {
            let separator = if index == 0 { ": " } else { "; " };
            write!(f, "{separator}{addr}: {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConnectErrors {}

impl From<ConnectErrors> for io::Error {
    fn from(errors: ConnectErrors) -> Self {
        match errors.0.last() {
            Some((_, last)) => io::Error::new(last.kind(), errors),
            None => io::Error::new(
                io::ErrorKind::InvalidInput,
                "could not resolve to any addresses",
            ),
        }
    }
}

/// The attempts on the addresses of one peer. Dropping it closes whatever is under way.
struct Race {
    /// What is still to be tried, the next one last.
    addrs: Vec<SocketAddr>,
    group: Group,
    running: Vec<(SocketAddr, TcpStream)>,
    failed: ConnectErrors,
}

/// Connects to the first of the addresses that answers. The next one is tried when those before have failed, or have not
/// answered for `stagger`. `open` makes a socket for an address. **May suspend.**
///
/// # Errors
/// [`ConnectErrors`]; `InvalidInput` for no address at all.
pub(super) fn connect(
    addrs: impl IntoIterator<Item = SocketAddr>,
    stagger: Duration,
    open: impl Fn(&SocketAddr) -> io::Result<TcpStream>,
) -> io::Result<Source<Socket<TcpStream>>> {
    let mut addrs = interleaved(addrs.into_iter().take(MOST));
    if let [addr] = addrs[..] {
        // Nobody to race with.
        return connect::tcp(&addr, open)
            .map_err(|error| ConnectErrors(vec![(addr, error)]).into());
    }
    if network::current().is_some() {
        return in_turn(addrs, stagger);
    }
    addrs.reverse();
    let mut race = Race {
        addrs,
        group: Group::new()?,
        running: Vec::new(),
        failed: ConnectErrors(Vec::new()),
    };
    let mut next_start = time::now();
    loop {
        let failed = race.failed.0.len();
        if race.running.is_empty() || next_start <= time::now() {
            if let Some(addr) = race.addrs.pop() {
                race.start(addr, &open);
                next_start = time::now() + stagger;
            } else if race.running.is_empty() {
                return Err(race.failed.into());
            }
        }
        if let Some(winner) = race.look() {
            return Ok(Source::new(winner.into()));
        }
        if race.failed.0.len() > failed {
            // The next need not wait.
            next_start = time::now();
        } else {
            race.wait(next_start)?;
        }
    }
}

/// In a simulation, where there is nothing to watch many attempts with: each has as long as it would be alone, but the
/// last.
fn in_turn(addrs: Vec<SocketAddr>, stagger: Duration) -> io::Result<Source<Socket<TcpStream>>> {
    let mut failed = Vec::new();
    let last = addrs.last().copied();
    for addr in addrs {
        let limit = if Some(addr) == last {
            Duration::MAX
        } else {
            stagger
        };
        match crate::with_timeout(limit, || connect::tcp(&addr, connect::tcp_socket)) {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed.push((addr, error)),
            Err(elapsed) => failed.push((addr, io::Error::new(io::ErrorKind::TimedOut, elapsed))),
        }
    }
    Err(ConnectErrors(failed).into())
}

impl Race {
    fn start(&mut self, addr: SocketAddr, open: impl Fn(&SocketAddr) -> io::Result<TcpStream>) {
        let started = open(&addr).and_then(|socket| {
            connect::begin(&socket, &addr)?;
            self.group.add(socket.as_fd())?;
            Ok(socket)
        });
        match started {
            Ok(socket) => self.running.push((addr, socket)),
            Err(error) => self.failed.0.push((addr, error)),
        }
    }

    /// The first that is connected, if one is; those that have failed leave.
    fn look(&mut self) -> Option<TcpStream> {
        let mut index = 0;
        while let Some((_, socket)) = self.running.get(index) {
            match outcome(socket.as_fd()) {
                Ok(()) => return Some(self.running.swap_remove(index).1),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => index += 1,
                Err(error) => {
                    let (addr, _) = self.running.remove(index);
                    self.failed.0.push((addr, error));
                }
            }
        }
        None
    }

    /// Waits until something happens to one that runs, or it is time for the next.
    fn wait(&mut self, next_start: Instant) -> io::Result<()> {
        if self.addrs.is_empty() {
            return self.group.wait();
        }
        // The deadline is no failure: there is another to try.
        crate::with_deadline(next_start, || self.group.wait()).unwrap_or(Ok(()))
    }
}

/// The addresses in the order in which they are tried: the families in turns, beginning with that of the first, each
/// address once (section 4).
fn interleaved(addrs: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut all: Vec<SocketAddr> = Vec::new();
    for addr in addrs {
        if !all.contains(&addr) {
            all.push(addr);
        }
    }
    let first_is_v4 = all.first().is_some_and(SocketAddr::is_ipv4);
    let (ours, others): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|addr| addr.is_ipv4() == first_is_v4);
    let (mut ours, mut others) = (ours.into_iter(), others.into_iter());
    let mut order = Vec::new();
    loop {
        let pair = [ours.next(), others.next()];
        if pair == [None, None] {
            return order;
        }
        order.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let addrs = |list: &[&str]| -> Vec<SocketAddr> {
            list.iter().map(|addr| addr.parse().unwrap()).collect()
        };
        for (given, order) in [
            (&[][..], &[][..]),
            (&["1.1.1.1:1"], &["1.1.1.1:1"]),
            (
                &["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"],
                &["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"],
            ),
            (
                &["1.1.1.1:1", "2.2.2.2:1", "[::1]:1", "1.1.1.1:1", "[::2]:1"],
                &["1.1.1.1:1", "[::1]:1", "2.2.2.2:1", "[::2]:1"],
            ),
        ] {
            assert_eq!(interleaved(addrs(given).into_iter()), addrs(order));
        }
    }
}
