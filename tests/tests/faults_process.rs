//! Faults that concern the whole process: overflows, panics, signals.

mod net_support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use grapeshot::net::{TcpListener, TcpStream, UnixStream};
use grapeshot::signal::{SIGPIPE, SIGTERM, Signals};
use grapeshot::{Builder, JoinError, registry, spawn};
use net_support::{alone, assert_passed, end_of, until};
use rustix::process::{Pid, Signal, getpid, kill_process};

/// Uses up whatever stack there is.
#[inline(never)]
fn dig(depth: u64) -> u64 {
    let dug = std::hint::black_box([depth; 64]);
    if depth == u64::MAX {
        0
    } else {
        dig(depth + 1) + dug[1]
    }
}

#[test]
fn an_overflow_ends_the_process_and_tells_whose_it_was() {
    let Some(child) = alone("an_overflow_ends_the_process_and_tells_whose_it_was") else {
        grapeshot::run(|| {
            let digger = Builder::new()
                .name("digger")
                .stack_size(128 << 10)
                .spawn(|| dig(0));
            println!("digger is #{}", digger.id().0);
            drop(digger.join());
        });
        return;
    };
    let ended = end_of(child);
    assert_eq!(ended.signal, Some(Signal::ABORT.as_raw()), "{ended:?}");
    let id = ended
        .stdout
        .split("digger is #")
        .nth(1)
        .and_then(|rest| rest.lines().next())
        .expect("its number");
    assert!(
        ended.stderr.contains("digger"),
        "its name: {}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains(&format!("#{id}")),
        "its number: {}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains("overflow"),
        "what happened: {}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains("faults_process::dig"),
        "where: {}",
        ended.stderr
    );
}

#[test]
fn a_fault_that_is_no_overflow_is_not_called_one() {
    let Some(child) = alone("a_fault_that_is_no_overflow_is_not_called_one") else {
        grapeshot::run(|| {
            // A handler that steps aside counts on the faulty instruction to fault again; here we must, and as often
            // as it takes: signals that come fast are merged.
            let culprit = Builder::new().name("culprit").spawn(|| {
                until(|| {
                    kill_process(getpid(), Signal::SEGV).unwrap();
                    false
                });
            });
            culprit.join().unwrap();
        });
        return;
    };
    let ended = end_of(child);
    assert_eq!(ended.signal, Some(Signal::SEGV.as_raw()), "{ended:?}");
    assert!(!ended.stderr.contains("overflow"), "{}", ended.stderr);
}

#[test]
fn a_panic_is_reported_and_ends_only_its_coroutine() {
    let Some(child) = alone("a_panic_is_reported_and_ends_only_its_coroutine") else {
        grapeshot::run(|| {
            let (mut here, mut there) = UnixStream::pair().unwrap();
            let bystander = spawn(move || there.read(&mut [0; 1]).unwrap());
            let clumsy = Builder::new().name("clumsy").spawn(|| {
                if std::hint::black_box(true) {
                    panic!("dropped the vase");
                }
            });
            println!("clumsy is #{}", clumsy.id().0);
            match clumsy.join() {
                Err(error @ JoinError::Panicked(_)) => {
                    assert_eq!(error.message(), Some("dropped the vase"))
                }
                other => panic!("{other:?}"),
            }
            here.write_all(b"x").unwrap();
            assert_eq!(bystander.join().unwrap(), 1, "the others go on");
            assert_eq!(registry::stats().unwrap().panicked, 1);
        });
        return;
    };
    let ended = end_of(child);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let id = ended
        .stdout
        .split("clumsy is #")
        .nth(1)
        .and_then(|rest| rest.lines().next())
        .expect("its number");
    let report = format!("coroutine 'clumsy' (#{id}) panicked at ");
    assert!(ended.stderr.contains(&report), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("faults_process.rs") && ended.stderr.contains("dropped the vase"),
        "{}",
        ended.stderr
    );
}

/// The server of the signal test: greets, and echoes until it is told to end.
fn serve_until_terminated() {
    grapeshot::run(|| {
        let mut signals = Signals::new(&[SIGTERM]).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        println!("\nlistening at {}", listener.local_addr().unwrap());
        let server = spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                spawn(move || std::io::copy(&mut &stream, &mut &stream));
            }
        });
        assert_eq!(signals.wait().unwrap(), SIGTERM);
        server.interrupt();
        assert!(matches!(server.join(), Err(JoinError::Interrupted)));
        println!("good-bye");
    });
}

#[test]
fn a_server_that_is_told_to_end_ends_cleanly() {
    let Some(mut child) = alone("a_server_that_is_told_to_end_ends_cleanly") else {
        return serve_until_terminated();
    };
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let addr = loop {
        let mut line = String::new();
        assert!(
            stdout.read_line(&mut line).unwrap() > 0,
            "it ends without having listened"
        );
        if let Some((_, addr)) = line.trim().split_once("listening at ") {
            break addr.to_owned();
        }
    };
    // Its coroutines are idle, half-closed, and in the middle of sending to somebody who does not read.
    let mut idle = std::net::TcpStream::connect(&addr).unwrap();
    idle.write_all(b"hi").unwrap();
    idle.read_exact(&mut [0; 2]).unwrap();
    let half = std::net::TcpStream::connect(&addr).unwrap();
    half.shutdown(Shutdown::Read).unwrap();
    let stuck = std::net::TcpStream::connect(&addr).unwrap();
    stuck.set_nonblocking(true).unwrap();
    while (&stuck).write(&[0; 65_536]).is_ok() {}

    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let asked = Instant::now();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    let status = child.wait().unwrap();
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(status.code(), Some(0), "{rest}");
    assert!(
        rest.contains("good-bye") && rest.contains("1 passed"),
        "{rest}"
    );
    assert_eq!(
        idle.read(&mut [0; 1]).unwrap_or(0),
        0,
        "its connection is closed"
    );
}

#[test]
fn a_signal_that_nobody_watches_any_more_does_what_it_did() {
    let Some(child) = alone("a_signal_that_nobody_watches_any_more_does_what_it_did") else {
        grapeshot::run(|| {
            let mut first = Signals::new(&[SIGTERM]).unwrap();
            let second = Signals::new(&[SIGTERM]).unwrap();
            let term = || kill_process(getpid(), Signal::TERM).unwrap();
            term();
            assert_eq!(first.wait().unwrap(), SIGTERM);
            drop(second);
            term();
            assert_eq!(first.wait().unwrap(), SIGTERM, "one still watches");
            drop(first);
            println!("on my own");
            term();
            until(|| false);
        });
        return;
    };
    let ended = end_of(child);
    assert_eq!(ended.signal, Some(SIGTERM), "{ended:?}");
    assert!(ended.stdout.contains("on my own"), "{ended:?}");
}

#[test]
fn nothing_raises_sigpipe() {
    if let Some(child) = alone("nothing_raises_sigpipe") {
        return assert_passed(child);
    }
    grapeshot::run(|| {
        // std has the process ignore the signal; a handler makes it count again.
        let mut signals = Signals::new(&[SIGPIPE]).unwrap();
        let slices = [std::io::IoSlice::new(b"x"), std::io::IoSlice::new(b"y")];

        let (mut one, other) = UnixStream::pair().unwrap();
        drop(other);
        assert!(
            one.write(b"x").is_err()
                && one.write_vectored(&slices).is_err()
                && one.try_write(b"x").is_err()
        );

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        one.shutdown(Shutdown::Write).unwrap();
        assert!(
            one.write(b"x").is_err()
                && one.write_vectored(&slices).is_err()
                && one.try_write(b"x").is_err()
        );
        assert_eq!(signals.try_wait(), None);

        // And the handler does count: std's own writing through a pipe raises it.
        let (reader, mut writer) = std::io::pipe().unwrap();
        drop(reader);
        assert!(writer.write(b"x").is_err());
        assert_eq!(signals.try_wait(), Some(SIGPIPE));
    });
}
