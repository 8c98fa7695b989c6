//! A disk that takes its time holds up nobody but whoever asked.

use std::io::{Read, Write};
use std::time::Duration;

use super::{Folder, bounded, within_a_minute};
use crate::fs::{self, File};
use crate::{Runtime, sleep, spawn};

#[test]
fn a_slow_disk_stalls_no_worker() {
    let folder = Folder::new();
    let fifo = folder.fifo();
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let run = move || {
        let text = spawn({
            let fifo = fifo.clone();
            move || {
                // Waits until somebody opens the other end, and again until that is written.
                let mut file = File::open(fifo).unwrap();
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                text
            }
        });
        // On the one worker there is.
        sleep(Duration::from_millis(1));
        let mut other = File::options().write(true).open(&fifo).unwrap();
        sleep(Duration::from_millis(1));
        other.write_all(b"at last").unwrap();
        drop(other);
        assert_eq!(text.join().unwrap(), "at last");
    };
    runtime.run(|| within_a_minute(run));
}

/// The write of one who has gone goes on; the next waits for it rather than overtake it.
#[test]
fn an_orphaned_write_keeps_its_place() {
    let folder = Folder::new();
    let fifo = folder.fifo();
    bounded(move || {
        let writes = spawn({
            let fifo = fifo.clone();
            move || File::options().write(true).open(fifo).unwrap()
        });
        let mut reader = File::open(&fifo).unwrap();
        let mut writer = writes.join().unwrap();
        // More than the FIFO holds.
        let first = vec![b'1'; 200_000];
        let gone = spawn({
            let mut writer = writer.try_clone().unwrap();
            move || writer.write(&first)
        });
        let mut all = vec![0];
        reader.read_exact(&mut all).unwrap();
        gone.interrupt();
        gone.join().unwrap_err();
        let second = spawn(move || writer.write_all(b"2"));
        reader.read_to_end(&mut all).unwrap();
        second.join().unwrap().unwrap();
        assert_eq!(all.len(), 200_001);
        assert_eq!(all.last(), Some(&b'2'));
    });
}

#[test]
fn in_a_destructor_during_unwinding_it_refuses() {
    struct Late(std::path::PathBuf);
    impl Drop for Late {
        fn drop(&mut self) {
            let error = fs::write(&self.0, "x").unwrap_err();
            assert!(error.to_string().contains("unwinding"), "{error}");
        }
    }
    let folder = Folder::new();
    let path = folder.path("file");
    bounded(move || {
        let coroutine = spawn(move || {
            let _late = Late(path);
            panic!("planned");
        });
        coroutine.join().unwrap_err();
    });
}
