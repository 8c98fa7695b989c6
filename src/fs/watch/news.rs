//! What is watched, and what has been heard of it and not yet been told.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

use super::{Change, Event, Queue, What};

#[derive(Default)]
pub(super) struct News {
    watched: HashMap<i32, Watched>,
    changes: VecDeque<Change>,
    /// Folders in a tree that have appeared: they are to be watched too. Empty while `changes` is.
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

impl News {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// What was asked for by name.
    pub(super) fn roots(&self) -> impl Iterator<Item = &Path> {
        let roots = self.watched.values().filter(|it| it.root);
        roots.map(|it| &*it.path)
    }

    /// The system watches these now, the first of them as asked for.
    pub(super) fn watch(&mut self, folders: Vec<(i32, PathBuf)>, tree: bool) {
        for (index, (watch, path)) in folders.into_iter().enumerate() {
            let root = index == 0;
            self.watched.insert(watch, Watched { path, tree, root });
        }
    }

    /// False: it is not watched by that name.
    pub(super) fn unwatch(&mut self, queue: &Queue, path: &Path) -> bool {
        let found = self
            .watched
            .iter()
            .find(|(_, it)| it.root && it.path == path);
        let Some((&watch, it)) = found else {
            return false;
        };
        if it.tree {
            self.forget_below(queue, path);
        } else {
            // It is struck off when the system says that nothing more comes.
            queue.remove(watch);
        }
        true
    }

    fn forget_below(&mut self, queue: &Queue, path: &Path) {
        for (&watch, _) in self
            .watched
            .iter()
            .filter(|(_, it)| it.path.starts_with(path))
        {
            queue.remove(watch);
        }
    }

    /// The next change; there is one. **May suspend**, to watch folders that have appeared. An interrupt loses nothing.
    pub(super) fn next(&mut self, queue: &Queue) -> io::Result<Change> {
        self.watch_fresh(queue)?;
        Ok(self.changes.pop_front().expect("there is a change"))
    }

    /// Watches the folder that the next change is about, if it has appeared in a tree, and has what is in it told next;
    /// before the last change, all that are left.
    fn watch_fresh(&mut self, queue: &Queue) -> io::Result<()> {
        while let Some(path) = self.fresh.front() {
            let is_next = match self.changes.front() {
                Some(Change::Created(next) | Change::Renamed { to: next, .. }) => next == path,
                _ => false,
            };
            if !is_next && self.changes.len() > 1 {
                return Ok(());
            }
            // Both stay in their lists until that is done: an interrupt may come between.
            let added = queue.add(path, true);
            let path = self.fresh.pop_front();
            self.fresh.retain(|it| Some(it) != path.as_ref());
            let (folders, found) = match added {
                // It has gone again, or has another name, of which we shall hear.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
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
        }
        Ok(())
    }

    pub(super) fn note(&mut self, queue: &Queue, events: Vec<Event>) {
        // The first half of a renaming. The second comes right after it, if it comes.
        let mut moved: Option<(u32, PathBuf, bool)> = None;
        for event in events {
            let number = match event.what {
                What::MovedTo(number) => Some(number),
                _ => None,
            };
            if let Some((_, from, is_folder)) = moved.take_if(|(of, ..)| Some(*of) != number) {
                self.moved_away(queue, from, is_folder);
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
                    self.forget_below(queue, &path);
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
            self.moved_away(queue, from, is_folder);
        }
    }

    fn tell(&mut self, change: Change) {
        let again = matches!(change, Change::Modified(_) | Change::Lost);
        if !(again && self.changes.back() == Some(&change)) {
            self.changes.push_back(change);
        }
    }

    fn moved_away(&mut self, queue: &Queue, from: PathBuf, is_folder: bool) {
        if is_folder {
            self.forget_below(queue, &from);
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
