use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::io::{Closed, PipeReader, PipeWriter, pipe};
use crate::net::tests::{alone, exhaust_descriptors, run, run_seeds, until_waits};
use crate::{JoinHandle, spawn, testing, with_timeout};

/// Writes until the pipe is full; returns how much it took.
fn fill(pipe: &PipeWriter) -> usize {
    let mut taken = 0;
    loop {
        match pipe.try_write(&[b'x'; 4096]) {
            Ok(count) => taken += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return taken,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_megabyte_goes_through_in_order_and_then_comes_the_end() {
    run(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        let sent: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
        let expected = sent.clone();
        let writing = spawn(move || writer.write_all(&sent).unwrap());
        let mut heard = Vec::new();
        reader.read_to_end(&mut heard).unwrap();
        assert!(heard == expected);
        writing.join().unwrap();
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "the end stays the end");
    });
}

#[test]
fn vectored_calls_take_more_slices_than_the_kernel_does() {
    run(|| {
        let (mut reader, mut writer) = pipe().unwrap();
        let bytes = [7_u8; 1500];
        let slices: Vec<_> = bytes.chunks(1).map(IoSlice::new).collect();
        let count = writer.write_vectored(&slices).unwrap();
        assert_eq!(count, 1024);
        let mut room = [0; 1500];
        let mut rooms: Vec<_> = room.chunks_mut(1).map(IoSliceMut::new).collect();
        assert_eq!(reader.read_vectored(&mut rooms).unwrap(), count);
        assert!(room[..count].iter().all(|&byte| byte == 7));
    });
}

#[test]
fn timed_out_calls_have_done_nothing() {
    testing::run(1, || {
        let (mut reader, mut writer) = pipe().unwrap();
        let minute = Duration::from_secs(60);
        assert!(with_timeout(minute, || reader.read(&mut [0; 8])).is_err());
        let taken = fill(&writer);
        assert!(with_timeout(minute, || writer.write(&[b'y'; 8])).is_err());
        drop(writer);
        let mut heard = Vec::new();
        reader.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, vec![b'x'; taken]);
    });
}

#[test]
fn five_readers_interrupted_and_the_sixth_reads_once() {
    run_seeds(|seed| {
        let (reader, mut writer) = pipe().unwrap();
        let reader = Arc::new(reader);
        let readers: Vec<_> = (0..6)
            .map(|number| {
                let reader = reader.clone();
                let handle = spawn(move || (&*reader).read(&mut [0; 8]).unwrap());
                until_waits(handle.id(), if number == 0 { "read" } else { "turn" });
                handle
            })
            .collect();
        if seed % 2 == 0 {
            writer.write_all(b"once").unwrap();
        }
        readers[..5].iter().for_each(JoinHandle::interrupt);
        if seed % 2 == 1 {
            writer.write_all(b"once").unwrap();
        }
        let heard: Vec<_> = readers
            .into_iter()
            .filter_map(|reader| reader.join().ok())
            .collect();
        assert_eq!(heard, [4]);
    });
}

#[test]
fn closing_either_end_wakes_who_waits_at_it_and_at_the_other() {
    run_seeds(|seed| {
        let (reader, writer) = pipe().unwrap();
        let (reader, writer) = (Arc::new(reader), Arc::new(writer));
        if seed % 2 == 0 {
            let reading = spawn({
                let reader = reader.clone();
                move || (&*reader).read(&mut [0])
            });
            until_waits(reading.id(), "read");
            reader.close().unwrap();
            assert!(Closed::is(&reading.join().unwrap().unwrap_err()));
            assert_eq!(
                (&*writer).write(b"x").unwrap_err().kind(),
                ErrorKind::BrokenPipe
            );
        } else {
            fill(&writer);
            let writing = spawn({
                let writer = writer.clone();
                move || (&*writer).write(&[0; 8])
            });
            until_waits(writing.id(), "write");
            writer.close().unwrap();
            assert!(Closed::is(&writing.join().unwrap().unwrap_err()));
            // The reader sees the end, though we still hold the writer.
            std::io::copy(&mut &*reader, &mut std::io::sink()).unwrap();
        }
        assert!(Closed::is(&match seed % 2 {
            0 => reader.try_clone().map(drop).unwrap_err(),
            _ => writer.try_clone().map(drop).unwrap_err(),
        }));
    });
}

#[test]
fn the_other_end_going_wakes_who_waits() {
    run(|| {
        let (mut reader, writer) = pipe().unwrap();
        let reading = spawn(move || reader.read(&mut [0]).unwrap());
        until_waits(reading.id(), "read");
        drop(writer);
        assert_eq!(reading.join().unwrap(), 0);

        let (reader, mut writer) = pipe().unwrap();
        fill(&writer);
        let writing = spawn(move || writer.write(&[0; 8]).unwrap_err().kind());
        until_waits(writing.id(), "write");
        drop(reader);
        assert_eq!(writing.join().unwrap(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn std_takes_and_gives_the_ends() {
    run(|| {
        let (reader, writer) = pipe().unwrap();
        let (mut reader, mut writer) = (reader.into_std().unwrap(), writer);
        let foreign = thread::spawn(move || {
            let mut heard = String::new();
            reader.read_to_string(&mut heard).unwrap();
            heard
        });
        writer.write_all(b"from a coroutine").unwrap();
        drop(writer);
        assert_eq!(foreign.join().unwrap(), "from a coroutine");

        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut reader = PipeReader::try_from(reader).unwrap();
        let reading = spawn(move || reader.read(&mut [0; 8]).unwrap());
        until_waits(reading.id(), "read");
        writer.write_all(b"back").unwrap();
        assert_eq!(reading.join().unwrap(), 4);
    });
}

#[test]
fn plain_threads_use_them_too() {
    let (reader, mut writer) = pipe().unwrap();
    let reader = Arc::new(reader);
    let (told, tell) = std::sync::mpsc::channel();
    let reading = thread::spawn({
        let reader = reader.clone();
        move || {
            (&*reader).read_exact(&mut [0; 5]).unwrap();
            told.send(()).unwrap();
            (&*reader).read(&mut [0; 5]).unwrap_err()
        }
    });
    writer.write_all(b"plain").unwrap();
    tell.recv().unwrap();
    // Before it reads again, or while it waits: the answer is the same.
    reader.close().unwrap();
    assert!(Closed::is(&reading.join().unwrap()));
}

#[test]
fn the_capacity_can_be_chosen() {
    run(|| {
        let (reader, writer) = pipe().unwrap();
        writer.set_capacity(8192).unwrap();
        assert_eq!(reader.capacity().unwrap(), 8192);
        assert_eq!(fill(&writer), 8192);
    });
}

#[test]
fn without_descriptors_there_is_no_pipe_and_no_leak() {
    alone(
        "io::tests::pipe::without_descriptors_there_is_no_pipe_and_no_leak",
        || {
            run(|| {
                exhaust_descriptors(1);
                for _ in 0..3 {
                    let error = pipe().unwrap_err();
                    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                }
                // The one that was left is left.
                std::fs::File::open("/dev/null").unwrap();
            });
        },
    );
}

/// What the process does with the signal.
#[expect(unsafe_code)]
pub(super) fn let_sigpipe_kill() {
    // SAFETY: no handler is installed; the default action is a valid one.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Would the thread hear the signal?
fn raise_is_deadly() -> bool {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let mask = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        u64::from_str_radix(line[name.len()..].trim(), 16).unwrap()
    };
    let bit = 1 << (libc::SIGPIPE - 1);
    (mask("SigBlk:") | mask("SigPnd:")) & bit == 0
}

#[test]
fn a_broken_pipe_is_an_error_and_no_signal() {
    alone(
        "io::tests::pipe::a_broken_pipe_is_an_error_and_no_signal",
        || {
            let_sigpipe_kill();
            let write_to_nobody = || {
                for _ in 0..2 {
                    let (reader, mut writer) = pipe().unwrap();
                    drop(reader);
                    for result in [
                        writer.write(b"x"),
                        writer.try_write(b"x"),
                        writer.write_vectored(&[IoSlice::new(b"x")]),
                    ] {
                        assert_eq!(result.unwrap_err().kind(), ErrorKind::BrokenPipe);
                    }
                }
            };
            run(write_to_nobody);
            // A thread that is not ours is left as it was.
            thread::spawn(move || {
                assert!(raise_is_deadly());
                write_to_nobody();
                assert!(raise_is_deadly());
            })
            .join()
            .unwrap();
            // And what is started from here may die of it.
            run(move || {
                write_to_nobody();
                let mut child = std::process::Command::new("yes")
                    .stdout(std::process::Stdio::piped())
                    .spawn()
                    .unwrap();
                drop(child.stdout.take());
                use std::os::unix::process::ExitStatusExt;
                assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGPIPE));
            });
        },
    );
}
