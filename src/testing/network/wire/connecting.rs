//! Connecting, and listening.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;

use super::{End, HostId, Id, Item, Listener, SECOND, SYN_ATTEMPTS, State, What, clash};
use crate::io::Way;
use crate::testing::network::trace::Kind;

impl State {
    /// Begins to connect.
    pub(in super::super) fn connect(&mut self, host: HostId, remote: SocketAddr) -> io::Result<Id> {
        self.must_be_up(host)?;
        let peer_host = self.find(host, remote.ip()).ok_or(Errno::HOSTUNREACH)?;
        let ip = if peer_host == host {
            remote.ip()
        } else {
            IpAddr::V4(self.hosts[host].ip)
        };
        let local = SocketAddr::new(ip, self.port(host));
        let id = self.add_end(End::new(host, peer_host, local, remote));
        self.trace_end(Kind::Connect, id, 0);
        self.travel(
            host,
            peer_host,
            What::Syn {
                from: id,
                attempt: 1,
            },
        );
        Ok(id)
    }

    pub(super) fn add_end(&mut self, end: End) -> Id {
        let id = self.next_id;
        self.next_id += 1;
        self.ends.insert(id, end);
        id
    }

    pub(super) fn syn(&mut self, from: Id, attempt: u32) {
        let Some(client) = self.ends.get(&from).filter(|end| !end.dead && !end.closed) else {
            return;
        };
        let (host, server, local, remote) =
            (client.host, client.peer_host, client.local, client.remote);
        let listener = self.listening(server, remote);
        let full = listener.is_some_and(|id| {
            let listener = &self.listeners[&id];
            listener.queue.len() >= listener.backlog
        });
        if self.is_cut(host, server) || full {
            // It is lost, and sent again.
            if attempt == SYN_ATTEMPTS {
                self.trace_end(Kind::TimedOut, from, 0);
                return self.fail(from, Errno::TIMEDOUT);
            }
            let pause = SECOND << (attempt - 1);
            return self.schedule(
                self.now + pause,
                What::Syn {
                    from,
                    attempt: attempt + 1,
                },
            );
        }
        let refused = self.chance.happens(self.config.refusals);
        let Some(listener) = listener.filter(|_| !refused) else {
            return self.travel(server, host, What::Refused { to: from });
        };
        let accepted = self.add_end(End {
            peer: Some(from),
            connected: true,
            ..End::new(server, host, remote, local)
        });
        self.ends.get_mut(&from).expect("looked at above").peer = Some(accepted);
        self.transmit(accepted, Item::Accepted);
        self.listeners
            .get_mut(&listener)
            .expect("found above")
            .queue
            .push_back(accepted);
        self.ready(listener, Way::Read);
    }

    /// Who listens at `addr` of `host`; one of those that share the port, by chance.
    pub(super) fn listening(&mut self, host: HostId, addr: SocketAddr) -> Option<Id> {
        let matches = |listener: &Listener| {
            let ip = listener.addr.ip();
            listener.host == host
                && listener.addr.port() == addr.port()
                && (ip.is_unspecified() || ip.to_canonical() == addr.ip().to_canonical())
        };
        let found: Vec<Id> = self
            .listeners
            .iter()
            .filter(|(_, it)| matches(it))
            .map(|(&id, _)| id)
            .collect();
        match found[..] {
            [] => None,
            [one] => Some(one),
            _ => Some(found[self.chance.below(found.len())]),
        }
    }

    pub(in super::super) fn outcome(&mut self, id: Id) -> io::Result<()> {
        let end = self.end(id)?;
        match end.error.take() {
            Some(error) => Err(error.into()),
            None if end.connected || end.dead => Ok(()),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    pub(in super::super) fn listen(
        &mut self,
        host: HostId,
        addr: SocketAddr,
        backlog: usize,
        shares_port: bool,
    ) -> io::Result<Id> {
        let addr = self.own_address(host, addr)?;
        let mut listeners = self.listeners.values();
        if listeners
            .any(|it| it.host == host && clash(it.addr, addr) && !(it.shares_port && shares_port))
        {
            return Err(Errno::ADDRINUSE.into());
        }
        let id = self.next_id;
        self.next_id += 1;
        self.listeners.insert(
            id,
            Listener {
                host,
                addr,
                slots: Vec::new(),
                queue: VecDeque::new(),
                backlog: backlog.max(1),
                shares_port,
            },
        );
        Ok(id)
    }

    pub(in super::super) fn accept(&mut self, id: Id) -> io::Result<(Id, SocketAddr)> {
        let listener = self.listeners.get_mut(&id).ok_or(Errno::INVAL)?;
        loop {
            let accepted = listener
                .queue
                .pop_front()
                .ok_or(io::ErrorKind::WouldBlock)?;
            if let Some(end) = self.ends.get(&accepted) {
                return Ok((accepted, end.remote));
            }
        }
    }

    pub(super) fn close_listener(&mut self, id: Id) {
        self.ready(id, Way::Read);
        let Some(listener) = self.listeners.remove(&id) else {
            return;
        };
        for accepted in listener.queue {
            self.close(accepted, true);
        }
    }

    pub(super) fn must_be_up(&self, host: HostId) -> io::Result<()> {
        match self.hosts[host].up {
            true => Ok(()),
            false => Err(Errno::NETDOWN.into()),
        }
    }
}
