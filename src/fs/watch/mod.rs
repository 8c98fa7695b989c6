//! Hearing of changes in files and folders.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

#[cfg(target_os = "linux")]
mod inotify;
#[cfg(target_os = "linux")]
mod news;
#[cfg(any(test, not(target_os = "linux")))]
#[cfg_attr(
    target_os = "linux",
    allow(dead_code, reason = "its own tests use it there")
)]
pub(super) mod notified;
mod select;
#[cfg(any(test, not(target_os = "linux")))]
mod snapshot;

#[cfg(not(target_os = "linux"))]
use notified::{News, Queue};
#[cfg(target_os = "linux")]
use {inotify::Queue, news::News};

/// What has happened to a watched file, or to something in a watched folder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It was made, or moved here from where nobody watches.
    Created(PathBuf),
    /// Its content was changed. Several writes in a row may be told once.
    Modified(PathBuf),
    /// It was removed, or moved to where nobody watches. If it was watched by itself, it is no longer.
    Removed(PathBuf),
    /// It has another name or place now.
    Renamed {
        /// What it was called.
        from: PathBuf,
        /// What it is called.
        to: PathBuf,
    },
    /// More has happened than is kept for whoever does not ask (16,384 changes; on Linux sysctl
    /// `fs.inotify.max_queued_events`): look at everything again.
    Lost,
}

/// Tells of changes in files and folders (Linux: `inotify`; macOS: FSEvents; BSD: kqueue).
///
/// ```
/// use grapeshot::fs::{Change, Watcher};
///
/// # let folder = std::env::temp_dir().join(format!("grapeshot-watch-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # grapeshot::run(move || {
/// let mut watcher = Watcher::new()?;
/// watcher.watch(&folder)?;
/// let new = folder.join("new");
/// std::fs::write(&new, "")?;
/// assert_eq!(watcher.next()?, Change::Created(new));
/// # std::fs::remove_dir_all(&folder)?;
/// # std::io::Result::Ok(())
/// # })?;
/// # std::io::Result::Ok(())
/// ```
///
/// What another machine does to a network file system is not heard of.
///
/// # Systems other than Linux
///
/// They tell that there was a change, but not which. So a thread of the watcher's own looks what is different, and tells that:
///
/// - What came and went before it looked is not told, and what happened at the same time has no order. What it has not found
///   yet when a watch ends is not told either.
/// - A renaming from folder to folder may be told as [`Removed`](Change::Removed) and [`Created`](Change::Created); one within
///   a folder is a [`Renamed`](Change::Renamed), on a file system without birthdays only if it was not written to as well.
/// - When a folder goes, each thing in it that was watched is told to be removed, from the leaves on.
/// - A new time of change ([`File::set_times`](std::fs::File::set_times)) counts as a change of the content.
/// - With kqueue, each file and folder that is watched takes a descriptor.
pub struct Watcher {
    queue: Queue,
    news: News,
}

/// What the system says, one event.
#[cfg(target_os = "linux")]
struct Event {
    watch: i32,
    what: What,
    /// In a watched folder.
    name: Option<PathBuf>,
    is_folder: bool,
}

/// What it is about. Both halves of a renaming have the same number.
#[cfg(target_os = "linux")]
enum What {
    Overflow,
    Created,
    Modified,
    Removed,
    RemovedItself,
    MovedFrom(u32),
    MovedTo(u32),
    NoLongerWatched,
}

impl Watcher {
    /// One that watches nothing yet.
    ///
    /// # Errors
    /// No descriptor left; `EMFILE` also when the user has too many watchers (sysctl `fs.inotify.max_user_instances`).
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            queue: Queue::new()?,
            news: News::default(),
        })
    }

    /// Begins to watch a file, or a folder with the files in it, but not those in its folders. Symbolic links are followed.
    /// **May suspend.**
    ///
    /// # Errors
    /// There is no such file, or it may not be read; `ENOSPC` when the user watches too much (sysctl
    /// `fs.inotify.max_user_watches`).
    pub fn watch(&mut self, path: impl AsRef<Path>) -> io::Result<()> {
        self.add(path.as_ref(), false)
    }

    /// Begins to watch a folder with all that is in it, at any depth, also in folders that come later. Symbolic links in it
    /// are not followed. **May suspend.**
    ///
    /// What is made in a new folder before it is watched is found when it is, and may then be told twice.
    ///
    /// # Errors
    /// As [`watch`](Self::watch); a part of the tree may be watched then.
    pub fn watch_tree(&mut self, path: impl AsRef<Path>) -> io::Result<()> {
        self.add(path.as_ref(), true)
    }

    fn add(&mut self, path: &Path, tree: bool) -> io::Result<()> {
        let (folders, _) = self.queue.add(path, tree)?;
        self.news.watch(folders, tree);
        Ok(())
    }

    /// Ends the watch of a path that was given to [`watch`](Self::watch) or [`watch_tree`](Self::watch_tree). What has
    /// happened before is still told. False: it is not watched. Never suspends.
    pub fn unwatch(&mut self, path: impl AsRef<Path>) -> bool {
        self.news.unwatch(&self.queue, path.as_ref())
    }

    /// Waits for the next change. **May suspend.** An interrupt loses none.
    ///
    /// # Errors
    /// Those of the poller; and of [`watch_tree`](Self::watch_tree), if a new folder in a tree cannot be watched.
    #[expect(
        clippy::should_implement_trait,
        reason = "it does not end, and may fail"
    )]
    pub fn next(&mut self) -> io::Result<Change> {
        while self.news.is_empty() {
            let events = self.queue.take()?;
            self.news.note(&self.queue, events);
        }
        self.news.next(&self.queue)
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.news.roots()).finish()
    }
}
