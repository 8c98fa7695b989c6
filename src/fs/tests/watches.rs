//! Changes that are told: each once, under the right name, in order.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Folder;
use crate::fs::{Change, Watcher};
use crate::{run, spawn, testing, with_timeout};

fn watcher(folder: &Folder) -> Watcher {
    let mut watcher = Watcher::new().unwrap();
    watcher.watch(&folder.0).unwrap();
    watcher
}

/// Makes a file there, which is told last.
fn all_until(watcher: &mut Watcher, end: &Path) -> Vec<Change> {
    fs::write(end, "").unwrap();
    let mut changes = Vec::new();
    loop {
        match watcher.next().unwrap() {
            Change::Created(path) if path == end => return changes,
            change => changes.push(change),
        }
    }
}

#[test]
fn a_files_life_is_told_in_order() {
    run(|| {
        let folder = Folder::new();
        let mut watcher = watcher(&folder);
        let (one, two) = (folder.path("one"), folder.path("two"));
        fs::write(&one, "1").unwrap();
        fs::write(&one, "2").unwrap();
        fs::rename(&one, &two).unwrap();
        fs::remove_file(&two).unwrap();
        let told = all_until(&mut watcher, &folder.path("end"));
        let (from, to) = (one.clone(), two.clone());
        let expected = [
            Change::Created(one.clone()),
            Change::Modified(one),
            Change::Renamed { from, to },
            Change::Removed(two),
        ];
        assert_eq!(told, expected);
    });
}

#[test]
fn what_comes_from_elsewhere_and_goes_elsewhere_is_made_and_removed() {
    run(|| {
        let (folder, elsewhere) = (Folder::new(), Folder::new());
        let mut watcher = watcher(&folder);
        fs::write(elsewhere.path("x"), "").unwrap();
        fs::rename(elsewhere.path("x"), folder.path("x")).unwrap();
        fs::rename(folder.path("x"), elsewhere.path("y")).unwrap();
        // A half of a renaming, and then another one that is whole.
        fs::write(folder.path("a"), "").unwrap();
        fs::rename(folder.path("a"), folder.path("b")).unwrap();
        let told = all_until(&mut watcher, &folder.path("end"));
        let (from, to) = (folder.path("a"), folder.path("b"));
        let expected = [
            Change::Created(folder.path("x")),
            Change::Removed(folder.path("x")),
            Change::Created(from.clone()),
            Change::Renamed { from, to },
        ];
        assert_eq!(told, expected);
    });
}

#[test]
fn a_file_that_is_watched_by_itself_and_goes_is_told_once() {
    run(|| {
        let (folder, elsewhere) = (Folder::new(), Folder::new());
        for is_moved in [false, true] {
            let file = folder.path("file");
            fs::write(&file, "").unwrap();
            let mut watcher = Watcher::new().unwrap();
            watcher.watch(&file).unwrap();
            watcher.watch(&elsewhere.0).unwrap();
            fs::write(&file, "more").unwrap();
            if is_moved {
                fs::rename(&file, folder.path("away")).unwrap();
            } else {
                fs::remove_file(&file).unwrap();
            }
            let told = all_until(&mut watcher, &elsewhere.path("end"));
            let modified = Change::Modified(file.clone());
            assert_eq!(told, [modified, Change::Removed(file.clone())]);
            assert!(!watcher.unwatch(&file), "it is no longer watched");
            fs::remove_file(elsewhere.path("end")).unwrap();
        }
    });
}

#[test]
fn a_tree_is_watched_to_its_leaves_and_as_it_grows() {
    run(|| {
        let folder = Folder::new();
        fs::create_dir_all(folder.path("old/deep")).unwrap();
        let mut watcher = Watcher::new().unwrap();
        watcher.watch_tree(&folder.0).unwrap();
        fs::write(folder.path("old/deep/leaf"), "").unwrap();
        // Faster than anybody can watch the first of them.
        fs::create_dir_all(folder.path("new/a/b/c")).unwrap();
        fs::write(folder.path("new/a/b/c/leaf"), "").unwrap();
        let told = all_until(&mut watcher, &folder.path("end"));
        let made: BTreeSet<_> = told
            .iter()
            .filter_map(|change| match change {
                Change::Created(path) => path.strip_prefix(&folder.0).ok(),
                _ => None,
            })
            .collect();
        let paths = [
            "old/deep/leaf",
            "new",
            "new/a",
            "new/a/b",
            "new/a/b/c",
            "new/a/b/c/leaf",
        ];
        assert!(
            paths.iter().all(|path| made.contains(Path::new(path))),
            "{told:?}"
        );
        // And what is there is known by its new name when a folder above it is renamed.
        fs::rename(folder.path("new/a"), folder.path("old/z")).unwrap();
        fs::write(folder.path("old/z/b/c/later"), "").unwrap();
        let told = all_until(&mut watcher, &folder.path("end 2"));
        let (from, to) = (folder.path("new/a"), folder.path("old/z"));
        assert!(told.contains(&Change::Renamed { from, to }), "{told:?}");
        let later = Change::Created(folder.path("old/z/b/c/later"));
        assert!(told.contains(&later), "{told:?}");
    });
}

#[test]
fn what_leaves_a_tree_is_no_longer_watched() {
    run(|| {
        let (folder, elsewhere) = (Folder::new(), Folder::new());
        fs::create_dir_all(folder.path("a/b")).unwrap();
        let mut watcher = Watcher::new().unwrap();
        watcher.watch_tree(&folder.0).unwrap();
        fs::rename(folder.path("a"), elsewhere.path("a")).unwrap();
        let told = all_until(&mut watcher, &folder.path("end"));
        assert_eq!(told, [Change::Removed(folder.path("a"))]);
        fs::write(elsewhere.path("a/b/unheard"), "").unwrap();
        assert_eq!(all_until(&mut watcher, &folder.path("end 2")), []);
        assert!(watcher.unwatch(&folder.0));
        assert!(!watcher.unwatch(elsewhere.path("a")));
    });
}

#[test]
fn more_than_the_system_keeps_is_said_to_be_lost() {
    run(|| {
        let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events");
        let limit: usize = limit.unwrap().trim().parse().unwrap();
        let folder = Folder::new();
        let mut watcher = watcher(&folder);
        let [one, two] = ["one", "two"].map(|name| folder.path(name));
        // Alternating, since the same again would be told once.
        for count in 0..=limit / 2 {
            let (from, to) = if count % 2 == 0 {
                (&one, &two)
            } else {
                (&two, &one)
            };
            fs::write(from, "").unwrap();
            fs::rename(from, to).unwrap();
        }
        let mut changes = 0;
        while watcher.next().unwrap() != Change::Lost {
            changes += 1;
            assert!(changes <= limit, "it was not told");
        }
        // And it goes on.
        let told = all_until(&mut watcher, &folder.path("end"));
        assert!(!told.contains(&Change::Lost));
    });
}

#[test]
fn an_interrupt_takes_nothing() {
    for seed in 0..20 {
        testing::run(seed, || {
            let folder = Folder::new();
            let mut watcher = watcher(&folder);
            let waits = with_timeout(Duration::from_millis(1), || watcher.next());
            assert!(waits.is_err());
            let path = folder.path("x");
            let made = path.clone();
            let maker = spawn(move || fs::write(made, "").unwrap());
            assert_eq!(watcher.next().unwrap(), Change::Created(path));
            maker.join().unwrap();
        });
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let missing = PathBuf::from("/nonexistent/grapeshot");
    let mut watcher = Watcher::new().unwrap();
    let error = watcher.watch(&missing).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert!(!watcher.unwatch(&missing));
    assert_eq!(format!("{watcher:?}"), "{}");
}
