//! Running other programs: with their words passed on, captured, or bounded in time.

use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::place;

/// `cargo` of the toolchain that runs us, in the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(place::root());
    quiet(&mut command);
    command
}

/// Whether a person sees what the programs print that we run.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Cargo's words on the way are for who looks on; in a log they are thousands of lines.
fn quiet(command: &mut Command) {
    if !is_watched() {
        command.env("CARGO_TERM_QUIET", "true");
    }
}

/// `cargo` of the nightly toolchain, in the workspace. Goes through rustup, because the `cargo` in the path may
/// already be one toolchain's own, which does not know `+nightly`.
pub(crate) fn nightly_cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command
        .args(["run", "nightly", "cargo"])
        .args(arguments)
        .current_dir(place::root());
    quiet(&mut command);
    command
}

/// The command as one would type it.
pub(crate) fn written(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ");
    let set = |name: &str| {
        let value = command.get_envs().find(|(key, _)| *key == name)?.1?;
        Some(format!("{name}={:?} ", value.to_string_lossy()))
    };
    format!("{}{line}", set("RUSTFLAGS").unwrap_or_default())
}

/// Runs it to its end; its words go where ours go.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", written(command));
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", written(command)))?;
    ensure!(
        status.success(),
        "`{}` ended with {status}",
        written(command)
    );
    Ok(())
}

/// Runs it to its end and gives what it printed; fails with what it complained of.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {}", written(command)))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "`{}` ended with {}: {}",
        written(command),
        output.status,
        complaint.trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs it to its end, passes its standard output on line by line, and shows every line to `inspect`. Kills it, with
/// all that it started, and fails when it prints nothing for as long as `silence`.
pub(crate) fn run_inspected(
    command: &mut Command,
    silence: Duration,
    mut inspect: impl FnMut(&str),
) -> Result<ExitStatus> {
    println!("$ {}", written(command));
    let child = command.stdout(Stdio::piped()).spawn();
    let mut child = child.with_context(|| format!("cannot start {}", written(command)))?;
    let stdout = child.stdout.take().expect("it is piped");
    follow(command, child, stdout, silence, |line| {
        println!("{line}");
        inspect(line);
    })
}

/// As [`run_inspected`], but of both of its outputs, in the order in which it printed, and passes nothing on.
pub(crate) fn run_quietly(
    command: &mut Command,
    silence: Duration,
    inspect: impl FnMut(&str),
) -> Result<ExitStatus> {
    println!("$ {}", written(command));
    let (reader, writer) = io::pipe().context("cannot make a pipe")?;
    command.stdout(writer.try_clone().context("cannot make a pipe")?);
    let child = command.stderr(writer).spawn();
    // The ends that the command itself still has would keep the pipe open.
    command.stdout(Stdio::inherit()).stderr(Stdio::inherit());
    let child = child.with_context(|| format!("cannot start {}", written(command)))?;
    follow(command, child, reader, silence, inspect)
}

fn follow(
    command: &Command,
    mut child: Child,
    output: impl Read + Send + 'static,
    silence: Duration,
    mut inspect: impl FnMut(&str),
) -> Result<ExitStatus> {
    let lines = lines(output);
    loop {
        match lines.recv_timeout(silence) {
            Ok(line) => {
                let line = line.context("reading what it printed")?;
                inspect(&String::from_utf8_lossy(&line));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return child.wait().context("waiting for its end");
            }
            Err(RecvTimeoutError::Timeout) => {
                end_all(child)?;
                bail!(
                    "`{}` printed nothing for {silence:?} and was killed: what it did last hangs",
                    written(command)
                );
            }
        }
    }
}

fn lines(from: impl Read + Send + 'static) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n') {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Kills it with its children and theirs.
fn end_all(child: Child) -> Result<()> {
    let listing = output(Command::new("ps").args(["-eo", "pid=,ppid="]))?;
    let pairs: Vec<(&str, &str)> = listing
        .lines()
        .filter_map(|line| line.trim().split_once(char::is_whitespace))
        .map(|(pid, parent)| (pid, parent.trim()))
        .collect();
    let mut family = vec![child.id().to_string()];
    let mut next = 0;
    while let Some(parent) = family.get(next).cloned() {
        let children = pairs.iter().filter(|(_, of)| *of == parent);
        family.extend(children.map(|(pid, _)| (*pid).to_owned()));
        next += 1;
    }
    // Some may have ended by themselves meanwhile.
    let _ = Command::new("kill").arg("-KILL").args(&family).output();
    end(child);
    Ok(())
}

/// What a bounded program came to.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs it to its end, captured; kills it and fails when it takes longer than `limit`.
pub(crate) fn run_bounded(command: &mut Command, limit: Duration) -> Result<Ended> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", written(command)))?;
    let stdout = drain(child.stdout.take().expect("it is piped"));
    let stderr = drain(child.stderr.take().expect("it is piped"));
    let give_up = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait().context("waiting for its end")? {
            break status;
        }
        if Instant::now() > give_up {
            end(child);
            bail!("`{}` had not ended after {limit:?}", written(command));
        }
        thread::sleep(Duration::from_millis(5));
    };
    let text = |reader: thread::JoinHandle<String>| reader.join().unwrap_or_default();
    Ok(Ended {
        status,
        stdout: text(stdout),
        stderr: text(stderr),
    })
}

pub(crate) fn drain(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What could be read before an error is still worth showing.
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Kills it and takes its status, so that no corpse stays.
pub(crate) fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// A child that does not outlive us on any path out of a function.
pub(crate) struct Server(Option<Child>);

impl Server {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", written(command)))?;
        Ok(Self(Some(child)))
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("it is only taken on drop")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = self.0.take() {
            end(child);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_falls_silent_is_killed_with_all_that_it_started() {
        let mut said = Vec::new();
        let script = "echo $$; sh -c 'echo $$; sleep 1000' & wait";
        let error = run_inspected(
            Command::new("sh").args(["-c", script]),
            Duration::from_secs(1),
            |line| said.push(line.to_owned()),
        );
        assert!(error.unwrap_err().to_string().contains("printed nothing"));
        assert_eq!(said.len(), 2);
        for pid in said {
            let state = output(Command::new("ps").args(["-o", "stat=", "-p", &pid]));
            // Gone, or a corpse that nobody has collected yet.
            assert!(state.is_err() || state.unwrap().starts_with('Z'));
        }
    }
}
