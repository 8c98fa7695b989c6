//! Coroutines one after the other, for whoever looks at a million of them.

use super::{CHUNK, CoroutineInfo, describe};
use crate::context::cycles;
use crate::sched::Shared;
use crate::sched::handle::RuntimeHandle;
use crate::sched::record::CoroRef;

/// The live coroutines of a runtime, one after the other; see [`RuntimeHandle::walk`].
#[must_use = "it looks at what it is asked for"]
pub struct Walk {
    shared: &'static Shared,
    worker: usize,
    /// Where the next look at that worker's table begins.
    position: usize,
    found: Vec<CoroRef>,
    now: u64,
}

impl RuntimeHandle {
    /// Every live coroutine of this runtime, in no order, a few hundred looked at together: no worker waits for that longer
    /// than some microseconds, and nothing is kept of those that were seen. Never suspends.
    ///
    /// One that starts or is stolen meanwhile may come twice, or not at all.
    ///
    /// ```
    /// use grapeshot::{RuntimeHandle, registry::State};
    ///
    /// grapeshot::run(|| {
    ///     let runtime = RuntimeHandle::current().unwrap();
    ///     assert_eq!(runtime.walk().filter(|it| it.state == State::Running).count(), 1);
    /// });
    /// ```
    pub fn walk(self) -> Walk {
        Walk {
            shared: self.shared,
            worker: 0,
            position: 0,
            found: Vec::new(),
            now: cycles::now(),
        }
    }
}

impl Iterator for Walk {
    type Item = CoroutineInfo;

    fn next(&mut self) -> Option<CoroutineInfo> {
        loop {
            match self.found.pop() {
                Some(coroutine) if coroutine.head.is_gone() => {}
                Some(coroutine) => return Some(describe(&coroutine, cycles::scale(), self.now)),
                None => {
                    let worker = self.shared.workers.get(self.worker)?;
                    match worker.coroutines(self.position, CHUNK, &mut self.found) {
                        Some(position) => self.position = position,
                        None => (self.worker, self.position) = (self.worker + 1, 0),
                    }
                    self.now = cycles::now();
                }
            }
        }
    }
}

impl std::fmt::Debug for Walk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk")
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}
