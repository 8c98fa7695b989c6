//! What `select!` promises: one thing is done and no other, nothing is lost, nobody starves.

mod conserved;
#[cfg(target_os = "linux")]
mod events;
mod latest;

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::net::{TcpListener, TcpStream};
use crate::sync::channel::{self, RecvError, SendError};
use crate::{Runtime, select, sleep, spawn, testing, time, with_timeout, yield_now};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);

#[track_caller]
fn simulate(f: impl Fn(u64) + Send + Sync + 'static) {
    let f = Arc::new(f);
    for seed in 0..200 {
        let f = f.clone();
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| {
            testing::run(seed, move || f(seed));
        })) {
            eprintln!("this failed with the seed {seed}");
            std::panic::resume_unwind(payload);
        }
    }
}

#[test]
fn what_is_ready_is_done_at_once() {
    simulate(|_| {
        let (to, from) = channel::bounded(1);
        to.send(1).unwrap();
        let got = select! {
            recv(from) -> message => message.unwrap(),
            after(HOUR) => 0,
        };
        assert_eq!(got, 1);
        let sent = select! {
            send(to, 2) -> sent => { sent.unwrap(); true }
            default => false,
        };
        assert!(sent);
        // Full now, and with a default nothing waits.
        let sent = select! {
            send(to, 3) -> _ => true,
            default => false,
        };
        assert!(!sent);
        assert_eq!(from.try_iter().collect::<Vec<_>>(), [2]);
    });
}

#[test]
fn the_first_of_several_ends_the_wait() {
    simulate(|seed| {
        let (to_one, one) = channel::bounded::<u32>(0);
        let (to_two, two) = channel::unbounded::<u32>();
        let start = time::now();
        let sender = spawn(move || {
            sleep(MS);
            if seed % 2 == 0 {
                to_one.send(1).unwrap();
            } else {
                to_two.send(2).unwrap();
            }
            (to_one, to_two)
        });
        let got = select! {
            recv(one) -> message => message.unwrap(),
            recv(two) -> message => message.unwrap(),
            after(HOUR) => 0,
        };
        assert_eq!(u64::from(got), seed % 2 + 1);
        assert_eq!(time::now() - start, MS);
        sender.join().unwrap();
        // Nothing is left in line behind it.
        assert_eq!(
            one.statistics().recv.waiting + two.statistics().recv.waiting,
            0
        );
    });
}

#[test]
fn times_come_in_their_order() {
    simulate(|_| {
        let (_open, from) = channel::bounded::<()>(1);
        let start = time::now();
        let which = select! {
            after(3 * MS) => 3,
            at(start + 2 * MS) => 2,
            recv(from) -> _ => 0,
        };
        assert_eq!((which, time::now() - start), (2, 2 * MS));
        // A time that has passed.
        assert_eq!(select! { at(start) => 1, after(HOUR) => 2 }, 1);
    });
}

#[test]
fn the_end_of_a_channel_is_an_answer() {
    simulate(|_| {
        let (to, from) = channel::bounded::<String>(0);
        let (_open, silent) = channel::bounded::<String>(0);
        let dropper = spawn(move || {
            sleep(MS);
            drop(from);
        });
        // The message comes back.
        let returned = select! {
            send(to, "hello".to_owned()) -> sent => sent.unwrap_err(),
            recv(silent) -> _ => unreachable!(),
        };
        assert!(matches!(returned, SendError::Disconnected(message) if message == "hello"));
        dropper.join().unwrap();
        let (to, from) = channel::bounded::<String>(0);
        let dropper = spawn(move || {
            sleep(MS);
            drop(to);
        });
        let end = select! {
            recv(from) -> message => message.unwrap_err(),
            recv(silent) -> _ => unreachable!(),
        };
        assert_eq!(end, RecvError::Disconnected);
        dropper.join().unwrap();
    });
}

#[test]
fn joining_is_an_arm() {
    simulate(|_| {
        let slow = spawn(|| {
            sleep(HOUR);
            1
        });
        let fast = spawn(|| {
            yield_now();
            2
        });
        let mut seen = Vec::new();
        for _ in 0..2 {
            select! {
                join(slow) -> value => seen.push(value.unwrap()),
                join(fast) -> value => { seen.push(value.unwrap()); slow.interrupt(); break }
            }
        }
        assert_eq!(seen, [2]);
        assert!(slow.join().is_err());
    });
}

#[test]
fn chance_is_fair() {
    testing::run(7, || {
        let (to_one, one) = channel::unbounded();
        let (to_two, two) = channel::unbounded();
        for i in 0..1_000 {
            to_one.send(i).unwrap();
            to_two.send(i).unwrap();
        }
        let (mut ones, mut twos) = (0, 0);
        for _ in 0..1_000 {
            select! {
                recv(one) -> _ => ones += 1,
                recv(two) -> _ => twos += 1,
            }
        }
        assert!((400..600).contains(&ones) && ones + twos == 1_000, "{ones}");
    });
}

#[test]
fn a_rendezvous_of_two_selects() {
    simulate(|_| {
        let (to, from) = channel::bounded::<u32>(0);
        let (other_to, other_from) = channel::bounded::<u32>(0);
        let meets = spawn({
            let other_to = other_to.clone();
            move || {
                select! {
                    recv(from) -> message => message.unwrap(),
                    send(other_to, 7) -> sent => { sent.unwrap(); 0 }
                }
            }
        });
        let met = select! {
            send(to, 5) -> sent => { sent.unwrap(); 5 }
            recv(other_from) -> message => message.unwrap(),
        };
        let theirs = meets.join().unwrap();
        assert!(
            (met, theirs) == (5, 5) || (met, theirs) == (7, 0),
            "{met} {theirs}"
        );
    });
}

#[test]
fn nobody_meets_itself() {
    simulate(|_| {
        let (to, from) = channel::bounded::<u32>(0);
        let itself = with_timeout(MS, || {
            select! {
                send(to, 1) -> _ => "sent",
                recv(from) -> _ => "received",
            }
        });
        assert!(itself.is_err());
        assert_eq!(
            (to.statistics().send.waiting, from.statistics().recv.waiting),
            (0, 0)
        );
    });
}

#[test]
fn a_timeout_leaves_nothing_behind() {
    simulate(|_| {
        let (to, from) = channel::bounded::<Arc<()>>(1);
        let token = Arc::new(());
        to.send(token.clone()).unwrap();
        let (_open, silent) = channel::bounded::<()>(0);
        let elapsed = with_timeout(MS, || {
            select! {
                send(to, token.clone()) -> _ => (),
                recv(silent) -> _ => (),
            }
        });
        assert!(elapsed.is_err());
        assert_eq!(
            Arc::strong_count(&token),
            2,
            "the one that was not sent is dropped"
        );
        assert_eq!(from.len(), 1);
        assert_eq!(to.statistics().send.waiting, 0);
    });
}

#[test]
fn a_socket_is_an_arm() {
    for seed in 0..20 {
        testing::run(seed, || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            select! {
                readable(listener) -> ready => ready.unwrap(),
                after(HOUR) => panic!("nobody connects"),
            }
            let (mut server, _) = listener.accept().unwrap();
            select! {
                readable(server) -> _ => panic!("there is nothing"),
                writable(server) -> ready => ready.unwrap(),
            }
            let (to, from) = channel::bounded(1);
            select! {
                readable(server) -> _ => panic!("there is nothing"),
                default => (),
            }
            let writer = spawn(move || {
                client.write_all(b"ahoy").unwrap();
                to.send(()).unwrap();
                client
            });
            let mut buf = [0; 8];
            loop {
                select! {
                    readable(server) -> ready => {
                        ready.unwrap();
                        break;
                    }
                    recv(from) -> _ => (),
                }
            }
            assert_eq!(server.read(&mut buf).unwrap(), 4);
            drop(writer.join().unwrap());
            select! { readable(server) -> end => end.unwrap() }
            assert_eq!(server.read(&mut buf).unwrap(), 0);
        });
    }
}

#[test]
fn a_socket_in_use_says_so() {
    testing::run(1, || {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let accepting = spawn({
            let listener = listener.clone();
            move || listener.accept().map(|_| ())
        });
        crate::net::tests::until_waits(accepting.id(), "accept");
        let error = select! { readable(listener) -> ready => ready.unwrap_err() };
        assert_eq!(error.kind(), std::io::ErrorKind::ResourceBusy);
        listener.close().unwrap();
        assert!(accepting.join().unwrap().is_err());
        let error = select! { readable(listener) -> ready => ready.unwrap_err() };
        assert!(crate::io::Closed::is(&error));
    });
}

#[test]
fn plain_threads_select_too() {
    let (to, from) = channel::bounded::<u32>(0);
    let (_open, silent) = channel::bounded::<u32>(0);
    let thread = std::thread::spawn(move || {
        let late = select! {
            recv(silent) -> _ => false,
            after(MS) => true,
        };
        assert!(late);
        select! {
            recv(from) -> message => message.unwrap(),
            recv(silent) -> _ => 0,
        }
    });
    crate::run(move || to.send(5).unwrap());
    assert_eq!(thread.join().unwrap(), 5);

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    let client = std::thread::spawn(move || std::net::TcpStream::connect(addr).unwrap());
    select! {
        readable(listener) -> ready => ready.unwrap(),
        after(MINUTE) => panic!("nobody connects"),
    }
    listener.accept().unwrap();
    client.join().unwrap();
}

/// A thread, or a coroutine of another runtime, waits by the poller of a runtime that ends: it goes on waiting by another.
#[test]
fn the_end_of_the_runtime_that_polls_is_no_end_of_the_wait() {
    for _ in 0..20 {
        let (ending, other) = (runtime(), runtime());
        let wait = |listener: Arc<TcpListener>| {
            move || {
                select! {
                    readable(listener) -> ready => ready.unwrap(),
                    after(MINUTE) => panic!("nobody connects"),
                }
            }
        };
        let listeners: Vec<_> = (0..2)
            .map(|_| Arc::new(TcpListener::bind("127.0.0.1:0").unwrap()))
            .collect();
        // The first who waits has the descriptor registered with its own runtime's poller.
        for listener in &listeners {
            let first = ending.spawn(wait(listener.clone()));
            wait_until(|| listener.__select_readable().is_watched());
            first.interrupt();
            assert!(first.join().is_err());
        }
        let thread = std::thread::spawn(wait(listeners[0].clone()));
        let coroutine = other.spawn(wait(listeners[1].clone()));
        wait_until(|| {
            listeners
                .iter()
                .all(|it| it.__select_readable().is_watched())
        });
        drop(ending);
        for listener in &listeners {
            std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        }
        thread.join().unwrap();
        coroutine.join().unwrap();
    }
}

fn runtime() -> Runtime {
    Runtime::builder().workers(1).build().unwrap()
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        std::thread::yield_now();
    }
}
