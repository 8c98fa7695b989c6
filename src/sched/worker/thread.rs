//! The thread of a worker.

use std::io::Write;

use super::super::{Shared, scope};
use super::{WORKER, Worker};
use crate::context::blocks;
use crate::context::overflow::SignalStack;
use crate::context::sample::Thread;
use crate::io::Poller;
use crate::profile;

/// Keeps this thread on one of the processors that the process may use.
#[cfg(target_os = "linux")]
fn pin(index: usize) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let pinned = sched_getaffinity(None).and_then(|allowed| {
        let count = (allowed.count() as usize).max(1);
        let processor = (0..CpuSet::MAX_CPU)
            .filter(|&processor| allowed.is_set(processor))
            .nth(index % count);
        let mut one = CpuSet::new();
        one.set(processor.unwrap_or_default());
        sched_setaffinity(None, &one)
    });
    if let Err(error) = pinned {
        log::warn!("worker {index} is not pinned to a processor: the system refused it: {error}");
    }
}

/// There is no such call here.
#[cfg(not(target_os = "linux"))]
fn pin(_index: usize) {}

/// The body of a worker's thread.
pub(crate) fn main(shared: &'static Shared, index: usize, poller: Poller) {
    /// Coroutines catch their own panics. One of the worker itself would leave all of them suspended for ever, and whoever
    /// joins them.
    struct EndsProcess(usize);
    impl Drop for EndsProcess {
        fn drop(&mut self) {
            // There is nobody to tell if it fails.
            let _ = writeln!(
                std::io::stderr(),
                "grapeshot: worker {} panicked outside of its coroutines, which could never go on, so the process ends. \
                 Unless the panic above is of your own logger, this is a bug in grapeshot",
                self.0
            );
            std::process::abort();
        }
    }
    let _signal_stack = SignalStack::new();
    let guard = EndsProcess(index);
    let _ = shared.workers[index].thread.set(Thread::current());
    if shared.config.pin_workers {
        pin(index);
    }
    // From now on this thread keeps many blocks, and trims them.
    blocks::trim();
    WORKER.with(|cell| {
        let worker = cell.get_or_init(|| Worker::new(shared, index, poller));
        profile::serve(shared, &shared.workers[index], || worker.run());
        shared.workers[index].close();
    });
    while scope::keeps_thread() {
        std::thread::park();
    }
    std::mem::forget(guard);
}
