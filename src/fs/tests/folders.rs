//! Folders, names and permissions.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;

use super::{Folder, bounded};
use crate::fs;

#[test]
fn names_come_and_go() {
    let folder = Folder::new();
    let path = folder.path("a/b/c");
    bounded(move || {
        fs::create_dir_all(&path).unwrap();
        assert!(fs::metadata(&path).unwrap().is_dir());
        assert!(fs::create_dir(&path).is_err());
        let (one, two) = (path.join("one"), path.join("two"));
        fs::write(&one, "1").unwrap();
        fs::rename(&one, &two).unwrap();
        assert!(!fs::exists(&one).unwrap());
        assert_eq!(fs::copy(&two, &one).unwrap(), 1);
        fs::hard_link(&one, path.join("hard")).unwrap();
        fs::symlink("one", path.join("soft")).unwrap();
        assert_eq!(fs::read_link(path.join("soft")).unwrap().as_os_str(), "one");
        assert!(
            fs::symlink_metadata(path.join("soft"))
                .unwrap()
                .is_symlink()
        );
        assert_eq!(
            fs::canonicalize(path.join("../c/soft")).unwrap(),
            fs::canonicalize(&one).unwrap()
        );
        fs::set_permissions(&one, PermissionsExt::from_mode(0o640)).unwrap();
        assert_eq!(
            fs::metadata(&one).unwrap().permissions().mode() & 0o777,
            0o640
        );

        let entries: Vec<_> = fs::read_dir(&path).unwrap().map(Result::unwrap).collect();
        let names: BTreeSet<OsString> = entries.iter().map(fs::DirEntry::file_name).collect();
        assert_eq!(
            names,
            ["hard", "one", "soft", "two"].map(OsString::from).into()
        );
        for entry in entries {
            let soft = entry.file_name() == "soft";
            assert_eq!(entry.file_type().unwrap().is_symlink(), soft);
            assert_eq!(entry.metadata().unwrap().is_symlink(), soft);
            assert!(entry.path().starts_with(&path));
        }
        fs::remove_file(&one).unwrap();
        assert!(fs::remove_dir(&path).is_err(), "it is not empty");
        fs::remove_dir_all(&path).unwrap();
        fs::remove_dir(path.parent().unwrap()).unwrap();
    });
}

#[test]
fn a_large_folder_is_fetched_in_parts() {
    let folder = Folder::new();
    // Around the size of a part, and several.
    for count in [0, 1, 255, 256, 257, 1000] {
        let path = folder.path(&count.to_string());
        bounded(move || {
            fs::create_dir(&path).unwrap();
            for number in 0..count {
                std::fs::write(path.join(number.to_string()), "").unwrap();
            }
            let names: BTreeSet<_> = fs::read_dir(&path)
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            assert_eq!(names.len(), count);
        });
    }
}
