//! What Linux tells of files.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::{Event, What};
use crate::fs::outside;
use crate::io::{ReadinessArm, Source, WaitKind, Way};

/// Bytes of events that one system call takes.
const CHUNK: usize = 16 << 10;
/// Chunks that one call takes.
const CHUNKS: usize = 16;

const WHAT: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

/// The kernel's queue of events.
pub(super) struct Queue(Source<OwnedFd>);

/// What was begun to be watched, the first as asked for.
type Folders = Vec<(i32, PathBuf)>;

impl Queue {
    pub(super) fn new() -> io::Result<Self> {
        let queue = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
        let advice = "no descriptor is left, or the user has too many watchers (sysctl fs.inotify.max_user_instances)";
        let queue = queue.map_err(|error| advise(error, Errno::MFILE, advice))?;
        Ok(Self(Source::new(queue)))
    }

    /// Watches a path; in a `tree` all folders below it, and then gives what else is in it.
    pub(super) fn add(&self, path: &Path, tree: bool) -> io::Result<(Folders, Vec<PathBuf>)> {
        let queue = self.0.get_ref().try_clone()?;
        let path = path.to_owned();
        outside(move || {
            let mut folders = vec![(add(&queue, &path, WatchFlags::empty())?, path)];
            let mut found = Vec::new();
            let mut next = 0;
            while tree && let Some((_, folder)) = folders.get(next) {
                next += 1;
                // Watched first and read then, so that nothing is made in between and missed.
                look_into(&queue, &folder.clone(), &mut folders, &mut found)?;
            }
            Ok((folders, found))
        })
    }

    pub(super) fn remove(&self, watch: i32) {
        // It fails for what has gone by itself.
        let _ = inotify::remove_watch(self.0.get_ref(), watch);
    }

    /// Waits for events and takes them.
    pub(super) fn take(&self) -> io::Result<Vec<Event>> {
        self.0.read_with(WaitKind::Read, |queue| Ok(take(queue)?))
    }

    /// Takes events, if there are any.
    pub(super) fn try_take(&self) -> io::Result<Vec<Event>> {
        self.0.attempt(|queue| Ok(take(queue)?))
    }

    /// Whether there are events.
    pub(super) fn readiness(&self) -> ReadinessArm<'_, OwnedFd> {
        self.0.readiness(Way::Read)
    }
}

/// Watches the folders in one, and gives all that is in it. One that has gone meanwhile is left out.
fn look_into(
    queue: &OwnedFd,
    folder: &Path,
    folders: &mut Folders,
    found: &mut Vec<PathBuf>,
) -> io::Result<()> {
    let has_gone = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        )
    };
    let entries = match std::fs::read_dir(folder) {
        Err(error) if has_gone(&error) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            match add(queue, &path, WatchFlags::ONLYDIR | WatchFlags::DONT_FOLLOW) {
                Err(error) if has_gone(&error) => {}
                watch => folders.push((watch?, path.clone())),
            }
        }
        found.push(path);
    }
    Ok(())
}

fn add(queue: &OwnedFd, path: &Path, how: WatchFlags) -> io::Result<i32> {
    let advice = "too much is watched; raise sysctl fs.inotify.max_user_watches";
    inotify::add_watch(queue, path, WHAT | how).map_err(|error| advise(error, Errno::NOSPC, advice))
}

fn take(queue: &OwnedFd) -> Result<Vec<Event>, Errno> {
    let mut chunk = [MaybeUninit::uninit(); CHUNK];
    let mut reader = inotify::Reader::new(queue, &mut chunk);
    let mut events: Vec<Event> = Vec::new();
    let mut chunks = 0;
    loop {
        if reader.is_buffer_empty() {
            // The second half of a renaming may be in the next.
            let is_half =
                matches!(events.last(), Some(it) if matches!(it.what, What::MovedFrom(_)));
            if chunks >= CHUNKS && !is_half {
                return Ok(events);
            }
            chunks += 1;
        }
        let event = match reader.next() {
            Ok(event) => event,
            Err(Errno::AGAIN) if !events.is_empty() => return Ok(events),
            Err(error) => return Err(error),
        };
        let flags = event.events();
        let Some(what) = what(flags, event.cookie()) else {
            continue;
        };
        let name = event.file_name();
        events.push(Event {
            watch: event.wd(),
            what,
            name: name.map(|name| OsStr::from_bytes(name.to_bytes()).into()),
            is_folder: flags.contains(ReadFlags::ISDIR),
        });
    }
}

fn what(flags: ReadFlags, cookie: u32) -> Option<What> {
    let kinds = [
        (ReadFlags::QUEUE_OVERFLOW, What::Overflow),
        (ReadFlags::MOVED_FROM, What::MovedFrom(cookie)),
        (ReadFlags::MOVED_TO, What::MovedTo(cookie)),
        (ReadFlags::CREATE, What::Created),
        (ReadFlags::MODIFY, What::Modified),
        (ReadFlags::DELETE, What::Removed),
        (ReadFlags::DELETE_SELF, What::RemovedItself),
        (ReadFlags::MOVE_SELF, What::RemovedItself),
        (ReadFlags::IGNORED, What::NoLongerWatched),
    ];
    let kind = kinds.into_iter().find(|(flag, _)| flags.contains(*flag));
    kind.map(|(_, what)| what)
}

/// The same error, with what to do if it is `which`.
fn advise(error: Errno, which: Errno, advice: &str) -> io::Error {
    let plain = io::Error::from(error);
    if error == which {
        io::Error::new(plain.kind(), format!("{plain}: {advice}"))
    } else {
        plain
    }
}
