//! The part of copying that Linux does: `sendfile`, `splice` and `copy_file_range`.
//!
//! ```text
//!   file ──copy_file_range──▶ file
//!   file ──sendfile──▶ stream, pipe
//!   pipe ───splice───▶ stream, pipe, file
//!   stream ─splice───▶ pipe
//!   stream ─splice───▶ a pipe of our own ─splice──▶ stream, file
//! ```

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags};

use super::copy::{End, usize_of};
use super::sigpipe::without_sigpipe;
use super::source::{Way, share_the_worker};
use crate::sched::wait;

/// Bytes that the kernel is asked to move at a time, so that others have their turn in between.
const CHUNK: usize = 1 << 19;

/// Copies until `count` bytes have been `copied`, or `from` ends. False: the kernel refuses, the rest is to be done by hand.
pub(super) fn copy(from: End<'_>, to: End<'_>, count: u64, copied: &mut u64) -> io::Result<bool> {
    if from.is_simulated() || to.is_simulated() {
        return Ok(false);
    }
    match (from, to) {
        (End::File(from), End::File(to)) => {
            let all = repeat(count, copied, |chunk| between_files(from, to, chunk))?;
            // Of some files the kernel says that they are empty, though they can be read.
            Ok(all && *copied > 0)
        }
        (End::File(file), _) => repeat(count, copied, |chunk| send(file, None, chunk, to)),
        (End::Pipe(_), _) | (_, End::Pipe(_)) => {
            repeat(count, copied, |chunk| direct(from, to, chunk))
        }
        _ => {
            let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
            let Ok((reader, writer)) = rustix::pipe::pipe_with(flags) else {
                // No descriptor is left; it can be done without.
                return Ok(false);
            };
            let pipe = (reader.as_fd(), writer.as_fd());
            repeat(count, copied, |chunk| through(from, pipe, to, chunk))
        }
    }
}

/// Sends that part of the file, of which the rest is left in `part`. False as for [`copy`].
pub(super) fn send_file(file: &File, part: &mut Range<u64>, to: End<'_>) -> io::Result<bool> {
    if to.is_simulated() {
        return Ok(false);
    }
    let count = part.end.saturating_sub(part.start);
    repeat(count, &mut 0, |chunk| {
        send(file, Some(&mut part.start), chunk, to)
    })
}

/// What one step came to.
enum Step {
    /// The end, if it is none.
    Moved(usize),
    Refused,
}

fn repeat(
    count: u64,
    copied: &mut u64,
    mut step: impl FnMut(usize) -> io::Result<Step>,
) -> io::Result<bool> {
    while *copied < count {
        match step(CHUNK.min(usize_of(count - *copied)))? {
            Step::Moved(0) => break,
            Step::Moved(moved) => *copied += moved as u64,
            Step::Refused => return Ok(false),
        }
    }
    Ok(true)
}

/// Of one attempt. That a call does not suit these descriptors is no error of theirs.
enum Attempt {
    Done(Step),
    WouldBlock,
}

fn attempt(mut call: impl FnMut() -> Result<usize, Errno>) -> io::Result<Attempt> {
    let result = without_sigpipe(|| Ok(rustix::io::retry_on_intr(&mut call)))?;
    match result {
        Ok(moved) => Ok(Attempt::Done(Step::Moved(moved))),
        Err(Errno::AGAIN) => Ok(Attempt::WouldBlock),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM | Errno::OVERFLOW) => {
            Ok(Attempt::Done(Step::Refused))
        }
        Err(error) => Err(error.into()),
    }
}

/// From a file: only the other end can make it wait.
fn send(file: &File, mut offset: Option<&mut u64>, chunk: usize, to: End<'_>) -> io::Result<Step> {
    write_to(to, || {
        rustix::fs::sendfile(to.fd(), file, offset.as_deref_mut(), chunk)
    })
}

/// Between files, which never wait.
fn between_files(from: &File, to: &File, chunk: usize) -> io::Result<Step> {
    let copied = attempt(|| {
        match rustix::fs::copy_file_range(from, None, to, None, chunk) {
            // Of different file systems, or opened to append to.
            Err(Errno::XDEV | Errno::BADF) => Err(Errno::INVAL),
            result => result,
        }
    })?;
    share_the_worker();
    match copied {
        Attempt::Done(step) => Ok(step),
        Attempt::WouldBlock => Ok(Step::Refused),
    }
}

/// Repeats a call that only `to` can make wait.
fn write_to(to: End<'_>, mut call: impl FnMut() -> Result<usize, Errno>) -> io::Result<Step> {
    let _turn = to.turn(Way::Write)?;
    let mut waited = false;
    loop {
        match attempt(&mut call).map_err(|error| to.explain(error))? {
            Attempt::Done(step) => {
                if !waited {
                    share_the_worker();
                }
                return Ok(step);
            }
            Attempt::WouldBlock => to.wait(Way::Write)?,
        }
        waited = true;
    }
}

fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, len: usize) -> Result<usize, Errno> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    rustix::pipe::splice(from, None, to, None, len, flags)
}

/// Where one end is a pipe.
fn direct(from: End<'_>, to: End<'_>, chunk: usize) -> io::Result<Step> {
    let mut waited = false;
    loop {
        let reading = from.turn(Way::Read)?;
        let writing = to.turn(Way::Write)?;
        let attempt = attempt(|| splice(from.fd(), to.fd(), chunk))
            .map_err(|error| to.explain(from.explain(error)))?;
        if let Attempt::Done(step) = attempt {
            if !waited {
                share_the_worker();
            }
            return Ok(step);
        }
        // It does not say who is not ready. What becomes so in between makes an event that ends the wait. Meanwhile
        // others may use the end that we do not wait for.
        if !is_ready(from.fd(), PollFlags::IN)? {
            drop(writing);
            from.wait(Way::Read)?;
        } else if !is_ready(to.fd(), PollFlags::OUT)? {
            drop(reading);
            to.wait(Way::Write)?;
        } else {
            wait::through_poller();
        }
        waited = true;
    }
}

fn is_ready(fd: BorrowedFd<'_>, flags: PollFlags) -> io::Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(fd, flags)];
    Ok(rustix::event::poll(&mut fds, Some(&Timespec::default()))? > 0)
}

/// From a stream to what is no pipe: through one of our own, which is empty before and after.
fn through(
    from: End<'_>,
    (reader, writer): (BorrowedFd<'_>, BorrowedFd<'_>),
    to: End<'_>,
    chunk: usize,
) -> io::Result<Step> {
    let filled = {
        let _turn = from.turn(Way::Read)?;
        loop {
            let step = attempt(|| splice(from.fd(), writer, chunk));
            match step.map_err(|error| from.explain(error))? {
                Attempt::Done(Step::Moved(filled)) => break filled,
                Attempt::Done(Step::Refused) => return Ok(Step::Refused),
                Attempt::WouldBlock => from.wait(Way::Read)?,
            }
        }
    };
    let mut left = filled;
    while left > 0 {
        match write_to(to, || splice(reader, to.fd(), left))? {
            Step::Moved(0) => return Err(io::ErrorKind::WriteZero.into()),
            Step::Moved(moved) => left -= moved,
            Step::Refused => {
                let mut rest = vec![0; left];
                let mut got = 0;
                while got < left {
                    got += rustix::io::read(reader, &mut rest[got..])?;
                }
                to.write_all(&rest)?;
                left = 0;
            }
        }
    }
    Ok(Step::Moved(filled))
}
