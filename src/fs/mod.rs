//! Files and folders. The twin of [`std::fs`].
//!
//! The system can say of no file that it is not ready: a call on a slow disk, or one over the network, just takes its
//! time. So the calls here run on the threads of [`unblock`](crate::unblock), and only their coroutine waits. Reading is
//! first tried in place, in a way that never waits: what is in memory already costs no change of thread (Linux, on file
//! systems that can, such as ext4, XFS, Btrfs and tmpfs).
//!
//! ```
//! use grapeshot::fs::{self, File};
//! use std::io::{Read, Seek, Write};
//!
//! # grapeshot::run(|| {
//! # let path = std::env::temp_dir().join(format!("grapeshot-doc-{}", std::process::id()));
//! let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
//! file.write_all(b"hello")?;
//! file.rewind()?;
//! let mut text = String::new();
//! file.read_to_string(&mut text)?;
//! assert_eq!(text, "hello");
//! assert_eq!(fs::read(&path)?, b"hello");
//! fs::remove_file(&path)?;
//! # std::io::Result::Ok(())
//! # }).unwrap();
//! ```
//!
//! # Interrupts
//!
//! A call that a thread has begun cannot be called back. If its caller is interrupted, it goes on, and what it does is
//! done: the file is written, renamed, removed, but nobody hears whether that went well. It counts as an orphan in
//! [`unblock_statistics`](crate::unblock_statistics). A read that was interrupted has taken nothing. What is written at the
//! cursor of one [`File`] stays in order: the next call waits until the orphan is done.

mod file;
mod folder;
mod options;
mod ready;
mod watch;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

pub use std::fs::{FileType, Metadata, Permissions};

pub use file::File;
pub use folder::{DirEntry, ReadDir, read_dir};
pub use options::OpenOptions;
pub use watch::{Change, Watcher};

/// Runs a call where it holds up nobody. **May suspend.**
fn outside<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    crate::unblock(call)?
}

/// A file's whole content. **May suspend.**
///
/// # Errors
/// Those of [`std::fs::read`], and of [`unblock`](crate::unblock).
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    on(path, std::fs::read)
}

/// A file's whole content, which must be UTF-8. **May suspend.**
///
/// # Errors
/// Those of [`std::fs::read_to_string`], and of [`unblock`](crate::unblock).
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    on(path, std::fs::read_to_string)
}

/// Makes a file with this content, or replaces what is in it. **May suspend.** The content is copied, unless it is a
/// `Vec<u8>` or `String` that is given away.
///
/// # Errors
/// Those of [`std::fs::write`], and of [`unblock`](crate::unblock).
pub fn write(path: impl AsRef<Path>, content: impl Into<Vec<u8>>) -> io::Result<()> {
    let content = content.into();
    on(path, move |path| std::fs::write(path, content))
}

fn on<T: Send + 'static>(
    path: impl AsRef<Path>,
    call: impl FnOnce(PathBuf) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let path = path.as_ref().to_owned();
    outside(move || call(path))
}

/// Calls of std that take one path.
macro_rules! with_path {
    ($($(#[$doc:meta])* $name:ident -> $result:ty;)*) => {$(
        $(#[$doc])*
        /// **May suspend.**
        ///
        /// # Errors
        #[doc = concat!("Those of [`std::fs::", stringify!($name), "`], and of [`unblock`](crate::unblock).")]
        pub fn $name(path: impl AsRef<Path>) -> io::Result<$result> {
            on(path, |path| std::fs::$name(path))
        }
    )*};
}

with_path! {
    /// What is known of a file; symbolic links are followed.
    metadata -> Metadata;
    /// What is known of a file, or of a symbolic link itself.
    symlink_metadata -> Metadata;
    /// The path without symbolic links, `.` and `..`.
    canonicalize -> PathBuf;
    /// Where a symbolic link leads.
    read_link -> PathBuf;
    /// Makes a folder.
    create_dir -> ();
    /// Makes a folder, and those above it.
    create_dir_all -> ();
    /// Removes a file.
    remove_file -> ();
    /// Removes an empty folder.
    remove_dir -> ();
    /// Removes a folder with all that is in it.
    remove_dir_all -> ();
    /// Is there such a file?
    exists -> bool;
}

/// Calls of std that take two paths.
macro_rules! with_two_paths {
    ($($(#[$doc:meta])* $name:ident = $call:path, $result:ty;)*) => {$(
        $(#[$doc])*
        /// **May suspend.**
        ///
        /// # Errors
        #[doc = concat!("Those of [`", stringify!($call), "`], and of [`unblock`](crate::unblock).")]
        pub fn $name(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<$result> {
            let to = to.as_ref().to_owned();
            on(from, move |from| $call(from, to))
        }
    )*};
}

with_two_paths! {
    /// Gives a file another name, in one step; a file that had that name is replaced.
    rename = std::fs::rename, ();
    /// Copies a file's content and permissions; says how many bytes that were.
    copy = std::fs::copy, u64;
    /// Gives a file a second name.
    hard_link = std::fs::hard_link, ();
    /// Makes a symbolic link at `to` that leads to `from`.
    symlink = std::os::unix::fs::symlink, ();
}

/// Says who may read, write and execute a file. **May suspend.**
///
/// # Errors
/// Those of [`std::fs::set_permissions`], and of [`unblock`](crate::unblock).
pub fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    on(path, move |path| {
        std::fs::set_permissions(path, permissions)
    })
}
