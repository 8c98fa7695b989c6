//! Any descriptor, for futures.

#![allow(unsafe_code)]

use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use super::descriptor::Descriptor;
use super::polled::{PollRead, PollWrite, Polled, sealed};
use super::sigpipe::without_sigpipe;
use super::source::Way;
use crate::futures::Async;

impl<T: AsFd> sealed::Polls for Descriptor<T> {
    #[allow(private_interfaces)]
    fn leave(&self, way: Way, polled: &mut Polled) {
        self.source.leave(way, polled);
    }

    /// There is nothing that all descriptors have. The end comes when it is dropped.
    fn end_writing(&self) -> io::Result<()> {
        Ok(())
    }
}

impl<T: AsFd> PollRead for Descriptor<T>
where
    for<'a> &'a T: Read,
{
    fn poll_read_uninit(
        &self,
        polled: &mut Polled,
        context: &mut Context<'_>,
        buf: &mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>> {
        buf.fill(MaybeUninit::new(0));
        let len = buf.len();
        // SAFETY: the layout is the same, and all of it has just been initialised.
        let buf = unsafe { &mut *(std::ptr::from_mut(buf) as *mut [u8]) };
        let poll = self.poll_read(polled, context, buf);
        if let Poll::Ready(Ok(count)) = poll {
            // Whoever asked believes the number, and `T` is anybody's.
            assert!(count <= len, "more was read than there was room for");
        }
        poll
    }

    fn poll_read(
        &self,
        polled: &mut Polled,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = |mut io: &T| io.read(buf);
        self.source.poll_with(Way::Read, polled, context, read)
    }
}

impl<T: AsFd> PollWrite for Descriptor<T>
where
    for<'a> &'a T: Write,
{
    fn poll_write(
        &self,
        polled: &mut Polled,
        context: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = |mut io: &T| without_sigpipe(|| io.write_vectored(bufs));
        self.source.poll_with(Way::Write, polled, context, write)
    }

    fn poll_flush(&self, polled: &mut Polled, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = |mut io: &T| without_sigpipe(|| io.flush());
        self.source.poll_with(Way::Write, polled, context, flush)
    }
}

/// For what is no stream: a socket for datagrams, an eventfd, what a C library made.
impl<T: AsFd> Async<Descriptor<T>> {
    /// One attempt at `op`. If it gives [`WouldBlock`](io::ErrorKind::WouldBlock), the waker is called when the descriptor
    /// is readable. As [`Descriptor::read_with`] otherwise, but it never suspends.
    ///
    /// # Errors
    /// Those of `op`, those of the poller, and [`Closed`](crate::io::Closed);
    /// [`ResourceBusy`](io::ErrorKind::ResourceBusy) while a blocking call reads from the same descriptor.
    pub fn poll_read_with<R>(
        &mut self,
        context: &mut Context<'_>,
        op: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let (descriptor, polled) = self.reading();
        descriptor.source.poll_with(Way::Read, polled, context, op)
    }

    /// As [`poll_read_with`](Self::poll_read_with), for when it is writable. No `SIGPIPE` comes of it.
    ///
    /// # Errors
    /// As for `poll_read_with`.
    pub fn poll_write_with<R>(
        &mut self,
        context: &mut Context<'_>,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let (descriptor, polled) = self.writing();
        let op = |io: &T| without_sigpipe(|| op(io));
        descriptor.source.poll_with(Way::Write, polled, context, op)
    }

    /// Is done when `op` gives something other than [`WouldBlock`](io::ErrorKind::WouldBlock); tries whenever the descriptor
    /// is readable. Dropped before that, it has done nothing.
    ///
    /// ```
    /// use grapeshot::futures::Async;
    /// use grapeshot::io::Descriptor;
    /// use std::net::UdpSocket;
    ///
    /// grapeshot::run(|| {
    ///     let socket = UdpSocket::bind("127.0.0.1:0")?;
    ///     let addr = socket.local_addr()?;
    ///     let mut socket = Async::new(Descriptor::new(socket)?);
    ///     let receiver = grapeshot::futures::spawn(async move {
    ///         let mut buf = [0; 16];
    ///         let (count, _) = socket.read_with(|socket| socket.recv_from(&mut buf)).await?;
    ///         std::io::Result::Ok(buf[..count].to_vec())
    ///     });
    ///     UdpSocket::bind("127.0.0.1:0")?.send_to(b"ahoy", addr)?;
    ///     assert_eq!(receiver.join().unwrap()?, b"ahoy");
    ///     std::io::Result::Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    ///
    /// # Errors
    /// As for [`poll_read_with`](Self::poll_read_with).
    pub async fn read_with<R>(&mut self, mut op: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        std::future::poll_fn(|context| self.poll_read_with(context, &mut op)).await
    }

    /// As [`read_with`](Self::read_with), for when it is writable. No `SIGPIPE` comes of it.
    ///
    /// # Errors
    /// As for [`poll_read_with`](Self::poll_read_with).
    pub async fn write_with<R>(
        &mut self,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        std::future::poll_fn(|context| self.poll_write_with(context, &mut op)).await
    }
}
