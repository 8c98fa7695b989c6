//! Copying between streams, pipes and files without carrying the bytes through this process.

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::endpoint::Endpoint;
#[cfg(target_os = "linux")]
use super::{source::Way, splice};

/// What bytes can be copied from: TCP and Unix streams, pipes, files.
pub trait CopyFrom: sealed::Sealed {}

/// What bytes can be copied to: TCP and Unix streams, pipes, files.
pub trait CopyTo: sealed::Sealed {}

pub(crate) mod sealed {
    #[allow(unreachable_pub, reason = "what seals a public trait has to be public")]
    pub trait Sealed {
        #[doc(hidden)]
        #[allow(private_interfaces, reason = "nobody outside can call it")]
        fn end(&self) -> super::End<'_>;
    }
}

/// One end of a copy.
#[derive(Clone, Copy)]
pub(crate) enum End<'a> {
    Stream(&'a dyn Endpoint),
    Pipe(&'a dyn Endpoint),
    File(&'a File),
}

impl sealed::Sealed for File {
    #[allow(private_interfaces)]
    fn end(&self) -> End<'_> {
        End::File(self)
    }
}
impl CopyFrom for File {}
impl CopyTo for File {}

/// Copies all of `from`, until its end, and says how many bytes that were. **May suspend.** The twin of [`std::io::copy`].
///
/// The kernel moves the bytes (`sendfile`, `splice`), where it can; where it cannot, they are read and written. A file is
/// read and written at its cursor.
///
/// ```
/// use grapeshot::net::{Shutdown, TcpListener, TcpStream};
/// # use std::io::{Read, Write};
///
/// # grapeshot::run(|| {
/// # let upstream = TcpListener::bind("127.0.0.1:0")?;
/// # let server = upstream.local_addr()?;
/// # grapeshot::spawn(move || {
/// #     let (stream, _) = upstream.accept().unwrap();
/// #     grapeshot::io::copy(&stream, &stream).unwrap();
/// # });
/// # let listener = TcpListener::bind("127.0.0.1:0")?;
/// # let mut user = TcpStream::connect(listener.local_addr()?)?;
/// # let user = grapeshot::spawn(move || {
/// #     user.write_all(b"through")?;
/// #     user.shutdown(Shutdown::Write)?;
/// #     let mut heard = String::new();
/// #     user.read_to_string(&mut heard)?;
/// #     std::io::Result::Ok(heard)
/// # });
/// // A proxy for one connection.
/// let (client, _) = listener.accept()?;
/// let server = TcpStream::connect(server)?;
/// let (client, server) = (std::sync::Arc::new(client), std::sync::Arc::new(server));
/// let back = grapeshot::spawn({
///     let (client, server) = (client.clone(), server.clone());
///     move || grapeshot::io::copy(&*server, &*client)
/// });
/// grapeshot::io::copy(&*client, &*server)?;
/// server.shutdown(Shutdown::Write)?;
/// back.join().unwrap()?;
/// # drop((client, server));
/// # assert_eq!(user.join().unwrap()?, "through");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// Others may read and write in between. Reading a file whose pages are not in memory waits for the disk, and the worker
/// with it.
///
/// # Errors
///
/// Those of reading and writing. Then, and after an interrupt, nobody knows how many bytes were copied, and some that were
/// read may be lost: close both ends.
pub fn copy<R, W>(from: &R, to: &W) -> io::Result<u64>
where
    R: CopyFrom + ?Sized,
    W: CopyTo + ?Sized,
{
    copy_n(from, to, u64::MAX)
}

/// As [`copy`], of `count` bytes; of fewer, if `from` ends before. **May suspend.**
///
/// # Errors
///
/// As for `copy`.
pub fn copy_n<R, W>(from: &R, to: &W, count: u64) -> io::Result<u64>
where
    R: CopyFrom + ?Sized,
    W: CopyTo + ?Sized,
{
    let (from, to) = (from.end(), to.end());
    let mut copied = 0;
    #[cfg(target_os = "linux")]
    if splice::copy(from, to, count, &mut copied)? {
        return Ok(copied);
    }
    by_hand(from, to, count, &mut copied)?;
    Ok(copied)
}

/// Sends a part of a file, as far as the file goes, and says how many bytes that were. **May suspend.** The file's cursor
/// stays where it is, so coroutines may share an open file.
///
/// ```
/// use grapeshot::net::UnixStream;
/// # use std::io::Read;
///
/// # grapeshot::run(|| {
/// let file = std::fs::File::open("/proc/self/exe")?;
/// let (here, mut there) = UnixStream::pair()?;
/// assert_eq!(grapeshot::io::send_file(&file, &mut (1..4), &here)?, 3);
/// let mut magic = [0; 3];
/// there.read_exact(&mut magic)?;
/// assert_eq!(&magic, b"ELF");
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// Pages that are not in memory are waited for, and the worker waits with them.
///
/// # Errors
///
/// Those of reading and writing. `part` is then what is left to send, as it is after an interrupt: nothing is lost.
pub fn send_file<W>(file: &File, part: &mut Range<u64>, to: &W) -> io::Result<u64>
where
    W: CopyTo + ?Sized,
{
    let (start, to) = (part.start, to.end());
    #[cfg(target_os = "linux")]
    if splice::send_file(file, part, to)? {
        return Ok(part.start - start);
    }
    let mut buf = vec![0; BUFFER];
    while !part.is_empty() {
        let room = buf.len().min(usize_of(part.end - part.start));
        let count = match file.read_at(&mut buf[..room], part.start) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let mut rest = &buf[..count];
        while !rest.is_empty() {
            let written = to.write(rest)?;
            part.start += written as u64;
            rest = &rest[written..];
        }
    }
    Ok(part.start - start)
}

/// Bytes that go through this process at a time, where they have to.
const BUFFER: usize = 1 << 16;

pub(super) fn usize_of(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// Reads and writes, until `count` bytes have been `copied`.
fn by_hand(from: End<'_>, to: End<'_>, count: u64, copied: &mut u64) -> io::Result<()> {
    let mut buf = vec![0; BUFFER];
    while *copied < count {
        let room = buf.len().min(usize_of(count - *copied));
        let count = match from.read(&mut buf[..room])? {
            0 => break,
            count => count,
        };
        to.write_all(&buf[..count])?;
        *copied += count as u64;
    }
    Ok(())
}

impl End<'_> {
    fn read(self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            End::Stream(source) | End::Pipe(source) => source.read(buf),
            End::File(mut file) => loop {
                match file.read(buf) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => return result,
                }
            },
        }
    }

    /// # Errors
    /// `WriteZero` rather than nothing.
    fn write(self, buf: &[u8]) -> io::Result<usize> {
        let written = match self {
            End::Stream(source) | End::Pipe(source) => source.write(buf)?,
            End::File(mut file) => loop {
                match file.write(buf) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => break result?,
                }
            },
        };
        match written {
            0 => Err(io::ErrorKind::WriteZero.into()),
            written => Ok(written),
        }
    }

    pub(super) fn write_all(self, mut buf: &[u8]) -> io::Result<()> {
        while !buf.is_empty() {
            let written = self.write(buf)?;
            buf = &buf[written..];
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
impl<'a> End<'a> {
    pub(super) fn is_simulated(self) -> bool {
        matches!(self, End::Stream(source) if source.is_simulated())
    }

    pub(super) fn fd(self) -> std::os::fd::BorrowedFd<'a> {
        use std::os::fd::AsFd;
        match self {
            End::Stream(source) | End::Pipe(source) => source.fd(),
            End::File(file) => file.as_fd(),
        }
    }

    /// The turn of one direction; a file has none.
    pub(super) fn turn(self, way: Way) -> io::Result<Option<super::turn::Turn<'a>>> {
        match self {
            End::Stream(source) | End::Pipe(source) => source.turn(way).map(Some),
            End::File(_) => Ok(None),
        }
    }

    pub(super) fn wait(self, way: Way) -> io::Result<()> {
        match self {
            End::Stream(source) | End::Pipe(source) => source.wait(way),
            End::File(_) => Ok(()),
        }
    }

    pub(super) fn explain(self, error: io::Error) -> io::Error {
        match self {
            End::Stream(source) | End::Pipe(source) => source.explain(error),
            End::File(_) => error,
        }
    }
}
