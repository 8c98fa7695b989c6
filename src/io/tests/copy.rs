use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::fs::{MemfdFlags, OFlags, fcntl_setfl, memfd_create};

use super::pipe::let_sigpipe_kill;
use crate::io::{Closed, CopyFrom, CopyTo, copy, copy_n, pipe, send_file};
use crate::net::tests::{alone, connected, exhaust_descriptors, run, run_seeds, until_waits};
use crate::net::{Shutdown, TcpStream, UnixStream};
use crate::{spawn, testing, with_timeout};

/// Bytes of which no two parts are alike.
fn bytes() -> Vec<u8> {
    (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect()
}

fn file() -> File {
    memfd_create("grapeshot-test", MemfdFlags::CLOEXEC)
        .unwrap()
        .into()
}

fn file_of(bytes: &[u8]) -> File {
    let mut file = file();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

fn tcp() -> (TcpStream, TcpStream) {
    let (ours, theirs) = connected();
    (ours, TcpStream::from_std(theirs).unwrap())
}

/// Something that gives `bytes` and then ends.
fn source(kind: usize, bytes: &[u8]) -> Box<dyn CopyFrom + Send> {
    fn feed(mut writer: impl Write + Send + 'static, bytes: &[u8]) {
        let bytes = bytes.to_owned();
        spawn(move || writer.write_all(&bytes));
    }
    match kind {
        0 => {
            let (near, far) = tcp();
            feed(far, bytes);
            Box::new(near)
        }
        1 => {
            let (near, far) = UnixStream::pair().unwrap();
            feed(far, bytes);
            Box::new(near)
        }
        2 => {
            let (near, far) = pipe().unwrap();
            feed(far, bytes);
            Box::new(near)
        }
        _ => Box::new(file_of(bytes)),
    }
}

type Heard = Box<dyn FnOnce() -> Vec<u8>>;

/// Something that takes bytes, and what came out of it once it is dropped.
fn sink(kind: usize) -> (Box<dyn CopyTo + Send>, Heard) {
    fn hear(mut reader: impl Read + Send + 'static) -> Heard {
        let heard = spawn(move || {
            let mut heard = Vec::new();
            reader.read_to_end(&mut heard).unwrap();
            heard
        });
        Box::new(|| heard.join().unwrap())
    }
    match kind {
        0 => {
            let (near, far) = tcp();
            (Box::new(near), hear(far))
        }
        1 => {
            let (near, far) = UnixStream::pair().unwrap();
            (Box::new(near), hear(far))
        }
        2 => {
            let (near, far) = pipe().unwrap();
            (Box::new(far), hear(near))
        }
        kind => {
            let near = file();
            if kind == 4 {
                // The kernel moves nothing into such a file.
                fcntl_setfl(&near, OFlags::APPEND).unwrap();
            }
            let mut far = near.try_clone().unwrap();
            let heard = move || {
                let mut heard = Vec::new();
                far.rewind().unwrap();
                far.read_to_end(&mut heard).unwrap();
                heard
            };
            (Box::new(near), Box::new(heard))
        }
    }
}

#[test]
fn everything_is_copied_to_everything() {
    run(|| {
        let bytes = bytes();
        for from in 0..4 {
            for to in 0..5 {
                let source = source(from, &bytes);
                let (sink, heard) = sink(to);
                // First a part, an odd one, then the rest.
                let part = 300_001;
                let count = copy_n(&*source, &*sink, part).unwrap();
                assert_eq!(count, part, "from {from} to {to}");
                let rest = copy(&*source, &*sink).unwrap();
                assert_eq!(part + rest, bytes.len() as u64, "from {from} to {to}");
                assert_eq!(copy(&*source, &*sink).unwrap(), 0, "the end stays the end");
                drop(sink);
                assert!(heard() == bytes, "from {from} to {to}");
            }
        }
    });
}

#[test]
fn a_part_of_a_file_is_sent_everywhere() {
    run(|| {
        let bytes = bytes();
        let file = file_of(&bytes);
        for to in 0..5 {
            let (sink, heard) = sink(to);
            let mut part = 123_457..823_457;
            let sent = send_file(&file, &mut part, &*sink).unwrap();
            assert_eq!(sent, 700_000, "to {to}");
            assert!(part.is_empty());
            // What is not there is not sent.
            let len = bytes.len() as u64;
            part = part.start..u64::MAX;
            let sent = send_file(&file, &mut part, &*sink).unwrap();
            assert_eq!((sent, part.start), (len - 823_457, len), "to {to}");
            for mut nothing in [len..len + 10, 0..0, std::ops::Range { start: 9, end: 3 }] {
                assert_eq!(send_file(&file, &mut nothing, &*sink).unwrap(), 0);
            }
            drop(sink);
            assert!(heard() == bytes[123_457..], "to {to}");
            assert_eq!((&file).stream_position().unwrap(), 0);
        }
    });
}

#[test]
fn what_the_kernel_cannot_splice_is_read_and_written() {
    run(|| {
        // Their length is 0, they say.
        let status = File::open("/proc/self/stat").unwrap();
        let (sink, heard) = sink(1);
        let count = copy(&status, &*sink).unwrap();
        drop(sink);
        let heard = heard();
        assert_eq!(heard.len() as u64, count);
        assert!(heard.starts_with(std::process::id().to_string().as_bytes()));
        let mut copied = file();
        copy(&File::open("/proc/self/stat").unwrap(), &copied).unwrap();
        copied.rewind().unwrap();
        let mut heard = String::new();
        copied.read_to_string(&mut heard).unwrap();
        assert!(heard.starts_with(&std::process::id().to_string()));
    });
}

#[test]
fn it_waits_for_either_end_and_may_be_left_there() {
    run_seeds(|_| {
        let minute = Duration::from_secs(60);
        for pipe_first in [false, true] {
            let (from, mut feed) = UnixStream::pair().unwrap();
            let (to, mut drain) = UnixStream::pair().unwrap();
            let (reader, writer) = pipe().unwrap();
            let copying = || match pipe_first {
                true => copy_n(&from, &writer, 5),
                false => copy_n(&from, &to, 5),
            };
            assert!(with_timeout(minute, copying).is_err());
            feed.write_all(b"whole").unwrap();
            assert_eq!(copying().unwrap(), 5, "the time-out has taken nothing");
            let mut heard = [0; 5];
            match pipe_first {
                true => (&reader).read_exact(&mut heard).unwrap(),
                false => drain.read_exact(&mut heard).unwrap(),
            }
            assert_eq!(&heard, b"whole");
        }
    });
}

#[test]
fn a_timed_out_send_file_says_how_far_it_came() {
    testing::run(3, || {
        let file = file_of(&bytes());
        let (here, mut there) = UnixStream::pair().unwrap();
        let mut part = 0..1 << 20;
        let minute = Duration::from_secs(60);
        assert!(with_timeout(minute, || send_file(&file, &mut part, &here)).is_err());
        assert!(part.start > 0 && !part.is_empty());
        // From there it goes on.
        let hearing = spawn(move || {
            let mut heard = Vec::new();
            there.read_to_end(&mut heard).unwrap();
            heard
        });
        send_file(&file, &mut part, &here).unwrap();
        drop(here);
        assert!(hearing.join().unwrap() == bytes());
    });
}

/// Others may use the ends in between: a copy that has nothing to copy does not hold the other end.
#[test]
fn a_copy_that_waits_lets_others_write() {
    run_seeds(|_| {
        let (from, feed) = UnixStream::pair().unwrap();
        let (to, mut drain) = UnixStream::pair().unwrap();
        let to = Arc::new(to);
        let copying = spawn({
            let to = to.clone();
            move || copy(&from, &*to).unwrap()
        });
        until_waits(copying.id(), "read");
        (&*to).write_all(b"ping").unwrap();
        drain.read_exact(&mut [0; 4]).unwrap();
        drop(feed);
        assert_eq!(copying.join().unwrap(), 0);
    });
}

#[test]
fn closing_either_end_wakes_it() {
    run_seeds(|seed| {
        let (from, mut feed) = UnixStream::pair().unwrap();
        let (to, _drain) = UnixStream::pair().unwrap();
        let (_reader, writer) = pipe().unwrap();
        let (from, to, writer) = (Arc::new(from), Arc::new(to), Arc::new(writer));
        let into_pipe = seed % 4 < 2;
        let copying = spawn({
            let (from, to, writer) = (from.clone(), to.clone(), writer.clone());
            move || match into_pipe {
                true => copy(&*from, &*writer),
                false => copy(&*from, &*to),
            }
        });
        if seed % 2 == 0 {
            until_waits(copying.id(), "read");
            from.close().unwrap();
        } else {
            let feeding = spawn(move || feed.write_all(&bytes()));
            until_waits(copying.id(), "write");
            match into_pipe {
                true => writer.close().unwrap(),
                false => to.close().unwrap(),
            }
            feeding.interrupt();
        }
        assert!(Closed::is(&copying.join().unwrap().unwrap_err()));
    });
}

/// The copy has the turn to read, and itself waits for its turn to write.
#[test]
fn closing_wakes_who_queues_behind_a_copy() {
    run_seeds(|_| {
        let (from, _feed) = UnixStream::pair().unwrap();
        let (_reader, writer) = pipe().unwrap();
        let (from, writer) = (Arc::new(from), Arc::new(writer));
        while writer.try_write(&[0; 4096]).is_ok() {}
        let writing = spawn({
            let writer = writer.clone();
            move || (&*writer).write(&[0; 4096])
        });
        until_waits(writing.id(), "write");
        let copying = spawn({
            let (from, writer) = (from.clone(), writer.clone());
            move || copy(&*from, &*writer)
        });
        until_waits(copying.id(), "turn");
        let reading = spawn({
            let from = from.clone();
            move || (&*from).read(&mut [0; 8])
        });
        until_waits(reading.id(), "turn");
        from.close().unwrap();
        assert!(Closed::is(&reading.join().unwrap().unwrap_err()));
        writer.close().unwrap();
        for result in [
            writing.join().unwrap().map(|count| count as u64),
            copying.join().unwrap(),
        ] {
            assert!(Closed::is(&result.unwrap_err()));
        }
    });
}

#[test]
fn plain_threads_copy_too() {
    let (from, mut feed) = UnixStream::pair().unwrap();
    let (to, mut drain) = tcp();
    let copying = thread::spawn(move || copy(&from, &to).unwrap());
    let feeding = thread::spawn(move || feed.write_all(&bytes()).unwrap());
    let mut heard = Vec::new();
    drain.read_to_end(&mut heard).unwrap();
    feeding.join().unwrap();
    assert_eq!(copying.join().unwrap(), 1 << 20);
    assert!(heard == bytes());
}

#[test]
fn where_nobody_reads_it_is_an_error_and_no_signal() {
    const NAME: &str = "io::tests::copy::where_nobody_reads_it_is_an_error_and_no_signal";
    alone(NAME, || {
        let_sigpipe_kill();
        let write_to_nobody = || {
            let full = file_of(&bytes());
            let (reader, writer) = pipe().unwrap();
            let (here, there) = UnixStream::pair().unwrap();
            let (mut from, feed) = UnixStream::pair().unwrap();
            drop((reader, there));
            let broken = |result: io::Result<u64>| {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::BrokenPipe);
            };
            broken(send_file(&full, &mut (0..9), &writer));
            broken(send_file(&full, &mut (0..9), &here));
            (&feed).write_all(&[0; 9]).unwrap();
            broken(copy_n(&from, &here, 1));
            (&feed).write_all(&[0; 9]).unwrap();
            broken(copy_n(&from, &writer, 1));
            from.shutdown(Shutdown::Write).unwrap();
            broken(copy_n(&full, &from, 1));
            from.flush().unwrap();
            // By hand, too.
            broken(copy(&File::open("/proc/self/stat").unwrap(), &here));
        };
        run(write_to_nobody);
        thread::spawn(write_to_nobody).join().unwrap();
    });
}

#[test]
fn without_a_descriptor_for_a_pipe_it_is_done_by_hand() {
    const NAME: &str = "io::tests::copy::without_a_descriptor_for_a_pipe_it_is_done_by_hand";
    alone(NAME, || {
        run(|| {
            let bytes = bytes();
            let source = source(0, &bytes);
            let (sink, heard) = sink(1);
            exhaust_descriptors(1);
            assert_eq!(copy(&*source, &*sink).unwrap(), 1 << 20);
            drop(sink);
            assert!(heard() == bytes);
        });
    });
}
