//! What a protocol works on, whatever carries it: streams and listeners.

use std::any::{Any, TypeId};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::{TcpListener, TcpStream, UnixListener, UnixStream};
use crate::fs::File;
use crate::sync::Mutex;

/// A byte stream that one coroutine may read while another writes: what `&TcpStream` is. TCP, TLS, Unix sockets and
/// whatever else a protocol can run on implement it; `&dyn Stream` is [`Read`] and [`Write`] for who wants those:
///
/// ```
/// use std::io::{BufRead, BufReader, Write};
/// use grapeshot::net::{Stream, UnixStream};
///
/// fn greet(mut stream: &dyn Stream) -> std::io::Result<String> {
///     stream.write_all(b"HELO example.org\r\n")?;
///     let mut answer = String::new();
///     BufReader::new(stream).read_line(&mut answer)?;
///     Ok(answer)
/// }
/// # let (ours, theirs) = UnixStream::pair()?;
/// # (&theirs).write_all(b"250 example.net\r\n")?;
/// # assert_eq!(greet(&ours)?, "250 example.net\r\n");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A read that is left by unwinding (a timeout, an interrupt) must have consumed nothing; sockets keep that promise.
/// A write that is left so may have sent a part, and whoever called it never uses the stream again.
pub trait Stream: Send + Sync + 'static {
    /// Does what must be done before the first byte: a TLS handshake, for instance. Who serves connections calls it in
    /// the connection's own coroutine and bounds it by a time; reading and writing do it too if nobody did. Called
    /// again, it does nothing. **May suspend.**
    ///
    /// # Errors
    /// Those of the stream: it is of no use then.
    fn prepare(&self) -> io::Result<()> {
        Ok(())
    }

    /// As [`Read::read`]. **May suspend.**
    ///
    /// # Errors
    /// Those of the stream.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// As [`Write::write`]. **May suspend.**
    ///
    /// # Errors
    /// Those of the stream.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// As [`Write::write_vectored`]. **May suspend.**
    ///
    /// # Errors
    /// Those of the stream.
    fn write_vectored(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.write(
            slices
                .iter()
                .find(|slice| !slice.is_empty())
                .map_or(&[], |slice| slice),
        )
    }

    /// Sends a part of a file without copying it through the program's memory, as far as the file goes; says how many bytes
    /// that were. `part` is what is left to send, after an error or an interrupt as well. What is not in memory is waited
    /// for, and the worker waits with it. **May suspend.**
    ///
    /// # Errors
    /// `Unsupported`, with nothing sent, of streams that must see the bytes (TLS). Else those of the file and the stream.
    fn send_file(&self, file: &File, part: &mut Range<u64>) -> io::Result<u64> {
        let _ = (file, part);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Waits until there may be something to read, for who would rather not hold a buffer meanwhile. It may return without
    /// that being so, and does so at once if the stream cannot do it. **May suspend.**
    ///
    /// # Errors
    /// Those of the stream.
    fn wait_to_read(&self) -> io::Result<()> {
        Ok(())
    }

    /// Reads what is there: for who would wait with a smaller buffer than it reads with. Does not suspend.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there, `Unsupported` if the stream cannot do that; else those of the stream.
    fn try_read(&self, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Writes what is taken at once: for a last word where nothing may wait. Only who knows that nobody else is writing
    /// calls it. Does not suspend.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is taken, `Unsupported` if the stream cannot do that; else those of the stream.
    fn try_write(&self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Who is at the other end, if the stream itself says so: behind a proxy that speaks for many, once it is
    /// [prepared](Stream::prepare). Does not suspend.
    fn peer(&self) -> Option<Peer> {
        None
    }

    /// What the stream knows besides its bytes, if it knows something of the type `wanted`: what a TLS handshake came to,
    /// for instance. Who wants to know calls `about` of `dyn Stream`. One that wraps another passes on what it
    /// does not know itself. Does not suspend.
    fn extension(&self, wanted: TypeId) -> Option<Arc<dyn Any + Send + Sync>> {
        let _ = wanted;
        None
    }

    /// Ends one direction or both; a coroutine that waits in a read which is ended gets 0. Does not suspend.
    ///
    /// # Errors
    /// Those of the stream; `Unsupported` if it cannot do that.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;

    /// Has the connection reset when the stream is dropped, if it can be, and what the peer has not taken thrown away: for a peer
    /// that took too long. Else the system keeps that, up to megabytes, and goes on sending it for minutes. Does not suspend.
    fn reset_on_close(&self) {}

    /// Has the system take no more than about so many bytes that it cannot send yet, if it can be told so (TCP on Linux, see
    /// [`TcpStream::set_notsent_lowat`]): a peer that takes nothing then costs no megabytes, and what is written reaches a slow one
    /// sooner. Does not suspend.
    fn limit_unsent(&self, _bytes: usize) {}
}

impl dyn Stream {
    /// What the stream knows of this type besides its bytes: one under TLS knows a `grapeshot_tls::Info`, once it is
    /// [prepared](Stream::prepare). `None` if it knows nothing of the kind. Does not suspend.
    #[must_use]
    pub fn about<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.extension(TypeId::of::<T>())?.downcast().ok()
    }
}

macro_rules! socket {
    ($($socket:ty { $($more:item)* })*) => {$(
        impl Stream for $socket {
            fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
                Read::read(&mut &*self, buffer)
            }
            fn write(&self, bytes: &[u8]) -> io::Result<usize> {
                Write::write(&mut &*self, bytes)
            }
            fn write_vectored(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
                Write::write_vectored(&mut &*self, slices)
            }
            fn send_file(&self, file: &File, part: &mut Range<u64>) -> io::Result<u64> {
                crate::io::send_file(file.as_std(), part, self)
            }
            fn wait_to_read(&self) -> io::Result<()> {
                <$socket>::wait_to_read(self)
            }
            fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
                <$socket>::try_read(self, buffer)
            }
            fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
                <$socket>::try_write(self, bytes)
            }
            fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                <$socket>::shutdown(self, how)
            }
            $($more)*
        }
    )*};
}
socket! {
    TcpStream {
        fn reset_on_close(&self) {
            // A simulation's network keeps nothing.
            let _ = self.set_linger(Some(Duration::ZERO));
        }
        #[cfg(target_os = "linux")]
        fn limit_unsent(&self, bytes: usize) {
            // It is an economy only: who cannot have it goes on without.
            let _ = self.set_notsent_lowat(Some(bytes));
        }
    }
    UnixStream {}
}

impl<S: Stream + ?Sized> Stream for Arc<S> {
    fn prepare(&self) -> io::Result<()> {
        (**self).prepare()
    }
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (**self).read(buffer)
    }
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        (**self).write(bytes)
    }
    fn write_vectored(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        (**self).write_vectored(slices)
    }
    fn send_file(&self, file: &File, part: &mut Range<u64>) -> io::Result<u64> {
        (**self).send_file(file, part)
    }
    fn wait_to_read(&self) -> io::Result<()> {
        (**self).wait_to_read()
    }
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (**self).try_read(buffer)
    }
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        (**self).try_write(bytes)
    }
    fn peer(&self) -> Option<Peer> {
        (**self).peer()
    }
    fn extension(&self, wanted: TypeId) -> Option<Arc<dyn Any + Send + Sync>> {
        (**self).extension(wanted)
    }
    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        (**self).shutdown(how)
    }
    fn reset_on_close(&self) {
        (**self).reset_on_close();
    }
    fn limit_unsent(&self, bytes: usize) {
        (**self).limit_unsent(bytes);
    }
}

/// Reading **may suspend**.
impl Read for &dyn Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Stream::read(*self, buffer)
    }
}

/// Writing **may suspend**.
impl Write for &dyn Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Stream::write(*self, bytes)
    }
    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        Stream::write_vectored(*self, slices)
    }
    /// Does nothing: a stream keeps nothing back.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a [`Stream`] of anything that is `Read + Write`, for protocols that take turns, as HTTP does. A read and a
/// write exclude each other, so it must not carry a WebSocket, whose reader would keep its writers out.
#[derive(Debug)]
pub struct TakingTurns<S>(Mutex<S>);

impl<S> TakingTurns<S> {
    /// Wraps `stream`.
    pub fn new(stream: S) -> Self {
        Self(Mutex::new(stream))
    }
}

impl<S: Read + Write + Send + 'static> Stream for TakingTurns<S> {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.lock().read(buffer)
    }
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }
    fn write_vectored(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.lock().write_vectored(slices)
    }
    fn shutdown(&self, _how: Shutdown) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Peer {
    /// A TCP peer.
    Tcp(SocketAddr),
    /// A peer on a Unix socket, which has no address worth showing.
    Unix,
    /// Not known.
    #[default]
    Unknown,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => address.fmt(f),
            Peer::Unix => f.write_str("unix"),
            Peer::Unknown => f.write_str("unknown"),
        }
    }
}

/// What a server accepts connections from: sockets, or sockets under TLS.
pub trait Listener: Send + 'static {
    /// What it accepts.
    type Stream: Stream;

    /// Waits for the next connection. It does not wait for anything of that connection's: see [`Stream::prepare`].
    /// **May suspend.**
    ///
    /// # Errors
    /// Those of `accept(2)`.
    fn accept(&self) -> io::Result<(Self::Stream, Peer)>;

    /// What to call it in the console.
    fn name(&self) -> String;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    fn accept(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, address) = TcpListener::accept(self)?;
        // An answer goes out in one write; nothing is gained by holding its last segment back. It fails for a peer that
        // has gone already, which is no error of the listener's.
        let _ = stream.set_nodelay(true);
        Ok((stream, Peer::Tcp(address)))
    }

    fn name(&self) -> String {
        self.local_addr()
            .map_or_else(|_| "tcp".to_owned(), |address| address.to_string())
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        let (stream, _) = UnixListener::accept(self)?;
        Ok((stream, Peer::Unix))
    }

    fn name(&self) -> String {
        "unix".to_owned()
    }
}
