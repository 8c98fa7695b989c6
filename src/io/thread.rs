//! How a plain thread waits for a descriptor: in `poll(2)`, beside a bell that is rung when the descriptor is closed.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use super::source::Way;
use crate::sched::interrupt;
use crate::sched::wait::{Refused, nothing_may_wait};

/// How often a thread that could get no bell looks up, for want of descriptors.
const WITHOUT_BELL: Duration = Duration::from_millis(50);

/// A thread's own: it hears it in `poll(2)`. Each wait is rung for once at most.
pub(super) struct Bell {
    near: PipeReader,
    far: PipeWriter,
}

impl Bell {
    /// The calling thread's bell; `None` if it cannot have one, for want of descriptors.
    pub(super) fn of_thread() -> Option<Arc<Bell>> {
        thread_local! {
            static BELL: std::cell::RefCell<Option<Arc<Bell>>> = const { std::cell::RefCell::new(None) };
        }
        // Not at the very end of the thread, when destructors run.
        let bell = BELL.try_with(|bell| {
            let mut bell = bell.borrow_mut();
            if bell.is_none() {
                let (near, far) = io::pipe().ok()?;
                *bell = Some(Arc::new(Bell { near, far }));
            }
            bell.clone()
        });
        bell.ok().flatten()
    }

    pub(super) fn ring(&self) {
        // The pipe is empty and open at both ends: it takes the byte, unless a signal comes in between.
        let _ = (&self.far).write_all(&[0]);
    }

    /// Makes it silent again after it was rung.
    pub(super) fn silence(&self) {
        let _ = (&self.near).read(&mut [0]);
    }
}

/// Waits until `fd` is ready, or the bell rings; as long as the scopes that the thread is in allow. It may return without
/// cause.
pub(super) fn wait(fd: BorrowedFd<'_>, way: Way, bell: Option<&Bell>) -> io::Result<()> {
    if nothing_may_wait() {
        return Err(Refused.into());
    }
    let flags = match way {
        Way::Read => PollFlags::IN,
        Way::Write => PollFlags::OUT,
    };
    loop {
        let left = interrupt::of_thread().unwrap_or_else(|interrupt| interrupt.raise());
        // Rounded up to the next millisecond: a timeout must not come early.
        let left = left.map(|left| left + Duration::from_micros(999));
        let left = match bell {
            Some(_) => left,
            None => Some(left.map_or(WITHOUT_BELL, |left| left.min(WITHOUT_BELL))),
        };
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        let descriptor = PollFd::from_borrowed_fd(fd, flags);
        let ready = match bell {
            Some(bell) => rustix::event::poll(
                &mut [descriptor, PollFd::new(&bell.near, PollFlags::IN)],
                timeout.as_ref(),
            ),
            None => rustix::event::poll(&mut [descriptor], timeout.as_ref()),
        };
        match ready {
            Ok(0) if bell.is_none() => return Ok(()),
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
