//! The profiles that were taken of this process: by consoles and, with the feature `web`, by live pages.
//!
//! A profile is the process's. One is taken at a time, whoever asks, and everybody sees those that are kept.

use std::collections::VecDeque;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use grapeshot::sync::channel::{self, Receiver, Sender};
use grapeshot::{time, with_timeout};
use grapeshot_profiler::{Options, Profile, StartError};

use crate::backdoor::Shared;
use crate::transport::Visitor;

/// The latest that are kept.
const MOST: usize = 8;
/// Bytes of all that are kept. The latest is kept however large it is: the profiler's own tables bound it.
const MOST_BYTES: usize = 64 << 20;

static PROFILES: Mutex<State> = Mutex::new(State::new());

struct State {
    /// The oldest first.
    kept: VecDeque<Arc<Kept>>,
    /// How many were started.
    started: u64,
    taking: Option<Taking>,
}

/// A profile that was ended.
pub(crate) struct Kept {
    pub(crate) number: u64,
    /// Who started it.
    pub(crate) by: String,
    pub(crate) profile: Profile,
    bytes: usize,
}

/// One that is being taken.
#[derive(Clone)]
pub(crate) struct Taking {
    pub(crate) number: u64,
    pub(crate) by: String,
    /// Through which backdoor: its address tells it from others.
    backdoor: usize,
    pub(crate) since: Instant,
    /// It ends by itself then.
    pub(crate) lasts: Option<Duration>,
    pub(crate) hertz: u32,
    /// It was ended, and its symbols are read.
    pub(crate) is_read: bool,
    /// Whoever waits for its end hears that this is gone.
    _end: Sender<()>,
}

/// Why a profile was not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StopError {
    #[error("no profile is being taken: start one first")]
    NotRunning,
    #[error("the profile was ended already, and its symbols are being read")]
    IsRead,
}

/// One that was started. It is discarded when this is dropped, unless it was ended or left.
pub(crate) struct Started {
    number: Option<u64>,
    ended: Receiver<()>,
}

impl State {
    const fn new() -> Self {
        Self {
            kept: VecDeque::new(),
            started: 0,
            taking: None,
        }
    }

    fn is_taking(&self, number: u64) -> bool {
        self.taking.as_ref().is_some_and(|it| it.number == number)
    }

    fn keep(&mut self, kept: Arc<Kept>) {
        self.kept.push_back(kept);
        let bytes = |kept: &VecDeque<Arc<Kept>>| kept.iter().map(|it| it.bytes).sum::<usize>();
        while self.kept.len() > MOST || (self.kept.len() > 1 && bytes(&self.kept) > MOST_BYTES) {
            self.kept.pop_front();
        }
    }
}

fn state() -> MutexGuard<'static, State> {
    PROFILES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts one of the application, for `by`; one byte in `allocations` that are allocated is sampled, if that is not 0. Never
/// suspends.
pub(crate) fn start(
    backdoor: &Shared,
    by: &Visitor,
    hertz: u32,
    allocations: u64,
    lasts: Option<Duration>,
) -> Result<Started, StartError> {
    let mut state = state();
    let options = Options::new().hertz(hertz).allocations(allocations);
    grapeshot_profiler::start(options.application(&backdoor.name))?;
    state.started += 1;
    let (end, ended) = channel::bounded(1);
    let number = state.started;
    // One that is there was ended behind our back, by the application itself.
    state.taking = Some(Taking {
        number,
        by: by.to_string(),
        backdoor: ptr::from_ref(backdoor).addr(),
        since: time::now(),
        lasts,
        hertz,
        is_read: false,
        _end: end,
    });
    Ok(Started {
        number: Some(number),
        ended,
    })
}

/// Ends the one that is being taken, whoever started it, and keeps it. **May suspend**: symbols are read from the disk.
pub(crate) fn stop() -> Result<Arc<Kept>, StopError> {
    /// It is over, whatever came of it.
    struct Over(u64);
    impl Drop for Over {
        fn drop(&mut self) {
            let mut state = state();
            if state.is_taking(self.0) {
                state.taking = None;
            }
        }
    }
    let (number, by) = {
        let mut state = state();
        match &mut state.taking {
            Some(taking) if taking.is_read => return Err(StopError::IsRead),
            Some(taking) => {
                taking.is_read = true;
                (taking.number, taking.by.clone())
            }
            None => {
                state.started += 1;
                (state.started, "the application".to_owned())
            }
        }
    };
    let over = Over(number);
    let profile = grapeshot_profiler::stop().map_err(|_| StopError::NotRunning)?;
    let bytes = weight(&profile);
    let kept = Arc::new(Kept {
        number,
        by,
        profile,
        bytes,
    });
    state().keep(Arc::clone(&kept));
    drop(over);
    Ok(kept)
}

/// Ends the one that is being taken and forgets it. **May suspend**, unless the caller unwinds.
pub(crate) fn discard() -> Result<(), StopError> {
    if !grapeshot_profiler::is_running() {
        return Err(StopError::NotRunning);
    }
    state().taking = None;
    grapeshot_profiler::discard();
    Ok(())
}

/// Discards the one that was started through a backdoor which ends, if it is still taken: nobody could end it any more.
pub(crate) fn end_with(backdoor: &Shared) {
    let backdoor = ptr::from_ref(backdoor).addr();
    let is_its = |it: &Taking| it.backdoor == backdoor && !it.is_read;
    if state().taking.as_ref().is_some_and(is_its) {
        // It may have ended by itself meanwhile.
        let _ = discard();
    }
}

/// The one that is being taken, if a console or a page started it.
pub(crate) fn taking() -> Option<Taking> {
    let taking = state().taking.clone();
    taking.filter(|it| it.is_read || grapeshot_profiler::is_running())
}

/// Those that are kept, the latest first.
pub(crate) fn kept() -> Vec<Arc<Kept>> {
    state().kept.iter().rev().cloned().collect()
}

pub(crate) fn latest() -> Option<Arc<Kept>> {
    state().kept.back().cloned()
}

pub(crate) fn find(number: u64) -> Option<Arc<Kept>> {
    let state = state();
    state.kept.iter().find(|it| it.number == number).cloned()
}

impl Started {
    /// Waits so long, or until somebody ends it: says whether it is still to be ended. **May suspend.**
    pub(crate) fn wait(&self, time: Duration) -> bool {
        // Nothing is ever sent: the other end goes with the profile.
        with_timeout(time, || self.ended.recv()).is_err()
    }

    /// It goes on until somebody ends it.
    pub(crate) fn leave(mut self) {
        self.number = None;
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have been ended, and another one started.
        if self.number.is_some_and(|number| state().is_taking(number)) {
            let _ = discard();
        }
    }
}

impl Kept {
    /// About how many bytes it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn weight(profile: &Profile) -> usize {
    let stacks = profile.on.iter().chain(&profile.off);
    let stacks: usize = stacks
        .chain(&profile.allocated.stacks)
        .map(|stack| size_of_val(stack) + size_of_val(&stack.frames[..]))
        .sum();
    let strings: usize = profile
        .strings
        .iter()
        .map(|it| size_of_val(it) + it.len())
        .sum();
    let waits: usize = profile
        .groups
        .iter()
        .map(|it| size_of_val(it) + size_of_val(&it.waits[..]))
        .sum();
    stacks
        + strings
        + waits
        + size_of_val(&profile.frames[..])
        + size_of_val(&profile.timeline[..])
        + size_of_val(&profile.wakes[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(number: u64, bytes: usize) -> Arc<Kept> {
        Arc::new(Kept {
            number,
            by: "a test".into(),
            profile: Profile::default(),
            bytes,
        })
    }

    fn numbers(state: &State) -> Vec<u64> {
        state.kept.iter().map(|it| it.number).collect()
    }

    #[test]
    fn few_are_kept_and_not_too_many_bytes() {
        let mut state = State::new();
        for number in 1..=10 {
            state.keep(kept(number, 1));
        }
        assert_eq!(numbers(&state), [3, 4, 5, 6, 7, 8, 9, 10]);
        state.keep(kept(11, MOST_BYTES - 2));
        assert_eq!(numbers(&state), [9, 10, 11]);
        state.keep(kept(12, 2 * MOST_BYTES));
        assert_eq!(numbers(&state), [12], "the latest is kept in any case");
    }

    #[test]
    fn what_a_profile_weighs_grows_with_what_is_in_it() {
        let mut profile = Profile::default();
        assert_eq!(weight(&profile), 0);
        profile.strings.push("x".repeat(1000));
        assert!(weight(&profile) >= 1000);
    }
}
