use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

use crate::io::{Closed, Descriptor};
use crate::net::UnixStream;
use crate::net::tests::{run, run_seeds, until_waits};
use crate::{JoinHandle, registry, spawn, testing, with_timeout};

fn counter() -> Descriptor<OwnedFd> {
    Descriptor::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap()).unwrap()
}

fn take(counter: &Descriptor<OwnedFd>) -> io::Result<u64> {
    let mut count = [0; 8];
    counter.read_with(|fd| Ok(rustix::io::read(fd, &mut count)?))?;
    Ok(u64::from_ne_bytes(count))
}

fn add(counter: &Descriptor<OwnedFd>, count: u64) -> io::Result<()> {
    counter.write_with(|fd| Ok(rustix::io::write(fd, &count.to_ne_bytes())?))?;
    Ok(())
}

#[test]
fn one_waits_for_each_direction_of_an_eventfd() {
    run_seeds(|_| {
        let counter = Arc::new(counter());
        let taker = spawn({
            let counter = counter.clone();
            move || take(&counter).unwrap()
        });
        until_waits(taker.id(), "read");
        let waits = registry::coroutine(taker.id()).unwrap().waits_for.unwrap();
        assert!(format!("{waits:?}").contains(&counter.as_raw_fd().to_string()));
        add(&counter, 5).unwrap();
        assert_eq!(taker.join().unwrap(), 5);

        // Full: one more than the highest does not fit.
        add(&counter, u64::MAX - 1).unwrap();
        let adder = spawn({
            let counter = counter.clone();
            move || add(&counter, 3).unwrap()
        });
        until_waits(adder.id(), "write");
        assert_eq!(take(&counter).unwrap(), u64::MAX - 1);
        adder.join().unwrap();
        assert_eq!(take(&counter).unwrap(), 3);
    });
}

#[test]
fn waiting_times_out_and_is_interrupted_and_takes_nothing() {
    run_seeds(|seed| {
        let counter = Arc::new(counter());
        let minute = Duration::from_secs(60);
        assert!(with_timeout(minute, || take(&counter)).is_err());
        assert!(with_timeout(minute, || counter.wait_readable()).is_err());
        add(&counter, u64::MAX - 1).unwrap();
        assert!(with_timeout(minute, || add(&counter, 1)).is_err());
        assert_eq!(take(&counter).unwrap(), u64::MAX - 1);
        let takers: Vec<_> = ["read", "turn", "turn"]
            .into_iter()
            .map(|wait| {
                let counter = counter.clone();
                let taker = spawn(move || take(&counter).unwrap());
                until_waits(taker.id(), wait);
                taker
            })
            .collect();
        if seed % 2 == 0 {
            add(&counter, 9).unwrap();
        }
        takers[..2].iter().for_each(JoinHandle::interrupt);
        if seed % 2 == 1 {
            add(&counter, 9).unwrap();
        }
        let got: Vec<_> = takers
            .into_iter()
            .filter_map(|taker| taker.join().ok())
            .collect();
        assert_eq!(got, [9]);
    });
}

#[test]
fn closing_wakes_who_waits_and_refuses_the_rest() {
    run_seeds(|_| {
        let counter = Arc::new(counter());
        let waits: Vec<_> = ["read", "turn"]
            .into_iter()
            .map(|wait| {
                let counter = counter.clone();
                let waiter = spawn(move || counter.wait_readable());
                until_waits(waiter.id(), wait);
                waiter
            })
            .collect();
        counter.close().unwrap();
        for waiter in waits {
            assert!(Closed::is(&waiter.join().unwrap().unwrap_err()));
        }
        assert!(Closed::is(&take(&counter).unwrap_err()));
        assert!(Closed::is(&add(&counter, 1).unwrap_err()));
        assert!(Closed::is(&counter.wait_writable().unwrap_err()));
        assert!(Closed::is(&counter.try_clone().unwrap_err()));
    });
}

#[test]
fn files_are_read_and_written_through_it() {
    run(|| {
        let (stream, mut peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut file = Descriptor::new(File::from(OwnedFd::from(stream))).unwrap();
        let reading = spawn(move || {
            let mut heard = [0; 4];
            file.read_exact(&mut heard).unwrap();
            file.write_all(b"pong").unwrap();
            file.flush().unwrap();
            heard
        });
        until_waits(reading.id(), "read");
        peer.write_all(b"ping").unwrap();
        assert_eq!(&reading.join().unwrap(), b"ping");
        let mut heard = String::new();
        peer.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "pong");
    });
}

#[test]
fn a_borrowed_one_stays_open() {
    run(|| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let number = here.as_raw_fd();
        {
            let borrowed = Descriptor::new(here.as_fd()).unwrap();
            assert!(with_timeout(Duration::from_millis(1), || borrowed.wait_readable()).is_err());
            assert_eq!(borrowed.into_inner().as_raw_fd(), number);
        }
        // And it has left the poller: another may wait for it.
        let reading = spawn(move || (&here).read(&mut [0; 4]).unwrap());
        until_waits(reading.id(), "read");
        there.write_all(b"x").unwrap();
        assert_eq!(reading.join().unwrap(), 1);
    });
}

#[test]
fn a_second_one_for_the_same_descriptor_is_told() {
    testing::run(7, || {
        let counter = Arc::new(counter());
        let taker = spawn({
            let counter = counter.clone();
            move || take(&counter).unwrap()
        });
        until_waits(taker.id(), "read");
        let second = Descriptor::new(counter.as_fd()).unwrap();
        let error = second.wait_readable().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        // The first does not suffer from it.
        drop(second);
        add(&counter, 1).unwrap();
        assert_eq!(taker.join().unwrap(), 1);
    });
}

#[test]
fn what_no_poller_watches_is_always_ready() {
    testing::run(2, || {
        for path in ["/proc/self/status", "/dev/null", "/dev/zero"] {
            let file = Descriptor::new(File::open(path).unwrap()).unwrap();
            file.wait_readable().unwrap();
            assert!((&file).read(&mut [0; 8]).unwrap() <= 8);
        }
        // One that never succeeds neither hangs nor keeps its timeout out.
        let file = Descriptor::new(File::open("/proc/self/status").unwrap()).unwrap();
        let never = || file.read_with(|_| Err::<(), _>(ErrorKind::WouldBlock.into()));
        let other = spawn(|| crate::sleep(Duration::from_millis(5)));
        assert!(with_timeout(Duration::from_millis(10), never).is_err());
        assert!(other.is_finished());
    });
}

#[test]
fn it_has_the_errors_of_the_operation() {
    run(|| {
        let counter = counter();
        let mut calls = 0;
        let error = counter
            .read_with(|_| {
                calls += 1;
                Err::<(), _>(match calls {
                    1 => ErrorKind::Interrupted.into(),
                    _ => io::Error::other("mine"),
                })
            })
            .unwrap_err();
        assert_eq!((calls, error.to_string().as_str()), (2, "mine"));
    });
}

#[test]
fn plain_threads_wait_too() {
    let counter = Arc::new(counter());
    let taker = thread::spawn({
        let counter = counter.clone();
        move || (take(&counter).unwrap(), take(&counter).unwrap_err())
    });
    add(&counter, 4).unwrap();
    // Only once it has taken the four: else they go with the rest.
    while rustix::event::poll(
        &mut [rustix::event::PollFd::new(
            &*counter,
            rustix::event::PollFlags::IN,
        )],
        Some(&rustix::event::Timespec::default()),
    )
    .unwrap()
        > 0
    {
        thread::yield_now();
    }
    counter.close().unwrap();
    let (count, error) = taker.join().unwrap();
    assert_eq!(count, 4);
    assert!(Closed::is(&error), "{error:?}");
}
