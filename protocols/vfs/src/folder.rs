//! A real folder.
//!
//! Every path is resolved from the root's own descriptor. On Linux the kernel keeps it beneath the root, links included
//! (`openat2`, `RESOLVE_BENEATH`), so that not even a link which is swapped in at the wrong moment leads out. Elsewhere the
//! way is walked name by name, and no link is followed.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use grapeshot::unblock;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

use crate::{Entry, FilePath, FileSystem, Kind, Metadata, NewFile, OpenFile};

/// A folder of the operating system. Nothing outside of it can be reached: not by a path, and not by a symbolic link that
/// leads out. A link within is followed on Linux.
#[derive(Debug, Clone)]
pub struct Folder {
    root: Arc<OwnedFd>,
    read_only: bool,
}

/// What files that are being written are called until they are in their place, with random digits behind. Not listed.
const UNFINISHED: &str = ".unfinished-";

impl Folder {
    /// Offers what lies below `root`, to read and to write.
    ///
    /// # Errors
    /// If there is no such folder.
    pub fn new(root: impl AsRef<Path>) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(root.as_ref(), flags, Mode::empty())?;
        Ok(Self {
            root: Arc::new(root),
            read_only: false,
        })
    }

    /// Offers what lies below `root`, to read only.
    ///
    /// # Errors
    /// If there is no such folder.
    pub fn read_only(root: impl AsRef<Path>) -> io::Result<Self> {
        let mut folder = Self::new(root)?;
        folder.read_only = true;
        Ok(folder)
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        Ok(())
    }

    /// Runs a call on the folder that `path` lies in, and its name there, on a thread.
    fn in_parent<T: Send + 'static>(
        &self,
        path: &FilePath,
        call: impl FnOnce(OwnedFd, &str) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        self.check_writable()?;
        let parent = path.parent().ok_or(io::ErrorKind::PermissionDenied)?;
        let (root, name) = (Arc::clone(&self.root), path.name().to_owned());
        unblock(move || call(open_folder(&root, &parent)?, &name))?
    }
}

/// Opens beneath `root`. Non-blocking, because opening a named pipe would wait for its writer.
#[cfg(target_os = "linux")]
fn open_beneath(root: &OwnedFd, path: &FilePath, flags: OFlags) -> io::Result<OwnedFd> {
    resolve(root, path, flags, rustix::fs::ResolveFlags::empty())
}

#[cfg(target_os = "linux")]
fn resolve(
    root: &OwnedFd,
    path: &FilePath,
    flags: OFlags,
    how: rustix::fs::ResolveFlags,
) -> io::Result<OwnedFd> {
    use rustix::fs::ResolveFlags;
    let path = if path.is_root() { "." } else { path.as_str() };
    let flags = flags | OFlags::CLOEXEC;
    let flags = if flags.contains(OFlags::PATH) {
        flags
    } else {
        flags | OFlags::NONBLOCK | OFlags::NOCTTY
    };
    let how = how | ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    Ok(rustix::fs::openat2(root, path, flags, Mode::empty(), how)?)
}

#[cfg(not(target_os = "linux"))]
fn open_beneath(root: &OwnedFd, path: &FilePath, flags: OFlags) -> io::Result<OwnedFd> {
    let common = OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let folder = common | OFlags::RDONLY | OFlags::DIRECTORY;
    let mut at = rustix::fs::openat(root, ".", folder, Mode::empty())?;
    let mut names = path.names().peekable();
    while let Some(name) = names.next() {
        let flags = if names.peek().is_some() {
            folder
        } else {
            common | flags
        };
        at = rustix::fs::openat(&at, name, flags, Mode::empty())?;
    }
    Ok(at)
}

fn open_folder(root: &OwnedFd, path: &FilePath) -> io::Result<OwnedFd> {
    open_beneath(root, path, OFlags::RDONLY | OFlags::DIRECTORY)
}

fn open_to_read(root: &OwnedFd, path: &FilePath) -> io::Result<(File, Metadata)> {
    with_metadata(open_beneath(root, path, OFlags::RDONLY)?)
}

fn with_metadata(file: OwnedFd) -> io::Result<(File, Metadata)> {
    let metadata = metadata_of(&rustix::fs::fstat(&file)?);
    Ok((File::from(file), metadata))
}

fn metadata_of(stat: &Stat) -> Metadata {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Folder,
        _ => Kind::Other,
    };
    let whole = u64::try_from(stat.st_mtime).unwrap_or(0);
    let since = Duration::new(whole, stat.st_mtime_nsec as u32);
    let len = u64::try_from(stat.st_size).unwrap_or(0);
    let tag = format!("{:x}-{len:x}-{:x}", stat.st_ino, since.as_nanos());
    Metadata::new(kind, len, Some(SystemTime::UNIX_EPOCH + since), tag)
}

impl FileSystem for Folder {
    fn metadata(&self, path: &FilePath) -> io::Result<Metadata> {
        Ok(self.open(path)?.metadata().clone())
    }

    fn open(&self, path: &FilePath) -> io::Result<Box<dyn OpenFile>> {
        // Names that are in memory are resolved in place. The others are left to a thread; all are, if the kernel is old.
        #[cfg(target_os = "linux")]
        {
            use rustix::io::Errno;
            let cached = rustix::fs::ResolveFlags::CACHED;
            match resolve(&self.root, path, OFlags::RDONLY, cached).and_then(with_metadata) {
                Ok(found) => return reading(found),
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::AGAIN | Errno::INVAL) => {}
                    _ => return Err(error),
                },
            }
        }
        let (root, path) = (Arc::clone(&self.root), path.clone());
        reading(unblock(move || open_to_read(&root, &path))??)
    }

    fn list(&self, path: &FilePath, most: usize) -> io::Result<Vec<Entry>> {
        let (root, path) = (Arc::clone(&self.root), path.clone());
        unblock(move || list_folder(&root, &path, most))?
    }

    fn create(&self, path: &FilePath) -> io::Result<Box<dyn NewFile>> {
        let mut random = [0; 8];
        grapeshot::random::fill(&mut random).map_err(io::Error::other)?;
        let unfinished = format!("{UNFINISHED}{:016x}", u64::from_ne_bytes(random));
        let name = path.name().to_owned();
        let (place, file) = self.in_parent(path, move |folder, name| {
            if let Ok(stat) = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)
                && FileType::from_raw_mode(stat.st_mode) == FileType::Directory
            {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let mode = Mode::from_raw_mode(0o666);
            let file = rustix::fs::openat(&folder, &unfinished, flags, mode)?;
            // From here on it is removed, whatever happens: be it that nobody waits for this call any more.
            let place = Place {
                folder: Arc::new(folder),
                temporary: unfinished,
                taken: false,
            };
            Ok((place, File::from(file)))
        })?;
        Ok(Box::new(Writing {
            file: grapeshot::fs::File::from_std(file)?,
            place,
            name,
        }))
    }

    fn create_folder(&self, path: &FilePath) -> io::Result<()> {
        self.in_parent(path, |folder, name| {
            Ok(rustix::fs::mkdirat(
                &folder,
                name,
                Mode::from_raw_mode(0o777),
            )?)
        })
    }

    fn rename(&self, from: &FilePath, to: &FilePath) -> io::Result<()> {
        let to_folder = to.parent().ok_or(io::ErrorKind::PermissionDenied)?;
        let (root, to_name) = (Arc::clone(&self.root), to.name().to_owned());
        self.in_parent(from, move |folder, name| {
            let target = open_folder(&root, &to_folder)?;
            Ok(rustix::fs::renameat(&folder, name, &target, &to_name)?)
        })
    }

    fn remove_file(&self, path: &FilePath) -> io::Result<()> {
        self.in_parent(path, |folder, name| {
            Ok(rustix::fs::unlinkat(&folder, name, AtFlags::empty())?)
        })
    }

    fn remove_folder(&self, path: &FilePath) -> io::Result<()> {
        self.in_parent(path, |folder, name| {
            Ok(rustix::fs::unlinkat(&folder, name, AtFlags::REMOVEDIR)?)
        })
    }
}

/// What names that are no UTF-8 and what cannot be looked at is left out.
fn list_folder(root: &OwnedFd, path: &FilePath, most: usize) -> io::Result<Vec<Entry>> {
    let folder = open_folder(root, path)?;
    let mut entries = Vec::new();
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        if name == "." || name == ".." || name.starts_with(UNFINISHED) {
            continue;
        }
        if entries.len() == most {
            break;
        }
        // Of a link, what it leads to: the same that opening it would give.
        let followed = path.join(name).map(|path| open_beneath(root, &path, LOOK));
        if let Ok(Ok(file)) = followed {
            entries.push(Entry {
                name: name.to_owned(),
                metadata: metadata_of(&rustix::fs::fstat(file)?),
            });
        }
    }
    Ok(entries)
}

/// To look at a file, not into it.
#[cfg(target_os = "linux")]
const LOOK: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const LOOK: OFlags = OFlags::RDONLY;

struct Reading {
    file: grapeshot::fs::File,
    metadata: Metadata,
}

fn reading((file, metadata): (File, Metadata)) -> io::Result<Box<dyn OpenFile>> {
    Ok(Box::new(Reading {
        file: grapeshot::fs::File::from_std(file)?,
        metadata,
    }))
}

impl OpenFile for Reading {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(buffer, position)
    }

    fn as_file(&self) -> Option<&grapeshot::fs::File> {
        Some(&self.file)
    }
}

struct Writing {
    file: grapeshot::fs::File,
    place: Place,
    name: String,
}

/// A file under its temporary name.
struct Place {
    folder: Arc<OwnedFd>,
    temporary: String,
    /// It has got its own name.
    taken: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.taken {
            // A short call, and it must work while the coroutine unwinds.
            let _ = rustix::fs::unlinkat(&*self.folder, &self.temporary, AtFlags::empty());
        }
    }
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl NewFile for Writing {
    /// What is replaced is gone at once; that the new content survives a crash of the machine is waited for before.
    fn commit(mut self: Box<Self>) -> io::Result<()> {
        self.file.flush()?;
        self.file.sync_data()?;
        let folder = Arc::clone(&self.place.folder);
        let (from, to) = (self.place.temporary.clone(), self.name.clone());
        unblock(move || rustix::fs::renameat(&*folder, &from, &*folder, &to))??;
        self.place.taken = true;
        Ok(())
    }
}
