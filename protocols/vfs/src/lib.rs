//! File systems as servers offer them: what HTTP and FTP show to their clients.
//!
//! [`FileSystem`] is the trait. [`Folder`] is a real folder, which nothing leads out of; [`MemoryFiles`] keeps all in memory.
//! Paths are [`FilePath`]s, which can name nothing but what lies below the root.
//!
//! ```
//! use std::io::Write;
//! use grapeshot_vfs::{FilePath, FileSystem, MemoryFiles, read};
//!
//! let files = MemoryFiles::new(1 << 20);
//! let path = FilePath::new("notes/today.txt").unwrap();
//! files.create_folder(&path.parent().unwrap())?;
//! let mut file = files.create(&path)?;
//! file.write_all(b"all is well")?;
//! assert!(files.metadata(&path).is_err(), "nobody sees half a file");
//! file.commit()?;
//! assert_eq!(read(&files, &path)?, b"all is well");
//! # std::io::Result::Ok(())
//! ```
//!
//! What a disk does takes time. Calls **may suspend**; none holds up a worker.
#![forbid(unsafe_code)]

mod folder;
mod memory;
mod path;

use std::io::{self, Write};
use std::time::SystemTime;

pub use folder::Folder;
pub use memory::MemoryFiles;
pub use path::{FilePath, PathError};

/// What can be a file system: files and folders below a root.
///
/// Errors are those of `std::fs`, so that whoever serves it can tell `NotFound` from `PermissionDenied` and `StorageFull`.
/// What cannot be written to gives `ReadOnlyFilesystem`, which the methods that write do unless they are implemented.
pub trait FileSystem: Send + Sync + 'static {
    /// What is known of a file or folder. **May suspend.**
    ///
    /// # Errors
    /// `NotFound`, and what else a file system has.
    fn metadata(&self, path: &FilePath) -> io::Result<Metadata>;

    /// Opens a file to read from it; a folder can be opened too, to learn that it is one. **May suspend.**
    ///
    /// # Errors
    /// `NotFound`, and what else a file system has.
    fn open(&self, path: &FilePath) -> io::Result<Box<dyn OpenFile>>;

    /// What lies in a folder, at most so many entries, in no order. **May suspend.**
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, and what else a file system has.
    fn list(&self, path: &FilePath, most: usize) -> io::Result<Vec<Entry>>;

    /// Begins a file, which nobody sees before it is [committed](NewFile::commit). **May suspend.**
    ///
    /// # Errors
    /// `NotFound` if there is no folder for it; `IsADirectory` if there is a folder of that name.
    fn create(&self, path: &FilePath) -> io::Result<Box<dyn NewFile>> {
        let _ = path;
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    /// Makes a folder. **May suspend.**
    ///
    /// # Errors
    /// `AlreadyExists`; `NotFound` if there is no folder for it.
    fn create_folder(&self, path: &FilePath) -> io::Result<()> {
        let _ = path;
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    /// Gives a file or folder another name; a file that had it is replaced. **May suspend.**
    ///
    /// # Errors
    /// `NotFound`, and what else a file system has.
    fn rename(&self, from: &FilePath, to: &FilePath) -> io::Result<()> {
        let _ = (from, to);
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    /// Removes a file. **May suspend.**
    ///
    /// # Errors
    /// `NotFound`; `IsADirectory` for a folder.
    fn remove_file(&self, path: &FilePath) -> io::Result<()> {
        let _ = path;
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    /// Removes an empty folder. **May suspend.**
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, `DirectoryNotEmpty`.
    fn remove_folder(&self, path: &FilePath) -> io::Result<()> {
        let _ = path;
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// What something in a file system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A pipe, a device, …: not for clients.
    Other,
}

/// What is known of a file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// What it is.
    pub kind: Kind,
    /// Bytes in it.
    pub len: u64,
    /// When it was last changed, if that is known.
    pub modified: Option<SystemTime>,
    /// A text without white space, quotes and control characters that is another whenever the content is.
    pub tag: String,
}

impl Metadata {
    /// Of a file system of your own.
    #[must_use]
    pub fn new(kind: Kind, len: u64, modified: Option<SystemTime>, tag: String) -> Self {
        Self {
            kind,
            len,
            modified,
            tag,
        }
    }
}

/// One thing in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, in that folder.
    pub name: String,
    /// What is known of it.
    pub metadata: Metadata,
}

/// A file that is open to be read.
pub trait OpenFile: Send {
    /// What was known of it when it was opened.
    fn metadata(&self) -> &Metadata;

    /// Reads at a position, as far as the buffer goes or less; 0 at the end. **May suspend.**
    ///
    /// # Errors
    /// Those of the file system.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;

    /// The file that it is to the operating system, if it is one: what `sendfile` needs.
    fn as_file(&self) -> Option<&grapeshot::fs::File> {
        None
    }
}

/// A file that is being written. Dropped before it is committed, it leaves nothing behind.
pub trait NewFile: Write + Send {
    /// Puts it in its place, whole; a file that was there is replaced. **May suspend.**
    ///
    /// # Errors
    /// Those of the file system; nothing is changed then.
    fn commit(self: Box<Self>) -> io::Result<()>;
}

/// A file's whole content. **May suspend.**
///
/// # Errors
/// Those of [`FileSystem::open`] and of reading.
pub fn read(files: &dyn FileSystem, path: &FilePath) -> io::Result<Vec<u8>> {
    let file = files.open(path)?;
    let mut content = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    loop {
        match file.read_at(&mut chunk, content.len() as u64)? {
            0 => return Ok(content),
            count => content.extend_from_slice(&chunk[..count]),
        }
    }
}
