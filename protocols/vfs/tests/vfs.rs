//! What every file system does, and what a real folder keeps in.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use grapeshot_vfs::{FilePath, FileSystem, Folder, Kind, MemoryFiles, read};

/// A folder of a test's own, removed at its end.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("grapeshot-vfs-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn path(text: &str) -> FilePath {
    FilePath::new(text).unwrap()
}

fn write(files: &dyn FileSystem, to: &str, content: &[u8]) -> std::io::Result<()> {
    let mut file = files.create(&path(to))?;
    file.write_all(content)?;
    file.commit()
}

fn kind_of<T>(result: std::io::Result<T>) -> ErrorKind {
    result.err().expect("an error").kind()
}

fn names(files: &dyn FileSystem, folder: &str) -> Vec<String> {
    let mut names: Vec<_> = files
        .list(&path(folder), 100)
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    names.sort();
    names
}

/// What does not depend on where the files are.
fn exercise(files: &dyn FileSystem) {
    write(files, "a.txt", b"one").unwrap();
    files.create_folder(&path("d")).unwrap();
    write(files, "d/b.txt", b"two").unwrap();
    assert_eq!(read(files, &path("d/b.txt")).unwrap(), b"two");
    assert_eq!(names(files, ""), ["a.txt", "d"]);
    let before = files.metadata(&path("a.txt")).unwrap();
    assert_eq!((before.kind, before.len), (Kind::File, 3));
    assert_eq!(files.metadata(&path("d")).unwrap().kind, Kind::Folder);
    assert_eq!(files.metadata(&path("")).unwrap().kind, Kind::Folder);

    // Half a file is not seen, and leaves nothing when it is given up.
    let mut half = files.create(&path("a.txt")).unwrap();
    half.write_all(b"half").unwrap();
    assert_eq!(read(files, &path("a.txt")).unwrap(), b"one");
    assert_eq!(names(files, ""), ["a.txt", "d"]);
    drop(half);
    assert_eq!(read(files, &path("a.txt")).unwrap(), b"one");

    // An open file stays what it was.
    let open = files.open(&path("a.txt")).unwrap();
    write(files, "a.txt", b"another").unwrap();
    let mut buffer = [0; 10];
    assert_eq!(open.read_at(&mut buffer, 1).unwrap(), 2);
    assert_eq!(&buffer[..2], b"ne");
    assert_ne!(files.metadata(&path("a.txt")).unwrap().tag, before.tag);

    files.rename(&path("a.txt"), &path("d/c.txt")).unwrap();
    assert_eq!(
        (names(files, ""), names(files, "d")),
        (
            vec!["d".to_owned()],
            vec!["b.txt".to_owned(), "c.txt".to_owned()]
        )
    );
    files.rename(&path("d"), &path("e")).unwrap();
    assert_eq!(read(files, &path("e/c.txt")).unwrap(), b"another");
    assert_eq!(files.list(&path("e"), 1).unwrap().len(), 1);

    assert_eq!(kind_of(files.metadata(&path("none"))), ErrorKind::NotFound);
    assert_eq!(kind_of(files.open(&path("none/x"))), ErrorKind::NotFound);
    assert_eq!(kind_of(files.create(&path("none/x"))), ErrorKind::NotFound);
    assert_eq!(kind_of(files.create(&path("e"))), ErrorKind::IsADirectory);
    assert_eq!(
        kind_of(files.create_folder(&path("e"))),
        ErrorKind::AlreadyExists
    );
    assert_eq!(
        kind_of(files.remove_folder(&path("e"))),
        ErrorKind::DirectoryNotEmpty
    );
    assert_eq!(
        kind_of(files.remove_folder(&path("e/b.txt"))),
        ErrorKind::NotADirectory
    );
    assert_eq!(
        kind_of(files.remove_file(&path("e"))),
        ErrorKind::IsADirectory
    );
    assert_eq!(
        kind_of(files.list(&path("e/b.txt"), 1)),
        ErrorKind::NotADirectory
    );
    files.remove_file(&path("e/b.txt")).unwrap();
    files.remove_file(&path("e/c.txt")).unwrap();
    files.remove_folder(&path("e")).unwrap();
    assert_eq!(names(files, ""), Vec::<String>::new());
}

#[test]
fn files_in_memory_are_written_and_read() {
    let files = MemoryFiles::new(100);
    exercise(&files);
    assert_eq!(files.room(), 100, "nothing is left");
}

#[test]
fn files_in_a_folder_are_written_and_read() {
    let root = Temporary::new("exercise");
    exercise(&Folder::new(&root.0).unwrap());
    assert_eq!(
        std::fs::read_dir(&root.0).unwrap().count(),
        0,
        "nothing is left"
    );
    let inner = root.0.clone();
    grapeshot::run(move || exercise(&Folder::new(&inner).unwrap()));
}

#[test]
fn a_full_one_says_so_and_keeps_what_it_had() {
    let files = MemoryFiles::new(10);
    write(&files, "a", b"12345").unwrap();
    assert_eq!(
        kind_of(write(&files, "a", b"123456")),
        ErrorKind::StorageFull
    );
    assert_eq!(read(&files, &path("a")).unwrap(), b"12345");
    write(&files, "b", b"12345").unwrap();
    assert_eq!(files.room(), 0);
}

#[test]
fn what_is_to_be_read_only_is() {
    let root = Temporary::new("read-only");
    std::fs::write(root.0.join("a"), "content").unwrap();
    let files = Folder::read_only(&root.0).unwrap();
    assert_eq!(read(&files, &path("a")).unwrap(), b"content");
    assert_eq!(
        kind_of(files.create(&path("b"))),
        ErrorKind::ReadOnlyFilesystem
    );
    assert_eq!(
        kind_of(files.remove_file(&path("a"))),
        ErrorKind::ReadOnlyFilesystem
    );
    assert_eq!(
        kind_of(files.rename(&path("a"), &path("b"))),
        ErrorKind::ReadOnlyFilesystem
    );
    assert_eq!(
        kind_of(files.create_folder(&path("b"))),
        ErrorKind::ReadOnlyFilesystem
    );
}

#[test]
fn no_link_leads_out() {
    let outer = Temporary::new("links");
    let root = outer.0.join("root");
    std::fs::create_dir_all(root.join("sub")).unwrap();
    std::fs::write(outer.0.join("secret"), "the secret").unwrap();
    std::fs::write(root.join("sub/inside"), "inside").unwrap();
    symlink("../secret", root.join("file")).unwrap();
    symlink(&outer.0, root.join("folder")).unwrap();
    symlink("sub", root.join("within")).unwrap();
    let files = Folder::new(&root).unwrap();
    assert!(files.open(&path("file")).is_err());
    assert!(files.open(&path("folder/secret")).is_err());
    assert!(files.create(&path("folder/new")).is_err());
    assert!(files.remove_file(&path("folder/secret")).is_err());
    assert!(
        files
            .rename(&path("sub/inside"), &path("folder/taken"))
            .is_err()
    );
    assert!(files.create_folder(&path("folder/new")).is_err());
    assert!(files.list(&path("folder"), 10).is_err());
    if cfg!(target_os = "linux") {
        assert_eq!(read(&files, &path("within/inside")).unwrap(), b"inside");
        assert_eq!(
            names(&files, ""),
            ["sub", "within"],
            "what leads out is not even listed"
        );
    }
    // Writing to a name that is a link replaces the link, not what it leads to.
    write(&files, "file", b"mine").unwrap();
    assert_eq!(
        std::fs::read(outer.0.join("secret")).unwrap(),
        b"the secret"
    );
    assert_eq!(read(&files, &path("file")).unwrap(), b"mine");
}
