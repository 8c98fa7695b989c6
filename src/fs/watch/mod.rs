//! Hearing of changes in files and folders.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

#[cfg(target_os = "linux")]
mod inotify;
#[cfg(not(target_os = "linux"))]
mod unsupported;

#[cfg(target_os = "linux")]
use inotify as system;
#[cfg(not(target_os = "linux"))]
use unsupported as system;

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
    /// More has happened than the system keeps in mind for whoever does not ask (16,384 changes; sysctl
    /// `fs.inotify.max_queued_events`): look at everything again.
    Lost,
}

/// Tells of changes in files and folders (Linux: `inotify`).
///
/// ```
/// use grapeshot::fs::{Change, Watcher};
///
/// # #[cfg(target_os = "linux")]
/// # {
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
/// # }
/// # std::io::Result::Ok(())
/// ```
///
/// What another machine does to a network file system is not heard of. Systems other than Linux tell of a file only while
/// it is held open, and of names not at all; crates that make up for it do their own input and output. So there
/// [`new`](Self::new) fails with [`Unsupported`](io::ErrorKind::Unsupported).
pub struct Watcher {
    queue: system::Queue,
    watched: HashMap<i32, Watched>,
    changes: VecDeque<Change>,
    /// Folders in a tree that have appeared: they are to be watched too.
    fresh: VecDeque<PathBuf>,
}

/// One file or folder that the system watches.
struct Watched {
    path: PathBuf,
    /// With the folders in it.
    tree: bool,
    /// It was asked for by name; else it was found in a tree.
    root: bool,
}

/// What the system says, one event.
struct Event {
    watch: i32,
    what: What,
    /// In a watched folder.
    name: Option<PathBuf>,
    is_folder: bool,
}

/// What it is about. Both halves of a renaming have the same number.
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
            queue: system::Queue::new()?,
            watched: HashMap::new(),
            changes: VecDeque::new(),
            fresh: VecDeque::new(),
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
        for (index, (watch, path)) in self.queue.add(path, tree)?.0.into_iter().enumerate() {
            let root = index == 0;
            self.watched.insert(watch, Watched { path, tree, root });
        }
        Ok(())
    }

    /// Ends the watch of a path that was given to [`watch`](Self::watch) or [`watch_tree`](Self::watch_tree). What has
    /// happened before is still told. False: it is not watched. Never suspends.
    pub fn unwatch(&mut self, path: impl AsRef<Path>) -> bool {
        let path = path.as_ref();
        let found = self
            .watched
            .iter()
            .find(|(_, it)| it.root && it.path == path);
        let Some((&watch, it)) = found else {
            return false;
        };
        if it.tree {
            self.forget_below(path);
        } else {
            // It is struck off when the system says that nothing more comes.
            self.queue.remove(watch);
        }
        true
    }

    fn forget_below(&mut self, path: &Path) {
        for (&watch, _) in self
            .watched
            .iter()
            .filter(|(_, it)| it.path.starts_with(path))
        {
            self.queue.remove(watch);
        }
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
        loop {
            self.watch_fresh()?;
            if let Some(change) = self.changes.pop_front() {
                return Ok(change);
            }
            if self.fresh.is_empty() {
                let events = self.queue.take()?;
                self.note(events);
            }
        }
    }

    /// Watches the folder that the next change is about, if it has appeared in a tree, and has what is in it told next.
    fn watch_fresh(&mut self) -> io::Result<()> {
        let appeared = match self.changes.front() {
            Some(Change::Created(path) | Change::Renamed { to: path, .. }) => Some(path),
            Some(_) => return Ok(()),
            None => None,
        };
        let Some(path) = self.fresh.front() else {
            return Ok(());
        };
        if appeared.is_some_and(|it| it != path) {
            return Ok(());
        }
        // Both stay in their lists until that is done: an interrupt may come between.
        let added = self.queue.add(path, true);
        self.fresh.pop_front();
        let (folders, found) = match added {
            // It has gone again, or has another name, of which we shall hear.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            added => added?,
        };
        for (watch, path) in folders {
            let watched = Watched {
                path,
                tree: true,
                root: false,
            };
            self.watched.insert(watch, watched);
        }
        let rest = self.changes.split_off(self.changes.len().min(1));
        self.changes.extend(found.into_iter().map(Change::Created));
        self.changes.extend(rest);
        Ok(())
    }

    fn note(&mut self, events: Vec<Event>) {
        // The first half of a renaming. The second comes right after it, if it comes.
        let mut moved: Option<(u32, PathBuf, bool)> = None;
        for event in events {
            let number = match event.what {
                What::MovedTo(number) => Some(number),
                _ => None,
            };
            if let Some((_, from, is_folder)) = moved.take_if(|(of, ..)| Some(*of) != number) {
                self.moved_away(from, is_folder);
            }
            if matches!(event.what, What::Overflow) {
                self.tell(Change::Lost);
                continue;
            }
            let Some(watched) = self.watched.get(&event.watch) else {
                continue;
            };
            let (tree, root) = (watched.tree, watched.root);
            let path = match &event.name {
                Some(name) => watched.path.join(name),
                None => watched.path.clone(),
            };
            let is_fresh = event.is_folder && tree;
            match event.what {
                What::Created => {
                    if is_fresh {
                        self.fresh.push_back(path.clone());
                    }
                    self.tell(Change::Created(path));
                }
                What::Modified => self.tell(Change::Modified(path)),
                What::Removed => self.tell(Change::Removed(path)),
                // Of what was found in a tree, the folder around it tells.
                What::RemovedItself if root => {
                    self.forget_below(&path);
                    self.watched.remove(&event.watch);
                    self.tell(Change::Removed(path));
                }
                What::MovedFrom(number) => moved = Some((number, path, event.is_folder)),
                What::MovedTo(_) => match moved.take() {
                    Some((_, from, _)) => {
                        self.rename_below(&from, &path);
                        if is_fresh && !self.watched.values().any(|it| it.path == path) {
                            // It had its old name too shortly to be watched.
                            self.fresh.push_back(path.clone());
                        }
                        self.tell(Change::Renamed { from, to: path });
                    }
                    None => {
                        if is_fresh {
                            self.fresh.push_back(path.clone());
                        }
                        self.tell(Change::Created(path));
                    }
                },
                What::NoLongerWatched => _ = self.watched.remove(&event.watch),
                What::RemovedItself | What::Overflow => {}
            }
        }
        if let Some((_, from, is_folder)) = moved {
            self.moved_away(from, is_folder);
        }
    }

    fn tell(&mut self, change: Change) {
        let again = matches!(change, Change::Modified(_) | Change::Lost);
        if !(again && self.changes.back() == Some(&change)) {
            self.changes.push_back(change);
        }
    }

    fn moved_away(&mut self, from: PathBuf, is_folder: bool) {
        if is_folder {
            self.forget_below(&from);
        }
        self.tell(Change::Removed(from));
    }

    fn rename_below(&mut self, from: &Path, to: &Path) {
        let watched = self.watched.values_mut().map(|it| &mut it.path);
        for path in watched.chain(&mut self.fresh) {
            if let Ok(rest) = path.strip_prefix(from) {
                // Without a slash at its end.
                *path = to.join(rest).components().collect();
            }
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roots = self.watched.values().filter(|it| it.root);
        f.debug_set().entries(roots.map(|it| &it.path)).finish()
    }
}
