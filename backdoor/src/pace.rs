//! The pace of an evaluation: it lets others run every so often, and is where it learns that it must stop.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Steps of the language between two suspensions: about a third of a millisecond in a release build.
const STEPS: u32 = 4096;

/// Why an evaluation was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Somebody asked.
    Interrupted,
    /// It ran longer than the backdoor allows.
    TimeLimit(Duration),
    /// It printed more than the backdoor allows.
    TooMuchOutput,
    /// A value is nested deeper than what is kept may be.
    TooDeep,
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Interrupted => f.write_str("interrupted"),
            Self::TimeLimit(limit) => write!(
                f,
                "stopped after {} s, the time limit of this console",
                limit.as_secs_f64()
            ),
            Self::TooDeep => f.write_str(&crate::depth::too_deep()),
            Self::TooMuchOutput => {
                write!(
                    f,
                    "stopped: it printed more than {} MiB",
                    crate::limits::MAX_OUTPUT >> 20
                )
            }
        }
    }
}

/// How often an evaluation looks whether somebody interrupted its coroutine: the registry's answer is not free.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
struct Clock {
    /// When the evaluation that runs must have ended.
    deadline: Option<Instant>,
    /// When to ask the registry again.
    look: Option<Instant>,
}

/// Shared by an evaluation and the session that may stop it.
#[derive(Debug)]
pub(crate) struct Pace {
    interrupted: AtomicBool,
    output: AtomicU64,
    steps: AtomicU32,
    limit: Duration,
    session: u64,
    clock: Mutex<Clock>,
    /// What there is to say about a call that did not end.
    note: Mutex<Option<String>>,
    /// What of the application this evaluation has operated so far: one entry for each name that is exposed, at most.
    operated: Mutex<BTreeSet<String>>,
}

impl Pace {
    pub(crate) fn new(limit: Duration, session: u64) -> Self {
        Self {
            interrupted: AtomicBool::new(false),
            output: AtomicU64::new(0),
            steps: AtomicU32::new(0),
            limit,
            session,
            clock: Mutex::default(),
            note: Mutex::default(),
            operated: Mutex::default(),
        }
    }

    #[cfg(test)]
    pub(crate) fn unlimited() -> Self {
        Self::new(Duration::MAX, 0)
    }

    /// A new evaluation begins now.
    pub(crate) fn start(&self) {
        self.interrupted.store(false, Ordering::Relaxed);
        self.output.store(0, Ordering::Relaxed);
        drop(self.note());
        self.operated().clear();
        let now = grapeshot::time::now();
        let clock = Clock {
            deadline: now.checked_add(self.limit),
            look: now.checked_add(LOOK),
        };
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = clock;
    }

    /// The time limit begins anew, for what has one in each of its parts.
    pub(crate) fn renew(&self) {
        let now = grapeshot::time::now();
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.deadline = now.checked_add(self.limit);
    }

    /// How much of the time limit is left.
    pub(crate) fn left(&self) -> Duration {
        let clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.deadline.map_or(Duration::MAX, |deadline| {
            deadline.saturating_duration_since(grapeshot::time::now())
        })
    }

    /// The number of the session that it is of.
    pub(crate) fn session(&self) -> u64 {
        self.session
    }

    /// What the answer of this evaluation says beside why it ended.
    pub(crate) fn leave_note(&self, note: String) {
        *self.note.lock().unwrap_or_else(PoisonError::into_inner) = Some(note);
    }

    /// Takes that note.
    pub(crate) fn note(&self) -> Option<String> {
        self.note
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Whether this evaluation operates `what` for the first time. A loop is logged once.
    pub(crate) fn operates(&self, what: &str) -> bool {
        let mut operated = self.operated();
        !operated.contains(what) && operated.insert(what.to_owned())
    }

    fn operated(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.operated.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    pub(crate) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Counts what was printed; false once that is too much.
    pub(crate) fn count_output(&self, bytes: usize) -> bool {
        let before = self.output.fetch_add(bytes as u64, Ordering::Relaxed);
        before + bytes as u64 <= crate::limits::MAX_OUTPUT
    }

    /// One step of work. Suspends every few thousand steps, so that an evaluation never holds up its worker.
    pub(crate) fn step(&self) -> Result<(), Stop> {
        let steps = self.steps.fetch_add(1, Ordering::Relaxed);
        if steps.is_multiple_of(STEPS) {
            self.breathe()
        } else {
            Ok(())
        }
    }

    /// Lets others run, then says whether to go on.
    pub(crate) fn breathe(&self) -> Result<(), Stop> {
        // Shielded: an interrupt that unwound through the language here could leave its locks poisoned. The
        // checks below end the evaluation by an ordinary error instead.
        grapeshot::shield(grapeshot::yield_now);
        self.check()
    }

    /// Whether to go on. Never suspends.
    pub(crate) fn check(&self) -> Result<(), Stop> {
        if self.is_interrupted() {
            return Err(Stop::Interrupted);
        }
        if self.output.load(Ordering::Relaxed) > crate::limits::MAX_OUTPUT {
            return Err(Stop::TooMuchOutput);
        }
        let now = grapeshot::time::now();
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        if clock.deadline.is_some_and(|deadline| now >= deadline) {
            return Err(Stop::TimeLimit(self.limit));
        }
        if clock.look.is_some_and(|look| now >= look) {
            clock.look = now.checked_add(LOOK);
            drop(clock);
            if killed() {
                return Err(Stop::Interrupted);
            }
        }
        Ok(())
    }
}

/// Whether somebody interrupted this very coroutine, as the console's `kill` does.
fn killed() -> bool {
    grapeshot::registry::current()
        .and_then(grapeshot::registry::coroutine)
        .is_some_and(|info| info.interrupted)
}
