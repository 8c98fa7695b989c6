//! What coroutines take of the memory.

use std::sync::atomic::Ordering;

use super::{CHUNK, resident_bytes};
use crate::context::stack;
use crate::sched::handle::RuntimeHandle;
use crate::sched::record::Head;
use crate::sched::{Shared, WorkerShared};

/// Stacks that are measured: a system call each.
const MEASURED: usize = 256;

/// Memory of a runtime, and of the process that it is in, at a moment. All in bytes unless it says otherwise.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MemoryInfo {
    /// What the process has of the machine's memory, where the system tells.
    pub resident: Option<u64>,
    /// Coroutines that live, a number.
    pub coroutines: usize,
    /// What is known of them: at least so much, their closures beside.
    pub records: u64,
    /// Address space of their stacks, guards included. Only what was touched takes memory.
    pub stack_space: u64,
    /// Memory behind those stacks: what [`stacks_measured`](Self::stacks_measured) of them take on average, times their
    /// number. Stacks that wait to be used again are not in it.
    pub stacks: u64,
    /// How many stacks were measured, spread over all: their number.
    pub stacks_measured: usize,
    /// The most that one of the measured stacks takes.
    pub stack_max: u64,
    /// Stacks that wait to be used again, a number.
    pub stacks_pooled: usize,
}

impl RuntimeHandle {
    /// What the coroutines of this runtime take. Looks at all of them, a few hundred together, and has the system measure up
    /// to 256 stacks. Never suspends.
    pub fn memory(self) -> MemoryInfo {
        memory_of(self.shared)
    }
}

fn memory_of(shared: &Shared) -> MemoryInfo {
    let alive: usize = shared.workers.iter().map(WorkerShared::alive).sum();
    let every = (alive / MEASURED).max(1);
    let (mut seen, mut stacks, mut space) = (0_usize, 0_u64, 0_u64);
    let (mut measured, mut total, mut most) = (0_usize, 0_u64, 0_u64);
    let mut found = Vec::new();
    for worker in &shared.workers {
        let mut position = Some(0);
        while let Some(from) = position {
            found.clear();
            position = worker.coroutines(from, CHUNK, &mut found);
            for coroutine in &found {
                seen += 1;
                let stack = coroutine.head.stack();
                if stack.is_empty() {
                    continue;
                }
                stacks += 1;
                space += stack.len() as u64;
                if (stacks as usize).is_multiple_of(every)
                    && measured < MEASURED
                    && let Some(bytes) = stack::resident_bytes(stack)
                {
                    measured += 1;
                    total += bytes as u64;
                    most = most.max(bytes as u64);
                }
            }
        }
    }
    let pooled = |worker: &WorkerShared| worker.figures.stacks_pooled.load(Ordering::Relaxed);
    MemoryInfo {
        resident: resident_bytes(),
        coroutines: seen,
        records: (seen * size_of::<Head>()) as u64,
        stack_space: space,
        stacks: (total * stacks).checked_div(measured as u64).unwrap_or(0),
        stacks_measured: measured,
        stack_max: most,
        stacks_pooled: shared.workers.iter().map(pooled).sum(),
    }
}
