//! What happened, event by event: who was spawned, resumed, suspended and woken, by whom and when.
//!
//! While nobody asks for it, nothing is recorded. [`start`] has each worker write its events into a ring of its own, of a
//! fixed size: the oldest are overwritten. [`Tracing::snapshot`] gives what is there as a [`Recording`]. The same in a file
//! that outlives the process is a black box: see [`RuntimeBuilder::black_box`](crate::RuntimeBuilder::black_box) and
//! [`Recording::open`].
//!
//! ```
//! use grapeshot::trace::{self, What};
//!
//! grapeshot::run(|| {
//!     let tracing = trace::start(10_000)?;
//!     let ship = grapeshot::Builder::new().name("ship").spawn(grapeshot::yield_now);
//!     let id = ship.id();
//!     ship.join().unwrap();
//!     let recording = tracing.snapshot();
//!     let yields = recording.events_of(id).filter(|event| event.what == What::Yielded);
//!     assert_eq!(yields.count(), 1);
//!     assert_eq!(recording.name(id), "ship");
//!     std::io::Result::Ok(())
//! })
//! # .unwrap();
//! ```
//!
//! An event costs a few nanoseconds beside the look at the time, which a switch takes anyway; a wake takes one of its own.

mod black_box;
mod event;
mod follow;
mod history;
pub(crate) mod label;
mod layout;
mod live;
mod perfetto;
mod recording;
mod ring;
pub(crate) mod stream;
mod why;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::registry;
use crate::sched::handle::RuntimeHandle;
use crate::sched::{Shared, worker};
use stream::Stream;

pub use black_box::BlackBoxError;
pub(crate) use black_box::{BlackBox, open_for};
pub use event::{Actor, End, Event, Wait, What};
pub use follow::Follow;
pub use label::{Label, label};
pub use live::why;
pub use recording::{Losses, Note, Recording};
pub use why::{Doing, Hop, Link, Part, Why};

/// A stream that is on, as long as one of these lives; see [`start`].
#[must_use = "dropping it stops the stream"]
pub struct Tracing {
    shared: &'static Shared,
    stream: Arc<Stream>,
}

/// Has the workers of this runtime record what happens, until all that this has returned are dropped, or the runtime ends.
///
/// Each worker keeps its latest `events`, or up to twice as many: a power of two from 256 to 16,777,216. An event takes
/// 16 bytes. If the stream is on already, this shares it, of whatever size it is. On a plain thread it is about the runtime that
/// was started last.
///
/// # Errors
/// There is no runtime, or no memory.
pub fn start(events: usize) -> io::Result<Tracing> {
    let runtime = RuntimeHandle::current().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            "there is no runtime whose events could be recorded: start one first",
        )
    })?;
    runtime.trace(events)
}

impl RuntimeHandle {
    /// Has the workers of this runtime record what happens; see [`trace::start`](start).
    ///
    /// # Errors
    /// As there.
    pub fn trace(self, events: usize) -> io::Result<Tracing> {
        let shared = self.shared;
        let make = || {
            let layout = layout::Layout::of_events(shared.workers.len(), events);
            Stream::new(layout, &shared.config, None)
        };
        let stream = shared.stream.get_or(make)?;
        Ok(Tracing { shared, stream })
    }
}

impl Tracing {
    /// What is there at this moment. The workers go on meanwhile: what they overwrite while it is read is left out, and
    /// counted.
    pub fn snapshot(&self) -> Recording {
        let mut recording = Recording::of(&self.stream);
        let mut waits = Vec::new();
        // Those that have not run since the stream was started, or have no seat there.
        for coroutine in registry::records(self.shared) {
            let (name, id) = (&coroutine.head.name, crate::CoroutineId(coroutine.head.id));
            let site = (name.site.file(), name.site.line());
            recording.learn(id, name.given.as_deref(), site);
            // A simulation's waits are not dated by its own clock.
            if self.shared.config.seed.is_none()
                && let Some(wait) = registry::info(&coroutine).waits_for
            {
                let kind = coroutine.head.waits_for.load(Ordering::Relaxed);
                waits.push((id, wait.since, Wait::new(kind, wait.object)));
            }
        }
        recording.learn_waits(waits);
        recording
    }

    /// Stops, unless somebody else records as well, and gives what was recorded.
    pub fn stop(self) -> Recording {
        self.snapshot()
    }

    /// Hears of what happens from now on.
    pub fn follow(&self) -> Follow {
        Follow::new(self.stream.clone())
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        if self.shared.stream.leave(&self.stream) {
            // The workers hold on to its memory until they look again.
            for worker in &self.shared.workers {
                worker.call(Box::new(worker::refresh_tape));
            }
        }
    }
}

impl fmt::Debug for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracing").finish_non_exhaustive()
    }
}
