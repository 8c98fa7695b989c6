//! The arms for a descriptor's readiness in a [`select!`](crate::select!).

use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::source::{SlotRef, Source, Way};
use super::turn::Turn;
use crate::sched::wait::Waiter;
use crate::select::sealed::Arm;

/// A call in one direction would not have to wait.
pub struct ReadinessArm<'a, T: AsFd> {
    source: &'a Source<T>,
    way: Way,
    /// Where the waiter was left, and the turn to leave it there.
    place: Option<(SlotRef<'a>, Turn<'a>)>,
    output: Option<io::Result<()>>,
}

/// Somebody else waits for the same descriptor in the same direction.
#[derive(Debug, thiserror::Error)]
#[error(
    "another coroutine or thread uses this descriptor in the same direction: `select!` does not queue behind it"
)]
struct Taken;

impl<T: AsFd> Source<T> {
    pub(crate) fn readiness(&self, way: Way) -> ReadinessArm<'_, T> {
        ReadinessArm {
            source: self,
            way,
            place: None,
            output: None,
        }
    }
}

impl<'a, T: AsFd> ReadinessArm<'a, T> {
    /// What came of it; `None` if it was not chosen.
    pub fn into_output(self) -> Option<io::Result<()>> {
        self.output
    }

    /// Why it cannot be waited for, if it was chosen for that.
    pub(super) fn failure(&mut self) -> Option<io::Error> {
        self.output.take()?.err()
    }

    /// Does somebody wait for the same?
    #[cfg(test)]
    pub(crate) fn is_watched(&self) -> bool {
        let slot = self.source.registered();
        slot.is_some_and(|slot| slot.direction(self.way).is_waited_for())
    }

    fn is_ready(&self) -> io::Result<bool> {
        let io = self.source.live()?;
        if let Some(simulated) = self.source.as_simulated() {
            return Ok(simulated.is_ready(self.way));
        }
        let flags = match self.way {
            Way::Read => PollFlags::IN,
            Way::Write => PollFlags::OUT,
        };
        let mut fds = [PollFd::new(io, flags)];
        Ok(poll(&mut fds, Some(&Timespec::default()))? > 0)
    }

    /// Leaves the waiter; `None` if the descriptor may be ready.
    fn watch(&self, waiter: Waiter) -> io::Result<Option<(SlotRef<'a>, Turn<'a>)>> {
        let turn = self.source.try_turn(self.way);
        let turn = turn.ok_or_else(|| io::Error::new(io::ErrorKind::ResourceBusy, Taken))?;
        let slot = self.source.slot()?;
        let direction = slot.direction(self.way);
        let left = direction.take_or_wait(|| Ok::<_, io::Error>(((), waiter)))?;
        Ok(left.map(|()| (slot, turn)))
    }
}

impl<T: AsFd> Arm for ReadinessArm<'_, T> {
    fn attempt(&mut self) -> bool {
        if self.output.is_none() {
            self.output = match self.is_ready() {
                Ok(false) => None,
                Ok(true) => Some(Ok(())),
                Err(error) => Some(Err(error)),
            };
        }
        self.output.is_some()
    }

    fn enlist(&mut self, waiter: Waiter) -> bool {
        match self.watch(waiter) {
            Ok(place) => self.place = place,
            Err(error) => self.output = Some(Err(error)),
        }
        self.place.is_some()
    }

    fn complete(&mut self) -> bool {
        self.place = None;
        // The event may have been about something that others have taken meanwhile.
        self.attempt()
    }

    fn withdraw(&mut self) {
        if let Some((slot, _turn)) = self.place.take() {
            slot.direction(self.way).withdraw();
        }
    }
}
