//! What is in a watched file or folder, and how that differs from what was there at an earlier look.
//!
//! For systems that say of a folder that something in it has changed, but not what: kqueue. Their events are hints where to
//! look.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Change;

/// What tells a file from another, and its content from an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    born: Option<SystemTime>,
    is_folder: bool,
    /// Of a folder, neither: what is in it has stamps of its own.
    content: Option<(u64, SystemTime)>,
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        let is_folder = found.is_dir();
        let modified = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Self {
            inode: (found.dev(), found.ino()),
            born: found.created().ok(),
            is_folder,
            content: (!is_folder).then_some((found.len(), modified)),
        }
    }

    /// The same file, whatever is in it.
    fn is_same_file(&self, other: &Self) -> bool {
        self.inode == other.inode && self.born == other.born && self.is_folder == other.is_folder
    }

    /// The same file under another name. An inode's number is used again at once: where no file has a birthday, nothing else
    /// may be different.
    fn is_renamed(&self, other: &Self) -> bool {
        self.is_same_file(other) && (self.born.is_some() || self.content == other.content)
    }
}

/// One file or folder that was asked for.
pub(super) struct Root {
    /// As it was asked for: changes are told under this name.
    pub(super) given: PathBuf,
    /// Without symbolic links, as the system names it.
    pub(super) real: PathBuf,
    pub(super) tree: bool,
    /// What was found at the latest look, by real path; the root itself too.
    known: BTreeMap<PathBuf, Stamp>,
}

/// What there is to do for what was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// By real path.
    pub(super) changes: Vec<Change>,
    /// Is there now, or has another name; nobody may watch it yet. A folder comes before what is in it.
    pub(super) fresh: Vec<PathBuf>,
    pub(super) gone: Vec<PathBuf>,
}

impl Root {
    /// Looks at `given` for the first time.
    pub(super) fn new(given: PathBuf, tree: bool) -> io::Result<Self> {
        let real = fs::canonicalize(&given)?;
        let stamp = Stamp::of(&fs::metadata(&real)?);
        let mut known = BTreeMap::new();
        known.insert(real.clone(), stamp);
        Ok(Self {
            given,
            real,
            tree,
            known,
        })
    }

    /// Whether what happens to `path` is told.
    pub(super) fn covers(&self, path: &Path) -> bool {
        covers(&self.real, self.tree, path)
    }

    /// All that was found at the latest look.
    pub(super) fn known(&self) -> impl Iterator<Item = &Path> {
        self.known.keys().map(PathBuf::as_path)
    }

    /// The name under which a real path is told.
    pub(super) fn told(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.real) {
            Ok(rest) if rest.as_os_str().is_empty() => self.given.clone(),
            Ok(rest) => self.given.join(rest),
            Err(_) => path.to_owned(),
        }
    }

    /// Is it still what was asked for?
    pub(super) fn is_there(&self) -> bool {
        let now = fs::metadata(&self.real).map(|found| Stamp::of(&found));
        let before = self.known.get(&self.real);
        now.is_ok_and(|now| before.is_some_and(|before| before.is_same_file(&now)))
    }

    /// Looks again at the folders around `hints`, at those themselves, and at what is new there. `written` have been
    /// written to, though their stamps may not show it.
    pub(super) fn look(&mut self, hints: &BTreeSet<PathBuf>, written: &BTreeSet<PathBuf>) -> Found {
        let mut found = Found::default();
        let mut appeared = BTreeMap::new();
        let mut gone = BTreeMap::new();
        let mut next: Vec<PathBuf> = self.folders_around(hints).into_iter().rev().collect();
        while let Some(folder) = next.pop() {
            let before = appeared.len();
            self.look_into(&folder, &mut appeared, &mut gone, &mut found);
            if self.tree && appeared.len() > before {
                let is_new = |(path, stamp): &(&PathBuf, &Stamp)| {
                    stamp.is_folder && path.parent() == Some(&folder)
                };
                next.extend(appeared.iter().filter(is_new).map(|(path, _)| path.clone()));
            }
        }
        self.settle(appeared, gone, &mut found);
        let fresh: BTreeSet<_> = found.fresh.iter().cloned().collect();
        for path in written {
            let is_file = self.known.get(path).is_some_and(|it| !it.is_folder);
            let change = Change::Modified(path.clone());
            if is_file && !fresh.contains(path) && !found.changes.contains(&change) {
                found.changes.push(change);
            }
        }
        found
    }

    /// Looks at everything again.
    pub(super) fn look_everywhere(&mut self) -> Found {
        let all = self.known.keys().cloned().collect();
        self.look(&all, &BTreeSet::new())
    }

    fn folders_around(&self, hints: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
        let is_ours = |path: &&Path| {
            let is_folder = self.known.get(*path).is_some_and(|it| it.is_folder);
            is_folder && (self.tree || *path == self.real)
        };
        let around = hints
            .iter()
            .flat_map(|hint| [Some(hint.as_path()), hint.parent()]);
        let mut folders: BTreeSet<_> = around
            .flatten()
            .filter(is_ours)
            .map(Path::to_owned)
            .collect();
        // A file that is watched by itself has no folder.
        if hints.contains(&self.real) || folders.is_empty() {
            folders.insert(self.real.clone());
        }
        folders
    }

    /// Compares one folder (or the file that is the root) with what was found before.
    fn look_into(
        &mut self,
        folder: &Path,
        appeared: &mut BTreeMap<PathBuf, Stamp>,
        gone: &mut BTreeMap<PathBuf, Stamp>,
        found: &mut Found,
    ) {
        let entries = if self.known.get(folder).is_some_and(|it| !it.is_folder) {
            fs::metadata(folder)
                .map(|metadata| vec![(folder.to_owned(), Stamp::of(&metadata))])
                .unwrap_or_default()
        } else {
            entries(folder)
        };
        let now: BTreeMap<_, _> = entries.into_iter().collect();
        let is_inside = |path: &Path| path.parent() == Some(folder);
        for (path, stamp) in self.known.range(folder.to_owned()..) {
            if !path.starts_with(folder) {
                break;
            }
            if is_inside(path) && !now.contains_key(path) {
                gone.insert(path.clone(), stamp.clone());
            }
        }
        for (path, stamp) in now {
            match self.known.get(&path) {
                Some(before) if before.is_same_file(&stamp) => {
                    if before.content != stamp.content {
                        found.changes.push(Change::Modified(path.clone()));
                        self.known.insert(path, stamp);
                    }
                }
                // Another file has its name now.
                Some(before) => {
                    gone.insert(path.clone(), before.clone());
                    appeared.insert(path, stamp);
                }
                None => _ = appeared.insert(path, stamp),
            }
        }
    }

    /// Says what became of what is gone and where what appeared comes from.
    fn settle(
        &mut self,
        mut appeared: BTreeMap<PathBuf, Stamp>,
        gone: BTreeMap<PathBuf, Stamp>,
        found: &mut Found,
    ) {
        let mut modified = std::mem::take(&mut found.changes);
        let mut renamed = Vec::new();
        // Taken out first: another file may have got the name of one of them.
        let gone: Vec<_> = gone
            .into_iter()
            .map(|(from, stamp)| (self.take_below(&from), from, stamp))
            .filter(|(below, ..)| !below.is_empty())
            .collect();
        for (below, from, stamp) in gone {
            let is_it = |(_, it): &(&PathBuf, &Stamp)| stamp.is_renamed(it);
            let to = appeared.iter().find(is_it).map(|(path, _)| path.clone());
            found.gone.extend(below.keys().cloned());
            match to {
                Some(to) => {
                    for (path, stamp) in below {
                        let rest = path.strip_prefix(&from).unwrap_or(&path);
                        let path: PathBuf = to.join(rest).components().collect();
                        let now = appeared.remove(&path).unwrap_or_else(|| stamp.clone());
                        if now.content != stamp.content {
                            modified.push(Change::Modified(path.clone()));
                        }
                        found.fresh.push(path.clone());
                        self.known.insert(path, now);
                    }
                    renamed.push(Change::Renamed { from, to });
                }
                // From the leaves on, as it was removed.
                None => found
                    .changes
                    .extend(below.into_keys().rev().map(Change::Removed)),
            }
        }
        found.changes.extend(renamed);
        for (path, stamp) in appeared {
            found.changes.push(Change::Created(path.clone()));
            found.fresh.push(path.clone());
            self.known.insert(path, stamp);
        }
        found.changes.extend(modified);
    }

    /// Forgets a path and all below it.
    fn take_below(&mut self, path: &Path) -> BTreeMap<PathBuf, Stamp> {
        let below = self.known.range(path.to_owned()..);
        let below: Vec<_> = below
            .map(|(it, _)| it.clone())
            .take_while(|it| it.starts_with(path))
            .collect();
        below
            .into_iter()
            .filter_map(|it| self.known.remove_entry(&it))
            .collect()
    }
}

/// Is `path` in what is watched as `root`, with the folders in it if it is a `tree`?
pub(super) fn covers(root: &Path, tree: bool, path: &Path) -> bool {
    match path.strip_prefix(root) {
        Ok(rest) => tree || rest.components().count() <= 1,
        Err(_) => false,
    }
}

/// What is in a folder; what goes meanwhile is left out.
fn entries(folder: &Path) -> Vec<(PathBuf, Stamp)> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.path(), Stamp::of(&entry.metadata().ok()?)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            static COUNT: AtomicU64 = AtomicU64::new(0);
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("grapeshot-snapshot-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(fs::canonicalize(path).unwrap())
        }

        /// Everything that is different now.
        fn look(&self, root: &mut Root, hints: &[&str]) -> Vec<Change> {
            let hints = hints.iter().map(|hint| self.0.join(hint)).collect();
            root.look(&hints, &BTreeSet::new()).changes
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn root(folder: &Folder, tree: bool) -> Root {
        let mut root = Root::new(folder.0.clone(), tree).unwrap();
        root.look_everywhere();
        root
    }

    #[test]
    fn a_renamed_folder_takes_along_what_is_in_it() {
        let folder = Folder::new();
        let at = |path: &str| folder.0.join(path);
        fs::create_dir_all(at("a/deep")).unwrap();
        fs::write(at("a/deep/leaf"), "x").unwrap();
        let mut root = root(&folder, true);
        fs::rename(at("a"), at("b")).unwrap();
        let (from, to) = (at("a"), at("b"));
        assert_eq!(
            folder.look(&mut root, &["a"]),
            [Change::Renamed { from, to }]
        );
        fs::write(at("b/deep/leaf"), "longer").unwrap();
        let modified = Change::Modified(at("b/deep/leaf"));
        assert_eq!(folder.look(&mut root, &["b/deep/leaf"]), [modified]);
        fs::remove_dir_all(at("b")).unwrap();
        let removed = ["b/deep/leaf", "b/deep", "b"].map(|path| Change::Removed(at(path)));
        assert_eq!(folder.look(&mut root, &["b"]), removed);
        assert_eq!(root.known().collect::<Vec<_>>(), [folder.0.as_path()]);
    }

    #[test]
    fn another_file_of_the_same_name_is_another_file() {
        let folder = Folder::new();
        let at = |path: &str| folder.0.join(path);
        fs::write(at("x"), "old").unwrap();
        fs::write(at("draft"), "newer").unwrap();
        let mut root = root(&folder, false);
        // As editors save.
        fs::rename(at("draft"), at("x")).unwrap();
        let (from, to) = (at("draft"), at("x"));
        let told = folder.look(&mut root, &["x"]);
        assert_eq!(
            told,
            [Change::Removed(at("x")), Change::Renamed { from, to }]
        );
        assert!(folder.look(&mut root, &["x", "draft"]).is_empty());
    }

    #[test]
    fn what_was_written_to_and_renamed_is_told_to_be_both() {
        let folder = Folder::new();
        let at = |path: &str| folder.0.join(path);
        fs::write(at("x"), "old").unwrap();
        let mut root = root(&folder, false);
        fs::write(at("x"), "longer").unwrap();
        fs::rename(at("x"), at("y")).unwrap();
        let told = folder.look(&mut root, &["x", "y"]);
        let (from, to) = (at("x"), at("y"));
        let both = [Change::Renamed { from, to }, Change::Modified(at("y"))];
        let born = fs::metadata(at("y")).unwrap().created();
        let neither = [Change::Removed(at("x")), Change::Created(at("y"))];
        assert_eq!(told, if born.is_ok() { both } else { neither });
    }

    #[test]
    fn a_number_that_is_used_again_is_no_renaming() {
        let folder = Folder::new();
        let at = |path: &str| folder.0.join(path);
        fs::write(at("old"), "old").unwrap();
        let born = |path: &str| fs::metadata(at(path)).unwrap().created().ok();
        // The clock of birthdays may tick only every few milliseconds.
        while fs::write(at("probe"), "").is_ok()
            && born("probe").is_some_and(|it| Some(it) == born("old"))
        {
            fs::remove_file(at("probe")).unwrap();
        }
        let mut root = root(&folder, false);
        fs::remove_file(at("old")).unwrap();
        fs::write(at("new"), "of another length").unwrap();
        let told = folder.look(&mut root, &["new"]);
        assert_eq!(
            told,
            [Change::Removed(at("old")), Change::Created(at("new"))]
        );
    }

    #[test]
    fn what_lies_deeper_is_told_of_a_tree_only() {
        let folder = Folder::new();
        let at = |path: &str| folder.0.join(path);
        fs::create_dir(at("in")).unwrap();
        let (mut flat, mut tree) = (root(&folder, false), root(&folder, true));
        fs::create_dir_all(at("in/new/deep")).unwrap();
        assert!(!flat.covers(&at("in/new")) && tree.covers(&at("in/new")));
        assert!(folder.look(&mut flat, &["in"]).is_empty());
        let made = ["in/new", "in/new/deep"].map(|path| Change::Created(at(path)));
        assert_eq!(folder.look(&mut tree, &["in/new"]), made);
    }
}
