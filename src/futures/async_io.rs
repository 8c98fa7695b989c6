//! Our streams as `AsyncRead` and `AsyncWrite`.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};

use crate::io::sealed_polls::Polls;
use crate::io::{PollRead, PollWrite, Polled, Way};

/// A stream of ours (TCP, Unix, an end of a pipe, any [`Descriptor`](crate::io::Descriptor)) for futures.
///
/// A poll tries the call; if it would have to wait, it leaves the waker with the worker's poller. Reading and writing may
/// wait at the same time, each with a waker of its own. Polls may come from any thread and any executor, whose wakers
/// they leave; [`block_on`](crate::block_on) is the nearest. After many polls that did not have to wait, one gives
/// `Pending` all the same and wakes itself, so that others get their turn.
///
/// Dropping it withdraws the wakers. After a poll that gave `Pending`, blocking calls on the same stream and in the same
/// direction queue behind, until a poll succeeds.
///
/// ```
/// use futures_io::{AsyncRead, AsyncWrite};
/// use grapeshot::futures::Async;
/// use grapeshot::net::UnixStream;
/// use std::future::poll_fn;
/// use std::pin::Pin;
///
/// grapeshot::run(|| {
///     let (near, far) = UnixStream::pair()?;
///     let echo = grapeshot::futures::spawn(async move {
///         let mut far = Async::new(far);
///         let mut chunk = [0; 16];
///         let count = poll_fn(|context| Pin::new(&mut far).poll_read(context, &mut chunk)).await?;
///         poll_fn(|context| Pin::new(&mut far).poll_write(context, &chunk[..count])).await
///     });
///     // The other end need not know.
///     std::io::Write::write_all(&mut &near, b"hello")?;
///     assert_eq!(std::io::read_to_string(&near)?, "hello");
///     echo.join().unwrap().map(drop)
/// })?;
/// # std::io::Result::Ok(())
/// ```
pub struct Async<T: Polls> {
    /// `None` only once `into_inner` has it.
    inner: Option<T>,
    read: Polled,
    write: Polled,
}

impl<T: Polls> Async<T> {
    /// Lets futures use `stream`.
    pub fn new(stream: T) -> Self {
        Self {
            inner: Some(stream),
            read: Polled::default(),
            write: Polled::default(),
        }
    }

    /// The stream: to ask for its addresses, say.
    pub fn get_ref(&self) -> &T {
        self.inner.as_ref().expect("it is here until `into_inner`")
    }

    /// The stream, for blocking calls again.
    pub fn into_inner(mut self) -> T {
        self.withdraw();
        self.inner.take().expect("it is here until `into_inner`")
    }

    fn withdraw(&mut self) {
        if let Some(stream) = &self.inner {
            stream.leave(Way::Read, &mut self.read);
            stream.leave(Way::Write, &mut self.write);
        }
    }

    /// What is polled, and what polls to read leave behind.
    pub(crate) fn reading(&mut self) -> (&T, &mut Polled) {
        let inner = self.inner.as_ref();
        let stream = inner.expect("it is here until `into_inner`");
        (stream, &mut self.read)
    }

    /// What is polled, and what polls to write leave behind.
    pub(crate) fn writing(&mut self) -> (&T, &mut Polled) {
        let inner = self.inner.as_ref();
        let stream = inner.expect("it is here until `into_inner`");
        (stream, &mut self.write)
    }
}

impl<T: Polls> Drop for Async<T> {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl<T: Polls> From<T> for Async<T> {
    fn from(stream: T) -> Self {
        Self::new(stream)
    }
}

impl<T: Polls + fmt::Debug> fmt::Debug for Async<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Async").field(self.get_ref()).finish()
    }
}

/// Nothing of it is pinned: a poll leaves nothing that points here.
impl<T: Polls> Unpin for Async<T> {}

impl<T: PollRead> AsyncRead for Async<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let (stream, polled) = self.reading();
        stream.poll_read(polled, context, buf)
    }
}

impl<T: PollWrite> AsyncWrite for Async<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (stream, polled) = self.writing();
        stream.poll_write(polled, context, bufs)
    }

    /// Does nothing for a stream, which keeps nothing back on this side.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (stream, polled) = self.writing();
        stream.poll_flush(polled, context)
    }

    /// Ends the writing side; that of a [`Descriptor`](crate::io::Descriptor) when it is dropped, and no sooner.
    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(context))?;
        Poll::Ready(self.get_ref().end_writing())
    }
}
