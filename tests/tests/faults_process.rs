//! Faults that concern the whole process: overflows, panics, signals.

mod net_support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use grapeshot::net::{TcpListener, TcpStream, UnixStream};
use grapeshot::signal::{SIGPIPE, SIGTERM, Signals};
use grapeshot::{Builder, JoinError, Runtime, registry, spawn};
use net_support::{Brittle, alone, assert_passed, end_of, open_descriptors, until};
use rustix::process::{Pid, Resource, Rlimit, Signal, getpid, getrlimit, kill_process, setrlimit};

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

/// Nothing may be mapped beyond what is mapped now, and `more` bytes.
fn limit_address_space(more: u64) {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = status.split(' ').next().unwrap().parse().unwrap();
    let limit = getrlimit(Resource::As);
    setrlimit(
        Resource::As,
        Rlimit {
            current: Some(pages * rustix::param::page_size() as u64 + more),
            ..limit
        },
    )
    .unwrap();
}

/// How many threads of the runtime have begun: they have their names then.
fn threads_that_run() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let name = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("comm"));
    let names = threads.filter_map(|thread| name(thread.ok()?).ok());
    names.filter(|name| name.starts_with("grapeshot-")).count()
}

#[test]
fn without_memory_for_a_stack_the_join_says_so_and_the_others_go_on() {
    const NAME: &str = "without_memory_for_a_stack_the_join_says_so_and_the_others_go_on";
    if let Some(child) = alone(NAME) {
        return assert_passed(child);
    }
    Runtime::builder().workers(2).build().unwrap().run(|| {
        // The usual stacks are mapped.
        spawn(|| ()).join().unwrap();
        // A thread that cannot map what std needs for its beginning ends the process.
        until(|| threads_that_run() == 3);
        limit_address_space(32 << 20);
        let large = || Builder::new().stack_size(256 << 20).spawn(|| 1);
        for _ in 0..3 {
            match large().join() {
                Err(JoinError::NoStack(error)) => assert_eq!(error.raw_os_error(), Some(12)),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(spawn(|| 2).join().unwrap(), 2, "the others go on");
        let limit = getrlimit(Resource::As);
        setrlimit(
            Resource::As,
            Rlimit {
                current: None,
                ..limit
            },
        )
        .unwrap();
        assert_eq!(large().join().unwrap(), 1, "there is memory again");
    });
}

#[test]
fn without_descriptors_no_runtime_starts_and_none_is_left() {
    if let Some(child) = alone("without_descriptors_no_runtime_starts_and_none_is_left") {
        return assert_passed(child);
    }
    let limit = getrlimit(Resource::Nofile);
    let allow = |current| setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
    let before = open_descriptors();
    allow(Some(128));
    let mut hoard = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file);
    }
    // Two workers take six. Wherever in their start they run out, it is an error.
    for _ in 0..6 {
        let error = Runtime::builder().workers(2).build().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(24), "{error}");
        hoard.pop();
    }
    hoard.clear();
    allow(limit.current);
    assert_eq!(open_descriptors(), before);
    let runtime = Runtime::builder().workers(2).build().unwrap();
    assert_eq!(runtime.run(|| 3), 3);
}

#[test]
fn an_overflow_on_a_plain_thread_is_the_threads() {
    let Some(child) = alone("an_overflow_on_a_plain_thread_is_the_threads") else {
        grapeshot::run(|| {
            let thread = std::thread::Builder::new()
                .name("plain".into())
                .stack_size(128 << 10)
                .spawn(|| dig(0))
                .unwrap();
            drop(thread.join());
        });
        return;
    };
    let ended = end_of(child);
    assert_eq!(ended.signal, Some(Signal::ABORT.as_raw()), "{ended:?}");
    assert!(
        ended.stderr.contains("thread 'plain'") && ended.stderr.contains("overflowed its stack"),
        "std says so: {}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("coroutine '"), "{}", ended.stderr);
}

#[test]
fn a_panic_in_a_destructor_ends_only_its_coroutine() {
    let Some(child) = alone("a_panic_in_a_destructor_ends_only_its_coroutine") else {
        grapeshot::run(|| {
            let clumsy = spawn(|| drop(Brittle));
            let error = clumsy.join().unwrap_err();
            assert_eq!(error.message(), Some("broken in a destructor"));
            assert_eq!(spawn(|| 5).join().unwrap(), 5, "the others go on");
        });
        return;
    };
    let ended = end_of(child);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// As in a thread: Rust ends the process, and says why.
#[test]
fn a_panic_while_unwinding_ends_the_process_and_says_so() {
    let Some(child) = alone("a_panic_while_unwinding_ends_the_process_and_says_so") else {
        grapeshot::run(|| {
            let doomed = spawn(|| {
                let _brittle = Brittle;
                if std::hint::black_box(true) {
                    panic!("the first");
                }
            });
            drop(doomed.join());
        });
        return;
    };
    let ended = end_of(child);
    assert_eq!(ended.signal, Some(Signal::ABORT.as_raw()), "{ended:?}");
    for said in [
        "the first",
        "broken in a destructor",
        "panic in a destructor",
    ] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
}
