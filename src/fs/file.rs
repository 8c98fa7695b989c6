//! An open file.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::ready::Ready;
use super::{Metadata, OpenOptions, Permissions, outside};
use crate::io::share_the_worker;
use crate::sched::wait::{Refused, check_interrupt, nothing_may_wait};
use crate::sync::{OwnedPermit, Semaphore};

/// One call reads or writes no more than that: the bytes are copied, because a call may outlive its caller.
const MOST: usize = 1 << 20;

/// An open file; the twin of [`std::fs::File`].
///
/// `&File` reads and writes as well as `File`. Calls that use the cursor queue, first come, first served; `read_at` and
/// `write_at` do not, and may run at the same time.
///
/// FIFOs, terminals and devices work, but each call that waits takes a thread; a
/// [`Descriptor`](crate::io::Descriptor) is better for them.
pub struct File {
    open: Arc<Open>,
    /// Whoever has the permit may use the cursor.
    turn: Arc<Semaphore>,
}

struct Open {
    file: std::fs::File,
    /// Where the next read or write begins. The system's own cursor does not follow, so that a read whose caller has gone
    /// moves nothing. Changed by whoever has the turn.
    cursor: Mutex<u64>,
    kind: Kind,
    ready: Ready,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Usual,
    /// Writes go to the end.
    Appends,
    /// There are no positions in it.
    Flows,
}

impl File {
    /// Opens a file to be read. **May suspend.**
    ///
    /// # Errors
    /// Those of [`std::fs::File::open`], and of [`unblock`](crate::unblock).
    pub fn open(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(path)
    }

    /// Makes a file to be written, or opens and empties it. **May suspend.**
    ///
    /// # Errors
    /// Those of [`std::fs::File::create`], and of [`unblock`](crate::unblock).
    pub fn create(path: impl AsRef<Path>) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).open(path)
    }

    /// Makes a file to be read and written; there must be none. **May suspend.**
    ///
    /// # Errors
    /// Those of [`std::fs::File::create_new`], and of [`unblock`](crate::unblock).
    pub fn create_new(path: impl AsRef<Path>) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).open(path)
    }

    /// Opens a file in another way.
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Takes over what std opened. Never suspends.
    ///
    /// # Errors
    /// Those of `lseek` and `fcntl`.
    pub fn from_std(file: std::fs::File) -> io::Result<File> {
        let (kind, cursor) = match rustix::fs::tell(&file) {
            Ok(cursor) if rustix::fs::fcntl_getfl(&file)?.contains(OFlags::APPEND) => {
                (Kind::Appends, cursor)
            }
            Ok(cursor) => (Kind::Usual, cursor),
            Err(Errno::SPIPE) => (Kind::Flows, 0),
            Err(error) => return Err(error.into()),
        };
        Ok(File {
            open: Arc::new(Open {
                file,
                cursor: Mutex::new(cursor),
                kind,
                ready: Ready::new(),
            }),
            turn: Arc::new(Semaphore::new(1)),
        })
    }

    /// Hands it over to std, with its cursor. A duplicate, if somebody else uses it, be it an orphaned call.
    ///
    /// # Errors
    /// Those of `lseek`; no descriptor left.
    pub fn into_std(self) -> io::Result<std::fs::File> {
        let (kind, cursor) = (self.open.kind, *self.open.cursor.lock());
        let mut file = match Arc::try_unwrap(self.open) {
            Ok(open) => open.file,
            Err(shared) => shared.file.try_clone()?,
        };
        if kind != Kind::Flows {
            file.seek(SeekFrom::Start(cursor))?;
        }
        Ok(file)
    }

    pub(crate) fn as_std(&self) -> &std::fs::File {
        &self.open.file
    }

    /// A second handle. It shares everything, the cursor too, as std's does, and takes no descriptor.
    ///
    /// # Errors
    /// None; it is there as in std.
    pub fn try_clone(&self) -> io::Result<File> {
        Ok(File {
            open: Arc::clone(&self.open),
            turn: Arc::clone(&self.turn),
        })
    }

    /// Reads at a position, and leaves the cursor alone. **May suspend.** One call reads 1 MiB at most.
    ///
    /// # Errors
    /// Those of `pread`, and of [`unblock`](crate::unblock).
    pub fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        check_interrupt();
        if let Some(count) = self.open.ready.read_at(&self.open.file, buf, position)? {
            share_the_worker();
            return Ok(count);
        }
        let room = buf.len().min(MOST);
        let bytes = self.call(move |open| {
            let mut bytes = vec![0; room];
            let count = retried(|| open.file.read_at(&mut bytes, position))?;
            bytes.truncate(count);
            Ok(bytes)
        })?;
        buf[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    /// Fills the whole buffer from a position on. **May suspend.**
    ///
    /// # Errors
    /// `UnexpectedEof` if there is less; otherwise as [`read_at`](Self::read_at).
    pub fn read_exact_at(&self, mut buf: &mut [u8], mut position: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read_at(buf, position)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => {
                    buf = &mut buf[count..];
                    position += count as u64;
                }
            }
        }
        Ok(())
    }

    /// Writes at a position, and leaves the cursor alone. **May suspend.** One call writes 1 MiB at most.
    ///
    /// If the caller is interrupted, it may still be written, at any later time, even after what is written next.
    ///
    /// # Errors
    /// Those of `pwrite`, and of [`unblock`](crate::unblock).
    pub fn write_at(&self, buf: &[u8], position: u64) -> io::Result<usize> {
        let bytes = buf[..buf.len().min(MOST)].to_vec();
        self.call(move |open| retried(|| open.file.write_at(&bytes, position)))
    }

    /// Writes all of it at a position. **May suspend.**
    ///
    /// # Errors
    /// As for [`write_at`](Self::write_at); nobody knows then how much is written.
    pub fn write_all_at(&self, mut buf: &[u8], mut position: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.write_at(buf, position)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => {
                    buf = &buf[count..];
                    position += count as u64;
                }
            }
        }
        Ok(())
    }

    /// Waits until all that was written is on the disk, with what is known of the file. **May suspend.**
    ///
    /// # Errors
    /// Those of `fsync`, and of [`unblock`](crate::unblock).
    pub fn sync_all(&self) -> io::Result<()> {
        self.call(|open| open.file.sync_all())
    }

    /// Waits until the content is on the disk. **May suspend.**
    ///
    /// # Errors
    /// Those of `fdatasync`, and of [`unblock`](crate::unblock).
    pub fn sync_data(&self) -> io::Result<()> {
        self.call(|open| open.file.sync_data())
    }

    /// Cuts it, or fills it up with zeros. **May suspend.** The cursor stays where it is.
    ///
    /// # Errors
    /// Those of `ftruncate`, and of [`unblock`](crate::unblock).
    pub fn set_len(&self, len: u64) -> io::Result<()> {
        self.call(move |open| open.file.set_len(len))
    }

    /// What is known of it. **May suspend.**
    ///
    /// # Errors
    /// Those of `fstat`, and of [`unblock`](crate::unblock).
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.call(|open| open.file.metadata())
    }

    /// Says who may read, write and execute it. **May suspend.**
    ///
    /// # Errors
    /// Those of `fchmod`, and of [`unblock`](crate::unblock).
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.call(move |open| open.file.set_permissions(permissions))
    }

    fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Open) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let open = Arc::clone(&self.open);
        outside(move || call(&open))
    }

    /// The right to use the cursor. **May suspend.**
    fn turn(&self) -> io::Result<OwnedPermit> {
        check_interrupt();
        match self.turn.try_acquire_owned() {
            Some(turn) => Ok(turn),
            None if nothing_may_wait() => Err(Refused.into()),
            None => Ok(self.turn.acquire_owned()),
        }
    }
}

impl Open {
    /// Writes at the cursor, with the turn.
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.kind == Kind::Usual {
            let cursor = *self.cursor.lock();
            let count = retried(|| self.file.write_at(bytes, cursor))?;
            *self.cursor.lock() = cursor + count as u64;
            return Ok(count);
        }
        let count = retried(|| (&self.file).write(bytes))?;
        if self.kind == Kind::Appends {
            *self.cursor.lock() = rustix::fs::tell(&self.file)?;
        }
        Ok(count)
    }
}

fn retried<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Reading **may suspend**. One call reads 1 MiB at most. An interrupt takes nothing, unless it is a FIFO or the like.
impl Read for &File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let _turn = self.turn()?;
        if self.open.kind == Kind::Flows {
            let room = buf.len().min(MOST);
            let bytes = self.call(move |open| {
                let mut bytes = vec![0; room];
                let count = retried(|| (&open.file).read(&mut bytes))?;
                bytes.truncate(count);
                Ok(bytes)
            })?;
            buf[..bytes.len()].copy_from_slice(&bytes);
            return Ok(bytes.len());
        }
        let cursor = *self.open.cursor.lock();
        let count = self.read_at(buf, cursor)?;
        *self.open.cursor.lock() = cursor + count as u64;
        Ok(count)
    }
}

/// Writing **may suspend**. One call writes 1 MiB at most. If the caller is interrupted, it goes on, and whoever uses the
/// cursor next waits for that.
impl Write for &File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let turn = self.turn()?;
        let bytes = buf[..buf.len().min(MOST)].to_vec();
        self.call(move |open| {
            let _turn = turn;
            open.write(&bytes)
        })
    }
    /// Does nothing: nothing is kept back on this side. See [`File::sync_data`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Seeking **may suspend**: behind other calls, and to ask where the end is.
impl Seek for &File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let _turn = self.turn()?;
        let cursor = *self.open.cursor.lock();
        let cursor = match to {
            SeekFrom::Start(position) if self.open.kind != Kind::Flows => position,
            SeekFrom::Current(offset) if self.open.kind != Kind::Flows => cursor
                .checked_add_signed(offset)
                .ok_or_else(|| io::Error::from(Errno::INVAL))?,
            // The system says where that is, or why not.
            to => self.call(move |open| (&open.file).seek(to))?,
        };
        *self.open.cursor.lock() = cursor;
        Ok(cursor)
    }
}

/// Reading **may suspend**.
impl Read for File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }
}

/// Writing **may suspend**.
impl Write for File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }
    /// Does nothing: nothing is kept back on this side. See [`File::sync_data`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Seeking **may suspend**.
impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        (&*self).seek(to)
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.open.file.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.open.file.as_raw_fd()
    }
}

/// As [`from_std`](File::from_std).
impl TryFrom<std::fs::File> for File {
    type Error = io::Error;
    fn try_from(file: std::fs::File) -> io::Result<Self> {
        Self::from_std(file)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.open.file.fmt(f)
    }
}
