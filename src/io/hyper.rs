//! Our streams as hyper's `rt::Read` and `rt::Write`.

#![allow(unsafe_code)]

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};

use super::{PollRead, PollWrite};
use crate::futures::Async;

impl<T: PollRead> Read for Async<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let (stream, polled) = self.reading();
        // SAFETY: only the kernel writes there: nothing becomes uninitialised.
        let unfilled = unsafe { buf.as_mut() };
        let count = ready!(stream.poll_read_uninit(polled, context, unfilled))?;
        // SAFETY: the kernel has written so many bytes there.
        unsafe { buf.advance(count) };
        Poll::Ready(Ok(()))
    }
}

impl<T: PollWrite> Write for Async<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Write::poll_write_vectored(self, context, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (stream, polled) = self.writing();
        stream.poll_write(polled, context, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (stream, polled) = self.writing();
        stream.poll_flush(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Write::poll_flush(self.as_mut(), context))?;
        Poll::Ready(self.get_ref().end_writing())
    }
}
