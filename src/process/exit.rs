//! Waiting for the end of a process.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use rustix::process::Pid;

use crate::io::{Source, WaitKind};
use crate::sched::wait::{Refused, check_interrupt, nothing_may_wait};

/// Between two looks, where nothing tells of the end; it doubles up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(50);

/// What tells of the end of a process.
pub(super) enum Exit {
    /// A descriptor that becomes readable (Linux since 5.3).
    Told(Source<OwnedFd>),
    /// Nothing does; the process is looked at now and then.
    Looked,
}

impl Exit {
    /// The process must not have been reaped yet.
    pub(super) fn of(pid: Pid) -> Self {
        open(pid).map_or(Self::Looked, |fd| Self::Told(Source::new(fd)))
    }

    /// **May suspend.**
    pub(super) fn wait(&self, process: &mut Child) -> io::Result<ExitStatus> {
        match self {
            Self::Told(source) => source.read_with(WaitKind::Child, |_| {
                process
                    .try_wait()?
                    .ok_or_else(|| io::ErrorKind::WouldBlock.into())
            }),
            Self::Looked => look(process),
        }
    }

    /// The descriptor, out of the poller.
    pub(super) fn take(&mut self) -> Option<OwnedFd> {
        match std::mem::replace(self, Self::Looked) {
            Self::Told(source) => Some(source.into_inner()),
            Self::Looked => None,
        }
    }
}

impl std::fmt::Debug for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Told(source) => f.debug_tuple("Told").field(source.get_ref()).finish(),
            Self::Looked => f.write_str("Looked"),
        }
    }
}

/// `None` where the system has no such thing, or the process no descriptor left.
#[cfg(target_os = "linux")]
fn open(pid: Pid) -> Option<OwnedFd> {
    use rustix::process::{PidfdFlags, pidfd_open};
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn open(_: Pid) -> Option<OwnedFd> {
    None
}

fn look(process: &mut Child) -> io::Result<ExitStatus> {
    check_interrupt();
    let mut pause = SHORTEST;
    loop {
        if let Some(status) = process.try_wait()? {
            return Ok(status);
        }
        if nothing_may_wait() {
            return Err(Refused.into());
        }
        crate::sleep(pause);
        pause = (pause * 2).min(LONGEST);
    }
}
