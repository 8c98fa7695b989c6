//! A program that was started.

use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::exit::Exit;
use super::{ExitStatus, Output, Stdio, output, reaper};
use crate::io::{PipeReader, PipeWriter};
use crate::sched::worker::ClockHeld;
use crate::{shield, with_timeout};

/// What a child reads; see [`Child::stdin`].
pub type ChildStdin = PipeWriter;
/// What a child prints; see [`Child::stdout`].
pub type ChildStdout = PipeReader;
/// What a child complains; see [`Child::stderr`].
pub type ChildStderr = PipeReader;

/// For so long a child that was killed is waited for. It takes longer only if the kernel does not let it go.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// A program that was started; the twin of [`std::process::Child`].
///
/// Dropped, it goes on running; when it ends it is reaped, by a thread that lives as long as there are such children.
#[derive(Debug)]
pub struct Child {
    /// What it reads, if that was to be [piped](super::Stdio::piped).
    pub stdin: Option<ChildStdin>,
    /// What it prints, if that was to be piped.
    pub stdout: Option<ChildStdout>,
    /// What it complains, if that was to be piped.
    pub stderr: Option<ChildStderr>,
    pub(super) process: std::process::Child,
    pub(super) exit: Exit,
    /// Once it is there the child has been reaped, and its number may be somebody else's.
    pub(super) status: Option<ExitStatus>,
    own_group: bool,
    output_limit: usize,
}

impl Child {
    pub(super) fn new(
        mut process: std::process::Child,
        own_group: bool,
        output_limit: usize,
    ) -> io::Result<Self> {
        let stdin = process.stdin.take().map(OwnedFd::from);
        let stdout = process.stdout.take().map(OwnedFd::from);
        let stderr = process.stderr.take().map(OwnedFd::from);
        let exit = Exit::of(Pid::from_child(&process));
        let mut child = Self {
            stdin: None,
            stdout: None,
            stderr: None,
            process,
            exit,
            status: None,
            own_group,
            output_limit,
        };
        let streams = || {
            io::Result::Ok((
                stdin.map(PipeWriter::try_from).transpose()?,
                stdout.map(PipeReader::try_from).transpose()?,
                stderr.map(PipeReader::try_from).transpose()?,
            ))
        };
        match streams() {
            Ok(streams) => (child.stdin, child.stdout, child.stderr) = streams,
            Err(error) => {
                child.kill()?;
                return Err(error);
            }
        }
        Ok(child)
    }

    /// Its process id, which is also that of its group, if it has its own.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it has ended. **May suspend.** Its standard input is closed first, if it is still here.
    ///
    /// If the caller is interrupted, the child goes on, and may be waited for again.
    ///
    /// It is an arm of [`select!`](crate::select!) too, which leaves the standard input open:
    ///
    /// ```
    /// # grapeshot::run(|| {
    /// let mut child = grapeshot::process::Command::new("sleep").arg("3600").spawn()?;
    /// let status = grapeshot::select! {
    ///     wait(child) -> status => status?,
    ///     after(std::time::Duration::from_millis(10)) => {
    ///         child.kill()?;
    ///         child.wait()?
    ///     }
    /// };
    /// assert!(!status.success());
    /// # std::io::Result::Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of the poller and of `waitpid`; [`Refused`](crate::Refused).
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        if let Some(status) = self.status {
            return Ok(status);
        }
        let status = self.exit.wait(&mut self.process)?;
        self.status = Some(status);
        Ok(status)
    }

    /// How it has ended, if it has. Never suspends.
    ///
    /// # Errors
    /// Those of `waitpid`.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.process.try_wait()?;
        }
        Ok(self.status)
    }

    /// Waits until it has ended, and collects what it prints until then on those of its streams that are here.
    /// **May suspend.** Otherwise as [`Command::output`](super::Command::output).
    ///
    /// # Errors
    /// As for `output`.
    pub fn wait_with_output(self) -> io::Result<Output> {
        self.own(|child| {
            drop(child.stdin.take());
            let (stdout, stderr) =
                output::collect(child.stdout.take(), child.stderr.take(), child.output_limit)?;
            Ok(Output {
                status: child.wait()?,
                stdout,
                stderr,
            })
        })
    }

    /// Kills it, together with its group, if it has its own. Never suspends; [`wait`](Self::wait) for it after that.
    /// Nothing happens if its end has been waited for already.
    ///
    /// # Errors
    /// `EPERM`, if it has become somebody else's.
    pub fn kill(&mut self) -> io::Result<()> {
        self.send(Signal::KILL)
    }

    /// Sends a signal (such as [`SIGTERM`](crate::signal::SIGTERM)) to it and to its group, if it has its own. Otherwise
    /// as [`kill`](Self::kill).
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for what is no signal; `EPERM`.
    pub fn signal(&mut self, signal: i32) -> io::Result<()> {
        let named = Signal::from_named_raw(signal);
        let unknown = || {
            let message = format!("{signal} is not the number of a signal");
            io::Error::new(io::ErrorKind::InvalidInput, message)
        };
        self.send(named.ok_or_else(unknown)?)
    }

    fn send(&mut self, signal: Signal) -> io::Result<()> {
        if self.status.is_some() {
            return Ok(());
        }
        // It may have ended, but nobody has reaped it: the number is still its own.
        let pid = Pid::from_child(&self.process);
        let sent = match self.own_group {
            true => kill_process_group(pid, signal),
            false => kill_process(pid, signal),
        };
        match sent {
            // It has left the group, or killing has to be sure that it has not.
            Err(Errno::SRCH) if self.own_group => kill_process(pid, signal)?,
            Ok(()) if self.own_group && signal == Signal::KILL => kill_process(pid, signal)?,
            sent => sent?,
        }
        Ok(())
    }

    /// Runs `f`. If that does not end well, be it by an error or by an interrupt, the child does not outlive it.
    pub(super) fn own<T>(mut self, f: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        let result = catch_unwind(AssertUnwindSafe(|| f(&mut self)));
        if !matches!(result, Ok(Ok(_))) {
            self.put_down();
        }
        result.unwrap_or_else(|payload| resume_unwind(payload))
    }

    fn put_down(&mut self) {
        if let Err(error) = self.kill() {
            log::warn!("child process {} cannot be killed: {error}", self.id());
        }
        // Its end comes from outside, and soon.
        let _held = ClockHeld::new();
        // What does not come of it is left to the destructor.
        let _ = shield(|| with_timeout(LAST_WAIT, || self.wait()));
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Ok(None) = self.try_wait() {
            reaper::leave(Pid::from_child(&self.process), self.exit.take());
        }
    }
}

/// For the next program of a pipeline. The pipe blocks its readers from then on, as programs expect it, and so do our
/// clones of it: there must be none in use.
impl From<PipeReader> for Stdio {
    fn from(pipe: PipeReader) -> Self {
        blocking(pipe.into())
    }
}

/// As for a [`PipeReader`].
impl From<PipeWriter> for Stdio {
    fn from(pipe: PipeWriter) -> Self {
        blocking(pipe.into())
    }
}

fn blocking(pipe: OwnedFd) -> Stdio {
    // It fails only for one that was closed, of which the program will hear.
    let _ = rustix::io::ioctl_fionbio(&pipe, false);
    pipe.into()
}
