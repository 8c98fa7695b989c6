//! What is to be started, and how.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::getpgrp;

use super::child::Child;
use super::{ExitStatus, Output, Stdio, reaper};
use crate::sched::wait::{Refused, check_interrupt, nothing_may_wait};

/// Bytes that a child may print while its output is collected, unless [`Command::output_limit`] says otherwise.
const OUTPUT_LIMIT: usize = 64 << 20;

/// A program to be started; the twin of [`std::process::Command`].
///
/// ```
/// use grapeshot::process::Command;
///
/// # grapeshot::run(|| {
/// let output = Command::new("sh").args(["-c", "echo hello; exit 3"]).output()?;
/// assert_eq!(output.stdout, b"hello\n");
/// assert_eq!(output.status.code(), Some(3));
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
///
/// Starting a program takes the worker some hundred microseconds, until the program has begun to run; more, if it must be
/// fetched from a slow disk.
#[derive(Debug)]
pub struct Command {
    inner: std::process::Command,
    own_group: bool,
    output_limit: usize,
    /// Which of the three streams the user has chosen; the others differ between `spawn` and `output`.
    chosen: [bool; 3],
}

/// Why a program did not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {program:?}{}: {cause}", folder.as_ref().map(|folder| format!(" in {}", folder.display())).unwrap_or_default())]
struct CannotStart {
    program: OsString,
    folder: Option<PathBuf>,
    #[source]
    cause: io::Error,
}

impl Command {
    /// The program with this name (looked for along `PATH`) or path, with no arguments, our environment, our folder and
    /// our streams.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        std::process::Command::new(program).into()
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.inner.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.inner.args(args);
        self
    }

    /// Sets a variable of its environment.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.inner.env(key, value);
        self
    }

    /// Sets variables of its environment.
    pub fn envs<K, V>(&mut self, variables: impl IntoIterator<Item = (K, V)>) -> &mut Self
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.inner.envs(variables);
        self
    }

    /// Keeps a variable from it.
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Self {
        self.inner.env_remove(key);
        self
    }

    /// Keeps all our variables from it, and forgets those that were set.
    pub fn env_clear(&mut self) -> &mut Self {
        self.inner.env_clear();
        self
    }

    /// The folder that it starts in.
    pub fn current_dir(&mut self, folder: impl AsRef<Path>) -> &mut Self {
        self.inner.current_dir(folder);
        self
    }

    /// Its standard input. If it is not chosen: ours; for [`output`](Self::output) nothing.
    pub fn stdin(&mut self, stream: impl Into<Stdio>) -> &mut Self {
        self.chosen[0] = true;
        self.inner.stdin(stream);
        self
    }

    /// Its standard output. If it is not chosen: ours; for [`output`](Self::output) a pipe.
    pub fn stdout(&mut self, stream: impl Into<Stdio>) -> &mut Self {
        self.chosen[1] = true;
        self.inner.stdout(stream);
        self
    }

    /// Its standard error. If it is not chosen: ours; for [`output`](Self::output) a pipe.
    pub fn stderr(&mut self, stream: impl Into<Stdio>) -> &mut Self {
        self.chosen[2] = true;
        self.inner.stderr(stream);
        self
    }

    /// Does it begin a process group of its own, to be killed as a whole? Yes, if not told otherwise; see the
    /// [module](super). A program that uses the terminal wants `false`.
    pub fn own_group(&mut self, own: bool) -> &mut Self {
        self.own_group = own;
        self
    }

    /// How many bytes [`output`](Self::output) and [`Child::wait_with_output`] collect, of both streams together, before
    /// they kill the child and fail; 64 MiB, if not told otherwise.
    pub fn output_limit(&mut self, bytes: usize) -> &mut Self {
        self.output_limit = bytes;
        self
    }

    /// Starts it. Never suspends.
    ///
    /// # Errors
    /// If it cannot be started; the message names the program. No descriptor (`EMFILE`) or process (`EAGAIN`) left.
    pub fn spawn(&mut self) -> io::Result<Child> {
        reaper::look();
        std::os::unix::process::CommandExt::process_group(
            &mut self.inner,
            if self.own_group {
                0
            } else {
                getpgrp().as_raw_nonzero().get()
            },
        );
        let started = self.inner.spawn().map_err(|cause| {
            let program = self.inner.get_program().to_owned();
            let folder = self.inner.get_current_dir().map(Path::to_owned);
            let kind = cause.kind();
            let error = CannotStart {
                program,
                folder,
                cause,
            };
            io::Error::new(kind, error)
        })?;
        Child::new(started, self.own_group, self.output_limit)
    }

    /// Runs it to its end, and collects what it prints on both streams. **May suspend.** It has no input, unless one was
    /// chosen.
    ///
    /// It is over when the child has ended and nobody else, such as a process that the child has left behind, has its
    /// streams any more. If the caller is interrupted, the child is killed with its group, and reaped.
    ///
    /// # Errors
    /// Those of [`spawn`](Self::spawn) and of reading; too much output ([`output_limit`](Self::output_limit)). The child is
    /// killed with its group then.
    pub fn output(&mut self) -> io::Result<Output> {
        refuse_while_unwinding()?;
        let [stdin, stdout, stderr] = self.chosen;
        if !stdin {
            self.inner.stdin(Stdio::null());
        }
        if !stdout {
            self.inner.stdout(Stdio::piped());
        }
        if !stderr {
            self.inner.stderr(Stdio::piped());
        }
        let child = self.spawn();
        // For the next `spawn`.
        if !stdin {
            self.inner.stdin(Stdio::inherit());
        }
        if !stdout {
            self.inner.stdout(Stdio::inherit());
        }
        if !stderr {
            self.inner.stderr(Stdio::inherit());
        }
        child?.wait_with_output()
    }

    /// Runs it to its end. **May suspend.** If the caller is interrupted, the child is killed with its group, and reaped.
    ///
    /// # Errors
    /// As for [`output`](Self::output).
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        refuse_while_unwinding()?;
        self.spawn()?.own(Child::wait)
    }

    /// The program.
    pub fn get_program(&self) -> &OsStr {
        self.inner.get_program()
    }

    /// Its arguments.
    pub fn get_args(&self) -> std::process::CommandArgs<'_> {
        self.inner.get_args()
    }

    /// What was said of its environment; `None` stands for what is removed.
    pub fn get_envs(&self) -> std::process::CommandEnvs<'_> {
        self.inner.get_envs()
    }

    /// The folder that it starts in, if one was chosen.
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.inner.get_current_dir()
    }

    /// Std's, for what only std has, such as [`CommandExt`](std::os::unix::process::CommandExt). Choose the streams and
    /// the group here rather than there.
    pub fn as_std_mut(&mut self) -> &mut std::process::Command {
        &mut self.inner
    }
}

/// Takes over what std has; its streams count as not chosen.
impl From<std::process::Command> for Command {
    fn from(inner: std::process::Command) -> Self {
        Self {
            inner,
            own_group: true,
            output_limit: OUTPUT_LIMIT,
            chosen: [false; 3],
        }
    }
}

/// Nothing is started that could not be waited for.
fn refuse_while_unwinding() -> io::Result<()> {
    check_interrupt();
    if nothing_may_wait() {
        return Err(Refused.into());
    }
    Ok(())
}
