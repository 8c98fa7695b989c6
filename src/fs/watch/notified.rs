//! Where the system tells that something has changed, but not what: the crate `notify` hears it, and a thread looks.
//!
//! ```text
//!   notify's thread        thread "grapeshot-files"              coroutine
//!   ───────────────        ────────────────────────              ─────────
//!   event ── hint ──▶      looks: what is different now?
//!                          changes into the mailbox, a byte ──▶  reads the byte, takes the changes
//!                          watches what is new
//! ```
//!
//! It has one thread for each watcher, because looking takes the disk's time.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use notify::event::{EventKind, ModifyKind};
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher as _, WatcherKind};
use parking_lot::Mutex;

use super::Change;
use super::snapshot::{Found, Root, covers};
use crate::io::{ReadinessArm, Source, WaitKind, Way};
use crate::sync::channel;

/// Changes that are kept for whoever does not ask: as many as Linux keeps.
const KEPT: usize = 16_384;

/// Tells the looking thread what to do, and hears of changes.
pub(in crate::fs) struct Queue {
    bell: Source<OwnedFd>,
    mailbox: Arc<Mutex<Mailbox>>,
    orders: Sender<Order>,
}

#[derive(Default)]
struct Mailbox {
    changes: VecDeque<Change>,
}

impl Mailbox {
    /// False: it was told just now.
    fn put(&mut self, change: Change) -> bool {
        let again = matches!(change, Change::Modified(_) | Change::Lost);
        if again && self.changes.back() == Some(&change) {
            return false;
        }
        if self.changes.len() < KEPT {
            self.changes.push_back(change);
        } else if self.changes.back() != Some(&Change::Lost) {
            self.changes.push_back(Change::Lost);
        }
        true
    }
}

enum Order {
    Hint(notify::Result<notify::Event>),
    Watch {
        path: PathBuf,
        tree: bool,
        done: channel::Sender<io::Result<()>>,
    },
    Unwatch(PathBuf),
    End,
}

/// How what is below a folder is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fs) enum Manner {
    /// The system does it.
    Whole,
    /// Each file and folder by itself: kqueue knows no other way.
    OneByOne,
}

impl Queue {
    pub(in crate::fs) fn new() -> io::Result<Self> {
        Self::with(match RecommendedWatcher::kind() {
            WatcherKind::Kqueue => Manner::OneByOne,
            _ => Manner::Whole,
        })
    }

    pub(in crate::fs) fn with(manner: Manner) -> io::Result<Self> {
        let (bell, rings) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        rings.set_nonblocking(true)?;
        let (orders, to_do) = mpsc::channel();
        let hints = orders.clone();
        let hear = move |event| {
            // It fails when nobody looks any more.
            let _ = hints.send(Order::Hint(event));
        };
        let system = notify::recommended_watcher(hear).map_err(explain)?;
        let mailbox = Arc::default();
        let looking = Looking {
            system,
            manner,
            roots: Vec::new(),
            mailbox: Arc::clone(&mailbox),
            rings,
        };
        let thread = thread::Builder::new().name("grapeshot-files".into());
        thread.spawn(move || looking.run(&to_do))?;
        Ok(Self {
            bell: Source::new(bell.into()),
            mailbox,
            orders,
        })
    }

    /// Watches a path. May suspend.
    pub(in crate::fs) fn add(&self, path: &Path, tree: bool) -> io::Result<(PathBuf, ())> {
        let (done, is_done) = channel::bounded(1);
        let given = path.to_owned();
        let path = given.clone();
        let gone = || io::Error::other("the thread that looks after watched files has ended");
        let order = Order::Watch { path, tree, done };
        self.orders.send(order).map_err(|_| gone())?;
        is_done.recv().map_err(|_| gone())??;
        Ok((given, ()))
    }

    /// Waits for changes and takes them.
    pub(in crate::fs) fn take(&self) -> io::Result<Vec<Change>> {
        self.bell.read_with(WaitKind::Read, |bell| self.empty(bell))
    }

    /// Takes changes, if there are any.
    pub(in crate::fs) fn try_take(&self) -> io::Result<Vec<Change>> {
        self.bell.attempt(|bell| self.empty(bell))
    }

    /// Whether there are changes.
    pub(in crate::fs) fn readiness(&self) -> ReadinessArm<'_, OwnedFd> {
        self.bell.readiness(Way::Read)
    }

    fn empty(&self, bell: &OwnedFd) -> io::Result<Vec<Change>> {
        // First the bell: what is put into the mailbox after that rings again.
        rustix::io::read(bell, &mut [0; 64])?;
        Ok(self.mailbox.lock().changes.drain(..).collect())
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::End);
    }
}

/// What has been heard of and not yet been told.
#[derive(Default)]
pub(in crate::fs) struct News {
    /// With the folders in them, or without.
    roots: Vec<(PathBuf, bool)>,
    changes: VecDeque<Change>,
}

impl News {
    pub(in crate::fs) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// What was asked for by name.
    pub(in crate::fs) fn roots(&self) -> impl Iterator<Item = &Path> {
        self.roots.iter().map(|(root, _)| root.as_path())
    }

    pub(in crate::fs) fn watch(&mut self, path: PathBuf, tree: bool) {
        self.roots.retain(|(root, _)| *root != path);
        self.roots.push((path, tree));
    }

    /// False: it is not watched by that name.
    pub(in crate::fs) fn unwatch(&mut self, queue: &Queue, path: &Path) -> bool {
        let Some(place) = self.roots.iter().position(|(root, _)| root == path) else {
            return false;
        };
        // What was found by now is told; what a look finds that is under way is not.
        let found = queue.mailbox.lock().changes.drain(..).collect();
        self.note(queue, found);
        let (root, _) = self.roots.swap_remove(place);
        let _ = queue.orders.send(Order::Unwatch(root));
        true
    }

    pub(in crate::fs) fn note(&mut self, _queue: &Queue, changes: Vec<Change>) {
        for change in changes {
            let path = match &change {
                Change::Created(path) | Change::Modified(path) | Change::Removed(path) => path,
                Change::Renamed { to, .. } => to,
                Change::Lost => {
                    self.changes.push_back(change);
                    continue;
                }
            };
            if !self
                .roots
                .iter()
                .any(|(root, tree)| covers(root, *tree, path))
            {
                continue;
            }
            if let Change::Removed(path) = &change {
                self.roots.retain(|(root, _)| root != path);
            }
            self.changes.push_back(change);
        }
    }

    /// The next change; there is one.
    pub(in crate::fs) fn next(&mut self, _queue: &Queue) -> io::Result<Change> {
        Ok(self.changes.pop_front().expect("there is a change"))
    }
}

/// The thread that looks.
struct Looking {
    system: RecommendedWatcher,
    manner: Manner,
    roots: Vec<Root>,
    mailbox: Arc<Mutex<Mailbox>>,
    rings: UnixStream,
}

impl Looking {
    fn run(mut self, orders: &Receiver<Order>) {
        while let Ok(first) = orders.recv() {
            let (mut hints, mut written) = (BTreeSet::new(), BTreeSet::new());
            let (mut lost, mut everywhere) = (false, false);
            // What has come meanwhile is looked at in one go.
            for order in std::iter::once(first).chain(orders.try_iter()) {
                match order {
                    Order::Hint(Ok(event)) => {
                        lost |= event.need_rescan();
                        if matches!(event.kind, EventKind::Modify(ModifyKind::Data(_))) {
                            written.extend(event.paths.iter().cloned());
                        }
                        hints.extend(event.paths);
                    }
                    Order::Hint(Err(error)) => {
                        log::debug!("watching files: {error}");
                        lost = true;
                    }
                    Order::Watch { path, tree, done } => {
                        // FSEvents begins anew with it, and hears nothing meanwhile.
                        everywhere |= self.manner == Manner::Whole;
                        // Whoever asked may have been interrupted.
                        let _ = done.send(self.watch(path, tree));
                    }
                    Order::Unwatch(path) => self.unwatch(&path),
                    Order::End => return,
                }
            }
            if lost {
                self.tell([Change::Lost]);
            }
            if lost || everywhere || !hints.is_empty() {
                self.look(&hints, &written, lost || everywhere);
            }
        }
    }

    fn watch(&mut self, path: PathBuf, tree: bool) -> io::Result<()> {
        self.unwatch(&path);
        let mut root = Root::new(path, tree)?;
        self.begin(&root.real, tree)?;
        // Watched first and looked at then, so that nothing is made in between and missed. What appears in it meanwhile
        // has to be looked into again once it is watched, too.
        loop {
            let found = root.look_everywhere();
            if found.fresh.is_empty() || self.manner == Manner::Whole {
                break;
            }
            self.follow(&found)?;
        }
        self.roots.push(root);
        Ok(())
    }

    fn unwatch(&mut self, path: &Path) {
        let Some(place) = self.roots.iter().position(|root| root.given == *path) else {
            return;
        };
        let root = self.roots.swap_remove(place);
        self.end(&root);
    }

    /// Looks at what the hints are about, and on until nothing new appears in what is newly watched.
    fn look(&mut self, hints: &BTreeSet<PathBuf>, written: &BTreeSet<PathBuf>, everywhere: bool) {
        let mut index = 0;
        while let Some(root) = self.roots.get_mut(index) {
            if !root.is_there() {
                let root = self.roots.remove(index);
                self.end(&root);
                self.tell([Change::Removed(root.given)]);
                continue;
            }
            let ours = |paths: &BTreeSet<PathBuf>| -> BTreeSet<PathBuf> {
                let covered = paths.iter().filter(|path| root.covers(path));
                covered.cloned().collect()
            };
            let (hints, written) = (ours(hints), ours(written));
            let mut found = match (everywhere, hints.is_empty()) {
                (true, _) => root.look_everywhere(),
                (false, true) => Found::default(),
                (false, false) => root.look(&hints, &written),
            };
            loop {
                self.tell_of(index, &found);
                if found.fresh.is_empty() || self.manner == Manner::Whole {
                    break;
                }
                if let Err(error) = self.follow(&found) {
                    log::warn!("watching files: {error}");
                    self.tell([Change::Lost]);
                    break;
                }
                let fresh = found.fresh.iter().cloned().collect();
                found = self.roots[index].look(&fresh, &BTreeSet::new());
            }
            index += 1;
        }
    }

    /// Tells what is told by no earlier root.
    fn tell_of(&mut self, index: usize, found: &Found) {
        let (earlier, this) = self.roots.split_at(index);
        let root = &this[0];
        let is_news = |change: &&Change| {
            let path = match change {
                Change::Created(path) | Change::Modified(path) | Change::Removed(path) => path,
                Change::Renamed { to, .. } => to,
                Change::Lost => return true,
            };
            !earlier.iter().any(|root| root.covers(path))
        };
        let told = |change: &Change| match change {
            Change::Created(path) => Change::Created(root.told(path)),
            Change::Modified(path) => Change::Modified(root.told(path)),
            Change::Removed(path) => Change::Removed(root.told(path)),
            Change::Renamed { from, to } => Change::Renamed {
                from: root.told(from),
                to: root.told(to),
            },
            Change::Lost => Change::Lost,
        };
        let news: Vec<_> = found.changes.iter().filter(is_news).map(told).collect();
        self.tell(news);
    }

    fn tell(&mut self, changes: impl IntoIterator<Item = Change>) {
        let mut rings = false;
        {
            let mut mailbox = self.mailbox.lock();
            for change in changes {
                rings |= mailbox.put(change);
            }
        }
        if rings {
            // If it is full, it has rung already.
            let _ = (&self.rings).write(&[1]);
        }
    }

    /// Has the system watch what is new, where that is done one by one, and no longer what is gone.
    fn follow(&mut self, found: &Found) -> io::Result<()> {
        for path in &found.gone {
            let _ = self.system.unwatch(path);
        }
        for path in &found.fresh {
            // Opening a FIFO, as kqueue's watch has to, would wait.
            let is_plain = |it: std::fs::Metadata| it.is_file() || it.is_dir();
            if std::fs::symlink_metadata(path).is_ok_and(is_plain) {
                match self.begin(path, false) {
                    // It has gone again.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    done => done?,
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, path: &Path, tree: bool) -> io::Result<()> {
        let mode = match (tree, self.manner) {
            (true, Manner::Whole) => RecursiveMode::Recursive,
            _ => RecursiveMode::NonRecursive,
        };
        self.system.watch(path, mode).map_err(explain)
    }

    /// No longer watches a root that was taken out; others may watch parts of it.
    fn end(&mut self, root: &Root) {
        let mut again = BTreeSet::new();
        for other in &self.roots {
            if root.covers(&other.real) || other.covers(&root.real) {
                again.extend(match self.manner {
                    Manner::Whole => vec![(other.real.clone(), other.tree)],
                    Manner::OneByOne => {
                        other.known().map(|path| (path.to_owned(), false)).collect()
                    }
                });
            }
        }
        match self.manner {
            Manner::Whole => {
                let _ = self.system.unwatch(&root.real);
            }
            Manner::OneByOne => root.known().for_each(|path| {
                let _ = self.system.unwatch(path);
            }),
        }
        for (path, tree) in again {
            let _ = self.begin(&path, tree);
        }
    }
}

/// The system's own error, where there is one.
fn explain(error: notify::Error) -> io::Error {
    match error.kind {
        ErrorKind::Io(error) => error,
        ErrorKind::PathNotFound => io::ErrorKind::NotFound.into(),
        _ => io::Error::other(error.to_string()),
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}
