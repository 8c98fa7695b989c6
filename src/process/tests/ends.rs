//! How children end, and what is left of them.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::Child as StdChild;
use std::time::Duration;

use super::{Stdio, bounded, eventually, sh, within_a_minute};
use crate::process::Command;
use crate::process::exit::Exit;
use crate::signal::SIGTERM;
use crate::{select, spawn, with_timeout};

#[test]
fn codes_and_signals() {
    bounded(|| {
        for code in [0, 1, 7, 255] {
            let status = sh(&format!("exit {code}")).status().unwrap();
            assert_eq!(status.code(), Some(code));
        }
        for signal in [SIGTERM, libc::SIGKILL] {
            let status = sh(&format!("kill -{signal} $$")).status().unwrap();
            assert_eq!((status.code(), status.signal()), (None, Some(signal)));
        }
    });
}

#[test]
fn who_looks_does_not_wait() {
    bounded(|| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        assert_eq!(child.try_wait().unwrap(), None);
        child.stdin = None;
        let status = child.wait().unwrap();
        assert!(status.success());
        assert_eq!(child.try_wait().unwrap(), Some(status));
        assert_eq!(child.wait().unwrap(), status, "as often as wished");
        // Its number may be somebody else's by now: nothing is sent.
        child.kill().unwrap();
        child.signal(SIGTERM).unwrap();
    });
}

/// Without a descriptor that tells, a `select!` looks now and then, on threads too.
#[test]
fn a_select_finds_the_end_that_nothing_tells_of() {
    let select = || {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        drop(child.exit.take());
        select! {
            wait(child) -> status => panic!("{status:?}"),
            after(Duration::from_millis(5)) => child.stdin = None,
        }
        select! {
            wait(child) -> status => assert!(status.unwrap().success()),
            after(Duration::from_secs(60)) => panic!("it does not end"),
        }
    };
    bounded(select);
    select();
}

#[test]
fn an_interrupted_wait_leaves_the_child_running() {
    bounded(|| {
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        for _ in 0..3 {
            assert!(with_timeout(Duration::from_millis(1), || child.wait()).is_err());
        }
        stdin.write_all(b"alive").unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.stdout, b"alive");
    });
}

#[test]
fn one_that_ignores_the_polite_signal_is_killed() {
    bounded(|| {
        let mut child = sh("trap '' TERM; echo ready; read line; echo still here; read line")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0; 6];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut line)
            .unwrap();
        child.signal(SIGTERM).unwrap();
        child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let mut line = [0; 11];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut line)
            .unwrap();
        assert_eq!(&line, b"still here\n");
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
        let error = child.signal(12_345).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn what_does_not_exist_is_named() {
    let error = Command::new("no-such-program-42").output().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("no-such-program-42"), "{error}");
    let error = sh("true")
        .current_dir("/no/such/folder")
        .status()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("/no/such/folder"), "{error}");
    let error = Command::new("/etc/passwd").spawn().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}

/// Is it a process that runs, or that waits to be reaped?
fn is_there(pid: u32) -> bool {
    let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
    rustix::process::test_kill_process(pid).is_ok()
}

#[test]
fn of_one_that_is_dropped_no_zombie_stays() {
    bounded(|| {
        let pids: Vec<u32> = (0..20)
            .map(|number| {
                let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
                let stdin = child.stdin.take();
                let pid = child.id();
                drop(child);
                assert!(is_there(pid), "{number} goes on");
                drop(stdin);
                pid
            })
            .collect();
        for pid in pids {
            eventually("reaper", || !is_there(pid));
        }
    });
}

#[test]
fn one_that_had_ended_is_reaped_when_it_is_dropped() {
    let child = Command::new("true").spawn().unwrap();
    let pid = child.id();
    let file = format!("/proc/{pid}/stat");
    if cfg!(target_os = "linux") {
        eventually("zombie", || {
            std::fs::read_to_string(&file).is_ok_and(|stat| stat.contains(") Z "))
        });
    }
    drop(child);
    eventually("reaper", || !is_there(pid));
}

#[test]
fn where_nothing_tells_of_the_end_it_is_looked_for() {
    let start = || -> StdChild {
        let mut command = std::process::Command::new("cat");
        command.stdin(Stdio::piped()).spawn().unwrap()
    };
    bounded(move || {
        let mut child = start();
        let late = with_timeout(Duration::from_millis(5), || Exit::Looked.wait(&mut child));
        assert!(late.is_err());
        drop(child.stdin.take());
        assert!(Exit::Looked.wait(&mut child).unwrap().success());
    });
    within_a_minute(|| {
        let mut child = start();
        drop(child.stdin.take());
        assert!(Exit::Looked.wait(&mut child).unwrap().success());
    });
}

#[test]
fn nothing_is_started_while_unwinding() {
    struct Late;
    impl Drop for Late {
        fn drop(&mut self) {
            let error = sh("sleep 1000").output().unwrap_err();
            assert!(error.to_string().contains("unwinding"), "{error}");
            assert!(sh("sleep 1000").status().is_err());
        }
    }
    bounded(|| {
        let coroutine = spawn(|| {
            let _late = Late;
            panic!("planned");
        });
        coroutine.join().unwrap_err();
    });
}
