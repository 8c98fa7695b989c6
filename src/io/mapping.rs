//! Words of memory that threads share, and that a file may keep when the process is gone.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// A mapping of zeros, or of a file. It lives as long as this.
pub(crate) struct Mapping {
    start: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: it gives nothing but shared references to atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Zeros. Pages that are never touched take no memory.
    ///
    /// # Errors
    /// There is no memory.
    pub(crate) fn anonymous(words: usize) -> io::Result<Self> {
        let (bytes, access) = Self::wanted(words)?;
        // SAFETY: a fresh mapping, which nobody else knows of.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), bytes, access, MapFlags::PRIVATE) }?;
        Ok(Self::at(start, words))
    }

    /// The first `words` of a file, which has as many. What is written there is the file's at once, as far as other
    /// processes see, and stays when this one is killed.
    ///
    /// # Errors
    /// The system refuses: the file's system cannot, or there is no memory.
    pub(crate) fn of_file(file: &File, words: usize) -> io::Result<Self> {
        let (bytes, access) = Self::wanted(words)?;
        // SAFETY: a fresh mapping. Others may write to the file: all that is read are atomics, of which any value is valid.
        let start = unsafe { mmap(ptr::null_mut(), bytes, access, MapFlags::SHARED, file, 0) }?;
        Ok(Self::at(start, words))
    }

    fn wanted(words: usize) -> io::Result<(usize, ProtFlags)> {
        let bytes = words.checked_mul(size_of::<u64>());
        match bytes.filter(|bytes| *bytes > 0) {
            Some(bytes) => Ok((bytes, ProtFlags::READ | ProtFlags::WRITE)),
            None => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn at(start: *mut std::ffi::c_void, words: usize) -> Self {
        Self {
            start: NonNull::new(start.cast()).expect("nothing is mapped at 0"),
            words,
        }
    }
}

impl Deref for Mapping {
    type Target = [AtomicU64];

    #[inline]
    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: mapped as long as `self` lives, page-aligned, and a page's bytes are valid atomics.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let bytes = self.words * size_of::<u64>();
        // SAFETY: what `mmap` gave, to which nobody has references any more. It fails for no valid mapping.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn is_zero_and_keeps_what_is_written() {
        let mapping = Mapping::anonymous(1_000).unwrap();
        assert_eq!(mapping.len(), 1_000);
        assert!(mapping.iter().all(|word| word.load(Ordering::Relaxed) == 0));
        mapping[999].store(7, Ordering::Relaxed);
        assert_eq!(mapping[999].load(Ordering::Relaxed), 7);
    }

    #[test]
    fn nothing_cannot_be_mapped() {
        assert!(Mapping::anonymous(0).is_err());
        assert!(Mapping::anonymous(usize::MAX / 4).is_err());
    }
}
