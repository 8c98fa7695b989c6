//! What is in a folder.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{FileType, Metadata, outside};

/// Entries that are fetched at a time.
const BATCH: usize = 256;

/// What is in a folder, in no particular order, without `.` and `..`. **May suspend**, as does going on to the next entry.
///
/// ```
/// # grapeshot::run(|| {
/// let mut names = Vec::new();
/// for entry in grapeshot::fs::read_dir("/proc/self")? {
///     names.push(entry?.file_name());
/// }
/// assert!(names.iter().any(|name| name == "status"));
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// Those of [`std::fs::read_dir`], and of [`unblock`](crate::unblock).
pub fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let (rest, batch) = super::on(path, |path| Ok(take(std::fs::read_dir(path)?)))?;
    Ok(ReadDir { rest, batch })
}

/// The entries of a folder; made by [`read_dir`]. They are fetched some hundreds at a time.
#[derive(Debug)]
pub struct ReadDir {
    rest: Rest,
    batch: Batch,
}

type Batch = VecDeque<io::Result<DirEntry>>;

/// What has not been fetched.
#[derive(Debug)]
enum Rest {
    Folder(std::fs::ReadDir),
    Nothing,
    /// An interrupt came while it was fetched.
    Lost,
}

fn take(mut folder: std::fs::ReadDir) -> (Rest, Batch) {
    let batch: Batch = folder
        .by_ref()
        .take(BATCH)
        .map(|entry| entry.map(DirEntry::new))
        .collect();
    let rest = match batch.len() {
        BATCH => Rest::Folder(folder),
        _ => Rest::Nothing,
    };
    (rest, batch)
}

/// Going on **may suspend**. An interrupt then loses what was not given yet: the next entry is an error, and the last.
impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.batch.is_empty() {
            match std::mem::replace(&mut self.rest, Rest::Lost) {
                Rest::Folder(folder) => match outside(|| Ok(take(folder))) {
                    Ok((rest, batch)) => (self.rest, self.batch) = (rest, batch),
                    Err(error) => return Some(Err(error)),
                },
                Rest::Nothing => self.rest = Rest::Nothing,
                Rest::Lost => {
                    self.rest = Rest::Nothing;
                    let message =
                        "reading the folder was interrupted: read it again from the start";
                    return Some(Err(io::Error::other(message)));
                }
            }
        }
        self.batch.pop_front()
    }
}

/// One entry of a folder.
#[derive(Debug, Clone)]
pub struct DirEntry {
    entry: Arc<std::fs::DirEntry>,
    /// What the system said along with the name, if it did.
    file_type: Option<FileType>,
}

impl DirEntry {
    fn new(entry: std::fs::DirEntry) -> Self {
        Self {
            file_type: entry.file_type().ok(),
            entry: Arc::new(entry),
        }
    }

    /// The folder's path, as it was given, with the name.
    pub fn path(&self) -> PathBuf {
        self.entry.path()
    }

    /// The name.
    pub fn file_name(&self) -> OsString {
        self.entry.file_name()
    }

    /// What kind of file it was when the folder was read; symbolic links are not followed. Suspends only if the system
    /// did not say it then. **May suspend.**
    ///
    /// # Errors
    /// Those of [`std::fs::DirEntry::file_type`], and of [`unblock`](crate::unblock).
    pub fn file_type(&self) -> io::Result<FileType> {
        match self.file_type {
            Some(file_type) => Ok(file_type),
            None => self.call(std::fs::DirEntry::file_type),
        }
    }

    /// What is known of it; symbolic links are not followed. **May suspend.**
    ///
    /// # Errors
    /// Those of [`std::fs::DirEntry::metadata`], and of [`unblock`](crate::unblock).
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.call(std::fs::DirEntry::metadata)
    }

    fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&std::fs::DirEntry) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let entry = Arc::clone(&self.entry);
        outside(move || call(&entry))
    }
}
