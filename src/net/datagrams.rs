//! Many datagrams with one system call.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};

/// As many go through one system call, at most.
const MOST: usize = 64;

/// A datagram: its bytes, and where it goes or comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    bytes: &'a [u8],
    addr: Option<SocketAddr>,
    truncated: bool,
}

impl<'a> Datagram<'a> {
    /// One for the connected peer.
    pub fn new(bytes: &'a [u8]) -> Self {
        Datagram {
            bytes,
            addr: None,
            truncated: false,
        }
    }

    /// The same bytes for `addr`.
    #[must_use]
    pub fn to(self, addr: SocketAddr) -> Self {
        Datagram {
            addr: Some(addr),
            ..self
        }
    }

    /// What it carries.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where it came from, or goes to.
    pub fn addr(&self) -> Option<SocketAddr> {
        self.addr
    }

    /// Was it longer than the room for it? The rest is lost.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }
}

impl fmt::Debug for Datagram<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagram")
            .field("len", &self.bytes.len())
            .field("addr", &self.addr)
            .field("truncated", &self.truncated)
            .finish()
    }
}

/// Room for datagrams that are received at once; it is made once and used for many
/// [`recv_many`](super::UdpSocket::recv_many).
pub struct Batch {
    /// `size` bytes for each datagram.
    bytes: Box<[u8]>,
    size: usize,
    room: usize,
    received: Vec<Received>,
}

struct Received {
    len: usize,
    addr: Option<SocketAddr>,
    truncated: bool,
}

impl Batch {
    /// Room for `count` datagrams, between 1 and 64, of `size` bytes each, at least 1.
    pub fn new(count: usize, size: usize) -> Batch {
        let (room, size) = (count.clamp(1, MOST), size.max(1));
        Batch {
            bytes: vec![0; room * size].into(),
            size,
            room,
            received: Vec::with_capacity(room),
        }
    }

    /// How many datagrams are in it.
    pub fn len(&self) -> usize {
        self.received.len()
    }

    /// Is none in it? So it is before the first `recv_many`, and after one that failed.
    pub fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    /// The datagrams, in the order of their arrival.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Datagram<'_>> {
        let rooms = self.bytes.chunks_exact(self.size);
        self.received
            .iter()
            .zip(rooms)
            .map(|(received, room)| Datagram {
                bytes: &room[..received.len],
                addr: received.addr,
                truncated: received.truncated,
            })
    }

    /// Receives one after the other, with `recv`, which says how long, where from and whether it was cut.
    pub(super) fn fill(
        &mut self,
        mut recv: impl FnMut(&mut [u8]) -> io::Result<(usize, SocketAddr, bool)>,
    ) -> io::Result<usize> {
        self.received.clear();
        for room in self.bytes.chunks_exact_mut(self.size).take(self.room) {
            match recv(room) {
                Ok((len, addr, truncated)) => self.received.push(Received {
                    len,
                    addr: Some(addr),
                    truncated,
                }),
                Err(error) if self.received.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(self.len())
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// One attempt to fill the batch.
#[cfg(target_os = "linux")]
pub(super) fn recv(socket: &UdpSocket, batch: &mut Batch) -> io::Result<usize> {
    use std::os::fd::AsFd;
    batch.received.clear();
    let received = &mut batch.received;
    let rooms = batch.bytes.chunks_exact_mut(batch.size).take(batch.room);
    crate::io::recv_datagrams(socket.as_fd(), rooms, |len, addr, truncated| {
        received.push(Received {
            len,
            addr,
            truncated,
        });
    })?;
    Ok(batch.len())
}

/// One attempt to send the datagrams.
#[cfg(target_os = "linux")]
pub(super) fn send(socket: &UdpSocket, datagrams: &[Datagram<'_>]) -> io::Result<usize> {
    use std::os::fd::AsFd;
    let mut sent = 0;
    while sent < datagrams.len() {
        let some = &datagrams[sent..datagrams.len().min(sent + MOST)];
        let with_addrs = some.iter().map(|datagram| (datagram.bytes, datagram.addr));
        match crate::io::send_datagrams(socket.as_fd(), with_addrs) {
            Ok(count) => {
                sent += count;
                if count < some.len() {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if sent > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// Where there is no such call: one at a time.
#[cfg(not(target_os = "linux"))]
pub(super) fn recv(socket: &UdpSocket, batch: &mut Batch) -> io::Result<usize> {
    batch.fill(|room| {
        let (len, addr) = socket.recv_from(room)?;
        Ok((len, addr, false))
    })
}

/// Where there is no such call: one at a time.
#[cfg(not(target_os = "linux"))]
pub(super) fn send(socket: &UdpSocket, datagrams: &[Datagram<'_>]) -> io::Result<usize> {
    send_each(datagrams, |datagram| match datagram.addr {
        Some(addr) => socket.send_to(datagram.bytes, addr),
        None => socket.send(datagram.bytes),
    })
}

/// Sends one after the other, until one fails; how many there were before it.
pub(super) fn send_each(
    datagrams: &[Datagram<'_>],
    mut send: impl FnMut(&Datagram<'_>) -> io::Result<usize>,
) -> io::Result<usize> {
    for (sent, datagram) in datagrams.iter().enumerate() {
        match send(datagram) {
            Ok(_) => {}
            Err(error) if sent == 0 => return Err(error),
            Err(_) => return Ok(sent),
        }
    }
    Ok(datagrams.len())
}
