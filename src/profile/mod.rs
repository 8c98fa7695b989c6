//! What the profiler collects: exact times at each switch, samples on the processor, stacks of waits.
//!
//! This is the raw material, addresses and all. The package `grapeshot-profiler` makes reports of it; call that.
//!
//! ```text
//!   Worker::run_one, wakes ──▶ Tally, one a worker ─────────────────────┐
//!   timer ▶ signal ▶ Ring, one a worker ──▶ Sampler, a thread ──────────┼─▶ stop: Recorded
//!   Allocator ▶ Queue ──────────────────────▶ the same ─────────────────┤
//!   coroutines that still wait then: asked by way of their workers ─────┘
//! ```
//!
//! All workers of the process are in it, those that start meanwhile too. Left out are plain threads (those of
//! [`unblock`](crate::unblock) among them), but for what they allocate, and runtimes that only [serve](crate::RuntimeBuilder::on_behalf_of) another, such as the
//! console's.

mod allocations;
mod control;
mod groups;
mod report;
mod sampler;
mod stacks;
mod tally;
mod waiting;

use std::time::{Duration, SystemTime};

pub(crate) use self::control::serve;
pub use self::control::{StartError, is_running, start, stop};
pub(crate) use self::tally::{ended, resumed, suspended, woken};
pub use crate::context::allocations::Allocator;
use crate::context::backtrace::Frame;

/// What waits are called in which a coroutine was queued to run, and others ran.
pub const READY: &str = "ready";
/// The group of the workers' own loops: polling, timers, what it takes to go from one coroutine to the next, and what the profiler itself
/// does there.
pub const RUNTIME: &str = "(runtime)";

/// What to collect. Processor and wait times of each group are always collected.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Samples a second of each worker's processor time, 10,000 at most. 0: none.
    pub hertz: u32,
    /// The stacks of waits.
    pub waits: bool,
    /// Slices of the timeline, at most, for each worker.
    pub slices: usize,
    /// One byte in so many that are allocated is sampled, by an [`Allocator`] that the program installed. 0: none.
    pub allocations: u64,
}

impl Default for Settings {
    /// 1,000 samples a second, stacks of waits, 10,000 slices, no allocations.
    fn default() -> Self {
        Self {
            hertz: 1_000,
            waits: true,
            slices: 10_000,
            allocations: 0,
        }
    }
}

/// What was collected between [`start`] and [`stop`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Recorded {
    /// When it began.
    pub started: SystemTime,
    /// For how long it ran.
    pub lasted: Duration,
    /// Samples asked for each second.
    pub hertz: u32,
    /// One byte in so many that were allocated was sampled; 0: none.
    pub every: u64,
    /// The coroutines by name.
    pub groups: Vec<GroupTimes>,
    /// On the processor, sampled.
    pub on: Vec<StackTimes>,
    /// Where coroutines waited, measured.
    pub off: Vec<StackTimes>,
    /// What was allocated, sampled; on plain threads, too.
    pub allocated: Vec<Allocated>,
    /// The workers that there were.
    pub workers: Vec<WorkerTimes>,
    /// Who ran when. Where there were too many, the longest.
    pub slices: Vec<Slice>,
    /// Who woke whom.
    pub wakes: Vec<Wakes>,
    /// Samples for which there was no room.
    pub lost_samples: u64,
    /// Samples of allocations that, or whose stacks, there was no room for.
    pub lost_allocations: u64,
    /// Waits whose stack, or coroutines whose name, there was no room for. Their times are counted all the same.
    pub lost_events: u64,
    /// Processor time that collecting took, in part estimated. What the system takes to interrupt a worker for a sample is not in
    /// it: on some virtual machines that is more, up to 50 µs each.
    pub cost: Duration,
}

/// What the coroutines of one name did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GroupTimes {
    /// As [`registry::group_of`](crate::registry::group_of) has it.
    pub name: String,
    /// How many there were.
    pub coroutines: u64,
    /// Nanoseconds on the processor. Of [`RUNTIME`], what workers did beside running coroutines.
    pub cpu: u64,
    /// Times that one left the processor.
    pub switches: u64,
    /// What they waited for: nanoseconds, and how often.
    pub waits: Vec<(&'static str, u64, u64)>,
}

/// What was spent at one place by one group on one worker.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StackTimes {
    /// Innermost first, for [`resolve`].
    pub frames: Vec<usize>,
    /// An index into [`Recorded::groups`].
    pub group: usize,
    /// An index into [`Recorded::workers`].
    pub worker: usize,
    /// What it waited for; `None` on the processor.
    pub waits_for: Option<&'static str>,
    /// Samples, or waits.
    pub count: u64,
    /// Nanoseconds.
    pub nanos: u64,
}

/// What was allocated at one place by one group, as far as the samples tell: on average that is right.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Allocated {
    /// Innermost first, for [`resolve`]. The first few are those of [`Allocator`].
    pub frames: Vec<usize>,
    /// An index into [`Recorded::groups`].
    pub group: usize,
    /// Allocations that were sampled.
    pub samples: u64,
    /// Allocations, estimated.
    pub times: u64,
    /// Bytes, estimated.
    pub bytes: u64,
}

/// What a worker did with its time.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct WorkerTimes {
    /// Nanoseconds in which it was not asleep.
    pub busy: u64,
    /// Nanoseconds in which it had nothing to do.
    pub idle: u64,
}

/// A coroutine ran without suspending.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Slice {
    /// The coroutine's number.
    pub coroutine: u64,
    /// An index into [`Recorded::groups`].
    pub group: usize,
    /// An index into [`Recorded::workers`].
    pub worker: usize,
    /// Nanoseconds since the start.
    pub from: u64,
    /// Nanoseconds since the start.
    pub to: u64,
}

/// One group ended waits of another.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Wakes {
    /// Who woke: an index into [`Recorded::groups`].
    pub from: usize,
    /// Who waited: an index into [`Recorded::groups`].
    pub to: usize,
    /// For what.
    pub waited_for: &'static str,
    /// How often.
    pub times: u64,
}

/// The functions at an address of a stack, innermost first: more than one where calls were inlined. Reads the program's
/// debug information the first time, which takes a while. A program without symbols gives the address alone.
pub fn resolve(address: usize) -> Vec<Frame> {
    crate::registry::resolve(address)
}
