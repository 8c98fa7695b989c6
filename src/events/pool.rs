//! A bounded pool of plain threads, for calls that truly block.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// A call to be run. It neither unwinds nor leaves anything for its thread to drop.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

thread_local! {
    static IN_POOL: Cell<bool> = const { Cell::new(false) };
}

/// Is the caller a thread of a pool?
pub(crate) fn is_pool_thread() -> bool {
    IN_POOL.get()
}

/// What the pool of [`unblock`](crate::unblock) says of itself.
///
/// It is the bottleneck when `busy` is `max_threads` and `queued` does not go back to 0; `oldest` and `longest_wait` say
/// how much that costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnblockStatistics {
    /// Threads there may be.
    pub max_threads: usize,
    /// Threads there are.
    pub threads: usize,
    /// Threads that run a call.
    pub busy: usize,
    /// Calls that wait for a thread.
    pub queued: usize,
    /// For how long the first of them has waited.
    pub oldest: Duration,
    /// The longest that any call ever waited for its thread.
    pub longest_wait: Duration,
    /// Calls that a thread has begun.
    pub calls: u64,
    /// Calls that were running when their callers were interrupted: nobody gets their results.
    pub orphans: u64,
    /// Calls that never ran, because their callers were interrupted before a thread was free.
    pub withdrawn: u64,
    /// Times that a thread was wanted and the system had none.
    pub refused_threads: u64,
}

pub(crate) struct Pool {
    state: Mutex<State>,
    /// Told of each call that is queued.
    work: Condvar,
    /// After so long without a call a thread ends.
    idle_limit: Duration,
}

/// Between two calls: as many threads as there are calls, unless there are `max_threads` of them, or no more to be had.
struct State {
    max_threads: usize,
    threads: usize,
    /// Threads without a call, those that are just starting included.
    idle: usize,
    /// In the order of their numbers.
    queue: VecDeque<Queued>,
    last_number: u64,
    longest_wait: Duration,
    calls: u64,
    orphans: u64,
    withdrawn: u64,
    refused_threads: u64,
    /// The word has been said.
    complained: bool,
}

/// A call that waits for its thread longer than that is worth a word.
const TOO_LONG: Duration = Duration::from_secs(1);

struct Queued {
    number: u64,
    since: Instant,
    job: Job,
}

impl Pool {
    pub(crate) const fn new(max_threads: usize, idle_limit: Duration) -> Self {
        Self {
            state: Mutex::new(State {
                max_threads,
                threads: 0,
                idle: 0,
                queue: VecDeque::new(),
                last_number: 0,
                longest_wait: Duration::ZERO,
                calls: 0,
                orphans: 0,
                withdrawn: 0,
                refused_threads: 0,
                complained: false,
            }),
            work: Condvar::new(),
            idle_limit,
        }
    }

    /// Queues a call, and starts a thread if none is free. Gives the number to [`leave`](Self::leave) with.
    ///
    /// # Errors
    /// There is no thread at all, and the system gives none. The call is dropped.
    pub(crate) fn submit(self: &Arc<Self>, job: Job) -> io::Result<u64> {
        let mut state = self.state.lock();
        if state.idle <= state.queue.len()
            && state.threads < state.max_threads
            && let Err(error) = self.start_thread(&mut state)
        {
            state.refused_threads += 1;
            if state.threads == 0 {
                drop(state);
                drop(job);
                return Err(error);
            }
            // Those that exist will come to it.
        }
        state.last_number += 1;
        let number = state.last_number;
        state.queue.push_back(Queued {
            number,
            since: Instant::now(),
            job,
        });
        let complaint = state.complaint();
        drop(state);
        self.work.notify_one();
        complain(complaint);
        Ok(number)
    }

    /// The caller of a call does not wait for it any longer. It is taken out of the queue, or counted as an orphan.
    pub(crate) fn leave(&self, number: u64) {
        let mut state = self.state.lock();
        let job = match state.queue.binary_search_by_key(&number, |job| job.number) {
            Ok(index) => state.queue.remove(index),
            Err(_) => None,
        };
        match job {
            Some(_) => state.withdrawn += 1,
            None => state.orphans += 1,
        }
        drop(state);
        // What it owns is the caller's, and may do anything when it is dropped.
        drop(job);
    }

    /// Threads above the new limit end when they have done their calls.
    pub(crate) fn set_max_threads(self: &Arc<Self>, max_threads: usize) {
        let mut state = self.state.lock();
        state.max_threads = max_threads.max(1);
        let wanted = state.queue.len().saturating_sub(state.idle);
        for _ in 0..wanted.min(state.max_threads.saturating_sub(state.threads)) {
            if self.start_thread(&mut state).is_err() {
                state.refused_threads += 1;
                break;
            }
        }
        drop(state);
        self.work.notify_all();
    }

    pub(crate) fn statistics(&self) -> UnblockStatistics {
        let state = self.state.lock();
        let oldest = state.queue.front().map(|first| first.since.elapsed());
        UnblockStatistics {
            max_threads: state.max_threads,
            threads: state.threads,
            busy: state.threads - state.idle,
            queued: state.queue.len(),
            oldest: oldest.unwrap_or_default(),
            longest_wait: state.longest_wait,
            calls: state.calls,
            orphans: state.orphans,
            withdrawn: state.withdrawn,
            refused_threads: state.refused_threads,
        }
    }

    fn start_thread(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        let pool = Arc::clone(self);
        // It meets the lock that is held here, and finds itself counted.
        thread::Builder::new()
            .name("grapeshot-unblock".to_owned())
            .spawn(move || {
                IN_POOL.set(true);
                pool.run_calls();
            })?;
        state.threads += 1;
        state.idle += 1;
        Ok(())
    }

    fn run_calls(&self) {
        let mut state = self.state.lock();
        loop {
            if state.threads > state.max_threads {
                break;
            }
            let complaint = state.complaint();
            if let Some(next) = state.queue.pop_front() {
                state.idle -= 1;
                state.calls += 1;
                state.longest_wait = state.longest_wait.max(next.since.elapsed());
                drop(state);
                complain(complaint);
                (next.job)();
                state = self.state.lock();
                state.idle += 1;
                continue;
            }
            let waited = self.work.wait_for(&mut state, self.idle_limit);
            if waited.timed_out() && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
        state.idle -= 1;
    }
}

impl State {
    /// Says once, to whom it may concern, that the pool is the bottleneck: how long a call has waited, how many do.
    fn complaint(&mut self) -> Option<(Duration, usize, usize)> {
        let waited = self.queue.front()?.since.elapsed();
        if waited < TOO_LONG || std::mem::replace(&mut self.complained, true) {
            return None;
        }
        Some((waited, self.queue.len(), self.threads))
    }
}

/// With no lock held: the logger may do anything.
fn complain(complaint: Option<(Duration, usize, usize)>) {
    if let Some((waited, queued, threads)) = complaint {
        log::warn!(
            "a blocking call has waited {waited:.1?} for one of the {threads} threads of the pool, {queued} are queued: \
             raise set_unblock_threads, or see what blocks them; this is said once"
        );
    }
}
