//! The thread that takes the samples out of the workers' rings, and counts them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

use super::groups::{self, GroupId};
use super::stacks::Stacks;
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

#[derive(Default)]
struct Common {
    watched: Mutex<Vec<Watched>>,
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
            }
            ticker::used(Thread::current())
        };
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

    /// What came, when nothing comes any more; and the nanoseconds that the thread used. Blocks for a moment.
    pub(super) fn finish(self) -> (Vec<Counts>, u64) {
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
        (counts.collect(), used)
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
