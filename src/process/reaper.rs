//! Children that nobody waits for any more: they go on, and when they end they are reaped, lest zombies stay.
//!
//! One thread does it, because no runtime lives as long as a child may; it ends when there are no such children.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, WaitOptions, waitpid};

/// Between two looks at those of whose end nothing tells.
const LOOK_EVERY: Duration = Duration::from_secs(1);

struct Orphan {
    pid: Pid,
    /// Becomes readable at its end.
    exit: Option<OwnedFd>,
}

impl Orphan {
    /// Reaps it if it has ended. False: it runs.
    fn has_ended(&self) -> bool {
        // An error says that there is nothing to reap.
        !matches!(waitpid(Some(self.pid), WaitOptions::NOHANG), Ok(None))
    }
}

struct Reaper {
    /// Those that the thread has not heard of yet.
    arrived: Vec<Orphan>,
    /// While there is a thread: how it is woken, if there were descriptors for it.
    thread: Option<Option<PipeWriter>>,
}

static REAPER: Mutex<Reaper> = Mutex::new(Reaper {
    arrived: Vec::new(),
    thread: None,
});

/// Leaves a child that runs to the reaper. Never suspends.
pub(super) fn leave(pid: Pid, exit: Option<OwnedFd>) {
    let mut reaper = REAPER.lock();
    reaper.arrived.push(Orphan { pid, exit });
    match &reaper.thread {
        // Only for the first that it has not heard of: so the pipe never fills.
        Some(Some(wake)) if reaper.arrived.len() == 1 => _ = (&*wake).write(&[0]),
        // It is on its way, or looks by itself now and then.
        Some(_) => {}
        None => reaper.start(),
    }
}

/// Looks after those for whom there was no thread to be had.
pub(super) fn look() {
    let mut reaper = REAPER.lock();
    if reaper.thread.is_none() && !reaper.arrived.is_empty() {
        reaper.arrived.retain(|orphan| !orphan.has_ended());
        if !reaper.arrived.is_empty() {
            reaper.start();
        }
    }
}

impl Reaper {
    fn start(&mut self) {
        let (wakes, wake) = io::pipe().ok().unzip();
        let thread = std::thread::Builder::new()
            .name("grapeshot-reaper".to_owned())
            .spawn(move || run(wakes));
        // Without a thread the next `look` tries again.
        self.thread = thread.ok().map(|_| wake);
    }
}

fn run(wakes: Option<PipeReader>) {
    let mut orphans = Vec::new();
    loop {
        orphans.retain(|orphan: &Orphan| !orphan.has_ended());
        {
            let mut reaper = REAPER.lock();
            orphans.append(&mut reaper.arrived);
            if orphans.is_empty() {
                reaper.thread = None;
                return;
            }
        }
        wait(&orphans, wakes.as_ref());
    }
}

/// Until one of them may have ended, or another arrives.
fn wait(orphans: &[Orphan], wakes: Option<&PipeReader>) {
    let all_tell = orphans.iter().all(|orphan| orphan.exit.is_some()) && wakes.is_some();
    let timeout = (!all_tell).then(|| Timespec::try_from(LOOK_EVERY).unwrap_or_default());
    let exits = orphans.iter().filter_map(|orphan| orphan.exit.as_ref());
    let mut fds: Vec<_> = exits
        .map(AsFd::as_fd)
        .chain(wakes.map(AsFd::as_fd))
        .collect();
    let mut fds: Vec<_> = fds
        .drain(..)
        .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
        .collect();
    if poll(&mut fds, timeout.as_ref()).is_err() {
        // No memory, say: not too often.
        std::thread::sleep(LOOK_EVERY);
    }
    let woken = fds.last().is_some_and(|fd| !fd.revents().is_empty());
    if let (true, Some(mut wakes)) = (woken, wakes) {
        let _ = wakes.read(&mut [0; 64]);
    }
}
