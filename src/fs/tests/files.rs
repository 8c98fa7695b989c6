//! What is written is read.

use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::{Folder, bounded, within_a_minute};
use crate::fs::{self, File};
use crate::spawn;

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

fn goes_round(path: PathBuf) {
    let sent = content(3_000_000);
    let mut file = File::create_new(&path).unwrap();
    file.write_all(&sent).unwrap();
    assert_eq!(file.stream_position().unwrap(), 3_000_000);
    file.sync_all().unwrap();
    file.sync_data().unwrap();
    assert_eq!(file.metadata().unwrap().len(), 3_000_000);
    file.rewind().unwrap();
    let mut heard = Vec::new();
    file.read_to_end(&mut heard).unwrap();
    assert!(heard == sent);
    assert_eq!(file.read(&mut [0; 8]).unwrap(), 0, "its end");
    assert_eq!(file.read(&mut []).unwrap(), 0);

    assert_eq!(file.seek(SeekFrom::End(-10)).unwrap(), 2_999_990);
    assert_eq!(file.seek(SeekFrom::Current(-90)).unwrap(), 2_999_900);
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).unwrap();
    assert_eq!(tail, sent[2_999_900..]);
    assert!(file.seek(SeekFrom::Current(-4_000_000)).is_err());

    file.write_all_at(b"here", 1_000_000).unwrap();
    let mut part = [0; 6];
    file.read_exact_at(&mut part, 999_999).unwrap();
    assert_eq!(&part[1..5], b"here");
    file.set_len(100).unwrap();
    let error = file.read_exact_at(&mut [0; 20], 90).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(fs::read(&path).unwrap(), sent[..100]);
    let again = File::create_new(&path).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
}

#[test]
fn in_a_coroutine() {
    let folder = Folder::new();
    let path = folder.path("file");
    bounded(|| goes_round(path));
}

#[test]
fn on_a_plain_thread() {
    let folder = Folder::new();
    within_a_minute(|| goes_round(folder.path("file")));
}

/// Memory that is a file system has no answer to "without waiting".
#[cfg(target_os = "linux")]
#[test]
fn on_a_file_system_in_memory() {
    let path = PathBuf::from(format!("/dev/shm/grapeshot-fs-{}", std::process::id()));
    if path.parent().is_none_or(|folder| !folder.is_dir()) {
        return;
    }
    let removed = path.clone();
    bounded(|| goes_round(path));
    std::fs::remove_file(removed).unwrap();
}

/// What the kernel has let go is fetched by a thread.
#[cfg(target_os = "linux")]
#[test]
fn what_is_not_in_memory_is_read_too() {
    let folder = Folder::new();
    let path = folder.path("file");
    bounded(move || {
        let sent = content(500_000);
        let mut file = File::create_new(&path).unwrap();
        file.write_all(&sent).unwrap();
        file.sync_all().unwrap();
        for start in [0, 100_001] {
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
            file.seek(SeekFrom::Start(start)).unwrap();
            let mut heard = Vec::new();
            file.read_to_end(&mut heard).unwrap();
            assert!(heard == sent[start as usize..]);
        }
    });
}

#[cfg(target_os = "linux")]
#[test]
fn what_the_system_makes_up_is_read() {
    bounded(|| {
        let mut status = String::new();
        let mut file = File::open("/proc/self/status").unwrap();
        file.read_to_string(&mut status).unwrap();
        assert_eq!(
            status.lines().next(),
            fs::read_to_string("/proc/self/status")
                .unwrap()
                .lines()
                .next()
        );
        let mut zeros = [1; 100];
        File::open("/dev/zero")
            .unwrap()
            .read_exact(&mut zeros)
            .unwrap();
        assert_eq!(zeros, [0; 100]);
    });
}

#[test]
fn what_is_appended_comes_last() {
    let folder = Folder::new();
    let path = folder.path("log");
    bounded(move || {
        fs::write(&path, "one\n").unwrap();
        let mut options = File::options();
        let mut log = options.append(true).read(true).open(&path).unwrap();
        let mut other = File::options().append(true).open(&path).unwrap();
        log.write_all(b"two\n").unwrap();
        other.write_all(b"three\n").unwrap();
        log.rewind().unwrap();
        let mut start = [0; 4];
        log.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"one\n");
        log.write_all(b"four\n").unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "one\ntwo\nthree\nfour\n"
        );
    });
}

#[test]
fn coroutines_share_a_cursor_and_lose_nothing() {
    let folder = Folder::new();
    let path = folder.path("shared");
    bounded(move || {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .unwrap();
        let writers: Vec<_> = (0..8_u8)
            .map(|number| {
                let mut file = file.try_clone().unwrap();
                spawn(move || (0..50).for_each(|_| file.write_all(&[number; 100]).unwrap()))
            })
            .collect();
        writers
            .into_iter()
            .for_each(|writer| writer.join().unwrap());
        let written = fs::read(&path).unwrap();
        assert_eq!(written.len(), 8 * 50 * 100);
        for number in 0..8 {
            let blocks = written.chunks(100).filter(|block| **block == [number; 100]);
            assert_eq!(blocks.count(), 50);
        }
        let mut file = file;
        file.rewind().unwrap();
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let mut file = file.try_clone().unwrap();
                spawn(move || {
                    let mut sum = 0;
                    let mut chunk = [0; 777];
                    loop {
                        match file.read(&mut chunk).unwrap() {
                            0 => return sum,
                            count => sum += count,
                        }
                    }
                })
            })
            .collect();
        let sum: usize = readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .sum();
        assert_eq!(sum, written.len());
    });
}

#[test]
fn from_std_and_back_with_the_cursor() {
    let folder = Folder::new();
    let path = folder.path("file");
    bounded(move || {
        fs::write(&path, b"0123456789").unwrap();
        let mut std = std::fs::File::open(&path).unwrap();
        std.seek(SeekFrom::Start(2)).unwrap();
        let mut ours = File::from_std(std).unwrap();
        let mut byte = [0];
        ours.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"2");
        ours.into_std().unwrap().read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"3");
    });
}

#[test]
fn errors_are_those_of_the_system() {
    let folder = Folder::new();
    let path = folder.path("file");
    bounded(move || {
        assert_eq!(File::open(&path).unwrap_err().kind(), ErrorKind::NotFound);
        fs::write(&path, "x").unwrap();
        let mut file = File::open(&path).unwrap();
        assert!(file.write(b"y").is_err(), "it is open for reading");
        let folder = path.parent().unwrap();
        let error = File::open(folder).unwrap().read(&mut [0; 4]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IsADirectory);
    });
}
