//! The thread that takes samples out of the workers' rings and the allocator's queue, and counts them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

use super::allocations::Allocations;
use super::groups::{self, GroupId};
use super::stacks::Stacks;
use crate::context::allocations;
use crate::context::sample::Thread;
use crate::context::ticker::{self, Ring};

/// How often it looks. A ring has room for what comes in a second.
const EVERY: Duration = Duration::from_millis(20);
/// The group of samples of the coroutine that ran when the session began, of which the handler does not know it yet.
pub(super) const UNKNOWN: GroupId = GroupId::MAX;

/// A worker that is sampled.
struct Watched {
    ring: &'static Ring,
    /// The worker's number in the session.
    seat: usize,
    stacks: Stacks,
    /// Of `UNKNOWN`: the coroutine.
    unknown: Option<u64>,
}

/// What came of one worker. The stacks' times are nanoseconds.
pub(super) struct Counts {
    pub(super) seat: usize,
    pub(super) stacks: Stacks,
    /// The coroutine that is of the group [`UNKNOWN`].
    pub(super) unknown: Option<u64>,
    pub(super) lost: u64,
    /// Nanoseconds spent in the handler.
    pub(super) cost: u64,
}

/// All that came.
#[derive(Default)]
pub(super) struct Samples {
    pub(super) counts: Vec<Counts>,
    pub(super) allocations: Option<Allocations>,
    /// Nanoseconds of processor time that the thread used.
    pub(super) used: u64,
}

#[derive(Default)]
struct Common {
    watched: Mutex<Vec<Watched>>,
    allocations: Mutex<Option<Allocations>>,
    is_over: AtomicBool,
}

/// The thread.
pub(super) struct Sampler {
    common: Arc<Common>,
    /// It returns the nanoseconds of processor time that it used.
    thread: JoinHandle<u64>,
}

impl Sampler {
    pub(super) fn start() -> io::Result<Self> {
        let common = Arc::new(Common::default());
        let theirs = Arc::clone(&common);
        let collect = move || {
            while !theirs.is_over.load(Ordering::Acquire) {
                thread::park_timeout(EVERY);
                theirs.watched.lock().iter_mut().for_each(Watched::collect);
                if let Some(allocations) = &mut *theirs.allocations.lock() {
                    allocations.collect();
                }
            }
            ticker::used(Thread::current())
        };
        let collect = || allocations::unseen(collect);
        let name = thread::Builder::new().name("grapeshot-profiler".into());
        Ok(Self {
            common,
            thread: name.spawn(collect)?,
        })
    }

    /// Collects from a ring too, from now on.
    pub(super) fn watch(&self, seat: usize, ring: &'static Ring) {
        self.common.watched.lock().push(Watched {
            ring,
            seat,
            stacks: Stacks::new(),
            unknown: None,
        });
    }

    /// Collects allocations too, from now on: one byte in so many.
    pub(super) fn watch_allocations(&self, every: u64) {
        *self.common.allocations.lock() = Some(Allocations::start(every));
    }

    /// What came, when nothing comes any more. Blocks for a moment.
    pub(super) fn finish(self) -> Samples {
        self.common.is_over.store(true, Ordering::Release);
        self.thread.thread().unpark();
        let used = self.thread.join().unwrap_or(0);
        let mut watched = std::mem::take(&mut *self.common.watched.lock());
        watched.iter_mut().for_each(Watched::collect);
        let counts = watched.into_iter().map(|it| Counts {
            seat: it.seat,
            lost: it.ring.lost() + it.stacks.lost,
            cost: it.ring.cost(),
            stacks: it.stacks,
            unknown: it.unknown,
        });
        let mut allocations = self.common.allocations.lock().take();
        allocations.iter_mut().for_each(Allocations::finish);
        Samples {
            counts: counts.collect(),
            allocations,
            used,
        }
    }
}

impl Watched {
    fn collect(&mut self) {
        let Self {
            ring,
            stacks,
            unknown,
            ..
        } = self;
        let mut frames = Vec::new();
        ring.drain(|sample| {
            frames.clear();
            frames.extend(sample.frames.iter().map(|&frame| frame as usize));
            let group = match (sample.coroutine, sample.tag.checked_sub(1)) {
                (0, _) => groups::RUNTIME,
                (_, Some(group)) => group as GroupId,
                (coroutine, None) => {
                    *unknown = Some(coroutine);
                    UNKNOWN
                }
            };
            stacks.entry((group, 0), &frames).waited.add(sample.nanos);
        });
    }
}
