//! The watcher of systems other than Linux, with what the crate `notify` has for Linux beneath.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::Folder;
use crate::fs::Change;
use crate::fs::watch::notified::{Manner, News, Queue};
use crate::{run, with_timeout};

const PATIENCE: Duration = Duration::from_secs(60);

/// As [`Watcher`](crate::fs::Watcher) is where this is what it stands on.
struct Heard {
    queue: Queue,
    news: News,
}

impl Heard {
    fn new(manner: Manner) -> Self {
        Self {
            queue: Queue::with(manner).unwrap(),
            news: News::default(),
        }
    }

    fn watch(&mut self, path: &Path, tree: bool) -> io::Result<()> {
        let (path, ()) = self.queue.add(path, tree)?;
        self.news.watch(path, tree);
        Ok(())
    }

    fn unwatch(&mut self, path: &Path) -> bool {
        self.news.unwatch(&self.queue, path)
    }

    fn next(&mut self) -> Change {
        let next = || {
            while self.news.is_empty() {
                let changes = self.queue.take().unwrap();
                self.news.note(&self.queue, changes);
            }
            self.news.next(&self.queue).unwrap()
        };
        with_timeout(PATIENCE, next).expect("it is not told")
    }

    /// All that is told until this is, which is told, too.
    fn until(&mut self, end: &Change) -> Vec<Change> {
        let mut told = Vec::new();
        while told.last() != Some(end) {
            told.push(self.next());
        }
        told
    }
}

fn in_both_manners(test: fn(Manner)) {
    for manner in [Manner::Whole, Manner::OneByOne] {
        run(move || test(manner));
    }
}

#[test]
fn a_files_life_is_told_step_by_step() {
    in_both_manners(|manner| {
        let folder = Folder::new();
        let (one, two) = (folder.path("one"), folder.path("two"));
        fs::write(folder.path("was there"), "").unwrap();
        let mut heard = Heard::new(manner);
        heard.watch(&folder.0, false).unwrap();
        fs::write(&one, "1").unwrap();
        let told = heard.until(&Change::Created(one.clone()));
        assert_eq!(told.len(), 1, "{told:?}");
        let modified = Change::Modified(one.clone());
        fs::write(&one, "more").unwrap();
        heard.until(&modified);
        fs::rename(&one, &two).unwrap();
        let (from, to) = (one, two.clone());
        let told = heard.until(&Change::Renamed { from, to });
        let others = told.iter().rev().skip(1);
        assert!(others.clone().all(|change| *change == modified), "{told:?}");
        // What has another name is still watched.
        fs::write(&two, "much more").unwrap();
        heard.until(&Change::Modified(two.clone()));
        fs::remove_file(&two).unwrap();
        let told = heard.until(&Change::Removed(two.clone()));
        let others = told.iter().rev().skip(1);
        assert!(
            others
                .clone()
                .all(|it| *it == Change::Modified(two.clone())),
            "{told:?}"
        );
    });
}

#[test]
fn a_file_that_is_watched_by_itself_and_goes_is_told_once() {
    in_both_manners(|manner| {
        let (folder, elsewhere) = (Folder::new(), Folder::new());
        for is_moved in [false, true] {
            let file = folder.path("file");
            fs::write(&file, "").unwrap();
            let mut heard = Heard::new(manner);
            heard.watch(&file, false).unwrap();
            heard.watch(&elsewhere.0, false).unwrap();
            assert_eq!(heard.news.roots().count(), 2);
            fs::write(&file, "more").unwrap();
            heard.until(&Change::Modified(file.clone()));
            if is_moved {
                fs::rename(&file, folder.path("away")).unwrap();
            } else {
                fs::remove_file(&file).unwrap();
            }
            heard.until(&Change::Removed(file.clone()));
            let end = elsewhere.path("end");
            fs::write(&end, "").unwrap();
            assert_eq!(heard.until(&Change::Created(end.clone())).len(), 1);
            assert!(!heard.unwatch(&file), "it is no longer watched");
            fs::remove_file(end).unwrap();
        }
    });
}

#[test]
fn a_tree_is_watched_to_its_leaves_and_as_it_grows() {
    run(|| {
        let folder = Folder::new();
        fs::create_dir_all(folder.path("old/deep")).unwrap();
        let mut heard = Heard::new(Manner::OneByOne);
        heard.watch(&folder.0, true).unwrap();
        let leaf = folder.path("old/deep/leaf");
        fs::write(&leaf, "").unwrap();
        heard.until(&Change::Created(leaf));
        // Faster than anybody can watch the first of them.
        fs::create_dir_all(folder.path("new/a/b/c")).unwrap();
        let leaf = folder.path("new/a/b/c/leaf");
        fs::write(&leaf, "").unwrap();
        let told = heard.until(&Change::Created(leaf));
        let paths = ["new", "new/a", "new/a/b", "new/a/b/c"];
        let made = paths.map(|path| Change::Created(folder.path(path)));
        assert!(made.iter().all(|change| told.contains(change)), "{told:?}");
        fs::rename(folder.path("new/a"), folder.path("new/z")).unwrap();
        let (from, to) = (folder.path("new/a"), folder.path("new/z"));
        heard.until(&Change::Renamed { from, to });
        let later = folder.path("new/z/b/c/later");
        fs::write(&later, "").unwrap();
        heard.until(&Change::Created(later));
        fs::remove_dir_all(folder.path("new")).unwrap();
        let told = heard.until(&Change::Removed(folder.path("new")));
        assert!(told.contains(&Change::Removed(folder.path("new/z/b/c/leaf"))));
    });
}

#[test]
fn none_of_many_is_missed() {
    in_both_manners(|manner| {
        let folder = Folder::new();
        let mut heard = Heard::new(manner);
        heard.watch(&folder.0, true).unwrap();
        let mut expected: BTreeSet<_> = (0..500).map(|n| folder.path(&n.to_string())).collect();
        for path in &expected {
            fs::write(path, "").unwrap();
        }
        while !expected.is_empty() {
            match heard.next() {
                Change::Created(path) => assert!(expected.remove(&path), "told twice: {path:?}"),
                Change::Modified(_) => {}
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn what_is_no_longer_watched_is_not_told() {
    in_both_manners(|manner| {
        let folder = Folder::new();
        fs::create_dir(folder.path("in")).unwrap();
        let mut heard = Heard::new(manner);
        heard.watch(&folder.0, true).unwrap();
        heard.watch(&folder.path("in"), false).unwrap();
        // Both tell of this, but once.
        let both = folder.path("in/both");
        fs::write(&both, "").unwrap();
        heard.until(&Change::Created(both));
        assert!(heard.unwatch(&folder.path("in")));
        assert!(!heard.unwatch(&folder.path("in")));
        // The tree around it still is.
        let still = folder.path("in/still");
        fs::write(&still, "").unwrap();
        let told = heard.until(&Change::Created(still.clone()));
        let others = told.iter().rev().skip(1);
        assert!(
            others.clone().all(|it| matches!(it, Change::Modified(_))),
            "{told:?}"
        );
        assert!(heard.unwatch(&folder.0));
        fs::write(folder.path("unheard"), "").unwrap();
        let elsewhere = Folder::new();
        heard.watch(&elsewhere.0, false).unwrap();
        let end = elsewhere.path("end");
        fs::write(&end, "").unwrap();
        let told = heard.until(&Change::Created(end));
        assert!(
            !told.contains(&Change::Created(folder.path("unheard"))),
            "{told:?}"
        );
    });
}

#[test]
fn an_interrupt_takes_nothing_and_errors_say_what_is_wrong() {
    in_both_manners(|manner| {
        let folder = Folder::new();
        let mut heard = Heard::new(manner);
        let missing = heard.watch(&folder.path("missing"), false).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        heard.watch(&folder.0, false).unwrap();
        let waits = with_timeout(Duration::from_millis(1), || heard.queue.take());
        assert!(waits.is_err());
        let path = folder.path("x");
        fs::write(&path, "").unwrap();
        heard.until(&Change::Created(path));
    });
}
