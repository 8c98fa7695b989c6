//! Coroutines that held their worker for too long.

use std::collections::VecDeque;
use std::fmt;
use std::panic::Location;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::Frame;
use crate::sched::runtime;
use crate::sched::spawn::CoroutineId;

/// Stalls that are kept.
const KEPT: usize = 64;
/// Frames of a backtrace that go to the log.
const LOGGED: usize = 24;

/// A coroutine held its worker for longer than
/// [`RuntimeBuilder::latency_limit`](crate::RuntimeBuilder::latency_limit): it computed, or blocked the thread, and all the
/// others of that worker waited.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stall {
    /// Its number.
    pub id: CoroutineId,
    /// Its name.
    pub name: String,
    /// The place that spawned it.
    pub site: &'static Location<'static>,
    /// The worker that it held.
    pub worker: usize,
    /// Since when, to within half of the limit.
    pub since: SystemTime,
    /// For how long, when it was looked at last.
    pub lasted: Duration,
    /// It let go of the worker.
    pub over: bool,
    /// How much of that the thread ran, as far as it was looked at. Much less than `lasted`: it was blocked in the kernel,
    /// if it was not `queued`.
    pub ran: Option<Duration>,
    /// How much of that the thread could have run if the machine had had a processor for it.
    pub queued: Option<Duration>,
    /// Where it was at the latest look, innermost first. Empty if it did not answer; what it called in a library without
    /// frame pointers may lack a frame.
    pub backtrace: Vec<Frame>,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id, name, worker, ..
        } = self;
        if self.over {
            return write!(
                f,
                "coroutine '{name}' (#{id}) held worker {worker} for {:.1?}",
                self.lasted
            );
        }
        write!(
            f,
            "coroutine '{name}' (#{id}), spawned at {}, has held worker {worker} for {:.0?}",
            self.site, self.lasted
        )?;
        if let (Some(ran), Some(queued)) = (self.ran, self.queued) {
            write!(f, "; it ran for {ran:.0?} of the latest")?;
            if queued > self.lasted / 4 {
                write!(f, ", and waited {queued:.0?} for a processor")?;
            }
        }
        if self.backtrace.is_empty() {
            return f.write_str("; there is no backtrace");
        }
        f.write_str(". It is in")?;
        for (number, frame) in self.backtrace.iter().take(LOGGED).enumerate() {
            write!(f, "\n{number:6}: {frame}")?;
        }
        if self.backtrace.len() > LOGGED {
            write!(f, "\n        … {} more", self.backtrace.len() - LOGGED)?;
        }
        Ok(())
    }
}

/// The coroutines of this runtime that held their worker for too long, the latest last; 64 of them are kept.
pub fn stalls() -> Vec<Stall> {
    runtime::running().map_or_else(Vec::new, |shared| shared.stalls.all())
}

/// What a runtime keeps of them.
pub(crate) struct Stalls(Mutex<Kept>);

struct Kept {
    stalls: VecDeque<Stall>,
    /// The number of the first of them.
    first: u64,
}

impl Stalls {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Kept {
            stalls: VecDeque::new(),
            first: 0,
        }))
    }

    /// Keeps one more. Returns its number.
    pub(crate) fn push(&self, stall: Stall) -> u64 {
        let mut kept = self.0.lock();
        if kept.stalls.len() == KEPT {
            kept.stalls.pop_front();
            kept.first += 1;
        }
        kept.stalls.push_back(stall);
        kept.first + kept.stalls.len() as u64 - 1
    }

    /// Changes the one with this number, if it is still kept, and returns it.
    pub(crate) fn change(&self, number: u64, change: impl FnOnce(&mut Stall)) -> Option<Stall> {
        let mut kept = self.0.lock();
        let place = usize::try_from(number.checked_sub(kept.first)?).ok()?;
        let stall = kept.stalls.get_mut(place)?;
        change(stall);
        Some(stall.clone())
    }

    /// The runtime has ended.
    pub(crate) fn clear(&self) {
        self.0.lock().stalls.clear();
    }

    fn all(&self) -> Vec<Stall> {
        self.0.lock().stalls.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stall(worker: usize) -> Stall {
        Stall {
            id: CoroutineId(7),
            name: "bosun".to_owned(),
            site: Location::caller(),
            worker,
            since: SystemTime::UNIX_EPOCH,
            lasted: Duration::from_millis(250),
            over: false,
            ran: Some(Duration::from_millis(20)),
            queued: Some(Duration::from_millis(90)),
            backtrace: Vec::new(),
        }
    }

    #[test]
    fn only_the_latest_are_kept_and_can_be_changed() {
        let stalls = Stalls::new();
        let numbers: Vec<_> = (0..KEPT + 10).map(|n| stalls.push(stall(n))).collect();
        let kept: Vec<_> = stalls.all().iter().map(|stall| stall.worker).collect();
        assert_eq!(kept, (10..KEPT + 10).collect::<Vec<_>>());
        assert!(stalls.change(numbers[9], |_| ()).is_none(), "forgotten");
        for (n, &number) in numbers.iter().enumerate().skip(10) {
            assert_eq!(
                stalls
                    .change(number, |stall| stall.over = true)
                    .unwrap()
                    .worker,
                n
            );
        }
        assert!(stalls.all().iter().all(|stall| stall.over));
    }

    #[test]
    fn says_who_where_and_for_how_long() {
        let mut bosun = stall(1);
        let text = bosun.to_string();
        assert!(
            text.starts_with("coroutine 'bosun' (#7), spawned at src/registry/stalls.rs:")
                && text.contains("has held worker 1 for 250ms; it ran for 20ms of the latest")
                && text.ends_with("waited 90ms for a processor; there is no backtrace"),
            "{text}"
        );
        bosun.over = true;
        assert_eq!(
            bosun.to_string(),
            "coroutine 'bosun' (#7) held worker 1 for 250.0ms"
        );
    }
}
