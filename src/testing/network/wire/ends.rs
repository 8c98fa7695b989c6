//! The ends of connections: their handles, and the bytes that go through.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use rustix::io::Errno;

use super::{End, HostId, Id, Item, State, What};
use crate::io::{Slot, Way};
use crate::testing::network::faults::{Call, is_final};

impl State {
    pub(in super::super) fn attach(&mut self, id: Id, slot: Arc<Slot>) {
        if let Some(slots) = self.slots(id) {
            slots.push(slot);
        }
    }

    /// Counts a call of `host`'s. The error, if it is the one that fails.
    fn fault(&self, call: Call, host: HostId) -> Option<Errno> {
        let faults = self.config.faults.as_ref()?;
        faults.next(call, &self.hosts[host].name)
    }

    /// # Errors
    /// This is the call that fails.
    pub(in super::super) fn may_fail(&self, call: Call, host: HostId) -> io::Result<()> {
        self.fault(call, host)
            .map_or(Ok(()), |error| Err(error.into()))
    }

    /// As [`State::may_fail`], of a call on this socket, whose connection may be over by it.
    pub(in super::super) fn may_break(&mut self, call: Call, id: Id) -> io::Result<()> {
        let end = self.ends.get(&id).map(|end| end.host);
        let host = end
            .or_else(|| self.listeners.get(&id).map(|it| it.host))
            .or_else(|| self.mailboxes.get(&id).map(|it| it.host));
        let Some(error) = host.and_then(|host| self.fault(call, host)) else {
            return Ok(());
        };
        if is_final(error) {
            self.reset_peer(id);
            self.fail(id, error);
            // Whoever made this call is told; the next one is not told again.
            self.take_error(id);
        }
        Err(error.into())
    }

    /// # Errors
    /// The handle was closed, or its host was killed.
    pub(in super::super) fn check(&mut self, id: Id, slot: &Arc<Slot>) -> io::Result<()> {
        let slots = self.slots(id).ok_or(Errno::NETDOWN)?;
        match slots.iter().any(|it| Arc::ptr_eq(it, slot)) {
            true => Ok(()),
            false => Err(Errno::BADF.into()),
        }
    }

    pub(in super::super) fn detach(&mut self, id: Id, slot: &Arc<Slot>, resets: bool) {
        let Some(slots) = self.slots(id) else {
            return;
        };
        let before = slots.len();
        slots.retain(|it| !Arc::ptr_eq(it, slot));
        if before == 0 || !slots.is_empty() || slots.len() == before {
            return;
        }
        if self.listeners.contains_key(&id) {
            self.close_listener(id);
        } else if self.mailboxes.contains_key(&id) {
            self.close_mailbox(id);
        } else {
            self.close(id, resets);
        }
    }

    /// The last handle of an end is gone.
    pub(super) fn close(&mut self, id: Id, resets: bool) {
        let Some(end) = self.ends.get_mut(&id) else {
            return;
        };
        end.closed = true;
        // Whoever does not read what came is impolite, and so is answered: as on Linux.
        let resets = resets || !end.received.is_empty();
        let (dead, fin_sent) = (end.dead, mem::replace(&mut end.fin_sent, true));
        if !dead && resets {
            self.reset_peer(id);
            if let Some(end) = self.ends.get_mut(&id) {
                end.dead = true;
            }
        } else if !dead && !fin_sent {
            self.transmit(id, Item::Fin);
        }
        self.forget(id);
    }

    pub(in super::super) fn local_addr(&mut self, id: Id) -> io::Result<SocketAddr> {
        let listener = self.listeners.get(&id).map(|it| it.addr);
        match listener.or_else(|| Some(self.mailboxes.get(&id)?.local)) {
            Some(addr) => Ok(addr),
            None => Ok(self.end(id)?.local),
        }
    }

    pub(in super::super) fn peer_addr(&mut self, id: Id) -> io::Result<SocketAddr> {
        let end = self.end(id)?;
        if !end.connected || end.dead {
            return Err(Errno::NOTCONN.into());
        }
        Ok(end.remote)
    }

    pub(in super::super) fn take_error(&mut self, id: Id) -> Option<io::Error> {
        let error = match self.mailboxes.get_mut(&id) {
            Some(mailbox) => mailbox.error.take(),
            None => self.ends.get_mut(&id)?.error.take(),
        };
        Some(error?.into())
    }

    pub(super) fn end(&mut self, id: Id) -> io::Result<&mut End> {
        Ok(self.ends.get_mut(&id).ok_or(Errno::NOTCONN)?)
    }

    pub(in super::super) fn is_ready(&self, id: Id, way: Way) -> bool {
        if let Some(listener) = self.listeners.get(&id) {
            return way == Way::Read && !listener.queue.is_empty();
        }
        if let Some(ready) = self.is_mailbox_ready(id, way) {
            return ready;
        }
        let Some(end) = self.ends.get(&id) else {
            return true;
        };
        match way {
            Way::Read => !end.received.is_empty() || end.dead || end.fin_received || end.read_shut,
            Way::Write => {
                end.dead || end.fin_sent || (end.connected && end.outstanding < self.config.buffer)
            }
        }
    }

    pub(in super::super) fn recv(
        &mut self,
        id: Id,
        bufs: &mut [IoSliceMut<'_>],
        peek: bool,
    ) -> io::Result<usize> {
        let end = self.ends.get_mut(&id).ok_or(Errno::NOTCONN)?;
        let room: usize = bufs.iter().map(|buf| buf.len()).sum();
        if room == 0 {
            return Ok(0);
        }
        let there = end.received.len().min(room);
        if there == 0 {
            return match end.error.take() {
                Some(error) => Err(error.into()),
                None if end.dead || end.fin_received || end.read_shut => Ok(0),
                None => Err(io::ErrorKind::WouldBlock.into()),
            };
        }
        let count = if self.config.chop {
            self.chance.part(there)
        } else {
            there
        };
        let mut bytes = end.received.iter().copied();
        let mut left = count;
        for buf in bufs {
            let part = left.min(buf.len());
            buf[..part]
                .iter_mut()
                .zip(&mut bytes)
                .for_each(|(to, from)| *to = from);
            left -= part;
        }
        if !peek {
            end.received.drain(..count);
            end.untold += count;
            self.tell(id);
        }
        Ok(count)
    }

    /// Tells the peer how much was read here, if it is about to run out of room.
    pub(super) fn tell(&mut self, id: Id) {
        let half = self.config.buffer / 2;
        let Some(end) = self.ends.get(&id) else {
            return;
        };
        let peer = end.peer.and_then(|peer| self.ends.get(&peer));
        if end.dead || peer.is_none_or(|peer| peer.outstanding <= half) {
            return;
        }
        let count = mem::take(&mut self.ends.get_mut(&id).expect("looked at above").untold);
        self.transmit(id, Item::Window(count));
    }

    pub(in super::super) fn send(&mut self, id: Id, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let end = self.ends.get_mut(&id).ok_or(Errno::NOTCONN)?;
        if let Some(error) = end.error.take() {
            return Err(error.into());
        }
        if end.dead || end.fin_sent {
            return Err(Errno::PIPE.into());
        }
        let len: usize = bufs.iter().map(|buf| buf.len()).sum();
        if len == 0 {
            return Ok(0);
        }
        let room = self.config.buffer.saturating_sub(end.outstanding);
        if !end.connected || room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = len.min(room);
        let count = if self.config.chop {
            self.chance.part(count)
        } else {
            count
        };
        end.outstanding += count;
        let bytes: Vec<u8> = bufs
            .iter()
            .flat_map(|buf| buf.iter().copied())
            .take(count)
            .collect();
        self.transmit(id, Item::Data(bytes));
        if self.chance.happens(self.config.resets) {
            self.lose(id);
        }
        Ok(count)
    }

    /// The connection will break, soon: before, while or after what was just sent arrives. Each end learns it by itself.
    pub(super) fn lose(&mut self, id: Id) {
        let Some(end) = self.ends.get(&id) else {
            return;
        };
        let (one, other, peer) = (end.host, end.peer_host, end.peer);
        for end in [Some(id), peer].into_iter().flatten() {
            let at = self.now + self.latency(one, other) + self.latency(one, other) / 2;
            self.schedule(at, What::Breaks { end });
        }
    }

    pub(in super::super) fn shutdown(&mut self, id: Id, how: Shutdown) -> io::Result<()> {
        let end = self.end(id)?;
        if end.dead || !end.connected {
            return Err(Errno::NOTCONN.into());
        }
        if how != Shutdown::Write {
            end.read_shut = true;
            self.ready(id, Way::Read);
        }
        if how != Shutdown::Read && !mem::replace(&mut self.end(id)?.fin_sent, true) {
            self.transmit(id, Item::Fin);
            self.ready(id, Way::Write);
        }
        Ok(())
    }
}
