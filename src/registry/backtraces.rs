//! Where all coroutines are, many asked for at once: a worker that sleeps is woken for a few hundred, not for each.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::Ordering;
use std::vec;

use super::backtrace::{BacktraceError, FRAMES, GRACE, backtrace_of, is_held, resolve};
use super::{CoroutineInfo, info, records};
use crate::context::backtrace::Frame;
use crate::context::cycles;
use crate::sched::WorkerShared;
use crate::sched::handle::RuntimeHandle;
use crate::sched::record::CoroRef;
use crate::sync::channel;

/// Looked at together.
const BATCH: usize = 256;
/// How long a worker may be kept by that, in nanoseconds.
const SLICE: u64 = 200_000;

/// The return addresses of one that is suspended. `None`: it is not, or nobody said: it is to be asked for by itself.
type Addresses = Option<Vec<usize>>;

/// Every live coroutine with where it is; see [`RuntimeHandle::backtraces`].
#[must_use = "it looks at what it is asked for"]
pub struct Backtraces {
    rest: vec::IntoIter<CoroRef>,
    looked_at: VecDeque<(CoroRef, Addresses)>,
}

impl RuntimeHandle {
    /// Every live coroutine of this runtime with where it is, by id. A few hundred are looked at together, when the first of them
    /// is asked for, and no worker is kept longer than a fraction of a millisecond. What has ended by then is left out.
    /// **May suspend** in `next`, as [`backtrace`](super::backtrace) does.
    pub fn backtraces(self) -> Backtraces {
        Backtraces {
            rest: records(self.shared).into_iter(),
            looked_at: VecDeque::new(),
        }
    }
}

impl Backtraces {
    /// How many are still to be asked for, at most.
    pub fn left(&self) -> usize {
        self.looked_at.len() + self.rest.len()
    }
}

impl fmt::Debug for Backtraces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backtraces")
            .field("left", &self.left())
            .finish_non_exhaustive()
    }
}

impl Iterator for Backtraces {
    type Item = (CoroutineInfo, Result<Vec<Frame>, BacktraceError>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((coroutine, addresses)) = self.looked_at.pop_front() {
                let info = info(&coroutine);
                let frames = match addresses {
                    Some(addresses) => Ok(addresses.into_iter().flat_map(resolve).collect()),
                    None => backtrace_of(coroutine),
                };
                return Some((info, frames));
            }
            let live = |coroutine: &CoroRef| !coroutine.head.has_ended();
            let batch: Vec<_> = self.rest.by_ref().filter(live).take(BATCH).collect();
            if batch.is_empty() {
                return None;
            }
            self.looked_at = look_at(batch).into();
        }
    }
}

fn look_at(batch: Vec<CoroRef>) -> Vec<(CoroRef, Addresses)> {
    let mut seen: Vec<_> = batch
        .into_iter()
        .map(|coroutine| (coroutine, None))
        .collect();
    let Some((first, _)) = seen.first() else {
        return seen;
    };
    for worker in &first.head.runtime.workers {
        let home = |(coroutine, _): &&mut (CoroRef, Addresses)| {
            coroutine.head.home.load(Ordering::Acquire) as usize == worker.index
        };
        let mut here: Vec<_> = seen.iter_mut().filter(home).collect();
        let mut done = 0;
        while done < here.len() {
            let wanted = here[done..].iter().map(|(coroutine, _)| coroutine.clone());
            let Some(found) = ask(worker, wanted.collect()).filter(|it| !it.is_empty()) else {
                break;
            };
            for addresses in found {
                here[done].1 = addresses;
                done += 1;
            }
        }
    }
    seen
}

/// Those of the first few, as many as fit into a slice of its time. `None`: something holds it.
fn ask(worker: &'static WorkerShared, coroutines: Vec<CoroRef>) -> Option<Vec<Addresses>> {
    if is_held(worker) {
        return None;
    }
    let (answer, answers) = channel::bounded(1);
    worker.call(Box::new(move || {
        let (scale, began) = (cycles::scale(), cycles::now());
        let in_time = |_: &CoroRef| scale.nanos(cycles::now().saturating_sub(began)) < SLICE;
        let found: Vec<_> = coroutines
            .iter()
            .take_while(|it| in_time(it))
            .map(addresses)
            .collect();
        // Whoever asked may have given up.
        let _ = answer.try_send(found);
    }));
    crate::with_timeout(GRACE, || answers.recv()).ok()?.ok()
}

/// By its own worker only.
fn addresses(coroutine: &CoroRef) -> Addresses {
    let own = coroutine.head.own.get();
    // Borrowed while it runs.
    let context = own.context.try_borrow().ok()?;
    context.as_ref().map(|context| context.frames(FRAMES))
}
