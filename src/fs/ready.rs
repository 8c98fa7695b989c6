//! Reading what is in memory, without waiting.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

/// Whether a file can be read in place, and how.
#[derive(Debug)]
pub(super) struct Ready(AtomicU8);

/// It may be that the system can tell what is in memory.
const TRY: u8 = 0;
/// All of it always is.
const IN_MEMORY: u8 = 1;
/// Nothing can be said.
const NEVER: u8 = 2;

impl Ready {
    pub(super) const fn new() -> Self {
        Self(AtomicU8::new(if cfg!(target_os = "linux") {
            TRY
        } else {
            NEVER
        }))
    }

    /// Reads what is in memory; `None` if that is nothing, or cannot be said.
    pub(super) fn read_at(
        &self,
        file: &File,
        buf: &mut [u8],
        at: u64,
    ) -> io::Result<Option<usize>> {
        use std::os::unix::fs::FileExt;
        if self.0.load(Ordering::Relaxed) == TRY
            && let Some(read) = self.try_read(file, buf, at)?
        {
            return Ok(Some(read));
        }
        match self.0.load(Ordering::Relaxed) {
            IN_MEMORY => file.read_at(buf, at).map(Some),
            _ => Ok(None),
        }
    }

    #[cfg(target_os = "linux")]
    fn try_read(&self, file: &File, buf: &mut [u8], at: u64) -> io::Result<Option<usize>> {
        use rustix::fs::fstat;
        use rustix::io::{Errno, IoSliceMut, ReadWriteFlags, preadv2};
        match preadv2(
            file,
            &mut [IoSliceMut::new(buf)],
            at,
            ReadWriteFlags::NOWAIT,
        ) {
            // Linux 5.9 and 5.10 also say so when nothing is in memory.
            Ok(0) => Ok((fstat(file)?.st_size as u64 <= at).then_some(0)),
            Ok(count) => Ok(Some(count)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                let ready = if is_in_memory(file) { IN_MEMORY } else { NEVER };
                self.0.store(ready, Ordering::Relaxed);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn try_read(&self, _: &File, _: &mut [u8], _: u64) -> io::Result<Option<usize>> {
        Ok(None)
    }
}

/// Is its file system in memory, like `/dev/shm`?
#[cfg(target_os = "linux")]
fn is_in_memory(file: &File) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|system| system.f_type == libc::TMPFS_MAGIC)
}
