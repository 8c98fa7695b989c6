//! Whoever is interrupted takes the child and all that it started along.

use std::io::{PipeReader, Read};
use std::time::Duration;

use super::{bounded, sh, within_a_minute};
use crate::process::Command;
use crate::{spawn, unblock, with_timeout};

/// A shell with a child that both run for ever, and have a pipe as standard error; first it says there who the child is.
fn family() -> (Command, PipeReader) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = sh("sleep 1000 & echo $! >&2; wait");
    command.stderr(writer);
    (command, reader)
}

/// Returns when nobody has the other end of the pipe any more.
fn all_are_gone(mut family: PipeReader) {
    within_a_minute(|| unblock(move || family.read_to_end(&mut Vec::new())))
        .unwrap()
        .unwrap();
}

/// The number of the grandchild, once it runs.
fn grandchild(family: &PipeReader) -> i32 {
    let mut family = family.try_clone().unwrap();
    let read = move || {
        let mut line = String::new();
        while !line.ends_with('\n') {
            let mut byte = [0];
            family.read_exact(&mut byte).unwrap();
            line.push(char::from(byte[0]));
        }
        line.trim().parse().unwrap()
    };
    unblock(read).unwrap()
}

/// Neither there nor waiting to be reaped by whoever adopted it.
#[cfg(target_os = "linux")]
fn is_dead(pid: i32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.contains(") Z ") || stat.contains(") X "),
        Err(_) => true,
    }
}

#[test]
fn a_timeout_kills_the_grandchildren() {
    bounded(|| {
        for millis in [0, 1, 5, 20, 50] {
            let (mut command, family) = family();
            let late = with_timeout(Duration::from_millis(millis), || command.output());
            assert!(late.is_err());
            drop(command);
            all_are_gone(family);
        }
    });
}

#[test]
fn on_a_plain_thread_too() {
    let (mut command, family) = family();
    assert!(with_timeout(Duration::from_millis(20), || command.status()).is_err());
    drop(command);
    all_are_gone(family);
}

#[test]
fn an_interrupted_coroutine_takes_them_along() {
    bounded(|| {
        for with_output in [false, true] {
            let (mut command, family) = family();
            let coroutine = spawn(move || match with_output {
                true => command.output().map(|output| output.status),
                false => command.status(),
            });
            let grandchild = grandchild(&family);
            coroutine.interrupt();
            coroutine.join().unwrap_err();
            all_are_gone(family);
            #[cfg(target_os = "linux")]
            super::eventually("end of the grandchild", || is_dead(grandchild));
        }
    });
}

/// The child has ended, and is a zombie until its output has: its group can still be told apart from others.
#[test]
fn who_is_left_behind_with_the_output_is_killed_too() {
    bounded(|| {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = sh("sleep 1000 & echo $! >&2");
        command.stderr(writer);
        let coroutine = spawn(move || command.output());
        let grandchild = grandchild(&reader);
        coroutine.interrupt();
        coroutine.join().unwrap_err();
        all_are_gone(reader);
        #[cfg(target_os = "linux")]
        super::eventually("end of the grandchild", || is_dead(grandchild));
    });
}

#[test]
fn kill_ends_the_group() {
    bounded(|| {
        let (mut command, family) = family();
        let mut child = command.spawn().unwrap();
        drop(command);
        grandchild(&family);
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        all_are_gone(family);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn each_has_its_own_group_unless_it_is_not_wanted() {
    bounded(|| {
        let group_of = |own| {
            let mut command = Command::new("cat");
            let output = command
                .arg("/proc/self/stat")
                .own_group(own)
                .output()
                .unwrap();
            let stat = String::from_utf8(output.stdout).unwrap();
            let fields: Vec<i32> = stat
                .rsplit_once(") ")
                .unwrap()
                .1
                .split(' ')
                .flat_map(str::parse)
                .collect();
            let pid: i32 = stat.split(' ').next().unwrap().parse().unwrap();
            // After the name: state, parent, group.
            (pid, fields[1])
        };
        let (pid, group) = group_of(true);
        assert_eq!(pid, group);
        let (_, group) = group_of(false);
        assert_eq!(group, rustix::process::getpgrp().as_raw_nonzero().get());
    });
}
