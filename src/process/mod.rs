//! Other programs: starting them, talking to them, waiting for their end. The twin of [`std::process`].
//!
//! ```
//! use grapeshot::process::{Command, Stdio};
//! use std::io::{Read, Write};
//!
//! # grapeshot::run(|| {
//! let mut child = Command::new("tr").args(["a-z", "A-Z"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
//! let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
//! // Both ways at the same time, however much it is: one coroutine writes while another reads.
//! let writer = grapeshot::spawn(move || stdin.write_all(b"hello"));
//! let mut heard = String::new();
//! stdout.read_to_string(&mut heard)?;
//! writer.join().unwrap()?;
//! assert!(child.wait()?.success());
//! assert_eq!(heard, "HELLO");
//! # std::io::Result::Ok(())
//! # }).unwrap();
//! ```
//!
//! # Groups
//!
//! What a program starts in turn outlives it, if only the program itself is killed. So each child begins a process group,
//! unless [`Command::own_group`] says otherwise, and is killed with it. That has two consequences: Ctrl-C in the terminal
//! does not reach it, and it is stopped (`SIGTTIN`) if it reads from the terminal. What leaves the group (a daemon, by
//! `setsid`) is not killed.
//!
//! # Interrupts
//!
//! [`Command::output`], [`Command::status`] and [`Child::wait_with_output`] own their child: if their caller is interrupted,
//! or its time has passed, the child is killed with its group, and reaped, before the interrupt goes on.
//!
//! ```
//! use grapeshot::process::Command;
//! use std::time::Duration;
//!
//! # grapeshot::run(|| {
//! let shell = || Command::new("sh").args(["-c", "sleep 1000 & wait"]).output();
//! let late = grapeshot::with_timeout(Duration::from_millis(10), shell);
//! assert!(late.is_err(), "and neither the shell nor the sleep is left");
//! # });
//! ```
//!
//! [`Child::wait`] borrows its child: an interrupt leaves that running, to be waited for again, or killed. A [`Child`] that
//! is dropped goes on running, as in std; when it ends, it is reaped, so no zombie stays.

mod child;
mod command;
mod exit;
mod output;
mod reaper;
mod select;

#[cfg(test)]
mod tests;

pub use std::process::{ExitStatus, Output, Stdio};

pub use child::{Child, ChildStderr, ChildStdin, ChildStdout};
pub use command::Command;
