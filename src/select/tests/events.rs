//! What comes from outside as arms: programs that end, signals, files that change, datagrams, any descriptor.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::event::{EventfdFlags, eventfd};

use super::{MINUTE, MS};
use crate::fs::{Change, Watcher};
use crate::io::Descriptor;
use crate::net::UdpSocket;
use crate::process::{Command, Stdio};
use crate::signal::{SIGUSR1, Signals};
use crate::sync::channel;
use crate::{run, select, spawn, testing, with_timeout};

/// A folder of this test, removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let name = format!("grapeshot-select-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_end_of_a_program() {
    run(|| {
        let mut cat = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let (to, from) = channel::bounded(1);
        to.send("enough").unwrap();
        // The arm leaves the standard input open, so it goes on for now.
        select! {
            wait(cat) -> status => panic!("{status:?}"),
            recv(from) -> order => assert_eq!(order, Ok("enough")),
        }
        cat.stdin = None;
        let status = select! {
            wait(cat) -> status => status.unwrap(),
            recv(from) -> _ => panic!("there is no message"),
            after(MINUTE) => panic!("it does not end"),
        };
        assert!(status.success());
        select! {
            wait(cat) -> again => assert_eq!(again.unwrap(), status),
            default => panic!("it has ended"),
        }
    });
}

#[test]
fn a_program_that_takes_too_long_is_killed_behind_the_arrow() {
    run(|| {
        let mut sleeper = Command::new("sleep").arg("3600").spawn().unwrap();
        select! {
            wait(sleeper) -> status => panic!("{status:?}"),
            after(MS) => sleeper.kill().unwrap(),
        }
        let waited = with_timeout(MINUTE, || {
            select! { wait(sleeper) -> status => status.unwrap() }
        });
        assert!(!waited.unwrap().success());
    });
}

#[test]
fn a_signal() {
    crate::net::tests::alone("select::tests::events::a_signal", || {
        run(|| {
            let mut signals = Signals::new(&[SIGUSR1]).unwrap();
            let (to, from) = channel::bounded(1);
            let raise = || signal_hook::low_level::raise(SIGUSR1).unwrap();
            for _ in 0..20 {
                to.send(()).unwrap();
                raise();
                // Both are ready: the other stays for the next.
                let mut seen = [false; 2];
                for _ in 0..2 {
                    select! {
                        wait(signals) -> signal => { assert_eq!(signal.unwrap(), SIGUSR1); seen[0] = true; }
                        recv(from) -> _ => seen[1] = true,
                    }
                }
                assert_eq!(seen, [true; 2]);
                // The bytes that are left over are no signal.
                select! {
                    wait(signals) -> signal => panic!("{signal:?}"),
                    default => (),
                }
            }
            let waiter = spawn(move || {
                select! {
                    wait(signals) -> signal => signal.unwrap(),
                    after(MINUTE) => panic!("there is no signal"),
                }
            });
            crate::net::tests::until_waits(waiter.id(), "select");
            raise();
            assert_eq!(waiter.join().unwrap(), SIGUSR1);
            let mut none = Signals::new(&[]).unwrap();
            select! {
                wait(none) -> signal => assert_eq!(signal.unwrap_err().kind(), std::io::ErrorKind::InvalidInput),
                after(MINUTE) => panic!("there is nothing to wait for"),
            }
        });
    });
}

#[test]
fn a_change_of_a_file() {
    run(|| {
        let folder = Folder::new("change");
        let mut watcher = Watcher::new().unwrap();
        watcher.watch_tree(&folder.0).unwrap();
        select! {
            next(watcher) -> change => panic!("{change:?}"),
            default => (),
        }
        let (to, from) = channel::bounded(1);
        for number in 0..20 {
            let name = folder.0.join(number.to_string());
            fs::create_dir(&name).unwrap();
            to.send(number).unwrap();
            // Both are ready: the other stays for the next.
            let mut seen = (None, None);
            for _ in 0..2 {
                select! {
                    next(watcher) -> change => seen.0 = Some(change.unwrap()),
                    recv(from) -> number => seen.1 = Some(number.unwrap()),
                    after(MINUTE) => panic!("both are there"),
                }
            }
            assert_eq!(seen, (Some(Change::Created(name)), Some(number)));
        }
        // The new folders are watched too, also those of the latest changes.
        let inside = folder.0.join("19").join("inside");
        let waiter = spawn(move || {
            select! {
                next(watcher) -> change => change.unwrap(),
                after(MINUTE) => panic!("nothing changes"),
            }
        });
        crate::net::tests::until_waits(waiter.id(), "select");
        fs::write(&inside, "").unwrap();
        assert_eq!(waiter.join().unwrap(), Change::Created(inside));
    });
}

/// A folder that is renamed before it is watched is watched under its new name when its last change has been told.
#[test]
fn nothing_is_left_to_be_watched_when_all_is_told() {
    run(|| {
        let folder = Folder::new("renamed");
        let mut watcher = Watcher::new().unwrap();
        watcher.watch_tree(&folder.0).unwrap();
        let [from, to] = ["from", "to"].map(|name| folder.0.join(name));
        fs::create_dir(&from).unwrap();
        fs::rename(&from, &to).unwrap();
        let mut told = || {
            select! {
                next(watcher) -> change => change.unwrap(),
                after(MINUTE) => panic!("something has changed"),
            }
        };
        assert_eq!(told(), Change::Created(from.clone()));
        let renamed = Change::Renamed {
            from,
            to: to.clone(),
        };
        assert_eq!(told(), renamed);
        let inside = to.join("inside");
        fs::write(&inside, "").unwrap();
        assert_eq!(told(), Change::Created(inside));
    });
}

#[test]
fn datagrams() {
    run(|| {
        for _ in 0..20 {
            let [one, two] = [0; 2].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
            let other = UdpSocket::bind("127.0.0.1:0").unwrap();
            select! {
                readable(one) -> _ => panic!("there is nothing"),
                readable(two) -> _ => panic!("there is nothing"),
                writable(one) -> ready => ready.unwrap(),
            }
            for socket in [&one, &two] {
                other
                    .send_to(b"ahoy", socket.local_addr().unwrap())
                    .unwrap();
            }
            // Whichever is chosen, the datagram of the other stays.
            let mut buf = [0; 8];
            for _ in 0..2 {
                let (count, _) = select! {
                    readable(one) -> _ => one.try_recv_from(&mut buf),
                    readable(two) -> _ => two.try_recv_from(&mut buf),
                    after(MINUTE) => panic!("both have one"),
                }
                .unwrap();
                assert_eq!(&buf[..count], b"ahoy");
            }
            select! {
                readable(one) -> _ => panic!("it was taken"),
                readable(two) -> _ => panic!("it was taken"),
                default => (),
            }
        }
    });
}

#[test]
fn any_descriptor() {
    for seed in 0..20 {
        testing::run(seed, || {
            let counter: Descriptor<OwnedFd> =
                Descriptor::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap()).unwrap();
            let (to, from) = channel::bounded(1);
            select! {
                readable(counter) -> _ => panic!("it is zero"),
                writable(counter) -> ready => ready.unwrap(),
            }
            let adder = spawn({
                let counter = counter.try_clone().unwrap();
                move || {
                    let add = |fd: &OwnedFd| Ok(rustix::io::write(fd, &7_u64.to_ne_bytes())?);
                    counter.write_with(add).unwrap();
                    to.send(()).unwrap();
                }
            });
            let mut seen = [false; 2];
            while seen != [true; 2] {
                select! {
                    readable(counter) -> ready => {
                        ready.unwrap();
                        let mut count = [0; 8];
                        counter.read_with(|fd| Ok(rustix::io::read(fd, &mut count)?)).unwrap();
                        assert_eq!(u64::from_ne_bytes(count), 7);
                        seen[0] = true;
                    }
                    recv(from) -> message => {
                        if message.is_ok() {
                            seen[1] = true;
                        }
                    }
                }
            }
            adder.join().unwrap();
        });
    }
}

#[test]
fn on_a_plain_thread_too() {
    let (to, from) = channel::bounded::<()>(1);
    let mut cat = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    select! {
        wait(cat) -> status => panic!("{status:?}"),
        after(MS) => cat.stdin = None,
    }
    select! {
        wait(cat) -> status => assert!(status.unwrap().success()),
        recv(from) -> _ => panic!("there is nothing"),
        after(MINUTE) => panic!("it does not end"),
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let sender = std::thread::spawn(move || {
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(b"ahoy", addr).unwrap();
    });
    select! {
        readable(socket) -> ready => ready.unwrap(),
        recv(from) -> _ => panic!("there is nothing"),
        after(MINUTE) => panic!("there is a datagram"),
    }
    sender.join().unwrap();
    drop(to);
}
