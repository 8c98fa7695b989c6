//! What goes in and what comes out.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};

use super::{Stdio, bounded, sh, within_a_minute};
use crate::process::Command;
use crate::{JoinHandle, spawn};

#[test]
fn a_megabyte_goes_both_ways_through_cat() {
    bounded(|| {
        let sent: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let writer = spawn({
            let sent = sent.clone();
            move || stdin.write_all(&sent)
        });
        let mut heard = Vec::new();
        stdout.read_to_end(&mut heard).unwrap();
        writer.join().unwrap().unwrap();
        assert!(child.wait().unwrap().success());
        assert!(heard == sent, "{} bytes came back", heard.len());
    });
}

#[test]
fn both_streams_are_read_at_the_same_time() {
    bounded(|| {
        // More than a pipe holds, first on one, then on the other, then on both.
        let script =
            "yes out | head -c 300000; yes err | head -c 300000 >&2; echo end; echo fin >&2";
        let output = sh(script).output().unwrap();
        assert!(output.status.success());
        assert_eq!(
            (output.stdout.len(), output.stderr.len()),
            (300_004, 300_004)
        );
        assert!(output.stdout.ends_with(b"end\n") && output.stderr.ends_with(b"fin\n"));
    });
}

#[test]
fn output_has_no_input_and_what_was_chosen_stays() {
    bounded(|| {
        let output = Command::new("cat").output().unwrap();
        assert!(output.status.success() && output.stdout.is_empty());
        let mut quiet = sh("echo out; echo err >&2");
        quiet.stderr(Stdio::null());
        for _ in 0..2 {
            let output = quiet.output().unwrap();
            assert_eq!(
                (&*output.stdout, &*output.stderr),
                (&b"out\n"[..], &b""[..])
            );
        }
        let child = quiet.stdout(Stdio::piped()).spawn().unwrap();
        assert!(child.stdin.is_none() && child.stderr.is_none());
        assert_eq!(child.wait_with_output().unwrap().stdout, b"out\n");
    });
}

#[test]
fn waiting_closes_the_input() {
    bounded(|| {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        assert!(child.stdin.is_some());
        assert!(child.wait().unwrap().success());
        assert!(child.stdin.is_none());
    });
}

#[test]
fn an_input_that_nobody_reads_is_an_error_and_no_signal() {
    bounded(|| {
        let mut child = sh("exec <&-; echo closed; sleep 1000")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0; 7];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut line)
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Another test's child may have it too, until that child executes its program.
        let error = loop {
            if let Err(error) = stdin.write(b"x") {
                break error;
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
        child.kill().unwrap();
        child.wait().unwrap();
    });
}

#[test]
fn more_than_the_limit_is_refused_and_ends_the_child() {
    bounded(|| {
        let (mut alive, stderr) = std::io::pipe().unwrap();
        let mut command = sh("yes & yes");
        let error = command
            .output_limit(100_000)
            .stderr(stderr)
            .output()
            .unwrap_err();
        assert!(error.to_string().contains("100000"), "{error}");
        drop(command);
        // Ends when nobody has the other end: neither shell nor children.
        alive.read_to_end(&mut Vec::new()).unwrap();
    });
}

#[test]
fn a_hundred_at_once() {
    bounded(|| {
        let start = |number: i32| {
            spawn(move || sh(&format!("cat >/dev/null; echo {number}; exit {number}")).output())
        };
        let children: Vec<JoinHandle<_>> = (0..100).map(start).collect();
        for (number, child) in (0..).zip(children) {
            let output = child.join().unwrap().unwrap();
            assert_eq!(output.stdout, format!("{number}\n").as_bytes());
            assert_eq!(output.status.code(), Some(number));
        }
    });
}

#[test]
fn a_plain_thread_does_the_same() {
    within_a_minute(|| {
        let output = sh("echo out; echo err >&2; exit 5").output().unwrap();
        assert_eq!(
            (&*output.stdout, &*output.stderr),
            (&b"out\n"[..], &b"err\n"[..])
        );
        assert_eq!(sh("exit 6").status().unwrap().code(), Some(6));
    });
}

#[cfg(target_os = "linux")]
#[test]
fn no_descriptor_leaks_into_a_child() {
    bounded(|| {
        let of = |fd: RawFd| std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
        let listener = crate::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (near, far) = crate::io::pipe().unwrap();
        let mut other = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        // Registered with the poller, so that there is one.
        let reader = spawn(move || (&near).read(&mut [0]).map(|_| near));
        (&far).write_all(b"x").unwrap();
        let near = reader.join().unwrap().unwrap();
        let stdin = other.stdin.as_ref().unwrap().as_raw_fd();
        let ours: BTreeSet<_> = [
            listener.as_raw_fd(),
            near.as_raw_fd(),
            far.as_raw_fd(),
            stdin,
        ]
        .map(of)
        .into();
        assert_eq!(ours.len(), 3, "{ours:?}");
        let output = sh("readlink /proc/self/fd/*").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("/dev/null"), "{text}");
        for link in text.lines() {
            assert!(
                !ours.contains(std::path::Path::new(link)),
                "{link} of {text}"
            );
            assert!(!link.contains("anon_inode"), "{text}");
        }
        other.wait().unwrap();
    });
}

#[test]
fn one_program_feeds_the_next() {
    bounded(|| {
        let mut first = sh("sleep 0.01; echo hello")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = first.stdout.take().unwrap();
        // It would find nothing there yet, if the pipe did not block.
        let second = Command::new("cat").stdin(stdout).output().unwrap();
        assert_eq!(second.stdout, b"hello\n");
        assert!(first.wait().unwrap().success());
    });
}
