//! A handle to a socket of the simulated network: what [`net`](crate::net) sees of it.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use super::Wire;
use super::faults::Call;
use super::wire::{Id, Received, State};
use crate::io::{self as ours, Slot, Way};

/// One handle; clones of a socket have handles of their own. The last one closes it.
pub(crate) struct Simulated {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
}

struct Shared {
    wire: Arc<Wire>,
    id: Id,
    /// Real sockets that go nowhere, on which options are set and asked for, once somebody does.
    options: Options,
}

#[derive(Default)]
struct Options {
    stream: OnceLock<std::net::TcpStream>,
    listener: OnceLock<std::net::TcpListener>,
    datagrams: OnceLock<std::net::UdpSocket>,
}

impl Simulated {
    /// The first handle to a socket that the wire has just made.
    pub(super) fn new(wire: Arc<Wire>, id: Id) -> Self {
        let shared = Arc::new(Shared {
            wire,
            id,
            options: Options::default(),
        });
        Self::of(shared)
    }

    fn of(shared: Arc<Shared>) -> Self {
        let slot = Arc::new(Slot::simulated());
        shared
            .wire
            .with_quietly(|state| state.attach(shared.id, slot.clone()));
        Self { shared, slot }
    }

    pub(crate) fn duplicate(&self) -> io::Result<Self> {
        self.call(Call::Clone, |_, _| Ok(()))?;
        Ok(Self::of(self.shared.clone()))
    }

    /// Asks the wire about this socket, if this handle is not closed.
    fn with<R>(&self, act: impl FnOnce(&mut State, Id) -> io::Result<R>) -> io::Result<R> {
        let id = self.shared.id;
        self.shared.wire.with(|state| {
            state.check(id, &self.slot)?;
            act(state, id)
        })
    }

    /// As [`Simulated::with`], for a call that can fail.
    fn call<R>(
        &self,
        call: Call,
        act: impl FnOnce(&mut State, Id) -> io::Result<R>,
    ) -> io::Result<R> {
        self.with(|state, id| {
            state.may_break(call, id)?;
            act(state, id)
        })
    }

    /// What all handles of this socket share.
    pub(crate) fn behind(&self) -> Arc<dyn ours::Simulated> {
        self.shared.clone()
    }

    pub(crate) fn slot(&self) -> Arc<Slot> {
        self.slot.clone()
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.call(Call::LocalAddr, |state, id| state.local_addr(id))
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.call(Call::PeerAddr, |state, id| state.peer_addr(id))
    }

    pub(crate) fn take_error(&self) -> Option<io::Error> {
        let taken = self.with(|state, id| Ok(state.take_error(id)));
        taken.ok().flatten()
    }

    /// How connecting has ended; `WouldBlock` while it has not.
    pub(crate) fn outcome(&self) -> io::Result<()> {
        self.call(Call::Connected, |state, id| state.outcome(id))
    }

    pub(crate) fn accept(&self) -> io::Result<(Simulated, SocketAddr)> {
        let (stream, peer) = self.call(Call::Accept, |state, id| state.accept(id))?;
        Ok((Self::new(self.shared.wire.clone(), stream), peer))
    }

    pub(crate) fn recv(&self, bufs: &mut [IoSliceMut<'_>], peek: bool) -> io::Result<usize> {
        self.call(Call::Recv, |state, id| state.recv(id, bufs, peek))
    }

    pub(crate) fn send(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.call(Call::Send, |state, id| state.send(id, bufs))
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.call(Call::Shutdown, |state, id| state.shutdown(id, how))
    }

    /// Options may be set from anywhere, and of a closed socket.
    fn option(&self) -> io::Result<()> {
        let (wire, id) = (&self.shared.wire, self.shared.id);
        match wire.is_here() {
            true => wire.with(|state| state.may_break(Call::Option, id)),
            false => Ok(()),
        }
    }

    // ---- of a socket for datagrams ----

    pub(crate) fn fix_peer(&self, peer: SocketAddr) -> io::Result<()> {
        self.with(|state, id| state.fix_peer(id, peer))
    }

    pub(crate) fn fixed_peer(&self) -> io::Result<SocketAddr> {
        self.with(|state, id| state.fixed_peer(id))
    }

    pub(crate) fn send_datagram(&self, bytes: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        self.call(Call::SendTo, |state, id| state.send_datagram(id, bytes, to))
    }

    pub(crate) fn recv_datagram(&self, buf: &mut [u8], peek: bool) -> io::Result<Received> {
        self.call(Call::RecvFrom, |state, id| {
            state.recv_datagram(id, buf, peek)
        })
    }

    // ---- options ----

    pub(crate) fn stream_options(&self) -> io::Result<&std::net::TcpStream> {
        self.option()?;
        let place = &self.shared.options.stream;
        if place.get().is_none() {
            let made = any_socket(Type::STREAM)?.into();
            place.get_or_init(|| made);
        }
        Ok(place.get().expect("made above"))
    }

    pub(crate) fn datagram_options(&self) -> io::Result<&std::net::UdpSocket> {
        self.option()?;
        let place = &self.shared.options.datagrams;
        if place.get().is_none() {
            let made = any_socket(Type::DGRAM)?.into();
            place.get_or_init(|| made);
        }
        Ok(place.get().expect("made above"))
    }

    pub(crate) fn listener_options(&self) -> io::Result<&std::net::TcpListener> {
        self.option()?;
        let place = &self.shared.options.listener;
        if place.get().is_none() {
            let made = any_socket(Type::STREAM)?.into();
            place.get_or_init(|| made);
        }
        Ok(place.get().expect("made above"))
    }
}

fn any_socket(kind: Type) -> io::Result<Socket> {
    Socket::new(Domain::IPV4, kind, None)
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.shared.detach(&self.slot);
    }
}

impl Shared {
    /// This handle is done with; the socket too, if it was the last.
    fn detach(&self, slot: &Arc<Slot>) {
        let (id, slot) = (self.id, slot.clone());
        let resets = self.resets();
        self.wire
            .clone()
            .on_its_worker(move |state| state.detach(id, &slot, resets));
    }

    /// `SO_LINGER` of zero: whatever is under way is dropped.
    fn resets(&self) -> bool {
        let stream = self.options.stream.get();
        stream
            .is_some_and(|stream| SockRef::from(stream).linger().ok() == Some(Some(Duration::ZERO)))
    }
}

impl ours::Simulated for Shared {
    fn is_ready(&self, way: Way) -> bool {
        let ready = self.wire.with(|state| Ok(state.is_ready(self.id, way)));
        // The call itself then says what is wrong.
        ready.unwrap_or(true)
    }

    fn close(&self, slot: &Arc<Slot>) {
        self.detach(slot);
    }

    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.wire.with(|state| {
            state.may_break(Call::Recv, self.id)?;
            state.recv(self.id, &mut [IoSliceMut::new(buf)], false)
        })
    }

    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        self.wire.with(|state| {
            state.may_break(Call::Send, self.id)?;
            state.send(self.id, &[IoSlice::new(buf)])
        })
    }
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Simulated");
        if let Ok(addr) = self.with(|state, id| state.local_addr(id)) {
            shown.field("addr", &addr);
        }
        if let Ok(peer) = self.with(|state, id| state.peer_addr(id)) {
            shown.field("peer", &peer);
        }
        shown.finish()
    }
}
