//! The stream in a file that outlives the process.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::layout::{self, Layout, header};
use super::recording::Recording;
use super::stream::Stream;
use crate::sched::settings::Config;

/// Larger files are no black boxes.
const LARGEST: u64 = 1 << 34;

/// Where a runtime keeps its black box, and how large it is.
#[derive(Debug, Clone)]
pub(crate) struct BlackBox {
    pub(crate) path: PathBuf,
    pub(crate) bytes: usize,
}

/// A file cannot be read as a black box.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlackBoxError {
    /// It cannot be read at all.
    #[error("cannot read {path}: {cause}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        cause: io::Error,
    },
    /// It is something else.
    #[error("{path} is no black box: give the file that was named to `RuntimeBuilder::black_box`", path = path.display())]
    NoBlackBox {
        /// The file.
        path: PathBuf,
    },
    /// It is of another version of the format, or of a machine with another order of bytes.
    #[error(
        "{path} is a black box of format {format}, and this program reads format {own}: use the `console` that was built \
         with the program", path = path.display(), own = layout::VERSION
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u64,
    },
    /// Its header is damaged, or its end is missing.
    #[error("{path} is a damaged black box: {what}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
}

/// Makes the file of a runtime's black box, and the stream in it. An older file of that name is kept, with `.previous` behind
/// its name: a program that is started again shall not overwrite what it died of.
pub(crate) fn open_for(config: &Config, black_box: &BlackBox) -> io::Result<Arc<Stream>> {
    let BlackBox { path, bytes } = black_box;
    let told = |cause: io::Error, what: &str| {
        let text = format!("cannot {what} the black box {}: {cause}", path.display());
        io::Error::new(cause.kind(), text)
    };
    let layout = Layout::of_bytes(config.workers, *bytes).ok_or_else(|| {
        let least = Layout::least_bytes(config.workers);
        let workers = config.workers;
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a black box of {bytes} bytes is too small for {workers} workers: give it {least} or more"),
        )
    })?;
    keep_previous(path).map_err(|cause| told(cause, "keep the previous file of"))?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(|cause| told(cause, "create"))?;
    let made = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(io::Error::from)
        .and_then(|()| reserve(&file, layout.words() as u64 * 8))
        .and_then(|()| Stream::new(layout, config, Some(file)));
    made.map_err(|cause| {
        // What is left of it says nothing.
        let _ = fs::remove_file(path);
        told(cause, "make room for")
    })
}

fn keep_previous(path: &Path) -> io::Result<()> {
    let old = match File::open(path) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut magic = [0; 8];
    let read = (&old).read(&mut magic)?;
    if read > 0 && magic != layout::MAGIC.to_ne_bytes() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "it is there, and is something else: give another path",
        ));
    }
    if rustix::fs::flock(&old, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another runtime writes to it: give each its own path",
        ));
    }
    let mut previous = OsString::from(path);
    previous.push(".previous");
    fs::rename(path, previous)
}

/// Takes the room on the disk now: a write to a mapping cannot report that there is none.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        match fallocate(file, FallocateFlags::empty(), 0, bytes) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            other => return other.map_err(io::Error::from),
        }
    }
    let zeros = [0; 1 << 16];
    let mut left = bytes;
    while left > 0 {
        let chunk = left.min(zeros.len() as u64) as usize;
        io::Write::write_all(&mut (&*file), &zeros[..chunk])?;
        left -= chunk as u64;
    }
    Ok(())
}

impl Recording {
    /// Reads a black box: of a process that has ended, in whatever way, or that still runs. Blocks the thread.
    ///
    /// # Errors
    /// It cannot be read, or is no black box of this format. What is merely torn is left out, and counted.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, BlackBoxError> {
        let path = path.as_ref();
        let unreadable = |cause| BlackBoxError::Unreadable {
            path: path.to_owned(),
            cause,
        };
        let file = File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(LARGEST)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        Self::of_bytes(path, &bytes)
    }

    pub(super) fn of_bytes(path: &Path, bytes: &[u8]) -> Result<Self, BlackBoxError> {
        let path = path.to_owned();
        let words: Vec<u64> = bytes
            .chunks_exact(8)
            .map(|chunk| u64::from_ne_bytes(chunk.try_into().expect("eight bytes")))
            .collect();
        if words.first() == Some(&layout::MAGIC.swap_bytes()) {
            let format = words
                .get(header::VERSION)
                .map_or(0, |word| word.swap_bytes());
            return Err(BlackBoxError::OtherFormat { path, format });
        }
        if words.first() != Some(&layout::MAGIC) {
            return Err(BlackBoxError::NoBlackBox { path });
        }
        if words.len() < layout::HEADER {
            let what = "it is shorter than its header";
            return Err(BlackBoxError::Damaged { path, what });
        }
        if words[header::VERSION] != layout::VERSION {
            let format = words[header::VERSION];
            return Err(BlackBoxError::OtherFormat { path, format });
        }
        if words[header::CHECK] != layout::check(&words) {
            let what = "its header was changed";
            return Err(BlackBoxError::Damaged { path, what });
        }
        let Some(layout) = Layout::read(&words) else {
            let what = "its end is missing";
            return Err(BlackBoxError::Damaged { path, what });
        };
        Ok(Self::read(&|at: usize| words[at], layout))
    }
}
