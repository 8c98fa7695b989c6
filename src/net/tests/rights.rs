use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_getfd};

use super::{alone, exhaust_descriptors, open_descriptors, run, run_seeds, until_waits};
use crate::net::unix::{MAX_DESCRIPTORS, NoDescriptorsLeft, TooManyDescriptors};
use crate::net::{UnixDatagram, UnixStream};
use crate::{spawn, testing, with_timeout};

/// What is inside an error.
fn inside<E: std::error::Error + Copy + 'static>(error: &io::Error) -> Option<E> {
    error.get_ref()?.downcast_ref().copied()
}

/// All write ends of the pipe are closed.
fn is_ended(pipe: &mut PipeReader) -> bool {
    rustix::io::ioctl_fionbio(&*pipe, true).unwrap();
    pipe.read(&mut [0]).is_ok_and(|count| count == 0)
}

#[test]
fn a_descriptor_arrives_and_is_the_same_file() {
    run(|| {
        let (here, there) = UnixStream::pair().unwrap();
        let receiver = spawn(move || there.recv_fds(&mut [0; 16], 4));
        until_waits(receiver.id(), "read");
        let (mut read, write) = io::pipe().unwrap();
        assert_eq!(here.send_fds(b"take this", &[write.as_fd()]).unwrap(), 9);
        drop(write);
        let (count, mut fds) = receiver.join().unwrap().unwrap();
        assert_eq!((count, fds.len()), (9, 1));
        assert!(fcntl_getfd(&fds[0]).unwrap().contains(FdFlags::CLOEXEC));
        let mut write = PipeWriter::from(fds.remove(0));
        write.write_all(b"through").unwrap();
        drop(write);
        let mut heard = String::new();
        read.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "through");
    });
}

#[test]
fn several_arrive_in_order_and_std_agrees_on_the_bytes() {
    run(|| {
        let (ours, theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let (here, there) = (
            UnixDatagram::from_std(ours).unwrap(),
            UnixDatagram::from_std(theirs).unwrap(),
        );
        let files: Vec<OwnedFd> = (0..MAX_DESCRIPTORS)
            .map(|_| UnixDatagram::unbound().unwrap().into())
            .collect();
        let inodes = |fds: &[OwnedFd]| -> Vec<u64> {
            fds.iter()
                .map(|fd| rustix::fs::fstat(fd).unwrap().st_ino)
                .collect()
        };
        let fds: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        assert_eq!(here.send_fds(b"", &fds).unwrap(), 0);
        let (count, fds) = there.recv_fds(&mut [0; 4], MAX_DESCRIPTORS).unwrap();
        assert_eq!(count, 0);
        assert_eq!(inodes(&fds), inodes(&files));
        // Without any it is an ordinary message.
        here.send_fds(b"plain", &[]).unwrap();
        let (count, fds) = there.recv_fds(&mut [0; 8], 0).unwrap();
        assert_eq!((count, fds.len()), (5, 0));
    });
}

#[test]
fn what_cannot_travel_is_refused_before_it_is_sent() {
    run(|| {
        let (here, there) = UnixStream::pair().unwrap();
        let too_many = vec![here.as_fd(); MAX_DESCRIPTORS + 1];
        for (bytes, fds) in [(&b"x"[..], &too_many[..]), (b"", &too_many[..1])] {
            assert_eq!(
                here.send_fds(bytes, fds).unwrap_err().kind(),
                ErrorKind::InvalidInput
            );
        }
        assert_eq!(
            there.try_read(&mut [0]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    });
}

#[test]
fn more_than_allowed_are_closed_and_told() {
    run(|| {
        for max in 0..6 {
            for sent in max + 1..max + 6 {
                let (here, there) = UnixStream::pair().unwrap();
                let (mut read, write) = io::pipe().unwrap();
                here.send_fds(b"flood", &vec![write.as_fd(); sent]).unwrap();
                drop(write);
                let error = there.recv_fds(&mut [0; 8], max).unwrap_err();
                assert_eq!(
                    inside(&error),
                    Some(TooManyDescriptors { allowed: max }),
                    "{sent} sent: {error:?}"
                );
                assert_eq!(error.kind(), ErrorKind::InvalidData);
                assert!(is_ended(&mut read), "{sent} sent, {max} allowed: one leaks");
            }
        }
    });
}

#[test]
fn descriptors_that_nobody_asks_for_are_closed() {
    run(|| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let (mut read, write) = io::pipe().unwrap();
        here.send_fds(b"unasked", &[write.as_fd()]).unwrap();
        drop(write);
        there.read_exact(&mut [0; 7]).unwrap();
        assert!(is_ended(&mut read));
        // The same for those that are still on their way when the socket goes.
        let (mut read, write) = io::pipe().unwrap();
        here.send_fds(b"late", &[write.as_fd()]).unwrap();
        drop(write);
        drop(there);
        drop(here);
        assert!(is_ended(&mut read));
    });
}

#[test]
fn a_timed_out_or_interrupted_receiver_has_taken_none() {
    run_seeds(|seed| {
        let (here, there) = UnixStream::pair().unwrap();
        let minute = Duration::from_secs(60);
        assert!(with_timeout(minute, || there.recv_fds(&mut [0; 4], 2)).is_err());
        let there = std::sync::Arc::new(there);
        let receivers: Vec<_> = ["read", "turn"]
            .into_iter()
            .map(|wait| {
                let there = there.clone();
                let receiver = spawn(move || there.recv_fds(&mut [0; 4], 2).unwrap());
                until_waits(receiver.id(), wait);
                receiver
            })
            .collect();
        let (mut read, write) = io::pipe().unwrap();
        if seed % 2 == 0 {
            receivers[0].interrupt();
        }
        here.send_fds(b"x", &[write.as_fd()]).unwrap();
        drop(write);
        if seed % 2 == 1 {
            receivers[0].interrupt();
        }
        let got: Vec<_> = receivers
            .into_iter()
            .filter_map(|receiver| receiver.join().ok())
            .collect();
        assert_eq!(got.len(), 1);
        assert!(!is_ended(&mut read));
        drop(got);
        assert!(is_ended(&mut read));
    });
}

#[test]
fn a_timed_out_sender_has_sent_none() {
    testing::run(1, || {
        let (here, there) = UnixStream::pair().unwrap();
        while here.try_write(&[0; 4096]).is_ok() {}
        let (mut read, write) = io::pipe().unwrap();
        let sent = with_timeout(Duration::from_secs(9), || {
            here.send_fds(b"x", &[write.as_fd()])
        });
        assert!(sent.is_err());
        drop(write);
        assert!(is_ended(&mut read));
        drop(there);
    });
}

#[test]
fn with_no_descriptor_left_none_leaks() {
    alone(
        "net::tests::rights::with_no_descriptor_left_none_leaks",
        || {
            run(|| {
                let (here, there) = UnixStream::pair().unwrap();
                let (mut read, write) = io::pipe().unwrap();
                exhaust_descriptors(3);
                let before = open_descriptors();
                for round in 0..10 {
                    here.send_fds(b"x", &[write.as_fd(); 8]).unwrap();
                    let error = there.recv_fds(&mut [0; 8], 8).unwrap_err();
                    assert_eq!(inside(&error), Some(NoDescriptorsLeft), "{error:?}");
                    assert_eq!(open_descriptors(), before, "round {round}");
                }
                // As many as there are places for.
                here.send_fds(b"x", &[write.as_fd(), write.as_fd()])
                    .unwrap();
                assert_eq!(there.recv_fds(&mut [0; 8], 8).unwrap().1.len(), 2);
                drop(write);
                assert!(is_ended(&mut read));
            });
        },
    );
}
